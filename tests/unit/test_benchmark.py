"""The benchmark's parts, on tiny sizes: its input is what it says, counts are checked, the report is written."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console

from config.settings import PipelineConfig
from ingestion.file_reader import read_file
from scripts import benchmark
from scripts.benchmarks import report
from scripts.benchmarks.data import NUMBERS, blocks, make_orders, write_csv, write_json
from scripts.benchmarks.load_cases import ALL_CUSTOMERS, empty_tables, timed_load
from scripts.benchmarks.measures import Measure, ratios
from scripts.benchmarks.nested_case import nested_config
from scripts.benchmarks.server import Bench, CountError, private_bench
from scripts.benchmarks.workbook import write_xlsx


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with private_bench(scale=0.001, runs=2, seed=7) as bench:
        yield bench
    assert not bench.folder.exists()


def test_the_input_has_its_share_of_bad_rows_and_of_duplicates() -> None:
    orders = make_orders(1_000, np.array([5, 9]), seed=1)
    assert (orders.expected.total, orders.expected.clean, orders.expected.quarantined) == (1_000, 960, 40)
    clean = orders.rows.filter(orders.clean)
    assert len(set(clean.column("order_id").to_pylist())) == 960
    assert set(clean.column("customer_id").to_pylist()) == {"5", "9"}
    assert orders.rows == make_orders(1_000, np.array([5, 9]), seed=1).rows
    assert orders.rows != make_orders(1_000, np.array([5, 9]), seed=2).rows


def test_csv_and_json_hold_the_same_rows(config: PipelineConfig, tmp_path: Path) -> None:
    as_csv, as_json = tmp_path / "orders.csv", tmp_path / "orders.json"
    expected = write_csv(as_csv, blocks(300, ALL_CUSTOMERS, seed=3))
    assert write_json(as_json, blocks(300, ALL_CUSTOMERS, seed=3)) == expected
    (of_csv, _), (of_json, _) = read_file(as_csv, config), read_file(as_json, config)
    assert len(of_csv) == expected.total == 300
    assert of_csv.fillna("").equals(of_json.fillna(""))


def test_nested_json_holds_the_same_rows_at_the_end_of_the_paths(bench: Bench, tmp_path: Path) -> None:
    flat, nested = tmp_path / "orders.json", tmp_path / "nested/orders.json"
    nested.parent.mkdir()
    assert write_json(flat, blocks(50, ALL_CUSTOMERS, seed=3)) == write_json(
        nested, blocks(50, ALL_CUSTOMERS, seed=3), nested=True
    )
    with bench.database("paths") as database:
        (of_flat, _), (of_nested, _) = (
            read_file(flat, database.config(csv=False)),
            read_file(nested, nested_config(database)),
        )
    assert of_nested.equals(of_flat)
    assert list(json.loads(nested.read_text())[0]) == [
        *("order_id", "parties", "money", "order_status", "payment_method", "order_created_at", "delivered_at")
    ]


def test_a_wrong_count_is_an_error_and_no_time(bench: Bench) -> None:
    with bench.database("counts") as database, database.warehouse() as warehouse:
        path = database.home / "orders.csv"
        expected = write_csv(path, blocks(200, ALL_CUSTOMERS, seed=4))
        for wrong in (replace(expected, total=201), replace(expected, clean=expected.clean + 1)):
            empty_tables(database)
            with pytest.raises(CountError, match="books"):
                timed_load(warehouse, database.config(), path, wrong)
        empty_tables(database)
        assert timed_load(warehouse, database.config(), path, expected) > 0


def test_the_case_of_one_file_measures_ours_and_the_bare_copy_each_run(bench: Bench) -> None:
    measures = benchmark.measure(bench, ["csv"], say=lambda _: None)
    assert {"ours", "\\copy with keys", "\\copy, triggers off"} < {measure.name for measure in measures}
    assert all(len(measure.samples) == bench.runs for measure in measures)


def test_the_case_of_quotes_loads_the_same_rows_with_and_without(bench: Bench) -> None:
    measures = benchmark.measure(bench, ["quotes"], say=lambda _: None)
    assert [measure.unit for measure in measures] == ["s", "ratio"] * 2 + ["ratio"]


def test_the_case_of_dialects_loads_the_same_rows_in_each(bench: Bench) -> None:
    measures = benchmark.measure(replace(bench, runs=1), ["dialect"], say=lambda _: None)
    assert [measure.unit for measure in measures] == ["s"] * 5 + ["ratio"] * 4


def test_the_case_of_checks_loads_the_same_rows_with_and_without(bench: Bench) -> None:
    measures = benchmark.measure(replace(bench, runs=1), ["checks"], say=lambda _: None)
    assert [measure.unit for measure in measures] == ["s", "s", "ratio"] * 2


def test_the_case_of_a_workbook_reads_and_loads_the_rows_that_calamine_reads(bench: Bench) -> None:
    measures = benchmark.measure(replace(bench, runs=1), ["excel"], say=lambda _: None)
    assert [measure.unit for measure in measures] == ["s"] * 4 + ["ratio"] * 3


def test_the_case_of_parquet_loads_the_rows_of_the_csv(bench: Bench) -> None:
    measures = benchmark.measure(replace(bench, runs=1), ["parquet"], say=lambda _: None)
    assert [measure.unit for measure in measures] == ["s"] * 3 + ["ratio"] * 2


def test_a_workbook_holds_the_same_rows_as_the_csv(config: PipelineConfig, tmp_path: Path) -> None:
    as_csv, as_xlsx = tmp_path / "orders.csv", tmp_path / "orders.xlsx"
    expected = write_csv(as_csv, blocks(300, ALL_CUSTOMERS, seed=3))
    assert write_xlsx(as_xlsx, blocks(300, ALL_CUSTOMERS, seed=3)) == expected
    of_csv, of_xlsx = (read_file(path, config)[0].fillna("") for path in (as_csv, as_xlsx))
    amounts = [name for name in of_csv.columns if name in NUMBERS]
    others = [name for name in of_csv.columns if name not in NUMBERS]
    assert of_xlsx[others].equals(of_csv[others])
    for name in amounts:
        as_numbers = [[float(v) if v not in {"", "abc"} else v for v in of[name]] for of in (of_csv, of_xlsx)]
        assert as_numbers[0] == as_numbers[1]


def test_the_case_of_small_files_runs_a_daemon_and_ends_it(bench: Bench) -> None:
    (measure,) = benchmark.measure(replace(bench, runs=1), ["small"], say=lambda _: None)
    assert measure.target is not None
    assert measure.median > 0


def test_the_case_of_the_retry_reports_time_and_memory(bench: Bench) -> None:
    measures = benchmark.measure(replace(bench, runs=1), ["retry"], say=lambda _: None)
    assert [measure.unit for measure in measures] == ["s", "MB", "ratio"]


def test_the_report_is_a_table_a_json_file_and_a_chart(bench: Bench, tmp_path: Path) -> None:
    measures = [
        Measure("csv", "ours", "s", (3.0, 1.0, 2.0), "some <rows>"),
        Measure("csv", "rows a second", "/s", (60_000.0,)),
        Measure("csv", "ours / \\copy with keys", "ratio", ratios([3.0, 1.0], [2.0, 2.0])),
    ]
    console = Console(record=True, width=150, file=(tmp_path / "screen").open("w"))
    console.print(report.table(measures))
    console.file.close()
    text = console.export_text()
    assert "≥ 55,000" in text
    assert "met" in text
    assert "missed" in text

    about = {"machine": report.machine(bench)}
    as_json, as_svg = report.write(tmp_path / "results", "tiny", measures, about, "a <title>")
    found = json.loads(as_json.read_text())
    assert found["machine"]["postgresql"]["fsync"] == "on"
    assert [(m["min"], m["median"], m["max"], m["met"]) for m in found["measures"]] == [
        (1.0, 2.0, 3.0, None),
        (60_000.0, 60_000.0, 60_000.0, True),
        (0.5, 1.0, 1.5, False),
    ]
    bars = ET.parse(as_svg).getroot().findall("{http://www.w3.org/2000/svg}rect")  # noqa: S314  (our own)
    assert len(bars) == 1 + 2  # the ground, and those with a target


def test_an_unknown_case_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(typer.BadParameter, match=r"cvs.*there are csv, quotes, json"):
        benchmark.cases_of("csv,cvs")
