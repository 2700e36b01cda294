"""`status`: what needs attention; does a pipeline run, is the database up, what waits, and how late is it?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, PipelineError, WarehouseUnavailable
from config.jobs import FileJob
from config.settings import PipelineConfig
from datawarehouse import reports
from ingestion.not_loaded import look_through
from ingestion.places.registry import input_folder, opened, place_of
from ingestion.presence import running
from utils.notices import printable
from workbench.attention import Unread, attention
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.output import AsJson, print_json, say, show_record, show_rows
from workbench.session import checked_config, command, open_warehouse

LAST_FILES = 5
_SHOWN = ("file_id", "processed_at", "file", "status", "total_records", "inserted_records", "quarantined")


@command
def status(as_json: AsJson = False) -> int:
    """Show what needs attention, whether the pipeline runs and the database is up, what waits and how late it is.

    Exit code 1 when no pipeline runs, or the database does not answer.
    """
    config = checked_config()
    found = look(config, dt.datetime.now(dt.UTC))
    if as_json:
        print_json(found)
    else:
        _show(found)
    return EXIT_OK if found["running"] and found["database"]["up"] else EXIT_FOUND


def look(config: PipelineConfig, now: dt.datetime) -> dict[str, Any]:
    """Everything that `status` tells; what the database would have to tell is empty while it is away."""
    pipelines = [{"pid": one.pid, "since": one.since} for one in running(config)]
    offered = look_through(config)
    jobs = list(offered.waiting)
    unread = [Unread(one.kind, one.path, one.why) for one in offered.not_loaded]
    try:
        with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
            jobs = not_loaded(tx, jobs)
            of_database: dict[str, Any] = {
                "last_load": reports.read(tx, "last_load")[0],
                "last_files": told_apart(config, reports.files(tx, limit=LAST_FILES)),
                "orphans": [row for row in reports.orphans(tx) if row["state"] == "open"],
                "quarantine": reports.reasons(tx, limit=10),
            }
            items = attention(config, now, tx, unread)
            database: dict[str, Any] = {"up": True, "problem": None}
    except (WarehouseUnavailable, ConfigError) as problem:
        database = {"up": False, "problem": str(problem)}
        items = attention(config, now, None, unread)
        of_database = {"last_load": None, "last_files": [], "orphans": [], "quarantine": []}
    found = {"running": pipelines, "database": database, "waiting": queue(config, jobs, now), **of_database}
    return {"attention": [asdict(item) for item in items], **found}


def not_loaded(tx: Cursor, jobs: Iterable[FileJob]) -> list[FileJob]:
    """Of `jobs`, those whose content is not in the file log; only what has the size of a logged file is read."""
    jobs = list(jobs)
    rows = reports.read(tx, "contents", sizes=sorted({job.size for job in jobs}))
    known = {(row["logical_name"], row["file_hash"], row["file_size"]) for row in rows}
    sizes = {(name, size) for name, _, size in known}

    def is_new(job: FileJob) -> bool:
        if (job.spec.name, job.size) not in sizes:
            return True
        try:
            with opened(job.path) as file:
                return (job.spec.name, file.md5(), job.size) not in known
        except (OSError, PipelineError):
            return True

    return [job for job in jobs if is_new(job)]


def queue(config: PipelineConfig, jobs: list[FileJob], now: dt.datetime) -> dict[str, Any]:
    """The waiting files by folder: how many, bytes, and the age of the oldest in seconds."""
    watcher = config.watcher
    folders = {name: part.dir for name, part in (("master", watcher.master), ("batch", watcher.batch))}
    folders["stream"] = watcher.stream.dir
    by_folder = []
    for name, directory in folders.items():
        root = input_folder(config, directory)
        here = [job for job in jobs if job.path.is_relative_to(root)]
        by_folder.append({"folder": name, "path": str(root), **_figures(here, now)})
    return {**_figures(jobs, now), "folders": by_folder, "oldest": _oldest(jobs)}


def _figures(jobs: list[FileJob], now: dt.datetime) -> dict[str, Any]:
    oldest = min((job.mtime_ns for job in _with_times(jobs)), default=None)
    age = None if oldest is None else max(0, round(now.timestamp() - oldest / 1e9))
    return {"files": len(jobs), "bytes": sum(job.size for job in jobs), "oldest_seconds": age}


def _oldest(jobs: list[FileJob]) -> Path | None:
    files = _with_times(jobs)
    return min(files, key=lambda job: job.mtime_ns).path if files else None


def _with_times(jobs: list[FileJob]) -> list[FileJob]:
    """Those of which it is known when they changed."""
    return [job for job in jobs if place_of(job.path).has_times]


def _show(found: dict[str, Any]) -> None:
    _show_attention(found["attention"])
    pipelines, waiting, last = found["running"], found["waiting"], found["last_load"]
    names = ", ".join(f"process {one['pid']}, since {one['since']:%Y-%m-%d %H:%M:%S}" for one in pipelines)
    database = "up" if found["database"]["up"] else found["database"]["problem"]
    wait = f"{waiting['files']:,} files"
    if waiting["oldest"]:
        wait += f", the oldest for {duration(waiting['oldest_seconds'])}: {waiting['oldest']}"
    ago = duration(last["seconds_ago"]) + " ago" if last and last["at"] else "none yet"
    record = {"pipeline": names or "does not run", "database": database, "waiting": wait, "last load": ago}
    show_record(record, as_json=False)
    parts = {
        "Waiting files": [row for row in waiting["folders"] if row["files"]],
        "Last files": [{name: row[name] for name in _SHOWN} for row in found["last_files"]],
        "Open orphans": found["orphans"],
        "Open refused rows, by reason": found["quarantine"],
    }
    for title, rows in parts.items():
        if rows:
            say("")
            show_rows(rows, as_json=False, title=title)


def _show_attention(items: list[dict[str, Any]]) -> None:
    """Two lines an item: what, then where, since when and the command that shows more."""
    say("Needs attention:" if items else "Nothing needs attention.")
    for item in items:
        since = f"since {item['since']:%Y-%m-%d %H:%M:%S}" if item["since"] else ""
        say(f"! {printable(item['what'])}")
        say("  " + printable(" | ".join(filter(None, (item["where"], since, item["more"])))))
    say("")


def told_apart(config: PipelineConfig, rows: list[reports.Row]) -> list[reports.Row]:
    """Rows of the file log, each with its path from the input folder on, as `file`."""
    return [{**row, "file": config.shown(row["file_path"], row["logical_name"])} for row in rows]


def duration(seconds: float) -> str:
    """`95` → `1 min 35 s`; the two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
