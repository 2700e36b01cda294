"""Where a column's values come from: a name or a place in the file, or what the file's path or the YAML says."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from config.model import as_list

_STEP = re.compile(r"(?<!\\)\.")
Constant = str | bool | int | float | dt.datetime | dt.date | None


def _sources(values: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"{twice[0]!r} is given twice")
    return values


SourceName = Annotated[str, Field(min_length=1, max_length=1000)]
Sources = Annotated[tuple[SourceName, ...], BeforeValidator(as_list), AfterValidator(_sources)]


def path_in_record(source: str) -> tuple[str, ...]:
    """The keys that lead to a value: `sender.address.city`; a dot within a key is written with a backslash.

    What can't be a path, for a key would be empty (`St. No.` has a dot at its end), is one key.
    """
    steps = tuple(step.replace("\\.", ".") for step in _STEP.split(source))
    return steps if all(steps) else (source,)


def _with_one_group(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(f"has {groups} groups and needs one, around what is taken, as in branch=([^/]+)")
    return value


class Origin(BaseModel):
    """`value` of a column that is not in the record: exactly one of these.

    `file`, `path`, `constant` are the same for all rows of a file. Of rows that are elements of an array,
    `parent` names a column of the record that they are in, and `element` says which of its elements a row is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Literal["name", "path", "date", "hour"] | None = None
    path: Annotated[str, AfterValidator(_with_one_group)] | None = None
    constant: Constant = None
    parent: str | None = None
    element: Literal["position"] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("give exactly one of file, path, constant, parent, element")
        if not self.is_of_record and self.file is None and self.path is None and self.constant is None:
            raise ValueError("a constant is a value; for none at all leave the column out")
        return self

    @property
    def is_of_record(self) -> bool:
        """Does the record around a row say it, so that it may differ from row to row?"""
        return self.parent is not None or self.element is not None

    def of(self, path: str) -> str | None:
        """The value of all rows of the file at `path`, or at that address; None where it does not tell."""
        if self.path is not None:
            found = re.search(self.path, path)
            return found[1] if found else None
        folder = folder_of(path)
        match self.file:
            case "name":
                return path.rpartition("/")[2]
            case "path":
                return path
            case "date":
                return folder.day.isoformat() if folder.day else None
            case "hour":
                return None if folder.hour is None else str(folder.hour)
        return text_of(self.constant)

    @property
    def says(self) -> str:
        """What of the YAML it is."""
        if self.parent or self.element:
            return f"parent: {self.parent}" if self.parent else f"element: {self.element}"
        return f"file: {self.file}" if self.file else "path" if self.path else "constant"


class DayAndHour(NamedTuple):
    """What the folders of a file say of its time, UTC."""

    day: dt.date | None = None
    hour: int | None = None


def folder_of(path: str) -> DayAndHour:
    """The nearest folder YYYY-MM-DD that the file is in, and the folder HH right in it that leads to the file."""
    names = path.split("/")[:-1]
    for place in range(len(names) - 1, -1, -1):
        if day := day_of_folder(names[place]):
            below = names[place + 1] if place + 1 < len(names) else ""
            return DayAndHour(day, int(below) if re.fullmatch(r"[01][0-9]|2[0-3]", below) else None)
    return DayAndHour()


def day_of_folder(name: str) -> dt.date | None:
    """The day that a folder YYYY-MM-DD is of."""
    try:
        day = dt.date.fromisoformat(name)
    except ValueError:
        return None
    return day if day.isoformat() == name else None


def text_of(value: Constant) -> str | None:
    """A value of the YAML as a file would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
