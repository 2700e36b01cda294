"""Fixtures: a private PostgreSQL, a fresh database for each test, and no thread left behind."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from config.config_loader import DEFAULT_CONFIG, get_config
from config.file_spec import FileSpec
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.embedded_server import EmbeddedServer
from datawarehouse.schema_init import init_schema
from ingestion.file_tracker import FileTracker
from tests.servers import SystemServer, make_system_server

PROJECT_PACKAGES = ("config", "utils", "validation", "datawarehouse", "ingestion", "workbench", "web", "main")
SETTINGS_FROM_OUTSIDE = (
    "DATABASE_URL",
    "DATABASE_EMBEDDED",
    "FASTFEAST_CONFIG",
    "PII_HASH_KEY",
    "ALERTING_ENABLED",
    *("WEB_ENABLED", "WEB_HOST", "WEB_PORT", "WEB_TOKEN"),
    *("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGOPTIONS", "PGSERVICE"),
    *("SMTP_HOST", "SMTP_USER", "SMTP_PASSWORD", "SMTP_SENDER", "SMTP_RECEIVER"),
)
ROOM_IN_MEMORY = 6 << 30  # bytes, for the servers of all workers
_numbers = itertools.count(1)


def build_template(warehouse: Warehouse) -> None:
    """What the database of every test starts with: the shipped configuration's tables."""
    init_schema(warehouse, get_config(DEFAULT_CONFIG))


# ---------------------------------------------------------------- reports


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has logged travels between processes, which take no lone surrogates; some tests log them."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


# ---------------------------------------------------------------- configuration


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[FileTracker]:
    tracker = FileTracker(tmp_path / "tracker.db")
    yield tracker
    tracker.close()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PipelineConfig:
    """The shipped configuration, at home in the test's folder, without .env and variables from outside."""
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    (tmp_path / ".env").touch()
    return _shipped_config().model_copy(update={"home": tmp_path})


@cache
def _shipped_config() -> PipelineConfig:
    """Read once; it says nothing of its home, and nobody asks it for what depends on that."""
    return get_config(DEFAULT_CONFIG)


def with_files(config: PipelineConfig, files: tuple[FileSpec, ...]) -> PipelineConfig:
    """`config` with other file specs."""
    changed = config.model_copy(update={"files": files})
    changed.__dict__.pop("by_logical_name", None)  # worked out from the files
    return changed


# ---------------------------------------------------------------- servers


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[dict[str, Any]]:
    """Connection parameters of a PostgreSQL 18 that lives as long as the test run."""
    folder = Path(tempfile.mkdtemp(prefix="ff-", dir=_roomy()))
    folder.chmod(0o711)  # the server's own account must pass through, when the tests run as root
    server = EmbeddedServer(folder / "pg")
    _make_quick(server.start())
    server.stop()
    yield server.start()
    server.stop()
    shutil.rmtree(folder)


def _roomy() -> Path:
    """In memory, where there is room for databases: each test makes one."""
    memory = Path("/dev/shm")
    has_room = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_IN_MEMORY
    return memory if has_room else Path("/tmp")


def _make_quick(parameters: dict[str, Any]) -> None:
    """From its next start on the server waits for no disk, since it need not survive a power cut.

    And it has less memory: a database that is dropped is looked for in all of it.
    """
    settings = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
    with closing(psycopg2.connect(**parameters)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute(f"ALTER SYSTEM SET {name} = '{value}'")


@pytest.fixture(scope="session")
def system_server() -> Iterator[SystemServer]:
    """The PostgreSQL that is installed on this machine, with a password on TCP; skips where there is none."""
    server = make_system_server()
    yield server
    server.stop("immediate")
    shutil.rmtree(server.folder)


def _url_of(parameters: dict[str, Any]) -> str:
    return f"postgresql://{parameters['user']}@:{parameters['port']}/{{dbname}}?host={parameters['host']}"


@pytest.fixture(scope="session")
def embedded_url(embedded_server: dict[str, Any]) -> str:
    """URL of the embedded server with a template in it, to be filled with str.format(dbname=...)."""
    url = _url_of(embedded_server)
    _make_template(url)
    return url


@pytest.fixture(scope="session")
def system_url(system_server: SystemServer) -> str:
    """The same for the PostgreSQL that is installed on this machine."""
    _make_template(system_server.socket_url)
    return system_server.socket_url


def _make_template(url: str) -> None:
    template = Warehouse(DatabaseConfig(url=url.format(dbname="fastfeast_template")), Path("/"))
    template.open()
    build_template(template)
    template.close()


# ---------------------------------------------------------------- databases


@contextmanager
def fresh_database(url: str) -> Iterator[DatabaseConfig]:
    name = f"test_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE fastfeast_template STRATEGY file_copy").format(
        sql.Identifier(name)
    )
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    administrator = psycopg2.connect(url.format(dbname="postgres"))
    administrator.autocommit = True
    try:
        with administrator.cursor() as cursor:
            cursor.execute(create)
            yield DatabaseConfig(url=url.format(dbname=name))
            cursor.execute(drop)
    finally:
        administrator.close()


@pytest.fixture
def database(embedded_url: str) -> Iterator[DatabaseConfig]:
    """A database of the test's own, made from the template."""
    with fresh_database(embedded_url) as database:
        yield database


@pytest.fixture
def warehouse(database: DatabaseConfig, tmp_path: Path) -> Iterator[Warehouse]:
    """An open warehouse on a database of the test's own."""
    with opened(database, tmp_path) as warehouse:
        yield warehouse


@pytest.fixture(params=["18", "15"], ids=["embedded", "system"])
def any_warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """The same, on the embedded PostgreSQL and then on the one that is installed on this machine."""
    url = request.getfixturevalue("embedded_url" if request.param == "18" else "system_url")
    with fresh_database(url) as database, opened(database, tmp_path) as warehouse:
        yield warehouse


@contextmanager
def opened(database: DatabaseConfig, home: Path) -> Iterator[Warehouse]:
    """An open warehouse, closed at the end."""
    warehouse = Warehouse(database, home)
    warehouse.open()
    try:
        yield warehouse
    finally:
        warehouse.close()


# ---------------------------------------------------------------- threads


def _left_behind(before: set[threading.Thread]) -> list[str]:
    left = []
    for thread in set(threading.enumerate()) - before:
        target = getattr(thread, "_target", None)
        modules = f"{getattr(target, '__module__', '')} {type(thread).__module__}".split()
        ours = any(module.partition(".")[0] in PROJECT_PACKAGES for module in modules)
        if ours or not thread.daemon:
            left.append(thread.name)
    return left


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    """A test that leaves a thread of the project, or one that blocks the exit, fails."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2
    while (left := _left_behind(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"threads left behind: {left}"
