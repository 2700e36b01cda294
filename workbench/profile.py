"""`python main.py profile`: rules that the rows of a table keep, as lines of YAML."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.model import Dtype
from config.schema import EXTRA, Column
from datawarehouse.queries import query
from datawarehouse.tried_rows import loaded_rows
from workbench.arguments import spec_of_table
from workbench.exit_codes import EXIT_OK
from workbench.output import AsJson, print_json, say, show_rows
from workbench.rule_guess import Evidence, Proposal, Times, typed_values
from workbench.session import checked_config, command, open_warehouse

_LEAST_ROWS = 100  # with fewer it is by chance that no value comes twice
_MAY_BE_UNIQUE = frozenset({Dtype.STR, Dtype.INT, Dtype.UUID})


@command
def profile(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A table, or its file type, as visits.")],
    as_json: AsJson = False,
) -> int:
    """Propose rules that the loaded rows of a table keep, each with how many of them it would refuse.

    Nothing is changed. A rule that nearly all rows keep is proposed, too.
    """
    config = checked_config()
    spec = spec_of_table(config, table)
    with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
        rows, found = _proposals(tx, spec)
    order = [column.name for column in spec.schema.columns]
    found.sort(key=lambda one: order.index(one.column))
    if as_json:
        print_json({"type": spec.name, "rows": rows, "proposals": [_described(one) for one in found]})
        return EXIT_OK
    listed = [{"column": one.column, "under its rules": _line(one), "would refuse": one.refuses} for one in found]
    show_rows(
        listed, as_json=False, title=f"{spec.table}: {rows:,} rows", empty="No rule is proposed: too few rows."
    )
    if found:
        say(f"Put those that are meant to hold under schemas.{spec.name}.columns, in `rules` of the column.")
    return EXIT_OK


def _proposals(tx: Cursor, spec: FileSpec) -> tuple[int, list[Proposal]]:
    """How many rows there are, and what can be said of them."""
    refer = {name for key in spec.foreign_keys for name in key.key}
    columns = {
        column.name: column
        for column in spec.schema.columns
        if column.name != EXTRA and (spec.operation is None or column.name != spec.operation.column)
    }
    of_key = {*spec.schema.primary_key} | refer
    evidence = {name: Evidence(column, is_key=name in of_key) for name, column in columns.items()}
    times, rows = Times(columns), 0
    for texts in loaded_rows(tx, spec, list(columns.values())):
        values = {name: typed_values(columns[name], text) for name, text in texts.items()}
        for name, found in evidence.items():
            found.add(values[name])
        times.add(values)
        rows += len(next(iter(values.values())))
    proposals = [one for found in evidence.values() for one in found.proposals()]
    beside = {(one.column, one.rule) for one in proposals}
    compared = [one for one in times.proposals() if one.rule not in columns[one.column].uses]
    replaced = {(one.column, one.rule) for one in compared} & beside
    proposals = [one for one in proposals if (one.column, one.rule) not in replaced] + compared
    if rows >= _LEAST_ROWS:
        proposals += [one for c in columns.values() if c.name not in of_key for one in _unique(tx, spec, c)]
    return rows, proposals


def _unique(tx: Cursor, spec: FileSpec, column: Column) -> list[Proposal]:
    """`unique`, where no value is there twice. A file's rows are what the rule compares."""
    if column.dtype not in _MAY_BE_UNIQUE or "unique" in column.uses:
        return []
    statement = sql.SQL(query("tried_rows", "is_unique")).format(
        table=sql.Identifier(spec.table), column=sql.Identifier(column.target)
    )
    tx.execute(statement, {"least": _LEAST_ROWS})
    is_unique = bool((tx.fetchone() or (False,))[0])
    return [Proposal(column.name, "unique", True, 0)] if is_unique else []


def _line(one: Proposal) -> str:
    """As it stands in the YAML."""
    dumped = yaml.safe_dump(
        {one.rule: one.parameter}, default_flow_style=True, width=float("inf"), allow_unicode=True
    )
    return str(dumped).strip()[1:-1]


def _described(one: Proposal) -> dict[str, Any]:
    named = {"column": one.column, "rule": one.rule, "parameter": one.parameter}
    return {**named, "yaml": _line(one), "refuses": one.refuses}
