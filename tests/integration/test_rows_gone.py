"""Rows that are gone: by a snapshot that lacks them, or by a record that deletes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.jobs import Status
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.undo import lock_file, undo
from ingestion.file_report import console_line
from ingestion.group_load import GroupLoad
from ingestion.reprocess import reprocess
from tests.integration.small import PII, Small
from workbench.explain import look
from workbench.verify import run_checks

STOCK: dict[str, Any] = {"key": "id", "columns": {"id": "int", "v": "str"}, "rows": "snapshot"}
USES = {"key": "id", "columns": {"id": "int", "stock_id": "int"}, "foreign_keys": {"stock_id": "stock"}}
DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]


def _undo(small: Small, file_id: int | None) -> None:
    with small.warehouse.transaction() as tx:
        undo(tx, small.config, file_id or 0, "a test", "2026-02-01")


def _rows(small: Small, statement: str) -> list[tuple[Any, ...]]:
    with small.warehouse.transaction() as tx:
        tx.execute(statement)
        return tx.fetchall()


def _gone(small: Small, name: str, key: int) -> tuple[int, str] | None:
    """What `explain` tells of it: the file that took the row away, and since when it is gone."""
    with small.warehouse.transaction() as tx:
        found = look(tx, small.config, small.config.by_logical_name[name], [str(key)])["gone"]
    return (found["file_id"], str(found["since"].date())) if found else None


def _verified(small: Small) -> None:
    found = [(c.name, c.differences) for c in run_checks(small.warehouse, small.config) if "CSV" not in c.name]
    assert [row for row in found if row[1]] == []


@pytest.mark.parametrize("keep", ["latest", "history"])
def test_rows_that_others_refer_to_are_marked_and_the_rest_is_deleted(
    warehouse: Warehouse, tmp_path: Path, keep: str
) -> None:
    types = {"stock": {**STOCK, "keep": keep, "gone": "delete", "gone_at_most_pct": 100}, "uses": USES}
    small = Small(warehouse, tmp_path, types)
    small.load("stock", [[n, "a"] for n in (1, 2, 3)], folder=DAYS[0])
    small.load("uses", [[1, 2]], folder=DAYS[0])
    cut = small.load("stock", [[3, "a"]], folder=DAYS[1])
    assert cut.gone == (2, 1, 1, 0)
    assert "2 gone (1 of them marked, since other rows refer to them)" in console_line(cut, "stock")
    assert _rows(small, "SELECT id, _gone_at::date::text FROM dim_stock ORDER BY 1") == [(2, DAYS[1]), (3, None)]
    _verified(small)
    for key in (1, 2):
        assert _gone(small, "stock", key) == (cut.file_id, DAYS[1])
    assert _gone(small, "stock", 3) is None
    back = small.load("stock", [[n, "b"] for n in (1, 2, 3)], folder=DAYS[2])
    assert (back.inserted, back.updated, back.gone.rows) == (1, 2, 0)
    assert _rows(small, "SELECT id, v, _gone_at FROM dim_stock ORDER BY 1") == [(n, "b", None) for n in (1, 2, 3)]
    _verified(small)


@pytest.mark.parametrize(("keep", "gone"), [("latest", "mark"), ("history", "mark"), ("history", "delete")])
def test_a_snapshot_that_is_taken_back_gives_back_what_it_took(
    warehouse: Warehouse, tmp_path: Path, keep: str, gone: str
) -> None:
    small = Small(warehouse, tmp_path, {"stock": {**STOCK, "keep": keep, "gone": gone, "gone_at_most_pct": 100}})
    whole = [[n, "a"] for n in (1, 2, 3)]
    small.load("stock", whole, folder=DAYS[0])
    cut = small.load("stock", whole[:2], folder=DAYS[1])
    later = small.load("stock", whole[:1], folder=DAYS[2])
    statement = "SELECT id, v FROM dim_stock WHERE _gone_at IS NULL ORDER BY 1"
    assert _rows(small, statement) == [(1, "a")]
    _undo(small, cut.file_id)
    assert _rows(small, statement) == [(1, "a")], "the later one lacks them too"
    _verified(small)
    _undo(small, later.file_id)
    assert _rows(small, statement) == [(1, "a"), (2, "a"), (3, "a")]
    _verified(small)
    if keep == "history":
        versions = "SELECT count(*), count(*) FILTER (WHERE is_current) FROM dim_stock_history"
        assert _rows(small, versions) == [(3, 3)]


@pytest.mark.parametrize("keep", ["latest", "history"])
@pytest.mark.parametrize("gone", ["mark", "delete"])
def test_a_row_that_heals_is_gone_where_a_later_snapshot_lacks_it(
    warehouse: Warehouse, tmp_path: Path, keep: str, gone: str
) -> None:
    parts = {"key": "id", "columns": {"id": "int", "stock_id": "int"}, "foreign_keys": {"stock_id": "stock"}}
    snapshot = {"rows": "snapshot", "keep": keep, "gone": gone, "gone_at_most_pct": 100}
    stock = {"key": "id", "columns": {"id": "int", "v": "str"}}
    small = Small(warehouse, tmp_path, {"stock": stock, "parts": {**parts, **snapshot}})
    small.load("stock", [[1, "a"]], folder=DAYS[0])
    small.load("parts", [[1, 1], [2, 7], [3, 7]], folder=DAYS[0])
    small.load("parts", [[1, 1], [3, 1]], folder=DAYS[1])  # has no 2 any more
    small.load("stock", [[7, "b"]], folder=DAYS[1])
    assert OrphanRetry(small.warehouse, small.config).after("dim_stock") > 0
    there = [(1, 1, None), (2, 7, DAYS[1]), (3, 1, None)]
    rows = _rows(small, "SELECT id, stock_id, _gone_at::date::text FROM dim_parts ORDER BY 1")
    assert rows == [row for row in there if gone == "mark" or row[2] is None]
    _verified(small)
    assert _gone(small, "parts", 2) is not None


@pytest.mark.parametrize("keep", ["latest", "history"])
def test_a_file_that_is_judged_again_brings_back_nothing_that_is_gone(
    warehouse: Warehouse, tmp_path: Path, keep: str
) -> None:
    stock = {**STOCK, "keep": keep, "gone": "delete", "gone_at_most_pct": 100}
    op = {"column": "op", "delete": ["D"]}
    log = {"key": "id", "columns": {"id": "int", "v": "str", "op": "str"}, "keep": keep, "gone": "delete"}
    small = Small(warehouse, tmp_path, {"stock": stock, "log": {**log, "operation": op}})
    whole = small.load("stock", [[n, "a"] for n in (1, 2, 3)], folder=DAYS[0])
    small.load("stock", [[3, "a"]], folder=DAYS[1])
    told = small.load("log", [[1, "a", "I"], [2, "a", "I"]], folder=DAYS[0])
    small.load("log", [[1, "", "D"]], folder=DAYS[1])
    for outcome in (whole, told):
        with small.warehouse.transaction() as tx:
            logged = lock_file(tx, outcome.file_id or 0)
            reprocess(tx, small.config, PII, outcome.job, logged, "a test")
    assert _rows(small, "SELECT id FROM dim_stock") == [(3,)]
    assert _rows(small, "SELECT id FROM dim_log") == [(2,)]
    _verified(small)


def test_what_was_deleted_and_is_not_kept_is_told(warehouse: Warehouse, tmp_path: Path) -> None:
    types = {"stock": {**STOCK, "keep": "latest", "gone": "delete", "gone_at_most_pct": 100}}
    small = Small(warehouse, tmp_path, types)
    small.load("stock", [[1, "a"], [2, "a"]], folder=DAYS[0])
    cut = small.load("stock", [[1, "a"]], folder=DAYS[1])
    with pytest.raises(Exception, match=r"deleted 1 rows .*keep: history"):
        _undo(small, cut.file_id)


def test_a_snapshot_that_was_cut_fails_and_nothing_is_gone(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"stock": {**STOCK, "keep": "history", "gone": "mark"}})
    small.load("stock", [[n, "a"] for n in range(10)], folder=DAYS[0])
    for rows in ([[0, "b"]], []):
        cut = small.load("stock", rows, folder=DAYS[1])
        assert cut.status is Status.FAILED
        assert cut.error is not None
        assert f"lacks {10 - len(rows)} of the 10 rows" in cut.error
        assert "at most 20 %" in cut.error
        assert "--accept-gone" in cut.error
    live = "SELECT count(*) FROM dim_stock WHERE _gone_at IS NULL AND v = 'a'"
    assert _rows(small, live) == [(10,)]
    assert small.load("stock", [[n, "a"] for n in range(8)], folder=DAYS[2]).gone.rows == 2
    _verified(small)


def test_a_record_that_may_be_any_row_takes_nothing_away(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"stock": {**STOCK, "keep": "latest", "gone": "mark"}})
    small.load("stock", [[n, "a"] for n in (1, 2)], folder=DAYS[0])
    unread = small.load("stock", "id,v\n1,b\nx,c\n", folder=DAYS[1])
    assert (unread.gone.rows, unread.gone.unreadable) == (0, 1)
    assert _rows(small, "SELECT id, v, _gone_at FROM dim_stock ORDER BY 1") == [(1, "b", None), (2, "a", None)]
    jobs = [small.job("stock", [[1, "c"]], DAYS[2]), small.job("stock", [[2, "c"]], DAYS[2])]
    assert GroupLoad(small.warehouse, small.config, PII).run(jobs).loaded == [], "they come one after the other"


@pytest.mark.parametrize("keep", ["latest", "history"])
def test_a_delete_needs_its_key_alone_and_an_unknown_word_is_refused(
    warehouse: Warehouse, tmp_path: Path, keep: str
) -> None:
    columns = {"op": "str", "id": "int", "v": {"dtype": "str", "nullable": False}, "n": "int"}
    changes = {
        "key": "id",
        "columns": columns,
        "keep": keep,
        "gone": "mark",
        "operation": {"column": "op", "delete": "D"},
    }
    small = Small(warehouse, tmp_path, {"changes": changes})
    small.load("changes", [["I", 1, "a", 1], ["I", 2, "a", 2]], folder=DAYS[0])
    told = small.load("changes", "op,id,v,n\nd,1,,what\nX,2,a,3\n,2,a,3\nD,9,,\n", folder=DAYS[1])
    assert (told.deletes, told.quarantined, told.gone.rows) == (2, 2, 1)
    assert {rule for _, rule, _ in told.reasons} == {"unknown_operation"}
    marked = "SELECT id, _gone_at::date::text FROM dim_changes ORDER BY 1"
    assert _rows(small, marked) == [(1, DAYS[1]), (2, None)]
    assert _gone(small, "changes", 1) == (told.file_id, DAYS[1])
    _verified(small)
    _undo(small, told.file_id)
    assert _rows(small, marked) == [(1, None), (2, None)]
    _verified(small)
    small.load("changes", [["D", 1, "", ""]], folder=DAYS[1])
    small.load("changes", [["U", 1, "a", 1]], folder=DAYS[2])
    assert _rows(small, marked) == [(1, None), (2, None)]
    _verified(small)
