"""Rows that don't fit a step of a plan: out of their table and its history, and into quarantine.

There they are as a file would bring them, under their own file, and are judged by the new rules at the end of the
same transaction: what passes is loaded again. Of a history, what their file said of their key is taken back, as by
`undo`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.file_names import storable
from config.file_spec import FileSpec
from config.model import Stage
from config.settings import PipelineConfig
from datawarehouse import key_sql, key_traces
from datawarehouse.history_repair import HistoryRepair, tables_beside
from datawarehouse.quarantine import loader
from datawarehouse.quarantine.counts import counts_of_file
from datawarehouse.quarantine.desk import note
from datawarehouse.quarantine.replay import replay
from datawarehouse.quarantine.settlement import Settled
from datawarehouse.queries import query
from datawarehouse.recount import missing_rows, settle_others
from datawarehouse.schema.catalog import Catalog, Naming
from datawarehouse.schema.misfits import referring
from datawarehouse.schema.steps import Step
from datawarehouse.undo import lock_file
from datawarehouse.versions import MovedVersions
from ingestion.row_numbers import identities_of, numbers_in_file
from ingestion.stored_rows import StoredRow, stored_rows
from validation.batch import Reason
from validation.fault_handler import reason_fields, to_json
from validation.pii_handler import PiiHandler

_RULE = "does_not_fit"  # the reason until they are judged, which is in the same transaction
_AT_A_TIME = 1_000


def set_aside(tx: Cursor, config: PipelineConfig, step: Step, who: str) -> None:
    """Put the rows that are against `step` into quarantine. The books of their files follow.

    Raises ConfigError where other rows refer to one of them, or it is of no file of the file log.
    """
    spec = next(spec for spec in config.by_logical_name.values() if step.table in spec.possible_tables)
    _SettingAside(tx, config, spec, step, who).run()


def judge(tx: Cursor, config: PipelineConfig, who: str) -> Settled:
    """Judge the rows that were set aside by the rules and the tables of today; they get the reasons of these."""
    tx.execute(query("set_aside", "waiting"), {"rule": _RULE})
    return replay(tx, config, [row[0] for row in tx.fetchall()], who)


def give_numbers(tx: Cursor, config: PipelineConfig, spec: FileSpec, file: Mapping[str, Any]) -> bool:
    """Find the numbers of rows that were set aside while their file could not be read; are all known now?"""
    tx.execute(query("set_aside", "not_numbered"), {"file_id": file["file_id"]})
    rows = [(q_id, spec.schema.in_todays_names(raw)) for q_id, raw in tx.fetchall()]
    if not rows:
        return True
    found = numbers_in_file(config, spec, file, [raw for _, raw in rows], _taken(tx, file["file_id"]))
    known = {q_id: number for (q_id, _), number in zip(rows, found, strict=True) if number is not None}
    tx.execute(query("set_aside", "number"), {"ids": list(known), "numbers": list(known.values())})
    return len(known) == len(rows)


class _SettingAside:
    def __init__(self, tx: Cursor, config: PipelineConfig, spec: FileSpec, step: Step, who: str) -> None:
        assert step.misfits is not None  # noqa: S101  (that is why there is such a step)
        self._tx = tx
        self._config = config
        self._spec = spec
        self._step = step
        self._condition, self._why = step.misfits.condition, step.misfits.why
        self._who = who
        self._restored: Counter[int] = Counter()  # rows that are in force again, by file

    def run(self) -> None:
        missing = missing_rows(self._tx, self._spec.table)
        if self._spec.keeps_history and self._spec.history_table in tables_beside(self._tx, self._spec):
            rows = self._take_back()
        else:
            rows = stored_rows(self._tx, self._spec, self._step.table, self._condition)
            self._remove(self._condition)
        by_file: defaultdict[int, list[StoredRow]] = defaultdict(list)
        for row in rows:
            by_file[row.file_id].append(row)
        for file_id in sorted(by_file):
            self._refuse(file_id, by_file[file_id])
        settle_others(self._tx, self._spec.table, self._restored, missing)

    # ---------------------------------------------------------------- out of the tables

    def _take_back(self) -> list[StoredRow]:
        """Take back what files said of keys that don't fit; what was in force before is so again."""
        spec, rows = self._spec, []
        repair, moved = HistoryRepair(self._tx, spec), MovedVersions(self._tx, spec, self._config)
        while said := self._said():
            for file_id, *key in said:
                of_key = self._of_key(file_id, key)
                self._forget_traces(file_id, of_key)
                told = [row for table in spec.history_tables for row in stored_rows(self._tx, spec, table, of_key)]
                rows += told or stored_rows(self._tx, spec, spec.table, of_key)
                moved.note_key(key)
                self._restored.update(repair.withdraw(file_id, tuple(key)))
                self._remove(of_key)  # where nothing else is known of it
        moved.rebind()
        self._forget_temporary_tables()
        return rows

    def _forget_temporary_tables(self) -> None:
        """They have the types that columns had before the step: who needs them after it makes them anew."""
        self._tx.execute(query("set_aside", "temporary_tables"))
        for (name,) in self._tx.fetchall():
            self._tx.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("pg_temp", name)))

    def _said(self) -> list[tuple[Any, ...]]:
        key = [sql.Identifier("t", column.target) for column in self._spec.schema.key_columns]
        self._execute("said", self._step.table, self._condition, key=sql.SQL(", ").join(key), limit=_AT_A_TIME)
        return self._tx.fetchall()

    def _forget_traces(self, file_id: int, of_key: str) -> None:
        """What a file told again of a key is a row of its own by the time that it is taken back."""
        for table in self._spec.history_tables:
            self._execute("told", table, of_key, number=key_traces.told_number(self._spec, "t"))
            for (number,) in self._tx.fetchall():
                key_traces.forget_number(self._tx, file_id, number)

    def _of_key(self, file_id: int, key: Sequence[Any]) -> str:
        names = ["_file_id", *(column.target for column in self._spec.schema.key_columns)]
        columns = (sql.Identifier("t", name) for name in names)
        pairs = zip(columns, map(sql.Literal, (file_id, *key)), strict=True)
        return key_sql.pairs(pairs).as_string(self._tx)

    def _remove(self, condition: str) -> None:
        table = self._spec.table
        if referred := list(referring(Catalog(self._tx), table, condition, Naming(None))):
            others = ", ".join(f"{name} ({count:,})" for name, count in referred)
            raise ConfigError(
                f"{table}: {self._why}; others refer to some of them, by {others}, and would be left without. "
                "Nothing was changed. Bring these rows right first, by a later file or by UPDATE; or `undo` the "
                "files of those that refer to them"
            )
        self._execute("remove", table, condition)

    # ---------------------------------------------------------------- into quarantine

    def _refuse(self, file_id: int, rows: list[StoredRow]) -> None:
        """Put rows of one file into quarantine; those that came out of it are open again."""
        file = lock_file(self._tx, file_id)
        before = counts_of_file(self._tx, file_id)
        reason = reason_fields([Reason(Stage.SCHEMA, _RULE, str(self._step.column or "_"))])
        again, new = self._told_apart(file_id, rows)
        ids = list(again)
        if again:
            parameters = {"ids": ids, "raws": [self._masked(row.raw) for row in again.values()]}
            parameters |= {"stage": reason["rejection_stage"], "reason": reason["rejection_reason"]}
            self._tx.execute(query("set_aside", "open_again"), {**parameters, "reasons": reason["reasons"]})
        if new:
            numbers = self._numbers(file, new)
            of_file = storable(file["file_name"]), self._spec.table, file["file_type"]
            why = reason["rejection_stage"], reason["rejection_reason"], reason["reasons"]
            lines = [
                (file_id, number, *of_file, *why, self._masked(row.raw))
                for number, row in zip(numbers, new, strict=True)
            ]
            loader.write(self._tx, loader.QuarantineText(len(lines), loader.csv_text(lines), ""))
            self._tx.execute(query("repair", "same_day"), {"file_id": file_id})
            self._tx.execute(query("set_aside", "by_number"), {"file_id": file_id, "numbers": numbers})
            ids += [q_id for (q_id,) in self._tx.fetchall()]
        note(self._tx, "apply", self._who, dict.fromkeys(ids, f"set aside: {self._why}"))
        now = counts_of_file(self._tx, file_id)
        moves = {name: getattr(now, name) - getattr(before, name) for name in now._fields}
        moves |= {"file_id": file_id, "rows": len(rows)}
        self._tx.execute(query("set_aside", "move_books"), moves)

    def _told_apart(self, file_id: int, rows: list[StoredRow]) -> tuple[dict[int, StoredRow], list[StoredRow]]:
        """Of rows of a file those that came out of quarantine, by quarantine_id, and the others."""
        self._tx.execute(query("set_aside", "passed"), {"file_id": file_id})
        passed = [
            (q_id, StoredRow(file_id, number, self._spec.schema.in_todays_names(raw)))
            for q_id, number, raw in self._tx.fetchall()
        ]
        known = dict(zip(self._identities([row for _, row in passed]), [q_id for q_id, _ in passed], strict=True))
        again: dict[int, StoredRow] = {}
        new = []
        for row, identity in zip(rows, self._identities(rows), strict=True):
            if identity in known:
                again[known.pop(identity)] = row
            else:
                new.append(row)
        return again, new

    def _identities(self, rows: Sequence[StoredRow]) -> list[Any]:
        if self._spec.schema.primary_key.is_row:
            return [row.number for row in rows]
        return identities_of(self._spec, [row.raw for row in rows])

    def _numbers(self, file: dict[str, Any], rows: list[StoredRow]) -> list[int]:
        """Their numbers in the file; below 1, each its own, where they can't be told."""
        taken = _taken(self._tx, file["file_id"])
        if any(row.number is None for row in rows):
            raws = [row.raw for row in rows]
            found = numbers_in_file(self._config, self._spec, file, raws, taken)
        else:
            found = [row.number for row in rows]
        unknown = min([0, *taken])
        numbers = []
        for number in found:
            unknown -= number is None
            numbers.append(unknown if number is None else number)
        return numbers

    def _masked(self, raw: dict[str, str | None]) -> str:
        """As JSON. What is sensitive is hashed in the table already; a value that does not fit may be astray."""
        column = next((c for c in self._spec.schema.columns if c.target == self._step.column), None)
        if column is not None and column.pii is None and raw.get(column.name) is not None:
            pii = PiiHandler(self._config.pii.hash_key)
            raw = raw | pii.mask_raw(self._spec, {column.name: raw[column.name]}, unfit={column.name})
        return to_json(raw)

    def _execute(self, name: str, table: str, condition: str, **names: Any) -> None:
        statement = sql.SQL(query("set_aside", name)).format(
            table=sql.Identifier(table),
            condition=sql.SQL(condition),
            **{
                key: value if isinstance(value, sql.Composable) else sql.Literal(value)
                for key, value in names.items()
            },
        )
        self._tx.execute(statement)


def _taken(tx: Cursor, file_id: int) -> set[int]:
    tx.execute(query("set_aside", "numbers"), {"file_id": file_id})
    return {number for (number,) in tx.fetchall()}
