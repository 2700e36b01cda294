"""What an alert says, and which alerts become one notice: one a kind and file type in a window of time. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

FIRST = 10  # alerts of a notice that are told in full
MOST_REASONS = 100  # that are told apart; a reason that is none of them is not counted
MOST_WINDOWS = 1000
MAX_TITLE, MAX_LINE, MAX_DETAILS = 150, 600, 4000  # characters


class AlertKind(StrEnum):
    """What an alert is about, as its title says it. Channels and metrics tell alerts apart by it."""

    FILE_FAILED = "File failed"
    FILE_REFUSED = "File refused"
    FILE_OPEN = "File open for long"
    FILE_INCOMPLETE = "File incomplete for hours"
    FILE_CONTINUED = "File continued"
    COLUMNS_DIFFER = "Columns differ"
    NOTHING_LOADED = "Nothing loaded"
    MANY_REFUSED = "High quarantine volume"
    LOAD_ERROR = "Load error"
    CHECK_BROKEN = "Check broken"
    ROWS_GONE = "Rows not taken away"
    WITHOUT_PARENT = "Rows without their parent"
    LOADING_HELD_UP = "Loading held up"
    DATABASE_AWAY = "Database unavailable"
    DATABASE_BACK = "Database available again"
    DATABASE_UNFIT = "Database unfit"
    DATABASE_FIT = "Database fit again"
    DATABASE_BEHIND = "Database went back in time"
    DATABASE_EMPTY = "Database was empty"
    FOLDERS_AWAY = "Input folders unavailable"
    FOLDERS_BACK = "Input folders available again"
    CLUSTER_AWAY = "Cluster unavailable"
    CLUSTER_BACK = "Cluster available again"
    CLUSTER_EMPTY = "Cluster without workers"
    WORKERS_DIE = "Workers die"
    WORKER_UNFIT = "Worker unfit"
    NOT_PUT_AWAY = "Files not put away"
    PUT_AWAY_AGAIN = "Files put away again"
    LATE = "Late file"
    LATE_OVER = "Late file has come"
    SILENT = "Silent feed"
    SILENT_OVER = "Silent feed is back"
    SHRUNKEN = "Shrunken file"
    SHRUNKEN_OVER = "Shrunken file: the next one is not"
    SWOLLEN = "Swollen file"
    SWOLLEN_OVER = "Swollen file: the next one is not"
    DIRTY = "Dirty file"
    DIRTY_OVER = "Dirty file: the next one is clean"
    NOT_RELOADED = "Configuration not reloaded"
    CHANNEL_AWAY = "Alerts not delivered"
    CHANNEL_BACK = "Alerts delivered again"
    CRASH = "Pipeline exception"


# The end of what another alert began.
ENDS: dict[str, str] = {
    AlertKind.DATABASE_AWAY: AlertKind.DATABASE_BACK,
    AlertKind.DATABASE_UNFIT: AlertKind.DATABASE_FIT,
    AlertKind.FOLDERS_AWAY: AlertKind.FOLDERS_BACK,
    AlertKind.CLUSTER_AWAY: AlertKind.CLUSTER_BACK,
    AlertKind.NOT_PUT_AWAY: AlertKind.PUT_AWAY_AGAIN,
    AlertKind.CHANNEL_AWAY: AlertKind.CHANNEL_BACK,
}
# The command that shows more; `{type}` is the logical name of the files.
_OF_FILES = "python main.py files --type {type}"
_OF_ROWS = "python main.py quarantine list --table {type}"
_COMMANDS: dict[str, str] = {
    AlertKind.FILE_FAILED: f"{_OF_FILES} --status failed",
    AlertKind.COLUMNS_DIFFER: "python main.py drift {type}",
    AlertKind.NOTHING_LOADED: _OF_ROWS,
    AlertKind.MANY_REFUSED: _OF_ROWS,
    AlertKind.LOAD_ERROR: f"{_OF_ROWS} --stage load",
    AlertKind.NOT_RELOADED: "python main.py config check",
    AlertKind.CRASH: """grep '"level": "CRITICAL"' logs/*.log""",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """`kind` is an AlertKind, or another title; `reason` is what is alike in alerts that differ in their place.

    `file_type` is the logical name of the files concerned, `file_id` the file's, where it is about one.
    """

    kind: str
    message: str
    file_type: str = ""
    reason: str = ""
    file_id: int | None = None


def command_of(kind: str, file_type: str = "", file_id: int | None = None) -> str:
    """What to type to see more."""
    command = _COMMANDS.get(kind, "python main.py status")
    if "{type}" in command and file_id is not None:
        return f"python main.py files show {file_id}"
    if "{type}" in command and not file_type:
        return "python main.py files"
    return command.format(type=file_type) if "{type}" in command else command


@dataclass(frozen=True, slots=True)
class Notice:
    """What a channel sends: a title of one line, and a text of several. No value of the data is in either."""

    key: tuple[str, str, int]
    kind: str
    file_type: str
    title: str
    text: str
    is_end: bool = False  # of trouble that another one told of


@dataclass(slots=True)
class Group:
    """Alerts of one kind and file type; `first_at` and `last_at` in UTC."""

    key: tuple[str, str, int]
    kind: str
    file_type: str
    first_at: dt.datetime
    last_at: dt.datetime
    count: int = 0
    first: list[Alert] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, alert: Alert, at: dt.datetime) -> None:
        self.count += 1
        self.last_at = at
        if len(self.first) < FIRST:
            self.first.append(alert)
        if alert.reason and (alert.reason in self.reasons or len(self.reasons) < MOST_REASONS):
            self.reasons[alert.reason] += 1

    def notice(self, host: str) -> Notice:
        """The text for all of them."""
        title = one_line(": ".join(filter(None, (self.kind, self.file_type))))[:MAX_TITLE]
        many = f" ({self.count:,} times)" if self.count > 1 else ""
        parts = ["\n".join(self._facts()), "\n".join(self._details()), "\n".join(self._ends(host))]
        is_end = self.kind in ENDS.values()
        return Notice(self.key, self.kind, self.file_type, title + many, "\n\n".join(parts), is_end)

    def _facts(self) -> Iterator[str]:
        yield f"Error: {one_line(self.kind)[:MAX_TITLE]}"
        if self.file_type:
            yield f"File type: {one_line(self.file_type)}"
        if self.count > 1:
            yield f"How often: {self.count:,} times, from {self.first_at:%H:%M:%S} to {self.last_at:%H:%M:%S} UTC"
            for reason, count in self.reasons.most_common(1):
                yield f"Most frequent reason: {one_line(reason)[:MAX_LINE]} ({count:,} times)"

    def _details(self) -> Iterator[str]:
        if self.count == 1:
            lines = self.first[0].message[:MAX_DETAILS].splitlines()
            yield "Details:"
            yield from map(printable, lines)
            return
        yield "The first of them:"
        for alert in self.first:
            yield f"  {one_line(alert.message)[:MAX_LINE]}"
        if self.count > len(self.first):
            yield f"  and {self.count - len(self.first):,} more"

    def _ends(self, host: str) -> Iterator[str]:
        file_id = self.first[0].file_id if self.count == 1 else None
        yield f"To see more: {command_of(self.kind, self.file_type, file_id)}"
        yield f"Time: {self.last_at:%Y-%m-%d %H:%M:%S} UTC"
        yield f"Host: {one_line(host)}"


@dataclass(slots=True)
class _Window:
    """Until `ends`, in seconds of the clock, alerts are gathered in `group`; None: there were none so far."""

    ends: float
    group: Group | None


class Windows:
    """The first alert of a kind and file type is told after `gather` seconds, with those that came meanwhile; from
    then on, what came is told once every `length` seconds. `length` 0: each alert by itself, at once."""

    def __init__(self, length: float, gather: float) -> None:
        self._length = length
        self._gather = gather
        self._windows: dict[tuple[str, str, int], _Window] = {}
        self._numbers = 0

    def add(self, alert: Alert, now: float, at: dt.datetime) -> bool:
        """Take `alert` at second `now`, which is `at` in UTC; False when there are too many kinds of them."""
        if not self._length:
            self._numbers += 1
        key = (alert.kind, alert.file_type, self._numbers)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= MOST_WINDOWS:
                return False
            window = self._windows[key] = _Window(now + (self._gather if self._length else 0), None)
        if window.group is None:
            window.group = Group(key, alert.kind, alert.file_type, first_at=at, last_at=at)
        window.group.add(alert, at)
        return True

    def due(self, now: float, *, everything: bool = False) -> list[Group]:
        """The groups to be told now, oldest first. A window in which nothing came is over."""
        groups = []
        for key, window in list(self._windows.items()):
            if window.ends > now and not everything:
                continue
            if window.group is not None:
                groups.append(window.group)
                window.group, window.ends = None, now + self._length
            if not self._length or window.ends <= now:
                del self._windows[key]
        return sorted(groups, key=lambda group: group.first_at)

    def untold(self, key: tuple[str, str, int]) -> None:
        """What was given out could not be told: the next such alert is told as a first one."""
        window = self._windows.get(key)
        if window is not None and window.group is None:
            del self._windows[key]


def one_line(text: str) -> str:
    """`text` without line breaks and control characters: it may become a header."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """`text` with blanks for what does not print."""
    return "".join(c if c.isprintable() else " " for c in text)
