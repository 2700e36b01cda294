"""`python main.py drift` and `adopt`: columns that only files have, and how one becomes a part of its schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from config.drift import Change, ChangeKind
from config.errors import ConfigError, PipelineError
from config.file_spec import FileSpec
from config.model import Dtype, PiiKind
from config.origins import path_in_record
from config.settings import PipelineConfig
from datawarehouse import drift_log
from datawarehouse.adoption import back_fill, give_column
from datawarehouse.schema.catalog import Found, columns_there
from ingestion.drift_report import what_became
from workbench.arguments import spec_of_table
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.naming import tidy
from workbench.output import AsJson, say, show_rows
from workbench.session import checked_config, command, open_warehouse
from workbench.writing import Workplace, Yes, ask, workplace
from workbench.yaml_edit import in_flow, replace_text, text_of, with_column

TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="A file type or its table, as visits.")]


@command
def drift(
    of_type: Annotated[str | None, typer.Argument(metavar="TYPE", help="Only files of this type.")] = None,
    as_json: AsJson = False,
) -> None:
    """Columns that files had and their schemas have not, or that files lacked; and what to do about each."""
    config = checked_config()
    name = spec_of_table(config, of_type).name if of_type else None
    with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
        met = drift_log.met(tx, name)
    rows = [_shown(config, row) for row in met]
    show_rows(rows, as_json=as_json, empty="No file had other columns than its schema.")


def _shown(config: PipelineConfig, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": row["logical_name"],
        "column": row["column_name"],
        "kind": row["kind"],
        "since": row["first_seen_at"],
        "last": row["last_seen_at"],
        "files": row["files"],
        "rows": row["rows"],
        "example_file": row["last_file"],
        "what_to_do": _what_to_do(config, row),
    }


def _what_to_do(config: PipelineConfig, row: dict[str, Any]) -> str:
    spec = config.by_logical_name.get(row["logical_name"])
    if spec is None:
        return "nothing: the YAML has no such type now"
    name, kind = row["column_name"], ChangeKind(row["kind"])
    within = spec.schema.within
    if kind is ChangeKind.NO_ARRAY and (within is None or within.path != name):
        return (
            "the YAML has another path now; for files of before, `undo` their file of this type and `reprocess` it"
        )
    column = spec.schema.by_source.get(name)
    if kind.is_new and column is not None:
        waits = (
            f"; `python main.py adopt {spec.name} {name}` brings what is kept" if kind is ChangeKind.KEPT else ""
        )
        return f"the YAML has it now{waits}"
    return what_became(spec, Change(kind, name, row["rows"], row["looks_like"]))


@command
def adopt(
    of_type: TypeName,
    column: Annotated[str, typer.Argument(metavar="COLUMN", help="As `drift` lists it.")],
    dtype: Annotated[Dtype, typer.Option(help="What its values are.")] = Dtype.STR,
    name: Annotated[str | None, typer.Option("--as", help="Another name for it in the schema and table.")] = None,
    pii: Annotated[
        PiiKind | None, typer.Option(help="It is personal: hashed from now on, and whatever is stored of it.")
    ] = None,
    yes: Yes = False,
) -> int:
    """Make a kept column one of its type: in the YAML, in the table, and with the values of all rows so far."""
    if pii is not None and dtype is not Dtype.STR:
        raise ConfigError(f"--pii goes with text alone: leave --dtype {dtype.value} out")
    with workplace() as place:
        spec = spec_of_table(place.config, of_type)
        with place.warehouse.transaction() as tx:
            there = columns_there(tx).get(spec.table, {})
        place.write(lambda _: None)  # may this role do that?
        found = spec.schema.by_source.get(column)
        if found is None:
            ask(f"Write {column} into the YAML, and add it to {spec.table}?", yes=yes)
            entry = _entry(spec, column, dtype, name, there) | ({"pii": pii.value} if pii else {})
            place.config = _with_column(place.config, spec, entry)
        elif pii is not None and found.pii is not pii:
            raise ConfigError(
                f"the YAML has {found.name} already: write pii: {pii.value} there, and run this again"
            )
        return _adopt(place, spec.name, column)


def _entry(
    spec: FileSpec, column: str, dtype: Dtype, name: str | None, there: Mapping[str, Found]
) -> dict[str, Any]:
    """The column as the YAML says it. Raises ConfigError where schema or table have another one by its name."""
    wanted = name or (tidy(column) if _is_within(spec, column) else column)
    if wanted in spec.schema.by_name:
        names = in_flow([*spec.schema.by_name[wanted].names_in_file, column])
        raise ConfigError(
            f"the schema has a column {wanted}: write from: {names} there, and run this again for what is kept"
        )
    if wanted in there and (there[wanted].sql_type != "text" or dtype is not Dtype.STR):
        raise ConfigError(
            f"{spec.table} has a column {wanted} of type {there[wanted].sql_type} already; write it into the YAML "
            "with that type, or take another name: --as"
        )
    source = {"from": column} if wanted != column else {}
    return {"name": wanted, "dtype": dtype.value, "optional": True, **source}


def _is_within(spec: FileSpec, column: str) -> bool:
    """Does the name lead to a key within an object of which other columns take keys?"""
    path = path_in_record(column)
    sources = [path_in_record(source) for one in spec.schema.columns for source in one.sources]
    return len(path) > 1 and any(len(source) > 1 and source[0] == path[0] for source in sources)


def _with_column(config: PipelineConfig, spec: FileSpec, entry: dict[str, Any]) -> PipelineConfig:
    """The configuration, in whose YAML the column is now. Raises ConfigError; then nothing has changed."""
    path, text = with_column(config.source, spec.name, entry)
    before = text_of(path)
    replace_text(path, text)
    try:
        found = checked_config()
    except PipelineError:
        replace_text(path, before)
        raise
    say(f"{path}: schemas.{spec.name}.columns has {entry['name']}")
    return found


def _adopt(place: Workplace, type_name: str, name: str) -> int:
    spec = place.config.by_logical_name[type_name]
    column = spec.schema.by_source[name]
    place.write(lambda tx: give_column(tx, place.config, spec))
    done = place.write(lambda tx: back_fill(tx, spec, column, name))
    place.follow_up()
    place.done(f"{spec.table}.{column.target}: {done.moved} rows have got their values", rows=done.moved)
    if done.left:
        files = ", ".join(f"{key} of file {file_id}" for file_id, key in done.first_left)
        more = ", …" if done.left > len(done.first_left) else ""
        say(
            f"{done.left} values are no {column.dtype.value}, or their rows have another value: they stay where "
            f"they are. Keys: {files}{more}"
        )
    in_clear = ", in clear" if column.pii else ""
    say(
        f"A service that runs now loads its files as before, and keeps the values where they were{in_clear}. "
        "Start it again: then the column gets them."
    )
    return EXIT_FOUND if done.left else EXIT_OK
