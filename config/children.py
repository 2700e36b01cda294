"""Types whose rows are the elements of arrays in another type's records: what `from_child` adds to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from config.expected_file import Entry, FromChild
from config.file_spec import FileSpec
from config.key import ForeignKey, Key
from config.model import Dtype
from config.origins import Origin
from config.schema import Column, Schema, Within
from config.settings import SchemaConfig

POSITION = "position"


def _children(entries: Sequence[Entry]) -> dict[str, FromChild]:
    """What the entries say of types whose rows are elements, by the type's name."""
    return {entry.name: entry.file.from_child for entry in entries if entry.file.from_child}


# ---------------------------------------------------------------- columns


def with_columns_of_parents(
    entries: Sequence[Entry], schemas: Mapping[str, SchemaConfig]
) -> dict[str, SchemaConfig]:
    """The schemas, those of children with the columns that they do not name: the parent's key, and the position.

    They come first. Where an element has a value of that name, the schema stays as it is: `child_problems` tells.
    """
    of = {name: child.of for name, child in _children(entries).items()}
    return {
        name: _with_columns_of(schemas[of[name]], config) if of.get(name) in schemas else config
        for name, config in schemas.items()
    }


def _with_columns_of(parent: SchemaConfig, config: SchemaConfig) -> SchemaConfig:
    said = {column.value.parent or column.value.element for column in config.columns if column.value}
    its = {column.name: column for column in parent.columns}
    wanted = [_taken(its[key]) for key in parent.primary_key if key in its and key not in said]
    if POSITION not in said:
        value = Origin(element=POSITION)
        wanted.append(Column(name=POSITION, dtype=Dtype.INT, nullable=False, value=value))
    own = {column.name for column in config.columns}
    added = tuple(column for column in wanted if column.name not in own)
    return SchemaConfig(primary_key=config.primary_key, columns=(*added, *config.columns))


def _taken(column: Column) -> Column:
    """The parent's column as the child has it."""
    gone = {"sources": (), "optional": False, "default": None, "uses": {}, "allowed_values": None}
    said = {name: getattr(column, name) for name in Column.model_fields}
    return Column(**{**said, **gone, "value": Origin(parent=column.name)})


# ---------------------------------------------------------------- problems


def child_problems(entries: Sequence[Entry], schemas: Mapping[str, Schema]) -> Iterator[str]:
    """Why the types can't be children as the YAML says, each with its place."""
    children = _children(entries)
    for name, schema in schemas.items():
        of = schemas.get(children[name].of) if name in children else None
        if of is not None or name not in children:
            yield from (f"schemas.{name}.{problem}" for problem in _column_problems(schema, of))
    for entry in entries:
        if entry.file.from_child is not None:
            yield from _parent_problems(entry, entry.file.from_child, entries, schemas)
            yield from _entry_problems(entry, entry.file.from_child)
            yield from _name_problems(entry.name, entry.file.from_child, schemas)


def _column_problems(schema: Schema, parent: Schema | None) -> Iterator[str]:
    """What is wrong with the columns that the record around a row says, which is of schema `parent`."""
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


def _parent_problems(
    entry: Entry, child: FromChild, entries: Sequence[Entry], schemas: Mapping[str, Schema]
) -> Iterator[str]:
    where = f"{entry.where}.from_child.of"
    parents = [other for other in entries if other.name == child.of]
    if not parents:
        yield f"{where}: {child.of!r} is not the type of any expected file"
        return
    if parents[0].file.from_child is not None:
        yield (
            f"{where}: {child.of} has from_child itself; arrays within its elements can't be a type: take them as "
            "a column of dtype json"
        )
    elif len(parents) > 1:
        names = ", ".join(one.pattern for one in parents)
        yield f"{where}: {child.of} has several expected files ({names}); from_child needs one, maybe a glob"
    elif parents[0].feed is not entry.feed:
        yield f"{where}: {child.of} is a {parents[0].feed.value} file; put this beside it"
    if child.of in schemas and schemas[child.of].primary_key.is_row:
        yield f"{where}: the rows of {child.of} have no key (primary_key: row) by which to find them"


