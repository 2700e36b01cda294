"""A way of meeting the row that is there: what a merge says of rows of one key, in Arrow and in SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pyarrow as pa

from config.file_spec import FileSpec
from datawarehouse.queries import query


class Merge(ABC):
    """One way, for one kind of file. sql/merge_NAME.sql has the parts of the loader's statements that are its own.

    These are `create_seen`, `repeats`, `or_seen`, `remember`, `newer`, `older`,
    `tells_nothing` and `time`. By `newer` no row
    is newer than itself: a row that was put in place is told from one that was left out by that.
    """

    name: str

    def __init__(self, spec: FileSpec) -> None:
        self._spec = spec

    @abstractmethod
    def split(self, rows: pa.Table, keys: pa.Array) -> tuple[pa.Table, pa.Table]:
        """Of `rows`, whose keys are `keys`, those that are loaded first, one a key, and the others."""

    def part(self, name: str) -> str:
        """A part of the loader's statements."""
        return query(f"merge_{self.name}", name)
