"""Which way of merging a kind of file has."""

from __future__ import annotations

from config.model import FileSpec, OnConflict
from datawarehouse.merge.first import First
from datawarehouse.merge.latest import Latest
from datawarehouse.merge.merge import Merge

MERGES: dict[OnConflict, type[Merge]] = {OnConflict.NOTHING: First, OnConflict.UPDATE_IF_NEWER: Latest}


def merge_of(spec: FileSpec) -> Merge:
    """The way that the YAML says, by `keep` or `on_conflict`."""
    return MERGES[spec.on_conflict](spec)
