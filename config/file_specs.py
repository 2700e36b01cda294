"""Works the file specs out of the YAML's watcher, reader and schemas sections, and checks them as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from pydantic import ValidationError

from config.date_formats import format_problem
from config.distribution import distribution_problems
from config.file_names import ties, unpacked_name
from config.key import ROW_COLUMN, ForeignKey
from config.keys_check import (
    foreign_key_problems,
    primary_key_problems,
    read_foreign_key,
    row_key_problems,
    with_what_others_ask,
)
from config.missing_parents import if_missing_problems
from config.model import (
    EXTRA,
    SQL_TYPES_OF_DTYPE,
    TIMES,
    Column,
    Contract,
    Derivation,
    Drift,
    Dtype,
    Feed,
    FileSpec,
    Keep,
    Lookup,
    ReadOptions,
    Schema,
    extra_column,
)
from config.origin_checks import origin_problems
from config.partitioning import partition_problems
from config.settings import ConfigFile, ExpectedFile, ReaderConfig, SchemaConfig

_LONGEST_NAME = 63  # bytes, PostgreSQL cuts what is longer
RESERVED_TABLES = frozenset(
    {
        *("dim_date", "dim_time", "quarantine", "quarantine_history", "orphan_wait", "true_orphan"),
        *("pipeline_file_log", "pipeline_meta", "contract_breach", "erased", "drift"),
    }
)
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})  # PostgreSQL's, on every table
LINEAGE_COLUMNS = ("_file_id", "_loaded_at")  # on every table: which file, when
_KEEP_IN_OTHER_WORDS = {"nothing": Keep.FIRST, "update_if_newer": Keep.LATEST}
MALFORMED_COLUMN = "_malformed"  # what quarantine calls the text of a record that can't be split


def build_file_specs(file: ConfigFile) -> tuple[tuple[FileSpec, ...], list[str]]:
    """The specs in load order (parents first), and the problems found; specs are usable only without problems."""
    problems: list[str] = []
    schemas = {name: _schema(name, schema, problems) for name, schema in file.schemas.items()}
    specs = [
        spec
        for feed, expected in (
            (Feed.BATCH, file.watcher.batch.expected_files),
            (Feed.STREAM, file.watcher.stream.expected_files),
        )
        for pattern, entry in expected.items()
        for spec in _spec(feed, pattern, entry, file.reader, schemas, problems)
    ]
    known_patterns = {spec.pattern for spec in specs}
    problems += [
        f"reader.file_type_map.{pattern}: no such expected file"
        for pattern in file.reader.file_type_map
        if pattern not in known_patterns and not problems
    ]
    if not problems:
        specs = with_what_others_ask(specs)
    by_name = {spec.name: spec for spec in specs}
    problems += [
        f"schemas.{name}: no expected file uses it" for name in schemas if name not in by_name and not problems
    ]
    if not problems:
        problems += _check_together(specs, by_name)
        problems += [
            f"watcher.{one.feed.value}.expected_files: {one.pattern} and {other.pattern} expect the same names, "
            "and neither is more exact; say more of the name in one of them"
            for one, other in ties(specs)
        ]
        problems += _check_contracts(specs, file.watcher.batch.trigger_hour)
        problems += distribution_problems(specs) if file.database.distributed else ()
    if problems:
        return (), problems
    return _in_load_order(specs, by_name, problems), problems


def _schema(name: str, config: SchemaConfig, problems: list[str]) -> Schema:
    schema = Schema(name=name, primary_key=config.primary_key, columns=config.columns)
    where = f"schemas.{name}"
    for kind, names in (
        ("column", [column.name for column in schema.columns]),
        ("stored column", [column.target.lower() for column in schema.columns]),
    ):
        twice = sorted({n for n in names if names.count(n) > 1})
        way_out = "" if kind == "column" else "; capitals make no difference there: give one of them a stored_as"
        problems += [f"{where}.columns: {kind} {name!r} is given twice{way_out}" for name in twice]
    problems += [f"{where}.primary_key: {problem}" for problem in primary_key_problems(schema)]
    for column in schema.columns:
        problems.extend(f"{where}.columns.{column.name}: {problem}" for problem in _column_problems(column))
    problems.extend(f"{where}.{problem}" for problem in origin_problems(schema))
    return schema


def _column_problems(column: Column) -> Iterator[str]:
    for problem in stored_name_problems(column.target):
        yield f"{problem}; give it another name in the table: stored_as"
    if column.name == MALFORMED_COLUMN:
        yield f"{column.name!r} is what quarantine calls a record that can't be split; it can't be a column"
    if "\0" in column.name or not _is_text(column.name):
        yield "a column's name is text, without the character NUL"
    if column.allowed_values and column.dtype is not Dtype.STR:
        yield "allowed_values goes with dtype str"
    if column.pii and column.dtype is not Dtype.STR:
        yield "pii goes with dtype str"
    if column.personal and not column.nullable and column.dtype is not Dtype.STR:
        yield "personal and not nullable goes with dtype str: no other value can say that it was erased"
    try:
        sql = column.sql
    except ValueError as error:
        yield f"sql_type {error}"
        return
    if sql.base not in SQL_TYPES_OF_DTYPE[column.dtype]:
        yield f"sql_type {sql} does not hold dtype {column.dtype.value}"
    if column.round and sql.precision is None and column.dtype not in {Dtype.DATETIME, Dtype.TIME}:
        yield "round goes with sql_type numeric(p,s), or with dtype datetime or time"
    if column.format and column.dtype not in TIMES:
        yield "format goes with dtype datetime, date or time"
    for text in column.format if column.dtype in TIMES else ():
        if wrong := format_problem(text, of_time=column.dtype is Dtype.TIME):
            yield f"format: {text!r} {wrong}"


def stored_name_problems(name: str) -> Iterator[str]:
    """Why no column of a table can be called so."""
    if name in LINEAGE_COLUMNS:
        yield f"{name!r} is a name that the pipeline uses itself"
    if name in SYSTEM_COLUMNS:
        yield f"{name!r} is PostgreSQL's own in every table"
    if not _is_text(name) or "\0" in name:
        yield "the name of a column in a table is text, without the character NUL"
    elif (size := len(name.encode())) > _LONGEST_NAME:
        yield f"its name has {size} bytes, and that of a column in a table {_LONGEST_NAME} at most"


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _spec(
    feed: Feed,
    pattern: str,
    entry: ExpectedFile,
    reader: ReaderConfig,
    schemas: dict[str, Schema],
    problems: list[str],
) -> Iterator[FileSpec]:
    where = f"watcher.{feed.value}.expected_files.{pattern}"
    stem, _ = logical_stem(pattern)
    name = reader.file_type_map.get(pattern, stem)
    table = entry.table.lower()
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
            indexes=entry.indexes,
            contract=entry.contract,
            read=read,
            partition_by=entry.partition_by,
            kind=entry.kind,
        )


def _held_to(schema: Schema, entry: ExpectedFile) -> Schema:
    """The schema with what the expected file says of other columns."""
    drift = Drift(**{key: getattr(entry, key) for key in Drift.model_fields})
    columns = schema.columns
    if drift.takes_new:
        columns += (extra_column(personal=any(column.pii or column.personal for column in columns)),)
    return Schema(name=schema.name, primary_key=schema.primary_key, columns=columns, drift=drift)


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
    if entry.keep is None:
        return other
    if "on_conflict" in entry.model_fields_set and entry.keep is not other:
        problems.append(
            f"{where}.keep: {entry.keep} says another thing than on_conflict: {entry.on_conflict}; leave one out"
        )
    return entry.keep


def logical_stem(file_name: str) -> tuple[str, str]:
    """`visits.JSON.gz` → (`visits`, `.json`): the extension in small letters, '' where there is none."""
    name = unpacked_name(file_name)
    stem, dot, extension = name.rpartition(".")
    return (stem, dot + extension.lower()) if stem else (name, "")


def _check_together(specs: list[FileSpec], by_name: dict[str, FileSpec]) -> list[str]:
    problems = []
    tables: dict[str, str] = {}
    for spec in specs:
        where = f"watcher.{spec.feed.value}.expected_files.{spec.pattern}"
        first = by_name[spec.name]
        if _of_table(first) != _of_table(spec):
            problems.append(
                f"{where}: files of type {spec.name!r} must agree on table, kind, foreign_keys, indexes, "
                "partition_by, and on new_columns where that is keep or add"
            )
        if spec.partition_by is not None:
            problems += [f"{where}.partition_by{p}" for p in partition_problems(spec, spec.partition_by, specs)]
        if tables.setdefault(spec.table, spec.name) != spec.name:
            problems.append(f"{where}.table: {spec.table} is already the table of {tables[spec.table]!r}")
        for foreign_key in spec.foreign_keys:
            problems += [f"{where}.foreign_keys: {p}" for p in foreign_key_problems(spec, foreign_key, by_name)]
            if parent := by_name.get(foreign_key.parent):
                problems += [f"{where}.{p}" for p in if_missing_problems(spec, foreign_key, parent)]
        problems += [f"{where}.{p}" for p in row_key_problems(spec)]
        problems += [f"{where}.new_columns: {p}" for p in _extra_problems(spec)]
        taken = {column.target for column in spec.schema.columns} | {spec.surrogate_key, *LINEAGE_COLUMNS}
        if spec.schema.primary_key.is_row:
            taken.add(ROW_COLUMN)
        for target, derivation in spec.derive.items():
            problems += [
                f"{where}.derive.{target}: {p}"
                for p in _derivation_problems(spec, target, derivation, by_name, taken)
            ]
        if spec.surrogate_key in {column.target for column in spec.schema.columns}:
            problems.append(f"{where}: column {spec.surrogate_key!r} is the fact's own surrogate key")
        problems += [
            f"{where}.indexes: {name!r} is not a column of schemas.{spec.name}"
            for name in spec.indexes
            if name not in spec.schema.by_name
        ]
        problems += [
            f"{where}.indexes: {name!r} is of type json, which PostgreSQL can't index; make it jsonb"
            for name in spec.indexes
            if name in spec.schema.by_name and spec.schema.by_name[name].sql.base == "json"
        ]
        newer = spec.schema.by_name.get(spec.newer_by or "")
        if spec.keep.replaces and (newer is None or newer.dtype is not Dtype.DATETIME):
            problems.append(
                f"{where}.newer_by: update_if_newer (keep: latest) needs the name of a datetime column"
            )
    return problems


def _extra_problems(spec: FileSpec) -> Iterator[str]:
    """Why new columns can't be kept, or added."""
    named = [column for column in spec.schema.columns if EXTRA in {column.name, column.target.lower()}]
    if spec.schema.drift.takes_new and len(named) > 1:
        yield f"{EXTRA!r} is where values of new columns are; call the column something else: name, stored_as"


