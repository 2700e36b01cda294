"""`explain`: where a row came from and what was made of it, or where and why it was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import pyarrow as pa
import typer
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.expected_file import Derivation
from config.file_spec import FileSpec
from config.key import PLACEHOLDER_COLUMN, ROW_COLUMN, in_words
from config.model import Dtype
from config.schema import Column
from config.settings import PipelineConfig
from datawarehouse import reports
from validation.conversions import convert
from validation.pii_handler import PiiHandler
from workbench.arguments import spec_of_table
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.explain_gone import gone, show_gone
from workbench.explain_history import LOADED_LATE, seen_of_key, show_history
from workbench.explain_parents import is_key, parents
from workbench.output import AsJson, print_json, say, show_record, show_rows
from workbench.row_in_file import PlaceInFile, place_in_file
from workbench.session import checked_config, command, open_warehouse

Row = dict[str, Any]

_STATES = {
    "refused": "Refused",
    "discarded": "Refused, and discarded",
    "replayed": "Refused once, loaded by a replay",
    "already_present": "Refused once; its key was there by then",
    "duplicate": "Refused once; its file has brought its key before",
    "waits": "An orphan",
    "loaded": "An orphan once, loaded since",
    "true_orphan": "An orphan, given up",
}


@command
def explain(
    table: Annotated[str, typer.Argument(help="A table, or the logical name of its files: fact_visit, visits.")],
    key: Annotated[
        list[str],
        typer.Argument(
            help="The row's key as in the source file. Of several columns: all of them, in the order of the "
            "YAML, also with commas between them. Of rows without a key: the file's id and the row's number."
        ),
    ],
    history: Annotated[
        bool, typer.Option("--history", help="All that was seen of the row, where `keep: history` keeps it.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Tell where a row came from and what was derived, or where and why it was refused.

    With --history, also every version that there was, and what made it. Exit code 1 when the row is not in its
    table.
    """
    config = checked_config()
    spec = spec_of_table(config, table)
    with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
        tx.execute("SET TRANSACTION READ ONLY")
        found = look(tx, config, spec, key)
        if history:
            found["history"] = seen_of_key(tx, config, spec, _readable(spec, key), found["refused"])
    if as_json:
        print_json(found)
    else:
        _show(found, spec)
    return EXIT_OK if found["row"] is not None else EXIT_FOUND


def look(tx: Cursor, config: PipelineConfig, spec: FileSpec, key: Sequence[str]) -> Row:
    """The row with source key `key` (or None), its origin, derivations and parents; and all its refusals."""
    values = _readable(spec, key)
    row = _row(tx, spec, values)
    refusals = _refusals(tx, config, spec, values)
    shown = str(values[0]) if len(values) == 1 else [str(value) for value in values]
    found: Row = {"table": spec.table, "key": shown, "row": row, "refused": refusals}
    found["gone"] = gone(tx, spec, values, row)
    if row is not None:
        found["origin"] = _origin(tx, config, spec, row, refusals)
        place = {name: found["origin"][name] for name in ("file_id", "row_number")}
        found["warnings"] = reports.read(tx, "warnings_of_row", **place)
        found["derived"] = list(_derived(spec, row))
        named = found["origin"].pop("named", {})
        found["refers_to"] = list(parents(tx, config, spec, row, named))
    return found


def _readable(spec: FileSpec, key: Sequence[str]) -> list[Any]:
    """`key` as the table would have it. Raises ConfigError for what can't be a key of it."""
    columns = spec.schema.key_columns
    if len(key) == 1 and len(columns) > 1:
        key = key[0].split(",")
    if len(key) != len(columns):
        names = "the id of its file and its number there" if spec.schema.primary_key.is_row else _names(spec)
        raise ConfigError(
            f"{spec.table}: a row is told by {names}: {len(columns)} values, and here are {len(key)}"
        )
    return [_readable_value(spec, column, value.strip()) for column, value in zip(columns, key, strict=True)]


def _readable_value(spec: FileSpec, column: Column, value: str) -> Any:
    if not value.isprintable():
        raise ConfigError(f"{spec.table}: the key has characters that no key has")
    read = convert(column, pa.array([value], pa.string()), spec.read_as(column)).values[0].as_py()
    if read is None:
        what = "a whole number" if column.dtype is Dtype.INT else f"a {column.dtype.value}"
        raise ConfigError(f"{spec.table}: its key {_names(spec)} is {what}")
    return read


def _names(spec: FileSpec) -> str:
    return "of file and row" if spec.schema.primary_key.is_row else str(spec.schema.primary_key)


def _row(tx: Cursor, spec: FileSpec, key: list[Any]) -> Row | None:
    exact = [c.target for c in spec.stored if c.dtype is Dtype.JSON]  # the driver would take it apart
    texts = [sql.SQL(", {0}::text AS {0}").format(sql.Identifier(name)) for name in exact]
    statement = sql.SQL("SELECT *{} FROM {} WHERE {}").format(
        sql.SQL("").join(texts), sql.Identifier(spec.table), is_key(spec.schema.key_columns, key)
    )
    tx.execute(statement)
    values = tx.fetchone()
    return dict(zip((c.name for c in tx.description or ()), values, strict=True)) if values else None


