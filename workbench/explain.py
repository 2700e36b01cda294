"""`explain`: where a row came from and what was made of it, or where and why it was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, FileChanged, FileRejected
from config.expected_file import Derivation
from config.file_spec import FileSpec
from config.key import ROW_COLUMN, in_words
from config.model import Dtype
from config.schema import Column
from config.settings import PipelineConfig
from datawarehouse import key_sql, reports
from ingestion.file_reader import read_chunks
from ingestion.places.registry import opened, path_of
from validation.conversions import convert
from validation.key_values import joined, joined_value
from validation.pii_handler import PiiHandler
from workbench.arguments import spec_of_table
from workbench.output import AsJson, print_json, say, show_record, show_rows
from workbench.session import EXIT_FOUND, EXIT_OK, checked_config, command, open_warehouse

Row = dict[str, Any]

_LOADED_LATE = {"loaded": "it was an orphan first", "replayed": "it was refused first, and replayed"}
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
    as_json: AsJson = False,
) -> int:
    """Tell where a row came from and what was derived, or where and why it was refused.

    Exit code 1 when the row is not in its table.
    """
    config = checked_config()
    spec = spec_of_table(config, table)
    with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
        tx.execute("SET TRANSACTION READ ONLY")
        found = look(tx, config, spec, key)
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
    if row is not None:
        found["origin"] = _origin(tx, config, spec, row, refusals)
        found["derived"] = list(_derived(spec, row))
        found["refers_to"] = list(_parents(tx, config, spec, row))
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
        sql.SQL("").join(texts), sql.Identifier(spec.table), _is_key(spec.schema.key_columns, key)
    )
    tx.execute(statement)
    values = tx.fetchone()
    return dict(zip((c.name for c in tx.description or ()), values, strict=True)) if values else None


def _is_key(columns: Sequence[Column], key: Sequence[Any]) -> sql.Composed:
    named = zip(columns, key, strict=True)
    return key_sql.pairs((sql.Identifier(column.target), sql.Literal(value)) for column, value in named)


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
        return {"file_id": row["_file_id"], "file_path": None, "row_number": None, "note": "not in the file log"}
    number, note = None, None
    here = [refusal for refusal in refusals if refusal["file_id"] == file["file_id"]]
    if spec.schema.primary_key.is_row:
        number = row[ROW_COLUMN]
    late = [refusal for refusal in here if refusal["state"] in _LOADED_LATE]
    if late:
        number, note = late[0]["row_number"], _LOADED_LATE[late[0]["state"]]
    elif number is None:
        number, note = _row_number(config, spec, row, file, {refusal["row_number"] for refusal in here})
    return {
        "file_id": file["file_id"],
        "file_path": file["file_path"],
        "row_number": number,
        "note": note,
        "loaded_at": row["_loaded_at"],
        "pii_key_id": file["pii_key_id"],
    }


def _row_number(
    config: PipelineConfig, spec: FileSpec, row: Row, file: Row, refused: set[int]
) -> tuple[int | None, str | None]:
    """The 1-based number of the row in its file, or why it can't be told."""
    path, columns = path_of(file["file_path"]), spec.schema.key_columns
    wanted = joined_value([row[column.target] for column in columns])
    try:
        with opened(path) as source:
            if source.md5() != file["file_hash"]:
                return None, "the file has other content now"
            rows = config.reader.chunk_rows
            for chunk in read_chunks(source, path.name, spec.schema, rows, spec.read, path):
                parts = [convert(c, chunk.columns[c.name], spec.read_as(c)).values for c in columns]
                same = pc.equal(joined(parts), wanted)
                for position in pc.indices_nonzero(same).to_pylist():
                    number = int(chunk.numbers[position])
                    if number not in refused:
                        return number, None
    except (FileChanged, FileRejected, OSError):
        return None, "the file is no longer there"
    return None, "the file does not hold it as the configuration reads it now"


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
    if derivation.equals:
        return f"equals {derivation.equals[1]!r}", derivation.equals[:1]
    if derivation.date_key or derivation.time_key:
        return "date_key" if derivation.date_key else "time_key", (
            derivation.date_key or derivation.time_key or "",
        )
    if derivation.minutes_between:
        return "minutes_between", derivation.minutes_between
    return "later_than", derivation.later_than or ()


def _parents(tx: Cursor, config: PipelineConfig, spec: FileSpec, row: Row) -> Iterator[Row]:
    for foreign_key in spec.foreign_keys:
        parent = config.by_logical_name[foreign_key.parent]
        values = [row.get(column.target) for column in spec.schema.columns_of(foreign_key.key)]
        value = joined_value(values)
        found = None if value is None else _exists(tx, parent.table, parent.referred_by(foreign_key.to), values)
        shown = in_words(foreign_key.label, value) if isinstance(value, str) else value
        yield {"column": foreign_key.label, "value": shown, "table": parent.table, "is_there": found}


def _exists(tx: Cursor, table: str, key: Sequence[Column], values: Sequence[Any]) -> bool:
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})")
    tx.execute(statement.format(sql.Identifier(table), _is_key(key, values)))
    return tx.fetchone() == (True,)


# ---------------------------------------------------------------- the screen


def _key_in_words(spec: FileSpec, key: str | list[str]) -> str:
    names = ("file", "row") if spec.schema.primary_key.is_row else spec.schema.primary_key.columns
    values = [key] if isinstance(key, str) else key
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def _show(found: Row, spec: FileSpec) -> None:
    name = f"{spec.table} {_key_in_words(spec, found['key'])}"
    if found["row"] is None:
        say(f"{name} is not loaded.")
    else:
        origin = found["origin"]
        place = f"row {origin['row_number']}" if origin["row_number"] else "row unknown"
        note = f" ({origin['note']})" if origin["note"] else ""
        say(f"{name} was loaded from {origin['file_path']}, {place}{note}, file {origin['file_id']}.")
        show_record(found["row"], as_json=False, grouped=False)
        for title, rows in (("Derived", found["derived"]), ("Refers to", found["refers_to"])):
            if rows:
                show_rows(rows, as_json=False, title=title, grouped=False)
    for one in found["refused"]:
        state = _STATES.get(one["state"], one["state"])
        say(
            f"{state}: {one['source_file']}, row {one['row_number']}, file {one['file_id']}, "
            f"{one['quarantined_at']:%Y-%m-%d %H:%M:%S}: {one['rejection_reason']}"
        )
        for wait in one["waits_for"]:
            parent_key = in_words(wait["column"], wait["parent_key"])
            say(f"  waits for {wait['parent_table']} {parent_key} ({wait['column']})")
    if found["row"] is None and not found["refused"]:
        say("Nor was a row with this key ever refused.")
