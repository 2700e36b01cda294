"""Alone, in a group, healed, replayed, reprocessed: on every road a row has the values that it should have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.jobs import FileJob
from ingestion.group_load import GroupLoad
from tests.acceptance.daemon import SHIPPED_CONFIG
from tests.integration.putting_right import CUSTOMERS, KEY, ORDERS, Site, customer, order
from validation.pii_handler import PiiHandler

HEADER = "reason_id,reason_name,reason_category_id,severity_level,typical_refund_pct\n"
CATEGORIES = "reason_category_id,category_name\n"
FLAT = {"trim": False, "null_values": []}


class Roads(Site):
    """A site whose YAML can be changed."""

    def configure(self, monkeypatch: pytest.MonkeyPatch, read: dict[str, Any], **column: Any) -> None:
        """From now on reasons are read so, and typical_refund_pct is such a column."""
        config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
        config["watcher"]["batch"]["expected_files"]["reasons.csv"]["read"] = read
        config["schemas"]["reasons"]["columns"][-1].update(column)
        path = self.home / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("FASTFEAST_CONFIG", str(path))

    def together(self, *texts: str) -> None:
        """Load reasons.csv files as one group."""
        jobs = []
        for number, text in enumerate(texts):
            path = self.home / f"data/{number}/reasons.csv"
            path.parent.mkdir(parents=True)
            path.write_text(text)
            jobs.append(FileJob(path, self.config.by_logical_name["reasons"], 0, 0))
        loaded = GroupLoad(self.warehouse, self.config, PiiHandler(KEY)).run(jobs).loaded
        assert len(loaded) == len(texts)
        self.backup.append([outcome.file_id for outcome in loaded if outcome.file_id], jobs[0].spec.feed)

    def reasons(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT reason_id, reason_name, severity_level, typical_refund_pct::text FROM dim_reason ORDER BY 1"
        )


@pytest.fixture
def roads(site: Site, monkeypatch: pytest.MonkeyPatch) -> Roads:
    roads = Roads(site.warehouse, site.home)
    roads.configure(monkeypatch, FLAT, round=False)
    roads.load("reason_categories.csv", CATEGORIES + "1,Food\n")
    return roads


TEXT_AS_WRITTEN = HEADER + '1,"Late ",1,2,0.500\n2,NA,1,2,0.5\n3,"None ",2,2,0.5\n'


@pytest.mark.parametrize("in_a_group", [False, True])
def test_text_is_loaded_and_healed_as_written(roads: Roads, in_a_group: bool) -> None:
    if in_a_group:
        roads.together(TEXT_AS_WRITTEN, HEADER + '4," x",1,1,0\n')
    else:
        roads.load("reasons.csv", TEXT_AS_WRITTEN)
        roads.load("more/reasons.csv", HEADER + '4," x",1,1,0\n')
    written = [(1, "Late ", 2, "0.500"), (2, "NA", 2, "0.500"), (4, " x", 1, "0.000")]
    assert roads.reasons() == written
    roads.load("more/reason_categories.csv", CATEGORIES + " 2 ,Payment\n")
    assert roads.reasons() == sorted([*written, (3, "None ", 2, "0.500")])
    roads.check_books()


def test_what_was_refused_is_read_by_the_yaml_of_today(roads: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    file = roads.load("reasons.csv", HEADER + "1,a,1,2,0.7421\n2,b,1,NA,0.5\n3,c,1,2,0.0005\n4,NA,1,2,0.0005\n")
    assert roads.reasons() == []
    reasons = {row[0] for row in roads.rows("SELECT rejection_reason FROM quarantine")}
    assert reasons == {"typical_refund_pct: out_of_range", "severity_level: dtype"}
    assert roads.one("SELECT raw_data ->> 'severity_level' FROM quarantine WHERE row_number = 2") == "NA"
    roads.configure(monkeypatch, {"trim": False, "null_values": ["na"]}, round=True)
    roads.run("quarantine", "replay", *roads.quarantined(reason_id=1), "--yes")
    assert roads.reasons() == [(1, "a", 2, "0.742")]
    roads.run("reprocess", file.file_id, "--yes", expect=None)
    assert roads.reasons() == [(1, "a", 2, "0.742"), (3, "c", 2, "0.001")]
    left = roads.rows("SELECT row_number, rejection_reason FROM quarantine WHERE resolution IS NULL ORDER BY 1")
    assert left == [(2, "severity_level: required"), (4, "reason_name: required")]
    roads.check_books()


def test_a_row_that_waited_is_rounded_as_it_would_have_been(roads: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    roads.configure(monkeypatch, FLAT, round=True)
    roads.load("reasons.csv", HEADER + "1,a,2,2,0.74215\n")
    roads.load("more/reason_categories.csv", CATEGORIES + "2,Payment\n")
    assert roads.reasons() == [(1, "a", 2, "0.742")]


def test_one_person_hashes_the_same_in_every_export(site: Site) -> None:
    """Also one that waited for a parent."""
    phones = ("01012345678", "1012345678.0", "010 1234 5678", "010\u20111234\u20115678", "010\u200b12345678")
    rows = [customer(n, phone=phone, region=9 if n == 2 else 1) for n, phone in enumerate(phones)]
    site.load("customers.csv", CUSTOMERS + "".join(rows))
    site.load("regions.csv", "region_id,region_name,city_id,delivery_base_fee\n9,r,1,1.00000000000000001\n")
    hashed = PiiHandler(KEY).hash_text("01012345678")
    assert site.rows("SELECT customer_id, phone FROM dim_customer ORDER BY 1") == [(n, hashed) for n in range(5)]
    assert site.one("SELECT delivery_base_fee::text FROM dim_region WHERE region_id = 9") == "1.00"


def test_a_national_id_as_float_is_one_driver(site: Site) -> None:
    header = (
        "driver_id,driver_name,driver_phone,national_id,region_id,shift,vehicle_type,hire_date,rating_avg,"
        "on_time_rate,cancel_rate,completed_deliveries,is_active,created_at,updated_at\n"
    )
    rest = "1.0,evening,motorbike,2022-05-11,3.9,0.742,0.024,12302,True,2022-05-11 00:00:00,2026-02-20 14:45:46\n"
    for n, national_id in ((2, "285414600000156.0"), (3, "285414600000156")):
        site.load(f"{n}/drivers.csv", f"{header}{n},Driver,1012345678.0,{national_id},{rest}")
    hashed = PiiHandler(KEY).hash_text("285414600000156")
    assert site.rows("SELECT national_id FROM dim_driver WHERE driver_id > 1") == [(hashed,)] * 2


def test_a_long_key_can_be_edited_and_replayed(site: Site) -> None:
    """It is no phone number, and stays readable."""
    site.load("customers.csv", CUSTOMERS + customer(1000000002, name="Ann", gender="?") + customer("x"))
    (refused,) = site.quarantined(customer_id=1000000002)
    site.run("quarantine", "edit", refused, "--set", "gender=female", "--yes")
    (other,) = site.quarantined(customer_id="x")
    site.run("quarantine", "edit", other, "--set", "customer_id=1000000003", "--yes")
    site.run("quarantine", "replay", refused, other, "--yes")
    assert site.rows("SELECT customer_id FROM dim_customer ORDER BY 1") == [(1000000002,), (1000000003,)]


def test_check_shows_no_personal_value_however_it_is_written(site: Site) -> None:
    phone, email = "010\u20111069\u20115678", "canary\uff20hidden-nest.com"
    rows = [
        customer(1, name=phone, gender="?", region=email),
        customer(2, name="x", gender=email, region="010_1069_5678"),
        customer(3, name="x" * 201 + "\uff10\uff11\uff10\uff11\uff10\uff16\uff19\uff15\uff16\uff17\uff18"),
    ]
    path = site.home / "customers.csv"
    path.write_text(CUSTOMERS + "".join(rows) + f"4,{phone}\n")
    page = site.home / "report.html"
    said = site.run("check", path, "--rows", "50", "--html", page, expect=1) + page.read_text()
    assert "sha256:" in said
    assert "1069" not in said
    assert "canary" not in said
    assert "5678" not in said


def test_a_uuid_key_of_digits_stays_readable(site: Site) -> None:
    key = "12345678-1234-4123-8123-123456789012"
    site.load("orders.csv", ORDERS + order(key, amount=-1))
    assert site.one("SELECT raw_data ->> 'order_id' FROM quarantine") == key


def test_the_start_without_a_key_is_told_by_config_check(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "PII_HASH_KEY" not in site.run("config", "check", "--no-database")
    monkeypatch.delenv("PII_HASH_KEY")
    said = site.run("config", "check", "--no-database")
    assert said.count("PII_HASH_KEY is not set") == 1
    assert str(tmp_path / ".env") in said.replace("\n", "")
