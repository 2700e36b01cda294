"""A chunk's columns of text, of which those whose values have a type in their file are written when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
        part = self._parts[name]
        if not isinstance(part, TypedColumn):
            return part
        if name not in self._texts:
            self._texts[name] = part.as_text(part.values)
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def parts(self) -> dict[str, Part]:
        """The columns as they are, text or typed."""
        return dict(self._parts)


def parts_of(columns: Mapping[str, pa.Array]) -> Mapping[str, Part]:
    """`columns` as they are, text or typed."""
    return columns.parts if isinstance(columns, Columns) else columns


def changed(columns: Mapping[str, pa.Array], change: Change) -> Columns:
    """`columns` after `change`, which chooses rows."""
    return Columns(
        {
            name: TypedColumn(change(part.values), part.as_text) if isinstance(part, TypedColumn) else change(part)
            for name, part in parts_of(columns).items()
        }
    )
