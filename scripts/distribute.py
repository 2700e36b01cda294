"""Prints the SQL that distributes the tables of the configuration over several servers, by Citus."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from config.config_loader import DEFAULT_CONFIG, get_config
from config.errors import PipelineError
from config.file_spec import FileSpec
from config.settings import PipelineConfig
from config.yaml_file import read_yaml
from datawarehouse.queries import query
from datawarehouse.schema.tables import build_metadata


def statements(config: PipelineConfig) -> list[str]:
    """SQL that distributes the tables of `config`; one transaction. May be run on tables with rows.

    Dimensions and the calendar become reference tables, parents first, and facts are distributed by their source
    keys, which primary keys get too. Foreign keys of facts go before and come back after: a table with an identity
    can't be distributed while one ties it to a reference table (citus issue 7888). Those between facts stay away.
    """
    specs = sorted(config.by_logical_name.values(), key=lambda spec: spec.level)
    facts = [spec for spec in specs if spec.is_fact]
    dimensions = ["dim_date", "dim_time", *(spec.table for spec in specs if not spec.is_fact)]
    return [
        query("distribution", "head"),
        query("distribution", "sequential"),
        *_foreign_keys(facts, config, "drop_foreign_key", distributed=False),
        *(_of_fact(spec, block) for spec in facts for block in ("drop_primary_key", "add_primary_key")),
        *(_text("reference_table", table_text=_literal(table)) for table in dimensions),
        *(_of_fact(spec, "distributed_table") for spec in facts),
        *_foreign_keys(facts, config, "add_foreign_key", distributed=True),
        "COMMIT",
    ]


def as_citus_takes_it(raw: dict[str, Any]) -> dict[str, Any]:
    """A YAML for Citus: rows keep their first values, and facts are bound to no versions."""
    changed = copy.deepcopy(raw)
    changed.setdefault("database", {})["distributed"] = True
    for feed in ("batch", "stream"):
        for entry in changed["watcher"].get(feed, {}).get("expected_files", {}).values():
            for key in ("keep", "on_conflict", "newer_by", "track", "partition_by"):
                entry.pop(key, None)
            if "derive" in entry:
                entry["derive"] = {name: how for name, how in entry["derive"].items() if "version_of" not in how}
    return changed


def _foreign_keys(
    facts: list[FileSpec], config: PipelineConfig, block: str, *, distributed: bool
) -> Iterator[str]:
    """`block` for each foreign key of the facts that there is, `distributed` or not."""
    database = config.database.model_copy(update={"distributed": distributed})
    tables = build_metadata(config.model_copy(update={"database": database})).tables
    for spec in facts:
        for key in sorted(tables[spec.table].foreign_keys, key=lambda key: key.parent.name):
            yield _text(
                block,
                child=_identifier(spec.table),
                constraint=_identifier(f"{spec.table}_{key.parent.name}_fkey"),
                column=_identifier(key.parent.name),
                parent=_identifier(key.column.table.name),
                parent_key=_identifier(key.column.name),
            )


def _of_fact(spec: FileSpec, block: str) -> str:
    return _text(
        block,
        table=_identifier(spec.table),
        constraint=_identifier(f"{spec.table}_pkey"),
        surrogate=_identifier(spec.surrogate_key or ""),
        key=_identifier(spec.schema.key_columns[0].target),
        table_text=_literal(spec.table),
        key_text=_literal(spec.schema.key_columns[0].target),
    )


def _text(block: str, **names: str) -> str:
    return query("distribution", block).format(**names)


def _identifier(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _literal(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def main(
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print the configuration as Citus takes it.")] = False,
) -> None:
    """Print the SQL that distributes the tables of the configuration. Nothing is changed, no server is asked."""
    try:
        if as_yaml:
            source = Path(os.environ.get("FASTFEAST_CONFIG") or DEFAULT_CONFIG)
            said = read_yaml(source, "FASTFEAST_CONFIG names another file")
            typer.echo(yaml.safe_dump(as_citus_takes_it(said), sort_keys=False, allow_unicode=True))
            return
        config = get_config()
    except PipelineError as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(2) from None
    typer.echo(";\n\n".join(statements(config)) + ";")


if __name__ == "__main__":
    typer.run(main)
