"""`python main.py plan` and `apply`: the tables as they are, brought to what the YAML says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.login import NoDatabaseYet
from datawarehouse.quarantine.desk import require_operator
from datawarehouse.quarantine.settlement import Settled
from datawarehouse.schema import partitions
from datawarehouse.schema.changes import apply as do_steps
from datawarehouse.schema.late_pii import mask_late_columns
from datawarehouse.schema.misfits import quarantining
from datawarehouse.schema.plan import Plan
from datawarehouse.schema.plan import plan as make_plan
from datawarehouse.schema.steps import Cost, Kind, Misfits, Step
from datawarehouse.schema_init import bring_up, require_ddl_rights
from ingestion.set_aside import judge, set_aside
from ingestion.start_checks import check_pii_key
from validation.pii_handler import PiiHandler
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.output import AsJson, print_json, say
from workbench.session import checked_config, command
from workbench.writing import Workplace, Yes, ask, workplace

_MARKS = {Cost.SAFE: "safe  ", Cost.SLOW: "slow  ", Cost.LOSING: "losing"}


@command
def plan(
    sql: Annotated[bool, typer.Option("--sql", help="The SQL alone.")] = False, as_json: AsJson = False
) -> None:
    """What brings the tables to what the YAML says, step by step, and what each step costs. Changes nothing."""
    config = checked_config()
    todo = planned(config)
    if as_json:
        print_json(as_values(todo))
    elif sql:
        _print_sql(todo)
    else:
        _show(todo)


@command
def apply(
    safe: Annotated[bool, typer.Option("--safe", help="Only the steps that are safe.")] = False,
    quarantine_misfits: Annotated[
        bool, typer.Option("--quarantine-misfits", help="Rows that don't fit a step go to quarantine.")
    ] = False,
    yes: Yes = False,
) -> int:
    """Bring the tables to what the YAML says: show the steps, ask, do them."""
    if safe and quarantine_misfits:
        raise ConfigError("--safe does nothing that rows are against: leave --safe or --quarantine-misfits out")
    with workplace() as place:
        with place.warehouse.transaction() as tx:
            tx.execute("SET TRANSACTION READ ONLY")
            todo = make_plan(tx, place.config)
        steps = [step for step in todo.steps if step.cost is Cost.SAFE or not safe]
        left = len(todo.steps) - len(steps)
        shown = quarantining(steps, place.config) if quarantine_misfits else steps
        _show(Plan(tuple(shown), () if safe else todo.refusals))
        against = [step for step in shown if _is_opposed(step)]
        if against:
            raise ConfigError(
                f"{len(against)} of the steps can't be done while rows are against them. Nothing was changed: "
                "mend these rows, change the YAML, or have them put into quarantine"
            )
        if steps:
            ask(f"Do these {len(shown)} steps?", yes=yes or safe)  # what is safe a start does unasked
            settled = _apply(place, steps, quarantine_misfits=quarantine_misfits)
            say(
                f"✓ {len(shown)} steps are done. A running service has the former YAML: `kill -HUP` or restart it."
            )
            _tell_settled(settled)
        if left:
            say(f"{left} steps are left that are not safe: `python main.py plan` shows them.")
        return EXIT_FOUND if left or todo.refusals else EXIT_OK


def planned(config: PipelineConfig) -> Plan:
    """The plan; a database that has not been made yet has nothing to compare."""
    warehouse = Warehouse(config.database, config.home)
    try:
        warehouse.open(create=False)
    except NoDatabaseYet:
        return make_plan(None, config)
    try:
        with warehouse.transaction() as tx:
            tx.execute("SET TRANSACTION READ ONLY")
            return make_plan(tx, config)
    finally:
        warehouse.close()


def as_values(todo: Plan) -> dict[str, Any]:
    """The plan as JSON has it."""
    return {
        "steps": [_step(step) for step in todo.steps],
        "no_step": list(todo.refusals),
        "left_alone": list(todo.others),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "kind": step.kind.value,
        "table": step.table,
        "column": step.column,
        "sentence": step.sentence,
        "cost": step.cost.value,
        "rows": step.rows,
        "lock": step.lock,
        "service_goes_on": step.service_goes_on,
        "misfits": _misfits(step.misfits),
        "sql": list(step.sql),
    }


def _misfits(misfits: Misfits | None) -> dict[str, Any] | None:
    if misfits is None or not misfits.count:
        return None
    first = [{"key": key, "value": value} for key, value in misfits.first]
    referred = [{"by": by, "rows": rows} for by, rows in misfits.referred]
    return {"rows": misfits.count, "why": misfits.why, "first": first, "referred": referred}


def _is_opposed(step: Step) -> bool:
    """Are there rows against it, which do not go to quarantine?"""
    return step.kind is not Kind.QUARANTINE and step.misfits is not None and step.misfits.count > 0


def _apply(place: Workplace, steps: Sequence[Step], *, quarantine_misfits: bool) -> Settled:
    config, settled = place.config, [Settled()]

    def then(tx: Cursor) -> None:
        bring_up(tx, config)
        check_pii_key(tx, config)
        mask_late_columns(tx, config, PiiHandler(config.pii.hash_key))
        if quarantine_misfits:
            require_operator(tx, config)
            settled.append(judge(tx, config, place.who))

    def aside(tx: Cursor, step: Step) -> None:
        set_aside(tx, config, step, place.who)

    with place.warehouse.transaction() as tx:
        require_ddl_rights(tx, steps)
    do_steps(place.warehouse, config, steps, then, set_aside=aside if quarantine_misfits else None)
    partitions.keep_up(place.warehouse, config)
    place.follow_up(settled[-1].loaded)
    return settled[-1]


def _tell_settled(settled: Settled) -> None:
    refused, back = settled.refused.total(), settled.loaded.total() + settled.already_present.total()
    if refused:
        say(f"{refused:,} rows are in quarantine: `quarantine list` shows them; `edit` and `replay` them.")
    if back:
        say(f"{back:,} rows that were set aside fit after all, and are in their tables again.")


def _show(todo: Plan) -> None:
    for step in todo.steps:
        say(f"{_MARKS[step.cost]}  {step.kind.value:<16}  {step.sentence}{_costs(step)}")
        if step.misfits is not None and step.misfits.count:
            say(f"{'':8}✗ {step.misfits.count:,} rows don't fit: {step.misfits.why}")
            for key, value in step.misfits.first:
                say(f"{'':10}{key or '(key not shown)'}: {'(not shown)' if value is None else value}")
            for name, count in step.misfits.referred:
                say(f"{'':10}{name} refers to {count:,} of them; such rows can't go to quarantine")
    for sentence in todo.refusals:
        say(f"✗ no step  {sentence}")
    if todo.others:
        say(f"Only the tables have, and they are left alone: {', '.join(todo.others)}")
    if not todo.steps and not todo.refusals:
        say("✓ The tables are as configured.")
    elif any(step.cost is not Cost.SAFE for step in todo.steps):
        say("A start does what is safe by itself, if all is; `python main.py apply` does all of it.")
    if any(_is_opposed(step) for step in todo.steps):
        say("Rows that don't fit are mended first; or `apply --quarantine-misfits` puts them into quarantine.")


def _costs(step: Step) -> str:
    if step.cost is Cost.SAFE or not step.rows:
        return ""
    goes_on = "a running service goes on" if step.service_goes_on else f"loads wait: {step.lock}"
    return f" ({step.rows:,} rows; {goes_on})"


def _print_sql(todo: Plan) -> None:
    together = [step for step in todo.steps if not step.beside]
    if together:
        say("BEGIN;\n")
        for step in together:
            _print_step(step)
        say("COMMIT;\n")
    for step in todo.steps:
        if step.beside:
            _print_step(step)


def _print_step(step: Step) -> None:
    say(f"-- {step.cost.value}: {step.sentence}")
    if step.reads is not None:
        say("-- only `python main.py apply` can do this: the values are read as those of files are\n")
        return
    if not step.sql:
        say("-- only `python main.py apply`, or a start, can do this: the values are hashed with PII_HASH_KEY\n")
        return
    for statement in step.sql:
        say(f"{statement};")
    say("")
