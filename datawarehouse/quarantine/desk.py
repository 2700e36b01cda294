"""What an operator does to quarantined rows: lock, edit, discard, and the history of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, PipelineError
from config.file_spec import FileSpec
from config.model import Stage
from config.schema import Column
from config.settings import PipelineConfig
from datawarehouse.erasure import read_erasures
from datawarehouse.queries import query
from datawarehouse.rights import current_role
from validation.batch import Reason
from validation.drift import may_lack
from validation.fault_handler import to_json
from validation.pii_handler import LINE, MALFORMED, PiiHandler
from validation.rejudge import Refused, value_problem
from validation.strays import is_stray

REPLAYED, DISCARDED, TRUE_ORPHAN = "replayed", "discarded", "true_orphan"  # quarantine.resolution
OWNED = (
    *(
        "pipeline_file_log",
        "file_keys",
        "quarantine",
        "quarantine_history",
        "orphan_wait",
        "true_orphan",
        "erased",
    ),
    *("file_warning", "warned_row", "column_profile"),
)
_SHOWN_PROBLEMS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A quarantined row that is locked, and open or a true orphan."""

    quarantine_id: int
    file_id: int
    number: int
    table: str
    feed: str
    refused: Refused
    resolution: str | None

    @property
    def stage(self) -> Stage:
        return self.refused.reasons[0].stage


@dataclass(frozen=True, slots=True)
class Edited:
    """How many rows an edit changed, and how many were given as they are."""

    changed: int
    same: int


def require_operator(tx: Cursor, config: PipelineConfig) -> None:
    """Raises ConfigError unless this role owns the tables: putting things right changes what loading may not."""
    tx.execute(query("rights", "owned"))
    owned = {row[0] for row in tx}
    wanted = [*OWNED, *dict.fromkeys(spec.table for spec in config.files)]
    if lacking := [table for table in wanted if table not in owned]:
        raise ConfigError(
            f"this command needs the role that owns the tables, and {current_role(tx)} does not own "
            f"{', '.join(lacking)}: run it with the DATABASE_URL of their owner"
        )


def lock(tx: Cursor, ids: Sequence[int]) -> list[Row]:
    """Those of `ids` that are open or true orphans and that nobody else has in hand, by id."""
    tx.execute(query("repair", "share_erasures"))  # first, as whoever erases takes it first
    tx.execute(query("settlement", "lock"), {"ids": list(ids)})
    return [
        Row(
            q_id,
            file_id,
            number,
            table,
            feed,
            Refused(raw, _reasons(reasons), frozenset(edited), path),
            resolution,
        )
        for q_id, file_id, number, table, feed, reasons, raw, resolution, edited, path in tx.fetchall()
    ]


def open_again(tx: Cursor, ids: Sequence[int]) -> list[Row]:
    """Open rows that had passed and are in no table any more; they are locked, by id."""
    tx.execute(query("settlement", "open_again"), {"ids": list(ids)})
    return lock(tx, ids)


def spec_of(row: Row, config: PipelineConfig) -> FileSpec:
    """The spec that judges `row`. Raises PipelineError when the configuration has none for its table."""
    specs = [spec for spec in config.files if spec.table == row.table]
    for spec in specs:
        if spec.feed.value == row.feed:
            return spec
    if specs:
        return specs[0]
    raise PipelineError(f"quarantine_id {row.quarantine_id}: the configuration has no file type for {row.table}")


