"""A database of version 0.1.0 under this one: upgraded by a start, whole or not at all; a newer one is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config.config_loader import get_config
from config.errors import ConfigError, WarehouseUnavailable
from config.settings import DatabaseConfig
from config.version import VERSION
from datawarehouse.schema.migrate import known
from datawarehouse.schema_init import init_schema
from tests.conftest import SETTINGS_FROM_OUTSIDE, opened
from tests.former import kept
from tests.integration.mishap import MISHAP
from tests.integration.putting_right import Site

FAILED = "SELECT file_id FROM pipeline_file_log WHERE status = 'failed'"
WAITING = "SELECT count(*) FROM quarantine WHERE resolution IS NULL AND rejection_stage = 'orphan'"
BOOKS = "SELECT file_id, file_hash, status, total_records, inserted_records, quarantined FROM pipeline_file_log"
TABLES = """
SELECT c.relname, 'column', a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT conrelid::regclass::text, 'constraint', conname, contype::text FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
UNION ALL SELECT 'pipeline_meta', 'key', key, '' FROM pipeline_meta
ORDER BY 1, 2, 3
"""


@pytest.fixture
def former(database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The database, the files and the YAML of 0.1.0."""
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    for name, value in (
        ("FASTFEAST_HOME", str(tmp_path)),
        ("FASTFEAST_CONFIG", str(tmp_path / "config.yaml")),
        ("DATABASE_URL", str(database.url)),
        ("PII_HASH_KEY", kept.KEY),
        ("WEB_ENABLED", "false"),
    ):
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").touch()
    kept.put_files(tmp_path)
    with opened(database, tmp_path) as warehouse:
        site = Site(warehouse, tmp_path)
        site.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        kept.put_database(str(database.url))
        yield site


def start(site: Site) -> None:
    """As a process of its own does, on connections of its own."""
    config = get_config()
    with opened(config.database, site.home) as warehouse:
        init_schema(warehouse, config)


def test_a_start_upgrades_a_database_of_0_1_0_and_its_work_goes_on(former: Site) -> None:
    done, (tried,) = former.rows(f"{BOOKS} WHERE status = 'success' ORDER BY 1"), former.rows(FAILED)
    assert "of an earlier version: `python main.py once`" in former.run("verify", expect=2)
    with ThreadPoolExecutor() as two:
        assert [*two.map(start, [former, former])] == [None, None]  # one upgrades, the other finds it done
    assert former.one("SELECT value FROM pipeline_meta WHERE key = 'code_version'") == VERSION
    recorded = former.rows("SELECT value::jsonb ->> 'name' FROM pipeline_meta WHERE key LIKE 'migration %'")
    assert sorted(name for (name,) in recorded) == sorted(migration.name for migration in known())

    assert "0 files loaded, 1 failed" in former.run("once", expect=1)
    (again,) = former.rows(FAILED)
    assert again > tried  # this version may read what that one could not; but once
    former.run("once", expect=1)
    assert former.rows(FAILED) == [again]
    assert former.rows(f"{BOOKS} WHERE status = 'success' ORDER BY 1") == done
    former.check_books()

    # What waited heals when its parents come, and what was refused is mended and loaded.
    orphans: Any = former.one(WAITING)
    shutil.copytree(former.home / "late", former.home / "data/input/batch/2026-11-25")
    former.run("backfill", "--from", "2026-11-25", "--to", "2026-11-25")
    assert former.one(WAITING) < orphans
    bad = former.one("SELECT quarantine_id FROM quarantine WHERE rejection_reason = 'team_id: dtype' LIMIT 1")
    former.run("quarantine", "edit", bad, "--set", "team_id=7", "--yes")
    former.run("quarantine", "replay", bad, "--yes")
    former.check_books()


def test_an_upgrade_that_is_cut_off_at_any_step_has_not_begun_and_ends_where_a_fresh_one_begins(
    former: Site,
) -> None:
    before = former.rows(TABLES)
    former.execute(MISHAP)
    for step in range(1, 100):
        former.execute(f"SELECT setval('mishap.step', {step})")
        try:
            start(former)
        except WarehouseUnavailable:
            assert former.rows(TABLES) == before, f"after step {step}"
        else:
            break
    assert step > 10
    former.execute("DROP SCHEMA mishap CASCADE")
    upgraded = former.rows(TABLES)
    assert upgraded != before
    start(former)
    assert former.rows(TABLES) == upgraded

    former.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    start(former)
    fresh = former.rows(TABLES)
    assert [row for row in upgraded if row not in fresh] == [("pipeline_meta", "key", "pii_key_id", "")]
    assert [row for row in fresh if row not in upgraded] == []


def test_a_newer_database_is_refused_in_one_sentence(site: Site) -> None:
    site.execute("""INSERT INTO pipeline_meta VALUES ('migration 9999', '{"name": "x", "by": "9.9.0"}')""")
    with pytest.raises(ConfigError, match=r"^the database is of a newer version: 9\.9\.0 .* another database$"):
        init_schema(site.warehouse, site.config)
    for command in (("once",), ("verify",), ("quarantine", "list")):
        assert "of a newer version: 9.9.0 has brought it to migration 9999" in site.run(*command, expect=2)
    assert "of a newer version: 9.9.0" in site.run("config", "check", expect=1)


def test_only_the_owner_of_the_tables_may_upgrade_them(former: Site) -> None:
    former.execute(
        "CREATE ROLE plain_loader LOGIN; GRANT USAGE ON SCHEMA public TO plain_loader;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain_loader"
    )
    config = get_config()
    url = re.sub("://[^@]*@", "://plain_loader@", str(config.database.url))
    with (
        opened(config.database.model_copy(update={"url": url}), former.home) as warehouse,
        pytest.raises(ConfigError, match=r"own tables are of an earlier version .* plain_loader may not do that"),
    ):
        init_schema(warehouse, config)
