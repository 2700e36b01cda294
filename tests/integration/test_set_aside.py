"""`apply --quarantine-misfits`: rows that don't fit a step go to quarantine, and come back once mended."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.desk import edit
from datawarehouse.quarantine.replay import replay
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema.changes import apply
from datawarehouse.schema.late_pii import mask_late_columns
from datawarehouse.schema.plan import Plan, plan
from datawarehouse.schema_init import bring_up
from datawarehouse.undo import lock_file
from ingestion.reprocess import job_of, reprocess
from ingestion.set_aside import judge, set_aside
from tests.integration.small import PII, Small
from workbench.verify import run_checks

pytestmark = pytest.mark.usefixtures("config")
WHO = "a test"
SHOP: dict[str, Any] = {"key": "id", "columns": {"id": "int", "code": "str", "n": "int", "at": "datetime"}}
SALE: dict[str, Any] = {
    "key": "n",
    "table": "fact_sale",
    "columns": {"n": "int", "shop": "int"},
    "foreign_keys": {"shop": "shop"},
}


class Model:
    """Tables of a YAML with rows, which don't all fit another."""

    def __init__(self, warehouse: Warehouse, home: Path, **shop: Any) -> None:
        self.types = {"shop": {**SHOP, **shop}, "sale": SALE}
        self.small = Small(warehouse, home, self.types)

    def change(self, name: str, columns: dict[str, Any] | None = None, **more: Any) -> None:
        types: dict[str, Any] = copy.deepcopy(self.types)
        types[name]["columns"] |= columns or {}
        types[name] |= more
        self.small.config = self.small.read(types)

    def plan(self) -> Plan:
        with self.small.warehouse.transaction() as tx:
            return plan(tx, self.small.config)

    def apply(self) -> None:
        """Do all, and put rows that don't fit into quarantine; nothing is left to do, and the books add up."""
        config, warehouse = self.small.config, self.small.warehouse

        def then(tx: Any) -> None:
            bring_up(tx, config)
            mask_late_columns(tx, config, PII)
            judge(tx, config, WHO)

        steps = self.plan().steps
        apply(warehouse, config, steps, then, set_aside=lambda tx, step: set_aside(tx, config, step, WHO))
        assert self.plan().steps == ()
        self.verify()

    def verify(self) -> None:
        checks = run_checks(self.small.warehouse, self.small.config)
        assert [(c.name, c.differences) for c in checks if c.differences and "CSV" not in c.name] == []
        assert self.small.rows(
            "SELECT min(least(inserted_records, updated_records)) < 0 FROM pipeline_file_log"
        ) == [(False,)]

    def quarantined(self) -> list[tuple[Any, ...]]:
        return self.small.rows(
            "SELECT file_id, row_number, rejection_reason, raw_data FROM quarantine WHERE resolution IS NULL"
            " ORDER BY file_id, row_number"
        )

    def mend(self, **values: str) -> None:
        """Set the values in the one quarantined row, and replay it."""
        ((q_id,),) = self.small.rows("SELECT quarantine_id FROM quarantine WHERE resolution IS NULL")
        with self.small.warehouse.transaction() as tx:
            edit(tx, self.small.config, PII, {q_id: values}, WHO)
            result = replay(tx, self.small.config, [q_id], WHO)
        assert result.loaded.total() == 1
        self.verify()


@pytest.fixture
def model(warehouse: Warehouse, tmp_path: Path) -> Model:
    return Model(warehouse, tmp_path)


