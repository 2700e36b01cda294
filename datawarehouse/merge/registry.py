"""Which way of merging a kind of file has."""

from __future__ import annotations

from config.file_spec import FileSpec
from config.model import Keep
from datawarehouse.merge.first import First
from datawarehouse.merge.latest import Latest
from datawarehouse.merge.merge import Merge

MERGES: dict[Keep, type[Merge]] = {Keep.FIRST: First, Keep.LATEST: Latest, Keep.HISTORY: Latest}


def merge_of(spec: FileSpec) -> Merge:
    """The way that the YAML says, by `keep`."""
    return MERGES[spec.keep](spec)
