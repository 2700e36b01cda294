"""Cold start: the dimensions of data/master, which are there before anything that refers to them.

They are offered first at each start, and loaded by the rules of the batch files; what was loaded before is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from config.file_specs import logical_stem
from config.model import Feed, FileSpec
from config.settings import PipelineConfig
from ingestion.inbox import Found, Inbox
from ingestion.places.left_alone import is_ignored_folder

OF_GENERATORS = "metadata.json"  # what they know of the files beside it


def offer_master(config: PipelineConfig, inbox: Inbox, entries: Iterable[Found]) -> None:
    """Offer those of `entries`, of the master folder, that may be master files; the inbox reports the others."""
    wanted = (entry for entry in entries if entry.name != OF_GENERATORS and not is_ignored_folder(entry.name))
    inbox.offer_found(wanted, Feed.BATCH, _spec_by_stem(config))


def _spec_by_stem(config: PipelineConfig) -> Callable[[str], FileSpec | None]:
    """Whose name before the extension is that of a batch file is of its type, in any format that can be read."""
    by_name = {spec.name: spec for spec in config.files if spec.feed is Feed.BATCH}

    def spec_of(name: str) -> FileSpec | None:
        stem, extension = logical_stem(name)
        return by_name.get(stem) if extension else None

    return spec_of
