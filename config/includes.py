"""`include: [types/*.yaml]`: parts of the configuration in files of their own, as one for each type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from config.yaml_file import read_yaml

INCLUDE = "include"
_WAY_OUT = "mend it, or take it out of include"
_EXPECTED = "expected_files"
# Sections that several files may add to. Whatever is in them belongs to one file as a whole.
_SHARED = {
    (),
    ("watcher",),
    ("watcher", "batch"),
    ("watcher", "stream"),
    ("watcher", "batch", _EXPECTED),
    ("watcher", "stream", _EXPECTED),
    ("reader",),
    ("reader", "file_type_map"),
    ("schemas",),
}
Place = tuple[str, ...]


class Parts:
    """The configuration as it is put together, and which file said what."""

    def __init__(self, source: Path, raw: Any) -> None:
        self._source = source
        self._said_by: dict[Place, Path] = {}
        self.whole: Any = {} if raw is None else raw
        self._note(self.whole, source, ())

    def add(self, raw: Mapping[str, Any], source: Path) -> None:
        """Lay another file's keys beside. Raises ConfigError for one that is said already."""
        if INCLUDE in raw:
            listed = ", ".join(patterns_of(raw[INCLUDE])) or "…"
            raise ConfigError(
                f"{source}: include: an included file includes no others; take it out there, and add {listed} "
                f"to include in {self._source}, by its path from there"
            )
        self._merge(self.whole, raw, source, ())

    def _merge(self, into: dict[str, Any], raw: Mapping[str, Any], source: Path, place: Place) -> None:
        for key, value in raw.items():
            here = (*place, str(key))
            there = into.get(key)
            if key not in into or (there is None and here in _SHARED):
                into[key] = value
                self._said_by[here] = source
                self._note(value, source, here)
            elif here in _SHARED and isinstance(value, dict) and isinstance(there, dict):
                self._merge(there, value, source, here)
            elif here not in _SHARED or value is not None:
                other = self._said_by.get(here, self._source)
                raise ConfigError(f"{'.'.join(here)}: is said in {other} and in {source}; take it out of one")

    def _note(self, value: Any, source: Path, place: Place) -> None:
        if place in _SHARED and isinstance(value, dict):
            for key, inner in value.items():
                self._said_by[(*place, str(key))] = source
                self._note(inner, source, (*place, str(key)))

    def with_file(self, problem: str) -> str:
        """The problem, which begins with its key's path, with the included file that said it."""
        found = [place for place in self._said_by if _begins_with(problem, ".".join(place))]
        said_by = self._said_by[max(found, key=len)] if found else self._source
        return problem if said_by == self._source else f"{said_by}: {problem}"


def _begins_with(problem: str, path: str) -> bool:
    return problem.startswith(path) and problem[len(path) : len(path) + 1] in {"", ".", ":"}


def put_together(source: Path, raw: Any) -> Parts:
    """What `source` says and the files that it includes. Raises ConfigError that names file and key."""
    parts = Parts(source, raw)
    if not isinstance(raw, dict):
        return parts
    for file in included_files(source, raw.get(INCLUDE)):
        part = read_yaml(file, _WAY_OUT)
        if part is None:
            continue
        if not isinstance(part, dict):
            raise ConfigError(f"{file}: holds no sections, as in schemas: and watcher:")
        parts.add(part, file)
    return parts


def included_files(source: Path, include: Any) -> Iterator[Path]:
    """The files that globs lead to, from the folder of `source` on; each once, in the order of their names."""
    seen = {source.resolve()}
    for pattern in patterns_of(include):
        is_glob = re.search(r"[*?\[]", pattern) is not None
        start, rest = (Path("/"), pattern.lstrip("/")) if pattern.startswith("/") else (source.parent, pattern)
        try:
            found = sorted(start.glob(rest)) if is_glob else [start / rest]
        except (ValueError, NotImplementedError):
            raise ConfigError(f"{source}: include: {pattern!r} is no name of files, as types/*.yaml is") from None
        for file in found:
            if file.resolve() not in seen and not (is_glob and file.name.startswith(".")):
                seen.add(file.resolve())
                yield file


def patterns_of(include: Any) -> list[str]:
    """The globs under `include`; what is no such list is told with the other problems of the file."""
    listed = [include] if isinstance(include, str) else include
    return [one for one in listed if isinstance(one, str) and one] if isinstance(listed, list | tuple) else []
