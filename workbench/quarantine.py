"""`python main.py quarantine …`: refused rows looked at, mended, replayed, discarded."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.model import Stage
from config.settings import PipelineConfig
from datawarehouse import reports
from datawarehouse.quarantine import desk as quarantine_desk
from datawarehouse.quarantine.replay import replay
from datawarehouse.quarantine.settlement import Settled
from validation.pii_handler import PiiHandler
from workbench import spreadsheet
from workbench.arguments import RowId, RowIds, Since, moment, spec_of_table
from workbench.exit_codes import EXIT_FOUND
from workbench.output import AsJson, say, show_record, show_rows
from workbench.session import checked_config, command, open_warehouse
from workbench.writing import DryRun, Workplace, Yes, ask, workplace

R = TypeVar("R")

PAGE = 10_000  # rows read at a time
_SKIPPED = "closed, or in the service's hands just now"

app = typer.Typer(help="Refused rows: look at them, mend them, load them, close them.", no_args_is_help=True)

OfFile = Annotated[int | None, typer.Option("--file", help="Rows of this file_id.")]
OfTable = Annotated[
    str | None, typer.Option("--table", help="Rows meant for this table, or its files' logical name.")
]
OfStage = Annotated[Stage | None, typer.Option("--stage", help="Rows that this stage refused.")]
OfRule = Annotated[str | None, typer.Option("--rule", help="Rows that break this rule.")]
Text = Annotated[str | None, typer.Option("--text", help="Rows with this text in file name or values.")]


@dataclass(frozen=True)
class Filters:
    """Which rows, each an option of the commands that choose some; None does not filter."""

    file: OfFile = None
    table: OfTable = None
    stage: OfStage = None
    rule: OfRule = None
    since: Since = None
    text: Text = None

    def read(
        self, tx: Cursor, config: PipelineConfig, *, open_only: bool, limit: int, before_id: int | None = None
    ) -> list[reports.Row]:
        """Rows of quarantine, newest first. Raises ConfigError for a table that is none, or a time."""
        return reports.quarantined(
            tx,
            file_id=self.file,
            table=spec_of_table(config, self.table).table if self.table else None,
            stage=self.stage.value if self.stage else None,
            rule=self.rule,
            text=self.text,
            since=moment(self.since),
            open_only=open_only,
            before_id=before_id,
            limit=limit,
        )

    def all_open(self, tx: Cursor, config: PipelineConfig) -> list[reports.Row]:
        """All open rows, by id."""
        rows: list[reports.Row] = []
        while page := self.read(
            tx, config, open_only=True, limit=PAGE, before_id=rows[-1]["quarantine_id"] if rows else None
        ):
            rows += page
        return rows[::-1]


def filtered(function: Callable[..., R]) -> Callable[..., R]:
    """A command with an option for each field of Filters, which `function` gets as its argument `filters`."""
    whole = inspect.signature(function, eval_str=True)
    options = [
        option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for option in inspect.signature(Filters, eval_str=True).parameters.values()
    ]

    @wraps(function)
    def run(**given: Any) -> R:
        chosen = Filters(**{option.name: given.pop(option.name) for option in options})
        return function(filters=chosen, **given)

    others = [parameter for name, parameter in whole.parameters.items() if name != "filters"]
    run.__signature__ = whole.replace(parameters=[*others, *options])  # type: ignore[attr-defined]  # Typer asks it
    return run


@app.command("list")
@command
@filtered
def list_rows(
    filters: Filters,
    closed: Annotated[bool, typer.Option("--all", help="Closed rows too.")] = False,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """Refused rows, newest first."""
    config = checked_config()
    with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
        rows = filters.read(tx, config, open_only=not closed, limit=limit)
    if not as_json:
        shown = ("quarantine_id", "file_id", "row_number", "source_file", "source_table", "rejection_reason")
        rows = [{name: row[name] for name in shown} | {"state": row["resolution"] or "open"} for row in rows]
    show_rows(rows, as_json=as_json, empty="No such rows.")


@app.command()
@command
def show(quarantine_id: RowId, as_json: AsJson = False) -> None:
    """One row: its values as they are stored, all reasons, and what was done to it."""
    with open_warehouse(checked_config()) as warehouse, warehouse.transaction() as tx:
        row = next(iter(reports.read(tx, "quarantined_row", quarantine_id=quarantine_id)), None)
        steps = reports.read(tx, "quarantine_history", quarantine_id=quarantine_id)
    if row is None:
        raise ConfigError(f"there is no row with quarantine_id {quarantine_id}")
    if as_json:
        show_record(row | {"history": steps}, as_json=True)
        return
    show_record({name: value for name, value in row.items() if name not in {"raw_data", "reasons"}}, as_json=False)
    say("")
    against: dict[str, list[str]] = {}
    for reason in row["reasons"]:
        against.setdefault(reason["column"] or "", []).append(reason["rule"])
    values = [
        {"column": n, "value": v, "against it": ", ".join(against.get(n, []))} for n, v in row["raw_data"].items()
    ]
    of_several = {name: rules for name, rules in against.items() if name not in row["raw_data"] and ", " in name}
    values += [{"column": n, "value": None, "against it": ", ".join(rules)} for n, rules in of_several.items()]
    show_rows(values, as_json=False)
    if steps:
        show_rows(steps, as_json=False, title="What was done to it")


@app.command()
@command
@filtered
def export(
    out: Annotated[Path, typer.Argument(help="A new file, .csv or .xlsx.")],
    filters: Filters,
) -> None:
    """Open rows of one table as a spreadsheet, to be mended there and given to `edit --from`."""
    config = checked_config()
    with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
        rows = filters.all_open(tx, config)
    tables = sorted({row["source_table"] for row in rows})
    if len(tables) > 1:
        raise ConfigError(f"these rows are of {len(tables)} tables; choose one by --table: {', '.join(tables)}")
    columns = _columns(config, tables[0]) if tables else []
    spreadsheet.write(out, columns, rows)
    say(f"{len(rows)} rows written to {out}")


@app.command()
@command
def edit(
    quarantine_id: Annotated[int | None, typer.Argument(show_default=False)] = None,
    values: Annotated[list[str] | None, typer.Option("--set", help="column=value; may be repeated.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="A mended export, .csv or .xlsx.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Change what `replay` will judge and load. Sensitive values are given in clear, and stored as hashes."""
    if (source is None) == (quarantine_id is None or not values):
        raise ConfigError("give a quarantine_id with --set column=value, or --from FILE")
    with workplace(dry_run=dry_run) as place:
        if source is None:
            assert quarantine_id is not None  # noqa: S101  (or values and source would both be missing)
            changes: dict[int, dict[str, str]] = {
                quarantine_id: dict(_assignment(value) for value in values or [])
            }
        else:
            changes = _changes_in(place, source)
        if not changes:
            say("The file has no changes.")
            return
        if not dry_run:
            ask(f"Change {len(changes)} quarantined rows?", yes=yes)
        pii = PiiHandler(place.config.pii.hash_key)
        edited = place.write(lambda tx: quarantine_desk.edit(tx, place.config, pii, changes, place.who))
        same = f", {edited.same} are as they were" if edited.same else ""
        place.done(f"{edited.changed} rows changed{same}; replay them to load them", changed=edited.changed)
        place.follow_up()


