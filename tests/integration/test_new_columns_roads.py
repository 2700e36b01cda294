"""Values of new columns come into the table on every road and from every format; in quarantine they wait."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from config.jobs import Status
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.erasure import erase
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.undo import undo
from ingestion.group_load import GroupLoad
from tests.integration.drifting import Drifting
from tests.integration.small import PII, Small
from tests.workbooks import ods, parquet, xls, xlsx

pytestmark = pytest.mark.usefixtures("config")
COLUMNS = {"id": "int", "name": "str"}
POLICIES = ("keep", "add")


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def types(policy: str, **entry: Any) -> dict[str, Any]:
    how = {"key": "id", "columns": COLUMNS, "new_columns": policy, **entry}
    return {"sale": how, "visit": {**how, "extension": ".json"}}


@pytest.fixture
def small(warehouse: Warehouse, tmp_path: Path, policy: str) -> Small:
    return Small(warehouse, tmp_path, types(policy))


def new_values(small: Small, name: str = "sale") -> dict[int, Any]:
    """What each row has beside the columns of its schema, by its id."""
    known = ["id", "name", "_file_id", "_loaded_at", "_extra"]
    found = small.rows(
        f"SELECT id, (to_jsonb(t) - '{{{','.join(known)}}}'::text[])::text, "
        f"to_jsonb(t)->>'_extra' FROM dim_{name} t ORDER BY id"
    )
    return {
        key: {n: v for n, v in {**as_json(beside), **as_json(extra)}.items() if v is not None}
        for key, beside, extra in found
    }


def as_json(text: str | None) -> dict[str, Any]:
    return json.loads(text, parse_int=str, parse_float=str) if text else {}


def test_a_file_brings_its_new_columns_and_later_ones_fill_them(small: Small) -> None:
    assert small.load("sale", "id,coupon,name\n1,007.10,x\n2,,y\n").inserted == 2
    assert small.load("sale", "id,name\n3,z\n").inserted == 1
    assert small.load("sale", "name,coupon,Tip %,id\nw,C,5,4\n").inserted == 1
    assert new_values(small) == {1: {"coupon": "007.10"}, 2: {}, 3: {}, 4: {"coupon": "C", "Tip %": "5"}}


def test_files_of_different_shapes_load_in_one_group(small: Small) -> None:
    jobs = [
        small.job("sale", "id,name\n1,a\n"),
        small.job("sale", "id,name,coupon\n2,b,C\n"),
        small.job("sale", "tip,id,name\n5,3,c\n"),
        small.job("sale", "id,name,coupon\nno number,d,\n4,d,D\n"),
    ]
    together = GroupLoad(small.warehouse, small.config, PII).run(jobs)
    assert [outcome.inserted for outcome in together.loaded] == [1, 1, 1, 1]
    assert [[c.column for c in outcome.drift] for outcome in together.loaded] == [
        [],
        ["coupon"],
        ["tip"],
        ["coupon"],
    ]
    assert new_values(small) == {1: {}, 2: {"coupon": "C"}, 3: {"tip": "5"}, 4: {"coupon": "D"}}


def test_records_bring_keys_of_their_own_chunk_by_chunk(small: Small, policy: str) -> None:
    records = [{"id": n, "name": "x", f"k{n % 3}": n} for n in range(1, 7)]
    text = json.dumps(records).replace('"k0": 6', '"k0": 6.50, "deep": {"a": [1, 2.0]}')
    assert small.load("visit", text, chunk_rows=2).inserted == 6
    found = new_values(small, "visit")
    deep = found[6].pop("deep")
    assert (json.loads(deep, parse_int=str, parse_float=str) if policy == "add" else deep) == {"a": ["1", "2.0"]}
    wanted = {n: {f"k{n % 3}": str(n) if n < 6 else "6.50"} for n in range(1, 7)}
    assert found == wanted


@pytest.mark.parametrize("book", [xlsx, xls, ods, parquet])
def test_every_format_brings_them(warehouse: Warehouse, tmp_path: Path, policy: str, book: Any) -> None:
    extension = f".{book.__name__}"
    small = Small(warehouse, tmp_path, {"sale": {**types(policy)["sale"], "extension": extension}})
    job = small.job("sale", "")
    rows = [["id", "name", "tip", "note"], [1, "a", 0.5, "x"], [2, "b", None, None]]
    columns = {name: list(values) for name, *values in zip(*rows, strict=True)}
    job.path.write_bytes(book(columns if book is parquet else rows))
    assert small.loader().run(job).inserted == 2
    assert new_values(small) == {1: {"tip": "0.5", "note": "x"}, 2: {}}


def test_an_orphan_keeps_its_new_values_and_brings_them_when_it_heals(
    warehouse: Warehouse, tmp_path: Path, policy: str
) -> None:
    sale = {
        "key": "id",
        "columns": {**COLUMNS, "shop": "int"},
        "new_columns": policy,
        "foreign_keys": {"shop": "shop"},
    }
    small = Small(warehouse, tmp_path, {"shop": {"key": "id", "columns": {"id": "int"}}, "sale": sale})
    outcome = small.load("sale", "id,name,shop,coupon\n1,a,7,C\n")
    assert (outcome.orphans, outcome.inserted) == (1, 0)
    ((raw,),) = small.rows("SELECT raw_data->>'_extra' FROM quarantine")
    assert json.loads(raw) == {"coupon": "C"}
    small.load("shop", "id\n7\n")
    assert OrphanRetry(small.warehouse, small.config).after("dim_shop") == 1
    found = new_values(small)[1]
    assert (found.pop("shop"), found) == ("7", {"coupon": "C"})


def test_a_newer_row_replaces_what_was_kept_of_the_older_one(
    warehouse: Warehouse, tmp_path: Path, policy: str
) -> None:
    columns = {**COLUMNS, "at": "datetime"}
    how = {"key": "id", "columns": columns, "new_columns": policy, "keep": "latest", "newer_by": "at"}
    small = Small(warehouse, tmp_path, {"sale": how})
    small.load("sale", "id,name,at,coupon,tip\n1,a,2026-01-01,C,5\n2,b,2026-01-01,D,\n")
    outcome = small.load("sale", "id,name,at,tip\n1,a,2026-01-02,7\n2,b,2025-01-01,9\n")
    assert (outcome.updated, outcome.already_present) == (1, 1)
    found = new_values(small)
    assert [(f.get("coupon"), f.get("tip")) for f in found.values()] == [(None, "7"), ("D", None)]


def test_undo_takes_them_back_with_their_rows(small: Small) -> None:
    outcome = small.load("sale", "id,name,coupon\n1,a,C\n")
    with small.warehouse.transaction() as tx:
        assert undo(tx, small.config, outcome.file_id or 0, "me", "2026-01-01").rows == 1
    assert new_values(small) == {}
    assert small.loader(again=True).run(small.job("sale", "id,name,coupon\n1,a,D\n")).inserted == 1
    assert new_values(small) == {1: {"coupon": "D"}}


@pytest.mark.parametrize("column", [{"dtype": "str", "pii": "email"}, {"dtype": "str", "personal": True}])
def test_what_looks_personal_is_hidden_and_what_is_kept_of_a_person_can_be_erased(
    warehouse: Warehouse, tmp_path: Path, policy: str, column: dict[str, Any]
) -> None:
    how = {"key": "id", "columns": {"id": "int", "name": column}, "new_columns": policy}
    small = Small(warehouse, tmp_path, {"sale": how})
    canaries = ["me@canary.example", "01012345678", "29001011234567"]
    header = "id,name,contact,mobile,national,points,lat\n"
    small.load(
        "sale", f"{header}1,a@b.com,{','.join(canaries)},250,30.0444196\nno,a@b.com,{','.join(canaries)},,\n"
    )
    assert small.rows("SELECT count(*) FROM quarantine") == [(1,)]
    found = new_values(small)[1]
    assert (found["points"], found["lat"]) == ("250", "30.0444196")
    assert {
        name: value[:7] for name, value in found.items() if name in {"contact", "mobile", "national"}
    } == dict.fromkeys(["contact", "mobile", "national"], "sha256:")
    everything = str(small.rows("SELECT to_jsonb(t)::text FROM dim_sale t")) + str(
        small.rows("SELECT raw_data::text FROM quarantine")
    )
    assert not [canary for canary in canaries if canary in everything]
    with small.warehouse.transaction() as tx:
        erase(tx, small.config, "dim_sale", "1", "me")
    assert new_values(small) == {1: {}}
    small.load("sale", "id,name,points\n1,a@b.com,7\n")
    assert new_values(small) == {1: {}}


def test_a_type_without_persons_hides_nothing(small: Small) -> None:
    small.load("sale", "id,name,serial\n1,a,123456789012\n")
    assert new_values(small) == {1: {"serial": "123456789012"}}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["x" * 64], "its name has 64 bytes"),
        (["_file_id"], "_file_id: '_file_id' is a name that the pipeline uses itself"),
        (["ctid"], "PostgreSQL's own"),
        (["NAME"], "NAME: the table has a column of that name"),
        ([f"k{n}" for n in range(201)], "201 columns would have been added"),
    ],
)
def test_a_column_that_can_not_be_added_is_told_with_the_way_out(
    warehouse: Warehouse, tmp_path: Path, names: Sequence[str], told: str
) -> None:
    small = Small(warehouse, tmp_path, types("add"))
    text = f"id,name,{','.join(names)}\n1,a,{','.join('1' for _ in names)}\n"
    outcome = small.load("sale", text)
    assert outcome.status is Status.FAILED
    assert told in (outcome.error or "")
    assert "or say new_columns: keep" in (outcome.error or "")
    small.config = small.read(types("keep"))
    assert small.config.by_logical_name["sale"].stores_extra


def test_a_table_that_the_user_has_widened_is_filled(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, types("add"))
    with small.warehouse.transaction() as tx:
        tx.execute(
            "ALTER TABLE dim_sale ADD COLUMN coupon text, ADD COLUMN own text DEFAULT 'mine', ADD tip integer"
        )
    assert small.load("sale", "id,name,coupon\n1,a,C\n").inserted == 1
    assert small.rows("SELECT coupon, own, tip FROM dim_sale") == [("C", "mine", None)]
    outcome = small.load("sale", "id,name,tip\n2,a,3\n")
    assert "tip: the table has such a column, of type integer" in (outcome.error or "")


def test_a_type_reads_back_after_a_restart_with_its_added_columns(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = Drifting(database, tmp_path, monkeypatch, {"notes.csv": {"new_columns": "add"}})
    drifting.put("notes.csv", "id,name,sent_on,coupon\n1,a,2026-01-01,C\n")
    drifting.turn()
    drifting.put("notes.csv", "id,name,sent_on,coupon\n2,a,2026-01-01,D\n")
    drifting.turn()
    assert drifting.rows("SELECT id, coupon FROM dim_notes ORDER BY 1") == [(1, "C"), (2, "D")]
    assert [title for title, _ in drifting.alerts] == ["Columns differ"]
    assert "coupon is new: dim_notes has got a column for it, of text" in drifting.alerts[0][1]
    assert drifting.rows("SELECT kind, files, rows, first_file LIKE '%notes.csv' FROM drift") == [
        ("added", 2, 2, True)
    ]
    assert drifting.run("adopt", "notes", "coupon", "--dtype", "int", "--yes")[0] == 2
    assert drifting.run("adopt", "notes", "coupon", "--yes")[0] == 0
    drifting.put("notes.csv", "id,name,sent_on,coupon\n3,a,2026-01-01,E\n")
    drifting.turn()
    assert drifting.rows("SELECT count(coupon) FROM dim_notes") == [(3,)]
    assert drifting.run("verify")[0] == 0
