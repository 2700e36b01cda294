"""A person's right to be forgotten: personal values blanked where a row names them, now and in files to come."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.model import Column, FileSpec
from config.settings import PipelineConfig
from datawarehouse.queries import query
from validation.fault_handler import to_json
from validation.personal import ErasedPersons, blank_value, derived_from_personal, key_text, naming_columns


@dataclass
class Erasure:
    """How many rows were blanked."""

    rows: int = 0
    quarantined: int = 0


def read_erasures(tx: Cursor, spec: FileSpec, config: PipelineConfig) -> ErasedPersons:
    """Whose personal values a file of `spec` must not bring; nobody is erased until the transaction ends."""
    tables = {spec.table, *(config.by_logical_name[key.parent].table for key in spec.foreign_keys)}
    keys: dict[str, set[str]] = {}
    if spec.personal:
        tx.execute(query("repair", "share_erasures"))
        tx.execute(query("repair", "erasures"), {"tables": sorted(tables)})
        for table, key in tx.fetchall():
            keys.setdefault(table, set()).add(key)
    return ErasedPersons(spec, config, {table: frozenset(of_table) for table, of_table in keys.items()})


def erase(tx: Cursor, config: PipelineConfig, table: str, key: str, who: str) -> Erasure:
    """Erase the person whose row of `table` has `key`. May be repeated.

    Its row stays, and so do facts about it, for the totals. Raises ConfigError when the table has no personal
    columns, or its keys are of another kind.
    """
    owner = next((spec for spec in config.files if spec.table == table), None)
    if owner is None or not owner.personal:
        persons = sorted({spec.table for spec in config.files if spec.personal})
        raise ConfigError(f"{table!r} is no table with personal columns; there are {', '.join(persons)}")
    found = key_text(owner, owner.schema.key, key)
    if found is None:
        raise ConfigError(f"the keys of {table} are of dtype {owner.schema.key.dtype.value}, and --key is not")
    result = Erasure()
    tx.execute(query("repair", "lock_erasures"))
    tx.execute(query("repair", "erase_person"), {"table": table, "key": found, "who": who})
    for spec in {spec.table: spec for spec in config.files if spec.personal}.values():
        columns = list(naming_columns(spec, table, config))
        if columns:  # refused rows first: one that heals just now is loaded before its table is blanked
            result.quarantined += _blank_refused(tx, spec, config, table, found, columns)
            result.rows += sum(_blank_rows(tx, spec, column, found) for column in columns)
    return result


def _blank_refused(
    tx: Cursor, spec: FileSpec, config: PipelineConfig, table: str, key: str, columns: list[Column]
) -> int:
    person = ErasedPersons(spec, config, {table: frozenset({key})})
    names = [name for column in columns for name in (column.name, *column.names_in_file)]
    tx.execute(query("repair", "naming"), {"table": spec.table, "columns": names, "key": key})
    named = [(q_id, file_id, raw) for q_id, file_id, raw in tx.fetchall() if person.named(raw)]
    for q_id, _, raw in named:
        parameters = {"id": q_id, "raw": to_json(person.blank_raw(raw))}
        tx.execute(query("repair", "set_raw"), parameters)
        tx.execute(query("repair", "set_raw_true_orphan"), parameters)
    personal = [name for column in spec.personal for name in (column.name, *column.names_in_file)]
    tx.execute(query("repair", "blank_history"), {"ids": [row[0] for row in named], "columns": personal})
    tx.execute(query("settlement", "backup_stale"), {"file_ids": sorted({row[1] for row in named})})
    return len(named)


def _blank_rows(tx: Cursor, spec: FileSpec, column: Column, key: str) -> int:
    blank: dict[str, str | None] = {c.target: blank_value(c) for c in spec.personal}
    blank |= dict.fromkeys(derived_from_personal(spec))
    assignments = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(v)) for name, v in blank.items()]
    statement = sql.SQL(query("repair", "blank_rows")).format(
        table=sql.Identifier(spec.table),
        assignments=sql.SQL(", ").join(assignments),
        column=sql.Identifier(column.target),
        key_type=sql.SQL(str(column.sql)),
    )
    tx.execute(statement, {"key": key})
    return int(tx.rowcount)
