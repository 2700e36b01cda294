"""Whatever columns are called, their rows load, update, wait for parents and heal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from config.errors import ConfigError
from config.table_names import SYSTEM_COLUMNS
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema.tables import build_metadata
from tests.integration.small import Small
from workbench.verify import run_checks

pytestmark = pytest.mark.usefixtures("config")

# Names that the pipeline, its SQL or PostgreSQL use somewhere
USED = [
    *("_row", "_before", "_line", "_may_repeat", "row", "key", "number", "own", "repeats", "newer"),
    *("changed", "version", "version_there", "oid", "t", "s", "k", "n", "o", "found", "stage", "seen", "select"),
    *(
        "from",
        "user",
        "current_user",
        "order",
        "group",
        "table",
        "all",
        "any",
        "array",
        "lateral",
        "limit",
        "null",
    ),
    *(
        "excluded",
        "new",
        "old",
        "file_id",
        "parent_key",
        "_source",
        "index",
        "0",
        "1st",
        "a.b",
        "a.b.c",
        "%",
        "%s",
    ),
    *(
        "%(key)s",
        "100 %%",
        "{}",
        "{key}",
        "{0}",
        "a b",
        '"',
        '""',
        "'",
        "\\",
        "a;b",
        "--",
        "/*",
        ":a",
        "$1",
        "é",
        "名",
    ),
    *("A", "Row", "Ü" * 31, "x" * 63, " a", "a ", "a\tb", "#", "@", "?", "😀", "\u200b", "nan", "NULL", "true"),
]
ODD = st.one_of(
    st.sampled_from(USED),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=12),
)
NAMES = st.lists(ODD, min_size=5, max_size=5, unique_by=lambda name: name.strip().lower()).filter(
    lambda names: all(
        name == name.strip()
        and not name.startswith("\ufeff")
        and name not in {"_file_id", "_loaded_at", "_malformed", "taken", *SYSTEM_COLUMNS}
        for name in names
    )
)


def types(names: list[str], extension: str) -> dict[str, Any]:
    key, other, value, parent, time = names
    owner = {"key": [key], "columns": {key: "int", other: "str"}, "extension": extension}
    item = {
        "key": [other],
        "columns": {other: "str", key: "int", value: "str", parent: "int", time: {"dtype": "datetime"}},
        "foreign_keys": {parent: "owner"},
        "derive": {"taken": {"lookup": {"from": "owner", "by": parent, "take": other}}},
        "indexes": [value, parent],
        "keep": "latest",
        "newer_by": time,
        "extension": extension,
    }
    return {"owner": owner, "item": item}


@pytest.mark.parametrize("extension", [".csv", ".json"])
def test_rows_load_whatever_their_columns_are_called(warehouse: Warehouse, tmp_path: Path, extension: str) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(names=NAMES)
    def load(names: list[str]) -> None:
        with warehouse.transaction() as tx:
            tx.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        small = Small(warehouse, tmp_path, types(names, extension))
        small.load("owner", [(1, "one")])
        first = [("a", 1, "x", 1, "2024-01-01"), ("b", 2, "y", 2, "2024-01-01"), ("c", "no number", "z", 1, None)]
        outcome = small.load("item", first)
        assert (outcome.error, outcome.inserted, outcome.orphans, outcome.quarantined) == (None, 1, 1, 2)
        again = [("a", 1, "old", 1, "2023-01-01"), ("a", 1, "newer", 1, "2024-02-01"), ("d", 4, "w", None, None)]
        outcome = small.load("item", again, chunk_rows=1)
        assert (outcome.error, outcome.inserted, outcome.updated, outcome.already_present) == (None, 1, 1, 1)
        small.load("owner", [(2, "two")])
        assert OrphanRetry(warehouse, small.config).everything() == 1
        stored = small.rows("SELECT to_jsonb(dim_item.*) FROM dim_item")
        found = {row[names[1]]: (row[names[0]], row[names[2]], row[names[3]], row["taken"]) for (row,) in stored}
        assert found == {"a": (1, "newer", 1, "one"), "b": (2, "y", 2, "two"), "d": (4, "w", None, None)}
        (raw,) = small.rows("SELECT raw_data FROM quarantine WHERE resolution IS NULL")[0]
        assert {name: raw[name] for name in names[:3]} == dict(
            zip(names[:3], ["no number", "c", "z"], strict=True)
        )
        checks = run_checks(warehouse, small.config)[:-1]  # the last is of the CSV backup
        assert [check.differences for check in checks if check.differences] == []

    load()


def test_a_header_that_is_longer_than_a_name_may_be(warehouse: Warehouse, tmp_path: Path) -> None:
    long = "How satisfied are you with the delivery time of your most recent order, on a scale of 1 to 5?"
    columns = {"id": "int", long: {"dtype": "int", "stored_as": "satisfied"}}
    small = Small(warehouse, tmp_path, {"answer": {"key": "id", "columns": columns}})
    assert small.load("answer", f'id,"{long}"\n1,4\n2,5\n').inserted == 2
    assert small.rows("SELECT sum(satisfied) FROM dim_answer") == [(9,)]


def test_a_table_called_like_what_a_load_makes_is_not_hidden(warehouse: Warehouse, tmp_path: Path) -> None:
    columns = {"id": "int", "parent": "int"}
    named = {"key": "id", "columns": columns}
    child = {**named, "foreign_keys": {"parent": "parent"}, "table": "dim_x"}
    for table in ("stage_dim_x", "seen_dim_x"):
        small = Small(warehouse, tmp_path, {"parent": {**named, "table": table}, "child": child})
        small.load("parent", [(1, None)])
        small.load("child", [(1, 1)])
        assert small.load("child", [(1, 1), (2, 1), (2, 1), (3, 9)], chunk_rows=1).orphans == 1
        small.rows("DROP TABLE dim_x CASCADE; TRUNCATE pipeline_file_log, quarantine, orphan_wait")


def test_every_index_has_a_name_of_its_own(warehouse: Warehouse, tmp_path: Path) -> None:
    """Alike in their first 63 bytes; and of two tables, whose names and columns run into each other."""
    alike = [f"{'a very long name of a column, ' * 2}{n}" for n in (1, 2)]
    wide: dict[str, Any] = {
        "key": "id",
        "columns": {"id": "int", **dict.fromkeys([*alike, "é" * 30], "int")},
        "table": "dim_order",
    }
    wide["columns"]["item_id"] = "int"
    narrow = {"key": "code", "columns": {"code": "int", "id": "int"}, "table": "dim_order_item", "indexes": ["id"]}
    twice = {n: {"date_key": "at"} for n in ("one", "two")}
    dated = {"key": "id", "columns": {"id": "int", "at": "datetime"}, "derive": twice}
    wide["indexes"] = [*alike, "é" * 30, "item_id"]
    small = Small(warehouse, tmp_path, {"order": wide, "order_item": narrow, "dated": dated})
    names = [name for table in build_metadata(small.config).tables.values() for name in names_of(table)]
    assert len(names) == len(set(names))
    assert max(len(name.encode()) for name in names) <= 63
    assert small.load("order", json_rows()).inserted == 1


def names_of(table: Any) -> list[str]:
    return [str(index.name) for index in table.indexes]


def json_rows() -> list[list[Any]]:
    return [[1, 2, 3, 4, 5]]


def test_a_partitioned_fact_may_have_odd_names_too(warehouse: Warehouse, tmp_path: Path) -> None:
    item = {
        "key": "%s.id",
        "columns": {
            "%s.id": "int",
            "_row": "str",
            'at "%"': {"dtype": "datetime", "nullable": False},
            "_before": "int",
        },
        "table": "fact_item",
        "partition_by": {"column": 'at "%"', "interval": "year", "since": "2024-01-01"},
        "keep": "latest",
        "newer_by": 'at "%"',
    }
    small = Small(warehouse, tmp_path, {"item": item})
    assert (
        small.load("item", [(1, "a", "2023-01-01", 1), (1, "b", "2024-01-01", 1), (2, "a", "2024-01-01", 1)]).error
        is None
    )
    assert small.load("item", [(1, "c", "2025-01-01", 2), (2, "old", "2023-01-01", 1)]).updated == 1
    assert json.dumps(small.rows('SELECT "_row" FROM fact_item ORDER BY 1')) == '[["a"], ["c"]]'


def test_versions_may_have_columns_called_like_what_makes_them(warehouse: Warehouse, tmp_path: Path) -> None:
    names = ["gone", "counts", "is_version", "is_seen", "name", "as_of", "modified_at", "md5", "t", "held", "has"]
    item = {"key": "id", "columns": {"id": "int", **dict.fromkeys(names, "str")}, "keep": "history"}
    for more in ({}, {"rows": "snapshot", "gone": "mark", "gone_at_most_pct": 100}):
        with warehouse.transaction() as tx:
            tx.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        small = Small(warehouse, tmp_path, {"item": {**item, **more}})
        for value in ("a", "b"):
            assert small.load("item", [(1, *[value] * len(names))]).error is None
        assert small.rows("SELECT gone, is_current FROM dim_item_history ORDER BY valid_from") == [
            ("a", False),
            ("b", True),
        ]


HISTORY_SQL = Path(__file__).parents[2] / "datawarehouse/sql/history.sql"


def _of_timelines() -> list[str]:
    """The names that the query of versions has beside those of the table."""
    found = re.findall(r"\bAS (_\w+|seen_at)\b", HISTORY_SQL.read_text(encoding="utf-8"))
    return sorted({*found} - {"_file_id"})


@pytest.mark.parametrize("name", ["valid_from", *_of_timelines()])
def test_a_column_called_like_one_of_versions_is_refused(warehouse: Warehouse, tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ConfigError, match=f"{name!r} is a column of the versions; give the file's column a stored_as"
    ):
        Small(
            warehouse, tmp_path, {"item": {"key": "id", "columns": {"id": "int", name: "str"}, "keep": "history"}}
        )
