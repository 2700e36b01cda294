"""Orphans of a table that refers to itself: which of them find each other, or a parent that has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.quarantine.waits import has_come
from datawarehouse.queries import query
from validation.relations import Links, families, without_parent

RowId = tuple[int, int]  # file id, row number
MOST_ROWS = 200_000  # looked at together; what is beyond waits for the next look


def waited_for(tx: Cursor, spec: FileSpec, file_ids: list[int] | None) -> list[RowId]:
    """Orphans of `spec`, or of some files, for whom other rows of their table wait: a circle has no others."""
    statement = sql.SQL(query("quarantine", "waited_for")).format(
        child=sql.Literal(spec.table), file_ids=sql.Literal(file_ids), limit=sql.Literal(MOST_ROWS)
    )
    tx.execute(statement)
    return [(file_id, number) for file_id, number in tx.fetchall()]


def with_related(tx: Cursor, spec: FileSpec, config: PipelineConfig, rows: Sequence[RowId]) -> list[list[RowId]]:
    """Of `rows` and all that wait for them, those that can be loaded by now, in families.

    Each of them has its parents in their tables, or in its family, where they come before it unless they refer to
    each other.
    """
    if not rows:
        return []
    tx.execute(_below(tx, spec, config, rows))
    waits = tx.fetchall()
    ids = {row: position for position, row in enumerate(dict.fromkeys((wait[0], wait[1]) for wait in waits))}
    free = np.ones(len(ids), bool)  # of parents in other tables that are missing
    own: list[list[str | None]] = [[None] * len(ids) for _ in spec.own_keys]
    parents: dict[str, list[str | None]] = {key.label: [None] * len(ids) for key in spec.self_references}
    for file_id, number, label, parent, own_keys, come in waits:
        position = ids[file_id, number]
        for values, value in zip(own, own_keys or (), strict=False):  # the YAML may have had others
            values[position] = value
        if come:
            continue
        if label in parents:
            parents[label][position] = parent
        else:
            free[position] = False
    links = [
        _links(parents[key.label], own[spec.own_keys.index(key.to or spec.schema.primary_key)])
        for key in spec.self_references
    ]
    found = free & ~np.logical_or.reduce(without_parent(links, free))
    of_position = list(ids)
    return [[of_position[position] for position in family] for family in families(links, found)]


def pages(families: Sequence[Sequence[RowId]], most: int) -> Iterator[list[RowId]]:
    """The rows of the families, `most` at a time; those of one family together, as far as they are so few."""
    page: list[RowId] = []
    for family in families:
        if page and len(page) + len(family) > most:
            yield page
            page = []
        page += family
        while len(page) > most:
            yield page[:most]
            page = page[most:]
    if page:
        yield page


def _links(parents: list[str | None], own: list[str | None]) -> Links:
    asks = np.array([parent is not None for parent in parents], bool)
    return Links.of(pa.array(parents, pa.string()), pa.array(own, pa.string()), asks)


def _below(tx: Cursor, spec: FileSpec, config: PipelineConfig, rows: Sequence[RowId]) -> sql.Composed:
    parents = {
        config.by_logical_name[key.parent].table: config.by_logical_name[key.parent] for key in spec.foreign_keys
    }
    come = [
        sql.SQL(query("quarantine", "of_parent")).format(
            parent_table=sql.Literal(table), has_come=has_come(tx, spec, parent, config)
        )
        for table, parent in parents.items()
    ]
    file_ids, row_numbers = map(list, zip(*rows, strict=True))
    return sql.SQL(query("quarantine", "below")).format(
        child=sql.Literal(spec.table),
        file_ids=sql.Literal(file_ids),
        row_numbers=sql.Literal(row_numbers),
        has_come=sql.SQL(" OR ").join(come),
        limit=sql.Literal(MOST_ROWS),
    )
