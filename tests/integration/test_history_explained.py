"""`explain TABLE KEY --history`: every version, from which file and row, and what changed with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from datawarehouse.db_connection import Warehouse
from tests.integration.small import Small
from workbench.explain import look
from workbench.explain_history import seen_of_key, show_history

pytestmark = pytest.mark.usefixtures("config")
COLUMNS: dict[str, Any] = {"id": "int", "v": "str", "w": "int", "u": "datetime"}
ITEM: dict[str, Any] = {"key": "id", "columns": COLUMNS, "keep": "history", "newer_by": "u", "track": ["v"]}
Seen = Callable[[Small], list[dict[str, Any]]]


def seen(small: Small, key: int = 1) -> list[dict[str, Any]]:
    spec = small.config.by_logical_name["item"]
    with small.warehouse.transaction() as tx:
        found = look(tx, small.config, spec, [str(key)])
        return seen_of_key(tx, small.config, spec, [key], found["refused"])


def test_every_version_is_told_with_its_file_and_row(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    first = small.load("item", [(2, "x", 1, None), (1, "a", 1, "2026-01-01")])
    second = small.load("item", [(1, "c", 1, "2026-01-04"), (1, "b", 1, "2026-01-02"), (1, "b", 2, "2026-01-03")])
    third = small.load("item", [(1, "zzz", 1, "2026-01-02")])
    found = seen(small)
    told = [(e["at"][:10], e["file_id"], e["row_number"], e["is_version"], e["is_current"]) for e in found]
    assert told == [
        ("2026-01-01", first.file_id, 2, True, False),
        ("2026-01-02", third.file_id, 1, True, False),
        ("2026-01-02", second.file_id, 2, False, False),
        ("2026-01-03", second.file_id, 3, True, False),
        ("2026-01-04", second.file_id, 1, True, True),
    ]
    assert [sorted(entry["changed"]) for entry in found] == [
        [],
        ["u", "v"],
        ["v"],
        ["u", "v", "w"],
        ["u", "v", "w"],
    ]
    assert found[3]["changed"]["v"] == ["zzz", "b"]
    assert "another file says otherwise" in found[2]["note"]
    assert str(found[0]["file_path"]).endswith("item.csv")
    show_history(found)
    assert "4 versions in 5 rows that were seen" in capsys.readouterr().out


def test_what_made_no_version_is_told_too(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    small.load("item", [(1, "a", 1, "2026-01-01")])
    small.load("item", [(1, "a", 2, "2026-01-02")])
    entry = seen(small)[1]
    assert (entry["is_version"], entry["note"]) == (False, "nothing that is tracked changed")
    assert entry["changed"]["w"] == [1, 2]


def test_a_file_that_is_gone_is_named_all_the_same(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    job = small.job("item", [(1, "a", 1, "2026-01-01")])
    small.loader().run(job)
    job.path.unlink()
    (entry,) = seen(small)
    assert (entry["file_path"], entry["row_number"]) == (str(job.path), None)
    assert entry["place"] == "the file is no longer there"


def test_without_a_history_it_says_what_keeps_one(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": {**ITEM, "keep": "latest", "track": []}})
    with pytest.raises(ConfigError, match="keep: history"):
        seen(small)


def test_columns_may_be_called_like_those_of_a_story(warehouse: Warehouse, tmp_path: Path) -> None:
    columns = {"id": "int", "at": "str"}
    item = {"key": "id", "columns": {**columns, "v %s": "str"}, "keep": "history"}
    small = Small(warehouse, tmp_path, {"item": item})
    small.load("item", [(1, "here", "x")], folder="2026-02-01")
    (entry,) = seen(small)
    assert (entry["at"], entry["row"]["at"]) == ("2026-02-01 00:00:00", "here")
