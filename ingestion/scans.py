"""Looks through the input folders: all of them, those that changed, those of some days, those that are due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from config.file_names import spec_for
from config.model import Feed
from config.origins import day_of_folder
from config.settings import BatchConfig, PipelineConfig
from ingestion.archived import archive_roots
from ingestion.inbox import Inbox
from ingestion.master_seeder import offer_master, seed_master
from ingestion.places.left_alone import is_left_alone
from ingestion.places.place import Found, Kind
from ingestion.places.registry import input_folder, made, path_of, place_of


def what_is_wrong(problem: OSError) -> str:
    """The folder, where it is known, and what the system says of it."""
    return ": ".join(str(part) for part in (problem.filename, problem.strerror) if part) or type(problem).__name__


def _offer_days(config: PipelineConfig, inbox: Inbox, root: Path, wanted: Callable[[dt.date], bool]) -> None:
    """Offer the files of `wanted` folders YYYY-MM-DD below `root`, day by day; report whatever else is there."""
    archives = archive_roots(config)
    for found in sorted(_top(root), key=lambda found: found.name):
        day, path = day_of_folder(found.name), path_of(found.path)
        if f"{found.path}/".startswith(archives):
            continue
        if day is None:
            inbox.report_once("unexpected", path, "is not a folder YYYY-MM-DD; it is not read")
        elif found.kind is not Kind.FOLDER:
            inbox.report_once("refused", path, "is not a folder; links are not followed")
        elif wanted(day):
            inbox.offer_found(_all_below(config, path), Feed.BATCH)


def _top(root: Path) -> Iterator[Found]:
    """What is directly in `root`, without what is left alone by its name."""
    return (found for found in place_of(root).list(root) if not is_left_alone(found.name))


def _all_below(config: PipelineConfig, root: Path) -> Iterator[Found]:
    return place_of(root).scanner(root, config.watcher.batch.catch_up_days).entries(full=True)


def _is_due(day: dt.date, now: dt.datetime, batch: BatchConfig) -> bool:
    """Today from `trigger_hour` on, and the `catch_up_days` before; `now` in any time zone."""
    here = now.astimezone(ZoneInfo(batch.timezone))
    if day == here.date():
        return here.hour >= batch.trigger_hour
    return dt.timedelta(0) < here.date() - day <= dt.timedelta(days=batch.catch_up_days)


def scan_batch(config: PipelineConfig, inbox: Inbox, now: dt.datetime) -> None:
    """Offer the batch files of the days that are due. Raises OSError when the folder can't be used."""
    batch = config.watcher.batch
    _offer_days(config, inbox, made(config, batch.dir), lambda day: _is_due(day, now, batch))


def scan_due(config: PipelineConfig, inbox: Inbox) -> None:
    """Offer what a service would find now: master, the batch days that are due, the stream. Makes no folder."""
    watcher = config.watcher
    seed_master(config, inbox)
    batch, stream = (input_folder(config, folder) for folder in (watcher.batch.dir, watcher.stream.dir))
    if place_of(batch).has_folder(batch):
        scan_batch(config, inbox, dt.datetime.now(dt.UTC))
    if place_of(stream).has_folder(stream):
        inbox.offer_found(_all_below(config, stream), Feed.STREAM)


def scan_everything(config: PipelineConfig, inbox: Inbox) -> None:
    """Offer every dated batch folder in order of date, then every stream folder, whatever the clock says."""
    _offer_days(config, inbox, made(config, config.watcher.batch.dir), lambda _day: True)
    inbox.offer_found(_all_below(config, made(config, config.watcher.stream.dir)), Feed.STREAM)


def offer_again(config: PipelineConfig, inbox: Inbox, paths: Iterable[str]) -> list[str]:
    """Offer files that were found before, by their paths; returns those that are no longer there.

    A folder that the configuration names no more is left alone.
    """
    watcher = config.watcher
    found: dict[str, list[Found]] = {"master": [], "batch": [], "stream": []}
    folders = {"master": watcher.master.dir, "batch": watcher.batch.dir, "stream": watcher.stream.dir}
    roots = {name: f"{input_folder(config, folder)}/" for name, folder in folders.items()}
    gone = []
    for path in paths:
        name = next((name for name, root in roots.items() if path.startswith(root)), None)
        if name is not None:
            try:
                found[name].append(place_of(path).stat(path_of(path)))
            except OSError:
                gone.append(path)
    offer_master(config, inbox, found["master"])
    inbox.offer_found(found["batch"], Feed.BATCH)
    inbox.offer_found(found["stream"], Feed.STREAM)
    return gone


def scan_days(
    config: PipelineConfig, inbox: Inbox, first: dt.date, last: dt.date, name: str | None = None
) -> None:
    """Offer the batch and then the stream folders YYYY-MM-DD from `first` to `last`, whatever the clock says.

    With `name`, only files of that type.
    """

    def wanted(feed: Feed, root: Path) -> Iterator[Found]:
        for found in _all_below(config, root):
            spec = spec_for(config.files, feed, found.name)
            if name is None or (spec is not None and spec.name == name):
                yield found

    days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    for feed, folder in ((Feed.BATCH, config.watcher.batch.dir), (Feed.STREAM, config.watcher.stream.dir)):
        root = made(config, folder)
        for day in days:
            if place_of(root).has_folder(root / day.isoformat()):
                inbox.offer_found(wanted(feed, root / day.isoformat()), feed)
