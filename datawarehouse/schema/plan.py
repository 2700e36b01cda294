"""From the tables as they are to what the configuration says: the steps, in the order in which they are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

import sqlalchemy as sa
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.schema import migrate, partitions, user_triggers
from datawarehouse.schema.catalog import Catalog
from datawarehouse.schema.column_steps import column_steps, shown_columns
from datawarehouse.schema.ddl import create_statements
from datawarehouse.schema.differences import outdated_checks
from datawarehouse.schema.history_tables import history_steps
from datawarehouse.schema.key_steps import exclusion_steps, index_steps, key_steps
from datawarehouse.schema.late_pii import mask_steps
from datawarehouse.schema.renames import renames
from datawarehouse.schema.steps import Cost, Kind, Step
from datawarehouse.schema.tables import build_metadata

_ORDER = {kind: number for number, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps; `refusals`: sentences, each on a difference that has no step; `others`: columns (`table.column`)
    that only the tables have, and that are left alone; `migrations`: of the pipeline's own tables, to run first.
    """

    steps: tuple[Step, ...] = ()
    refusals: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    migrations: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it makes."""
        return tuple(step.table for step in self.steps if step.kind is Kind.CREATE_TABLE)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it adds, as `table.column`."""
        return tuple(f"{step.table}.{step.column}" for step in self.steps if step.kind is Kind.ADD_COLUMN)

    @property
    def checks(self) -> tuple[tuple[str, str], ...]:
        """Tables and the statements that bring their checks up to date."""
        return tuple((step.table, step.sql[0]) for step in self.steps if step.kind is Kind.CHECK)

    @property
    def for_start(self) -> tuple[Step, ...]:
        """What a start does in its transaction; it masks, and makes indexes, after that."""
        return tuple(step for step in self.steps if not step.beside and step.kind is not Kind.MASK)

    @property
    def differences(self) -> tuple[str, ...]:
        """For what a start is refused."""
        return (*self.refusals, *(step.sentence for step in self.steps if not is_for_start(step)))


def is_for_start(step: Step) -> bool:
    """Does a start do it by itself, or go on without it?

    What became personal is masked at once, though that can't be taken back.
    """
    return step.cost is Cost.SAFE or step.beside or step.kind is Kind.MASK


def plan(tx: Cursor | None, config: PipelineConfig) -> Plan:
    """Compare the database with `config`; nothing is changed. Without `tx` there is no database yet."""
    metadata = build_metadata(config)
    if tx is None:
        return Plan(tuple(_creating(None, table, config) for table in metadata.sorted_tables))
    if newer := migrate.too_new(tx):
        return Plan(refusals=(newer,))
    catalog = Catalog(tx)
    if otherwise := tuple(partitions.differences(tx, config)):
        return Plan(refusals=otherwise)  # what differs beside these follows from them
    return _Planner(catalog, config, metadata).plan()


class _Planner:
    def __init__(self, catalog: Catalog, config: PipelineConfig, metadata: sa.MetaData) -> None:
        self._catalog = catalog
        self._config = config
        self._metadata = metadata
        self._specs: dict[str, FileSpec] = {}
        for spec in config.by_logical_name.values():
            key = [column.target for column in spec.schema.key_columns]
            for name in spec.possible_tables:
                self._specs[name] = spec
                catalog.keys[name] = key

    def plan(self) -> Plan:
        found = list(chain(renames(self._catalog, self._config), self._rest()))
        steps = [step for step in found if isinstance(step, Step)]
        refusals = [text for text in found if isinstance(text, str)]
        real = {name: one.real for name, one in self._catalog.tables.items()}
        steps = [replace(step, now=real.get(step.table)) for step in steps]
        steps.sort(key=lambda step: _ORDER[step.kind])
        migrations = tuple(one.name for one in migrate.pending(self._catalog.tx))
        return Plan(tuple(steps), tuple(refusals), tuple(self._others()), migrations)

    def _rest(self) -> Iterator[Step | str]:
        there = self._catalog.tables
        new = [table for table in self._metadata.sorted_tables if table.name not in there]
        for table in self._metadata.sorted_tables:
            if table not in new:
                yield from self._changes(table)
        for table in new:
            yield _creating(self._catalog.tx, table, self._config)
        for name, statement in outdated_checks(
            self._catalog.tx, self._metadata, {name: one.columns for name, one in there.items()}
        ):
            yield Step(Kind.CHECK, name, f"{name}: a check of it is brought up to date", (statement,))
        yield from history_steps(self._catalog, self._config)
        yield from mask_steps(self._catalog, self._config)
        yield from user_triggers.rules(self._catalog.tx, self._config)

    def _changes(self, table: sa.Table) -> Iterator[Step | str]:
        """The steps for a table that is there."""
        spec = self._specs.get(table.name)
        there = self._catalog.tables[table.name]
        steps = list(column_steps(self._catalog, table, spec))
        yield from steps
        yield from index_steps(self._catalog, table)
        if spec is None:
            return
        retyped = {step.column or "" for step in steps if isinstance(step, Step) and step.kind is Kind.CHANGE_TYPE}
        yield from key_steps(self._catalog, table, sorted(shown_columns(spec, there)))
        yield from exclusion_steps(table, there, retyped, set(self._catalog.keys[table.name]))

    def _others(self) -> Iterator[str]:
        for table in self._metadata.sorted_tables:
            there = self._catalog.tables.get(table.name)
            if there is not None:
                own = {column.name for column in table.columns}
                yield from (f"{table.name}.{name}" for name in sorted(there.columns.keys() - own))


def _creating(tx: Cursor | None, table: sa.Table, config: PipelineConfig) -> Step:
    statements = create_statements(table)
    for spec in partitions.partitioned(config):
        if spec.table == table.name and tx is not None:
            statements.append(partitions.preparation(tx, spec))
    return Step(Kind.CREATE_TABLE, table.name, f"{table.name}: a new table", tuple(statements), lock=None)
