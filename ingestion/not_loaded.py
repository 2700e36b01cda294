"""What lies in the input folders and is not loaded, and why: names, rights, links, writers. For whoever looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from config.file_names import spec_for
from config.jobs import FileJob
from config.model import Feed
from config.settings import PipelineConfig
from ingestion.admission import Finished, why_not
from ingestion.inbox import Inbox
from ingestion.places.left_alone import ignored_because
from ingestion.places.registry import input_folder, place_of
from ingestion.scans import scan_due
from ingestion.tracker_view import TrackerView

WRITTEN = "somebody has it open for writing; it is loaded when its writer closes it"


class NotLoaded(NamedTuple):
    """A path that stays where it is. `kind`: unexpected, refused, unreadable, open.

    `changed_at` is its last change, in seconds since 1970; None where that is not known.
    """

    kind: str
    path: Path
    why: str
    changed_at: float | None


class Found(NamedTuple):
    """What a service would find now: files to load, and what it does not load."""

    waiting: Sequence[FileJob]
    not_loaded: Sequence[NotLoaded]


def look_through(config: PipelineConfig, tracker: Finished | None = None) -> Found:
    """Look through the folders as a service does now, without one. Hidden files and folders are not listed."""
    left: list[NotLoaded] = []

    def note(kind: str, path: Path, why: str) -> None:
        left.append(NotLoaded(kind, path, why, place_of(path).changed_at(path)))

    inbox = Inbox(config, tracker or TrackerView(config.path(config.tracker.db_path)), report=note)
    scan_due(config, inbox)
    written = {path for path, _ in inbox.in_the_making()}
    for path in sorted(written):
        note("open", path, WRITTEN)
    for path, why in inbox.incomplete():
        note("incomplete", path, why)
    return Found([job for job in inbox.waiting() if job.path not in written], left)


def why_not_loaded(config: PipelineConfig, path: Path) -> str | None:
    """Why the file is not loaded as it lies there; None when nothing speaks against it.

    Nothing is asked about its content, nor whether it was loaded before.
    """
    watcher = config.watcher
    for feed, directory in ((Feed.BATCH, watcher.batch.dir), (Feed.STREAM, watcher.stream.dir)):
        root = input_folder(config, directory)
        if path.is_relative_to(root):
            return ignored_because(path, root) or _against(config, feed, path)
    return "it is in no input folder"


def _against(config: PipelineConfig, feed: Feed, path: Path) -> str | None:
    place = place_of(path)
    try:
        found = place.stat(path)
    except OSError as error:
        return error.strerror or "it can't be looked at"
    if why := why_not(config.files, path, found, spec_for(config.files, feed, path.name), feed):
        return why[1]
    return WRITTEN if place.has_writer(path) else None
