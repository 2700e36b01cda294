"""Works the file specs out of the YAML's watcher, reader and schemas sections, and checks them as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from pydantic import ValidationError

from config.children import as_children, child_problems, unnamed_persons, with_children, with_columns_of_parents
from config.distribution import distribution_problems
from config.expected_file import Contract, Entry, ExpectedFile
from config.file_names import logical_stem, ties
from config.file_spec import FileSpec
from config.gone_checks import gone_of
from config.keys_check import read_foreign_key, with_what_others_ask
from config.model import Feed, Keep
from config.read_options import ReadOptions
from config.schema import Drift, Schema, extra_column
from config.schema_checks import read_schema
from config.settings import ConfigFile, ReaderConfig
from config.spec_checks import contract_problems, spec_problems
from config.table_names import RESERVED_TABLES

_KEEP_IN_OTHER_WORDS = {"nothing": Keep.FIRST, "update_if_newer": Keep.LATEST}


def build_file_specs(file: ConfigFile) -> tuple[tuple[FileSpec, ...], list[str]]:
    """The specs in load order (parents first), and the problems found; specs are usable only without problems."""
    problems: list[str] = []
    entries = _entries(file)
    configs = with_columns_of_parents(entries, file.schemas)
    schemas = {name: read_schema(name, schema, problems) for name, schema in configs.items()}
    problems += child_problems(entries, schemas)
    zone = file.watcher.batch.timezone
    owners = _owners(entries, problems)
    specs = [spec for entry in entries for spec in _spec(entry, file.reader, zone, owners, schemas, problems)]
    known_patterns = {spec.pattern for spec in specs}
    problems += [
        f"reader.file_type_map.{pattern}: no such expected file"
        for pattern in file.reader.file_type_map
        if pattern not in known_patterns and not problems
    ]
    if not problems:
        specs = with_what_others_ask(as_children(entries, specs))
    by_name = {spec.name: spec for spec in specs}
    problems += [
        f"schemas.{name}: no expected file uses it" for name in schemas if name not in by_name and not problems
    ]
    if not problems:
        problems += spec_problems(specs, by_name)
        problems += unnamed_persons(by_name)
        problems += [
            f"watcher.{one.feed.value}.expected_files: {one.pattern} and {other.pattern} expect the same names, "
            "and neither is more exact; say more of the name in one of them"
            for one, other in ties(specs)
        ]
        problems += contract_problems(specs, file.watcher.batch.trigger_hour, file.watcher.batch.timezone)
        problems += distribution_problems(specs) if file.database.distributed else ()
    if problems:
        return (), problems
    return with_children(_in_load_order(specs, by_name, problems)), problems


def _entries(file: ConfigFile) -> list[Entry]:
    """The expected files of both feeds, each with its type."""
    return [
        Entry(feed, pattern, entry, file.reader.file_type_map.get(pattern, logical_stem(pattern)[0]))
        for feed, expected in (
            (Feed.BATCH, file.watcher.batch.expected_files),
            (Feed.STREAM, file.watcher.stream.expected_files),
        )
        for pattern, entry in expected.items()
    ]


def _owners(entries: list[Entry], problems: list[str]) -> dict[str, str]:
    """Who owns a type, as one of its expected files says."""
    owners: dict[str, str] = {}
    for entry in entries:
        owner = entry.file.owner
        if owner and owners.setdefault(entry.name, owner) != owner:
            problems.append(f"{entry.where}.owner: {entry.name} is owned by {owners[entry.name]}; a type has one")
    return owners


def _spec(
    expected: Entry,
    reader: ReaderConfig,
    zone: str,
    owners: dict[str, str],
    schemas: dict[str, Schema],
    problems: list[str],
) -> Iterator[FileSpec]:
    feed, pattern, entry, name = expected
    where, table = expected.where, entry.table.lower()
    if "/" in pattern:
        problems.append(f"{where}: a file name holds no /")
    elif name not in schemas:
        problems.append(
            f"{where}: no schema {name!r} under schemas; add it, or name another in reader.file_type_map"
        )
    elif not re.fullmatch(r"[a-z_][a-z0-9_]{0,54}", table):
        problems.append(f"{where}.table: {entry.table!r} is not a table name of letters, digits and _")
    elif table.startswith("pg_"):
        problems.append(
            f"{where}.table: {table}: names that begin with pg_ are PostgreSQL's own; take another one"
        )
    elif table in RESERVED_TABLES:
        problems.append(f"{where}.table: {table} is a table of the pipeline itself")
    elif read := _read_options(entry, reader, where, problems):
        yield FileSpec(
            name=name,
            feed=feed,
            pattern=pattern,
            table=table,
            schema=_held_to(schemas[name], entry),
            foreign_keys=tuple(
                replace(
                    read_foreign_key(columns, reference.to, schemas[name], schemas),
                    if_missing=reference.if_missing or entry.if_parent_missing,
                )
                for columns, reference in entry.foreign_keys.items()
            ),
            derive=entry.derive,
            keep=_keep(entry, where, problems),
            newer_by=entry.newer_by,
            track=entry.track,
            is_snapshot=entry.rows == "snapshot",
            gone=gone_of(entry),
            gone_at_most_pct=entry.gone_at_most_pct,
            operation=entry.operation,
            indexes=entry.indexes,
            contract=_in_zone(entry.contract, zone),
            read=read,
            partition_by=entry.partition_by,
            complete_when=entry.complete_when,
            after_load=entry.after_load.over(reader.after_load),
            owner=owners.get(name),
            report_to=entry.report_to,
            is_profiled=entry.profile,
            kind=entry.kind,
            was=entry.was.lower() if entry.was else None,
        )


def _in_zone(contract: Contract | None, zone: str) -> Contract | None:
    """The contract with a time zone, by default that of the batch folders."""
    if contract is None or contract.timezone is not None:
        return contract
    return contract.model_copy(update={"timezone": zone})


def _held_to(schema: Schema, entry: ExpectedFile) -> Schema:
    """The schema with what the expected file says of other columns."""
    drift = Drift(**{key: getattr(entry, key) for key in Drift.model_fields})
    columns = schema.columns
    if drift.takes_new:
        columns += (extra_column(personal=any(column.pii or column.personal for column in columns)),)
    return schema.changed(columns=columns, drift=drift)


def _read_options(
    entry: ExpectedFile, reader: ReaderConfig, where: str, problems: list[str]
) -> ReadOptions | None:
    """The file's own options over the defaults: each may hold by itself, and not both together."""
    try:
        return entry.read.over(reader)
    except ValidationError as error:
        problems += [f"{where}.read: {found['msg'].removeprefix('Value error, ')}" for found in error.errors()]
        return None