def _refusals(tx: Cursor, config: PipelineConfig, spec: FileSpec, key: list[int | str]) -> list[Row]:
    """The key's rows in quarantine, oldest first, each with its state and the parents that it waits for.

    A key that looked like personal data stands there as its hash.
    """
    pii = PiiHandler(config.pii.hash_key)
    columns = spec.schema.key_columns
    if spec.schema.primary_key.is_row:
        rows = reports.read(tx, "refused_at_row", table=spec.table, file_id=key[0], row_number=key[1])
    else:
        names = [(name, n) for n, c in enumerate(columns, 1) for name in (c.name, *c.names_in_file)]
        rows = reports.read(
            tx,
            "refused_with_key",
            table=spec.table,
            names=[name for name, _ in names],
            parts=[part for _, part in names],
            keys=[str(value) for value in key],
            hashes=[f"sha256:{pii.hash_text(str(value))}" for value in key],
            numbers=[str(value) if isinstance(value, int) else None for value in key],
        )
    for row in rows:
        state = row.pop("resolution")
        row["state"] = state or ("waits" if row["rejection_stage"] == "orphan" else "refused")
        place = {"file_id": row["file_id"], "row_number": row["row_number"]}
        row["waits_for"] = reports.read(tx, "waits_of_row", **place) if row["state"] == "waits" else []
    return rows


# ---------------------------------------------------------------- a loaded row


def _origin(tx: Cursor, config: PipelineConfig, spec: FileSpec, row: Row, refusals: list[Row]) -> Row:
    """The file, its time, and the row's number in it, which is found by reading the file again."""
    file = reports.file(tx, row["_file_id"])
    if file is None:
        is_placeholder = row.get(PLACEHOLDER_COLUMN)
        note = (
            "a placeholder: rows refer to it, and it has not come yet" if is_placeholder else "not in the file log"
        )
        return {"file_id": row["_file_id"], "file_path": None, "row_number": None, "note": note}
    here = [refusal for refusal in refusals if refusal["file_id"] == file["file_id"]]
    late = [refusal for refusal in here if refusal["state"] in LOADED_LATE]
    if late:
        place = PlaceInFile(late[0]["row_number"], LOADED_LATE[late[0]["state"]])
    elif spec.schema.primary_key.is_row:
        place = PlaceInFile(row[ROW_COLUMN])
    else:
        place = place_in_file(config, spec, row, file, {refusal["row_number"] for refusal in here})
    return {
        "named": dict(place.named),
        "file_id": file["file_id"],
        "file_path": file["file_path"],
        "lies_at": file["lies_at"],
        "row_number": place.number,
        "note": place.note,
        "loaded_at": row["_loaded_at"],
        "pii_key_id": file["pii_key_id"],
    }


def _derived(spec: FileSpec, row: Row) -> Iterator[Row]:
    """Each derived column: its value, the rule, and the columns that it was made of."""
    for column, derivation in spec.derive.items():
        rule, sources = _rule(derivation)
        made_of = {name: row.get(spec.schema.by_name[name].target) for name in sources}
        yield {"column": column, "value": row.get(column), "rule": rule, "from": made_of}


def _rule(derivation: Derivation) -> tuple[str, tuple[str, ...]]:
    """How a derivation reads, and its source columns."""
    if derivation.lookup:
        lookup = derivation.lookup
        return f"lookup of {lookup.source}.{lookup.take}", (lookup.by,)
    if derivation.version_of:
        by = tuple(part.strip() for part in (derivation.by or "").split(","))
        return f"version of {derivation.version_of}", (*by, derivation.at or "")
    if derivation.equals:
        return f"equals {derivation.equals[1]!r}", derivation.equals[:1]
    if derivation.date_key or derivation.time_key:
        return "date_key" if derivation.date_key else "time_key", (
            derivation.date_key or derivation.time_key or "",
        )
    if derivation.minutes_between:
        return "minutes_between", derivation.minutes_between
    return "later_than", derivation.later_than or ()


# ---------------------------------------------------------------- the screen


def _key_in_words(spec: FileSpec, key: str | list[str]) -> str:
    names = ("file", "row") if spec.schema.primary_key.is_row else spec.schema.primary_key.columns
    values = [key] if isinstance(key, str) else key
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def _show(found: Row, spec: FileSpec) -> None:
    name = f"{spec.table} {_key_in_words(spec, found['key'])}"
    if found["row"] is None:
        say(f"{name} is not loaded.")
    elif found["row"].get(PLACEHOLDER_COLUMN):
        say(f"{name} is {found['origin']['note']}.")
    else:
        origin = found["origin"]
        place = f"row {origin['row_number']}" if origin["row_number"] else "row unknown"
        note = f" ({origin['note']})" if origin["note"] else ""
        say(f"{name} was loaded from {origin['file_path']}, {place}{note}, file {origin['file_id']}.")
        if origin["lies_at"]:
            say(f"The file lies at {origin['lies_at']} now.")
        for one in found["warnings"]:
            check = f"{one['column_name']}: {one['check_name']}" if one["column_name"] else one["check_name"]
            say(f"It is warned of: {check}" + (f" ({one['says']})" if one["says"] else ""))
        show_record(found["row"], as_json=False, grouped=False)
        for title, rows in (("Derived", found["derived"]), ("Refers to", found["refers_to"])):
            if rows:
                told = [{name: value for name, value in one.items() if name != "note"} for one in rows]
                show_rows(told, as_json=False, title=title, grouped=False)
        for one in found["refers_to"]:
            if "note" in one:
                say(f"{one['column']}: {one['note']}")
    show_gone(found["gone"], spec.operation is not None)
    for one in found["refused"]:
        state = _STATES.get(one["state"], one["state"])
        say(
            f"{state}: {one['source_file']}, row {one['row_number']}, file {one['file_id']}, "
            f"{one['quarantined_at']:%Y-%m-%d %H:%M:%S}: {one['rejection_reason']}"
        )
        for wait in one["waits_for"]:
            parent_key = in_words(wait["column"], wait["parent_key"])
            say(f"  waits for {wait['parent_table']} {parent_key} ({wait['column']})")
    show_history(found.get("history", []))
    if found["row"] is None and not found["refused"] and not found["gone"]:
        say("Nor was a row with this key ever refused.")
