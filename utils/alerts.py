"""What an alert is about, and which alerts are told together: those of a kind and file type in a while. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

FIRST = 10  # alerts of a notice that are told in full
MOST_REASONS = 100  # that are told apart; a reason that is none of them is not counted
MOST_WINDOWS = 1000


class AlertKind(StrEnum):
    """What an alert is about, as its title says it. Channels and metrics tell alerts apart by it."""

    FILE_FAILED = "File failed"
    FILES_MENDED = "Failed files mended"
    FILE_REFUSED = "File refused"
    FILE_OPEN = "File open for long"
    FILE_INCOMPLETE = "File incomplete for hours"
    FILE_CONTINUED = "File continued"
    COLUMNS_DIFFER = "Columns differ"
    NOTHING_LOADED = "Nothing loaded"
    LOADED_AFTER_ALL = "Nothing loaded: mended"
    MANY_REFUSED = "High quarantine volume"
    FEW_REFUSED = "High quarantine volume: the last file has less"
    LOAD_ERROR = "Load error"
    CHECK_BROKEN = "Check broken"
    ROWS_GONE = "Rows not taken away"
    WITHOUT_PARENT = "Rows without their parent"
    LOADING_HELD_UP = "Loading held up"
    LOADING_GOES_ON = "Loading goes on"
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
    AlertKind.FILE_FAILED: AlertKind.FILES_MENDED,
    AlertKind.NOTHING_LOADED: AlertKind.LOADED_AFTER_ALL,
    AlertKind.MANY_REFUSED: AlertKind.FEW_REFUSED,
    AlertKind.LOADING_HELD_UP: AlertKind.LOADING_GOES_ON,
    AlertKind.DATABASE_AWAY: AlertKind.DATABASE_BACK,
    AlertKind.DATABASE_UNFIT: AlertKind.DATABASE_FIT,
    AlertKind.FOLDERS_AWAY: AlertKind.FOLDERS_BACK,
    AlertKind.CLUSTER_AWAY: AlertKind.CLUSTER_BACK,
    AlertKind.NOT_PUT_AWAY: AlertKind.PUT_AWAY_AGAIN,
    AlertKind.CHANNEL_AWAY: AlertKind.CHANNEL_BACK,
    AlertKind.LATE: AlertKind.LATE_OVER,
    AlertKind.SILENT: AlertKind.SILENT_OVER,
    AlertKind.SHRUNKEN: AlertKind.SHRUNKEN_OVER,
    AlertKind.SWOLLEN: AlertKind.SWOLLEN_OVER,
    AlertKind.DIRTY: AlertKind.DIRTY_OVER,
}
BEGINS: dict[str, str] = {end: begin for begin, end in ENDS.items()}


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong in a file, in a line and as a page (HTML), and who is to get it."""

    to: tuple[str, ...]
    name: str
    said: str
    page: str


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
    report: Report | None = None


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