def _keep(entry: ExpectedFile, where: str, problems: list[str]) -> Keep:
    """Which row of a key stays, by either of the two keys that say it."""
    other = _KEEP_IN_OTHER_WORDS[entry.on_conflict]
    if entry.on_conflict == "update_if_newer" and entry.newer_by is None:
        problems.append(f"{where}.newer_by: update_if_newer needs the name of a datetime column")
    if entry.keep is None:
        return other
    if "on_conflict" in entry.model_fields_set and entry.keep is not other:
        problems.append(
            f"{where}.keep: {entry.keep} says another thing than on_conflict: {entry.on_conflict}; leave one out"
        )
    return entry.keep


def _in_load_order(
    specs: list[FileSpec], by_name: dict[str, FileSpec], problems: list[str]
) -> tuple[FileSpec, ...]:
    levels: dict[str, int] = {}

    def level(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            cycle = " → ".join((*path[path.index(name) :], name))
            problem = f"watcher: foreign keys run in a circle: {cycle}"
            if problem not in problems:
                problems.append(problem)
            return 0
        if name not in levels:
            parents = [key.parent for key in by_name[name].foreign_keys if key.parent != name]
            levels[name] = max((level(parent, (*path, name)) + 1 for parent in parents), default=0)
        return levels[name]

    return tuple(sorted((replace(s, level=level(s.name, ())) for s in specs), key=lambda spec: spec.level))
