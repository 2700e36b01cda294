"""The generators: data as FastFeast exports it, the same again for the same seed, and an honest manifest."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from config.config_loader import PROJECT_ROOT, get_config
from scripts import generate_stream_data
from scripts.bad_values import KINDS, NEVER, faults_of
from scripts.exports import Folders, Metadata, csv_text, json_text
from scripts.faults import GOOD, spoil
from scripts.generate_batch_data import generate_batch
from scripts.generate_master_data import generate_master
from scripts.generate_stream_data import Format, generate_hour
from scripts.make_env import make_env
from scripts.newcomers import add_newcomers
from scripts.population import SIZES
from scripts.sample_data import make_sample
from scripts.simulate_day import parse_hours, simulate_day
from scripts.traffic import LATER

DAY = dt.date(2026, 2, 20)
NINE = dt.datetime(2026, 2, 20, 9, tzinfo=dt.UTC)
ROWS = 2000


def folders_in(root: Path) -> Folders:
    return Folders(root, root / "data/master", root / "data/input/batch", root / "data/input/stream")


def simulate(root: Path, *, bad: float = 0.1, seed: int = 5) -> Path:
    manifest = root / "manifest.json"
    simulate_day(folders_in(root), DAY, [3, 9], ROWS, bad, seed, manifest=manifest)
    return manifest


def read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        rows: list[dict[str, Any]] = json.loads(path.read_text())
        return rows
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a simulated day with a tenth of its rows bad."""
    root = tmp_path_factory.mktemp("day")
    simulate(root)
    return root


@pytest.fixture(scope="module")
def manifest(day: Path) -> dict[str, Any]:
    entries: dict[str, Any] = json.loads((day / "manifest.json").read_text())
    return entries


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(day: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "again")
    simulate(tmp_path / "other", seed=6)
    assert contents(tmp_path / "again") == contents(day)
    assert contents(tmp_path / "other") != contents(day)


def test_every_files_entry_adds_up_and_describes_its_content(day: Path, manifest: dict[str, Any]) -> None:
    files = {name for name in contents(day) if name not in {"manifest.json", "data/master/metadata.json"}}
    assert set(manifest) == files
    for name, entry in manifest.items():
        rejected = entry["rejected"]
        assert entry["total"] == entry["loaded"] + sum(rejected.values()) == len(read_rows(day / name)), name
        by_stage: Counter[str] = Counter(dict.fromkeys(rejected, 0))
        for reason, count in entry["reasons"].items():
            by_stage[reason.partition("/")[0]] += count
        assert dict(by_stage) == rejected, name
        assert entry["healed_later"] <= rejected["orphan"], name
        assert entry["md5"] == hashlib.md5((day / name).read_bytes(), usedforsecurity=False).hexdigest(), name


def test_files_have_the_columns_that_the_pipeline_expects_in_their_order(
    day: Path, manifest: dict[str, Any]
) -> None:
    schemas = get_config().by_logical_name
    for name in manifest:
        path = day / name
        if rows := read_rows(path):
            assert list(rows[0]) == [c.name for c in schemas[path.stem].schema.columns], name


def test_every_kind_of_column_of_the_configuration_is_known_with_its_nulls() -> None:
    for name, spec in get_config().by_logical_name.items():
        assert list(KINDS[name]) == [column.name for column in spec.schema.columns]
        for column in spec.schema.columns:
            kind = KINDS[name][column.name]
            assert kind.endswith("!") == (not column.nullable), (name, column.name)
            assert kind.endswith("?") == (not column.rules.get("required", False)), (name, column.name)
            parents = {name for key in spec.foreign_keys for name in key.key}
            assert (kind.rstrip("!?") in {"fk", "ref"}) == (column.name in parents), (name, column.name)


def test_pandas_reads_what_it_would_have_written(day: Path, manifest: dict[str, Any]) -> None:
    for name in manifest:
        path = day / name
        if path.suffix == ".csv":
            pd.read_csv(path)
        else:
            rows = json.loads(path.read_text())
            assert path.read_text() == json.dumps(rows, indent=2), name


