"""Looks through the input folders: all of them, those that changed, those of some days, those that are due."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from config.file_names import spec_for
from config.model import Feed
from config.settings import BatchConfig, PipelineConfig
from ingestion.inbox import Inbox
from ingestion.master_seeder import offer_master
from ingestion.places.left_alone import is_ignored, is_ignored_folder
from ingestion.places.store import (
    ObjectEntry,
    ObjectScanner,
    ObjectStat,
    input_folder,
    is_object,
    place,
    root_of,
)

GRANULARITY_NS = 2_000_000_000  # two changes so close together may bear one time


class FolderScanner:
    """Lists the files below `root`, without following links. Skips folders that did not change, unless `full`."""

    def __init__(self, root: Path, inbox: Inbox) -> None:
        self.root = root
        self._inbox = inbox
        self._folders: dict[str, tuple[int, list[str]]] = {}  # path → time of change when listed, subfolders

    def entries(self, *, full: bool) -> Iterator[os.DirEntry[str]]:
        """What is not a folder, in all folders that may have something new. Unreadable folders are reported."""
        pending = [str(self.root)]
        listed: dict[str, tuple[int, list[str]]] = {}
        while pending:
            folder = pending.pop()
            known = self._folders.get(folder)
            subfolders: list[str] = []
            try:
                now, changed = time.time_ns(), Path(folder).lstat().st_mtime_ns
                if not full and known and known[0] == changed:
                    listed[folder] = known
                    pending += known[1]
                    continue
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            if not is_ignored_folder(entry.name):
                                subfolders.append(entry.path)
                        else:
                            yield entry
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._inbox.report_once("unreadable", Path(folder), f"can't list the folder: {error.strerror}")
                continue
            # A folder that changed just now may change again and bear the same time: it is listed once more.
            listed[folder] = (changed if changed < now - GRANULARITY_NS else -1, subfolders)
            pending += subfolders
        self._folders = listed


def what_is_wrong(problem: OSError) -> str:
    """The folder, where it is known, and what the system says of it."""
    return ": ".join(str(part) for part in (problem.filename, problem.strerror) if part) or type(problem).__name__


def made(config: PipelineConfig, relative: str) -> Path:
    """An input folder, made if need be, by its real path: it may itself be a link."""
    folder = input_folder(config, relative)
    if is_object(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def scanner_of(config: PipelineConfig, root: Path, inbox: Inbox) -> FolderScanner | ObjectScanner:
    """What lists the files below `root`."""
    if is_object(root):
        return ObjectScanner(root, config.watcher.batch.catch_up_days)
    return FolderScanner(root, inbox)


def _listed(root: Path) -> Iterator[os.DirEntry[str] | ObjectEntry]:
    """What is directly in `root`."""
    if is_object(root):
        yield from ObjectScanner(root, 0).top()
        return
    with os.scandir(root) as entries:
        yield from entries


def _offer_days(config: PipelineConfig, inbox: Inbox, root: Path, wanted: Callable[[dt.date], bool]) -> None:
    """Offer the files of `wanted` folders YYYY-MM-DD below `root`, day by day; report whatever else is there."""

    def left_alone(name: str) -> bool:
        return is_ignored(name) or is_ignored_folder(name)

    found = sorted((entry for entry in _listed(root) if not left_alone(entry.name)), key=lambda entry: entry.name)
    for entry in found:
        day = _date(entry.name)
        if day is None:
            inbox.report_once("unexpected", place(entry.path), "is not a folder YYYY-MM-DD; it is not read")
        elif not entry.is_dir(follow_symlinks=False):
            inbox.report_once("refused", place(entry.path), "is not a folder; links are not followed")
        elif wanted(day):
            inbox.offer_found(scanner_of(config, place(entry.path), inbox).entries(full=True), Feed.BATCH)


def _is_folder(path: Path) -> bool:
    """Is there such a folder, which is no link? In an object store there is any, and perhaps nothing in it."""
    return is_object(path) or (path.is_dir() and not path.is_symlink())


def _date(name: str) -> dt.date | None:
    try:
        day = dt.date.fromisoformat(name)
    except ValueError:
        return None
    return day if day.isoformat() == name else None


def scan_master(config: PipelineConfig, inbox: Inbox) -> None:
    """Offer the master files: any readable format whose name before the extension is that of a batch file."""
    root = root_of(config, config.watcher.master.dir)
    if _is_folder(root):
        offer_master(config, inbox, _listed(root))


def _is_due(day: dt.date, now: dt.datetime, batch: BatchConfig) -> bool:
    """Today (`now` is in UTC) from `trigger_hour` on, and the `catch_up_days` before."""
    if day == now.date():
        return now.hour >= batch.trigger_hour
    return dt.timedelta(0) < now.date() - day <= dt.timedelta(days=batch.catch_up_days)


def scan_batch(config: PipelineConfig, inbox: Inbox, now: dt.datetime) -> None:
    """Offer the batch files of the days that are due. Raises OSError when the folder can't be used."""
    batch = config.watcher.batch
    _offer_days(config, inbox, made(config, batch.dir), lambda day: _is_due(day, now, batch))


