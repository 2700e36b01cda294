"""What would go wrong later is refused at start, with exit code 2 and a message that says what to do."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.config_loader import PROJECT_ROOT
from config.errors import ConfigError
from config.settings import DatabaseConfig, PiiConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion.start_checks import check_clock, check_connections, check_folders, check_pii_key
from tests.integration.putting_right import Site, words
from validation.pii_handler import PiiHandler

NOW = dt.datetime.now(dt.UTC)
NOBODY = 65534
FIRST, SECOND = "first-key-of-sixteen", "second-key-of-sixteen"
FILE = (
    "INSERT INTO pipeline_file_log (file_name, file_path, file_hash, file_size, file_type, logical_name, "
    "source_table, status, spec_hash, processed_at) "
    "VALUES ('f', 'f', 'h', 1, 'batch', 'x', 't', 'success', '', %s)"
)


def log_a_file(warehouse: Warehouse, at: dt.datetime = NOW) -> None:
    with warehouse.transaction() as tx:
        tx.execute(FILE, (at,))


def once(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    (home / ".env").touch()
    return subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "main.py"), "once"],
        env={**env, "FASTFEAST_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# ---------------------------------------------------------------- folders


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may write everywhere: act as somebody else meanwhile."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def home(config: PipelineConfig) -> Iterator[PipelineConfig]:
    folder = Path(tempfile.mkdtemp(prefix="ff-home-"))
    folder.chmod(0o777)
    yield config.model_copy(update={"home": folder})
    shutil.rmtree(folder)


def test_folders_are_made_and_nothing_is_left_in_them(home: PipelineConfig) -> None:
    with ordinary_user():
        check_folders(home)
        check_folders(home)
    assert {str(p.relative_to(home.home)) for p in home.home.rglob("*")} == {
        *("data", "data/input", "data/input/batch", "data/input/stream", "data/master", "data/quarantine"),
        *("data/tracker", "logs"),
    }


@pytest.mark.parametrize("name", ["data/quarantine", "logs", "data/tracker"])
def test_a_folder_that_can_not_be_written_is_refused(name: str, home: PipelineConfig) -> None:
    folder = home.home / name
    folder.mkdir(parents=True)
    folder.parent.chmod(0o777)
    folder.chmod(0o555)
    with ordinary_user(), pytest.raises(ConfigError, match=rf"(?s)rights.*{name}: Permission denied"):
        check_folders(home)


@pytest.mark.parametrize("name", ["data/master", "data/input/batch", "data/input/stream"])
def test_an_input_folder_that_can_not_be_read_or_made_is_refused(name: str, home: PipelineConfig) -> None:
    folder = home.home / name
    folder.parent.mkdir(parents=True)
    folder.write_text("a file is in the way")
    with pytest.raises(ConfigError, match=rf"{name}: "):
        check_folders(home)


def test_every_folder_at_fault_is_named_at_once_and_the_command_ends_with_2(
    tmp_path: Path, database: DatabaseConfig
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "quarantine").touch()
    (tmp_path / "data" / "tracker").touch()
    done = once(tmp_path, DATABASE_URL=str(database.url))
    assert done.returncode == 2
    assert "quarantine.dir: " in done.stderr
    assert "tracker.db_path: " in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------- clock


def test_a_clock_in_the_past_is_refused(warehouse: Warehouse) -> None:
    with warehouse.transaction() as tx:
        check_clock(tx, NOW)
    log_a_file(warehouse)
    with warehouse.transaction() as tx:
        check_clock(tx, NOW - dt.timedelta(hours=23))
        with pytest.raises(ConfigError, match="set the clock"):
            check_clock(tx, NOW - dt.timedelta(hours=25))


def test_the_command_ends_with_2_on_a_clock_in_the_past(
    tmp_path: Path, warehouse: Warehouse, database: DatabaseConfig
) -> None:
    log_a_file(warehouse, NOW + dt.timedelta(days=3))
    done = once(tmp_path, DATABASE_URL=str(database.url))
    assert done.returncode == 2
    assert "set the clock" in done.stderr


# ---------------------------------------------------------------- PII key


def hashing(config: PipelineConfig, key: str | None, accept: str | None = None) -> PipelineConfig:
    return config.model_copy(update={"pii": PiiConfig(hash_key=key, accept_key_id=accept)})


def start(warehouse: Warehouse, config: PipelineConfig) -> None:
    with warehouse.transaction() as tx:
        check_pii_key(tx, config)


def test_another_key_is_refused_once_files_are_loaded(warehouse: Warehouse, config: PipelineConfig) -> None:
    start(warehouse, hashing(config, None))
    start(warehouse, hashing(config, FIRST))  # nothing is hashed yet
    log_a_file(warehouse)
    start(warehouse, hashing(config, FIRST))
    for other in (SECOND, None):
        with pytest.raises(ConfigError, match=r"one person.*PII_ACCEPT_KEY_ID=") as refusal:
            start(warehouse, hashing(config, other))
        assert FIRST not in str(refusal.value)
        assert SECOND not in str(refusal.value)


def test_the_first_column_that_becomes_personal_may_bring_a_key(
    warehouse: Warehouse, config: PipelineConfig
) -> None:
    start(warehouse, hashing(config, None))
    log_a_file(warehouse)
    with warehouse.transaction() as tx:
        tx.execute("INSERT INTO pipeline_meta VALUES ('pii_columns', '[]')")
    start(warehouse, hashing(config, FIRST))
    with warehouse.transaction() as tx:
        tx.execute("INSERT INTO pipeline_meta VALUES ('pii_once', 'true')")
    with pytest.raises(ConfigError, match="one person"):
        start(warehouse, hashing(config, SECOND))


def test_another_key_is_accepted_by_its_id_for_good_and_no_third(
    warehouse: Warehouse, config: PipelineConfig
) -> None:
    start(warehouse, hashing(config, FIRST))
    log_a_file(warehouse)
    second_id = PiiHandler(SECOND).key_id
    start(warehouse, hashing(config, SECOND, second_id))
    start(warehouse, hashing(config, SECOND))
    with pytest.raises(ConfigError):
        start(warehouse, hashing(config, FIRST, second_id))


def test_another_key_is_accepted_when_the_row_is_deleted(warehouse: Warehouse, config: PipelineConfig) -> None:
    start(warehouse, hashing(config, FIRST))
    log_a_file(warehouse)
    with warehouse.transaction() as tx:
        tx.execute("DELETE FROM pipeline_meta WHERE key = 'pii_key_id'")
    start(warehouse, hashing(config, SECOND))


def test_the_command_ends_with_2_on_another_key_and_takes_the_accepted_one(
    tmp_path: Path, warehouse: Warehouse, database: DatabaseConfig
) -> None:
    url = str(database.url)
    assert once(tmp_path, DATABASE_URL=url, PII_HASH_KEY=FIRST).returncode == 0
    log_a_file(warehouse)
    refused = once(tmp_path, DATABASE_URL=url, PII_HASH_KEY=SECOND)
    assert refused.returncode == 2
    accept = refused.stderr.partition("PII_ACCEPT_KEY_ID=")[2][:8]
    accepted = once(tmp_path, DATABASE_URL=url, PII_HASH_KEY=SECOND, PII_ACCEPT_KEY_ID=accept)
    assert accepted.returncode == 0, accepted.stderr


def test_a_start_that_would_hash_without_a_key_says_so_once(tmp_path: Path, database: DatabaseConfig) -> None:
    url = str(database.url)
    said = once(tmp_path, DATABASE_URL=url)
    assert said.returncode == 0, said.stderr
    assert said.stderr.count("PII_HASH_KEY is not set") == 1
    assert f"Set it in {tmp_path / '.env'}" in said.stderr
    (log,) = (tmp_path / "logs").glob("*.log")
    assert log.read_text().count("PII_HASH_KEY is not set") == 1


def test_a_start_with_a_key_has_nothing_to_say(tmp_path: Path, database: DatabaseConfig) -> None:
    assert once(tmp_path, DATABASE_URL=str(database.url), PII_HASH_KEY=FIRST).stderr == ""


def test_pools_that_ask_for_more_than_the_server_has_are_refused(
    warehouse: Warehouse, config: PipelineConfig
) -> None:
    def with_execution(**changes: object) -> PipelineConfig:
        return config.model_copy(update={"execution": config.execution.model_copy(update=changes)})

    with warehouse.transaction() as tx:
        check_connections(tx, with_execution(workers=1000))
        check_connections(tx, with_execution(engine="dask", workers=15))
        with pytest.raises(ConfigError, match=r"may open 211 connections .* 2 for each of 100 workers"):
            check_connections(tx, with_execution(engine="dask", workers=100))
        database = config.database.model_copy(update={"transaction_pooling": True})
        pooled = with_execution(engine="dask", workers=100).model_copy(update={"database": database})
        check_connections(tx, pooled)


# ---------------------------------------------------------------- all of them, before a start


def test_config_check_names_all_that_a_start_would_be_refused_for_and_makes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clock, key, connections and folders at once; the database is as it was."""
    site.run("once")
    assert "as configured" in site.run("config", "check")
    site.execute("UPDATE pipeline_meta SET value = 'another' WHERE key = 'pii_key_id'")
    log_a_file(site.warehouse, NOW + dt.timedelta(days=9))
    shutil.rmtree(site.home / "data/quarantine")
    (site.home / "data/quarantine").touch()
    (site.home / "config.yaml").write_text(
        (PROJECT_ROOT / "config/pipeline_config.yaml").read_text().replace("max: 10", "max: 5000")
    )
    monkeypatch.setenv("FASTFEAST_CONFIG", str(site.home / "config.yaml"))
    said = site.run("config", "check", expect=1)
    words(said, ["clock says", "PII_HASH_KEY: the tables were filled", "may open 5001", "quarantine.dir"])
    site.execute("DELETE FROM pipeline_file_log; DELETE FROM pipeline_meta WHERE key = 'pii_key_id'")
    (site.home / "data/quarantine").unlink()
