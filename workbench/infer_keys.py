"""Foreign keys among the files that are given together: by their names, and always by their values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.file_spec import FileSpec
from config.file_specs import build_file_specs
from config.keys_check import KEY_DTYPES
from config.model import Dtype
from config.schema import Column
from config.settings import ConfigFile, PipelineConfig
from ingestion.file_reader import read_chunks
from ingestion.places.registry import opened
from validation.conversions import convert
from workbench.key_guess import parent_of, refers_to_its_own, singular, snake
from workbench.proposal import Proposal, flow, together
from workbench.trial import spec_of

MOST_VALUES = 1_000_000  # of a column, that are looked up
ENOUGH_TEXTS = 5  # different texts that are keys of another file are no chance
ENOUGH_THERE = 0.5  # of the values must be there, that it is told at all


@dataclass
class _Given:
    """A file, its draft, and how it is read."""

    path: Path
    draft: Proposal
    spec: FileSpec

    @property
    def foreign_keys(self) -> dict[str, str]:
        return dict(self.draft.file_entry.get("foreign_keys", {}))


def add_foreign_keys(config: PipelineConfig, drafts: Sequence[tuple[Path, Proposal]], most: int) -> None:
    """Add to the drafts the foreign keys whose values are all among the first `most` rows of another file, or of
    the same; what is not sure is noted."""
    given = [
        _Given(path, one, spec_of(config, one.feed, one.pattern, one.name, one.file_entry, one.schema))
        for path, one in drafts
    ]
    for child in given:
        for column in child.spec.schema.columns:
            _of_one_column(config, given, child, column, most)
        for parent in given:
            _of_several(config, given, child, parent, most)


def _of_one_column(config: PipelineConfig, given: list[_Given], child: _Given, column: Column, most: int) -> None:
    if column.pii or column.name in child.foreign_keys or tuple(child.spec.schema.primary_key) == (column.name,):
        return
    if column.dtype not in KEY_DTYPES or column.dtype in {Dtype.DATE, Dtype.DATETIME}:
        return
    values: set[tuple[Any, ...]] | None = None
    for parent, is_named in _candidates(given, child, column):
        (its,) = parent.spec.schema.key_columns
        if not is_named and its.dtype is not column.dtype:
            continue
        values = _values(child, (Column(name=column.name, dtype=its.dtype, sources=column.sources),), most)
        keys = _values(parent, (its,), most)
        there = len(values & keys) / len(values) if values else 0
        enough = len(values) >= (1 if is_named else ENOUGH_TEXTS)
        if there == 1 and enough:
            if _added(config, given, child, column.name, parent):
                _take_type(child, column.name, parent)
                if not is_named:
                    child.draft.notes.append(
                        f"{column.name}: all of its values are keys of {parent.draft.name}; does it refer to them?"
                    )
            return
        if is_named and there >= ENOUGH_THERE:
            child.draft.notes.append(
                f"{column.name}: {1 - there:.1%} of its values are no keys of {parent.draft.name}; if it refers "
                f"to them, add foreign_keys: {{{flow(column.name)}: {parent.draft.name}}}; such rows wait then"
            )


def _candidates(given: list[_Given], child: _Given, column: Column) -> Iterator[tuple[_Given, bool]]:
    """The files whose rows the column may refer to, and whether its name says so."""
    single = [one for one in given if len(one.spec.schema.primary_key) == 1]
    others = [one for one in single if one is not child]
    by_name = parent_of(column.name, [one.spec for one in others])
    plain = snake(column.name)
    named = [one for one in others if one.spec is by_name or plain in {one.draft.name, singular(one.draft.name)}]
    if child in single and refers_to_its_own(plain):
        named.append(child)
    yield from ((one, True) for one in named)
    if column.dtype in {Dtype.STR, Dtype.UUID}:
        yield from ((one, False) for one in others if one not in named)


def _of_several(config: PipelineConfig, given: list[_Given], child: _Given, parent: _Given, most: int) -> None:
    """A foreign key of several columns, where the child has all columns of the parent's key by their names."""
    key = tuple(parent.spec.schema.primary_key)
    mine = child.spec.schema.by_name
    if (
        child is parent
        or len(key) < 2
        or not set(key) <= set(mine)
        or set(key) == set(child.spec.schema.primary_key)
    ):
        return
    columns = tuple(
        Column(name=n, dtype=parent.spec.schema.by_name[n].dtype, sources=mine[n].sources) for n in key
    )
    values = _values(child, columns, most)
    if values and values <= _values(parent, parent.spec.schema.key_columns, most):
        before = {name: dict(entry) for name, entry in _entries(child).items()}
        for name in key:
            _take_type(child, name, parent, name)
        if not _added(config, given, child, ", ".join(key), parent):
            for name, entry in _entries(child).items():
                entry.clear()
                entry.update(before[name])


def _values(given: _Given, columns: tuple[Column, ...], most: int) -> set[tuple[Any, ...]]:
    """The different values of the columns, read as these are; those with a null refer to nothing."""
    spec = given.spec
    found: set[tuple[Any, ...]] = set()
    rows = 0
    with opened(given.path) as file:
        for chunk in read_chunks(file, given.path.name, spec.schema, 25_000, spec.read, given.path):
            read = [convert(one, chunk.columns[one.name], spec.read_of_keys).values.to_pylist() for one in columns]
            found.update(row for row in zip(*read, strict=True) if None not in row)
            rows += len(chunk.numbers)
            if rows >= most or len(found) > MOST_VALUES:
                break
    return found


def _added(config: PipelineConfig, given: list[_Given], child: _Given, columns: str, parent: _Given) -> bool:
    """Add the foreign key, if the drafts hold together with it."""
    keys = child.draft.file_entry.setdefault("foreign_keys", {})
    entry = _entries(child).get(columns)
    before = dict(entry) if entry is not None else None
    if entry is not None:
        _take_type(child, columns, parent)
    keys[columns] = parent.draft.name
    whole = together(one.draft for one in given)
    schemas = {spec.name: spec for spec in config.files}
    if not any(to in schemas for one in given for to in one.foreign_keys.values()):
        file = ConfigFile.model_validate(
            {**whole, "reader": {**config.reader.model_dump(), **whole.get("reader", {})}}
        )
        _, problems = build_file_specs(file)
        if problems:
            del keys[columns]
            if not keys:
                del child.draft.file_entry["foreign_keys"]
            if entry is not None and before is not None:
                entry.clear()
                entry.update(before)
            return False
    _in_order(child)
    return True


def _entries(given: _Given) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in given.draft.schema["columns"]}


def _take_type(child: _Given, name: str, parent: _Given, of: str | None = None) -> None:
    """A column that refers to another has its type."""
    mine = _entries(child)[name]
    its = _entries(parent)[of or next(iter(parent.spec.schema.primary_key))]
    if mine["dtype"] != its["dtype"] or mine.get("sql_type") != its.get("sql_type"):
        rest = {key: value for key, value in mine.items() if key not in {"dtype", "sql_type", "name"}}
        its_type: dict[str, Any] = {key: its[key] for key in ("dtype", "sql_type") if key in its}
        mine.clear()
        mine.update({"name": name, **its_type, **rest})


def _in_order(child: _Given) -> None:
    """The foreign keys behind the table, as one reads them."""
    entry = child.draft.file_entry
    keys = entry.pop("foreign_keys")
    rest = {key: entry.pop(key) for key in list(entry) if key != "table"}
    entry.update({"foreign_keys": keys, **rest})
