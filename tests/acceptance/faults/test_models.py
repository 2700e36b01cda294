"""`apply`, and a start that migrates, killed: as if not begun, or done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema.changes import apply
from datawarehouse.schema.plan import plan
from datawarehouse.schema.steps import Kind
from datawarehouse.schema_init import bring_up
from tests.acceptance.daemon import PASSED_ON, ROOT
from tests.acceptance.faults.kills import DRIVER
from tests.former import kept
from tests.integration.small import Small
from workbench.verify import run_checks

SHOP: dict[str, Any] = {"key": "id", "columns": {"id": "int", "code": "str", "name": "str"}}
THERE = """
SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), '' FROM pg_attribute
JOIN pg_class c ON c.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'pipeline_meta', key, value, '' FROM pipeline_meta
UNION ALL SELECT 'quarantine', quarantine_id::text, resolution, raw_data::text FROM quarantine
UNION ALL SELECT 'file', file_id::text, status, inserted_records || '/' || quarantined FROM pipeline_file_log
ORDER BY 1, 2
"""


def killed(seam: str, home: Path, config: Path, url: str, *command: str) -> None:
    """Run the command, which dies where it comes by `seam`."""
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env |= {"FASTFEAST_HOME": str(home), "FASTFEAST_CONFIG": str(config), "DATABASE_URL": url}
    env |= {"PII_HASH_KEY": kept.KEY, "WEB_ENABLED": "false"}
    driver = [sys.executable, str(DRIVER), seam, "1", str(home / "crash.json"), str(ROOT / "main.py"), *command]
    done = subprocess.run(driver, env=env, cwd=home, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, f"{seam}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.usefixtures("config")
def test_a_killed_change_of_the_tables_is_done_or_has_not_begun(
    database: DatabaseConfig, warehouse: Warehouse, tmp_path: Path
) -> None:
    url = str(database.url)
    small = Small(warehouse, tmp_path, {"shop": SHOP})
    small.load("shop", [(1, "7", "a"), (2, "x", "b"), (3, "8", "c")])
    before = small.rows(THERE)
    small.config = small.read(
        {"shop": {**SHOP, "columns": {**SHOP["columns"], "code": "int"}, "indexes": ["name"]}}
    )
    command = ("apply", "--quarantine-misfits", "--yes")
    for seam in ("after rows were set aside", "before the tables are committed"):
        killed(seam, tmp_path, small.config.source, url, *command)
        assert small.rows(THERE) == before, seam
    killed("before what is done beside loads", tmp_path, small.config.source, url, *command)
    with warehouse.transaction() as tx:
        left = plan(tx, small.config).steps
    assert [step.kind for step in left] == [Kind.INDEX]
    assert small.rows("SELECT id, code FROM dim_shop ORDER BY id") == [(1, 7), (3, 8)]
    apply(warehouse, small.config, left, lambda tx: bring_up(tx, small.config))
    assert [check for check in run_checks(warehouse, small.config) if check.differences] == []

    small.rows("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    kept.put_database(url)
    kept.put_files(tmp_path)
    before = small.rows(THERE)
    killed("before the tables are committed", tmp_path, tmp_path / "config.yaml", url, "once")
    assert small.rows(THERE) == before
