"""Takes back what one file brought, when nothing depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, DataError
from config.file_spec import FileSpec
from config.jobs import Status
from config.key import IfMissing
from config.settings import PipelineConfig
from datawarehouse import key_sql, key_traces, profiles, warnings
from datawarehouse.db_errors import translated
from datawarehouse.history_repair import HistoryRepair
from datawarehouse.merge.returns import Returns
from datawarehouse.placeholder_lookups import forget
from datawarehouse.placeholders import Unneeded, turn_back
from datawarehouse.queries import query
from datawarehouse.recount import missing_rows, own_rows, settle_others
from datawarehouse.references import children, refers
from datawarehouse.schema.history_tables import is_known
from datawarehouse.versions import MovedVersions


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back, and how many later files counted rows of its table as already there."""

    file_name: str
    rows: int
    quarantined: int
    later_files: int
    with_files: tuple[int, ...] = ()  # whose rows were in arrays of its records
    restored: int = 0  # rows that are again as other files have them


def lock_file(tx: Cursor, file_id: int) -> dict[str, Any]:
    """The file's row in pipeline_file_log, locked after its quarantined rows, the order in which healing locks.

    Raises ConfigError when there is none.
    """
    tx.execute(query("repair", "share_erasures"))
    tx.execute(query("repair", "lock_of_file"), {"file_id": file_id})
    tx.execute(query("file_log", "lock_file"), {"file_id": file_id})
    row = tx.fetchone()
    if row is None:
        raise ConfigError(f"there is no file {file_id} in pipeline_file_log")
    return dict(zip((column.name for column in tx.description or ()), row, strict=True))


def undo(tx: Cursor, config: PipelineConfig, file_id: int, who: str, day: str) -> Undone:
    """Delete the file's rows, its quarantined rows and what these wait for; its row in the file log says undone.

    What came of arrays in its records goes first. With `keep: history` rows that it replaced are again as other
    files have them. Its content is not loaded again by itself. `day` is for the note. Raises ConfigError that says
    why it can't be done.
    """
    children = {child: undo(tx, config, child, who, day) for child in _children(tx, config, file_id)}
    file = lock_file(tx, file_id)
    if file["status"] != Status.SUCCESS:
        way_out = f"; `reprocess {file_id}` tries it again" if file["status"] == Status.FAILED else ""
        raise ConfigError(f"file {file_id} is {file['status']}: there is nothing of it to take back{way_out}")
    spec = next((s for s in config.files if s.table == file["source_table"]), None)
    if spec is None:
        raise ConfigError(f"the configuration has no file type for {file['source_table']}")
    has_history = spec.keeps_history and (not file["updated_records"] or is_known(tx, spec, file_id))
    if not has_history:
        _insist_on_own_rows(tx, spec, file)
    moved = MovedVersions(tx, spec, config)
    moved.note_file(file_id)
    unneeded = Unneeded(tx, config, spec, sql.SQL("c._file_id = {}").format(sql.Literal(file_id)))
    missing = missing_rows(tx, spec.table)
    restored = _put_back(tx, spec, config, file_id, has_history=has_history)
    key_traces.forget(tx, file_id)
    if found := list(_dependants(tx, config, spec, file_id)):
        raise ConfigError(
            f"file {file_id} can't be undone: other rows depend on what it brought. Undo their files first:\n"
            + "\n".join(f"  - {line}" for line in found)
        )
    parameters = {"file_id": file_id}
    statement = sql.SQL(query("repair", "take_back_rows")).format(table=sql.Identifier(spec.table))
    rows = turn_back(tx, config, spec, file_id)
    if rows:
        forget(tx, spec, config)
    try:
        with translated():
            tx.execute(statement, parameters)
    except DataError:  # a file that is loaded just now had these parents locked
        raise ConfigError(f"file {file_id}: rows that depend on it came meanwhile; nothing was changed") from None
    rows += tx.rowcount
    unneeded.take_back()
    moved.rebind()
    tx.execute(query("repair", "refused_at"), parameters)
    (refused_at,) = tx.fetchone() or (None,)
    for name in ("waits", "true_orphans", "history", "quarantine"):
        tx.execute(query("repair", f"take_back_{name}"), parameters)
    quarantined = tx.rowcount
    _forget_what_was_found(tx, file_id)
    tx.execute(query("repair", "later_files"), {**parameters, "table": spec.table})
    later = int((tx.fetchone() or (0,))[0])
    former = sum(restored.values())
    text = f"undone on {day} by {who}: {rows} loaded and {quarantined} quarantined rows taken back"
    if former:
        text += f", {former} rows as they were before"
    tx.execute(query("file_log", "undone"), {**parameters, "error": text, "refused_at": refused_at})
    if has_history:
        settle_others(tx, spec.table, restored, missing)
    rows += sum(child.rows for child in children.values())
    quarantined += sum(child.quarantined for child in children.values())
    former += sum(child.restored for child in children.values())
    return Undone(file["file_name"], rows, quarantined, later, tuple(children), former)


