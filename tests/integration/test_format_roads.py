"""Workbooks and Parquet on the other roads: in groups, grown, stopped, quarantined and loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.errors import Stopped
from config.jobs import FileJob, Status
from datawarehouse.db_connection import Warehouse
from ingestion.group_load import GroupLoad
from tests.integration.small import PII, Small
from tests.workbooks import CellError, parquet, xlsx

TYPES: dict[str, dict[str, Any]] = {
    name: {"key": "id", "columns": {"id": "int", "label": "str"}, "extension": extension}
    for name, extension in (("books", ".xlsx"), ("tiles", ".parquet"))
}


@pytest.fixture
def site(warehouse: Warehouse, tmp_path: Path) -> Small:
    return Small(warehouse, tmp_path, TYPES)


def data_of(name: str, rows: list[list[Any]]) -> bytes:
    if name == "books":
        return xlsx([["id", "label"], *rows])
    return parquet({"id": [row[0] for row in rows], "label": [row[1] for row in rows]})


def job(site: Small, name: str, data: bytes) -> FileJob:
    made = site.job(name, "")
    made.path.write_bytes(data)
    return made


@pytest.mark.parametrize("name", TYPES)
def test_small_files_are_loaded_together(site: Small, name: str) -> None:
    jobs = [job(site, name, data_of(name, [[n, f"x{n}"], [n + 100, None]])) for n in range(3)]
    together = GroupLoad(site.warehouse, site.config, PII).run(jobs)
    assert [outcome.inserted for outcome in together.loaded] == [2, 2, 2]
    assert site.rows(f"SELECT count(*), count(label) FROM dim_{name}") == [(6, 3)]


@pytest.mark.parametrize("name", TYPES)
def test_several_chunks_are_numbered_through(site: Small, name: str) -> None:
    rows = [[n if n != 17 else 16, f"x{n}"] for n in range(1, 31)]
    outcome = site.loader(7).run(job(site, name, data_of(name, rows)))
    assert (outcome.status, outcome.inserted) == (Status.SUCCESS, 29)
    assert site.rows("SELECT row_number FROM quarantine") == [(17,)]


@pytest.mark.parametrize("name", TYPES)
def test_a_stop_is_heard_between_chunks(site: Small, name: str) -> None:
    asked = iter([False, True])
    loader = site.loader(5, give_up=lambda: next(asked))
    with pytest.raises(Stopped):
        loader.run(job(site, name, data_of(name, [[n, "x"] for n in range(20)])))
    assert site.rows(f"SELECT count(*) FROM dim_{name}") == [(0,)]


@pytest.mark.parametrize("name", TYPES)
def test_a_file_that_was_cut_off_fails_and_its_whole_is_loaded(site: Small, name: str) -> None:
    whole = data_of(name, [[n, f"x{n}"] for n in range(50)])
    made = job(site, name, whole[:-40])
    failed = site.loader().run(made)
    assert failed.status is Status.FAILED
    assert "not a whole" in str(failed.error)
    made.path.write_bytes(whole)
    assert site.loader().run(made).inserted == 50


def test_a_row_with_an_error_is_in_quarantine_with_its_values(site: Small) -> None:
    outcome = site.loader().run(job(site, "books", data_of("books", [[1, "a"], [2, CellError("#N/A")]])))
    assert (outcome.inserted, outcome.quarantined) == (1, 1)
    assert site.rows("SELECT raw_data ->> 'label' FROM quarantine") == [("#N/A",)]
