"""What becomes of a file once it is loaded, or has failed: `after_load` of an expected file."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer

from config.model import Model

PARTS = ("type", "date", "hour", "file_id")  # what may stand in braces in the path of an archive
_IN_BRACES = re.compile(r"\{([^{}]*)\}")


class How(StrEnum):
    """What becomes of it."""

    KEEP = "keep"
    DELETE = "delete"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Fate:
    """`folder`, of a file that is moved: as it was written down, with what is in braces."""

    how: How = How.KEEP
    folder: str = ""

    def __str__(self) -> str:
        return self.how.value

    @property
    def root(self) -> str:
        """The part of the folder that is the same for all files."""
        plain, brace, _ = self.folder.partition("{")
        return (plain.rpartition("/")[0] if brace else plain.rstrip("/")) or plain[:1]

    def folder_of(self, type_name: str, as_of: dt.datetime, file_id: int) -> str:
        """The folder for one file; `as_of` in UTC."""
        said = {"type": type_name, "date": f"{as_of:%Y-%m-%d}", "hour": f"{as_of:%H}", "file_id": str(file_id)}
        return _IN_BRACES.sub(lambda part: said[part[1]], self.folder)


KEPT = Fate()


def _fate(value: Any) -> Any:
    if value in ("keep", "delete"):
        return Fate(How(value))
    if isinstance(value, Mapping) and [*value] == ["move"] and isinstance(value["move"], str) and value["move"]:
        folder = value["move"]
        unknown = [name for name in _IN_BRACES.findall(folder) if name not in PARTS]
        if unknown or re.search(r"[{}]", _IN_BRACES.sub("", folder)):
            known = ", ".join(f"{{{name}}}" for name in PARTS)
            raise ValueError(f"{folder}: only {known} may stand in braces")
        return Fate(How.MOVE, folder)
    if isinstance(value, Fate):
        return value
    raise ValueError("write keep, delete, or {move: FOLDER}, as in {move: 'archive/{type}/{date}'}")


def _said(fate: Fate) -> str | dict[str, str]:
    """As the YAML says it."""
    return {"move": fate.folder} if fate.how is How.MOVE else fate.how.value


FateOf = Annotated[Fate, BeforeValidator(_fate), PlainSerializer(_said)]


class AfterLoad(Model):
    """`loaded` and `failed`: what becomes of such a file; `compress`: how it is packed when it is moved."""

    loaded: FateOf = KEPT
    failed: FateOf = KEPT
    compress: Literal["gz"] | None = None

    def of(self, *, failed: bool) -> Fate:
        """What becomes of a file by how it ended."""
        return self.failed if failed else self.loaded

    @property
    def keeps_all(self) -> bool:
        """Does every file stay where it is?"""
        return not self.fates

    @property
    def fates(self) -> dict[str, Fate]:
        """What becomes of files that don't stay, by the key that says it."""
        both = {"loaded": self.loaded, "failed": self.failed}
        return {key: fate for key, fate in both.items() if fate.how is not How.KEEP}

    def over(self, defaults: AfterLoad) -> AfterLoad:
        """These where they were given, else `defaults`."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return defaults.model_copy(update=given)
