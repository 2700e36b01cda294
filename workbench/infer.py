"""`infer`: proposes the YAML for new kinds of files, from the first rows of one each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer
from psycopg2 import sql

from config.errors import ConfigError, FileChanged, FileRejected, PipelineError
from config.file_names import logical_stem, unpacked_name
from config.file_spec import FileSpec
from config.key import ROW_KEY
from config.model import Feed
from config.settings import PipelineConfig
from config.table_names import RESERVED_TABLES
from datawarehouse.db_connection import Warehouse
from datawarehouse.fk_checker import rows_by_key
from ingestion.places.registry import opened, path_of
from validation.conversions import convert
from workbench.arguments import insist_on
from workbench.column_guess import guess_columns
from workbench.exit_codes import EXIT_OK
from workbench.infer_keys import add_foreign_keys
from workbench.infer_proof import put_to_the_proof
from workbench.infer_write import write_types
from workbench.key_guess import KeyGuess, guess_key, parent_of, singular
from workbench.naming import tidy
from workbench.output import AsJson, print_json, say
from workbench.proposal import Proposal, as_yaml, flow, together
from workbench.samples import ALL_ROWS, Sample, take_sample
from workbench.session import checked_config, command, open_warehouse
from workbench.value_tests import blanked

ROWS = 10_000  # to judge by
ENOUGH_THERE = 0.5  # this share of the values must be keys of the parent: some parents come later
# A date or a number at the end of a file's name, by which one export differs from the next.
_LABEL = re.compile(
    r"[-_. ]?(?:(?:19|20)\d{2}[-_.]?\d{2}(?:[-_.]?\d{2})?(?:[-_.T ]?\d{2,6}(?:[-_.]\d{2}){0,2}Z?)?)$"
)


@command
def infer(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", parser=path_of)],
    name: Annotated[
        str | None, typer.Option(help="The type, and the stem of its files' names; by default the file's own.")
    ] = None,
    feed: Annotated[Feed, typer.Option(help="Where such files come; in the stream they are facts.")] = Feed.BATCH,
    key: Annotated[
        list[str] | None,
        typer.Option(help="The column that tells rows apart, where a guess is no good; several: give it again."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="How many rows to read; by default 10,000 to judge by, and all to try."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write types/NAME.yaml beside the YAML, which includes it.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Propose the configuration of new kinds of files, ready to be pasted into the YAML, or written beside it.

    It is a guess from some rows of a file, put to the proof on all of them: what is unsure, and what would not be
    loaded, goes to stderr. Keys of other tables are looked for in the files that are given, and in the warehouse,
    where there is one.
    """
    config = checked_config()
    with _warehouse(config) as warehouse:
        found = propose_all(config, files, name, feed=feed, key=key or (), rows=rows, warehouse=warehouse)
    for one in found:
        for note in one.notes:
            typer.echo(f"? {f'{one.name}: ' if len(found) > 1 else ''}{note}", err=True)
    written = write_types(config, found) if write else []
    if as_json:
        print_json(_as_json(found, written))
    elif write:
        say("\n".join(written))
    else:
        say(as_yaml(found))
    return EXIT_OK


def _as_json(found: list[Proposal], written: list[str]) -> dict[str, Any]:
    several = len(found) > 1
    notes = [f"{one.name}: {note}" if several else note for one in found for note in one.notes]
    files = [{"file": o.file_name, "name": o.name, "rows_read": o.rows, "notes": o.notes} for o in found]
    answer = {"rows_read": sum(one.rows for one in found), "notes": notes, "config": together(found)}
    return answer | ({"files": files} if several else {}) | ({"written": written} if written else {})


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
    name: str | None = None,
    *,
    feed: Feed,
    key: Sequence[str] = (),
    rows: int | None = None,
    warehouse: Warehouse | None = None,
) -> Proposal:
    """The proposal for files like `path`; with `warehouse`, foreign keys are proposed whose values are there.

    `key` are the columns of the key, where they are known. Raises ConfigError when the file can't be read.
    """
    (found,) = propose_all(config, [path], name, feed=feed, key=key, rows=rows, warehouse=warehouse)
    return found


