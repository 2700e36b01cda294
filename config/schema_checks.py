"""Checks of a schema by itself: its columns' names, types and options."""

from __future__ import annotations

from collections.abc import Iterator

from config.date_formats import format_problem
from config.keys_check import primary_key_problems
from config.model import TIMES, Dtype
from config.origin_checks import origin_problems
from config.schema import Column, Schema
from config.settings import SchemaConfig
from config.sql_types import SQL_TYPES_OF_DTYPE
from config.table_names import MALFORMED_COLUMN, is_text, stored_name_problems


def read_schema(name: str, config: SchemaConfig, problems: list[str]) -> Schema:
    """The schema `name` as the YAML gives it; what is wrong with it goes to `problems`."""
    schema = Schema(name=name, primary_key=config.primary_key, columns=config.columns, checks=config.checks)
    where = f"schemas.{name}"
    for kind, names in (
        ("column", [column.name for column in schema.columns]),
        ("stored column", [column.target.lower() for column in schema.columns]),
    ):
        twice = sorted({n for n in names if names.count(n) > 1})
        way_out = "" if kind == "column" else "; capitals make no difference there: give one of them a stored_as"
        problems += [f"{where}.columns: {kind} {name!r} is given twice{way_out}" for name in twice]
    problems += [f"{where}.primary_key: {problem}" for problem in primary_key_problems(schema)]
    for column in schema.columns:
        problems.extend(f"{where}.columns.{column.name}: {problem}" for problem in _column_problems(column))
    problems.extend(f"{where}.{problem}" for problem in origin_problems(schema))
    return schema


def _column_problems(column: Column) -> Iterator[str]:
    for problem in stored_name_problems(column.target):
        yield f"{problem}; give it another name in the table: stored_as"
    if column.name == MALFORMED_COLUMN:
        yield f"{column.name!r} is what quarantine calls a record that can't be split; it can't be a column"
    if "\0" in column.name or not is_text(column.name):
        yield "a column's name is text, without the character NUL"
    if column.allowed_values and column.dtype is not Dtype.STR:
        yield "allowed_values goes with dtype str"
    if column.pii and column.dtype is not Dtype.STR:
        yield "pii goes with dtype str"
    if column.personal and not column.nullable and column.dtype is not Dtype.STR:
        yield "personal and not nullable goes with dtype str: no other value can say that it was erased"
    try:
        sql = column.sql
    except ValueError as error:
        yield f"sql_type {error}"
        return
    if sql.base not in SQL_TYPES_OF_DTYPE[column.dtype]:
        yield f"sql_type {sql} does not hold dtype {column.dtype.value}"
    if column.round and sql.precision is None and column.dtype not in {Dtype.DATETIME, Dtype.TIME}:
        yield "round goes with sql_type numeric(p,s), or with dtype datetime or time"
    if column.format and column.dtype not in TIMES:
        yield "format goes with dtype datetime, date or time"
    for text in column.format if column.dtype in TIMES else ():
        if wrong := format_problem(text, of_time=column.dtype is Dtype.TIME):
            yield f"format: {text!r} {wrong}"
