"""Checks of the file specs, each beside the others: tables, keys, derived columns, contracts."""

from __future__ import annotations

from collections.abc import Iterator

from config.expected_file import Contract, Derivation, Lookup
from config.file_spec import FileSpec
from config.gone_checks import gone_problems
from config.key import ROW_COLUMN, ForeignKey
from config.keys_check import foreign_key_problems, row_key_problems
from config.missing_parents import if_missing_problems
from config.model import Dtype, Feed
from config.partitioning import partition_problems
from config.schema import EXTRA
from config.table_names import LINEAGE_COLUMNS, stored_name_problems
from config.version_checks import version_problems

VERSION_COLUMNS = ("version_id", "valid_from", "valid_to", "is_current")  # of a history, beside the table's
_OF_TIMELINES = frozenset(  # names that sql/history.sql uses beside those of the table
    {
        *("seen_at", "_ended_by", "_told_at", "_is_seen", "_is_version", "_is_word", "_is_known", "_gone"),
        *("_counts", "_life", "_life_end", "_file_time", "_as_of", "_at", "_in_time", "_in_vain", "_is_replaced"),
        *("_word", "_lacked_later", "_had_later", "_first"),
    }
)
COMPARED = frozenset({Dtype.DATETIME, Dtype.DATE})  # what newer_by may be


def spec_problems(specs: list[FileSpec], by_name: dict[str, FileSpec]) -> list[str]:
    """What is wrong with the specs as a whole, each with its key's path."""
    problems = []
    tables: dict[str, str] = {}
    beside = {name: s.name for s in specs for name in s.tables_beside}
    for spec in specs:
        where = f"watcher.{spec.feed.value}.expected_files.{spec.pattern}"
        first = by_name[spec.name]
        if _of_table(first) != _of_table(spec):
            problems.append(
                f"{where}: files of type {spec.name!r} must agree on table, kind, foreign_keys, indexes, "
                "partition_by, keep, newer_by, track, rows, gone, operation, and on new_columns where that is "
                "keep or add"
            )
        if spec.partition_by is not None:
            problems += [f"{where}.partition_by{p}" for p in partition_problems(spec, spec.partition_by, specs)]
        if tables.setdefault(spec.table, spec.name) != spec.name:
            problems.append(f"{where}.table: {spec.table} is already the table of {tables[spec.table]!r}")
        if spec.table in beside:
            problems.append(f"{where}.table: {spec.table} is a table beside that of {beside[spec.table]!r}")
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
        problems += [f"{where}.{p}" for p in (*_merge_problems(spec), *gone_problems(spec))]
    return problems


def _merge_problems(spec: FileSpec) -> Iterator[str]:
    """Why rows can't be merged as the YAML says."""
    newer = spec.schema.by_name.get(spec.newer_by or "")
    if spec.keep.replaces and spec.newer_by and (newer is None or newer.dtype not in COMPARED):
        yield (
            f"newer_by: {spec.newer_by!r} is not a datetime or date column of schemas.{spec.name}; without "
            "newer_by the later file is newer"
        )
    if spec.keeps_history:
        taken = {column.target for column in spec.schema.columns} | {*spec.derive}
        yield from (
            f"keep: history: {name!r} is a column of the versions; give the file's column a stored_as"
            for name in sorted(taken & {*VERSION_COLUMNS, *_OF_TIMELINES})
        )
        if spec.adds_new:
            yield "keep: history does not go with new_columns: add; new_columns: keep has them in history too"
    if spec.track and not spec.keeps_history:
        yield "track: goes with keep: history, where it says which changes make a version"
    for name in spec.track:
        if name not in spec.schema.by_name:
            yield f"track: {name!r} is not a column of schemas.{spec.name}"
        elif name in spec.schema.primary_key:
            yield f"track: {name!r} is of the key, which never changes"
        elif name == spec.newer_by:
            yield f"track: {name!r} is newer_by, which tells when a version begins"


def _extra_problems(spec: FileSpec) -> Iterator[str]:
    """Why new columns can't be kept, or added."""
    named = [column for column in spec.schema.columns if EXTRA in {column.name, column.target.lower()}]
    if spec.schema.drift.takes_new and len(named) > 1:
        yield f"{EXTRA!r} is where values of new columns are; call the column something else: name, stored_as"


def _of_table(spec: FileSpec) -> tuple[object, ...]:
    """What the files of one type must agree on, since it is their table's."""
    drift = spec.schema.drift
    takes_new = drift.new_columns if drift.takes_new else ""
    merging = spec.keep, spec.newer_by, set(spec.track), spec.is_snapshot, spec.gone, spec.operation
    return spec.table, spec.is_fact, set(spec.foreign_keys), spec.indexes, spec.partition_by, takes_new, merging


def contract_problems(specs: list[FileSpec], trigger_hour: int, timezone: str) -> list[str]:
    """The file log tells files by feed and type: whatever has a contract has these to itself."""
    problems = []
    for spec in specs:
        if spec.contract is not None:
            where = f"watcher.{spec.feed.value}.expected_files.{spec.pattern}.contract"
            hour = trigger_hour if spec.contract.timezone == timezone else 0
            problems += [f"{where}{problem}" for problem in _unfit_contract(spec, spec.contract, hour)]
            same = [s.pattern for s in specs if (s.feed, s.name) == (spec.feed, spec.name) and s is not spec]
            problems += [f"{where}: {other} is of type {spec.name!r} too; only one may be" for other in same]
    return problems


def _unfit_contract(spec: FileSpec, contract: Contract, trigger_hour: int) -> Iterator[str]:
    if contract.expected_by is not None and spec.feed is Feed.STREAM:
        yield ".expected_by: goes with batch files, whose folders have a date; here use expected_every"
    elif contract.expected_by is not None and contract.expected_by.hour < trigger_hour:
        yield f".expected_by: nothing is read before watcher.batch.trigger_hour, {trigger_hour}:00"
    if contract.min_rows is not None and contract.max_rows is not None and contract.min_rows > contract.max_rows:
        yield f".min_rows: {contract.min_rows} is more than max_rows {contract.max_rows}"
    if contract.abort and contract.max_reject_pct is None:
        yield ".abort: needs max_reject_pct, which says when"


def _derivation_problems(
    spec: FileSpec, target: str, derivation: Derivation, by_name: dict[str, FileSpec], taken: set[str | None]
) -> Iterator[str]:
    if len(derivation.forms) != 1:
        names = (name for name in Derivation.model_fields if name not in {"by", "at"})
        yield f"give exactly one of {', '.join(names)}"
        return
    if (derivation.by or derivation.at) and not derivation.version_of:
        yield "by and at go with version_of"
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
    elif derivation.version_of:
        yield from version_problems(spec, derivation, by_name)
    for name, dtype in columns:
        column = spec.schema.by_name.get(name)
        if column is None:
            yield f"{name!r} is not a column of schemas.{spec.name}"
        elif dtype is not None and column.dtype is not dtype:
            yield f"{name!r} is {column.dtype.value}, not {dtype.value}"


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
