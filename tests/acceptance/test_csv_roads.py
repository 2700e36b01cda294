"""CSV with another delimiter and with damaged quotes, on every road that reads files."""

from __future__ import annotations

import gzip

import pytest
import yaml

from tests.acceptance import samples
from tests.acceptance.books import Audit
from tests.acceptance.commands import cli
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product, merged

SEMICOLONS = {"watcher": {"stream": {"expected_files": {"tickets.csv": {"read": {"delimiter": ";"}}}}}}


def tickets(first: int, count: int = 3, **changes: object) -> list[samples.Fields]:
    return [
        {**samples.ticket(n), "order_id": samples.uid("order", 1 + n % 3), **changes}
        for n in range(first, first + count)
    ]


def text(rows: list[samples.Fields], delimiter: str = ";") -> str:
    """No value of a ticket has a comma."""
    return samples.csv_text(rows).replace(",", delimiter)


def damaged(rows: list[samples.Fields]) -> str:
    """The first row has a stray quote in its last value, which the others must not pay for."""
    lines = text(rows).splitlines()
    head, _, last = lines[1].rpartition(";")
    lines[1] = f'{head};"{last}'
    return "\n".join(lines)


@pytest.fixture(scope="module")
def loaded(make_product: MakeProduct) -> Product:
    product = make_product(**SEMICOLONS)
    samples.write_master(product.home)
    product.stream("00", "orders.json", [samples.order(n) for n in range(1, 4)])
    product.stream("01", "tickets.csv", text(tickets(10)))
    product.stream("02", "tickets.csv", "sep=,\r\n" + text(tickets(20), ","))
    product.stream("03", "tickets.csv", damaged(tickets(30)))
    product.stream("04", "tickets.csv.gz", gzip.compress(damaged(tickets(40)).encode()))
    product.stream("05", "tickets.csv", damaged(tickets(1_000, 8_000)))  # large enough to be read ahead
    product.stream("06", "tickets.csv", text(tickets(50), ","))
    product.once(expect=1)
    return product


def test_all_of_it_is_as_the_oracle_says(loaded: Product) -> None:
    assert Audit(loaded).run() == []
    assert loaded.value("SELECT count(*) FROM fact_ticket") == 3 + 3 + 2 + 2 + 7_999
    refused = loaded.rows("SELECT row_number, raw_data->>'_line' AS line, rejection_reason FROM quarantine")
    assert [(r["row_number"], r["line"], r["rejection_reason"]) for r in refused] == [(1, "2", "bad_quotes")] * 3


def test_a_file_with_another_delimiter_says_so(loaded: Product) -> None:
    error = loaded.value("SELECT error FROM pipeline_file_log WHERE status = 'failed'")
    assert error.startswith("looks separated by ','; the YAML says ';'")


def test_check_says_the_same_of_the_files(loaded: Product) -> None:
    for folder, refused in (("01", 0), ("02", 0), ("03", 1), ("05", 1)):
        path = loaded.home / "data" / "input" / "stream" / samples.DAY / folder / "tickets.csv"
        (one,) = cli(loaded, "check", path, "--json", expect=bool(refused)).json
        assert (one["error"], one["refused"]) == (None, refused)
        assert [reason["rule"] for reason in one["reasons"]] == ["bad_quotes"] * refused


def test_explain_finds_the_row_behind_a_damaged_one(loaded: Product) -> None:
    found = cli(loaded, "explain", "fact_ticket", samples.uid("ticket", 32), "--json").json
    assert found["origin"]["row_number"] == 3


def test_reprocess_reads_a_damaged_file_as_the_load_did(loaded: Product) -> None:
    (file,) = loaded.rows("SELECT file_id FROM pipeline_file_log WHERE file_path LIKE '%%/03/tickets.csv'")
    assert "1 refused again" in cli(loaded, "reprocess", file["file_id"], "--yes", expect=1).out
    assert Audit(loaded).run() == []
    assert cli(loaded, "verify", "--json").json["differences"] == []


def test_infer_understands_the_line_of_excel(make_product: MakeProduct) -> None:
    product = make_product()
    prices = "sep=;\nName;Price\n" + "".join(f"item {n};{n},5\n" for n in range(30))
    path = samples.write(product.home / "prices.csv", prices)
    proposed = yaml.safe_load(cli(product, "infer", path, "--name", "prices", "--key", "Name").out)
    assert [column["name"] for column in proposed["schemas"]["prices"]["columns"]] == ["name", "price"]
    config = yaml.safe_load(product.config.read_text(encoding="utf-8"))
    product.config.write_text(yaml.safe_dump(merged(config, proposed)), encoding="utf-8")
    product.batch("prices.csv", prices)
    product.once(expect=0)
    assert product.value("SELECT count(*) FROM dim_price") == 30