def test_a_type_that_is_too_narrow_for_some_rows(model: Model) -> None:
    """The rows keep file, number and values; the others are changed; a mended row comes back."""
    small = model.small
    file_id = small.load(
        "shop", [(1, "7", 1, None), (2, "4a", 2, "2026-01-02 03:04:05"), (3, "9", 3, None)]
    ).file_id
    model.change("shop", {"code": "int"})
    model.apply()
    raw = {"id": "2", "code": "4a", "n": "2", "at": "2026-01-02 03:04:05"}
    assert model.quarantined() == [(file_id, 2, "code: dtype", raw)]
    assert small.rows("SELECT id, code FROM dim_shop ORDER BY id") == [(1, 7), (3, 9)]
    assert small.rows("SELECT outcome FROM quarantine_history ORDER BY history_id") == [
        ("set aside: code is no int, as files are read",),
        ("refused: code: dtype",),
    ]
    model.mend(code="4")
    assert small.rows("SELECT id, code, at::text FROM dim_shop WHERE id = 2") == [(2, 4, "2026-01-02 03:04:05")]
    # Once more: the row that came out of quarantine goes back to its place there
    model.change(
        "shop",
        {"code": {"dtype": "int", "rules": {"at_least": 5}}, "n": {"dtype": "int", "sql_type": "smallint"}},
    )
    small.rows("UPDATE dim_shop SET n = 70000 WHERE id = 2")
    model.apply()
    assert [row[:3] for row in model.quarantined()] == [(file_id, 2, "n: out_of_range; code: at_least")]


def test_a_row_to_which_others_refer_stays(model: Model) -> None:
    small = model.small
    small.load("shop", [(1, "a", 1, None), (2, "4", 2, None)])
    small.load("sale", [(1, 1)])
    model.change("shop", {"code": "int"})
    misfits = next(step.misfits for step in model.plan().steps)
    assert misfits is not None
    assert misfits.referred == (("fact_sale.shop", 1),)
    with pytest.raises(ConfigError, match=r"(?s)others refer to some of them, by fact_sale.shop \(1\).*undo"):
        model.apply()
    assert model.quarantined() == []


def test_nulls_orphans_and_rows_with_one_key(model: Model) -> None:
    """Of rows with one key the first stays; an orphan waits for its parent, and heals."""
    small = model.small
    shops = small.load("shop", [(1, "a", 1, None), (2, "b", None, None), (3, "c", 1, None)]).file_id
    model.change("shop", {"n": {"dtype": "int", "nullable": False}, "new": "int"})  # which the file has not
    model.apply()
    assert [row[:3] for row in model.quarantined()] == [(shops, 2, "n: not_null")]
    model.mend(n="5")
    model.change("sale", foreign_keys={})
    model.apply()
    sales = small.load("sale", [(1, 1), (2, 9), (3, None)]).file_id
    model.change("sale")
    model.apply()
    assert [row[:3] for row in model.quarantined()] == [(sales, 2, "shop: parent_missing")]
    assert small.rows("SELECT parent_key FROM orphan_wait") == [("9",)]
    small.load("shop", [(9, "i", 1, None)])
    assert OrphanRetry(small.warehouse, small.config).after("dim_shop") == 1
    model.verify()
    model.change("shop", key="n")
    model.change("sale", foreign_keys={})
    model.apply()
    types = {**model.types, "sale": {**SALE, "foreign_keys": {}}, "shop": {**SHOP, "key": "n"}}
    small.config = small.read(types)
    model.apply()
    assert [row[:3] for row in model.quarantined()] == [(shops, 3, "n: duplicate")]


def test_of_a_history_what_does_not_fit_is_taken_back(warehouse: Warehouse, tmp_path: Path) -> None:
    """The version before is in force again; a version in the past goes, and the one before it lasts."""
    columns = {**SHOP["columns"], "mail": "str"}
    model = Model(warehouse, tmp_path, keep="history", columns=columns)
    small = model.small
    for day, code in enumerate(["1", "x", "3"], 1):
        small.load("shop", [(1, code, 1, None, "a@b.com")], folder=f"2026-01-0{day}/00")
    small.load("shop", [(2, "5", 1, None, "a@b.com")], folder="2026-01-01/00")
    last = small.load("shop", [(2, "y", 1, None, "a@b.com")], folder="2026-01-02/00").file_id
    small.load("shop", [(2, "y", 1, None, "a@b.com")], folder="2026-01-03/00")
    small.load("sale", [(1, 1), (2, 2)])
    # A column becomes personal by the way: versions are made anew before the step, and after it
    model.change("shop", {"code": "int", "mail": {"dtype": "str", "pii": "email"}})
    model.apply()
    assert small.rows("SELECT id, code FROM dim_shop ORDER BY id") == [(1, 3), (2, 5)]
    assert small.rows("SELECT DISTINCT length(mail) FROM dim_shop_history") == [(64,)]
    assert small.rows("SELECT id, code, valid_from::date::text FROM dim_shop_history ORDER BY 1, valid_from") == [
        (1, 1, "2026-01-01"),
        (1, 3, "2026-01-03"),
        (2, 5, "2026-01-01"),
    ]
    assert [row[2] for row in model.quarantined()] == ["code: dtype"] * 3
    small.rows(f"UPDATE quarantine SET resolution = 'discarded' WHERE file_id <> {last}")
    model.mend(code="6")
    assert small.rows("SELECT code FROM dim_shop WHERE id = 2") == [(6,)]


