"""`infer`: proposes the YAML for a new kind of file, from the first rows of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer
import yaml
from psycopg2 import sql

from config.errors import ConfigError, FileChanged, FileRejected, PipelineError
from config.file_specs import RESERVED_TABLES, logical_stem
from config.key import ROW_KEY
from config.model import Column, Dtype, Feed, FileSpec, ReadOptions, Schema
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.fk_checker import rows_by_key
from ingestion.file_reader import byte_stream, read_chunks
from ingestion.formats.registry import FORMATS
from ingestion.places.open_file import OpenFile
from ingestion.places.registry import opened, path_of
from validation.conversions import convert
from validation.strays import looks_personal
from workbench.arguments import insist_on
from workbench.guesses import blanked, guess
from workbench.key_guess import KeyGuess, guess_key, parent_of, singular
from workbench.output import AsJson, print_json, say
from workbench.session import EXIT_OK, checked_config, command, open_warehouse

ENOUGH_THERE = 0.5  # this share of the values must be keys of the parent: some parents come later


@dataclass(frozen=True)
class Proposal:
    """The entries to paste, as mappings, and what to look at before that."""

    pattern: str
    feed: Feed
    name: str
    file_entry: dict[str, Any]
    schema: dict[str, Any]
    rows: int
    notes: list[str]

    def as_mapping(self) -> dict[str, Any]:
        """Where the two entries belong in the YAML."""
        expected = {"expected_files": {self.pattern: self.file_entry}}
        return {"watcher": {self.feed.value: expected}, "schemas": {self.name: self.schema}}


@command
def infer(
    file: Annotated[Path, typer.Argument(parser=path_of)],
    name: Annotated[str, typer.Option(help="The logical name: the stem of the files' names.")],
    feed: Annotated[Feed, typer.Option(help="Where such files come; in the stream they are facts.")] = Feed.BATCH,
    key: Annotated[
        list[str] | None,
        typer.Option(help="The column that tells rows apart, where a guess is no good; several: give it again."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="How many rows to read.")] = 10_000,
    as_json: AsJson = False,
) -> int:
    """Propose the configuration of a new kind of file, ready to be pasted into the YAML.

    It is a guess from some rows of one file: read it before you use it. What is unsure goes to stderr, too. Keys
    of other tables are looked for in the warehouse, where there is one.
    """
    config = checked_config()
    with _warehouse(config) as warehouse:
        found = propose(config, file, name, feed=feed, key=key or (), rows=rows, warehouse=warehouse)
    for note in found.notes:
        typer.echo(f"? {note}", err=True)
    if as_json:
        print_json({"rows_read": found.rows, "notes": found.notes, "config": found.as_mapping()})
    else:
        say(as_yaml(found, file.name))
    return EXIT_OK


@contextmanager
def _warehouse(config: PipelineConfig) -> Iterator[Warehouse | None]:
    """The warehouse, or None where there is none yet or it can't be reached."""
    with ExitStack() as stack:
        try:
            warehouse: Warehouse | None = stack.enter_context(open_warehouse(config))
        except PipelineError:
            warehouse = None
        yield warehouse


def propose(
    config: PipelineConfig,
    path: Path,
    name: str,
    *,
    feed: Feed,
    key: Sequence[str] = (),
    rows: int = 10_000,
    warehouse: Warehouse | None = None,
) -> Proposal:
    """The proposal for files like `path`; with `warehouse`, foreign keys are proposed whose values are there.

    `key` are the columns of the key, where they are known. Raises ConfigError when the file can't be read.
    """
    if not name.isidentifier() or not name.isascii() or name != name.lower():
        raise ConfigError(f"--name {name!r}: a name has small letters, digits and _")
    if name in config.by_logical_name:
        raise ConfigError(f"--name {name}: the configuration has this type already")
    if FORMATS.find(config.reader, path.name) is None:
        told = FORMATS.unreadable(config.reader, path.name)
        raise ConfigError(f'{path.name}: {told}; see "Your own files" in README.md')
    insist_on(path)
    try:
        with opened(path) as file:
            dialect = _dialect(file, path.name, config.reader)
            sample = read_sample(file, path.name, rows, dialect.over(config.reader))
    except (FileRejected, FileChanged) as problem:
        raise ConfigError(f"{path.name}: {problem}") from None
    except OSError as problem:
        raise ConfigError(f"{path}: can't be read: {problem.strerror}") from None
    if sample.num_rows == 0:
        raise ConfigError(f"{path.name}: has no rows to judge by")
    found = _proposal(config, path, name, feed, key, sample, warehouse)
    if dialect.of_format:
        found.file_entry["read"] = dialect.of_format
    return found


def _dialect(file: OpenFile, name: str, options: ReadOptions) -> ReadOptions:
    """What the file's format makes of its beginning, as far as it differs from `options`."""
    found, own = FORMATS.get(options, name)
    with byte_stream(file, name) as raw:
        return ReadOptions.model_validate(found.sniff(raw.read(found.sniffed_bytes), own) or {})


