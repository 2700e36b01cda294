"""The alerts of the last day, as the log has them: read by `status` and the dashboard, in any process."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.alerts import ENDS

MOST_BYTES = 4 << 20  # of a day's file that are read, from its end: some 15,000 alerts


@dataclass(slots=True)
class Told:
    """Alerts of one kind and file type: how many, when (UTC), and what the last one said."""

    kind: str
    file_type: str
    first_at: dt.datetime
    last_at: dt.datetime
    message: str
    count: int = 0


def last_alerts(directory: Path, since: dt.datetime) -> list[Told]:
    """What was told in the log files of `directory` since then, newest first; never more than some megabytes are
    read. Trouble whose end was told, too, is left out, and so is its end."""
    told: dict[tuple[str, str], Told] = {}
    today = dt.datetime.now(dt.UTC).date()
    days = [since.date() + dt.timedelta(days=n) for n in range((today - since.date()).days + 1)]
    for day in days:
        for at, record in _records(directory / f"alerts_{day}.jsonl"):
            if at >= since:
                _count(told, at, record)
    ended = {
        (kind, file_type)
        for (kind, file_type), one in told.items()
        if (end := told.get((ENDS.get(kind, ""), file_type))) and end.last_at >= one.last_at
    }
    shown = [one for key, one in told.items() if key not in ended and one.kind not in ENDS.values()]
    return sorted(shown, key=lambda one: one.last_at, reverse=True)


def _count(told: dict[tuple[str, str], Told], at: dt.datetime, record: dict[str, Any]) -> None:
    of = record.get("alert_of")
    kind, file_type = str(record["alert"]), str(of.get("type") or "") if isinstance(of, dict) else ""
    message = str(record.get("msg", "")).removeprefix(f"[alert] {kind}: ")
    one = told.setdefault((kind, file_type), Told(kind, file_type, at, at, message))
    one.count += 1
    one.last_at, one.message = at, message


def _records(path: Path) -> Iterator[tuple[dt.datetime, dict[str, Any]]]:
    """The alerts of one file, oldest first. A line that is none (a disk was full) is skipped."""
    with suppress(OSError), path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - MOST_BYTES, 0))
        lines = file.read(MOST_BYTES).splitlines()
        for line in lines[1:] if size > MOST_BYTES else lines:
            with suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                at = dt.datetime.strptime(record["time"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.UTC)
                yield at, {"alert": record["alert"], **record}