def test_updated_rows_leave_the_books_of_both_files_right(warehouse: Warehouse, tmp_path: Path) -> None:
    model = Model(warehouse, tmp_path, keep="latest")
    small = model.small
    small.load("shop", [(1, "1", 1, None), (2, "2", 2, None)], folder="2026-01-01/00")
    updating = small.load("shop", [(1, "x", 1, None)], folder="2026-01-02/00").file_id
    model.change("shop", {"code": "int"})
    model.apply()
    assert [row[:3] for row in model.quarantined()] == [(updating, 1, "code: dtype")]
    model.mend(code="4")
    assert small.rows("SELECT id, code FROM dim_shop ORDER BY id") == [(1, 4), (2, 2)]


def test_values_go_back_to_the_dialect_of_their_files(warehouse: Warehouse, tmp_path: Path) -> None:
    """And a row whose file is gone has no number, until the file can be read again."""
    read = {"decimal": ",", "dates": "%d.%m.%Y %H:%M", "timezone": "Africa/Cairo", "delimiter": ";"}
    columns = {"id": "int", "code": "str", "n": {"dtype": "float", "sql_type": "numeric"}, "at": "datetime"}
    model = Model(warehouse, tmp_path, read=read, columns=columns)
    small = model.small
    text = 'id;code;n;at\n1;"a;b";1,50;01.02.2026 10:30\n2;7;2,25;\n'
    job = small.job("shop", text)
    outcome = small.loader().run(job)
    job.path.rename(job.path.with_name("away"))
    model.change("shop", {"code": "int"})
    model.apply()
    raw = {"id": "1", "code": "a;b", "n": "1,50", "at": "01.02.2026 10:30"}
    assert model.quarantined() == [(outcome.file_id, -1, "code: dtype", raw)]
    job.path.with_name("away").rename(job.path)
    with small.warehouse.transaction() as tx:
        file = lock_file(tx, outcome.file_id or 0)
        reprocess(tx, small.config, PII, job_of(small.config, file), file, WHO)
    assert [row[:2] for row in model.quarantined()] == [(outcome.file_id, 1)]
    model.verify()
    model.mend(code="1")
    assert small.rows("SELECT n, at::text FROM dim_shop WHERE id = 1") == [(1.5, "2026-02-01 08:30:00")]


def test_a_row_of_a_partitioned_fact_takes_its_key_along(warehouse: Warehouse, tmp_path: Path) -> None:
    fact = {"partition_by": {"column": "at", "interval": "month"}, "derive": {"day": {"date_key": "at"}}}
    columns = {"at": {"dtype": "datetime", "nullable": False}, "mail": {"dtype": "str", "pii": "email"}}
    model = Model(warehouse, tmp_path, table="fact_shop", **fact, columns={**SHOP["columns"], **columns})
    model.types["sale"] = {**SALE, "foreign_keys": {}}
    small = model.small
    small.load("shop", [(1, "x", 1, "2026-01-02", "a@b.com"), (2, "4", 1, "2026-01-03", "c@d.com")])
    before = small.rows("SELECT mail FROM fact_shop ORDER BY id")
    model.change("shop", {"code": "int"})
    model.apply()
    assert small.rows("SELECT id FROM fact_shop_key") == [(2,)]
    assert [row[2] for row in model.quarantined()] == ["code: dtype"]
    model.mend(code="1")
    assert small.rows("SELECT mail FROM fact_shop ORDER BY id") == before
    assert small.rows("SELECT day FROM fact_shop WHERE id = 1") == [(20260102,)]
