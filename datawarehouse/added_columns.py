"""Columns of text that tables got for new columns of files (`new_columns: add`); the YAML does not name them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.drift import ChangeKind
from config.errors import FileRejected, PipelineError, WarehouseUnfit
from config.file_spec import FileSpec
from config.model import Dtype
from config.schema import EXTRA, Column
from config.settings import PipelineConfig
from config.table_names import stored_name_problems
from datawarehouse.db_connection import Warehouse
from datawarehouse.queries import query
from datawarehouse.rights import current_role
from datawarehouse.schema.catalog import Found, columns_there
from datawarehouse.schema.tables import build_metadata
from utils.logger import get_logger
from validation.drift import told_name
from validation.extra import LEFT_OUT, texts_of

logger = get_logger(__name__)

MOST_ADDED = 200  # to one table: names without an end are values


class ColumnsToAdd(PipelineError):
    """Rows bring values of columns that their table has not got yet: add these, and repeat the transaction."""

    def __init__(self, spec: FileSpec, names: Sequence[str]) -> None:
        super().__init__(f"{spec.table} lacks {len(names)} columns that are to be added")
        self.spec = spec
        self.names = tuple(names)


def with_added(tx: Cursor, spec: FileSpec) -> FileSpec:
    """`spec` as its table is: without EXTRA where that is not stored, with the columns that were added."""
    tx.execute(query("drift", "added"), {"logical_name": spec.name, "table": spec.table})
    known = {column.target for column in spec.schema.columns}
    added = [
        Column(
            name=f"{LEFT_OUT}{number}",
            dtype=Dtype.STR,
            stored_as=name,
            personal=any(column.pii or column.personal for column in spec.schema.columns),
        )
        for number, (name,) in enumerate(tx.fetchall())
        if name not in known
    ]
    return replace(spec, schema=spec.schema.with_columns((*spec.stored, *added)))


def spread(rows: pa.Table, spec: FileSpec, grown: FileSpec) -> pa.Table:
    """The values of EXTRA in the columns that were added. Raises ColumnsToAdd where one has no column yet."""
    extras = [texts_of(extra) for extra in rows.column(EXTRA).to_pylist()]
    columns = {column.target: column.name for column in grown.schema.columns if column.name.startswith(LEFT_OUT)}
    names = dict.fromkeys(name for values in extras for name in values)
    if lacking := [name for name in names if name not in columns]:
        raise ColumnsToAdd(spec, lacking)
    for target, name in columns.items():
        texts = pa.array([values.get(target) for values in extras], pa.string())
        rows = rows.append_column(name, texts)
    return rows.drop_columns([EXTRA])


def add_columns(warehouse: Warehouse, config: PipelineConfig, lacking: ColumnsToAdd) -> None:
    """Add them, in a short transaction: nobody else gets at the table meanwhile.

    Raises FileRejected where a column can't be called so, WarehouseUnfit where this role may not do that,
    WarehouseUnavailable while others load for long.
    """
    spec = lacking.spec
    with warehouse.transaction() as tx:
        there = columns_there(tx).get(spec.table, {})
        own = {column.name.lower() for column in build_metadata(config).tables[spec.table].columns}
        tx.execute(query("drift", "added"), {"logical_name": spec.name, "table": spec.table})
        count = len(tx.fetchall()) + len(lacking.names)
        _insist_on_names(spec, lacking.names, there, own, count)
        new = [name for name in lacking.names if name not in there]
        tables = [spec.table, *spec.history_tables]
        statements = [
            sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} text").format(
                sql.Identifier(table), sql.Identifier(name)
            )
            for table in tables
            for name in new
        ]
        if statements:
            _insist_on_right(tx, spec, statements)
        tx.execute(query("drift", "may_wait"))
        for statement in statements:
            tx.execute(statement)
        parameters: Mapping[str, Any] = {
            "logical_name": spec.name,
            "columns": list(lacking.names),
            "kind": ChangeKind.ADDED.value,
        }
        tx.execute(query("drift", "note_added"), parameters)
    for name in new:
        logger.info(f"[drift] added {spec.table}.{told_name(name)}", extra={"table": spec.table})


def _insist_on_names(
    spec: FileSpec, names: Sequence[str], there: Mapping[str, Found], own: Collection[str], count: int
) -> None:
    """Raise FileRejected where new columns can't be columns of the table."""
    problems = []
    for name in names:
        problems += [f"{told_name(name)}: {problem}" for problem in stored_name_problems(name)]
        found = there.get(name)
        if name.lower() in own or (found is None and name.lower() in map(str.lower, there)):
            problems.append(f"{told_name(name)}: the table has a column of that name")
        elif found is not None and (found.sql_type != "text" or found.not_null):
            problems.append(f"{told_name(name)}: the table has such a column, of type {found.sql_type}")
    if count > MOST_ADDED:
        problems.append(f"{count} columns would have been added, and no more than {MOST_ADDED} are")
    if problems:
        raise FileRejected(
            f"new columns can't be added to {spec.table}: {'; '.join(problems)}. Name them in the YAML (stored_as "
            "gives a column another name in the table), or say new_columns: keep"
        )


def _insist_on_right(tx: Cursor, spec: FileSpec, statements: Sequence[sql.Composed]) -> None:
    """Raise WarehouseUnfit where this role may not change the table; the file waits until that is mended."""
    tx.execute(query("rights", "owned"))
    if spec.table not in {row[0] for row in tx}:
        told = "; ".join(statement.as_string(tx) for statement in statements)
        raise WarehouseUnfit(
            f"the role {current_role(tx)} may not add to {spec.table} what files have (new_columns: add); "
            f"as the table's owner run: {told}; or say new_columns: keep"
        )
