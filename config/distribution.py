"""What a configuration can't have in a database whose facts are distributed over several servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from config.file_spec import FileSpec
from config.key import IfMissing


def distribution_problems(specs: Iterable[FileSpec]) -> Iterator[str]:
    """One problem for each key that does not go with `database.distributed`, with its path."""
    for spec in specs:
        where = f"watcher.{spec.feed.value}.expected_files.{spec.pattern}"
        if spec.partition_by is not None:
            yield f"{where}.partition_by: does not go with database.distributed"
        if len(spec.schema.primary_key) != 1:
            yield f"schemas.{spec.name}.primary_key: with database.distributed a key has one column"
        if any(len(key.key) != 1 or key.to or key.parent == spec.name for key in spec.foreign_keys):
            yield (
                f"{where}.foreign_keys: with database.distributed they have one column, and refer to the primary "
                "key of another table"
            )
        if any(key.if_missing is IfMissing.PLACEHOLDER for key in spec.foreign_keys):
            yield f"{where}.if_parent_missing: placeholder does not go with database.distributed"
        if spec.keep.replaces:
            yield (
                f"{where}.keep: {spec.keep.value} does not go with database.distributed, and on_conflict: "
                "update_if_newer is the same as latest; leave it out, with newer_by and track"
            )
