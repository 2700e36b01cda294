"""A file or a group in trouble holds up no other, whichever engine loads: it is tried again, and others go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from config.config_loader import get_config
from config.settings import DatabaseConfig
from ingestion.engines.registry import ENGINES
from ingestion.pipeline import Pipeline
from tests.acceptance.daemon import wait_until
from tests.conftest import SETTINGS_FROM_OUTSIDE

NAMES = ("things", "others")


class House:
    """A home with two types of files that have nothing to do with one another, loaded by an engine."""

    def __init__(self, home: Path, database: DatabaseConfig, engine: str) -> None:
        self._home = home
        self._database = database
        columns = [{"name": "id", "dtype": "int", "nullable": False}, {"name": "name", "dtype": "str"}]
        text = {
            "watcher": {
                "settle_seconds": 0.05,
                "batch": {"dir": "data/batch", "expected_files": {}},
                "stream": {
                    "dir": "data/stream",
                    "expected_files": {f"{name}.csv": {"table": f"fact_{name}"} for name in NAMES},
                },
            },
            "schemas": {name: {"primary_key": "id", "columns": columns} for name in NAMES},
            "database": {"answer_seconds": 1},
            "execution": {"engine": engine, "workers": 1},
            "pii": {"hash_key": "a key for the neighbours"},
            "web": {"enabled": False},
        }
        (home / "config.yaml").write_text(yaml.safe_dump(text))

    def put(self, hour: int, name: str, first: int, rows: int = 1) -> None:
        path = self._home / f"data/stream/2026-02-20/{hour:02d}/{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("id,name\n" + "".join(f"{number},x\n" for number in range(first, first + rows)))

    @contextmanager
    def connected(self) -> Iterator[Any]:
        with closing(psycopg2.connect(self._database.url)) as connection, connection.cursor() as cursor:
            yield cursor
            connection.commit()

    def ids(self, name: str) -> list[int]:
        with self.connected() as cursor:
            cursor.execute(f"SELECT id FROM fact_{name} ORDER BY id")
            return [number for (number,) in cursor]

    def turn(self) -> None:
        """Load all that is there."""
        with Pipeline(get_config()) as pipeline:
            pipeline.run_once()

    def statuses(self) -> set[str]:
        with self.connected() as cursor:
            cursor.execute("SELECT DISTINCT status FROM pipeline_file_log")
            return {status for (status,) in cursor}


@pytest.fixture(params=sorted(ENGINES))
def house(
    request: pytest.FixtureRequest, tmp_path: Path, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> House:
    if request.param == "dask":
        pytest.importorskip("distributed")
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(tmp_path / "config.yaml"))
    house = House(tmp_path, database, request.param)
    house.put(0, "things", 1, rows=300)
    house.turn()
    return house


@pytest.mark.parametrize("files", [1, 3], ids=["alone", "together"])
def test_files_of_a_locked_table_hold_up_no_other(house: House, files: int) -> None:
    for hour in range(1, 1 + files):
        house.put(hour, "things", 1000 + hour)
    house.put(9, "others", 1)
    with house.connected() as lock:
        lock.execute("LOCK TABLE fact_things IN SHARE ROW EXCLUSIVE MODE")
        loading = threading.Thread(target=house.turn)
        loading.start()
        try:
            wait_until(lambda: 1 in house.ids("others"), "the neighbour loads while the table is locked")
        finally:
            lock.connection.rollback()
            loading.join()
    assert house.ids("things")[300:] == [1000 + hour for hour in range(1, 1 + files)]
    assert house.statuses() == {"success"}


@pytest.mark.parametrize("files", [1, 3], ids=["alone", "together"])
def test_a_sequence_that_is_behind_is_moved_on_by_the_first_that_meets_it(
    house: House, files: int, caplog: pytest.LogCaptureFixture
) -> None:
    with house.connected() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('fact_things', 'things_sk'), 1)")
    for hour in range(1, 1 + files):
        house.put(hour, "things", 1000 + hour)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        house.turn()
    assert len(house.ids("things")) == 300 + files
    assert house.statuses() == {"success"}
    assert sum("23505" in message for message in caplog.messages) == 1


def test_files_loaded_together_have_books_and_order_on_each_engine(house: House) -> None:
    for hour in range(1, 6):
        house.put(hour, "things", 1000 + 10 * hour, rows=hour)
    house.turn()
    with house.connected() as cursor:
        cursor.execute("SELECT inserted_records FROM pipeline_file_log ORDER BY file_id")
        assert [count for (count,) in cursor] == [300, 1, 2, 3, 4, 5]
