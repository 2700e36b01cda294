"""Rows that are against a step: counted, the first of them shown, and who refers to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from config.settings import PipelineConfig
from datawarehouse.schema.catalog import Catalog, Naming, TableThere
from datawarehouse.schema.steps import Cost, Kind, Misfits, Step

SHOWN = 5


def counted(
    catalog: Catalog,
    there: TableThere,
    condition: Callable[[Naming], str],
    why: str,
    column: str,
    showing: Collection[str],
) -> Misfits:
    """`condition` is SQL over a row `t`. `showing`: the columns whose values may be shown."""
    now = Naming(catalog)
    wrong = condition(now)
    table = now.table(there.name)
    catalog.tx.execute(f"SELECT count(*) FROM {table} AS t WHERE {wrong}")
    (count,) = catalog.tx.fetchone() or (0,)
    first: tuple[tuple[str, str | None], ...] = ()
    if count:
        key = catalog.keys.get(there.name, ())
        parts = [f"t.{now.column(there.name, name)}::text" for name in key]
        may_show = parts and all(name in showing and name in there.columns for name in key)
        as_key = f"concat_ws(', ', {', '.join(parts)})" if may_show else "''"
        value = f"left(t.{now.column(there.name, column)}::text, 80)" if column in showing else "NULL"
        catalog.tx.execute(f"SELECT {as_key}, {value} FROM {table} AS t WHERE {wrong} ORDER BY 1 LIMIT {SHOWN}")
        first = tuple(catalog.tx.fetchall())
    referred = tuple(referring(catalog, there.name, wrong, now)) if count else ()
    return Misfits(there.name, condition(Naming(None)), count, why, first, referred)


def referring(catalog: Catalog, table: str, condition: str, names: Naming) -> Iterator[tuple[str, int]]:
    """By which `table.column` others refer to rows `t` for which `condition` holds, and to how many of them."""
    for other in catalog.tables.values():
        for key in other.of_kind("f"):
            if key.parent not in {table, f"{table}_key"} or (other.name == table and key.parent != table):
                continue  # a partitioned fact's rows hold on to their keys, which go with them
            pairs = zip(key.columns, key.parent_columns, strict=True)
            refers = " AND ".join(
                f"o.{names.column(other.name, mine)} = t.{names.column(table, its)}" for mine, its in pairs
            )
            is_itself = " AND o.ctid <> t.ctid" if other.name == table else ""
            catalog.tx.execute(
                f"SELECT count(*) FROM {names.table(table)} AS t WHERE {condition}"
                f" AND EXISTS (SELECT FROM {names.table(other.name)} AS o WHERE {refers}{is_itself})"
            )
            (count,) = catalog.tx.fetchone() or (0,)
            if count:
                yield f"{other.name}.{', '.join(key.columns)}", count


def quarantining(steps: Iterable[Step], config: PipelineConfig) -> list[Step]:
    """The steps, with one more before each that rows are against: these go to quarantine.

    A step stays as it is where the rows are none that a file brought: what files told to delete.
    """
    found: list[Step] = []
    for step in steps:
        misfits = step.misfits
        spec = next((s for s in config.by_logical_name.values() if step.table in s.possible_tables), None)
        if misfits is None or not misfits.count or spec is None or step.table == spec.deletes_table:
            found.append(step)
            continue
        found.append(replace(step, cost=Cost.SLOW, misfits=replace(misfits, count=0)))
        if step.table == spec.table or step.table in spec.history_tables:
            found.append(
                Step(
                    Kind.QUARANTINE,
                    step.table,
                    f"{step.table}: rows that don't fit go to quarantine, before: {step.kind.value}",
                    (),
                    Cost.LOSING,
                    misfits.count,
                    misfits=misfits,
                    column=step.column,
                    now=step.now,
                )
            )
    order = list(Kind)
    return sorted(found, key=lambda step: order.index(step.kind))
