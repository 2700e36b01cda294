"""Types whose rows are the elements of arrays in another type's records: what `from_child` adds to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from config.key import ForeignKey, Key
from config.model import Column, Dtype, Feed, FileSpec, FromChild, Schema, Within
from config.origins import Origin, path_in_record
from config.settings import ExpectedFile, SchemaConfig

POSITION = "position"


class Entry(NamedTuple):
    """An expected file of the YAML, and the type that it is of."""

    feed: Feed
    pattern: str
    file: ExpectedFile
    name: str

    @property
    def where(self) -> str:
        """Its place in the YAML."""
        return f"watcher.{self.feed.value}.expected_files.{self.pattern}"


def with_columns_of_parent(name: str, child: FromChild, schemas: Mapping[str, SchemaConfig]) -> SchemaConfig:
    """The schema of a child with the columns that it does not name: the parent's key, and the position.

    They come first. Where an element has a value of that name, the schema stays as it is: `child_problems` tells.
    """
    config, parent = schemas[name], schemas.get(child.of)
    if parent is None:
        return config
    own = {column.name for column in config.columns}
    said = {column.value.parent or column.value.element for column in config.columns if column.value}
    its = {column.name: column for column in parent.columns}
    wanted = [_taken(its[key]) for key in parent.primary_key if key in its and key not in said]
    if POSITION not in said:
        value = Origin(element=POSITION)
        wanted.append(Column(name=POSITION, dtype=Dtype.INT, nullable=False, value=value))
    added = tuple(column for column in wanted if column.name not in own)
    return SchemaConfig(primary_key=config.primary_key, columns=(*added, *config.columns))


def _taken(column: Column) -> Column:
    """The parent's column as the child has it."""
    gone = {"sources": (), "optional": False, "default": None, "rules": {}, "allowed_values": None}
    said = {name: getattr(column, name) for name in Column.model_fields}
    return Column(**{**said, **gone, "value": Origin(parent=column.name)})


def of_record_problems(schema: Schema, parent: Schema | None) -> Iterator[str]:
    """What is wrong with the columns that the record around a row says, each with its key's path from `columns`.

    `parent`: the schema of these records; None where rows are no elements.
    """
    for column in schema.columns:
        if column.value is None or not column.value.is_of_record:
            continue
        where = f"columns.{column.name}.value"
        if parent is None:
            yield f"{where}: {column.value.says} goes with a type that has from_child; leave it out"
        elif column.value.element and column.dtype is not Dtype.INT:
            yield f"{where}: element: {column.value.element} goes with dtype int, not with {column.dtype.value}"
        elif column.value.parent:
            its = parent.in_record.by_name.get(column.value.parent)
            if its is None:
                yield f"{where}: schemas.{parent.name} has no column {column.value.parent!r} in its records"
            elif (its.pii, its.personal) != (column.pii, column.personal):
                pii = its.pii.value if its.pii else "none"
                yield (
                    f"{where}: the parent's column has pii: {pii}, personal: {str(its.personal).lower()}; say the "
                    "same here"
                )


def child_problems(entry: Entry, entries: Sequence[Entry], schemas: Mapping[str, Schema]) -> Iterator[str]:
    """Why the entry can't be a child as it says, each with its place."""
    child = entry.file.from_child
    assert child is not None  # noqa: S101
    where = f"{entry.where}.from_child"
    parents = [other for other in entries if other.name == child.of]
    if not parents:
        yield f"{where}.of: {child.of!r} is not the type of any expected file"
        return
    parent, schema = parents[0], schemas.get(child.of)
    if parent.file.from_child is not None:
        yield (
            f"{where}.of: {child.of} has from_child itself; arrays within its elements can't be a type: take them "
            "as a column of dtype json"
        )
    elif len(parents) > 1:
        names = ", ".join(one.pattern for one in parents)
        yield f"{where}.of: {child.of} has several expected files ({names}); from_child needs one, maybe a glob"
    elif parent.feed is not entry.feed:
        yield f"{where}.of: {child.of} is a {parent.feed.value} file; put this beside it"
    if schema is not None and schema.primary_key.is_row:
        yield f"{where}.of: the rows of {child.of} have no key (primary_key: row) by which to find them"
    if "." in entry.pattern or "*" in entry.pattern:
        yield f"{entry.where}: with from_child it is no file; call it by the name of its type"
    if entry.file.read.model_fields_set or entry.file.read.of_format:
        yield f"{entry.where}.read: it is read as the files of {child.of} are; leave read out"
    contract = entry.file.contract
    if contract is not None and (contract.expected_by or contract.expected_every):
        key = "expected_by" if contract.expected_by else "expected_every"
        yield f"{entry.where}.contract.{key}: it comes with the files of {child.of}; say it there"
    own = schemas[entry.name].by_name if entry.name in schemas else {}
    named = {column.value.parent or column.value.element for column in own.values() if column.value}
    for name in (*(schema.primary_key if schema else ()), POSITION):
        if name not in named:
            value = f"{{element: {POSITION}}}" if name == POSITION else f"{{parent: {name}}}"
            yield (
                f"schemas.{entry.name}.columns.{name}: the elements have a column of this name, and it would also "
                f"be the {'number' if name == POSITION else 'key'} of {child.of}; give that one a name of its "
                f"own: a column with value: {value}"
            )


def as_child(spec: FileSpec, child: FromChild, parent: Schema, read_as: FileSpec) -> FileSpec:
    """`spec` as a child of the type `read_as`, to whose rows it refers."""
    columns = {column.value.parent: column.name for column in spec.schema.columns if column.value}
    to_parent = ForeignKey(Key(tuple(columns[name] for name in parent.primary_key)), child.of)
    return replace(
        spec,
        schema=spec.schema.changed(within=Within(of=parent, path=child.path)),
        foreign_keys=tuple(dict.fromkeys((to_parent, *spec.foreign_keys))),
        read=read_as.read,
    )


def with_children(specs: Sequence[FileSpec]) -> tuple[FileSpec, ...]:
    """The specs, in their order, with the children of each."""
    found: dict[str, list[FileSpec]] = {}
    for spec in specs:
        if spec.schema.within:
            found.setdefault(spec.schema.within.of.name, []).append(spec)
    return tuple(_with(spec, found.get(spec.name, [])) for spec in specs)


def _with(spec: FileSpec, children: Sequence[FileSpec]) -> FileSpec:
    if not children:
        return spec
    paths = [child.schema.within.path for child in children if child.schema.within]
    beside = frozenset(path_in_record(path)[0] for path in paths)
    return replace(spec, schema=spec.schema.changed(beside=beside), children=tuple(children))
