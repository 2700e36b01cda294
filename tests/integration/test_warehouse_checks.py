"""Checks of the warehouse: asked after a load, told, and in nobody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.settings import DatabaseConfig
from ingestion import warehouse_report
from tests.integration.drifting import COLUMNS, Drifting
from workbench.session import checked_config


def test_what_a_select_finds_after_a_load_is_told_and_loads_go_on(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = {
        "no_bad_name": {"warehouse": "SELECT id FROM dim_notes WHERE name LIKE 'b%'", "says": "names are good"},
        "all_dated": {"warehouse": "SELECT 1 FROM dim_notes WHERE sent_on IS NULL"},
        "changes_nothing": {"warehouse": "WITH gone AS (DELETE FROM dim_notes RETURNING id) SELECT * FROM gone"},
        "of_another_day": {"warehouse": "SELECT 1 / 0 FROM dim_gone"},
        "endless": {"warehouse": "SELECT pg_sleep(600)"},
    }
    monkeypatch.setattr("datawarehouse.warehouse_checks.SECONDS", 0.1)
    schemas = {"notes": {"primary_key": "id", "columns": COLUMNS, "checks": checks}}
    site = Drifting(database, tmp_path, monkeypatch, {"notes.csv": {}}, schemas=schemas)
    told: list[str] = []
    monkeypatch.setattr(warehouse_report, "send_alert", lambda _kind, text, **_: told.append(text))
    site.put("notes.csv", "id,name,sent_on\n1,a,2026-01-01\n2,b,2026-02-01\n3,bb,2026-02-01\n")
    site.turn()
    assert told[0] == (
        "check no_bad_name (names are good) finds 2 rows, and should find none; "
        "it is schemas.notes.checks.no_bad_name.warehouse"
    )
    assert "check changes_nothing PostgreSQL refuses it" in told[1]
    assert 'PostgreSQL refuses it (42P01: relation "dim_gone" does not exist)' in told[2]
    assert "check endless takes longer than 0.1 s" in told[3]
    assert len(told) == 4
    assert site.run("try-rule", "notes", "id > 0")[0] == 0

    text = site.yaml.read_text()
    site.yaml.write_text(text.replace("SELECT pg_sleep(600)", "DROP TABLE dim_notes"))
    with pytest.raises(ConfigError, match=r"checks.endless.warehouse: is not one SELECT of PostgreSQL"):
        checked_config()