def scan_due(config: PipelineConfig, inbox: Inbox) -> None:
    """Offer what a service would find now: master, the batch days that are due, the stream. Makes no folder."""
    watcher = config.watcher
    scan_master(config, inbox)
    if _is_folder(root_of(config, watcher.batch.dir)):
        scan_batch(config, inbox, dt.datetime.now(dt.UTC))
    if _is_folder(root_of(config, watcher.stream.dir)):
        scanner = scanner_of(config, made(config, watcher.stream.dir), inbox)
        inbox.offer_found(scanner.entries(full=True), Feed.STREAM)


def scan_everything(config: PipelineConfig, inbox: Inbox) -> None:
    """Offer every dated batch folder in order of date, then every stream folder, whatever the clock says."""
    _offer_days(config, inbox, made(config, config.watcher.batch.dir), lambda _day: True)
    scanner = scanner_of(config, made(config, config.watcher.stream.dir), inbox)
    inbox.offer_found(scanner.entries(full=True), Feed.STREAM)


def offer_again(config: PipelineConfig, inbox: Inbox, paths: Iterable[str]) -> list[str]:
    """Offer files that were found before, by their paths; returns those that are no longer there.

    A folder that the configuration names no more is left alone.
    """
    watcher = config.watcher
    found: dict[str, list[_FoundAgain]] = {"master": [], "batch": [], "stream": []}
    folders = {"master": watcher.master.dir, "batch": watcher.batch.dir, "stream": watcher.stream.dir}
    roots = {name: f"{_real(input_folder(config, folder))}/" for name, folder in folders.items()}
    gone = []
    for path in paths:
        name = next((name for name, root in roots.items() if path.startswith(root)), None)
        if name is not None:
            try:
                found[name].append(_FoundAgain(path, place(path).lstat()))
            except OSError:
                gone.append(path)
    offer_master(config, inbox, found["master"])
    inbox.offer_found(found["batch"], Feed.BATCH)
    inbox.offer_found(found["stream"], Feed.STREAM)
    return gone


class _FoundAgain:
    """A file that was looked at by its path: as much of os.DirEntry as the inbox uses."""

    def __init__(self, path: str, found: os.stat_result | ObjectStat) -> None:
        self.path = path
        self.name = path.rpartition("/")[2]
        self._found = found

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result | ObjectStat:  # noqa: ARG002
        return self._found


def _real(folder: Path) -> Path:
    return folder if is_object(folder) else folder.resolve()


def scan_days(
    config: PipelineConfig, inbox: Inbox, first: dt.date, last: dt.date, name: str | None = None
) -> None:
    """Offer the batch and then the stream folders YYYY-MM-DD from `first` to `last`, whatever the clock says.

    With `name`, only files of that type.
    """

    def wanted(feed: Feed, root: Path) -> Iterator[os.DirEntry[str] | ObjectEntry]:
        for entry in scanner_of(config, root, inbox).entries(full=True):
            spec = spec_for(config.files, feed, entry.name)
            if name is None or (spec is not None and spec.name == name):
                yield entry

    days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    for feed, folder in ((Feed.BATCH, config.watcher.batch.dir), (Feed.STREAM, config.watcher.stream.dir)):
        root = made(config, folder)
        for day in days:
            if _is_folder(root / day.isoformat()):
                inbox.offer_found(wanted(feed, root / day.isoformat()), feed)
