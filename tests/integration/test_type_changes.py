"""A column gets another type: of every pair, the rows are as a fresh load has them, or told as misfits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datawarehouse.db_connection import Warehouse
from datawarehouse.schema.changes import apply
from datawarehouse.schema.plan import Plan, plan
from datawarehouse.schema_init import bring_up
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")
# Of each type: its dtype, and what files may say that it holds
TYPES: dict[str, tuple[str, list[str]]] = {
    "text": ("str", ["7", "2026-02-03", "true", "x y", "[1]", "70000", "1.5"]),
    "varchar(20)": ("str", ["7", "1.5", "2026-02-03 04:05:06", "false"]),
    "char(4)": ("str", ["7", "true", "1.5"]),
    "smallint": ("int", ["7", "0", "1", "-3"]),
    "integer": ("int", ["7", "1", "70000"]),
    "bigint": ("int", ["0", "5000000000"]),
    "double precision": ("float", ["7", "1.5", "0.1"]),
    "numeric": ("float", ["7", "1.25", "12345678901234567890.5"]),
    "numeric(6,2)": ("float", ["7", "1.25", "9999.99"]),
    "boolean": ("bool", ["true", "false"]),
    "timestamp": ("datetime", ["2026-02-03 00:00:00", "2026-02-03 04:05:06.000001"]),
    "timestamptz": ("datetime", ["2026-02-03 00:00:00", "2026-02-03 04:05:06"]),
    "date": ("date", ["2026-02-03"]),
    "time": ("time", ["04:05:06"]),
    "uuid": ("uuid", ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]),
    "jsonb": ("json", ["[1]", "7", '{"a":1}']),
    "json": ("json", ["[1]", "7"]),
    "text[]": ("json", ["[]", '["a"]']),
    "integer[]": ("json", ["[1]", "[70000]"]),
    "bigint[]": ("json", ["[1]", "[5000000000]"]),
}


def types_of(columns: dict[str, str]) -> dict[str, Any]:
    said = {name: {"dtype": TYPES[sql_type][0], "sql_type": sql_type} for name, sql_type in columns.items()}
    return {"thing": {"key": "id", "columns": {"id": "int", **said}}}


def planned(small: Small) -> Plan:
    with small.warehouse.transaction() as tx:
        return plan(tx, small.config)


@pytest.mark.parametrize("target", TYPES)
def test_every_type_becomes_every_other_value_for_value(warehouse: Warehouse, tmp_path: Path, target: str) -> None:
    """A column of each type becomes `target`; values that don't fit are taken out first."""
    sources = {f"c{number}": sql_type for number, sql_type in enumerate(TYPES) if sql_type != target}
    small = Small(warehouse, tmp_path, types_of(sources))
    rows = [
        (n, *(values[n] if n < len(values) else None for values in (TYPES[kind][1] for kind in sources.values())))
        for n in range(8)
    ]
    assert small.load("thing", rows).quarantined == 0
    before = [row[1:-2] for row in small.rows("SELECT * FROM dim_thing ORDER BY id")]
    small.config = small.read(types_of(dict.fromkeys(sources, target)))
    todo = planned(small)
    assert todo.refusals == ()
    assert {step.column for step in todo.steps} == sources.keys()
    for step in todo.steps:
        if step.misfits is not None and step.misfits.count:
            small.rows(f"UPDATE dim_thing AS t SET {step.column} = NULL WHERE {step.misfits.condition}")
    kept = small.rows("SELECT * FROM dim_thing ORDER BY id")
    lost = sum(
        a is not None and b is None
        for old, new in zip(before, kept, strict=True)
        for a, b in zip(old, new[1:-2], strict=True)
    )
    assert lost == sum(step.misfits.count for step in todo.steps if step.misfits is not None)
    todo = planned(small)
    apply(small.warehouse, small.config, todo.steps, lambda tx: bring_up(tx, small.config))
    assert planned(small).steps == ()
    # What a fresh load makes of what the files said is there, wherever the value was not changed by its first type
    after = small.rows(f"SELECT {', '.join(f'{name}::text' for name in sources)} FROM dim_thing ORDER BY id")
    assert sum(value is not None for row in after for value in row) == sum(
        value is not None for row in kept for value in row[1:-2]
    )
    small.rows("DROP TABLE dim_thing")
    fresh = Small(warehouse, tmp_path, types_of(dict.fromkeys(sources, target)))
    said = [
        (row[0], *(None if value is None else rows[row[0]][at] for at, value in enumerate(row[1:-2], 1)))
        for row in kept
    ]
    fresh.load("thing", said)
    loaded = dict(fresh.rows(f"SELECT id, ARRAY[{', '.join(f'{name}::text' for name in sources)}] FROM dim_thing"))
    exact = {"text", "varchar(20)", "smallint", "integer", "bigint"}
    for number, row in enumerate(after):
        for (name, kind), value, again in zip(sources.items(), row, loaded.get(number, row), strict=True):
            if kind in exact:
                assert value == again, (name, kind, target)
