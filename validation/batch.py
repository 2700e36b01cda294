"""A chunk of rows on its way through the stages, with every reason against each of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.file_spec import FileSpec
from config.key import FILE_ID, FILE_ROW, ForeignKey
from config.model import Stage
from validation.columns import changed, rows_of

__all__ = ["FILE_ID", "FILE_ROW"]

# Columns of rows on their way, beside those of the file: no header has a NUL in its names.
ROW, MAY_REPEAT = "\0row", "\0may_repeat"
_ORDER = {stage: position for position, stage in enumerate(Stage)}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is refused. `column` is '' when the row as a whole is."""

    stage: Stage
    rule: str
    column: str


class MissingParent(NamedTuple):
    """What an orphan waits for: the foreign key, by its columns, and the parent's key as text.

    In a table that refers to itself, `own` is what other rows call this one, by each of FileSpec.own_keys.
    """

    column: str
    key: str
    own: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refused row: its 1-based number in the file, every reason, and its text by column.

    The first reason's stage is the verdict. `missing` are the parents that an orphan lacks.
    """

    number: int
    reasons: tuple[Reason, ...]
    raw: dict[str, Any]
    missing: tuple[MissingParent, ...] = ()

    @property
    def stage(self) -> Stage:
        return self.reasons[0].stage


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows as read: `numbers` are their 1-based ordinals in the file (int64), `columns` their text (Arrow strings,
    all of one length; of typed values, Columns write it when asked); `malformed` are records that could not be
    split into columns.

    `new` are names in the file, so far, that are no columns of the schema; `lacks` the columns that it has not.
    `no_array`: rows are elements of arrays, and no record of the file has one.
    """

    numbers: np.ndarray
    columns: Mapping[str, pa.Array]
    malformed: tuple[Rejection, ...] = ()
    new: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    no_array: bool = False

    def ordered_by(self, names: Sequence[str]) -> Chunk:
        """The same rows in the order of columns of text, trimmed; those with one text stay in the file's order.

        Keys that come in order go into an index at half the cost.
        """
        texts = {name: pc.utf8_trim_whitespace(self.columns[name]) for name in names}
        if len(texts) == 1:
            order = pc.sort_indices(texts[names[0]])  # stable, as the other is
        else:
            order = pc.sort_indices(pa.table(texts), sort_keys=[(name, "ascending") for name in names])
        columns = changed(self.columns, lambda values: values.take(order))
        return Chunk(self.numbers[order.to_numpy()], columns, self.malformed)


