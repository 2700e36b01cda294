"""Listing with a watermark: where a look at every old folder costs requests."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ingestion.places.left_alone import is_ignored_folder
from ingestion.places.place import Found, Kind

FULL_LISTING_SECONDS = 3600.0  # between two listings of everything, old days too


class RecentScanner:
    """Lists the files below `root`. Folders called by a day are listed again only while the day is recent.

    The watermark is the newest such folder less `recent_days`; what comes later into an older one is found by the
    full listings, at the start and every hour. `directly` lists what is in a folder, `below` the files at any
    depth, each by a path as `root` is one; `now` gives seconds.
    """

    def __init__(
        self,
        root: Path,
        recent_days: int,
        directly: Callable[[Path], Iterable[Found]],
        below: Callable[[Path], Iterable[Found]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root
        self._recent = dt.timedelta(recent_days)
        self._directly = directly
        self._below = below
        self._now = now
        self._listed_all: float | None = None

    def entries(self, *, full: bool = False) -> Iterator[Found]:
        """All files, or those that may be new. Raises OSError."""
        now = self._now()
        due = self._listed_all is None or now - self._listed_all > FULL_LISTING_SECONDS
        top = [*self._directly(self.root)]
        days = [day for found in top if (day := _day(found.name)) is not None and found.kind is Kind.FOLDER]
        watermark = None if full or due or not days else max(days) - self._recent
        for found in top:
            day = _day(found.name)
            if found.kind is not Kind.FOLDER:
                yield found
            elif is_ignored_folder(found.name):
                continue
            elif watermark is None or day is None or day >= watermark:
                yield from self._below(type(self.root)(found.path))
        if watermark is None:
            self._listed_all = now


def _day(name: str) -> dt.date | None:
    with suppress(ValueError):
        return dt.date.fromisoformat(name) if len(name) == 10 else None
    return None
