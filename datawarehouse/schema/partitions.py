"""Partitions of facts: made ahead of time, with the rows that wait for them in the default partition."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import Collision, WarehouseUnavailable
from config.file_spec import FileSpec
from config.partitioning import bounds, intervals
from config.settings import PipelineConfig
from datawarehouse import key_sql
from datawarehouse.db_connection import Warehouse
from datawarehouse.queries import query
from utils.logger import get_logger

logger = get_logger(__name__)

# Making a partition waits for whoever writes to the fact or to what it refers to, and others wait behind it:
# rather give up and come again.
LOCK_TIMEOUT, SHORT_LOCK_TIMEOUT = "1s", "100ms"
_WAY = "`python -m scripts.partition` prints the SQL that moves its rows (docs/scaling.md)"
_NO_WAY = (
    "no step makes the one of the other: leave partition_by as it was, or load the files again, into a table of "
    "another name (`table`) or into another database"
)


def partitioned(config: PipelineConfig) -> list[FileSpec]:
    """One spec of each partitioned fact, parents first."""
    facts = [spec for spec in config.by_logical_name.values() if spec.partition_by]
    return sorted(facts, key=lambda spec: spec.level)


def preparation(tx: Cursor, spec: FileSpec) -> str:
    """SQL that gives a new fact its default partition, and the trigger that takes keys away with their rows."""
    return sql.SQL(query("partitions", "prepare")).format(**names_of(spec)).as_string(tx)


def differences(tx: Cursor, config: PipelineConfig) -> Iterator[str]:
    """Facts that are there, and are partitioned in another way than `config` says, or not at all.

    The column may have another name by now, and the table too (`was`); that is no other way.
    """
    facts = [spec for spec in config.by_logical_name.values() if spec.is_fact]
    tx.execute(query("partitions", "how"), {"tables": [name for spec in facts for name in (spec.table, spec.was)]})
    there = dict(tx.fetchall())
    for spec in facts:
        table = spec.table if spec.table in there or spec.was is None else spec.was
        found, wanted = there.get(table), _range_of(tx, spec.partition_column)
        by = spec.partition_by
        former = _range_of(tx, spec.schema.by_name[by.column].was) if by else None
        if table in there and found not in {wanted, former or wanted}:
            yield (
                f"{table}: the table is {_partitioned(found)}, the configuration says {_partitioned(wanted)}; "
                + (_NO_WAY if found else _WAY)
            )


def _range_of(tx: Cursor, column: str | None) -> str | None:
    """How a table is partitioned by the column, as PostgreSQL puts it."""
    return None if column is None else f"RANGE ({_as_needed(tx, column)})"


def _as_needed(tx: Cursor, name: str) -> str:
    """The name in quotes where it needs them."""
    tx.execute("SELECT quote_ident(%(name)s)", {"name": name})
    return str((tx.fetchone() or (name,))[0])


def _partitioned(how: str | None) -> str:
    return f"partitioned by {how}" if how else "not partitioned"


def keep_up(warehouse: Warehouse, config: PipelineConfig) -> int:
    """Make the partitions that there are to be by now; returns how many were made.

    Each is a transaction. One that can't be made at once, since somebody works on the tables, comes with the next
    turn; the rows wait in the default partition, where everything finds them. A role that does not own a table
    leaves it as it is, and says what is missing.
    """
    return sum(_keep_up(warehouse, spec, dt.datetime.now(dt.UTC).date()) for spec in partitioned(config))


def _keep_up(warehouse: Warehouse, spec: FileSpec, today: dt.date) -> int:
    with warehouse.transaction() as tx:
        tx.execute(query("rights", "owned"))
        is_owner = spec.table in {row[0] for row in tx}
        missing = _missing(tx, spec, today, waiting=is_owner)
    if missing and not is_owner:
        logger.warning(
            f"[partitions] {spec.table} lacks {len(missing)} partitions, and this role does not own it; "
            "`python -m scripts.create_roles` makes them",
            extra={"table": spec.table, "count": len(missing)},
        )
        return 0
    made = 0
    for first, end in missing:
        try:
            with warehouse.transaction() as tx:
                moved = add(tx, spec, first, end)
        except (WarehouseUnavailable, Collision) as problem:
            logger.info(f"[partitions] {spec.table}: that of {first} is put off: {problem}")
            break
        made += 1
        extra = {"table": spec.table, "count": moved}
        logger.info(f"[partitions] {spec.table} has one from {first}; {moved} rows moved there", extra=extra)
    return made


def _missing(tx: Cursor, spec: FileSpec, today: dt.date, *, waiting: bool) -> list[tuple[dt.date, dt.date]]:
    """Intervals that there are to be, and those whose rows are `waiting`, unless they overlap with a partition."""
    by = spec.partition_by
    assert by is not None  # noqa: S101  (asked for partitioned facts only)
    tx.execute(query("partitions", "bounds"), {"table": spec.table})
    there = [tuple(re.findall(r"'(\d{4,}-\d\d-\d\d) ", row[0])) for row in tx.fetchall()]
    taken = [(dt.date.fromisoformat(pair[0]), dt.date.fromisoformat(pair[1])) for pair in there if pair]
    wanted = intervals(by, today)
    if waiting:  # only the owner may read a partition by its name
        statement = sql.SQL(query("partitions", "waiting")).format(
            **names_of(spec), horizon=sql.Literal(wanted[-1][1])
        )
        tx.execute(statement)
        wanted += [bounds(by.interval, day) for (day,) in tx.fetchall()]
    return [
        (first, end)
        for first, end in sorted(set(wanted))
        if all(end <= taken_first or first >= taken_end for taken_first, taken_end in taken)
    ]


def add(tx: Cursor, spec: FileSpec, first: dt.date, end: dt.date) -> int:
    """Make the partition from `first` to before `end`; returns how many rows moved there, which waited for it."""
    names = names_of(spec) | names_of_partition(spec, first, end)
    limits = {"timeout": sql.SQL(LOCK_TIMEOUT), "short": sql.SQL(SHORT_LOCK_TIMEOUT)}
    tx.execute(sql.SQL(query("partitions", "lock")).format(**names, **limits))
    tx.execute(query("partitions", "columns"), {"table": spec.table})
    names["columns"] = sql.SQL(", ").join([sql.Identifier(name) for (name,) in tx.fetchall()])
    moved = 0
    for part in ("add", "move", "attach"):
        tx.execute(sql.SQL(query("partitions", part)).format(**names))
        moved = max(moved, tx.rowcount)
    return moved


def intervals_of(spec: FileSpec, earliest: dt.date | None) -> list[tuple[dt.date, dt.date]]:
    """The bounds of all partitions that there are to be, with those since the `earliest` row."""
    by, today = spec.partition_by, dt.datetime.now(dt.UTC).date()
    assert by is not None  # noqa: S101  (asked for partitioned facts only)
    since = min(by.since or today, earliest or today)
    return intervals(by.model_copy(update={"since": since}), today)


def names_of_partition(spec: FileSpec, first: dt.date, end: dt.date) -> dict[str, sql.Composable]:
    """What the SQL calls a partition and its bounds."""
    return {
        "partition": sql.Identifier(f"{spec.table}_p{first:%Y%m%d}"),
        "first": sql.Literal(first.isoformat()),
        "end": sql.Literal(end.isoformat()),
    }


def names_of(spec: FileSpec) -> dict[str, sql.Composable]:
    """What the SQL calls the tables and columns of a partitioned fact."""
    return {
        "table": sql.Identifier(spec.table),
        "keys": sql.Identifier(spec.key_table),
        "default": sql.Identifier(f"{spec.table}_default"),
        "gone": sql.Identifier(gone(spec)),
        "key": key_sql.listed(spec.schema.key_columns),
        "is_old": key_sql.pairs(
            (sql.Identifier(c.target), sql.Identifier("old", c.target)) for c in spec.schema.key_columns
        ),
        "t_is_k": key_sql.matching(spec.schema.key_columns, "t", "k"),
        "by": sql.Identifier(spec.partition_column or ""),
    }


def gone(spec: FileSpec) -> str:
    """The name of the trigger that takes keys away with their rows, and of its function."""
    return f"{spec.key_table}_gone"
