"""Cold start: the dimensions of data/master, which are there before anything that refers to them.

They are offered first at each start, and loaded by the rules of the batch files; what was loaded before is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from config.file_names import logical_stem, spec_for
from config.file_spec import FileSpec
from config.model import Feed
from config.settings import PipelineConfig
from ingestion.formats.registry import FORMATS
from ingestion.inbox import Inbox
from ingestion.places.left_alone import is_left_alone
from ingestion.places.place import Found
from ingestion.places.registry import input_folder, place_of

OF_GENERATORS = "metadata.json"  # what they know of the files beside it


def seed_master(config: PipelineConfig, inbox: Inbox) -> None:
    """Offer the files of the master folder, where there is one."""
    root = input_folder(config, config.watcher.master.dir)
    if place_of(root).has_folder(root):
        offer_master(config, inbox, place_of(root).list(root))


def offer_master(config: PipelineConfig, inbox: Inbox, found: Iterable[Found]) -> None:
    """Offer those of `found`, of the master folder, that may be master files; the inbox reports the others."""
    wanted = (one for one in found if one.name != OF_GENERATORS and not is_left_alone(one.name))
    inbox.offer_found(wanted, Feed.BATCH, _spec_by_stem(config))


def _spec_by_stem(config: PipelineConfig) -> Callable[[str], FileSpec | None]:
    """Whose name before the extension is that of a batch file is of its type, in any format that can be read.

    So is a file that would be expected in a batch folder, where its type has another name.
    """
    by_name = {spec.name: spec for spec in config.files if spec.feed is Feed.BATCH}

    def spec_of(name: str) -> FileSpec | None:
        spec = by_name.get(logical_stem(name)[0])
        if spec is not None and FORMATS.takes(spec, name):
            return spec
        return spec_for(config.files, Feed.BATCH, name)

    return spec_of