def _forget_what_was_found(tx: Cursor, file_id: int) -> None:
    warnings.forget(tx, [file_id])
    profiles.forget(tx, file_id)


def _put_back(
    tx: Cursor, spec: FileSpec, config: PipelineConfig, file_id: int, *, has_history: bool
) -> dict[int, int]:
    """Rows that the file replaced or took away are as they were before; returns how many it replaced, by file."""
    returns = Returns(tx, spec, config, file_id) if spec.loses_rows else None
    if returns:
        returns.insist_on_kept_rows()
    if has_history:
        return _put_former_in_force(tx, spec, file_id, returns)
    if returns:
        returns.unmark()
    return {}


def _put_former_in_force(tx: Cursor, spec: FileSpec, file_id: int, returns: Returns | None) -> dict[int, int]:
    """Take back what the file said; returns how many rows are again as other files have them, by file."""
    try:
        with translated():
            repair = HistoryRepair(tx, spec)
            return returns.withdraw(repair) if returns else repair.withdraw(file_id)
    except DataError as error:
        raise ConfigError(
            f"file {file_id}: what its rows replaced can't be put in force again ({error}); nothing was changed"
        ) from None


def _insist_on_own_rows(tx: Cursor, spec: FileSpec, file: dict[str, Any]) -> None:
    """Raise ConfigError where the file replaced rows, or others replaced its own: what they held is not kept."""
    file_id, updated = file["file_id"], file["updated_records"]
    if updated:
        statement = sql.SQL(query("repair", "keys_of_rows")).format(
            table=sql.Identifier(spec.table), key=key_sql.text_of(spec.schema.key_columns, "t")
        )
        tx.execute(statement, {"file_id": file_id})
        keys, count = tx.fetchone() or (None, 0)
        among = "" if count == updated else f", among the {count} that are its now"
        raise ConfigError(
            f"file {file_id} replaced {updated} rows of earlier files{among} ({spec.schema.primary_key} "
            f"{_some(keys or [])}); what they held before is not kept, so it can't be undone. A later file that "
            "has them puts them right; with `keep: history` what is replaced is kept from then on"
        )
    own, has_updates = own_rows(tx, file)
    if has_updates and (elsewhere := file["inserted_records"] - own) > 0:
        tx.execute(query("repair", "updating_files"), {"table": file["source_table"]})
        raise ConfigError(
            f"{elsewhere} of the rows that file {file_id} brought are not its any more: others replaced them "
            f"(keep: {spec.keep}: files {_some([row[0] for row in tx])}), or they were deleted by hand. What was "
            f"replaced is not kept, so the file can't be undone; rows that were deleted, `reprocess {file_id}` "
            "brings back first"
        )


def _children(tx: Cursor, config: PipelineConfig, file_id: int) -> list[int]:
    """The file ids of what came of arrays in the file's records."""
    pairs = [(spec.schema.within.of.name, spec.name) for spec in config.files if spec.schema.within]
    names = {"parents": [parent for parent, _ in pairs], "children": [child for _, child in pairs]}
    tx.execute(query("repair", "children_of_file"), {"file_id": file_id, **names})
    return [row[0] for row in tx]


def _dependants(tx: Cursor, config: PipelineConfig, spec: FileSpec, file_id: int) -> list[str]:
    """One line for each table and column that refers to rows of the file."""
    lines = []
    for child, key in children(config, spec):
        if key.if_missing is IfMissing.PLACEHOLDER:
            continue  # they get one in the place of what they refer to
        statement = sql.SQL(query("repair", "dependants")).format(
            child=sql.Identifier(child.table),
            table=sql.Identifier(spec.table),
            child_text=sql.Literal(child.table),
            table_text=sql.Literal(spec.table),
            key=key_sql.value_of(spec.referred_by(key.to), "t"),
            refers=refers(child, key, spec),
        )
        tx.execute(statement, {"file_id": file_id})
        count, keys, files = tx.fetchone() or (0, None, None)
        if count:
            column = ", ".join(mine.target for mine in child.schema.columns_of(key.key))
            lines.append(f"{child.table}: {count} rows of files {_some(files)}, by {column} {_some(keys)}")
    return lines


def _some(values: Sequence[object]) -> str:
    """Up to four of the (up to five) values."""
    return ", ".join(map(str, values[:4])) + (", …" if len(values) > 4 else "")
