"""`config check`: does the configuration hold, and what would the next start do to the database?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config.config_loader import without_pii_key
from config.errors import ConfigError
from config.settings import PipelineConfig
from datawarehouse.schema.plan import Plan, is_for_start
from datawarehouse.schema.steps import Kind
from ingestion.rehearsal import rehearse
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.output import AsJson, print_json, say
from workbench.session import checked_config, command

app = typer.Typer(help="The configuration.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _config() -> None:
    """The configuration."""


@app.command("check")
@command
def check(
    database: Annotated[bool, typer.Option("--database/--no-database", help="Compare the tables too.")] = True,
    as_json: AsJson = False,
) -> int:
    """Check the YAML as a start does, and say what the next start would create, add or refuse.

    Exit code 1 when a start would be refused: for the YAML, the tables, the role's rights, the connections that
    the server gives, the clock, the PII key or the folders; 2 when the database can't be asked.
    """
    try:
        config = checked_config()
    except ConfigError as problem:
        if as_json:
            print_json({"problems": str(problem).splitlines()})
        else:
            say(str(problem))
        return EXIT_FOUND
    todo, problems = rehearse(config) if database else (None, [])
    found = describe(config, todo, problems)
    if as_json:
        print_json(found)
    else:
        _show(found, todo)
    return EXIT_FOUND if problems or (todo is not None and todo.differences) else EXIT_OK


def describe(config: PipelineConfig, todo: Plan | None, problems: list[str]) -> dict[str, Any]:
    """What the configuration says, and, where the database was asked, what a start would do.

    `problems` are what a start would be refused for, beside the differences.
    """
    order = [
        {
            "name": spec.name,
            "pattern": spec.pattern,
            "feed": spec.feed.value,
            "table": spec.table,
            "parents": sorted({key.parent for key in spec.foreign_keys}),
            "within": str(spec.schema.within) if spec.schema.within else None,
        }
        for spec in config.files
    ]
    database = summary(todo) if todo is not None else None
    migrations = database.pop("migrations") if database is not None else ()
    warnings = [warning for warning in (without_pii_key(config),) if warning]
    source = str(config.source)
    return {
        "source": source,
        "load_order": order,
        "database": database,
        "migrations": migrations,
        "problems": problems,
        "warnings": warnings,
    }


def summary(todo: Plan) -> dict[str, Any]:
    """What a start would do, in a few words."""
    names = ("migrations", "tables", "columns", "checks", "differences", "others")
    return {name: list(getattr(todo, name)) for name in names}


def _show(found: dict[str, Any], todo: Plan | None) -> None:
    order = found["load_order"]
    say(f"✓ {found['source']}: {len(order)} kinds of files; every parent is expected. Load order:")
    for file in order:
        refers = f" → {', '.join(file['parents'])}" if file["parents"] else ""
        within = f", in {file['within']}" if file["within"] else ""
        say(f"  {file['pattern']:<24} {file['table']}{refers}{within}")
    for warning in found["warnings"]:
        say(f"! {warning}")
    database = found["database"]
    if database is None or todo is None:
        say("The database was not asked.")
        return
    if found["migrations"]:
        say(f"The next start upgrades the pipeline's own tables: {', '.join(found['migrations'])}")
    for what, names in (("creates the tables", database["tables"]), ("adds the columns", database["columns"])):
        if names:
            say(f"The next start {what}: {', '.join(names)}")
    told = {Kind.CREATE_TABLE, Kind.ADD_COLUMN}
    for sentence in (step.sentence for step in todo.steps if step.kind not in told and is_for_start(step)):
        say(f"The next start, too: {sentence}")
    if database["others"]:
        say(f"Only the tables have, and they are left alone: {', '.join(database['others'])}")
    for problem in found["problems"]:
        say(f"✗ A start is refused: {problem}")
    if database["differences"]:
        say("✗ A start is refused; `python main.py plan` shows what brings the tables to the YAML:")
        for difference in database["differences"]:
            say(f"  - {difference}")
    elif not (found["migrations"] or todo.steps):
        say("✓ The tables are as configured.")
