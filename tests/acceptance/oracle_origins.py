"""Where the oracle finds a column: by the YAML's from, optional, default and value, and its policies."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Members = list[tuple[str, str]]  # of a JSON object: keys and the source text of values
DAY = re.compile(r"/(\d{4}-\d{2}-\d{2})/(?:([01]\d|2[0-3])/)?")


class NoRecordError(Exception):
    """A record that can't be taken apart, or the file's columns are not those of the YAML."""


@dataclass(frozen=True)
class Origins:
    """`names` are the columns that files have, each with what it may be called there."""

    names: dict[str, tuple[str, ...]]
    may_lack: frozenset[str] = frozenset()
    leaves_out: bool = False
    keeps: bool = False  # what has no column is in _extra
    records: str | None = None
    constants: dict[str, Callable[[Path], str | None]] = field(default_factory=dict)

    def header(self, found: Collection[str]) -> list[str | None]:
        """Each name's column, None for one that is left out; raises NoRecordError."""
        owners = {alias: name for name, aliases in self.names.items() for alias in aliases}
        columns = [owners.get(name) for name in found]
        known = [column for column in columns if column]
        if len(set(known)) < len(known) or (None in columns and not (self.leaves_out or self.keeps)):
            raise NoRecordError
        if set(self.names) - set(known) - self.may_lack:
            raise NoRecordError
        return columns

    def beside(self, members: Members) -> tuple[str, ...]:
        """Keys of a record that no column is found at."""
        if self.leaves_out or self.keeps:
            return ()
        first = {self.steps(name, alias)[0] for name, aliases in self.names.items() for alias in aliases}
        return tuple(name for name, _ in members if name not in first)

    def kept_texts(self, names: list[str], values: list[str | None]) -> dict[str, str]:
        """What a line of CSV has in columns without a name here, as it is written."""
        if not self.keeps:
            return {}
        columns, taken = self.header(names), set[str]()
        kept: dict[str, str] = {}
        for place, (name, column, value) in enumerate(zip(names, columns, values, strict=True), start=1):
            if column is None:
                called = name if name and name not in taken else f"column_{place}"
                taken.add(called)
                kept |= {called: value} if value is not None else {}
        return kept

    def kept_sources(
        self, members: Members, taken_apart: Callable[[str], Members], within: tuple[str, ...] = ()
    ) -> dict[str, str]:
        """The source text of what a record has under other keys; within objects with columns, by path."""
        paths = {tuple(self.steps(name, alias)) for name, aliases in self.names.items() for alias in aliases}
        kept: dict[str, str] = {}
        for key, source in members if self.keeps else ():
            here = (*within, key)
            if here in paths or source == "null":
                continue
            if any(path[: len(here)] == here for path in paths):
                if source.startswith("{"):
                    kept |= self.kept_sources(taken_apart(source), taken_apart, here)
            else:
                kept[".".join(step.replace(".", "\\.") for step in here) if within else key] = source
        return kept

    def sources(self, members: Members, taken_apart: Callable[[str], Members]) -> dict[str, str]:
        """The source text of each column that a JSON record has; raises NoRecordError."""
        found: dict[str, str] = {}
        for name, aliases in self.names.items():
            for alias in aliases:
                source = _at(members, self.steps(name, alias), taken_apart)
                if source is None:
                    continue
                if source != "null" and found.get(name, "null") != "null":
                    raise NoRecordError
                if found.get(name, "null") == "null":
                    found[name] = source
        return found

    def steps(self, name: str, alias: str) -> list[str]:
        """The keys that lead to a column; its own name is one."""
        keys = [""]
        for char in alias:
            if char == "." and not keys[-1].endswith("\\"):
                keys.append("")
            else:
                keys[-1] = keys[-1].removesuffix("\\") + char if char == "." else keys[-1] + char
        return [alias] if alias == name or "" in keys else keys


def _at(members: Members, steps: list[str], taken_apart: Callable[[str], Members]) -> str | None:
    names = [name for name, _ in members]
    if len(set(names)) < len(names):
        raise NoRecordError
    source = dict(members).get(steps[0])
    if source is None or len(steps) == 1:
        return source
    if source == "null":
        return None
    if not source.startswith("{"):
        raise NoRecordError
    return _at(taken_apart(source), steps[1:], taken_apart)


def read_origins(schema: dict[str, Any], entry: dict[str, Any], read: dict[str, Any]) -> Origins:
    """What the YAML says of one kind of file."""
    nulls_missing = entry.get("missing_columns") == "null"
    names, may_lack, constants = {}, set(), {}
    for column in schema["columns"]:
        name, given = column["name"], column.get("from") or column["name"]
        if column.get("value"):
            constants[name] = _constant(column["value"])
            continue
        names[name] = (given,) if isinstance(given, str) else tuple(given)
        fills = column.get("default") is not None
        can_be_null = column.get("nullable", True) and not (column.get("rules") or {}).get("required")
        if column.get("optional") or (nulls_missing and (fills or can_be_null) and name != schema["primary_key"]):
            may_lack.add(name)
    policy = entry.get("new_columns")
    return Origins(
        names, frozenset(may_lack), policy == "ignore", policy == "keep", read.get("records"), constants
    )


def _constant(value: dict[str, Any]) -> Callable[[Path], str | None]:
    if "constant" in value:
        fixed = value["constant"]
        return lambda _path: str(fixed).lower() if isinstance(fixed, bool) else str(fixed)
    if "path" in value:
        return lambda path: (found := re.search(value["path"], str(path))) and found[1]
    if value["file"] in {"name", "path"}:
        return lambda path: path.name if value["file"] == "name" else str(path)
    group = 1 if value["file"] == "date" else 2

    def of_folder(path: Path) -> str | None:
        found = list(DAY.finditer(str(path)))
        return found[-1][group] if found else None

    return of_folder
