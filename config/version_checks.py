"""`version_of`: can rows be bound to the versions of their parents as the YAML says?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.expected_file import Derivation
from config.file_spec import FileSpec
from config.key import ForeignKey
from config.model import Dtype


def version_problems(spec: FileSpec, derivation: Derivation, by_name: Mapping[str, FileSpec]) -> Iterator[str]:
    """What is wrong with a column of `spec` that is to hold the version of its parent."""
    name = derivation.version_of or ""
    source = by_name.get(name)
    if source is None:
        yield f"version_of: {name!r} is not the type of any expected file"
    elif not source.keeps_history:
        yield f"version_of: {name!r} has no versions; give its files keep: history"
    elif spec.keeps_history:
        yield (
            f"version_of: {spec.name!r} keeps history itself, and its own versions would have to change with "
            "those of its parent; join them by time"
        )
    if derivation.by is None:
        yield f"by: missing; name the foreign key to {name!r}"
    elif binding_key(spec, derivation) is None:
        yield f"by: {derivation.by!r} is not a foreign key to {name!r} by its primary key"
    column = spec.schema.by_name.get(derivation.at or "")
    if derivation.at is None:
        yield "at: missing; name the datetime or date column that tells of which time the row is"
    elif column is None:
        yield f"at: {derivation.at!r} is not a column of schemas.{spec.name}"
    elif column.dtype not in {Dtype.DATETIME, Dtype.DATE}:
        yield f"at: {derivation.at!r} is {column.dtype.value}, not datetime or date"


def binding_key(spec: FileSpec, derivation: Derivation) -> ForeignKey | None:
    """The foreign key by which a row finds the versions of its parent."""
    columns = [part.strip() for part in (derivation.by or "").split(",")]
    for key in spec.foreign_keys:
        fits = [*key.key] == columns or [*key.key] == [derivation.by]
        if fits and key.parent == derivation.version_of and key.to is None:
            return key
    return None
