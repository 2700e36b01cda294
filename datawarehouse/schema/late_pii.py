"""A column that becomes `pii` when values of it are stored already: they are masked before anything is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.file_spec import FileSpec
from config.schema import EXTRA, Column
from config.settings import PipelineConfig
from datawarehouse import profiles
from datawarehouse.history_repair import HistoryRepair, tables_beside
from datawarehouse.key_traces import forget_table
from datawarehouse.queries import query
from datawarehouse.rights import current_role
from datawarehouse.schema.catalog import Catalog, columns_there
from datawarehouse.schema.steps import Cost, Kind, Step
from utils.logger import get_logger
from validation.fault_handler import to_json
from validation.personal import ERASED, blank_value
from validation.phones import form_of
from validation.pii_handler import PiiHandler
from validation.strays import HIDDEN, is_hidden

logger = get_logger(__name__)

PAGE = 5_000  # rows, or values, at a time
_HASH = "^[0-9a-f]{64}$"
_MASKED = re.compile(r"(sha256:)?[0-9a-f]{64}")
_OWNED = ("quarantine", "true_orphan", "quarantine_history")


@dataclass
class Masked:
    """How many rows of tables and of quarantine were masked, and the files of the latter."""

    rows: int = 0
    quarantined: int = 0
    file_ids: set[int] = field(default_factory=set)


def mask_late_columns(tx: Cursor, config: PipelineConfig, pii: PiiHandler, *, is_start: bool = True) -> Masked:
    """Mask what is stored of columns that were not `pii` at the last start; pipeline_meta remembers which were.

    A database of an earlier version has no such record: there every `pii` column is looked through, once. What is
    no start remembers nothing: a service of the former configuration may run, and stores such values until then.
    Raises ConfigError when there is something to mask and this role may not do it.
    """
    wanted = {
        f"{spec.table}.{column.name}" for spec in config.files for column in spec.schema.columns if column.pii
    }
    if wanted == _known(tx):
        return Masked()
    tx.execute(query("late_pii", "lock"))
    known = _known(tx)
    masked = Masked()
    there = columns_there(tx)
    new = wanted - (known or set())
    for table in sorted({name.partition(".")[0] for name in new}):
        specs = [spec for spec in config.files if spec.table == table]
        columns = {c.name: c for spec in specs for c in spec.schema.columns if f"{table}.{c.name}" in new}
        work = _Table(tx, table, {spec.feed.value: spec for spec in reversed(specs)}, pii, there.get(table, {}))
        rows = work.mask_rows(list(columns.values())) + work.mask_new_columns()
        quarantined = work.mask_refused(masked.file_ids)
        for spec in specs:
            profiles.forget_values(tx, spec.name, columns)
        if rows or quarantined:
            logger.warning(
                f"[pii] {', '.join(sorted(columns))} of {table} held values in clear: {rows} rows and "
                f"{quarantined} quarantined rows masked; dumps and input files are as they were",
                extra={"table": table, "rows": rows, "quarantined": quarantined},
            )
        masked.rows += rows
        masked.quarantined += quarantined
    tx.execute(query("settlement", "backup_stale"), {"file_ids": sorted(masked.file_ids)})
    if is_start:
        for name in sorted((known or set()) - wanted):
            logger.warning(f"[pii] {name} is pii no more: what was hashed stays so")
            tx.execute(query("late_pii", "remember_once"))
        tx.execute(query("late_pii", "remember_columns"), {"columns": json.dumps(sorted(wanted))})
    elif new:
        tx.execute(query("late_pii", "remember_once"))
    return masked


def mask_steps(catalog: Catalog, config: PipelineConfig) -> Iterator[Step]:
    """What `mask_late_columns` is going to look through: columns of tables with rows that became pii."""
    known = _known(catalog.tx) if "pipeline_meta" in catalog.tables else None
    for spec in config.by_logical_name.values():
        there = catalog.tables.get(spec.table)
        tables = [table for table in (spec.table, spec.was) if table]  # it may be renamed just now
        new = [
            c
            for c in spec.schema.columns
            if c.pii and not {f"{table}.{c.name}" for table in tables} & (known or set())
        ]
        new = [c for c in new if there is not None and c.target in there.columns and c.target not in there.new]
        if known is None or not new:
            continue
        rows = catalog.rows(spec.table)
        yield Step(
            Kind.MASK,
            spec.table,
            f"{spec.table}: {', '.join(column.target for column in new)} became personal: what is stored is "
            "hashed, in the table, its history, quarantine and the CSV backup",
            (),
            Cost.LOSING,
            rows,
            lock="ROW EXCLUSIVE",
        )


def mask_rest(pii: PiiHandler, spec: FileSpec, rows: pa.Table) -> pa.Table:
    """`rows` out of quarantine, where what is sensitive is hashed; should a value not be, it is hashed here."""
    for column in spec.schema.columns:
        if column.pii is None:
            continue
        values = rows.column(column.name)
        fit = pc.or_(pc.match_substring_regex(values, _HASH), pc.equal(values, blank_value(column) or ""))
        fit = pc.fill_null(fit, True)
        if not pc.all(fit).as_py():
            hashed = pii.mask(spec, rows).column(column.name)
            position = rows.schema.get_field_index(column.name)
            rows = rows.set_column(position, column.name, pc.if_else(fit, values, hashed))
    return rows


def _known(tx: Cursor) -> set[str] | None:
    tx.execute(query("late_pii", "known_columns"))
    found = tx.fetchone()
    return None if found is None else set(json.loads(found[0]))


class _Table:
    """One table, its columns, its refused rows, and the specs by feed that judge them."""

    def __init__(
        self, tx: Cursor, table: str, specs: dict[str, FileSpec], pii: PiiHandler, there: Collection[str]
    ) -> None:
        self._tx = tx
        self._table = table
        self._specs = specs
        self._pii = pii
        self._there = there

    def mask_refused(self, file_ids: set[int]) -> int:
        """Mask quarantined rows, their copies in true_orphan and what was edited; returns how many rows."""
        count = 0
        for page in self._refused_pages():
            changed = {}
            for q_id, file_id, feed, is_orphan, raw in page:
                masked = self._mask_raw(self._spec(feed), raw, strays=not is_orphan)
                if masked != raw:
                    changed[q_id] = to_json(masked)
                    file_ids.add(file_id)
            if changed:
                self._require_owner("quarantine")
                parameters = {"ids": list(changed), "raws": list(changed.values())}
                self._tx.execute(query("late_pii", "set_raw"), parameters)
                self._tx.execute(query("late_pii", "set_raw_true_orphan"), parameters)
                count += len(changed)
        self._mask_edits()
        return count

    def mask_rows(self, columns: list[Column]) -> int:
        """Hash the clear values of `columns` in the table and in its versions; returns how many values."""
        count = 0
        for column in columns:
            of_column = self._replace("clear_values", column.target, partial(self._hash_of, column))
            if of_column and any(column.name in spec.schema.primary_key.columns for spec in self._specs.values()):
                forget_table(self._tx, self._table)  # hashes of keys in clear
            count += of_column
        return count

    def mask_new_columns(self) -> int:
        """Mask what files brought beside the schema, as a load would from now on; returns how many values."""
        spec = next(iter(self._specs.values()))
        count = 0
        if EXTRA in self._there:  # else no file brought any
            count += self._replace("extras", EXTRA, partial(self._pii.mask_extra, spec), cast="::jsonb")
        self._tx.execute(query("drift", "added"), {"logical_name": spec.name, "table": self._table})
        known = {column.target for column in spec.schema.columns}
        for name in [name for (name,) in self._tx.fetchall() if name not in known]:
            count += self._replace("clear_values", name, self._pii.hidden)
        return count

    def _hash_of(self, column: Column, value: str) -> str:
        assert column.pii is not None  # noqa: S101  (only such columns are asked for)
        if is_hidden(value):
            return value.removeprefix(HIDDEN)
        return self._pii.hash_value(value, column.pii, form_of(column))

    def _replace(
        self, values_of: str, column: str, instead_of: Callable[[str], str | None], cast: str = ""
    ) -> int:
        """Put what `instead_of` gives for a value, if anything, in its place; returns in how many rows."""
        spec = next(iter(self._specs.values()))
        of_versions = 0
        for table, there in tables_beside(self._tx, spec).items():
            if column in there:
                of_versions += self._replace_in(table, values_of, column, instead_of, cast)
        if of_versions and spec.keeps_history:  # values that were written in two ways are one
            HistoryRepair(self._tx, spec).compress(sql.SQL("true"))
        own = self._replace_in(self._table, values_of, column, instead_of, cast) if column in self._there else 0
        return own + of_versions

    def _replace_in(
        self, table: str, values_of: str, column: str, instead_of: Callable[[str], str | None], cast: str
    ) -> int:
        names = {
            "table": sql.Identifier(table),
            "column": sql.Identifier(column),
            "cast": sql.SQL(cast),
            "text": sql.SQL("::text" if cast else ""),
        }
        found = False
        with self._tx.connection.cursor(name="late_pii") as values:
            values.itersize = PAGE
            form = sql.SQL(query("late_pii", values_of)).format(**names)
            values.execute(form, {"hashed": _HASH, "erased": ERASED})
            while page := [value for (value,) in values.fetchmany(PAGE)]:
                masks = {value: instead for value in page if (instead := instead_of(value)) not in {None, value}}
                if masks and not found:
                    self._require_owner(self._table)
                    self._tx.execute("DROP TABLE IF EXISTS late_pii_masks")
                    self._tx.execute(query("late_pii", "masks"))
                    found = True
                if masks:
                    parameters = {"values": list(masks), "masked": list(masks.values())}
                    self._tx.execute(query("late_pii", "add_masks"), parameters)
        if not found:
            return 0
        self._tx.execute(query("late_pii", "analyze"))
        self._tx.execute(sql.SQL(query("late_pii", "mask_rows")).format(**names))
        return int(self._tx.rowcount)

    def _mask_edits(self) -> None:
        self._tx.execute(query("late_pii", "edits"), {"table": self._table})
        for history_id, feed, changes in self._tx.fetchall():
            spec = self._spec(feed)
            before, after = (
                self._mask_raw(spec, {name: pair[side] for name, pair in changes.items()}, strays=True)
                for side in (0, 1)
            )
            masked = {name: [before[name], after[name]] for name in before}
            if masked != changes:
                parameters = {"id": history_id, "changes": to_json(masked)}
                self._tx.execute(query("late_pii", "set_changes"), parameters)

    def _mask_raw(self, spec: FileSpec, raw: dict[str, Any], *, strays: bool) -> dict[str, Any]:
        """`raw` as it would have been stored; what is masked or erased stays as it is."""
        masked: dict[str, Any] = {}
        for name, value in spec.schema.in_todays_names(raw).items():
            item = {name: value}
            masked |= item if _is_fit(spec, name, value) else self._pii.mask_raw(spec, item, strays=strays)
        return masked

    def _refused_pages(self) -> Iterator[list[tuple[Any, ...]]]:
        after = 0
        while True:
            parameters = {"table": self._table, "after": after, "limit": PAGE}
            self._tx.execute(query("late_pii", "refused_rows"), parameters)
            page = self._tx.fetchall()
            if not page:
                return
            after = page[-1][0]
            yield page

    def _spec(self, feed: str) -> FileSpec:
        return self._specs.get(feed) or next(iter(self._specs.values()))

    def _require_owner(self, table: str) -> None:
        self._tx.execute(query("late_pii", "owned"))
        owned = {name for (name,) in self._tx}
        if lacking := [name for name in (self._table, *_OWNED) if name not in owned]:
            raise ConfigError(
                f"columns of {self._table} became pii, and {table} holds values of them in clear. A start masks "
                f"them when its role owns the tables; {current_role(self._tx)} does not own {', '.join(lacking)}: "
                "start once with the DATABASE_URL of their owner"
            )


def _is_fit(spec: FileSpec, name: str, value: Any) -> bool:
    """Is the value masked already, or the mark of an erased person?"""
    if not isinstance(value, str):
        return False
    column = spec.schema.by_name.get(name)
    return _MASKED.fullmatch(value) is not None or (column is not None and value == blank_value(column))