def read_sample(file: OpenFile, name: str, rows: int, options: ReadOptions) -> pa.Table:
    """The first `rows` records as text columns, whatever columns the file has."""
    names = _column_names(file, name, rows, options)
    for position, column in enumerate(names, 1):
        if looks_personal(column) or not 0 < len(column.encode()) <= 63 or column.replace(".", "").isdigit():
            raise FileRejected(f"the name of column {position} looks like a value; has the file a header line?")
    schema = Schema(name=name, primary_key=names[0], columns=tuple(Column(name=n, dtype=Dtype.STR) for n in names))
    tables: list[pa.Table] = []
    for chunk in read_chunks(file, name, schema, min(rows, 50_000), options):
        tables.append(pa.table(chunk.columns))
        if sum(table.num_rows for table in tables) >= rows:
            break
    return pa.concat_tables(tables).slice(0, rows) if tables else pa.table({n: [] for n in names})


def _column_names(file: OpenFile, name: str, rows: int, options: ReadOptions) -> list[str]:
    """The names that the file gives its columns."""
    found, own = FORMATS.get(options, name)
    with byte_stream(file, name) as raw:
        names = found.columns(raw, rows, own)
    if not names or "" in names:
        raise FileRejected("has no column names")
    if len(set(names)) < len(names):
        raise FileRejected("names a column twice")
    return names


def _proposal(
    config: PipelineConfig,
    path: Path,
    name: str,
    feed: Feed,
    key: Sequence[str],
    sample: pa.Table,
    warehouse: Warehouse | None,
) -> Proposal:
    if unknown := [column for column in key if column not in sample.column_names and key != (ROW_KEY,)]:
        raise ConfigError(f"--key {unknown[0]!r} is not a column of {path.name}")
    found_key = KeyGuess(tuple(key)) if key else guess_key(sample, name)
    notes = list(found_key.notes)
    foreign_keys: dict[str, str] = {}
    columns = []
    types = list(config.by_logical_name.values())
    for column in sample.column_names:
        values = sample.column(column).combine_chunks()
        is_key = column in found_key.columns
        parent, unsure = (
            (None, None) if is_key and len(found_key.columns) == 1 else _parent(column, values, types, warehouse)
        )
        found = guess(column, values, is_key=is_key, parent=parent)
        columns.append(found.entry | ({"nullable": False} if is_key else {}))
        notes += [*found.notes, *([unsure] if unsure else [])]
        if parent is not None and found.fits_parent:
            foreign_keys[column] = parent.name
    file_entry: dict[str, Any] = {"table": _table(config, name, feed)}
    if foreign_keys:
        file_entry["foreign_keys"] = foreign_keys
    pattern = name + logical_stem(path.name)[1]
    alone = len(found_key.columns) == 1 and not (key and ROW_KEY in sample.column_names)
    schema = {"primary_key": found_key.columns[0] if alone else list(found_key.columns), "columns": columns}
    return Proposal(pattern, feed, name, file_entry, schema, sample.num_rows, notes)


def _parent(
    column: str, values: pa.Array, types: Sequence[FileSpec], warehouse: Warehouse | None
) -> tuple[FileSpec | None, str | None]:
    """The type that a column refers to, where its name says so and its values are there; what is unsure of it."""
    parent = parent_of(column, types)
    if parent is None:
        return None, None
    there = _share_there(values, parent, warehouse)
    if there is not None and there >= ENOUGH_THERE:
        return parent, None
    found = "they could not be looked for in" if there is None else f"only {there:.0%} of them are in"
    advice = f"if it refers to {parent.name}, add foreign_keys: {{{_flow(column)}: {parent.name}}}"
    return None, f"{column}: its name says {parent.name}; of its values, {found} {parent.table}; {advice}"


def _share_there(values: pa.Array, parent: FileSpec, warehouse: Warehouse | None) -> float | None:
    """The share of the distinct values that are keys of the parent's table; None where there is none to ask."""
    if warehouse is None:
        return None
    keys = convert(parent.schema.key_columns[0], pc.unique(blanked(values).drop_null())).values.drop_null()
    try:
        with warehouse.transaction() as tx:
            tx.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(parent.key_table)))
            if not len(keys) or tx.fetchone() != (True,):
                return None
            return len(rows_by_key(tx, parent, pa.chunked_array([keys]))) / len(keys)
    except PipelineError:  # no such table yet
        return None


def _table(config: PipelineConfig, name: str, feed: Feed) -> str:
    taken = {spec.table for spec in config.files} | RESERVED_TABLES
    prefix = "dim" if feed is Feed.BATCH else "fact"
    table = f"{prefix}_{singular(name)}"
    return table if table not in taken else f"{prefix}_{name}_file"


def as_yaml(found: Proposal, file_name: str) -> str:
    """The proposal as text to paste: a line a column, as in the shipped YAML."""
    lines = [
        f"# Proposed from the first {found.rows:,} rows of {file_name}. Check it, then add it to the sections."
    ]
    lines += [f"# {note}" for note in found.notes]
    lines += ["watcher:", f"  {found.feed.value}:", "    expected_files:", f"      {_flow(found.pattern)}:"]
    lines += [f"        {key}: {_flow(value)}" for key, value in found.file_entry.items()]
    lines += ["", "schemas:", f"  {_flow(found.name)}:", f"    primary_key: {_flow(found.schema['primary_key'])}"]
    lines += ["    columns:", *(f"      - {_flow(column)}" for column in found.schema["columns"])]
    return "\n".join(lines)


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