def _entry_problems(entry: Entry, child: FromChild) -> Iterator[str]:
    """What the YAML says of the entry, and goes with files alone."""
    if "." in entry.pattern or "*" in entry.pattern:
        yield f"{entry.where}: with from_child it is no file; call it by the name of its type"
    if entry.file.read.model_fields_set or entry.file.read.of_format:
        yield f"{entry.where}.read: it is read as the files of {child.of} are; leave read out"
    if entry.file.after_load.model_fields_set:
        yield f"{entry.where}.after_load: it has no file of its own; say it of {child.of}"
    if entry.file.report_to:
        yield f"{entry.where}.report_to: it has no file of its own; say it of {child.of}"
    if entry.file.complete_when:
        yield f"{entry.where}.complete_when: it has no file of its own; say it of {child.of}"
    contract = entry.file.contract
    if contract is not None and (contract.expected_by or contract.expected_every):
        key = "expected_by" if contract.expected_by else "expected_every"
        yield f"{entry.where}.contract.{key}: it comes with the files of {child.of}; say it there"


def _name_problems(name: str, child: FromChild, schemas: Mapping[str, Schema]) -> Iterator[str]:
    """Where a column of the elements has the name of one that the parent gives."""
    own = schemas[name].columns if name in schemas else ()
    said = {column.value.parent or column.value.element for column in own if column.value}
    keys = schemas[child.of].primary_key if child.of in schemas else ()
    for column in (*keys, POSITION):
        if column not in said:
            value = f"{{element: {POSITION}}}" if column == POSITION else f"{{parent: {column}}}"
            yield (
                f"schemas.{name}.columns.{column}: the elements have a column of this name, and it would also be "
                f"the {'number' if column == POSITION else 'key'} of {child.of}; give that one a name of its own: "
                f"a column with value: {value}"
            )


def unnamed_persons(by_name: Mapping[str, FileSpec]) -> Iterator[str]:
    """Where elements tell of a person whom only the record around them names: `erase` would not find them."""
    for spec in by_name.values():
        if spec.schema.within is None or not spec.personal:
            continue
        named = {spec.schema.within.of.name, *(key.parent for key in spec.foreign_keys if key.to is None)}
        for key in by_name[spec.schema.within.of.name].foreign_keys:
            if key.to is None and by_name[key.parent].personal and key.parent not in named:
                columns = ", ".join(column.name for column in spec.personal)
                taken = " and ".join(f"{{name: {name}, value: {{parent: {name}}}, …}}" for name in key.key)
                yield (
                    f"schemas.{spec.name}: {columns} tell of a person whom only the records of "
                    f"{spec.schema.within.of.name} name, so that erase would not find them: add {taken} to the "
                    f'columns, and "{key.key}": {key.parent} to foreign_keys'
                )


# ---------------------------------------------------------------- specs


def as_children(entries: Sequence[Entry], specs: Sequence[FileSpec]) -> list[FileSpec]:
    """The specs, those of children read as their parents' files are, and referring to their parents' rows."""
    children, by_name = _children(entries), {spec.name: spec for spec in specs}
    return [
        _as_child(spec, children[spec.name], by_name[children[spec.name].of]) if spec.name in children else spec
        for spec in specs
    ]


def _as_child(spec: FileSpec, child: FromChild, parent: FileSpec) -> FileSpec:
    columns = {column.value.parent: column.name for column in spec.schema.columns if column.value}
    to_parent = ForeignKey(Key(tuple(columns[name] for name in parent.schema.primary_key)), child.of)
    to_parent = next((key for key in spec.foreign_keys if key == to_parent), to_parent)  # as the YAML says it
    return replace(
        spec,
        schema=spec.schema.changed(within=Within(of=parent.schema, path=child.path)),
        foreign_keys=tuple(dict.fromkeys((to_parent, *spec.foreign_keys))),
        read=parent.read,
        owner=spec.owner or parent.owner,
        report_to=parent.report_to,
    )


def with_children(specs: Sequence[FileSpec]) -> tuple[FileSpec, ...]:
    """The specs, in their order, with the children of each."""
    found: dict[str, list[FileSpec]] = {}
    for spec in specs:
        if spec.schema.within:
            found.setdefault(spec.schema.within.of.name, []).append(spec)
    return tuple(_with(spec, found[spec.name]) if spec.name in found else spec for spec in specs)


def _with(spec: FileSpec, children: Sequence[FileSpec]) -> FileSpec:
    beside = frozenset(child.schema.within.path for child in children if child.schema.within)
    return replace(spec, schema=spec.schema.changed(beside=beside), children=tuple(children))