def edit(
    tx: Cursor, config: PipelineConfig, pii: PiiHandler, changes: Mapping[int, Mapping[str, str | None]], who: str
) -> Edited:
    """Set columns of quarantined rows, by quarantine_id; sensitive values are judged, and hashed here.

    Raises ConfigError that lists what can't be set, and then nothing is. A row that could not be split into
    columns becomes one that can when every column is given.
    """
    rows = lock(tx, list(changes))
    if missing := sorted(changes.keys() - {row.quarantine_id for row in rows}):
        raise ConfigError(f"no open row with quarantine_id {', '.join(map(str, missing[:_SHOWN_PROBLEMS]))}")
    problems: list[str] = []
    specs = {row: spec_of(row, config) for row in rows}
    steps = {row: _step(row, specs[row], pii, changes[row.quarantine_id], problems) for row in rows}
    erased = {
        spec.table: read_erasures(tx, spec, config) for spec in {s.table: s for s in specs.values()}.values()
    }
    changed = {row: _with(row, specs[row], step) for row, step in steps.items() if step}
    for row, raw in changed.items():
        if erased[row.table] and erased[row.table].named(raw):
            personal = {column.name for column in specs[row].personal}
            kept = sorted(steps[row].keys() & personal)
            problems += [f"{row.quarantine_id} {name}: this person was erased" for name in kept]
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        lines = [*problems[:_SHOWN_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
        raise ConfigError("nothing was changed:\n" + "\n".join(f"  - {line}" for line in lines))
    for row, raw in changed.items():
        parameters = {"raw": to_json(erased[row.table].blank_raw(raw)), "id": row.quarantine_id}
        tx.execute(query("repair", "set_raw"), parameters)
        tx.execute(query("repair", "set_raw_true_orphan"), parameters)
    by_id = {row.quarantine_id: steps[row] for row in changed}
    note(tx, "edit", who, dict.fromkeys(by_id, "edited"), by_id)
    mark_backup_stale(tx, {row.file_id for row in changed})
    return Edited(len(changed), len(steps) - len(changed))


def _with(row: Row, spec: FileSpec, step: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The row's text after `step`; when it has every column, it can be split into them."""
    raw = spec.schema.in_todays_names(row.refused.raw) | {name: after for name, (_, after) in step.items()}
    if all(column.name in raw for column in spec.schema.in_file.columns if not may_lack(spec.schema, column)):
        of_malformed = {MALFORMED, LINE} - spec.schema.by_name.keys()
        return {name: value for name, value in raw.items() if name not in of_malformed}
    return raw


def discard(tx: Cursor, ids: Sequence[int], reason: str, who: str) -> int:
    """Close open rows for good; their files' books stay, for they were refused. Returns how many."""
    rows = [row for row in lock(tx, ids) if row.resolution is None]
    found = [row.quarantine_id for row in rows]
    tx.execute(query("settlement", "resolve"), {"ids": found, "resolutions": [DISCARDED] * len(found), "tries": 0})
    clear_waits(tx, rows)
    note(tx, "discard", who, dict.fromkeys(found, f"discarded: {reason}"))
    return len(found)


def note(
    tx: Cursor,
    action: str,
    who: str,
    outcomes: Mapping[int, str],
    changes: Mapping[int, Mapping[str, list[Any]]] | None = None,
) -> None:
    """A step in the history of each row, by quarantine_id; `changes` are [before, after] by column, as stored."""
    listed = [to_json(dict((changes or {}).get(q_id, {}))) for q_id in outcomes]
    parameters = {"action": action, "who": who, "ids": list(outcomes), "changes": listed}
    tx.execute(query("settlement", "note"), {**parameters, "outcomes": list(outcomes.values())})


def clear_waits(tx: Cursor, rows: Sequence[Row]) -> None:
    """The rows wait for no parent any more."""
    keys = {"file_ids": [row.file_id for row in rows], "row_numbers": [row.number for row in rows]}
    tx.execute(query("settlement", "clear_waits"), keys)


def mark_backup_stale(tx: Cursor, file_ids: set[int]) -> None:
    """The CSV backup of these files' days is to be written anew from the table."""
    tx.execute(query("settlement", "backup_stale"), {"file_ids": sorted(file_ids)})


@lru_cache(maxsize=1_000)  # most rows are refused for the same as others
def _reasons(listed: str) -> tuple[Reason, ...]:
    return tuple(Reason(Stage(r["stage"]), r["rule"], r["column"] or "") for r in json.loads(listed))


def _step(
    row: Row, spec: FileSpec, pii: PiiHandler, given: Mapping[str, str | None], problems: list[str]
) -> dict[str, list[Any]]:
    """[before, after] of each column that changes, as stored."""
    step: dict[str, list[Any]] = {}
    raw = spec.schema.in_todays_names(row.refused.raw)
    for name, value in given.items():
        before = raw.get(name)
        if name in raw and (value == before or (value in {"", None} and before in {"", None})):
            continue
        column = spec.schema.by_name.get(name)
        if column is None:
            problems.append(
                f"{row.quarantine_id}: {row.table} has no column of that name in its files; "
                f"there are {', '.join(spec.schema.by_name)}"
            )
        elif problem := _problem(column, spec, value):
            problems.append(f"{row.quarantine_id} {name}: {problem}")
        else:
            step[name] = [before, pii.mask_raw(spec, {name: value})[name]]
    return step


def _problem(column: Column, spec: FileSpec, value: str | None) -> str | None:
    if value is None:
        return None
    if column.pii is not None:
        return value_problem(spec, column, value)
    if spec.has_pii and is_stray(spec, column, value):
        return "looks like an e-mail address, a phone number or a national id, which this column may not hold"
    return None
