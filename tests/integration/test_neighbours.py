"""A file or a group in trouble holds up no other, whichever engine loads: it is tried again, and others go on."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from config.settings import DatabaseConfig
from ingestion.engines.registry import ENGINES
from tests.acceptance.daemon import wait_until
from tests.integration.home import Home

NAMES = ("things", "others")


class House(Home):
    """Two types of files that have nothing to do with one another."""

    def put_rows(self, hour: int, name: str, first: int, rows: int = 1) -> None:
        lines = "".join(f"{number},x\n" for number in range(first, first + rows))
        self.put(f"{name}.csv", f"id,name\n{lines}", hour)

    def ids(self, name: str) -> list[int]:
        return [number for (number,) in self.rows(f"SELECT id FROM fact_{name} ORDER BY id")]

    def statuses(self) -> set[str]:
        return {status for (status,) in self.rows("SELECT DISTINCT status FROM pipeline_file_log")}


@pytest.fixture(params=sorted(ENGINES))
def house(
    request: pytest.FixtureRequest, tmp_path: Path, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> House:
    if request.param == "dask":
        pytest.importorskip("distributed")
    house = House(tmp_path, database, monkeypatch)
    columns = [{"name": "id", "dtype": "int", "nullable": False}, {"name": "name", "dtype": "str"}]
    house.configure(
        {f"{name}.csv": {"table": f"fact_{name}"} for name in NAMES},
        {name: {"primary_key": "id", "columns": columns} for name in NAMES},
        database={"answer_seconds": 1},
        execution={"engine": request.param, "workers": 1},
    )
    house.put_rows(0, "things", 1, rows=300)
    house.turn()
    return house


@pytest.mark.parametrize("files", [1, 3], ids=["alone", "together"])
def test_files_of_a_locked_table_hold_up_no_other(house: House, files: int) -> None:
    for hour in range(1, 1 + files):
        house.put_rows(hour, "things", 1000 + hour)
    house.put_rows(9, "others", 1)
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
        house.put_rows(hour, "things", 1000 + hour)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        house.turn()
    assert len(house.ids("things")) == 300 + files
    assert house.statuses() == {"success"}
    assert sum("23505" in message for message in caplog.messages) == 1


def test_files_loaded_together_have_books_and_order_on_each_engine(house: House) -> None:
    for hour in range(1, 6):
        house.put_rows(hour, "things", 1000 + 10 * hour, rows=hour)
    house.turn()
    counts = house.rows("SELECT inserted_records FROM pipeline_file_log ORDER BY file_id")
    assert [count for (count,) in counts] == [300, 1, 2, 3, 4, 5]
