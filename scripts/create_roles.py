"""Makes database roles: one owns the tables, one loads, one reads for reports. May be run again."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import encrypt_password, make_dsn

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from config.config_loader import get_config
from config.errors import ConfigError, PipelineError
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.queries import query
from datawarehouse.rights import loader_rights, readable_tables
from datawarehouse.schema import partitions
from datawarehouse.schema.tables import build_metadata
from datawarehouse.schema_init import init_schema
from datawarehouse.views import all_views, existing, views_of
from utils.sla_updater_job import update_views

PARAMETER_PRIVILEGES_SINCE = 150000
OWNER_VARIABLE, LOADER_VARIABLE, READER_VARIABLE = "OWNER_PASSWORD", "LOADER_PASSWORD", "READER_PASSWORD"

Owner = Annotated[str, typer.Option(help="Role that makes and owns the tables.")]
Loader = Annotated[str, typer.Option(help="Role that the service runs as.")]
Reader = Annotated[str, typer.Option(help="Role that reports read as.")]


def create_roles(
    config: PipelineConfig, owner: str, loader: str, passwords: dict[str, str], reader: str = "fastfeast_reader"
) -> list[str]:
    """Make the roles, the tables as `owner`, and grant the others what they need; returns what there is to say.

    `config.database` is an administrator's (a superuser's). `passwords` by role; a role that isn't in it keeps
    its own. `reader` is optional: it is made when it has a password, and mended when it is there.
    Raises ConfigError, WarehouseUnavailable or PipelineError.
    """
    warehouse = Warehouse(config.database, config.home)
    warehouse.open()
    try:
        with warehouse.transaction() as tx:
            _require_superuser(tx)
            has_reader = reader in passwords or _is_there(tx, reader)
            names = _names(tx, owner, loader, reader)
            for role in (owner, loader, *([reader] if has_reader else [])):
                _make_role(tx, role, passwords.get(role))
            tx.execute(sql.SQL(query("roles", "base")).format(**names))
            _hand_over(tx, config, owner)
        _make_tables(config, warehouse.parameters, owner)
        with warehouse.transaction() as tx:
            _grant(tx, config, names)
            if has_reader:
                _let_read(tx, config, names)
            faster = _let_leave_out_triggers(tx, names)
    finally:
        warehouse.close()
    notes = [f"{owner} owns the tables, {loader} loads them" + (f", {reader} reads them" if has_reader else "")]
    return notes if faster else [*notes, "PostgreSQL before 15: foreign keys are checked twice, loading is slower"]


def _require_superuser(tx: Cursor) -> None:
    tx.execute("SELECT current_setting('is_superuser')::boolean")
    if tx.fetchone() != (True,):
        raise ConfigError("DATABASE_URL must be that of a superuser here: roles and a server setting are granted")


def _names(tx: Cursor, owner: str, loader: str, reader: str) -> dict[str, sql.Identifier]:
    tx.execute("SELECT current_database(), current_schema()")
    database, schema = tx.fetchone() or ("", "")
    names = {"owner": owner, "loader": loader, "reader": reader, "database": database, "schema": schema}
    return {key: sql.Identifier(name) for key, name in names.items()}


def _is_there(tx: Cursor, role: str) -> bool:
    tx.execute(query("roles", "exists"), {"role": role})
    return tx.fetchone() == (True,)


def _make_role(tx: Cursor, role: str, password: str | None) -> None:
    name = sql.Identifier(role)
    if not _is_there(tx, role):
        if password is None:
            raise ConfigError(
                f"the role {role} is new: give it a password in {OWNER_VARIABLE} or {LOADER_VARIABLE}"
            )
        tx.execute(sql.SQL(query("roles", "create")).format(role=name))
    if password is not None:
        verifier = encrypt_password(password, role, tx.connection, "scram-sha-256")
        tx.execute(sql.SQL(query("roles", "login")).format(role=name), {"verifier": verifier})


def _hand_over(tx: Cursor, config: PipelineConfig, owner: str) -> None:
    names = [
        *build_metadata(config).tables,
        *all_views(config),
        *map(partitions.gone, partitions.partitioned(config)),
    ]
    tx.execute(query("roles", "foreign_owned"), {"names": names, "owner": owner})
    for name, kind in tx.fetchall():
        statement = sql.SQL("ALTER {} {} OWNER TO {}")
        tx.execute(statement.format(sql.SQL(kind), sql.Identifier(name), sql.Identifier(owner)))


def _make_tables(config: PipelineConfig, parameters: dict[str, Any], owner: str) -> None:
    escaped = re.sub(r"([\\\s])", r"\\\1", owner)
    dsn = make_dsn(**{**parameters, "options": f"{parameters.get('options', '')} -c role={escaped}".strip()})
    as_owner = Warehouse(config.database.model_copy(update={"url": dsn}), config.home)
    as_owner.open()
    try:
        init_schema(as_owner, config)
        update_views(as_owner.engine(), views_of(config))
    finally:
        as_owner.close()


def _grant(tx: Cursor, config: PipelineConfig, names: dict[str, sql.Identifier]) -> None:
    """Everything is taken away and given anew, in one transaction: what isn't needed any more is gone."""
    tx.execute(sql.SQL(query("roles", "withdraw")).format(**names))
    for right in loader_rights(config):
        column = sql.SQL("({})").format(sql.Identifier(right.column)) if right.column else sql.SQL("")
        statement = sql.SQL("GRANT {privilege} {column} ON {table} TO {loader}")
        table, privilege = sql.Identifier(right.table), sql.SQL(right.privilege)
        tx.execute(statement.format(privilege=privilege, column=column, table=table, loader=names["loader"]))
    tx.execute(sql.SQL(query("roles", "extras")).format(**names))
    _grant_views(tx, config, names["loader"])


