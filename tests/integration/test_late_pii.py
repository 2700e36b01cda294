"""A column becomes `pii` when its values are stored already: they are masked before anything else is done."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.model import PiiKind
from config.settings import DatabaseConfig
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema.late_pii import mask_late_columns
from tests.acceptance.daemon import SHIPPED_CONFIG
from tests.integration.putting_right import CUSTOMERS, KEY, ORDERS, Site, customer, order, words
from validation.pii_handler import PiiHandler

PII = PiiHandler(KEY)
ANYWHERE = (
    *("dim_customer", "dim_customer_history", "dim_customer_seen", "dim_category"),
    *("quarantine", "quarantine_history", "true_orphan", "orphan_wait"),
)


class Settings:
    """The shipped configuration with other columns."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        self._config: dict[str, Any] = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
        monkeypatch.setenv("FASTFEAST_CONFIG", str(path))

    def column(self, schema: str, name: str, **changes: object) -> None:
        columns = self._config["schemas"][schema]["columns"]
        (found,) = (column for column in columns if column["name"] == name)
        found.update(changes)
        self._path.write_text(yaml.safe_dump(self._config))


@pytest.fixture
def settings(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Names of customers and categories, and a kind of payment, as text of at most 64 characters."""
    settings = Settings(tmp_path / "config.yaml", monkeypatch)
    for schema, column, tables in (
        ("customers", "full_name", ("dim_customer", "dim_customer_history", "dim_customer_seen")),
        ("categories", "category_name", ("dim_category",)),
    ):
        settings.column(schema, column, sql_type="varchar(64)")
        for table in tables:
            site.execute(f"ALTER TABLE {table} ALTER {column} TYPE varchar(64)")
    start(site)
    return settings


def start(site: Site) -> None:
    site.run("once", expect=None)


def stored(site: Site) -> str:
    """All that the database and the CSV backup hold, as text."""
    rows = [site.rows(f"SELECT to_jsonb(t)::text FROM {table} t") for table in ANYWHERE]
    files = [path.read_text() for path in (site.home / "data/quarantine").rglob("*.csv")]
    return json.dumps(rows) + "".join(files)


def test_what_is_stored_of_a_column_that_became_pii_is_masked_at_the_start(
    site: Site, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    lines = (
        customer(1, name="Mona A") + customer(2, name="Mona B", region=9) + customer(3, name="Mona C", gender="x")
    )
    file = site.load("customers.csv", CUSTOMERS + lines + customer(4, name="Mona D", region=8))
    bad = site.quarantined(full_name="Mona C")[0]
    site.run("quarantine", "edit", bad, "--set", "full_name=Mona E", "--yes")
    site.execute("UPDATE quarantine SET quarantined_at = quarantined_at - interval '1 microsecond'")
    OrphanRetry(site.warehouse, site.config).promote(0)
    assert stored(site).count("Mona") > 8
    settings.column("customers", "full_name", pii="email")
    start(site)
    assert "Mona" not in stored(site)
    told = [r.getMessage() for r in caplog.records if "held values in clear" in r.getMessage()]
    assert [text.partition("held values in clear: ")[2][:24] for text in told] == [
        "2 rows and 3 quarantined"
    ]  # and its version
    site.check_books()
    site.execute("INSERT INTO dim_region VALUES (9, 'q', 1, 1, 'c', 0)")
    site.run("quarantine", "replay", "--file", file.file_id, "--stage", "orphan", "--yes", expect=None)
    ids = [
        row[0] for row in site.rows("SELECT quarantine_id FROM quarantine WHERE raw_data ->> 'customer_id' = '2'")
    ]
    site.run("quarantine", "replay", *ids, "--yes", expect=None)
    for key, name in ((1, "Mona A"), (2, "Mona B")):
        hashed = PII.hash_value(name, PiiKind.EMAIL)
        assert site.one(f"SELECT full_name FROM dim_customer WHERE customer_id = {key}") == hashed
    before = stored(site)
    start(site)
    assert stored(site) == before


def test_orphans_heal_hashed(site: Site, settings: Settings) -> None:
    site.load("customers.csv", CUSTOMERS + customer(2, name="Mona B", region=9))
    settings.column("customers", "full_name", pii="email")
    site.execute("INSERT INTO dim_region VALUES (9, 'q', 1, 1, 'c', 0)")
    start(site)
    hashed = PII.hash_value("Mona B", PiiKind.EMAIL)
    assert site.rows("SELECT full_name FROM dim_customer") == [(hashed,)]
    assert "Mona" not in stored(site)


def test_a_value_that_is_in_clear_after_all_is_hashed_as_it_heals(site: Site, settings: Settings) -> None:
    """As when a service of the old configuration runs on beside the new one."""
    settings.column("customers", "full_name", pii="email")
    start(site)
    site.load("customers.csv", CUSTOMERS + customer(2, region=9) + customer(3, gender="x"))
    site.execute('UPDATE quarantine SET raw_data = raw_data || \'{"full_name": "Mona B"}\'')
    site.execute("UPDATE pipeline_file_log SET backup_written = false")
    site.execute('UPDATE quarantine SET raw_data = raw_data || \'{"gender": "male"}\'')
    site.execute("INSERT INTO dim_region VALUES (9, 'q', 1, 1, 'c', 0)")
    OrphanRetry(site.warehouse, site.config).everything()
    site.run("quarantine", "replay", "--table", "dim_customer", "--yes")
    hashed = PII.hash_value("Mona B", PiiKind.EMAIL)
    assert site.rows("SELECT full_name FROM dim_customer") == [(hashed,), (hashed,)]


def test_a_type_whose_first_sensitive_column_it_is_has_its_broken_lines_masked(
    site: Site, settings: Settings
) -> None:
    """Nothing tells what is sensitive in a line that could not be split, nor in a value that strayed."""
    text = "category_id,category_name\n10,Mona A\n11,Mona B,Mona C\nmona@example.com,Mona D\n"
    file = site.load("categories.csv", text)
    assert "Mona" in stored(site)
    settings.column("categories", "category_name", pii="email")
    words(site.run("reprocess", file.file_id, "--yes", expect=1), ["2 refused again"])  # no start came before it
    assert "ona" not in stored(site)
    assert "mona@" not in stored(site)
    site.check_books()


def test_a_database_without_the_record_is_looked_through_once(site: Site, settings: Settings) -> None:
    """As one of an earlier version: what is masked stays as it is, and what is not is masked."""
    site.load("customers.csv", CUSTOMERS + customer(1, name="Mona A") + customer(2, name="Mona B", gender="x"))
    site.execute("DELETE FROM pipeline_meta WHERE key = 'pii_columns'")
    before = stored(site)
    start(site)
    assert stored(site) == before
    site.execute("DELETE FROM pipeline_meta WHERE key = 'pii_columns'")
    settings.column("customers", "full_name", pii="email")
    start(site)
    assert "Mona" not in stored(site)
    email = PII.hash_value("ali@example.com", PiiKind.EMAIL)
    assert site.rows("SELECT email FROM dim_customer UNION ALL SELECT raw_data ->> 'email' FROM quarantine") == [
        (email,),
        (email,),
    ]


def test_an_erased_person_stays_erased(site: Site, settings: Settings) -> None:
    settings.column("customers", "full_name", personal=True, nullable=False)
    site.load("customers.csv", CUSTOMERS + customer(1, name="Mona A") + customer(1, name="Mona B", gender="x"))
    site.run("erase", "--customer-key", "1", "--yes")
    settings.column("customers", "full_name", pii="email")
    start(site)
    assert site.one("SELECT full_name FROM dim_customer") == "erased"
    assert site.one("SELECT raw_data ->> 'full_name' FROM quarantine") == "erased"


def test_a_role_that_may_not_mask_is_refused_until_the_owner_has(
    site: Site, settings: Settings, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.load("customers.csv", CUSTOMERS + customer(1, name="Mona A"))
    settings.column("customers", "full_name", pii="email")
    site.execute("CREATE ROLE loader_only; GRANT ALL ON ALL TABLES IN SCHEMA public TO loader_only")
    with site.warehouse.transaction() as tx:
        tx.execute("SET LOCAL ROLE loader_only")
        with pytest.raises(
            ConfigError, match=r"dim_customer holds values of them in clear.*loader_only does not own"
        ):
            mask_late_columns(tx, get_config(), PII)
    start(site)
    with site.warehouse.transaction() as tx:
        tx.execute("SET LOCAL ROLE loader_only")
        assert mask_late_columns(tx, get_config(), PII).rows == 0
    site.execute("DROP OWNED BY loader_only; DROP ROLE loader_only")


def test_a_column_that_is_too_narrow_for_a_hash_is_widened_first(site: Site, settings: Settings) -> None:
    site.load("orders.csv", ORDERS + order("a"))
    settings.column("restaurants", "restaurant_name", pii="email")
    site.run("once", expect=0)
    site.execute("SELECT FROM dim_restaurant WHERE restaurant_name !~ '^[0-9a-f]{64}$'")


def test_a_column_that_is_pii_no_more_is_told(
    site: Site, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings.column("customers", "full_name", pii="email")
    start(site)
    settings.column("customers", "full_name", pii=None)
    start(site)
    start(site)
    told = [r.getMessage() for r in caplog.records if "is pii no more" in r.getMessage()]
    assert told == ["[pii] dim_customer.full_name is pii no more: what was hashed stays so"]