def test_columns_look_as_exports_of_pandas_do() -> None:
    columns = {
        "id": np.array([1, 2]),
        "gap": np.array([464, None], dtype=object),
        "mixed": np.array([3, "N/A"], dtype=object),
        "flag": np.array([True, False]),
        "note": np.array(["a, b", None], dtype=object),
        "when": np.array(["2026-02-20 09:00:00", float("nan")], dtype=object),
    }
    frame = pd.DataFrame(
        {
            "id": [1, 2],
            "gap": [464, np.nan],
            "mixed": pd.Series([3, "N/A"], dtype=object),
            "flag": [True, False],
            "note": pd.Series(["a, b", None], dtype=object),
            "when": pd.Series(["2026-02-20 09:00:00", np.nan], dtype=object),
        }
    )
    assert "".join(csv_text(columns)) == frame.to_csv(index=False)
    assert "".join(json_text(columns)) == json.dumps(frame.to_dict(orient="records"), indent=2)
    assert "".join(csv_text({"id": np.array([])})) == "id\n"
    assert "".join(json_text({"id": np.array([])})) == "[]"


def test_a_quiet_hour_has_a_header_and_an_empty_array(day: Path) -> None:
    folder = day / "data/input/stream/2026-02-20/03"
    assert (folder / "tickets.csv").read_text().splitlines() == [",".join(KINDS["tickets"])]
    assert (folder / "ticket_events.json").read_text() == "[]"
    assert len(read_rows(folder / "orders.json")) == ROWS


def test_a_clean_day_has_no_rejects(tmp_path: Path) -> None:
    entries = json.loads(simulate(tmp_path, bad=0).read_text())
    assert sum(entry["total"] for entry in entries.values()) > 2 * ROWS
    for name, entry in entries.items():
        assert entry["loaded"] == entry["total"], name
        assert not any(entry["rejected"].values()), name
        assert entry["reasons"] == {}, name


