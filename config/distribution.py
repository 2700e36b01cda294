"""What a configuration can't have in a database whose facts are distributed over several servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from config.model import FileSpec, OnConflict


def distribution_problems(specs: Iterable[FileSpec]) -> Iterator[str]:
    """One problem for each key that does not go with `database.distributed`, with its path."""
    for spec in specs:
        where = f"watcher.{spec.feed.value}.expected_files.{spec.pattern}"
        if spec.partition_by is not None:
            yield f"{where}.partition_by: does not go with database.distributed"
        if spec.on_conflict is OnConflict.UPDATE_IF_NEWER:
            yield f"{where}.on_conflict: update_if_newer does not go with database.distributed"
