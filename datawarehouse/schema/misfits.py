"""Rows that are against a step: counted, and the first of them shown."""

from __future__ import annotations

from collections.abc import Callable, Collection

from datawarehouse.schema.catalog import Catalog, Naming, TableThere
from datawarehouse.schema.steps import Misfits

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
    return Misfits(there.name, condition(Naming(None)), count, why, first)
