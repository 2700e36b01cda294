"""`infer`: proposes the YAML for a new kind of file, from the first rows of one."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer
import yaml

from config.errors import ConfigError, FileChanged, FileRejected
from config.file_specs import RESERVED_TABLES, logical_stem
from config.model import Column, Dtype, Feed, FileSpec, Schema
from config.settings import PipelineConfig
from ingestion.file_reader import OpenFile, byte_stream, opened, read_chunks
from ingestion.formats.json_format import record_keys
from validation.conversions import clean
from validation.pii_handler import looks_personal
from workbench.guesses import FEW, guess, pii_of
from workbench.output import AsJson, print_json, say
from workbench.session import EXIT_OK, checked_config, command

KEY_ENDINGS = ("_id", "_code", "_key", "_no", "_number")


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
    file: Annotated[Path, typer.Argument()],
    name: Annotated[str, typer.Option(help="The logical name: the stem of the files' names.")],
    feed: Annotated[Feed, typer.Option(help="Where such files come; in the stream they are facts.")] = Feed.BATCH,
    key: Annotated[
        str | None, typer.Option(help="The column that tells rows apart, where a guess is no good.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="How many rows to read.")] = 10_000,
    as_json: AsJson = False,
) -> int:
    """Propose the configuration of a new kind of file, ready to be pasted into the YAML.

    It is a guess from some rows of one file: read it before you use it.
    """
    found = propose(checked_config(), file, name, feed=feed, key=key, rows=rows)
    if as_json:
        print_json({"rows_read": found.rows, "notes": found.notes, "config": found.as_mapping()})
    else:
        say(as_yaml(found, file.name))
    return EXIT_OK


def propose(
    config: PipelineConfig, path: Path, name: str, *, feed: Feed, key: str | None = None, rows: int = 10_000
) -> Proposal:
    """The proposal for files like `path`. Raises ConfigError when it can't be read, or no key is found."""
    if not name.isidentifier() or not name.isascii() or name != name.lower():
        raise ConfigError(f"--name {name!r}: a name has small letters, digits and _")
    if name in config.by_logical_name:
        raise ConfigError(f"--name {name}: the configuration has this type already")
    if not logical_stem(path.name)[1]:
        raise ConfigError(f'{path.name}: no format that the pipeline reads; see "Your own files" in README.md')
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    try:
        with opened(path) as file:
            sample = read_sample(file, path.name, rows)
    except (FileRejected, FileChanged) as problem:
        raise ConfigError(f"{path.name}: {problem}") from None
    if sample.num_rows == 0:
        raise ConfigError(f"{path.name}: has no rows to judge by")
    return _proposal(config, path, name, feed, key, sample)


def read_sample(file: OpenFile, name: str, rows: int) -> pa.Table:
    """The first `rows` records as text columns, whatever columns the file has."""
    names = _column_names(file, name, rows)
    for position, column in enumerate(names, 1):
        if looks_personal(column) or not 0 < len(column.encode()) <= 63 or column.replace(".", "").isdigit():
            raise FileRejected(f"the name of column {position} looks like a value; has the file a header line?")
    schema = Schema(name=name, primary_key=names[0], columns=tuple(Column(name=n, dtype=Dtype.STR) for n in names))
    tables: list[pa.Table] = []
    for chunk in read_chunks(file, name, schema, min(rows, 50_000)):
        tables.append(pa.table(chunk.columns))
        if sum(table.num_rows for table in tables) >= rows:
            break
    return pa.concat_tables(tables).slice(0, rows) if tables else pa.table({n: [] for n in names})


def _column_names(file: OpenFile, name: str, rows: int) -> list[str]:
    """The header of a CSV file; the keys of the first records, where they are objects."""
    with byte_stream(file, name) as raw:
        if logical_stem(name)[1] == ".csv":
            names = _header(raw)
        else:
            names = list(dict.fromkeys(key for keys in islice(record_keys(raw), rows) for key in keys))
    if not names or "" in names:
        raise FileRejected("has no column names")
    if len(set(names)) < len(names):
        raise FileRejected("names a column twice")
    return names


