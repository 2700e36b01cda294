"""`explain --history`: all that was seen of a row, which of it made a version, and what changed with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.file_spec import FileSpec
from config.key import ROW_COLUMN
from config.model import Dtype
from config.settings import PipelineConfig
from datawarehouse import key_sql, reports
from datawarehouse.queries import query
from workbench.output import say, show_rows
from workbench.row_in_file import place_in_file

Row = dict[str, Any]

_STORY = ("at", "valid_to", "is_current", "is_version", "ended_by")
LOADED_LATE = {"loaded": "it was an orphan first", "replayed": "it was refused first, and replayed"}


def seen_of_key(
    tx: Cursor, config: PipelineConfig, spec: FileSpec, key: Sequence[Any], refusals: Sequence[Row]
) -> list[Row]:
    """What files said of the row with `key`, oldest first; of each what it made of the row.

    Raises ConfigError where no history is kept.
    """
    if not spec.keeps_history:
        raise ConfigError(
            f"{spec.table} keeps no history (keep: {spec.keep}); with `keep: history` it would, from then on"
        )
    found = []
    version: Row | None = None
    for row, story in _rows(tx, spec, key):
        before, contradicts = version["row"] if version else None, version and version["at"] == story["at"]
        entry: Row = {
            **story,
            "row": row,
            "changed": _changes(spec, before, row),
            **_origin(tx, config, spec, row, refusals),
            "note": "",
        }
        if story["is_version"]:
            version = entry
        else:
            entry["note"] = (
                "another file says otherwise of the same time, and is the later one"
                if contradicts
                else "nothing that is tracked changed"
            )
        found.append(entry)
    return found


def _rows(tx: Cursor, spec: FileSpec, key: Sequence[Any]) -> Iterator[tuple[Row, Row]]:
    """What was seen, and what was made of it, in order."""
    columns = [*(column.target for column in spec.stored), *spec.derive]
    columns += [ROW_COLUMN] if spec.schema.primary_key.is_row else []
    exact = {column.target for column in spec.stored if column.dtype is Dtype.JSON}  # the driver would read it
    forms = ("t.{0}::text AS {0}" if name in exact else "t.{0}" for name in columns)
    listed = [sql.SQL(form).format(sql.Identifier(name)) for form, name in zip(forms, columns, strict=True)]
    own = spec.schema.key_columns
    values = zip((sql.Identifier("t", column.target) for column in own), map(sql.Literal, key), strict=True)
    statement = sql.SQL(query("reports", "seen_of_key")).format(
        columns=sql.SQL(", ").join(listed),
        history=sql.Identifier(spec.history_table),
        seen=sql.Identifier(spec.seen_table),
        is_key=key_sql.pairs(values),
    )
    tx.execute(statement)
    own_names = [*columns, "_file_id"]
    for found in tx.fetchall():
        yield dict(zip(own_names, found, strict=False)), dict(zip(_STORY, found[len(own_names) :], strict=False))


def _changes(spec: FileSpec, before: Row | None, row: Row) -> Row:
    """Columns that differ from the version before: their values then and now."""
    if before is None:
        return {}
    names = [column.target for column in spec.stored]
    return {name: [before[name], row[name]] for name in names if before[name] != row[name]}


def _origin(tx: Cursor, config: PipelineConfig, spec: FileSpec, row: Row, refusals: Sequence[Row]) -> Row:
    """The file that said it, and the row's number in it or why that is not known."""
    file = reports.file(tx, row["_file_id"])
    if file is None:
        return {"file_id": row["_file_id"], "file_path": None, "row_number": None, "place": "not in the file log"}
    here = [refusal for refusal in refusals if refusal["file_id"] == file["file_id"]]
    late = [refusal for refusal in here if refusal["state"] in LOADED_LATE]
    number, place, _ = place_in_file(config, spec, row, file, {refusal["row_number"] for refusal in here})
    if spec.schema.primary_key.is_row:
        number, place = row[ROW_COLUMN], None
    elif number is None and late:
        number, place = late[0]["row_number"], LOADED_LATE[late[0]["state"]]
    return {"file_id": file["file_id"], "file_path": file["file_path"], "row_number": number, "place": place}


def show_history(history: Sequence[Row]) -> None:
    """On the screen: a line a row that was seen."""
    lines = [
        {
            "from": entry["at"],
            "to": entry["valid_to"] if entry["is_version"] else "",
            "changed": ", ".join(f"{name}: {was} → {now}" for name, (was, now) in entry["changed"].items()),
            "file_id": entry["file_id"],
            "file": entry["file_path"],
            "row": entry["row_number"] or entry["place"],
            "note": entry["note"] or (f"gone by file {entry['ended_by']}" if entry["ended_by"] else ""),
        }
        for entry in history
    ]
    if lines:
        show_rows(lines, as_json=False, title="History", grouped=False)
        say(f"{sum(entry['is_version'] for entry in history)} versions in {len(history)} rows that were seen")
