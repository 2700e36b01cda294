"""`verify`: recounts the books of every file against the tables, and the CSV backup against the quarantine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.jobs import Status
from config.settings import PipelineConfig
from datawarehouse import reports
from datawarehouse.db_connection import Warehouse
from datawarehouse.placeholders import has_placeholders
from datawarehouse.quarantine.backup import QuarantineBackup
from datawarehouse.quarantine.counts import counts_by_file
from datawarehouse.queries import query
from datawarehouse.schema.partitions import names_of, partitioned
from datawarehouse.schema.tables import build_metadata
from datawarehouse.streaming import stream
from datawarehouse.versions import wrong
from ingestion.archived import is_there, where_it_lies
from ingestion.tracker_view import counted_as_done
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.output import AsJson, print_json, say, show_rows
from workbench.session import checked_config, command, open_warehouse
from workbench.verify_history import QUERIES, with_history
from workbench.verify_history import names_of as names_of_history

SHOWN = 50  # differences on the screen

Row = dict[str, Any]
_EQUAL = sql.SQL("p.{} = c.{}")
_THERE = sql.SQL("c.{} IS NOT NULL")


@dataclass
class Check:
    """One kind of promise, how many things were compared for it, and what differs."""

    name: str
    compared: int = 0
    differences: list[Row] = field(default_factory=list)


@command
def verify(as_json: AsJson = False) -> int:
    """Recount the books of every file against the tables, and report every difference.

    Compares rows, quarantine, orphans, foreign keys, history and the CSV backup. Exit code 1 when there is a
    difference.
    """
    config = checked_config()
    with open_warehouse(config) as warehouse:
        checks = run_checks(warehouse, config)
    differences = [{"check": check.name, **row} for check in checks for row in check.differences]
    if as_json:
        counts = [{"check": c.name, "compared": c.compared, "differences": len(c.differences)} for c in checks]
        print_json({"checks": counts, "differences": differences})
    else:
        _show(checks, differences)
    return EXIT_FOUND if differences else EXIT_OK


def run_checks(warehouse: Warehouse, config: PipelineConfig) -> list[Check]:
    """All checks; those of the tables on one snapshot, beside a service or without."""
    done = counted_as_done(config.path(config.tracker.db_path))  # first: what a service counts is committed
    with warehouse.transaction() as tx:
        tx.execute(query("verify", "snapshot"))
        checks = [*_of_tables(tx, config), _done_files(tx, done)]
        moved = reports.rows_of(tx, "put_away", "moved")
    backup = Check("CSV backup equals quarantine")
    for day in QuarantineBackup(config.path(config.quarantine.dir), warehouse).compare():
        backup.compared += 1
        if day.missing or day.extra:
            row = _difference(file_name=day.path.name, what=f"rows of {day.path}")
            backup.differences.append(row | {"expected": day.rows, "found": day.rows - day.missing + day.extra})
    return [*checks, *_archive(moved), backup]


def _done_files(tx: Cursor, done: dict[str, set[str]]) -> Check:
    """What is done here and not there was taken back in time, by a restore or a failover; a service mends that."""
    check = Check("files done are in the file log", sum(map(len, done.values())))
    if done:
        for md5, status in stream(tx, query("continuity", "contents")):
            if status != Status.FAILED:
                done.pop(md5, None)
    for path in sorted(path for paths in done.values() for path in paths):
        row = _difference(file_name=Path(path).name, what=f"not in the file log: {path}")
        check.differences.append(row | {"expected": 1, "found": 0})
    return check


def _archive(moved: list[Row]) -> Iterator[Check]:
    """Where files were put away: do they lie where the file log says?"""
    if moved:
        check = Check("archived files are where they were put", len(moved))
        for file in moved:
            if not is_there(where_it_lies(file)):
                row = _difference(file_name=file["file_name"], what=f"no file is there: {file['lies_at']}")
                check.differences.append(row | {"file_id": file["file_id"], "expected": 1, "found": 0})
        yield check


def _of_tables(tx: Cursor, config: PipelineConfig) -> Iterator[Check]:
    tx.execute("SELECT count(*) FROM pipeline_file_log")
    files = (tx.fetchone() or (0,))[0]
    yield Check("total = valid + quarantined", files, _differing(tx, "books", what="total_records"))

    rows = Check("rows in tables = inserted")
    for spec in sorted(config.by_logical_name.values(), key=lambda spec: spec.table):
        table = spec.table
        is_real = "NOT _placeholder" if has_placeholders(tx, spec) else "true"
        names = {"table": sql.Identifier(table), "is_real": sql.SQL(is_real)}
        found = _differing(tx, "rows", names, what="rows of the file", table=table)
        rows.differences += found or _differing(tx, "rows_of_table", names, what="rows of the table", table=table)
        rows.compared += 1
    yield rows

    counted = {"counts_by_file": counts_by_file()}
    refused = _differing(tx, "quarantine", counted, pruned_before=_pruned(config))
    yield Check("rows in quarantine = quarantined", files, refused)
    tx.execute("SELECT count(*) FROM quarantine WHERE rejection_stage = 'orphan'")
    orphans = (tx.fetchone() or (0,))[0]
    yield Check("open orphans wait for a parent", orphans, _differing(tx, "waits"))
    yield Check("orphans given up are kept", orphans, _differing(tx, "true_orphans", what="rows of true_orphan"))
    yield _foreign_keys(tx, config)
    versions = Check("rows are bound to the version of their time")
    for binding, statement in wrong(config):
        what = f"{binding.column} is not the version of its time in {binding.parent.history_table}"
        versions.differences += _found(tx, statement, what=what, table=binding.child.table)
        versions.compared += 1
    if versions.compared:
        yield versions
    history = Check("history agrees with its table")
    for spec in with_history(config):
        history.compared += 1
        for name in QUERIES:
            history.differences += _differing(tx, name, names_of_history(spec))
    if history.compared:
        yield history


def _foreign_keys(tx: Cursor, config: PipelineConfig) -> Check:
    check = Check("foreign keys hold")
    one_server = config.database.model_copy(update={"distributed": False})  # has all of them
    for table in build_metadata(config.model_copy(update={"database": one_server})).sorted_tables:
        for key in sorted(table.foreign_key_constraints, key=lambda key: key.elements[0].parent.name):
            pairs = [(element.parent.name, element.column.name) for element in key.elements]
            names = {
                "table": sql.Identifier(table.name),
                "are_there": sql.SQL(" AND ").join([_THERE.format(sql.Identifier(c)) for c, _ in pairs]),
                "parent": sql.Identifier(key.referred_table.name),
                "matches": sql.SQL(" AND ").join(
                    [_EQUAL.format(sql.Identifier(p), sql.Identifier(c)) for c, p in pairs]
                ),
            }
            what = f"{', '.join(c for c, _ in pairs)} without its row in {key.referred_table.name}"
            check.differences += _differing(tx, "foreign_key", names, what=what, table=table.name)
            check.compared += 1
    for spec in partitioned(config):
        what = f"keys of {spec.key_table} without a row"
        check.differences += _differing(tx, "keys", names_of(spec), what=what, table=spec.table)
        check.compared += 1
    return check


def _pruned(config: PipelineConfig) -> dt.datetime | None:
    days = config.retention.quarantine_days
    return None if days is None else dt.datetime.now(dt.UTC) - dt.timedelta(days=days)


def _differing(
    tx: Cursor, name: str, names: Mapping[str, sql.Composable] | None = None, *, what: str = "", **parameters: Any
) -> list[Row]:
    text = query("verify", name)
    return _found(tx, sql.SQL(text).format(**(names or {})), what=what, **parameters)


def _found(tx: Cursor, statement: sql.Composed, *, what: str, **parameters: Any) -> list[Row]:
    # What asks for no parameter is run without: names may hold a %
    takes_some = "%(" in statement.as_string(tx)
    tx.execute(statement, {**parameters, "what": what} if takes_some else None)
    columns = [column.name for column in tx.description or ()]
    return [_difference(what=what) | dict(zip(columns, row, strict=True)) for row in tx]


def _difference(*, what: str, file_name: str | None = None) -> Row:
    return dict.fromkeys(("file_id", "file_name", "table")) | {"file_name": file_name, "what": what}


def _show(checks: list[Check], differences: list[Row]) -> None:
    rows = [{"check": c.name, "compared": c.compared, "differences": len(c.differences)} for c in checks]
    show_rows(rows, as_json=False)
    if differences:
        show_rows(differences[:SHOWN], as_json=False, title="Differences")
        if len(differences) > SHOWN:
            say(f"{SHOWN} of {len(differences):,} differences; --json gives all.")
    else:
        say("Everything adds up.")