def _header(raw: IO[bytes]) -> list[str]:
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    try:
        return next(csv.reader(text), [])
    except csv.Error:
        raise FileRejected("is not CSV that can be read") from None
    finally:
        text.detach()


def _proposal(
    config: PipelineConfig, path: Path, name: str, feed: Feed, key: str | None, sample: pa.Table
) -> Proposal:
    parents = {spec.schema.primary_key: spec for spec in config.by_logical_name.values()}
    notes: list[str] = []
    if key is None:
        key, notes = _key(sample, name, parents)
    if key not in sample.column_names:
        raise ConfigError(f"--key {key!r} is not a column of {path.name}")
    foreign_keys: dict[str, str] = {}
    columns = []
    for column in sample.column_names:
        parent = parents.get(column) if column != key else None
        found = guess(column, sample.column(column).combine_chunks(), is_key=column == key, parent=parent)
        columns.append(found.entry)
        notes += found.notes
        if parent is not None and found.fits_parent:
            foreign_keys[column] = parent.name
    file_entry: dict[str, Any] = {"table": _table(config, name, feed)}
    if foreign_keys:
        file_entry["foreign_keys"] = foreign_keys
    pattern = name + logical_stem(path.name)[1]
    schema = {"primary_key": key, "columns": columns}
    return Proposal(pattern, feed, name, file_entry, schema, sample.num_rows, notes)


def _key(sample: pa.Table, name: str, parents: dict[str, FileSpec]) -> tuple[str, list[str]]:
    """The column that tells the rows apart, and a note where some rows break that: `name`'s own id, then others'.

    Exports have bad rows: a key may be empty or come twice in one row of twenty.
    """
    whole: dict[str, int] = {}  # rows without a key of their own
    for column in sample.column_names:
        values = clean(sample.column(column).combine_chunks())
        without = sample.num_rows - pc.count_distinct(values, mode="only_valid").as_py()
        if without <= FEW * sample.num_rows and pii_of(column, values.drop_null()) is None:
            whole[column] = without

    def order(column: str) -> tuple[bool, bool, bool, int]:
        own = column.startswith(f"{singular(name)}_") and column.endswith(KEY_ENDINGS)
        return not own, not column.endswith(KEY_ENDINGS), column in parents, whole[column]

    if not whole:
        raise ConfigError(
            "no column has a value in every row and none twice, so none can be the key; name one with --key"
        )
    key: str = min(whole, key=order)
    note = f"{key}: {whole[key]} of the rows read have no key of their own; they would be refused"
    return key, [note] if whole[key] else []


def _table(config: PipelineConfig, name: str, feed: Feed) -> str:
    taken = {spec.table for spec in config.files} | RESERVED_TABLES
    prefix = "dim" if feed is Feed.BATCH else "fact"
    table = f"{prefix}_{singular(name)}"
    return table if table not in taken else f"{prefix}_{name}_file"


def singular(name: str) -> str:
    """`coupons` → `coupon`, `cities` → `city`."""
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def as_yaml(found: Proposal, file_name: str) -> str:
    """The proposal as text to paste: a line a column, as in the shipped YAML."""
    lines = [
        f"# Proposed from the first {found.rows:,} rows of {file_name}. Check it, then add it to the sections."
    ]
    lines += [f"# {note}" for note in found.notes]
    lines += ["watcher:", f"  {found.feed.value}:", "    expected_files:", f"      {found.pattern}:"]
    lines += [f"        {key}: {_flow(value)}" for key, value in found.file_entry.items()]
    lines += ["", "schemas:", f"  {found.name}:", f"    primary_key: {_flow(found.schema['primary_key'])}"]
    lines += ["    columns:", *(f"      - {_flow(column)}" for column in found.schema["columns"])]
    return "\n".join(lines)


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
