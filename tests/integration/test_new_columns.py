"""New columns are kept value for value in `_extra`, whatever brings them and on every road."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.jobs import Status
from datawarehouse.db_connection import Warehouse
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")
TYPES: dict[str, Any] = {
    "sale": {"key": "id", "columns": {"id": "int", "name": "str"}, "new_columns": "keep"},
}
EXTRAS = "SELECT id, name, _extra::text FROM dim_{} ORDER BY id"


@pytest.fixture
def small(warehouse: Warehouse, tmp_path: Path) -> Small:
    return Small(warehouse, tmp_path, TYPES)


def kept(small: Small, name: str = "sale") -> dict[int, Any]:
    """What `_extra` holds of each row, numbers as they are written."""
    rows = small.rows(EXTRAS.format(name))
    return {
        key: None if text is None else json.loads(text, parse_float=str, parse_int=str) for key, _, text in rows
    }


def test_values_of_new_columns_are_kept_as_they_are_written(small: Small) -> None:
    text = 'id,coupon,name,"a ""b"""\n1,007.10,x,\n2,,y,""\n3,"1e400, ""q""",z,NULL\n4,,w,\n'
    outcome = small.load("sale", text)
    assert (outcome.status, outcome.inserted) == (Status.SUCCESS, 4)
    assert kept(small) == {
        1: {"coupon": "007.10"},
        2: {'a "b"': ""},
        3: {"coupon": '1e400, "q"', 'a "b"': "NULL"},
        4: None,
    }
