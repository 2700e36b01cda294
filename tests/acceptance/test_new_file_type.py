"""A new kind of file is one entry in the YAML: table, checks, masking, loading and healing follow from it."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from tests.acceptance import samples
from tests.acceptance.books import Audit, value_differences
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product
from tests.acceptance.oracle_rules import hashed

COUPONS: dict[str, Any] = {
    "watcher": {
        "batch": {
            "expected_files": {
                "coupons.csv": {"table": "Dim_Coupon", "foreign_keys": {"customer_id": "customers"}}
            }
        }
    },
    "schemas": {
        "coupons": {
            "primary_key": "coupon_code",
            "columns": [
                {"name": "coupon_code", "dtype": "str", "nullable": False, "sql_type": "varchar(12)"},
                {"name": "customer_id", "dtype": "int", "rules": {"required": True}},
                {"name": "recipient", "dtype": "str", "pii": "email", "rules": {"email": True}},
                {"name": "percent", "dtype": "float", "sql_type": "numeric(5,2)", "rules": {"at_most": 50}},
            ],
        }
    },
}


def coupon(code: str, **changes: Any) -> samples.Fields:
    row = {"coupon_code": code, "customer_id": 1, "recipient": f"{code.lower()}@gift.com", "percent": 12.5}
    return {**row, **changes}


@pytest.fixture(scope="module")
def loaded(make_product: MakeProduct) -> Product:
    product = make_product(**COUPONS)
    samples.write_master(product.home)
    rows = [
        coupon("GOOD"),
        coupon("NOMAIL", recipient=None),
        coupon("TOOMUCH", percent=51),
        coupon("BADMAIL", recipient="nobody"),
        coupon("LATE", customer_id=888),
        coupon("X" * 13),
        coupon("GOOD", percent=1),
    ]
    product.batch("coupons.csv", rows)
    product.once(expect=0)
    return product


def test_its_rows_are_loaded_and_rejected_as_the_yaml_says(loaded: Product) -> None:
    audit = Audit(loaded)
    assert audit.run() == []
    (book,) = (book for _, book in audit.books if book.spec.name == "coupons")
    assert [row.stage for row in book.rows] == [None, None, "records", "records", "orphan", "schema", "records"]
    assert value_differences(audit) == []


def test_its_foreign_key_is_a_constraint_of_the_table(loaded: Product) -> None:
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        loaded.rows("UPDATE dim_coupon SET customer_id = 31415 RETURNING customer_id")


def test_its_sensitive_column_is_masked_everywhere(loaded: Product) -> None:
    assert loaded.value("SELECT recipient FROM dim_coupon WHERE coupon_code = 'GOOD'") == hashed(
        "good@gift.com", None
    )
    raw = loaded.value("SELECT string_agg(raw_data::text, ' ') FROM quarantine WHERE source_table = 'dim_coupon'")
    assert "@gift.com" not in raw
    assert "nobody" not in raw


def test_its_orphans_heal(loaded: Product) -> None:
    loaded.batch("customers.csv", [samples.customer(888)])
    loaded.once(expect=0)
    assert loaded.value("SELECT count(*) FROM dim_coupon WHERE coupon_code = 'LATE'") == 1
    assert Audit(loaded).run() == []


def test_a_column_added_later_is_added_to_the_table(loaded: Product) -> None:
    more = [*COUPONS["schemas"]["coupons"]["columns"], {"name": "valid_until", "dtype": "datetime"}]
    changes = {**COUPONS, "schemas": {"coupons": {"primary_key": "coupon_code", "columns": more}}}
    loaded.configure(**changes)
    loaded.batch("coupons.csv", [{**coupon("UNTIL"), "valid_until": "2026-12-31"}], day="2026-02-22")
    loaded.once(expect=0)
    assert (
        loaded.value("SELECT valid_until::text FROM dim_coupon WHERE coupon_code = 'UNTIL'")
        == "2026-12-31 00:00:00"
    )
    assert loaded.value("SELECT count(*) FROM dim_coupon WHERE valid_until IS NULL") == 3
