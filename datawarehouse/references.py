"""Who refers to the rows of a table: the types, and the condition in SQL."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg2 import sql

from config.file_spec import FileSpec, foreign_key_columns
from config.key import ForeignKey
from config.settings import PipelineConfig
from datawarehouse import key_sql


def children(config: PipelineConfig, parent: FileSpec) -> Iterator[tuple[FileSpec, ForeignKey]]:
    """The types that refer to the table of `parent`, one for each table, and by which foreign keys."""
    for child in {spec.table: spec for spec in config.files}.values():
        for key in child.foreign_keys:
            if config.by_logical_name[key.parent].table == parent.table:
                yield child, key


def refers(child: FileSpec, key: ForeignKey, parent: FileSpec) -> sql.Composed:
    """Does the row `c` of the child refer to the row `t` of the parent?"""
    return key_sql.pairs(
        (sql.Identifier("c", mine.target), sql.Identifier("t", its.target))
        for mine, its in foreign_key_columns(child, key, parent)
    )