def propose_all(
    config: PipelineConfig,
    paths: Sequence[Path],
    name: str | None = None,
    *,
    feed: Feed,
    key: Sequence[str] = (),
    rows: int | None = None,
    warehouse: Warehouse | None = None,
) -> list[Proposal]:
    """A proposal for each of several kinds of files, with the foreign keys among them."""
    if len(paths) > 1 and (name is not None or key):
        raise ConfigError("--name and --key go with one file; leave them out, or give the files one by one")
    found: list[tuple[Path, Proposal, list[str]]] = []
    for path in paths:
        pattern, type_name = _names(path, name)
        if twin := next((one for _, one, _ in found if one.name == type_name), None):
            twin.notes.append(f"{path.name} is taken for another file of the type; one of them was read")
            continue
        taken = {one.file_entry["table"] for _, one, _ in found}
        draft, own_key = _draft(config, path, pattern, type_name, feed, key, rows, warehouse, taken)
        found.append((path, draft, own_key))
    most = rows or ALL_ROWS
    for path, draft, own_key in found:
        put_to_the_proof(config, path, draft, most=most, sure_key=bool(key), own_key=own_key)
    add_foreign_keys(config, [(path, draft) for path, draft, _ in found], most)
    return [draft for _, draft, _ in found]


def _names(path: Path, name: str | None) -> tuple[str, str]:
    """The names that such files have, and the type's."""
    stem, extension = logical_stem(path.name)
    own = unpacked_name(path.name) if extension else path.name  # of export.zip, its member tells the format
    if name is not None:
        if not name.isidentifier() or not name.isascii() or name != name.lower():
            raise ConfigError(f"--name {name!r}: a name has small letters, digits and _")
        return (own if stem == name else name + extension), name
    label = _LABEL.search(stem)
    bare = stem[: label.start()] if label and label.start() else stem
    found = tidy(bare).encode("ascii", "ignore").decode().strip("_")
    if not found or not found[0].isalpha():
        raise ConfigError(f"{path.name}: its name makes none for the type; give one with --name")
    return (f"{bare}*{own[len(stem) :]}" if bare != stem else own), found


def _draft(
    config: PipelineConfig,
    path: Path,
    pattern: str,
    name: str,
    feed: Feed,
    key: Sequence[str],
    rows: int | None,
    warehouse: Warehouse | None,
    taken: set[str],
) -> tuple[Proposal, list[str]]:
    """A first proposal, by a sample; and the columns of the key, if the file's names say that they are its own."""
    if name in config.by_logical_name:
        raise ConfigError(f"--name {name}: the configuration has this type already")
    insist_on(path)
    try:
        with opened(path) as file:
            sample = take_sample(file, path.name, rows or ROWS, config.reader, every_row=rows is None)
    except (FileRejected, FileChanged) as problem:
        raise ConfigError(f"{path.name}: {problem}") from None
    except OSError as problem:
        raise ConfigError(f"{path}: can't be read: {problem.strerror}") from None
    if sample.rows.num_rows == 0:
        raise ConfigError(f"{path.name}: has no rows to judge by")
    found_key = _key(path, name, sample, key)
    parents, unsure = _parents(config, sample, found_key.columns, warehouse)
    columns = guess_columns(sample, config.reader, found_key.columns, parents)
    entry: dict[str, Any] = {"table": _table(config, name, feed, taken)}
    if columns.references:
        entry["foreign_keys"] = columns.references
    if sample.new_columns:
        entry["new_columns"] = sample.new_columns
    if read := _in_order(sample.read | columns.read):
        entry["read"] = read
    alone = len(found_key.columns) == 1
    primary_key = found_key.columns[0] if alone else list(found_key.columns)
    arrays = _arrays(sample, name, entry, primary_key)
    draft = Proposal(
        pattern,
        feed,
        name,
        entry,
        {"primary_key": primary_key, "columns": columns.entries},
        sample.rows.num_rows,
        file_name=path.name,
        is_mapped=logical_stem(pattern)[0] != name,
        notes=[
            *sample.notes,
            *found_key.notes,
            *columns.notes,
            *unsure,
            *arrays,
        ],
    )
    return draft, list(found_key.columns) if found_key.is_own else []