def _grant_views(tx: Cursor, config: PipelineConfig, role: sql.Identifier) -> None:
    for view in existing(tx, config):
        tx.execute(sql.SQL(query("roles", "view")).format(view=sql.Identifier(view), role=role))


def _let_read(tx: Cursor, config: PipelineConfig, names: dict[str, sql.Identifier]) -> None:
    tables = sql.SQL(", ").join(map(sql.Identifier, readable_tables(config)))
    tx.execute(sql.SQL(query("roles", "reader")).format(**names, tables=tables))
    _grant_views(tx, config, names["reader"])


def _let_leave_out_triggers(tx: Cursor, names: dict[str, sql.Identifier]) -> bool:
    if tx.connection.server_version < PARAMETER_PRIVILEGES_SINCE:
        return False
    tx.execute(sql.SQL(query("roles", "triggers")).format(**names))
    return True


def main(
    owner: Owner = "fastfeast_owner", loader: Loader = "fastfeast_loader", reader: Reader = "fastfeast_reader"
) -> None:
    """Make or mend the roles, the tables and the grants.

    DATABASE_URL is an administrator's. New roles get the passwords in OWNER_PASSWORD, LOADER_PASSWORD and
    READER_PASSWORD; for a role that is there, they are optional and replace the old one. Without READER_PASSWORD
    no reader is made. Then run the service with the loader's URL, and connect BI tools as the reader.
    """
    variables = {owner: OWNER_VARIABLE, loader: LOADER_VARIABLE, reader: READER_VARIABLE}
    passwords = {role: os.environ[variable] for role, variable in variables.items() if os.environ.get(variable)}
    try:
        if len(variables) < 3:
            raise ConfigError("--owner, --loader and --reader need three names")
        notes = create_roles(get_config(), owner, loader, passwords, reader)
    except PipelineError as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(2) from None
    for note in notes:
        typer.echo(note)


if __name__ == "__main__":
    typer.run(main)
