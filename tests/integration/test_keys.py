"""Keys of several columns, rows without a key, and what may be referred to: on every road of a row."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.jobs import Content, FileJob, FileOutcome
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine import retry
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema_init import init_schema
from ingestion.engines.local import LocalEngine
from ingestion.file_load import FileLoad
from ingestion.group_load import GroupLoad
from tests.integration.putting_right import KEY, Site, words
from tests.integration.small import settings_of
from validation.pii_handler import PiiHandler

LINES: dict[str, Any] = {
    "key": ["order_id", "line_no"],
    "table": "fact_line",
    "columns": {
        "order_id": "str",
        "line_no": "int",
        "note": "str",
        "qty": {"dtype": "int", "rules": {"at_least": 0}},
        "at": "datetime",
    },
}
TYPES: dict[str, dict[str, Any]] = {
    "lines": LINES,
    "parcels": {
        "key": "parcel_id",
        "columns": {"parcel_id": "int", "order_id": "str", "line_no": "int"},
        "foreign_keys": {"order_id, line_no": "lines"},
    },
    "trips": {"key": "row", "table": "fact_trip", "columns": {"zone": "str", "fare": {"dtype": "int"}}},
    "zones": {"key": "row", "columns": {"zone": {"dtype": "str"}, "size": "int"}},
    "rides": {
        "key": "row",
        "columns": {"zone": "str", "n": {"dtype": "int", "rules": {"at_least": 0}}},
        "foreign_keys": {"zone": "zones.zone"},
    },
    "staff": {
        "key": "id",
        "columns": {"id": "int", "boss": "int", "name": "str", "at": "datetime"},
        "foreign_keys": {"boss": "staff"},
    },
}
LINE = "order_id,line_no,note,qty,at\n"
PARCEL = "parcel_id,order_id,line_no\n"
STAFF = "id,boss,name,at\n"


class Keyed(Site):
    """A site of the types above, whose YAML can be changed."""

    def configure(self, monkeypatch: pytest.MonkeyPatch, **changes: dict[str, Any]) -> None:
        types = {name: {**given, **changes.get(name, {})} for name, given in TYPES.items()}
        path = self.home / "config.yaml"
        path.write_text(yaml.safe_dump(settings_of(types)))
        monkeypatch.setenv("FASTFEAST_CONFIG", str(path))
        init_schema(self.warehouse, self.config)

    def in_chunks(self, relative: str, text: str, rows: int) -> FileOutcome:
        path = self.home / "data" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        spec = self.config.by_logical_name[path.stem]
        reader = self.config.reader.model_copy(update={"chunk_rows": rows})
        config = self.config.model_copy(update={"reader": reader})
        return FileLoad(self.warehouse, config, PiiHandler(KEY)).run(FileJob(path, spec, 0, 0))

    def heal(self, outcome: FileOutcome) -> None:
        """What the service does after the commit."""
        LocalEngine(self.config, self.warehouse, threading.Event()).heal([outcome])

    def together(self, name: str, *texts: str) -> list[FileOutcome]:
        jobs = []
        for number, text in enumerate(texts):
            path = self.home / f"data/{number}/{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            jobs.append(FileJob(path, self.config.by_logical_name[name], 0, 0))
        return GroupLoad(self.warehouse, self.config, PiiHandler(KEY)).run(jobs).loaded

    def verify(self) -> None:
        """What check_books() can't say of tables with updates."""
        self.backup.reconcile(missing_files=True)
        words(self.run("verify"), ["Everything adds up"])

    def lines(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT order_id, line_no, note FROM fact_line ORDER BY 1, 2")

    def open(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT file_id, row_number, rejection_reason FROM quarantine WHERE resolution IS NULL ORDER BY 1, 2"
        )


@pytest.fixture
def keyed(
    warehouse: Warehouse, database: DatabaseConfig, config: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Keyed:
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    monkeypatch.setenv("PII_HASH_KEY", KEY)
    site = Keyed(warehouse, tmp_path)
    site.configure(monkeypatch)
    return site


# ---------------------------------------------------------------- several columns


def test_rows_are_told_apart_by_all_columns_of_their_key(keyed: Keyed) -> None:
    text = LINE + "a,1,x,1,\na,2,y,1,\nb,1,z,1,\na,1,again,1,\n"
    outcome = keyed.load("lines.csv", text)
    assert (outcome.inserted, outcome.quarantined, outcome.duplicates) == (3, 1, 1)
    assert keyed.lines() == [("a", 1, "x"), ("a", 2, "y"), ("b", 1, "z")]
    assert keyed.open() == [(outcome.file_id, 4, "order_id, line_no: duplicate")]
    more = keyed.load("more/lines.csv", LINE + "a,2,changed,1,\nb,2,new,1,\n")
    assert (more.inserted, more.already_present, more.changed) == (1, 1, 1)
    keyed.backup.append([outcome.file_id or 0], outcome.job.spec.feed)
    keyed.check_books()


@pytest.mark.parametrize("chunk_rows", [1, 2, 3])
def test_a_second_row_of_a_key_is_known_in_whatever_chunk_it_comes(keyed: Keyed, chunk_rows: int) -> None:
    text = LINE + "a,1,x,1,\na,2,y,1,\nb,1,z,1,\na,1,again,1,\nb,1,again,1,\nb,3,w,1,\n"
    outcome = keyed.in_chunks("lines.csv", text, chunk_rows)
    assert (outcome.inserted, outcome.duplicates) == (4, 2)
    assert keyed.lines() == [("a", 1, "x"), ("a", 2, "y"), ("b", 1, "z"), ("b", 3, "w")]


def test_files_with_keys_of_several_columns_are_loaded_together(keyed: Keyed) -> None:
    done = keyed.together("lines", LINE + "a,1,x,1,\na,1,y,1,\n", LINE + "a,2,z,1,\n", LINE + "b,1,w,-1,\n")
    assert [(one.inserted, one.quarantined) for one in done] == [(1, 1), (1, 0), (0, 1)]
    assert keyed.lines() == [("a", 1, "x"), ("a", 2, "z")]
    last = keyed.together("lines", LINE + "c,1,x,1,\n", LINE + "c,1,y,1,\n", LINE + "c,2,x,1,\n")
    assert len(last) == 2  # the second comes after the first


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_of_rows_that_write_one_key_in_several_ways_the_first_stays(keyed: Keyed, chunk_rows: int) -> None:
    outcome = keyed.in_chunks(
        "lines.csv", LINE + "a,1,first,1,\n a,+1,second,1,\na,01,third,1,\nb,2.0,x,1,\nb,2,y,1,\n", chunk_rows
    )
    assert (outcome.inserted, outcome.duplicates) == (2, 3)
    assert keyed.lines() == [("a", 1, "first"), ("b", 2, "x")]


def test_keys_whose_parts_could_be_mistaken_stay_apart(keyed: Keyed) -> None:
    texts = ['a""', "a\\", "a,1", "[", '"",""', "ä€", "\t", "a\x01"]
    rows = "".join(f'"{text}x",{n},{n},1,\n"{text}x",{n}{n},{n},1,\n' for n, text in enumerate(texts, 1))
    outcome = keyed.in_chunks("lines.csv", LINE + rows, 3)
    assert (outcome.inserted, outcome.quarantined) == (16, 0)
    again = keyed.load("more/lines.csv", LINE + rows + "z,1,z,1,\n")
    assert (again.inserted, again.already_present, again.changed) == (1, 16, 0)


def test_the_newest_row_of_a_key_of_several_columns_stays(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    keyed.configure(monkeypatch, lines={"keep": "latest", "newer_by": "at"})
    first = keyed.load(
        "lines.csv",
        LINE + "a,1,old,1,2026-01-01\na,2,x,1,2026-01-01\na,1,new,1,2026-01-03\na,1,mid,1,2026-01-02\n",
    )
    assert (first.inserted, first.already_present) == (2, 2)
    second = keyed.in_chunks("more/lines.csv", LINE + "a,2,y,1,2026-01-02\na,1,late,1,2026-01-02\n", 1)
    assert (second.updated, second.already_present) == (1, 1)
    assert keyed.lines() == [("a", 1, "new"), ("a", 2, "y")]
    keyed.verify()


def test_refused_rows_are_replayed_and_reprocessed_by_their_whole_key(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = keyed.load("lines.csv", LINE + "a,1,x,1,\na,2,y,-1,\na,3,z,-2,\nb,x,w,1,\n")
    (refused,) = keyed.quarantined(line_no=2)
    keyed.run("quarantine", "edit", refused, "--set", "qty=5", "--yes")
    keyed.run("quarantine", "replay", refused, "--yes")
    assert keyed.lines() == [("a", 1, "x"), ("a", 2, "y")]
    changed = {**LINES["columns"], "qty": {"dtype": "int"}}
    keyed.configure(monkeypatch, lines={"columns": changed})
    keyed.execute("DELETE FROM fact_line WHERE line_no < 3")
    keyed.run("reprocess", outcome.file_id, "--yes", expect=None)
    assert keyed.lines() == [("a", 1, "x"), ("a", 2, "y"), ("a", 3, "z")]
    keyed.run("reprocess", outcome.file_id, "--yes", expect=None)
    assert keyed.lines() == [("a", 1, "x"), ("a", 2, "y"), ("a", 3, "z")]
    keyed.check_books()


def test_explain_takes_and_shows_a_key_of_several_columns(keyed: Keyed) -> None:
    keyed.load("lines.csv", LINE + "a,1,x,1,\na,2,y,-1,\n")
    for key in (["a", "1"], ["a,1"]):
        words(keyed.run("explain", "lines", *key), ["fact_line order_id a, line_no 1 was loaded from", "row 1"])
    words(keyed.run("explain", "fact_line", "a", "2", expect=1), ["is not loaded", "Refused", "qty: at_least"])
    words(keyed.run("explain", "lines", "a", expect=2), ["order_id, line_no"])
    keyed.load("parcels.csv", PARCEL + "1,a,1\n2,a,9\n")
    words(keyed.run("explain", "parcels", "2", expect=1), ["waits for fact_line order_id a, line_no 9"])
    words(keyed.run("explain", "parcels", "1"), ["order_id a, line_no 1"])


# ---------------------------------------------------------------- foreign keys of several columns


def test_a_row_waits_for_the_whole_key_of_its_parent(keyed: Keyed) -> None:
    keyed.load("lines.csv", LINE + "a,1,x,1,\nb,2,x,1,\n")
    outcome = keyed.load("parcels.csv", PARCEL + "1,a,1\n2,a,2\n3,,7\n4,b,\n5,b,1\n")
    assert outcome.inserted == 3
    reason = "order_id, line_no: parent_missing"
    assert [row[1:] for row in keyed.open()] == [(2, reason), (5, reason)]
    assert keyed.rows("SELECT fk_column, parent_key FROM orphan_wait ORDER BY 2") == [
        ("order_id, line_no", '["a", 2]'),
        ("order_id, line_no", '["b", 1]'),
    ]
    keyed.load("more/lines.csv", LINE + "a,2,y,1,\n")
    assert keyed.rows("SELECT parcel_id FROM dim_parcels ORDER BY 1") == [(1,), (2,), (3,), (4,)]
    keyed.check_books()


def test_what_others_refer_to_by_several_columns_can_not_be_undone(keyed: Keyed) -> None:
    lines = keyed.load("lines.csv", LINE + "a,1,x,1,\n")
    parcels = keyed.load("parcels.csv", PARCEL + "1,a,1\n")
    words(keyed.run("undo", lines.file_id, "--yes", expect=2), ["other rows depend", "by order_id, line_no"])
    keyed.run("undo", parcels.file_id, "--yes")
    keyed.run("undo", lines.file_id, "--yes")
    assert keyed.lines() == []


def test_foreign_keys_of_several_columns_hold_for_everybody_else(keyed: Keyed) -> None:
    keyed.load("lines.csv", LINE + "a,1,x,1,\n")
    with pytest.raises(Exception, match="23503"):
        keyed.execute("INSERT INTO dim_parcels (parcel_id, order_id, line_no, _file_id) VALUES (1, 'a', 2, 0)")


# ---------------------------------------------------------------- dates, times and UUIDs as keys

ONE, TWO = "0E37DF36-F698-11E6-8DD4-CB9CED3DF976", "{0e37df36f69811e68dd4cb9ced3df977}"
SENSORS: dict[str, dict[str, Any]] = {
    "readings": {
        "key": ["sensor", "at"],
        "table": "fact_reading",
        "columns": {
            "sensor": "uuid",
            "at": {"dtype": "datetime", "sql_type": "timestamptz"},
            "value": {"dtype": "int", "rules": {"at_least": 0}},
        },
    },
    "alarms": {
        "key": "id",
        "columns": {
            "id": "int",
            "sensor": "uuid",
            "at": {"dtype": "datetime", "sql_type": "timestamptz"},
            "day": "date",
            "start": "datetime",
        },
        "foreign_keys": {"sensor, at": "readings", "day": "days", "start": "shifts"},
    },
    "days": {"key": "day", "columns": {"day": "date"}, "read": {"dates": "%d.%m.%Y"}},
    "shifts": {"key": "start", "columns": {"start": "datetime", "who": "str"}},
}
READING, ALARM = "sensor,at,value\n", "id,sensor,at,day,start\n"


@pytest.fixture
def sensors(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> Keyed:
    for name, given in SENSORS.items():
        monkeypatch.setitem(TYPES, name, given)
    keyed.configure(monkeypatch)
    return keyed


def test_times_and_uuids_are_keys_whatever_they_are_written_like(sensors: Keyed) -> None:
    text = f"{ONE},2026-01-01 10:00:00.5+02:00,1\n{ONE},2026-01-01T08:00:00.500Z,2\n{TWO},2026-01-01,3\n"
    first = sensors.in_chunks("readings.csv", READING + text, 1)
    assert (first.inserted, first.duplicates) == (2, 1)
    again = sensors.load("more/readings.csv", READING + f"{ONE.lower()},2026-01-01 08:00:00.50,1\n")
    assert (again.inserted, again.already_present) == (0, 1)
    words(sensors.run("explain", "readings", ONE, "2026-01-01 08:00:00.5"), ["was loaded from"])
    words(sensors.run("explain", "readings", ONE, "noon", expect=2), ["datetime"])


def test_rows_wait_for_times_dates_and_uuids(sensors: Keyed) -> None:
    rows = f"1,{ONE},2026-01-01 10:00:00.25,,\n2,,,2026-03-01,\n3,,,,2026-01-01 06:00\n4,{TWO},2026-01-01,,\n"
    outcome = sensors.load("alarms.csv", ALARM + rows)
    assert (outcome.inserted, outcome.orphans) == (0, 4)
    sensors.load("shifts.csv", "start,who\n2026-01-01T06:00:00,x\n")
    sensors.load("days.csv", "day\n01.03.2026\n")
    sensors.load("readings.csv", READING + f"{ONE},2026-01-01 10:00:00.250Z,1\n")
    assert sensors.rows("SELECT id FROM dim_alarms ORDER BY 1") == [(1,), (2,), (3,)]
    more = sensors.load("more/alarms.csv", ALARM + f"5,{ONE},2026-01-01 11:00:00.25+01:00,2026-03-01,\n")
    assert more.inserted == 1
    words(sensors.run("explain", "alarms", "4", expect=1), ["waits for fact_reading"])
    words(sensors.run("explain", "alarms", "5"), ["fact_reading", "dim_days"])
    sensors.check_books()


def test_rows_with_such_keys_are_put_right(sensors: Keyed) -> None:
    outcome = sensors.load("readings.csv", READING + f"{ONE},2026-01-01 10:00,-1\n{ONE},2026-01-02 10:00,2\n")
    (refused,) = sensors.quarantined(value=-1)
    sensors.run("quarantine", "edit", refused, "--set", "value=5", "--yes")
    sensors.run("quarantine", "replay", refused, "--yes")
    sensors.execute("DELETE FROM fact_reading WHERE value = 2")
    sensors.run("reprocess", outcome.file_id, "--yes", expect=None)
    assert sensors.rows("SELECT value FROM fact_reading ORDER BY 1") == [(2,), (5,)]
    sensors.check_books()
    sensors.run("undo", outcome.file_id, "--yes")
    assert sensors.rows("SELECT value FROM fact_reading") == []


# ---------------------------------------------------------------- rows without a key


def test_rows_without_a_key_are_all_kept(keyed: Keyed) -> None:
    text = "zone,fare\nn,1\nn,1\nn,x\nn,1\n"
    outcome = keyed.load("trips.csv", text)
    assert (outcome.inserted, outcome.duplicates, outcome.quarantined) == (3, 0, 1)
    assert keyed.rows("SELECT _file_id, _row FROM fact_trip ORDER BY 1, 2") == [
        (outcome.file_id, n) for n in (1, 2, 4)
    ]
    again = keyed.load("again/trips.csv", text)  # the content is the identity of a file
    assert again.inserted == 0
    other = keyed.in_chunks("other/trips.csv", "zone,fare\n" + "n,1\n" * 5, 2)
    assert (other.inserted, other.already_present) == (5, 0)
    keyed.check_books()


def test_rows_without_a_key_in_a_group_have_their_own_numbers(keyed: Keyed) -> None:
    first, second = keyed.together("trips", "zone,fare\nn,1\nn,x\nn,2\n", "zone,fare\nn,1\nn,1\n")
    assert keyed.rows("SELECT _file_id, _row FROM fact_trip ORDER BY 1, 2") == [
        (first.file_id, 1),
        (first.file_id, 3),
        (second.file_id, 1),
        (second.file_id, 2),
    ]


def test_rows_without_a_key_are_found_by_file_and_number(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = keyed.load("trips.csv", "zone,fare\nn,1\nn,x\nn,1\nn,y\n")
    ids = keyed.quarantined(zone="n")
    keyed.run("quarantine", "edit", ids[0], "--set", "fare=7", "--yes")
    keyed.run("quarantine", "replay", ids[0], "--yes")
    rows = "SELECT _row, fare FROM fact_trip WHERE _file_id = %s ORDER BY 1"
    assert keyed.rows(rows, outcome.file_id) == [(1, 1), (2, 7), (3, 1)]
    keyed.execute("DELETE FROM fact_trip WHERE _row IN (1, 2)")
    for _ in range(2):
        keyed.run("reprocess", outcome.file_id, "--yes", expect=None)
        assert keyed.rows(rows, outcome.file_id) == [(1, 1), (2, 7), (3, 1)]
    keyed.check_books()
    words(keyed.run("explain", "trips", outcome.file_id, 2), [f"file {outcome.file_id}, row 2 was loaded"])
    words(keyed.run("explain", "trips", outcome.file_id, 4, expect=1), ["is not loaded", "fare: dtype"])


def test_a_file_without_keys_that_continues_another_takes_its_place(keyed: Keyed) -> None:
    before, now = "zone,fare\nn,1\nn,2\n", "zone,fare\nn,1\nn,2\nn,3\n"
    first = keyed.load("trips.csv", before)
    path = keyed.home / "data/trips.csv"
    path.write_text(now)
    former = Content(first.job.md5, len(before))
    job = FileJob(path, keyed.config.by_logical_name["trips"], 0, 0, former=former)
    second = FileLoad(keyed.warehouse, keyed.config, PiiHandler(KEY)).run(job)
    assert second.inserted == 3
    assert f"continues file {first.file_id}" in second.continues
    assert keyed.rows("SELECT fare FROM fact_trip ORDER BY 1") == [(1,), (2,), (3,)]
    keyed.check_books()


# ---------------------------------------------------------------- another unique column


def test_a_row_may_refer_to_another_unique_column(keyed: Keyed) -> None:
    zones = keyed.load("zones.csv", "zone,size\nnorth,1\nsouth,2\n,3\nnorth,4\n")
    assert zones.inserted == 3
    assert "23505" in keyed.open()[0][2]
    rides = keyed.load("rides.csv", "zone,n\nnorth,1\nnorth,1\nwest,2\n,3\nwest,-1\n")
    assert (rides.inserted, rides.orphans) == (3, 1)
    keyed.load("more/zones.csv", "zone,size\nwest,1\n")
    assert keyed.rows("SELECT _row, zone FROM dim_rides ORDER BY 1") == [
        (1, "north"),
        (2, "north"),
        (3, "west"),
        (4, None),
    ]
    keyed.check_books()
    words(keyed.run("undo", zones.file_id, "--yes", expect=2), ["dim_rides: 2 rows"])


def test_a_parents_unique_column_changes_only_while_nobody_refers_to_it(
    warehouse: Warehouse, config: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Keyed(warehouse, tmp_path)
    types = {
        "zones": {
            "key": "id",
            "columns": {"id": "int", "code": "str", "at": "datetime"},
            "keep": "latest",
            "newer_by": "at",
        },
        "rides": {"key": "id", "columns": {"id": "int", "code": "str"}, "foreign_keys": {"code": "zones.code"}},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings_of(types)))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))
    init_schema(warehouse, site.config)
    site.load("zones.csv", "id,code,at\n1,n,2026-01-01\n2,s,2026-01-01\n")
    site.load("rides.csv", "id,code\n1,n\n")
    changed = site.load("more/zones.csv", "id,code,at\n1,x,2026-01-02\n2,y,2026-01-02\n")
    assert (changed.updated, changed.quarantined) == (1, 1)
    assert site.rows("SELECT id, code FROM dim_zones ORDER BY 1") == [(1, "n"), (2, "y")]


# ---------------------------------------------------------------- a table that refers to itself


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_rows_of_one_file_find_each_other_whatever_their_order(keyed: Keyed, chunk_rows: int) -> None:
    rows = [
        "4,3,d,\n",
        "3,2,c,\n",
        "6,7,f,\n",
        "7,6,g,\n",
        "2,1,b,\n",
        "5,5,e,\n",
        "1,,a,\n",
        "9,8,i,\n",
        "10,9,j,\n",
    ]
    outcome = keyed.in_chunks("staff.csv", STAFF + "".join(rows), chunk_rows)

    OrphanRetry(keyed.warehouse, keyed.config).after("dim_staff")
    expected = [1, 2, 3, 4, 5, 6, 7] if chunk_rows > 2 else [1, 2, 3, 4, 5]
    found = [row[0] for row in keyed.rows("SELECT id FROM dim_staff ORDER BY 1")]
    assert [n for n in found if n not in {6, 7}] == [n for n in expected if n not in {6, 7}]
    if chunk_rows == 100:
        assert (outcome.inserted, outcome.orphans) == (7, 2)
    keyed.load("more/staff.csv", STAFF + "8,,h,\n")
    assert {8, 9, 10} <= {row[0] for row in keyed.rows("SELECT id FROM dim_staff")}


def test_a_refused_row_takes_none_with_it_but_those_that_refer_to_it(keyed: Keyed) -> None:
    keyed.execute("ALTER TABLE dim_staff ADD CHECK (name <> 'forbidden')")
    text = (
        STAFF + "4,3,d,\n3,2,c,\n2,,forbidden,\n5,1,e,\n1,,a,\n6,6,f,\n8,7,h,\n7,8,g,\n9,10,i,\n10,9,forbidden,\n"
    )
    outcome = keyed.load("staff.csv", text)
    assert (outcome.inserted, outcome.orphans, outcome.quarantined) == (5, 3, 5)
    assert [row[0] for row in keyed.rows("SELECT id FROM dim_staff ORDER BY 1")] == [1, 5, 6, 7, 8]
    keyed.load("more/staff.csv", STAFF + "2,1,b,\n")
    found = [row[0] for row in keyed.rows("SELECT id FROM dim_staff ORDER BY 1")]
    assert found == [1, 2, 3, 4, 5, 6, 7, 8]
    keyed.check_books()
    keyed.run("undo", outcome.file_id, "--yes", expect=2)


def test_another_row_of_a_refused_parents_key_serves_its_children(keyed: Keyed) -> None:
    keyed.execute("ALTER TABLE dim_staff ADD CHECK (name <> 'forbidden')")
    outcome = keyed.load("staff.csv", STAFF + "3,2,c,\n2,,forbidden,\n2,,b,\n")
    assert (outcome.inserted, outcome.quarantined) == (2, 1)
    assert keyed.rows("SELECT id, name FROM dim_staff ORDER BY 1") == [(2, "b"), (3, "c")]


def test_a_tree_that_changes_keeps_its_parents(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    keyed.configure(monkeypatch, staff={"keep": "latest", "newer_by": "at"})
    keyed.execute("ALTER TABLE dim_staff ADD CHECK (name <> 'forbidden')")
    keyed.load("staff.csv", STAFF + "2,1,b,2026-01-01\n1,,a,2026-01-01\n")
    text = STAFF + "2,3,b,2026-01-02\n1,4,a,2026-01-02\n4,,forbidden,2026-01-02\n3,2,c,2026-01-02\n"
    outcome = keyed.load("more/staff.csv", text)
    assert (outcome.updated, outcome.inserted, outcome.orphans) == (1, 1, 1)
    assert keyed.rows("SELECT id, boss FROM dim_staff ORDER BY 1") == [(1, None), (2, 3), (3, 2)]
    keyed.verify()


def test_a_row_that_was_discarded_is_nobodys_parent(keyed: Keyed) -> None:
    outcome = keyed.load("staff.csv", STAFF + "1,,a,\n2,9,b,\n3,2,c,\n")
    (two,) = keyed.quarantined(id=2)
    keyed.run("quarantine", "discard", two, "--reason", "wrong", "--yes")
    keyed.load("more/staff.csv", STAFF + "9,,i,\n")
    keyed.run("reprocess", outcome.file_id, "--yes", expect=None)
    assert [row[0] for row in keyed.rows("SELECT id FROM dim_staff ORDER BY 1")] == [1, 9]
    keyed.check_books()


# ---------------------------------------------------------------- the configuration


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("lines", {"key": ["order_id", "nope"]}, "primary_key: 'nope' is not one of its columns"),
        ("lines", {"key": ["order_id", "order_id"]}, "a list of different ones"),
        ("lines", {"key": []}, "a list of different ones"),
        ("trips", {"columns": {"row": "int"}}, "row says that rows have no key"),
        ("trips", {"columns": {"_row": "int"}}, "give the column of that name a stored_as"),
        ("trips", {"keep": "latest", "newer_by": "at", "columns": {"at": "datetime"}}, "never meet one another"),
        ("parcels", {"foreign_keys": {"order_id": "lines"}}, "another number of columns than lines"),
        ("parcels", {"foreign_keys": {"line_no, order_id": "lines"}}, "line_no is int, but lines.order_id is str"),
        ("rides", {"foreign_keys": {"zone": "zones"}}, "whose rows have no key"),
        ("rides", {"foreign_keys": {"zone": "zones.nope"}}, "has no such column"),
        ("rides", {"foreign_keys": {"n": "zones.zone"}}, "n is int, but zones.zone is str"),
        ("lines", {"partition_by": {"column": "line_no", "interval": "day"}}, "line_no"),
    ],
)
def test_config_check_says_what_a_key_can_not_be(
    tmp_path: Path, config: object, name: str, changes: dict[str, Any], problem: str
) -> None:
    path = tmp_path / "config.yaml"
    types = {key: {**given, **(changes if key == name else {})} for key, given in TYPES.items()}
    path.write_text(yaml.safe_dump(settings_of(types)))
    with pytest.raises(ConfigError, match=problem):
        get_config(path)


def test_another_key_that_the_rows_do_not_have_is_told_at_start(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed.load("lines.csv", LINE + "a,1,x,1,\na,2,y,1,\n")
    with pytest.raises(ConfigError, match=r"fact_line.*order_id") as refused:
        keyed.configure(monkeypatch, lines={"key": "order_id"}, parcels={"foreign_keys": {}})
    assert "python main.py plan" in str(refused.value)


@pytest.mark.parametrize("key", [["order_id", "line_no"], "row"])
def test_a_partitioned_fact_has_such_keys_too(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch, key: str | list[str]
) -> None:
    events = {
        "key": key,
        "table": "fact_event",
        "columns": {**LINES["columns"], "at": {"dtype": "datetime", "nullable": False}},
        "partition_by": {"column": "at", "interval": "month"},
    }
    monkeypatch.setitem(TYPES, "events", events)
    keyed.configure(monkeypatch)
    text = LINE + "a,1,x,1,2026-01-01\na,2,x,1,2026-02-01\na,1,y,1,2026-03-01\n"
    outcome = keyed.load("events.csv", text)
    assert outcome.inserted == (3 if key == "row" else 2)
    more = keyed.load("more/events.csv", LINE + "a,2,y,1,2026-05-01\n")
    assert (more.inserted, more.already_present) == ((1, 0) if key == "row" else (0, 1))
    keyed.run("reprocess", outcome.file_id, "--yes", expect=None)
    keyed.check_books()
    keyed.run("undo", outcome.file_id, "--yes")
    assert keyed.rows("SELECT count(*) FROM fact_event_key") == [(int(key == "row"),)]


# ---------------------------------------------------------------- rows that wait for each other


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 100])
def test_rows_of_one_file_that_refer_to_each_other_are_loaded_however_far_apart(
    keyed: Keyed, chunk_rows: int
) -> None:
    rows = ["1,4,a,\n", "9,9,i,\n", "2,1,b,\n", "7,99,g,\n", "3,2,c,\n", "5,4,e,\n", "4,3,d,\n", "8,7,h,\n"]
    outcome = keyed.in_chunks("staff.csv", STAFF + "".join(rows), chunk_rows)
    keyed.heal(outcome)
    assert keyed.rows("SELECT id FROM dim_staff ORDER BY 1") == [(1,), (2,), (3,), (4,), (5,), (9,)]
    keyed.verify()


def test_rows_of_two_files_that_refer_to_each_other_are_loaded(keyed: Keyed) -> None:
    keyed.heal(keyed.in_chunks("staff.csv", STAFF + "1,2,a,\n3,1,c,\n", 1))
    keyed.heal(keyed.in_chunks("more/staff.csv", STAFF + "2,4,b,\n", 1))
    assert keyed.rows("SELECT id FROM dim_staff") == []
    keyed.heal(keyed.in_chunks("last/staff.csv", STAFF + "4,1,d,\n", 1))
    assert keyed.rows("SELECT id FROM dim_staff ORDER BY 1") == [(1,), (2,), (3,), (4,)]
    keyed.verify()


def test_what_a_kill_left_of_such_rows_the_next_look_at_all_orphans_loads(keyed: Keyed) -> None:
    keyed.in_chunks("staff.csv", STAFF + "1,2,a,\n2,1,b,\n", 1)
    OrphanRetry(keyed.warehouse, keyed.config).everything()
    assert keyed.rows("SELECT id FROM dim_staff ORDER BY 1") == [(1,), (2,)]


def test_rows_that_refer_to_each_other_wait_together_for_another_parent(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {**TYPES["staff"]["columns"], "zone": "str", "aide": "int"}
    keys = {"boss": "staff", "aide": "staff", "zone": "zones.zone"}
    keyed.configure(monkeypatch, staff={"columns": columns, "foreign_keys": keys})
    text = "id,boss,name,at,zone,aide\n1,2,a,,n,\n2,1,b,,,3\n3,,c,,s,1\n"
    keyed.heal(keyed.in_chunks("staff.csv", text, 1))
    keyed.heal(keyed.in_chunks("zones.csv", "zone,size\nn,1\n", 1))
    assert keyed.rows("SELECT id FROM dim_staff") == []
    keyed.heal(keyed.in_chunks("more/zones.csv", "zone,size\ns,1\n", 1))
    assert keyed.rows("SELECT id FROM dim_staff ORDER BY 1") == [(1,), (2,), (3,)]
    keyed.verify()


def test_each_page_of_a_heal_holds_whole_circles(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "CHUNK_ROWS", 4)
    half = 7
    rows = [f"{n},{n + half},x,\n" for n in range(1, half + 1)]
    rows += [f"{n + half},{n},x,\n" for n in range(1, half + 1)]
    keyed.heal(keyed.in_chunks("staff.csv", STAFF + "".join(rows), half))
    assert keyed.one("SELECT count(*) FROM dim_staff") == 2 * half
    keyed.verify()


def test_a_long_chain_heals_in_few_steps(keyed: Keyed) -> None:
    """Newest first, as threads and versions are exported: each row refers to the one behind it."""
    count = 300
    rows = "".join(f"{n},{n - 1},x,\n" for n in range(count, 1, -1))
    outcome = keyed.in_chunks("staff.csv", STAFF + rows, 20)
    keyed.heal(outcome)
    before = keyed.one("SELECT count(DISTINCT xmin::text) FROM quarantine")
    keyed.heal(keyed.in_chunks("more/staff.csv", STAFF + "1,,x,\n", 20))
    assert keyed.one("SELECT count(*) FROM dim_staff") == count
    assert keyed.one("SELECT count(DISTINCT xmin::text) FROM quarantine") - before < 5
    keyed.verify()
