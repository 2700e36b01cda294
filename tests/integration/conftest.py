"""Fixtures of several integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from tests.conftest import SETTINGS_FROM_OUTSIDE, fresh_database
from tests.integration.changing import Stage, stage_of
from tests.integration.putting_right import KEY, Site, first_rows_stay


@pytest.fixture
def site(
    warehouse: Warehouse, database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    (tmp_path / ".env").touch()
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    monkeypatch.setenv("PII_HASH_KEY", KEY)
    site = Site(warehouse, tmp_path)
    site.seed()
    yield site
    site.check_books()


@pytest.fixture
def first_rows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped configuration, but the row that came first stays."""
    first_rows_stay(monkeypatch, site.home)


@pytest.fixture(scope="module")
def database_of_kinds(embedded_url: str) -> Iterator[DatabaseConfig]:
    """One database for the tables of all kinds."""
    with fresh_database(embedded_url) as database:
        yield database


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    database_of_kinds: DatabaseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    """The tables of the kind that the test names, in a database with those of others."""
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", str(database_of_kinds.url))
    with stage_of(request.param, database_of_kinds, tmp_path) as stage:
        yield stage
