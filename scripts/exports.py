"""Writes generated rows the way FastFeast's own exports look, and keeps the manifest and metadata.json."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from json.encoder import encode_basestring_ascii
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.faults import Columns, Sheet

METADATA = "metadata.json"
SLICE_ROWS = 50_000  # rows that are text in memory at a time


@dataclass(frozen=True)
class Folders:
    """The pipeline's input folders; `root` is where the manifest's paths start."""

    root: Path
    master: Path
    batch: Path
    stream: Path


@dataclass(frozen=True)
class Metadata:
    """What later files must know of the master: the highest ids, its seed and sizes, and the ids it lost.

    The rows of a batch are worked out again from `seed`; `refused` holds the ids whose only row is bad, and
    `first_batch` is the day of the first batch, from which on people change.
    """

    max_customer_id: int
    max_driver_id: int
    seed: int
    sizes: dict[str, int]
    refused: dict[str, list[int]] = field(default_factory=dict)
    first_batch: str | None = None

    @property
    def highest(self) -> dict[str, int]:
        """The highest id of each table of people."""
        return {**self.sizes, "customers": self.max_customer_id, "drivers": self.max_driver_id}

    def days_at(self, day: dt.date) -> int:
        """Days from the first batch to `day`; -1 before there is one."""
        return (day - dt.date.fromisoformat(self.first_batch)).days if self.first_batch else -1

    @classmethod
    def read(cls, folders: Folders) -> Metadata:
        """Raises FileNotFoundError when there is no master, ValueError when another tool wrote its metadata."""
        path = folders.master / METADATA
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, json.JSONDecodeError):
            raise ValueError(f"{path} was not written by generate_master_data.py") from None

    def write(self, folders: Folders) -> None:
        write_file(folders.master / METADATA, [json.dumps(asdict(self), indent=2)])


def write_file(path: Path, pieces: Iterable[str]) -> str:
    """Write under a name that the pipeline ignores, then rename, so that nobody sees half a file.

    Returns the MD5 of the content, in hex.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.md5(usedforsecurity=False)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            for piece in pieces:
                data = piece.encode()
                digest.update(data)
                file.write(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return digest.hexdigest()


def write_sheet(path: Path, sheet: Sheet) -> dict[str, Any]:
    """Write a sheet as the CSV or JSON that `path` ends with; returns the file's entry of the manifest."""
    pieces = csv_text(sheet.columns) if path.suffix == ".csv" else json_text(sheet.columns)
    return {**sheet.expected(), "md5": write_file(path, pieces)}


def merge_manifest(path: Path | None, folders: Folders, entries: dict[Path, dict[str, Any]]) -> None:
    """Add what the files should yield to the manifest at `path`, by their paths from the root."""
    if path is None:
        return
    manifest = read_manifest(path)
    manifest |= {_below_root(file, folders): entry for file, entry in entries.items()}
    write_file(path, [json.dumps(dict(sorted(manifest.items())), indent=2) + "\n"])


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest so far; empty when there is none."""
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return manifest


def manifest_entry(path: Path, folders: Folders, file: Path) -> dict[str, Any] | None:
    entry: dict[str, Any] | None = read_manifest(path).get(_below_root(file, folders))
    return entry


def _below_root(file: Path, folders: Folders) -> str:
    return file.relative_to(folders.root).as_posix() if file.is_relative_to(folders.root) else str(file)


def csv_text(columns: Columns, *, header: bool = True) -> Iterator[str]:
    """CSV as pandas writes it: nulls are empty, whole numbers get `.0` in a column with gaps."""
    if header:
        yield ",".join(columns) + "\n"
    for part in _slices(columns):
        cells = [_csv_cells(values) for values in part]
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(zip(*cells, strict=True))
        yield buffer.getvalue()


def json_text(columns: Columns) -> Iterator[str]:
    """A JSON array as `json.dump(records, indent=2)` writes it: bare NaN, null, `464.0` beside gaps."""
    record = "  {\n" + ",\n".join(f'    "{name}": %s' for name in columns) + "\n  }"
    before = "[\n"
    for part in _slices(columns):
        tokens = [_json_tokens(values) for values in part]
        yield before + ",\n".join([record % row for row in zip(*tokens, strict=True)])
        before = ",\n"
    yield "[]" if before == "[\n" else "\n]"


def _slices(columns: Columns) -> Iterator[list[npt.NDArray[Any]]]:
    """The columns, some rows at a time, so that the text of a large file is never whole in memory."""
    arrays = [_as_pandas_would(values) for values in columns.values()]
    for start in range(0, len(arrays[0]), SLICE_ROWS):
        yield [values[start : start + SLICE_ROWS] for values in arrays]


def _as_pandas_would(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Mixed values that are all numbers or null become one numeric column: floats when there are gaps."""
    if values.dtype != object:
        return values
    kinds = set(map(type, values))
    if kinds == {int}:
        return values.astype(np.int64)
    return values.astype(np.float64) if kinds & {int, float} and kinds <= {int, float, NoneType} else values


def _csv_cells(values: npt.NDArray[Any]) -> list[Any]:
    if values.dtype.kind in "fO":
        return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  (NaN)
    cells: list[Any] = values.tolist()
    return cells


def _json_float(value: float) -> str:
    return repr(value) if value == value else "NaN"  # noqa: PLR0124


_JSON_TOKEN: dict[type, Callable[[Any], str]] = {  # json.dumps, without the cost of a call for each cell
    str: encode_basestring_ascii,
    int: repr,
    float: _json_float,
    bool: lambda value: "true" if value else "false",
    NoneType: lambda _: "null",
}


def _json_tokens(values: npt.NDArray[Any]) -> list[str]:
    return [_JSON_TOKEN[type(value)](value) for value in values.tolist()]
