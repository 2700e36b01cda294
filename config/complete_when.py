"""When a file is complete: once its marker, or the manifest with its counts, lies beside it."""

from __future__ import annotations

import re
from typing import Self

from pydantic import field_validator, model_validator

from config.model import Model

_NAMES = re.compile(r"\{([^{}]*)\}")


class CompleteWhen(Model):
    """One of the two: names of a file in the same folder, with `{name}` or `{stem}` of the file that it is of."""

    marker: str | None = None
    manifest: str | None = None

    @field_validator("marker", "manifest")
    @classmethod
    def _is_name(cls, value: str | None) -> str | None:
        if value is None:
            return None
        names = _NAMES.findall(value)
        if (
            "/" in value
            or not value
            or not {*names} <= {"name", "stem"}
            or re.search("[{}]", _NAMES.sub("", value))
        ):
            raise ValueError(
                f"{value!r}: write the name of a file, with {{name}} or {{stem}}, as in '{{name}}.done'"
            )
        return value

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.marker is None) == (self.manifest is None):
            raise ValueError("give exactly one of marker and manifest, as in {marker: '{name}.done'}")
        if self.marker is not None and not _NAMES.search(self.marker):
            raise ValueError("a marker is of one file: its name holds {name} or {stem}, as in '{name}.done'")
        return self

    @property
    def pattern(self) -> str:
        """The name as it was written down."""
        return self.marker or self.manifest or ""

    @property
    def is_of_one(self) -> bool:
        """Has each file one of its own?"""
        return _NAMES.search(self.pattern) is not None

    def beside(self, name: str) -> str:
        """What the marker or manifest of the file `name` is called."""
        said = {"name": name, "stem": name.partition(".")[0]}
        return _NAMES.sub(lambda part: said[part[1]], self.pattern)

    def fits(self, name: str) -> bool:
        """May a file of this name be a marker or a manifest?"""
        parts = _NAMES.split(self.pattern)[::2]
        return re.fullmatch(".+".join(map(re.escape, parts)), name, re.DOTALL) is not None
