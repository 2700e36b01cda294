"""Which expected file a name belongs to, and what to say of a name that belongs to none."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations

from config.file_spec import FileSpec
from config.model import Feed

PACKINGS = (".gz", ".zst", ".zip")  # what a name ends with, behind its extension, when the file is packed
_PART = re.compile(r"\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)  # of a glob, as fnmatch reads it
_CLOSE = 0.75  # how like an expected name another one has to be to be taken for a slip


def is_packed(file_name: str) -> bool:
    """Does the name say that the file is packed?"""
    return file_name.lower().endswith(PACKINGS)


def unpacked_name(file_name: str) -> str:
    """The name without what says that the file is packed."""
    return file_name.rpartition(".")[0] if is_packed(file_name) else file_name


def storable(text: str) -> str:
    """A file name as text that PostgreSQL takes, whatever bytes it has."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def spec_for(specs: Iterable[FileSpec], feed: Feed, file_name: str) -> FileSpec | None:
    """The spec that expects `file_name` (or the same, packed) in `feed`, or None; the most exact pattern wins.

    A pattern may name packed files, too: of `export.zip` nobody knows what is in it by the name alone.
    """
    names = {file_name, unpacked_name(file_name)}

    def fits(spec: FileSpec) -> bool:
        return spec.feed is feed and any(fnmatch.fnmatchcase(name, spec.pattern) for name in names)

    found = filter(fits, _with_files(specs))
    return max(found, key=lambda spec: exactness(spec.pattern), default=None)


def _with_files(specs: Iterable[FileSpec]) -> Iterator[FileSpec]:
    """Those that have files of their own: no names are expected for what is within the records of others."""
    return (spec for spec in specs if spec.schema.within is None)


@lru_cache(maxsize=1000)
def exactness(pattern: str) -> tuple[bool, int]:
    """Sorts patterns: a name without wildcards is more exact than any glob, more letters than fewer."""
    parts = _PART.findall(pattern)
    letters = sum(len(part) == 1 and part not in "*?" for part in parts)
    return letters == len(parts), letters


def ties(specs: Iterable[FileSpec]) -> Iterator[tuple[FileSpec, FileSpec]]:
    """Pairs of specs whose patterns are equally exact, and that both expect some name."""
    for one, other in combinations(_with_files(specs), 2):
        alike = one.feed is other.feed and exactness(one.pattern) == exactness(other.pattern)
        if alike and _overlap(one.pattern, other.pattern):
            yield one, other


def _overlap(one: str, other: str) -> bool:
    """Is there a name that both globs take? Walks both at once; two sets of characters count as meeting."""
    left, right = _PART.findall(one), _PART.findall(other)
    pending, seen = [(0, 0)], set()
    while pending:
        here = pending.pop()
        if here in seen:
            continue
        seen.add(here)
        i, j = here
        if i == len(left) and j == len(right):
            return True
        a, b = left[i] if i < len(left) else "", right[j] if j < len(right) else ""
        if a == "*":
            pending.append((i + 1, j))
            pending += [(i, j + 1)] if b else []
        if b == "*":
            pending.append((i, j + 1))
            pending += [(i + 1, j)] if a else []
        if a and b and "*" not in {a, b} and _meet(a, b):
            pending.append((i + 1, j + 1))
    return False


def _meet(a: str, b: str) -> bool:
    """May one character be taken by both parts?"""
    if len(a) > 1 and len(b) > 1:
        return True
    letter, part = (a, b) if len(a) == 1 and a != "?" else (b, a)
    return "?" in {letter, part} or fnmatch.fnmatchcase(letter, part)


def why_unexpected(specs: Iterable[FileSpec], feed: Feed, file_name: str) -> str:
    """What to say of a name that nothing in `feed` expects, with the name that was probably meant."""
    specs = list(specs)
    text = "no expected file has this name; it is not loaded"
    if meant := meant_by(specs, feed, file_name):
        return f"{text}. Did you mean {meant}?"
    if other := next((s for f in Feed if f is not feed and (s := spec_for(specs, f, file_name))), None):
        return f"{text}. It belongs into the {other.feed.value} folder"
    return text


def meant_by(specs: Iterable[FileSpec], feed: Feed, file_name: str) -> str | None:
    """The pattern of `feed` that the name misses by its case, or by a slip."""
    patterns = [spec.pattern for spec in _with_files(specs) if spec.feed is feed]
    plain = unpacked_name(file_name).lower()
    ending = file_name[len(plain) :].lower()
    for pattern in sorted(patterns, key=exactness, reverse=True):
        if fnmatch.fnmatchcase(plain, pattern.lower()):
            return pattern + ending
    lower = {pattern.lower(): pattern for pattern in reversed(patterns)}
    close = difflib.get_close_matches(plain, lower, n=1, cutoff=_CLOSE)
    return lower[close[0]] + ending if close else None


def logical_stem(file_name: str) -> tuple[str, str]:
    """`visits.JSON.gz` → (`visits`, `.json`): the extension in small letters, '' where there is none."""
    name = unpacked_name(file_name)
    stem, dot, extension = name.rpartition(".")
    return (stem, dot + extension.lower()) if stem else (name, "")