def _of_table(spec: FileSpec) -> tuple[object, ...]:
    """What the files of one type must agree on, since it is their table's."""
    drift = spec.schema.drift
    takes_new = drift.new_columns if drift.takes_new else ""
    return spec.table, spec.is_fact, set(spec.foreign_keys), spec.indexes, spec.partition_by, takes_new


def _check_contracts(specs: list[FileSpec], trigger_hour: int) -> list[str]:
    """The file log tells files by feed and type: whatever has a contract has these to itself."""
    problems = []
    for spec in specs:
        if spec.contract is not None:
            where = f"watcher.{spec.feed.value}.expected_files.{spec.pattern}.contract"
            problems += [f"{where}{problem}" for problem in _contract_problems(spec, spec.contract, trigger_hour)]
            same = [s.pattern for s in specs if (s.feed, s.name) == (spec.feed, spec.name) and s is not spec]
            problems += [f"{where}: {other} is of type {spec.name!r} too; only one may be" for other in same]
    return problems


def _contract_problems(spec: FileSpec, contract: Contract, trigger_hour: int) -> Iterator[str]:
    if contract.expected_by is not None and spec.feed is Feed.STREAM:
        yield ".expected_by: goes with batch files, whose folders have a date; here use expected_every"
    elif contract.expected_by is not None and contract.expected_by.hour < trigger_hour:
        yield f".expected_by: nothing is read before watcher.batch.trigger_hour, {trigger_hour}:00"
    if contract.min_rows is not None and contract.max_rows is not None and contract.min_rows > contract.max_rows:
        yield f".min_rows: {contract.min_rows} is more than max_rows {contract.max_rows}"
    if contract.abort and contract.max_reject_pct is None:
        yield ".abort: needs max_reject_pct, which says when"


