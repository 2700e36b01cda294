"""Corrects in the tables what a file brought that was loaded before it was whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import DataError, PipelineError
from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse import key_sql
from datawarehouse.db_errors import translated
from datawarehouse.file_order import FileTime
from datawarehouse.history_repair import HistoryRepair
from datawarehouse.placeholders import Unneeded
from datawarehouse.quarantine.desk import discard
from datawarehouse.queries import query
from datawarehouse.recount import missing_rows, settle_others
from datawarehouse.references import children, refers
from datawarehouse.schema.history_tables import is_known
from datawarehouse.versions import MovedVersions

WHO = "pipeline"


class NotCorrected(PipelineError):
    """What was cut can't be corrected after all: roll back, and load the file without a correction."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was read: its text by column, its key as it is stored, and whether it is good so far."""

    number: int
    text: dict[str, Any]
    key: tuple[Any, ...] = ()
    good: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """A record of the earlier file, and what the whole file has in its place, if anything."""

    record: Record
    whole: Record | None

    @property
    def keeps_key(self) -> bool:
        """Will the whole file's record have the same key, as far as can be said before it is loaded?"""
        return self.whole is not None and self.whole.good and self.whole.key == self.record.key


@dataclass
class Correction:
    """What is done about the cut records of an earlier file; `told` is for the alert, without values."""

    earlier_id: int | None = None
    corrected: list[int] = field(default_factory=list)  # record numbers
    left: dict[int, str] = field(default_factory=dict)  # record number: why
    needed: list[tuple[Any, ...]] = field(default_factory=list)  # keys that the whole file has to bring

    @property
    def told(self) -> str:
        """What an operator has to know; '' when there was nothing to do."""
        if not self.corrected and not self.left:
            return ""
        parts = [f"it continues file {self.earlier_id}, which was loaded before it was whole"]
        if self.corrected:
            parts.append(f"corrected: record {', '.join(map(str, self.corrected))}")
        parts += [f"record {number} is left as it was: {why}" for number, why in self.left.items()]
        if self.left:
            parts.append(f"see `files {self.earlier_id}`, and `undo` and `reprocess`")
        return "; ".join(parts)


