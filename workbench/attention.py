"""What needs attention now: one list, which `status` begins with and the dashboard shows first.

Each item says what, where, since when, and the command that shows more. What is mended leaves the list by itself.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_names import meant_by
from config.model import Feed
from config.settings import PipelineConfig
from datawarehouse import reports
from datawarehouse.placeholders import has_placeholders, waiting
from ingestion.places.registry import input_folder, place_of
from utils.alert_log import last_alerts
from utils.alerts import AlertKind
from utils.notices import command_of

DAY = dt.timedelta(days=1)
MOST = 20  # items of a kind
NAMES = 3  # of many files
# What these said is in the list for as long as it is so, or is over.
_SHOWN_OTHERWISE = {
    AlertKind.FILE_FAILED,
    AlertKind.FILE_REFUSED,
    AlertKind.NOTHING_LOADED,
    AlertKind.FILE_OPEN,
} | {kind for kind in AlertKind if kind.name.startswith(("LATE", "SILENT", "SHRUNKEN", "SWOLLEN", "DIRTY"))}
_STATUS = "python main.py status --json"


class Cause(StrEnum):
    """Why something is in the list, in its order."""

    FAILED = "failed"
    NOTHING_LOADED = "nothing loaded"
    UNREAD = "not read"
    CONTRACT = "contract"
    PLACEHOLDERS = "placeholders"
    ALERT = "alert"


class Unread(NamedTuple):
    """A path in an input folder that is not loaded: `kind` as Inbox reports it, and why."""

    kind: str
    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Item:
    """`since` in UTC, None where it is not known; `file_type` is a logical name or ''."""

    cause: Cause
    what: str
    where: str
    since: dt.datetime | None
    more: str
    file_type: str = ""


def attention(config: PipelineConfig, now: dt.datetime, tx: Cursor | None, unread: Iterable[Unread]) -> list[Item]:
    """The list as of `now`; without `tx` the database is away, and what it would tell is left out.

    Bounded: of each cause the newest, from indexes, however long the file log is.
    """
    items: list[Item] = []
    if tx is not None:
        items += [*_failed(config, tx), *_nothing_loaded(config, tx)]
    items += _not_read(config, unread)
    if tx is not None:
        items += [*_contracts(tx), *_placeholders(config, tx)]
    return [*items, *_alerts(config, now)]


def _failed(config: PipelineConfig, tx: Cursor) -> Iterator[Item]:
    for row in reports.read(tx, "failed_files", limit=MOST):
        name, ids = row["logical_name"], row["file_ids"]
        what = f"{_files(row['files'])} of {name} failed: {row['error']}"
        file_id = ids[0] if row["files"] == 1 else None
        more = command_of(AlertKind.FILE_FAILED, name, file_id)
        yield Item(Cause.FAILED, what, _places(config, row["paths"], row["files"]), row["since"], more, name)


def _nothing_loaded(config: PipelineConfig, tx: Cursor) -> Iterator[Item]:
    hours = config.quarantine.true_orphan_after_hours
    for row in reports.read(tx, "refused_files", limit=MOST, hours=hours):
        name, ids = row["logical_name"], row["file_ids"]
        what = f"of {_files(row['files'])} of {name} nothing was loaded: {row['rows']:,} rows refused"
        what += f", as {row['reason']}" if row["reason"] else ""
        file_id = ids[0] if row["files"] == 1 else None
        more = command_of(AlertKind.NOTHING_LOADED, name, file_id)
        places = _places(config, row["paths"], row["files"])
        yield Item(Cause.NOTHING_LOADED, what, places, row["since"], more, name)


def _not_read(config: PipelineConfig, unread: Iterable[Unread]) -> Iterator[Item]:
    found = sorted(unread, key=lambda one: (one.kind != "unexpected", str(one.path)))
    for one in found[:MOST]:
        meant = meant_by(config.files, _feed_of(config, one.path), one.path.name)
        yield Item(Cause.UNREAD, one.why, config.shown(one.path), _changed_at(one.path), _way_out(one, meant))
    if len(found) > MOST:
        yield Item(Cause.UNREAD, f"and {len(found) - MOST:,} more that are not read", "", None, _STATUS)


def _way_out(one: Unread, meant: str | None) -> str:
    path = shlex.quote(str(one.path))
    if one.kind == "unexpected" and meant is not None and not set("*?[") & set(meant):
        if place_of(one.path).is_remote:
            return f"rename it to {meant}"
        target = one.path.with_name(meant)
        free = not target.exists()  # and -n, for two files may be meant by one name
        return f"{'mv -n' if free else 'ls -l'} {path} {shlex.quote(str(target))}"
    if one.kind == "unexpected":
        return f"python main.py infer {path}"
    return _STATUS if place_of(one.path).is_remote else f"ls -l {path}"


def _feed_of(config: PipelineConfig, path: Path) -> Feed:
    batch = input_folder(config, config.watcher.batch.dir)
    return Feed.BATCH if path.is_relative_to(batch) else Feed.STREAM


def _contracts(tx: Cursor) -> Iterator[Item]:
    for row in reports.breaches(tx, limit=MOST):
        what = f"contract broken, {row['kind']}: {row['detail']}"
        yield Item(Cause.CONTRACT, what, row["file"], row["opened_at"], _STATUS)


def _placeholders(config: PipelineConfig, tx: Cursor) -> Iterator[Item]:
    """Parents that have not come, by table; from the index of placeholders alone."""
    for spec in config.by_logical_name.values():
        if spec.has_placeholders and has_placeholders(tx, spec):
            key = ", ".join(column.target for column in spec.schema.key_columns)
            count, since = waiting(tx, spec)
            what = f"{count:,} rows of {spec.table} are placeholders: rows refer to them, which have not come yet"
            more = f'python main.py sql "SELECT {key} FROM {spec.table} WHERE _placeholder"'
            if count:
                yield Item(Cause.PLACEHOLDERS, what, spec.table, since, more, spec.name)


def _alerts(config: PipelineConfig, now: dt.datetime) -> Iterator[Item]:
    told = last_alerts(config.path(config.logging.dir), now - DAY)
    for one in [one for one in told if one.kind not in _SHOWN_OTHERWISE][:MOST]:
        times = f" ({one.count:,} times)" if one.count > 1 else ""
        command = command_of(one.kind, one.file_type)
        command = "python main.py config check" if command == "python main.py status" else command
        what = f"{one.kind}{times}: {one.message}"
        yield Item(Cause.ALERT, what, one.file_type, one.first_at, command, one.file_type)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _places(config: PipelineConfig, paths: Sequence[str], count: int) -> str:
    names = [config.shown(path) for path in paths[:NAMES]]
    return ", ".join(names) + (f" and {count - len(names):,} more" if count > len(names) else "")


def _changed_at(path: Path) -> dt.datetime | None:
    try:
        at = place_of(path).changed_at(path)
        return None if at is None else dt.datetime.fromtimestamp(at, dt.UTC)
    except (OSError, OverflowError, ValueError):
        return None