@app.command("replay")
@command
@filtered
def replay_rows(
    filters: Filters,
    ids: RowIds = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Judge rows by today's rules and load those that pass. Exit code 1 when some are refused again."""
    with workplace(dry_run=dry_run) as place:
        chosen = _chosen(place, ids, filters)
        if not dry_run:
            ask(f"Replay {len(chosen)} quarantined rows?", yes=yes)
        result = place.write(lambda tx: replay(tx, place.config, chosen, place.who))
        figures = {name: sum(counter.values()) for name, counter in _counters(result).items()}
        parts = [f"{figures['loaded']} loaded", f"{figures['already_present']} already there"]
        parts.append(f"{figures['refused']} refused again")
        if result.skipped:
            parts.append(f"{result.skipped} {_SKIPPED}")
        place.done(f"{len(chosen) - result.skipped} rows replayed: {', '.join(parts)}", **figures)
        if healed := place.follow_up(result.loaded):
            place.done(f"{healed} orphans healed", healed=healed)
    return EXIT_FOUND if figures["refused"] else 0


@app.command()
@command
@filtered
def discard(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the rows' history.")],
    filters: Filters,
    ids: RowIds = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Close open rows for good. They are kept, and stay refused in the books."""
    with workplace(dry_run=dry_run) as place:
        chosen = _chosen(place, ids, filters)
        if not dry_run:
            ask(f"Discard {len(chosen)} quarantined rows?", yes=yes)
        count = place.write(lambda tx: quarantine_desk.discard(tx, chosen, reason, place.who))
        skipped = f", {len(chosen) - count} {_SKIPPED}" if count < len(chosen) else ""
        place.done(f"{count} rows discarded{skipped}", discarded=count)


def _counters(result: Settled) -> dict[str, Any]:
    return {"loaded": result.loaded, "already_present": result.already_present, "refused": result.refused}


def _chosen(place: Workplace, ids: list[int] | None, filters: Filters) -> list[int]:
    """The ids given, or those of the open rows that the filters let through; all open rows are never meant."""
    if bool(ids) == (filters != Filters()):
        raise ConfigError("give either ids or filters (--file, --table, --stage, --rule, --since, --text)")
    with place.warehouse.transaction() as tx:
        if ids:
            there = {row["quarantine_id"] for row in reports.read(tx, "quarantined_raw", ids=ids)}
            if unknown := sorted(set(ids) - there):
                raise ConfigError(f"there is no row with quarantine_id {', '.join(map(str, unknown))}")
            return sorted(there)
        return [row["quarantine_id"] for row in filters.all_open(tx, place.config)]


def _columns(config: PipelineConfig, table: str) -> list[str]:
    spec = next((spec for spec in config.files if spec.table == table), None)
    if spec is None:
        raise ConfigError(f"the configuration has no file type for {table}")
    return list(spec.schema.by_name)


def _assignment(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigError("--set: give column=value")
    return name.strip(), value


def _changes_in(place: Workplace, source: Path) -> dict[int, dict[str, str]]:
    given = spreadsheet.read(source)
    with place.warehouse.transaction() as tx:
        rows = reports.read(tx, "quarantined_raw", ids=list(given))
    raw = {row["quarantine_id"]: row["raw_data"] for row in rows}
    changes = {q_id: spreadsheet.changed(cells, raw.get(q_id, {})) for q_id, cells in given.items()}
    return {q_id: cells for q_id, cells in changes.items() if cells}