@dataclass
class Batch:
    """A chunk with its readings. `values` are typed for the rules, `output` is what is loaded.

    `may_repeat` (boolean, one a row) is of a chunk among many: an earlier one may have the key of the row.
    `file_rows` are the rows' numbers in their files, where the chunk's numbers are others. `key` is what
    key_values.key_of() has made of the columns of the key, for who asks next.
    """

    spec: FileSpec
    chunk: Chunk
    values: dict[str, pa.Array] = field(default_factory=dict)
    output: dict[str, pa.Array] = field(default_factory=dict)
    may_repeat: np.ndarray | None = None
    file_rows: np.ndarray | None = None
    key: pa.Array | None = None
    deletes: np.ndarray | None = None  # boolean, one a row: those that tell to delete, where some may
    _against: dict[int, list[Reason]] = field(default_factory=dict)  # by position in the chunk
    _missing: dict[int, list[MissingParent]] = field(default_factory=dict)
    # Boolean, one a row: rows that are loaded without their parent, by foreign key
    cut_loose: dict[ForeignKey, np.ndarray] = field(default_factory=dict)  # the key is null now
    asking: dict[ForeignKey, np.ndarray] = field(default_factory=dict)  # for a placeholder in the parent's table
    _unfit: dict[str, np.ndarray] = field(default_factory=dict)  # by column: refused at stage schema

    def reject(self, mask: np.ndarray, stage: Stage, rule: str, column: str = "") -> None:
        """Note a reason against the rows where `mask` (boolean, one a row) is true.

        A value that its schema refuses is not judged by its column's rules too.
        """
        unfit = self._unfit.get(column)
        if stage is Stage.SCHEMA:
            self._unfit[column] = mask if unfit is None else unfit | mask
        elif unfit is not None:
            mask = mask & ~unfit
        for position in np.flatnonzero(mask).tolist():
            self._against.setdefault(position, []).append(Reason(stage, rule, column))

    def held(self, rule: str) -> np.ndarray:
        """Boolean mask of the rows that `rule` is held against, and nothing else."""
        mask = np.zeros(len(self.chunk.numbers), dtype=bool)
        mask[[p for p, reasons in self._against.items() if [reason.rule for reason in reasons] == [rule]]] = True
        return mask

    def withdraw(self, mask: np.ndarray, rule: str) -> None:
        """Hold `rule` no longer against the rows where `mask` is true."""
        for position in np.flatnonzero(mask).tolist():
            left = [reason for reason in self._against.pop(position, []) if reason.rule != rule]
            if left:
                self._against[position] = left

    def exempt(self, mask: np.ndarray, needed: Collection[str]) -> None:
        """Hold nothing against the rows where `mask` is true, but what is wrong with the columns `needed`."""
        for position in np.flatnonzero(mask).tolist():
            left = [r for r in self._against.pop(position, []) if r.column in needed or not r.column]
            if left:
                self._against[position] = left

    def note_missing(self, position: int, parent: MissingParent) -> None:
        """Note which parent the row at `position` waits for."""
        self._missing.setdefault(position, []).append(parent)

    def cut(self, key: ForeignKey, mask: np.ndarray) -> None:
        """Let the rows where `mask` is true refer to nothing by `key`."""
        for name in key.key:
            for held in (self.values, self.output):
                values = held[name]
                held[name] = pc.if_else(pa.array(mask), pa.scalar(None, values.type), values)
        self.cut_loose[key] = self.cut_loose.get(key, False) | mask

    def ask(self, key: ForeignKey, mask: np.ndarray) -> None:
        """Let the rows where `mask` is true have placeholders as their parents."""
        self.asking[key] = self.asking.get(key, False) | mask

    @property
    def records(self) -> int:
        """How many records the chunk has, malformed ones among them."""
        return len(self.chunk.numbers) + len(self.chunk.malformed)

    @property
    def numbers_in_file(self) -> np.ndarray:
        """The number of each row in its file."""
        return self.chunk.numbers if self.file_rows is None else self.file_rows

    @property
    def good(self) -> np.ndarray:
        """Boolean mask of the rows that nothing is held against so far."""
        mask = np.ones(len(self.chunk.numbers), dtype=bool)
        mask[list(self._against)] = False
        return mask

    def rows(self, wanted: np.ndarray | None = None) -> pa.Table:
        """The good rows, or those `wanted` (boolean, one a row).

        ROW (number in the chunk), the output columns, named as in the source; MAY_REPEAT, if that is known;
        FILE_ROW (number in the file) where that is of the key.
        """
        table = pa.table({ROW: self.chunk.numbers, **self.output})
        if self.spec.schema.primary_key.is_row:
            table = table.append_column(FILE_ROW, pa.array(self.numbers_in_file))
        if self.may_repeat is not None:
            table = table.append_column(MAY_REPEAT, pa.array(self.may_repeat))
        chosen = self.good if wanted is None else wanted
        return table if chosen.all() else table.filter(pa.array(chosen))

    def rejections(self) -> list[Rejection]:
        """The refused rows, malformed ones among them, by row number; reasons in the order of the stages."""
        positions = sorted(self._against)
        raw = rows_of(self.chunk.columns, positions)
        refused = [
            Rejection(
                number=int(self.chunk.numbers[position]),
                reasons=tuple(sorted(self._against[position], key=lambda reason: _ORDER[reason.stage])),
                raw=raw_row,
                missing=tuple(self._missing.get(position, ())),
            )
            for position, raw_row in zip(positions, raw, strict=True)
        ]
        return sorted([*self.chunk.malformed, *refused], key=lambda rejection: rejection.number)
