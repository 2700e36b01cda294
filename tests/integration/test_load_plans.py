"""What a load costs grows with its rows, whatever the statistics say: judged by what PostgreSQL counts as read."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.jobs import FileJob
from datawarehouse.db_connection import Warehouse
from datawarehouse.watched_connection import WatchedCursor
from tests.acceptance.daemon import wait_until
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")

CHUNK = 1_000
COLUMNS = {"id": "int", "v": "str", "u": {"dtype": "datetime", "nullable": False}}
ITEM = {"table": "fact_item", "key": "id", "columns": COLUMNS}
UPDATED = {**ITEM, "keep": "latest", "newer_by": "u"}
PARTITIONED = {"partition_by": {"column": "u", "interval": "year", "since": "2024-01-01"}}
KINDS: dict[str, dict[str, Any]] = {
    "first": ITEM,
    "latest": UPDATED,
    "partitioned": {**ITEM, **PARTITIONED},
    "partitioned latest": {**UPDATED, **PARTITIONED},
}


def rows(numbers: range, day: int = 1, value: str = "x") -> list[tuple[int, str, str]]:
    return [(n, value, f"2024-01-{day:02}") for n in numbers]


def read(small: Small) -> int:
    """Entries of indexes and rows that were read in the database so far, of temporary tables too."""
    counted = small.rows("SELECT tup_returned FROM pg_stat_database WHERE datname = current_database()")
    return int(counted[0][0])


def read_by(small: Small, work: Callable[[], None], at_least: int) -> int:
    """What `work` reads, when it is counted; the counts come up to a second late."""
    before = read(small)
    work()
    wait_until(lambda: read(small) - before >= at_least, "what was read is counted")
    return read(small) - before


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_that_say_the_table_is_empty_cost_nothing(
    any_warehouse: Warehouse, tmp_path: Path, kind: str
) -> None:
    """ANALYZE sees no row of a load that has not committed, and says so."""
    small = Small(any_warehouse, tmp_path, {"item": KINDS[kind]})
    told = threading.Event()

    def analyze(_job: FileJob, count: int) -> None:
        if count >= 2 * CHUNK and not told.is_set():
            told.set()
            small.rows("ANALYZE")

    chunks = [
        [*rows(range(n * CHUNK, n * CHUNK + CHUNK - 10)), *rows(range(n * CHUNK - 10, n * CHUNK), value="again")]
        for n in range(1, 9)
    ]  # each chunk repeats keys of the one before
    text = [row for chunk in chunks for row in chunk]
    # a row that is refused sends its whole chunk by way of the stage
    small.rows("ALTER TABLE fact_item ADD CHECK (id % 1000 <> 500)")
    loader = small.loader(CHUNK, progress=analyze)

    def load() -> None:
        outcome = loader.run(small.job("item", text))
        assert (outcome.error, told.is_set()) == (None, True)

    work = read_by(small, load, at_least=CHUNK)
    assert work < 30 * len(text), work


def steps(plan: dict[str, Any]) -> int:
    """Rows that the nodes of an executed plan gave and left out, each time that they ran."""
    rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Join Filter", 0)
    return int(rows * plan["Actual Loops"]) + sum(map(steps, plan.get("Plans", [])))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "latest" in kind])
def test_many_small_updates_together_take_a_few_steps_a_row(
    any_warehouse: Warehouse, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Small(any_warehouse, tmp_path, {"item": KINDS[kind]})
    files, size = 50, 40
    small.load("item", rows(range(files * size)))
    newer = [rows(range(n * size, (n + 1) * size), day=2, value="newer") for n in range(files)]
    taken: list[int] = []
    execute = WatchedCursor.execute

    def explained(cursor: WatchedCursor, query: Any, vars: Any = None) -> None:  # noqa: A002
        text = cursor.mogrify(query, vars).decode()
        if re.match(r"(--.*\n)*(WITH|SELECT|INSERT|UPDATE).*stage[ _]", text, re.DOTALL) and "lock" not in text:
            execute(cursor, "SAVEPOINT explained")
            execute(cursor, "EXPLAIN (ANALYZE, FORMAT JSON) " + text)
            row = cursor.fetchone()
            assert row is not None
            taken.append(steps(row[0][0]["Plan"]))
            execute(cursor, "ROLLBACK TO SAVEPOINT explained")
        execute(cursor, query, vars)

    with monkeypatch.context() as patch:
        patch.setattr(WatchedCursor, "execute", explained)
        outcomes = small.load_together("item", newer)
    assert sum(outcome.updated for outcome in outcomes) == files * size
    assert len(taken) >= 2
    assert max(taken) < 20 * files * size, taken
    assert small.rows("SELECT DISTINCT v FROM fact_item") == [("newer",)]
