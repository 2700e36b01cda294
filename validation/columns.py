"""A chunk's columns of text, of which those whose values have a type in their file are written when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

Change = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """Values as their file has them, and how they are written as text."""

    values: pa.Array
    as_text: Change


Part: TypeAlias = "pa.Array | TypedColumn"


class Columns(Mapping[str, pa.Array]):
    """The text of columns, by name. Hardly a row needs that of typed values: they can be read as they are."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = dict(parts)
        self._texts: dict[str, pa.Array] = {}

    def __getitem__(self, name: str) -> pa.Array:
        if name not in self._texts:
            self._texts[name] = text_of(self._parts[name])
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def parts(self) -> dict[str, Part]:
        """The columns as they are, text or typed."""
        return dict(self._parts)


def text_of(part: Part) -> pa.Array:
    """The text of a column."""
    return part.as_text(part.values) if isinstance(part, TypedColumn) else part


def parts_of(columns: Mapping[str, pa.Array]) -> Mapping[str, Part]:
    """`columns` as they are, text or typed."""
    return columns.parts if isinstance(columns, Columns) else columns


def rows_of(columns: Mapping[str, pa.Array], positions: Sequence[int]) -> list[dict[str, str | None]]:
    """The text of some rows by column."""
    wanted = pa.array(positions, pa.int64())
    rows: list[dict[str, str | None]] = pa.table(
        dict(changed(columns, lambda part: part.take(wanted)))
    ).to_pylist()
    return rows


def changed(columns: Mapping[str, pa.Array], change: Change) -> Columns:
    """`columns` after `change`, which chooses rows."""
    return Columns(
        {
            name: TypedColumn(change(part.values), part.as_text) if isinstance(part, TypedColumn) else change(part)
            for name, part in parts_of(columns).items()
        }
    )