def _lookup_problems(spec: FileSpec, lookup: Lookup, by_name: dict[str, FileSpec]) -> Iterator[str]:
    source = by_name.get(lookup.source)
    if source is None:
        yield f"lookup.from: {lookup.source!r} is not the type of any expected file"
    elif lookup.take not in source.schema.by_name:
        yield f"lookup.take: {lookup.take!r} is not a column of schemas.{lookup.source}"
    elif source.schema.by_name[lookup.take] in source.personal:
        yield f"lookup.take: {lookup.take!r} is personal, and would outlive the erasure of its row"
    elif ForeignKey.of([lookup.by], lookup.source) not in spec.foreign_keys:
        yield f"lookup.by: {lookup.by!r} is not a foreign key to {lookup.source!r}"


def _derivation_problems(
    spec: FileSpec, target: str, derivation: Derivation, by_name: dict[str, FileSpec], taken: set[str | None]
) -> Iterator[str]:
    given = derivation.model_dump(exclude_none=True)
    if len(given) != 1:
        yield f"give exactly one of {', '.join(Derivation.model_fields)}"
        return
    if target in taken:
        yield "the table already has a column of that name"
    yield from (problem for problem in stored_name_problems(target) if target not in taken)
    columns: list[tuple[str, Dtype | None]] = []
    if derivation.date_key or derivation.time_key:
        name = derivation.date_key or derivation.time_key or ""
        days = {column.name for column in spec.schema.columns if column.dtype is Dtype.DATE}
        columns = [(name, Dtype.DATE if derivation.date_key and name in days else Dtype.DATETIME)]
    elif pair := derivation.minutes_between or derivation.later_than:
        columns = [(name, Dtype.DATETIME) for name in pair]
    elif derivation.equals:
        columns = [(derivation.equals[0], Dtype.STR)]
    elif lookup := derivation.lookup:
        columns = [(lookup.by, None)]
        yield from _lookup_problems(spec, lookup, by_name)
    for name, dtype in columns:
        column = spec.schema.by_name.get(name)
        if column is None:
            yield f"{name!r} is not a column of schemas.{spec.name}"
        elif dtype is not None and column.dtype is not dtype:
            yield f"{name!r} is {column.dtype.value}, not {dtype.value}"


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
