"""A check is tried on rows that were judged before, loaded and refused ones, and nothing is changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.settings import DatabaseConfig
from tests.integration.drifting import COLUMNS, Drifting

FILE = "id,name,sent_on,price,mail\n1,a,2026-01-01,1.50,x@y.com\n2,b,2026-02-01,,x@y.com\n3,ccc,x,7.25,\n4,,x,,\n"


def test_a_check_is_tried_on_loaded_and_refused_rows(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = {"name": "price", "dtype": "float", "sql_type": "numeric(8,2)", "stored_as": "cost"}
    columns = [*COLUMNS, price, {"name": "mail", "dtype": "str", "pii": "email"}]
    schemas = {"notes": {"primary_key": "id", "columns": columns}}
    site = Drifting(database, tmp_path, monkeypatch, {"notes.csv": {}}, schemas=schemas)
    site.put("notes.csv", FILE)
    site.turn()

    def tried(*arguments: str) -> tuple[int, int, int]:
        code, said = site.run("try-rule", "notes", *arguments, "--json")
        found = json.loads(said)
        assert (found["loaded"]["rows"], found["quarantined"]["rows"]) == (2, 2)
        return code, found["loaded"]["broken"], found["quarantined"]["broken"]

    assert tried("price > 5") == (1, 1, 0)
    assert tried("price < 5 and sent_on < '2026-02-01'", "--when", "id <> 2") == (0, 0, 1)
    assert tried("length(name) = 1") == (0, 0, 1)
    assert tried("true") == (0, 0, 0)
    code, said = site.run("try-rule", "notes", "prize > 5")
    assert code == 2
    assert "at character 1, prize: is no column" in said
    assert "only hashes" in site.run("try-rule", "notes", "mail = 'x@y.com'")[1]
    assert "2 loaded rows" in site.run("try-rule", "dim_notes", "price > 5")[1]