def test_sizes_follow_rows_and_scale(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    generate_master(folders, 1, 2.5, 0.0)
    known = Metadata.read(folders)
    assert known.sizes == {table: round(size * 2.5) for table, size in SIZES.items()}
    assert (known.max_customer_id, known.max_driver_id) == (1000, 200)
    for rows in (0, 1, 7, 300):
        entries = generate_hour(folders, NINE, rows, 0.05)
        orders, *_ = entries.values()
        assert orders["total"] == rows


def test_a_big_file_of_orders_can_be_csv(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    generate_master(folders, 1, 1, 0.0)
    path, *_ = generate_hour(folders, NINE, 60_000, 0.03, orders_as=Format.CSV)
    assert path.name == "orders.csv"
    assert len(pd.read_csv(path, low_memory=False)) == 60_000


def test_the_planted_rows_have_the_named_faults(day: Path) -> None:
    drivers = read_rows(day / "data/master/drivers.csv") + read_rows(
        day / "data/input/batch/2026-02-20/drivers.csv"
    )
    orders = read_rows(day / "data/input/stream/2026-02-20/09/orders.json")
    assert {len(row["national_id"]) for row in drivers} > {15}
    assert any(row["delivered_at"] == "invalid" for row in orders)
    assert any(row["order_created_at"] == "N/A" for row in orders)
    assert any(row["order_status"] == "Unknown" for row in orders)
    assert any(row["order_status"] == "Delivered" and row["delivered_at"] is None for row in orders)
    assert any(row["total_amount"] == -12.5 for row in orders)
    assert any(row["restaurant_id"] == 3.7 for row in orders)
    assert any(row["customer_id"] > NEVER for row in orders)
    assert any(len(row["order_id"] or "") > 36 for row in orders)
    twice = [key for key, count in Counter(row["order_id"] for row in orders).items() if key and count > 1]
    assert len(twice) > 10


def test_every_kind_of_fault_gets_its_share() -> None:
    for table in KINDS:
        rows = 5 * len(faults_of(table))
        columns = {name: np.arange(rows).astype(object) for name in KINDS[table]}
        sheet, loads = spoil(table, columns, (rows // 5, 0), np.random.default_rng(1))
        planted = Counter(sheet.verdicts[~loads].tolist())
        assert planted == Counter(fault.verdict for fault in faults_of(table)), table


def test_a_repeated_key_is_refused_unless_the_row_before_it_was_bad() -> None:
    rows = 900
    columns = {name: np.arange(rows).astype(object) for name in KINDS["categories"]}
    columns["category_name"] = np.array([f"c{n}" for n in range(rows)], dtype=object)
    sheet, loads = spoil("categories", columns, (0, 300), np.random.default_rng(1))
    assert loads.all()
    assert len(sheet.verdicts) == 1200
    loaded = sheet.columns["category_id"][sheet.verdicts == GOOD]
    assert sorted(loaded) == list(range(rows)), "each key loads once"
    first_good = {
        key: place for place, key in enumerate(sheet.columns["category_id"]) if sheet.verdicts[place] == GOOD
    }
    names = sheet.columns["category_name"]
    exact = other = bad_first = 0
    for place in np.flatnonzero(sheet.verdicts != GOOD).tolist():
        key = sheet.columns["category_id"][place]
        if sheet.verdicts[place] != "records/duplicate":
            bad_first += key not in first_good or place < first_good[key]
        else:
            assert place > first_good[key]
            exact += names[place] == names[first_good[key]]
            other += names[place] != names[first_good[key]]
    assert (exact, other, bad_first) == (100, 100, 100)


def test_a_few_orders_name_strangers_and_their_tickets_and_events_are_orphans_too(
    day: Path, manifest: dict[str, Any]
) -> None:
    hour = "data/input/stream/2026-02-20/09"
    orders = manifest[f"{hour}/orders.json"]
    assert 0.01 * ROWS <= orders["rejected"]["orphan"] <= 0.04 * ROWS
    assert 0 < orders["healed_later"] < orders["rejected"]["orphan"]
    assert (
        0 < manifest[f"{hour}/tickets.csv"]["healed_later"] < manifest[f"{hour}/tickets.csv"]["rejected"]["orphan"]
    )
    assert manifest[f"{hour}/ticket_events.json"]["rejected"]["orphan"] > 0


def test_ids_that_orders_name_too_early_come_with_the_next_days_batch(day: Path) -> None:
    for table, key in (("customers", "customer_id"), ("drivers", "driver_id")):
        named = {row[key] for row in read_rows(day / "data/input/stream/2026-02-20/09/orders.json")}
        early = {number for number in named if isinstance(number, int | float) and SIZES[table] < number < NEVER}
        early -= {3_000_000_000}
        present = {int(float(row[key])) for row in read_rows(day / f"data/input/batch/2026-02-21/{table}.csv")}
        assert early
        assert early <= present
    assert Metadata.read(folders_in(day)).max_customer_id == SIZES["customers"] + LATER


def test_a_days_batch_repeats_the_master_with_changes_that_stay(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    generate_master(folders, 1, 1, 0.0)
    later = [DAY + dt.timedelta(days=days) for days in (3, 30, 60)]
    for day in (DAY, *later):
        generate_batch(folders, day, 0.0)
    for table in SIZES:
        suffix = "json" if table == "restaurants" else "csv"
        days = [folders.batch / str(day) / f"{table}.{suffix}" for day in (DAY, *later)]
        master, *states = [read_rows(path) for path in (folders.master / f"{table}.csv", *days)]
        changed = [
            {
                number
                for number, (before, after) in enumerate(zip(master, state, strict=True))
                if before["updated_at"] != after["updated_at"]
            }
            for state in states
        ]
        assert 0 <= len(changed[0]) < SIZES[table] / 8
        assert changed[0] <= changed[1] < changed[2] == changed[3]
        assert states[2] == states[3]
        if table == "customers":
            moved = {
                n
                for n, (a, b) in enumerate(zip(master, states[3], strict=True))
                if a["region_id"] != b["region_id"]
            }
            assert moved == changed[3]


def test_an_hour_exports_open_tickets_of_the_hour_before_again_resolved(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    generate_master(folders, 1, 1, 0.0)
    generate_batch(folders, DAY, 0.0)
    hours = [dt.datetime.combine(DAY, dt.time(hour), dt.UTC) for hour in (9, 10, 11)]
    for hour in hours:
        generate_hour(folders, hour, 300, 0.05)
    first, second, third = [
        {
            row["ticket_id"]: row["status"]
            for row in read_rows(folders.stream / f"{hour:%Y-%m-%d}" / f"{hour:%H}" / "tickets.csv")
        }
        for hour in hours
    ]
    for before, after in ((first, second), (second, third)):
        again = before.keys() & after.keys()
        assert again
        assert {after[ticket] for ticket in again} == {"Resolved"}
        assert {before[ticket] for ticket in again} <= {"Open", "InProgress"}
    (folders.stream / str(DAY) / "09" / "tickets.csv").write_text("of others")
    bare = generate_hour(folders, hours[1], 300, 0.05)
    assert sum(entry["total"] for path, entry in bare.items() if path.name == "tickets.csv") == len(second) - len(
        first.keys() & second.keys()
    )


def test_newcomers_follow_the_rows_to_date_and_raise_the_highest_id(tmp_path: Path) -> None:
    folders, manifest = folders_in(tmp_path), tmp_path / "manifest.json"
    generate_master(folders, 1, 1, 0.05, manifest)
    generate_batch(folders, DAY, 0.05, manifest=manifest)
    path = folders.batch / str(DAY) / "customers.csv"
    before, entry = path.read_text(), json.loads(manifest.read_text())[str(path.relative_to(tmp_path))]
    add_newcomers("customers", folders, DAY, 3, manifest)
    add_newcomers("customers", folders, DAY, 2, manifest)
    grown = json.loads(manifest.read_text())[str(path.relative_to(tmp_path))]
    assert path.read_text().startswith(before)
    ids = [row["customer_id"] for row in csv.DictReader(io.StringIO(path.read_text()))][-5:]
    assert ids == [str(SIZES["customers"] + n) for n in range(1, 6)]
    assert grown["total"] == entry["total"] + 5
    assert grown["loaded"] == entry["loaded"] + 5
    assert Metadata.read(folders).max_customer_id == SIZES["customers"] + 5
    assert not list(tmp_path.rglob(".*.part"))


def test_a_manifest_that_does_not_know_the_file_is_not_continued(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    generate_master(folders, 1, 1, 0.05)
    generate_batch(folders, DAY, 0.05)
    before = contents(tmp_path)
    with pytest.raises(typer.Exit) as ended:
        add_newcomers("drivers", folders, DAY, 3, tmp_path / "manifest.json")
    assert ended.value.exit_code == 2
    assert contents(tmp_path) == before


def test_a_sample_is_made_only_where_there_is_no_data(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    assert "sample" in (make_sample(folders, NINE.replace(hour=1, minute=30)) or "")
    hours = sorted(
        path.parent.relative_to(folders.stream).as_posix() for path in folders.stream.rglob("orders.json")
    )
    assert hours == ["2026-02-19/23", "2026-02-20/00", "2026-02-20/01"]
    before = contents(tmp_path)
    assert make_sample(folders, NINE) is None
    assert contents(tmp_path) == before


def test_env_gets_a_random_key_is_private_and_is_never_overwritten(tmp_path: Path) -> None:
    one, two = tmp_path / "one" / ".env", tmp_path / "two" / ".env"
    assert make_env(one)
    assert make_env(two)
    keys = {
        line for path in (one, two) for line in path.read_text().splitlines() if line.startswith("PII_HASH_KEY=")
    }
    assert len(keys) == 2
    assert {len(key) for key in keys} == {len("PII_HASH_KEY=") + 64}
    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    assert list(one.parent.iterdir()) == [one]
    before = one.read_bytes()
    assert not make_env(one)
    assert one.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "hours"), [("9", [9]), ("9,10,11", [9, 10, 11]), ("9-11", [9, 10, 11]), ("0-1, 23", [0, 1, 23])]
)
def test_hours_are_read_as_lists_and_ranges(text: str, hours: list[int]) -> None:
    assert parse_hours(text) == hours


@pytest.mark.parametrize("text", ["", "24", "9-", "11-9", "nine", "-1"])
def test_other_hours_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_hours(text)


@pytest.mark.parametrize("start", [["scripts/{}.py"], ["-m", "scripts.{}"]], ids=["as a file", "as a module"])
def test_commands_run_from_the_project_root(start: list[str], tmp_path: Path) -> None:
    def run(command: str, *options: str) -> None:
        words = [word.format(command) for word in start]
        done = subprocess.run(
            [sys.executable, *words, *options],
            cwd=PROJECT_ROOT,
            env={**os.environ, "FASTFEAST_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    run("generate_master_data", "--seed", "3", "--scale", "0.5")
    run("generate_stream_data", "--date", "2026-02-20", "--hour", "9", "--rows", "50")
    run("add_new_customers", "--count", "4")
    run("make_env")
    assert (tmp_path / ".env").exists()
    assert (tmp_path / "data/input/stream/2026-02-20/09/orders.json").exists()
    today = dt.datetime.now(dt.UTC).date()
    batches = {path.parent.name for path in (tmp_path / "data/input/batch").rglob("customers.csv")}
    assert batches <= {str(today), str(today - dt.timedelta(days=1))}
    assert batches


def test_without_a_master_the_stream_says_what_to_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path / "elsewhere"))
    app = typer.Typer()
    app.command()(generate_stream_data.main)
    options = ["--date", "2026-02-20", "--hour", "9", "--root", str(tmp_path)]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 2
    assert "generate_master_data.py" in done.output
    assert os.environ["FASTFEAST_HOME"] == str(tmp_path / "elsewhere")
