"""What a column holds where the file gives no value: its `default`, which is typed as the column is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.origins import Origin, text_of
from config.schema import Column
from config.settings import PipelineConfig
from config.sql_types import INT_LIMITS
from validation.arrays import as_arrays
from validation.conversions import Converted, convert
from validation.json_values import jsonb_masks


def filled(column: Column, read: Converted) -> Converted:
    """`read` with the default in place of what is null; an unreadable value stays one."""
    if column.default is None:
        return read
    none = pc.and_not(pc.is_null(read.values), read.unreadable)
    if read.ambiguous is not None:
        none = pc.and_not(none, read.ambiguous)
    if not pc.any(none).as_py():
        return read
    default = _read(column, _written(column, column.default))
    return read._replace(
        values=pc.if_else(none, default.values[0], read.values),
        text=pc.if_else(none, default.text[0], read.text),
    )


def _read(column: Column, text: str | None) -> Converted:
    """With a point in numbers and in ISO 8601, whatever the file's dialect."""
    return convert(column.model_copy(update={"format": ()}), pa.array([text], pa.string()))


def _written(column: Column, value: Any) -> str | None:
    return json.dumps(value, ensure_ascii=False, default=str) if column.dtype is Dtype.JSON else text_of(value)


def problems(config: PipelineConfig) -> Iterator[str]:
    """What is wrong with `default` and `value` of the columns, each with its key's path."""
    for spec in {spec.name: spec for spec in config.files}.values():
        for column in spec.schema.columns:
            where = f"schemas.{spec.name}.columns.{column.name}"
            if column.default is not None and (problem := _problem(column, column.default)):
                yield f"{where}.default: {problem}"
            if column.value is not None and (problem := _origin_problem(column, column.value)):
                yield f"{where}.value.{problem}"


def _origin_problem(column: Column, origin: Origin) -> str | None:
    if origin.path is not None or origin.is_of_record:
        return None  # the files will show what it takes
    if origin.constant is not None:
        problem = _problem(column, origin.constant)
        return f"constant: {problem}" if problem else None
    sample = {"date": "2026-01-31", "hour": "7"}.get(origin.file or "", "name")
    fits = column.dtype is Dtype.STR or (sample != "name" and not _read(column, sample).unreadable[0].as_py())
    kinds = {"date": "date, datetime or str", "hour": "int or str"}.get(origin.file or "", "str")
    return None if fits else f"file: {origin.file} goes with dtype {kinds}, not with {column.dtype.value}"


def _problem(column: Column, value: Any) -> str | None:
    """Why the column can't hold the value, or None."""
    if column.dtype is Dtype.STR and not isinstance(value, str):
        return f"{value!r} is no text; write it in quotes"
    if column.dtype is not Dtype.JSON and isinstance(value, list | dict):
        return f"{value!r} goes with dtype json"
    read = _read(column, _written(column, value))
    if read.unreadable[0].as_py() or read.values[0].as_py() is None:
        return f"{value!r} is no {column.dtype.value}"
    if column.allowed_values is not None and value not in column.allowed_values:
        return f"{value!r} is not one of allowed_values"
    return None if _fits(column, read) else f"{value!r} does not fit {column.sql}"


def _fits(column: Column, read: Converted) -> bool:
    if read.beyond is not None and read.beyond[0].as_py():
        return False
    if column.dtype is Dtype.STR:
        text = read.text[0].as_py()
        return "\0" not in text and (column.sql.length is None or len(text) <= column.sql.length)
    if column.dtype is Dtype.INT:
        limit = INT_LIMITS[column.sql.base]
        return bool(-limit - 1 <= read.values[0].as_py() <= limit)
    if column.sql.base.endswith("[]"):
        return not any(mask.any() for mask in as_arrays(read.values, column.sql)[1].values())
    return column.sql.base != "jsonb" or not any(mask.any() for mask in jsonb_masks(read.values).values())