class Corrector:
    """Works in the transaction `tx` that is about to load the whole file, after its loader has set it up."""

    def __init__(
        self,
        tx: Cursor,
        config: PipelineConfig,
        spec: FileSpec,
        earlier_id: int,
        whole: FileTime,
        *,
        has_updates: bool,
    ) -> None:
        """`whole` is the time of the whole file, `has_updates` tells of the earlier one."""
        self._tx = tx
        self._config = config
        self._spec = spec
        self._whole = whole
        self._has_updates = has_updates
        self._moved = MovedVersions(tx, spec, config)
        self.result = Correction(earlier_id)

    def correct(self, cuts: Iterable[Cut], *, only_tell: bool = False) -> Correction:
        """Take back what the cut records brought, so that the whole file's come in their place."""
        self._tx.execute(query("continuation", "may"), {"table": self._spec.table})
        may = bool((self._tx.fetchone() or (False,))[0])
        for cut in cuts:
            number = cut.record.number
            if not may:
                why: str | None = "this database role may not delete"
            else:
                why = "what it brought could not be exchanged" if only_tell else self._correct(cut)
            if why is None:
                self.result.corrected.append(number)
            elif why:
                self.result.left[number] = why
        return self.result

    def verify(self) -> None:
        """Once the whole file is loaded: bind rows to the versions that there are now.

        Raises NotCorrected when it lacks a row that others need.
        """
        for key in self.result.needed:
            if not self._is("is_there", key):
                raise NotCorrected("a row on which others depend did not come again")
        self._moved.rebind()

    def _correct(self, cut: Cut) -> str | None:
        """None: done; else why not, '' when there is nothing to correct."""
        number, key = cut.record.number, cut.record.key
        self._tx.execute(query("continuation", "refused"), self._names | {"number": number})
        if refused := self._tx.fetchall():
            return self._discard(refused)
        if not cut.record.good:
            return ""
        if self._spec.keeps_history:
            return self._withdraw(cut)
        return self._exchange(cut) if self._is("is_of_file", key) else ""

    def _exchange(self, cut: Cut) -> str | None:
        """Take back the row of the record, which is in the table as the earlier file had it."""
        key = cut.record.key
        if self._spec.keep.replaces and (self._has_updates or cut.keeps_key):
            return self._make_older(cut)
        depends = any(self._dependants(key))
        if depends and not cut.keeps_key:
            return "other rows depend on it"
        if not self._take_back(key):
            return "other rows depend on it"
        self._tx.execute(query("continuation", "taken_back"), self._names)
        if depends:
            self.result.needed.append(key)
        return None

    def _discard(self, refused: list[tuple[int, str | None]]) -> str | None:
        open_ids = [quarantine_id for quarantine_id, resolution in refused if resolution is None]
        if discard(self._tx, open_ids, "its file was not whole; it came again as a whole", WHO):
            return None
        loaded = any(resolution in {"loaded", "replayed"} for _, resolution in refused)
        return "it was loaded out of the quarantine" if loaded else ""

    def _make_older(self, cut: Cut) -> str | None:
        newer = self._spec.newer_by or ""
        if not newer and cut.keeps_key:
            self._tx.execute(query("continuation", "make_earlier"), self._names | self._whole._asdict())
            self.result.needed.append(cut.record.key)
            return None
        fits = cut.keeps_key and cut.whole is not None and cut.whole.text.get(newer)
        if not fits or self._spec.schema.by_name[newer].target == self._spec.partition_column:
            return "it may have replaced a row of an earlier file, which is not kept"
        column = sql.Identifier(self._spec.schema.by_name[newer].target)
        self._execute("make_older", cut.record.key, newer=column)
        self.result.needed.append(cut.record.key)
        return None

    def _withdraw(self, cut: Cut) -> str | None:
        """Take back what the record said to history: its row is again as others have it, or goes."""
        key, earlier_id = cut.record.key, self._names["file_id"]
        repair = HistoryRepair(self._tx, self._spec)
        if not repair.has_said(earlier_id, key):
            return ""
        if not is_known(self._tx, self._spec, earlier_id):
            return "it may have replaced a row of an earlier file, which is not kept"
        missing = missing_rows(self._tx, self._spec.table)
        was_in_force = self._is("is_of_file", key)
        self._tx.execute("SAVEPOINT withdrawal")
        restored = repair.withdraw(earlier_id, key)
        if was_in_force and not restored:  # nobody else has it
            depends = any(self._dependants(key))
            if (depends and not cut.keeps_key) or not self._take_back(key):
                self._tx.execute("ROLLBACK TO SAVEPOINT withdrawal")
                return "other rows depend on it"
            if depends:
                self.result.needed.append(key)
        self._tx.execute("RELEASE SAVEPOINT withdrawal")
        self._moved.note_key(key)
        self._tx.execute(query("continuation", "withdrawn"), self._names | {"was_in_force": was_in_force})
        settle_others(self._tx, self._spec.table, restored, missing)
        return None

    def _take_back(self, key: tuple[Any, ...]) -> bool:
        """Delete the row; False when foreign keys that can't be put off forbid it."""
        self._tx.execute("SAVEPOINT continuation")
        unneeded = Unneeded(self._tx, self._config, self._spec, self._is_key("c", key))
        try:
            with translated():
                self._execute("take_back_row", key)
                if self._spec.partition_by:
                    self._execute("take_back_key", key)
        except DataError:
            self._tx.execute("ROLLBACK TO SAVEPOINT continuation")
            return False
        unneeded.take_back()
        self._tx.execute("RELEASE SAVEPOINT continuation")
        return True

    def _dependants(self, key: tuple[Any, ...]) -> Iterator[bool]:
        for child, foreign_key in children(self._config, self._spec):
            names = {"child": sql.Identifier(child.table), "refers": refers(child, foreign_key, self._spec)}
            yield self._is("depends", key, **names)

    @property
    def _names(self) -> dict[str, Any]:
        return {"file_id": self.result.earlier_id}

    def _is(self, name: str, key: tuple[Any, ...], **names: sql.Composable) -> bool:
        self._execute(name, key, **names)
        return bool((self._tx.fetchone() or (False,))[0])

    def _execute(self, name: str, key: tuple[Any, ...], **names: sql.Composable) -> None:
        known = {
            "table": sql.Identifier(self._spec.table),
            "keys": sql.Identifier(self._spec.key_table),
            "is_key": self._is_key("t", key),
        }
        statement = sql.SQL(query("continuation", name)).format(**known, **names)
        self._tx.execute(statement, self._names)

    def _is_key(self, alias: str, key: tuple[Any, ...]) -> sql.Composed:
        return key_sql.pairs(
            (sql.Identifier(alias, column.target), sql.Literal(value))
            for column, value in zip(self._spec.schema.key_columns, key, strict=True)
        )
