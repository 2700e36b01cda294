"""Stored texts as files are read: which of them a column of another type can't have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.schema import Column
from datawarehouse.queries import query
from datawarehouse.schema.catalog import Catalog, Naming, TableThere
from datawarehouse.schema.ddl import quoted
from validation.batch import Batch, Chunk
from validation.schema_validator import validate_schema

PAGE = 20_000  # values read at a time


def read(spec: FileSpec, column: Column, texts: list[str | None]) -> tuple[np.ndarray, pa.Array]:
    """Which texts a load would take for the column (boolean), and what it would store of these, as text."""
    schema = spec.schema.with_columns((column.model_copy(update={"default": None, "nullable": True}),))
    numbers = np.arange(len(texts), dtype=np.int64)
    batch = Batch(replace(spec, schema=schema), Chunk(numbers, {column.name: pa.array(texts, pa.string())}))
    validate_schema(batch)
    good = np.asarray(batch.good)
    return good, pc.cast(batch.output[column.name], pa.string()).filter(pa.array(good))


class Unreadable:
    """The distinct texts of a column that a load would not take. `text` is SQL with {c} for the column."""

    def __init__(self, catalog: Catalog, there: TableThere, column: Column, spec: FileSpec, text: str) -> None:
        self._table = there.name
        self._column = column
        self._text = text
        now = Naming(catalog)
        expression = text.format(c=now.column(there.name, column.target))
        self._bad: list[str] = []
        for texts in _pages(catalog.tx, now.table(there.name), expression):
            good, _ = read(spec, column, list(texts))
            self._bad += [value for value, fits in zip(texts, good, strict=True) if not fits]

    def condition(self, names: Naming) -> str:
        """SQL that is true of rows `t` with such a text."""
        if not self._bad:
            return "false"
        value = self._text.format(c="t." + names.column(self._table, self._column.target))
        listed = ", ".join("'{}'".format(text.replace("'", "''")) for text in self._bad)
        return f"{value} IN ({listed})"


def keep_read_values(tx: Cursor, table: str, expression: str, column: Column, spec: FileSpec) -> None:
    """Make pg_temp.as_read(text), which gives for each text of the column what a load would store.

    `expression` is the column's text in SQL.
    """
    tx.execute(query("changes", "read_values"))
    for texts in _pages(tx, quoted(table), expression):
        good, stored = read(spec, column, list(texts))
        sources = [value for value, fits in zip(texts, good, strict=True) if fits]
        tx.execute(query("changes", "add_read_values"), {"sources": sources, "stored": stored.to_pylist()})
    tx.execute(query("changes", "as_read"))


def _pages(tx: Cursor, table: str, expression: str) -> Iterator[list[str]]:
    with tx.connection.cursor(name="texts_of_a_column") as values:
        values.itersize = PAGE
        values.execute(f"SELECT DISTINCT {expression} FROM {table} WHERE {expression} IS NOT NULL")
        while page := values.fetchmany(PAGE):
            yield [text for (text,) in page]
