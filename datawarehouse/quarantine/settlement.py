"""What becomes of quarantined rows after a verdict, whoever brought them before the judge again.

| verdict | in quarantine | books of the file | CSV copy |
|---|---|---|---|
| loaded, updated | closed: `loaded` by the service, `replayed` by an operator | inserted or updated | as it is |
| its key is there already | closed: `already_present` | already present | as it is |
| refused for other reasons | open, with these | orphans and duplicates | written anew |
| an orphan still | open, waits for what is missing now | as they are | as it is |

A true orphan that is refused again stays one, as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.model import Stage
from config.settings import PipelineConfig
from datawarehouse.quarantine import loader as quarantine_loader
from datawarehouse.quarantine.desk import REPLAYED, TRUE_ORPHAN, Row, clear_waits, note
from datawarehouse.queries import query
from datawarehouse.row_load import CHANGED, DELETED, LOADED, STALE, UPDATED
from validation.batch import MissingParent, Reason
from validation.fault_handler import reason_fields

_CAME = (LOADED, UPDATED, DELETED)  # verdicts on rows that had their effect on the table
MissingParents = tuple[MissingParent, ...]


@dataclass
class Settled:
    """What became of the rows: how many, by outcome and by table; `skipped` are in other hands or closed."""

    loaded: Counter[str] = field(default_factory=Counter)
    already_present: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    skipped: int = 0


@dataclass
class FileMoves:
    """How a file's books move. `passed` rows are in quarantine no more, as `passed_orphans` of them had been."""

    passed: int = 0
    passed_orphans: int = 0
    inserted: int = 0
    updated: int = 0
    deletes: int = 0
    stale: int = 0
    changed: int = 0
    orphans: int = 0  # more of the refused than before, or less
    duplicates: int = 0
    has_other_reasons: bool = False

    @property
    def columns(self) -> dict[str, int]:
        """Columns of pipeline_file_log, and by how much they move."""
        moves = {
            "valid_records": self.passed,
            "quarantined": -self.passed,
            "inserted_records": self.inserted,
            "updated_records": self.updated,
            "already_present": self.passed - self.inserted - self.updated - self.deletes,
            "delete_records": self.deletes,
            "stale_records": self.stale,
            "changed_records": self.changed,
            "resolved_orphans": self.passed_orphans,
            "resolved_records": self.passed - self.passed_orphans,
            "orphan_count": self.orphans,
            "duplicate_count": self.duplicates,
        }
        return {name: move for name, move in moves.items() if move}


class Settlement:
    """Settles rows that are locked, in transaction `tx`. `who` replays them; without, the service heals them."""

    def __init__(self, tx: Cursor, config: PipelineConfig, who: str | None = None) -> None:
        self._tx = tx
        self._config = config
        self._who = who
        self._moves: dict[int, FileMoves] = {}  # by file
        self.result = Settled()

    def close(self, passed: Iterable[tuple[Row, str]]) -> None:
        """Close rows that passed; for each, its verdict."""
        rows = list(passed)
        resolutions = {row: self._resolution(how) for row, how in rows}
        ids = [row.quarantine_id for row in resolutions]
        parameters = {"ids": ids, "resolutions": list(resolutions.values()), "tries": 1}
        self._tx.execute(query("settlement", "resolve"), parameters)
        self._tx.execute(query("settlement", "drop_true_orphans"), {"ids": ids})
        clear_waits(self._tx, list(resolutions))
        self._note(resolutions)
        for row, how in rows:
            moves = self.moves_of(row.file_id)
            moves.passed += 1
            moves.passed_orphans += row.stage is Stage.ORPHAN
            moves.inserted += how == LOADED
            moves.updated += how == UPDATED
            moves.deletes += how == DELETED
            moves.stale += how == STALE
            moves.changed += how == CHANGED
            (self.result.loaded if how in _CAME else self.result.already_present)[row.table] += 1

    def refuse(self, spec: FileSpec, rows: Mapping[Row, tuple[Sequence[Reason], MissingParents]]) -> None:
        """Leave rows of `spec` that are refused again in quarantine, for their reasons of today."""
        self.result.refused.update(row.table for row in rows)
        self._note(
            {row: f"refused: {reason_fields(reasons)['rejection_reason']}" for row, (reasons, _) in rows.items()}
        )
        open_rows = [row for row in rows if row.resolution != TRUE_ORPHAN]
        waiting = [row for row in open_rows if _still_waits(row, rows[row][0])]
        self._tx.execute(query("settlement", "tried_in_vain"), {"ids": [row.quarantine_id for row in waiting]})
        self._give_reasons({row: rows[row][0] for row in open_rows if not _still_waits(row, rows[row][0])})
        clear_waits(self._tx, open_rows)
        waits = [(row.file_id, row.number, rows[row][1]) for row in open_rows if rows[row][1]]
        quarantine_loader.write_waits(self._tx, spec, waits, self._config)

    def moves_of(self, file_id: int) -> FileMoves:
        """How the books of a file move, so far."""
        return self._moves.setdefault(file_id, FileMoves())

    def move_books(self) -> None:
        """Move the books, file by file in the order of their ids, as everybody locks them."""
        for file_id, moves in sorted(self._moves.items()):
            steps: list[sql.Composable] = [
                sql.SQL("{0} = {0} + {1}").format(sql.Identifier(name), sql.Literal(move))
                for name, move in moves.columns.items()
            ]
            if moves.has_other_reasons:
                steps.append(sql.SQL("backup_written = false"))
            if steps:
                statement = sql.SQL(query("settlement", "move_books"))
                moved = statement.format(moves=sql.SQL(", ").join(steps), file_id=sql.Literal(file_id))
                self._tx.execute(moved)
        self._moves.clear()

    def _resolution(self, how: str) -> str:
        if how not in _CAME:
            return "already_present"
        return REPLAYED if self._who else LOADED

    def _note(self, outcomes: Mapping[Row, str]) -> None:
        if self._who:
            note(self._tx, "replay", self._who, {row.quarantine_id: outcome for row, outcome in outcomes.items()})

    def _give_reasons(self, rows: Mapping[Row, Sequence[Reason]]) -> None:
        fields = [reason_fields(reasons) for reasons in rows.values()]
        parameters = {
            "ids": [row.quarantine_id for row in rows],
            "stages": [f["rejection_stage"] for f in fields],
            "texts": [f["rejection_reason"] for f in fields],
            "reasons": [f["reasons"] for f in fields],
        }
        self._tx.execute(query("settlement", "refuse_again"), parameters)
        for row, reasons in rows.items():
            moves = self.moves_of(row.file_id)
            moves.has_other_reasons |= tuple(reasons) != row.refused.reasons
            moves.orphans += (reasons[0].stage is Stage.ORPHAN) - (row.stage is Stage.ORPHAN)
            moves.duplicates += is_duplicate(reasons) - is_duplicate(row.refused.reasons)


def is_duplicate(reasons: Sequence[Reason]) -> bool:
    """Is a row refused because its file has brought its key before?"""
    return reasons[0].rule == "duplicate"


def _still_waits(row: Row, reasons: Sequence[Reason]) -> bool:
    """Does an orphan lack some of the parents that it lacked, and nothing else? That is no new reason."""
    return row.stage is Stage.ORPHAN and set(reasons) <= set(row.refused.reasons)
