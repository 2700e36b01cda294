"""A person's right to be forgotten: personal values blanked where a row names them, now and in files to come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.file_spec import FileSpec
from config.key import Key
from config.model import Dtype
from config.settings import PipelineConfig
from datawarehouse import key_sql, profiles
from datawarehouse.added_columns import with_added
from datawarehouse.history_repair import HistoryRepair, tables_beside
from datawarehouse.queries import query
from validation.fault_handler import to_json
from validation.personal import ErasedPersons, blank_value, derived_from_personal, key_text, naming_keys


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
    found = _key_of(owner, key)
    result = Erasure()
    tx.execute(query("repair", "lock_erasures"))
    tx.execute(query("repair", "erase_person"), {"table": table, "key": found, "who": who})
    for spec in {spec.table: spec for spec in config.files if spec.personal}.values():
        profiles.forget_values(tx, spec.name, (column.name for column in spec.personal))
        keys = list(naming_keys(spec, table, config))
        if keys:  # refused rows first: one that heals just now is loaded before its table is blanked
            result.quarantined += _blank_refused(tx, spec, config, table, found, keys)
            result.rows += sum(_blank_rows(tx, with_added(tx, spec), key, found) for key in keys)
    return result


def _key_of(owner: FileSpec, key: str) -> str:
    """The key that is given on the command line, several columns with commas between them, as `erased` has it."""
    columns = owner.schema.primary_key
    if columns.is_row:
        raise ConfigError(f"{owner.table} has no key (primary_key: row): it can't be said whose row is meant")
    parts = _parts(key) if len(columns) > 1 else [key]
    found = key_text(owner, columns, parts) if len(parts) == len(columns) else None
    if found is None:
        dtypes = ", ".join(column.dtype.value for column in owner.schema.key_columns)
        raise ConfigError(f"the keys of {owner.table} ({columns}) are of dtype {dtypes}, and --key is not")
    return found


def _parts(key: str) -> list[str]:
    """`a, 1`; or, where a comma is in a value, a JSON array: `["a, b", 1]`."""
    with suppress(ValueError):
        parts = json.loads(key)
        if isinstance(parts, list):
            return [str(part) for part in parts]
    return [part.strip() for part in key.split(",")]


def _blank_refused(
    tx: Cursor, spec: FileSpec, config: PipelineConfig, table: str, key: str, keys: list[Key]
) -> int:
    person = ErasedPersons(spec, config, {table: frozenset({key})})
    firsts = [spec.schema.columns_of(own)[0] for own in keys]
    names = [name for column in firsts for name in (column.name, *column.names_in_file)]
    first = str(json.loads(key)[0]) if len(keys[0]) > 1 else key
    if spec.schema.by_name[names[0]].dtype in {Dtype.DATE, Dtype.DATETIME}:
        first = ""
    tx.execute(query("repair", "naming"), {"table": spec.table, "columns": names, "key": first})
    named = [(q_id, file_id, raw) for q_id, file_id, raw in tx.fetchall() if person.named(raw)]
    for q_id, _, raw in named:
        parameters = {"id": q_id, "raw": to_json(person.blank_raw(raw))}
        tx.execute(query("repair", "set_raw"), parameters)
        tx.execute(query("repair", "set_raw_true_orphan"), parameters)
    personal = [name for column in spec.personal for name in (column.name, *column.names_in_file)]
    tx.execute(query("repair", "blank_history"), {"ids": [row[0] for row in named], "columns": personal})
    tx.execute(query("settlement", "backup_stale"), {"file_ids": sorted({row[1] for row in named})})
    return len(named)


def _blank_rows(tx: Cursor, spec: FileSpec, key: Key, value: str) -> int:
    """Blank the rows that name the person, and all their versions; returns how many rows."""
    parts = json.loads(value) if len(key) > 1 else [value]
    is_named = key_sql.pairs(
        (sql.Identifier(column.target), sql.SQL("{}::{}").format(sql.Literal(part), sql.SQL(str(column.sql))))
        for column, part in zip(spec.schema.columns_of(key), parts, strict=True)
    )
    blank: dict[str, str | None] = {c.target: blank_value(c) for c in spec.personal}
    blank |= dict.fromkeys(derived_from_personal(spec))
    beside = tables_beside(tx, spec)
    for table, columns in beside.items():
        _blank(tx, table, {name: blank[name] for name in blank if name in columns}, is_named)
    if spec.keeps_history and beside:
        HistoryRepair(tx, spec).compress(is_named)
    return _blank(tx, spec.table, blank, is_named)


def _blank(tx: Cursor, table: str, blank: Mapping[str, str | None], is_named: sql.Composable) -> int:
    assignments = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(v)) for name, v in blank.items()]
    statement = sql.SQL(query("repair", "blank_rows")).format(
        table=sql.Identifier(table), assignments=sql.SQL(", ").join(assignments), is_named=is_named
    )
    tx.execute(statement)
    return int(tx.rowcount)