def _arrays(sample: Sample, name: str, entry: Mapping[str, Any], primary_key: str | list[str]) -> Iterator[str]:
    """What is said of arrays of objects: they may be a type of their own."""
    for one in sample.arrays:
        child = f"{singular(name)}_{one.name}"
        path = one.source or one.name
        says = {"table": f"{entry['table']}_{singular(one.name)}"[:50], "from_child": {"of": name, "path": path}}
        needed = f", which needs a key of {name}" if primary_key == ROW_KEY else ""
        yield (
            f"{one.name}: arrays of objects, kept as JSON; from_child makes rows of them{needed}: {child}: "
            f'{flow(says)} in the place of this column ("Arrays of objects" in docs/configuration.md)'
        )


def _in_order(read: dict[str, Any]) -> dict[str, Any]:
    """As it is best read: what says how to come to the values first."""
    return dict(sorted(read.items(), key=lambda item: item[0] in {"null_values", "trim", "decimal", "thousands"}))


def _key(path: Path, name: str, sample: Sample, key: Sequence[str]) -> KeyGuess:
    """The key that was given, by the file's names or tidy ones, or the one that is found."""
    if not key:
        flat = [one.name for one in sample.fields if one.name not in sample.nested]
        return guess_key(sample.rows.select(flat), name)
    if list(key) == [ROW_KEY]:
        return KeyGuess((ROW_KEY,))
    by_name = {
        name: one.name for one in sample.fields for name in (one.source, ".".join(one.path), one.name) if name
    }
    if unknown := [column for column in key if column not in by_name]:
        raise ConfigError(f"--key {unknown[0]!r} is not a column of {path.name}")
    return KeyGuess(tuple(by_name[column] for column in key))


def _parents(
    config: PipelineConfig, sample: Sample, key: Sequence[str], warehouse: Warehouse | None
) -> tuple[dict[str, FileSpec], list[str]]:
    """The types that are there already to which columns refer, by name and values; and what is unsure of it."""
    types = list(config.by_logical_name.values())
    found: dict[str, FileSpec] = {}
    unsure = []
    for one in sample.fields:
        if one.name in sample.nested or [one.name] == list(key):
            continue
        parent, note = _parent(one.name, sample.rows.column(one.name).combine_chunks(), types, warehouse)
        if parent is not None:
            found[one.name] = parent
        unsure += [note] if note else []
    return found, unsure


def _parent(
    column: str, values: pa.Array, types: Sequence[FileSpec], warehouse: Warehouse | None
) -> tuple[FileSpec | None, str | None]:
    """The type that a column refers to, where its name says so and its values are there; what is unsure of it."""
    parent = parent_of(column, types)
    if parent is None:
        return None, None
    there = _share_there(values, parent, warehouse)
    if there is not None and there >= ENOUGH_THERE:
        missing = (
            f"{column}: {1 - there:.0%} of its values are not in {parent.table} yet; their rows wait for them"
        )
        return parent, missing if there < 1 else None
    found = "they could not be looked for in" if there is None else f"only {there:.0%} of them are in"
    advice = f"if it refers to {parent.name}, add foreign_keys: {{{flow(column)}: {parent.name}}}"
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


def _table(config: PipelineConfig, name: str, feed: Feed, others: set[str]) -> str:
    taken = {spec.table for spec in config.files} | RESERVED_TABLES | others
    prefix = "dim" if feed is Feed.BATCH else "fact"
    table = f"{prefix}_{singular(name)}"[:50]
    return table if table not in taken else f"{prefix}_{name[:40]}_file"
