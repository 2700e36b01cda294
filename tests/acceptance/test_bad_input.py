"""Every kind of bad input costs itself only: it is refused with its reason, and the neighbours load."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance import samples
from tests.acceptance.books import Audit
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.mess import NEVER_WHOLE
from tests.acceptance.oracle import FileBook

ORDERS = [samples.order(n) for n in range(1, 4)]
TICKETS = [samples.ticket(n) for n in range(1, 4)]
NAMES = list(ORDERS[0])


def own_ids(case: int, rows: list[samples.Fields]) -> list[samples.Fields]:
    """Rows that no other case has; those of tickets name orders that are there."""
    kind = "ticket" if "ticket_id" in rows[0] else "order"
    return [{**row, f"{kind}_id": samples.uid(kind, 1000 * case + n)} for n, row in enumerate(rows)]


def without(column: str, rows: list[samples.Fields]) -> list[samples.Fields]:
    return [{name: value for name, value in row.items() if name != column} for row in rows]


def with_more(column: str, rows: list[samples.Fields]) -> list[samples.Fields]:
    return [{**row, column: 1} for row in rows]


def with_quotes(rows: list[samples.Fields], *changes: Any) -> str:
    """A CSV in which the first value of some lines is put into a form: number, form, number, form ..."""
    lines = samples.csv_text(rows).splitlines()
    for number, form in zip(changes[::2], changes[1::2], strict=True):
        key, comma, rest = lines[number].partition(",")
        lines[number] = form.format(key) + comma + rest
    return "\n".join(lines)


def twice(column: str, rows: list[samples.Fields]) -> str:
    """A CSV with `column` once more at its end."""
    head, *lines = samples.csv_text(rows).splitlines()
    return "\n".join([f"{head},{column}", *(f"{line},1" for line in lines)])


def changed(rows: list[samples.Fields], **changes: Any) -> list[samples.Fields]:
    """A faultless row before and after one with `changes`."""
    return [rows[0], {**rows[1], **changes}, rows[2]]


@dataclass(frozen=True)
class Failing:
    """A file that is refused as a whole; its `error` names `word`."""

    name: str
    content: str | bytes
    word: str = ""


def failing_files() -> dict[str, Failing]:
    case = iter(range(1, 1000))

    def orders() -> list[samples.Fields]:
        return own_ids(next(case), ORDERS)

    def tickets() -> list[samples.Fields]:
        return own_ids(next(case), TICKETS)

    csv = samples.csv_text
    array = samples.json_text
    return {
        "a column is missing (CSV)": Failing("tickets.csv", csv(without("agent_id", tickets())), "agent_id"),
        "a column too many (CSV)": Failing("tickets.csv", csv(with_more("surprise", tickets())), "surprise"),
        "a column is missing (JSON)": Failing("orders.json", array(without("driver_id", orders())), "driver_id"),
        "a column too many (JSON)": Failing("orders.json", array(with_more("surprise", orders())), "surprise"),
        "a column is missing (NDJSON)": Failing(
            "orders.json", samples.ndjson_text(without("driver_id", orders())), "driver_id"
        ),
        "a column name twice": Failing("tickets.csv", twice("status", tickets()), "status"),
        "no header": Failing("tickets.csv", csv(tickets()).partition("\n")[2]),
        "empty CSV": Failing("tickets.csv", b"", "empty"),
        "empty JSON": Failing("orders.json", b"", "empty"),
        "another delimiter": Failing(
            "tickets.csv", csv(tickets()).replace(",", ";"), "looks separated by ';'; the YAML says ','"
        ),
        "Latin-1": Failing("tickets.csv", csv(changed(tickets(), status="fermé")).encode("latin-1"), "UTF-8"),
        "UTF-16 CSV without a mark": Failing(
            "tickets.csv", csv(tickets()).encode("utf-16-le"), "encoding: utf-16-le"
        ),
        "UTF-16 JSON without a mark": Failing(
            "orders.json", array(orders()).encode("utf-16-le"), "encoding: utf-16-le"
        ),
        "truncated JSON": Failing("orders.json", array(orders())[:-40]),
        "JSON without its last bracket": Failing("orders.json", array(orders()).rstrip().removesuffix("]")),
        "JSON with text after it": Failing("orders.json", array(orders()) + "[]"),
        "single quotes instead of JSON": Failing("orders.json", str(orders())),
        "truncated gzip": Failing("tickets.csv.gz", gzip.compress(csv(tickets()).encode())[:-20]),
        "not gzip at all": Failing("tickets.csv.gz", csv(tickets())),
    }


@dataclass(frozen=True)
class Partial:
    """A file of which only the rows in `stages` are refused, by row number; `column` is at fault."""

    name: str
    content: str | bytes
    stages: dict[int, str]
    column: str | None = None


def partial_files() -> dict[str, Partial]:
    case = iter(range(1000, 2000))

    def order_with(column: str, value: Any, stage: str = "schema") -> Partial:
        rows = changed(own_ids(next(case), ORDERS), **{column: value})
        return Partial("orders.json", samples.json_text(rows), {2: stage}, column)

    def tickets() -> list[samples.Fields]:
        return own_ids(next(case), TICKETS)

    lines = samples.csv_text(tickets()).splitlines()
    others = samples.csv_text(tickets()).splitlines()
    short, long = lines[2].rpartition(",")[0], f"{others[2]},x"
    huge = samples.json_text(changed(own_ids(next(case), ORDERS), order_amount=123454321)).replace(
        "123454321", "1e999"
    )
    twins = own_ids(next(case), ORDERS)
    nd = [json.dumps(row) for row in own_ids(next(case), ORDERS)]
    array = samples.json_text(own_ids(next(case), ORDERS))
    extra = own_ids(next(case), ORDERS)
    return {
        "a key twice": Partial("orders.json", samples.json_text([*twins, twins[0]]), {4: "records"}, "order_id"),
        "an integer too large for its column": order_with("customer_id", 2**31, "schema"),
        "an integer too large for 64 bits": order_with("customer_id", 2**70, "schema"),
        "a fraction where an integer belongs": order_with("driver_id", 3.7, "schema"),
        "money too large for its column": order_with("total_amount", 1e8),
        "money that rounds up beyond its column": order_with("delivery_fee", 999999.995),
        "a number beyond every float": Partial("orders.json", huge, {2: "schema"}, "order_amount"),
        "negative money": order_with("discount_amount", -1, "records"),
        "a date outside the calendar": order_with("order_created_at", "2026-02-30"),
        "a date that was never ISO": order_with("order_created_at", "20/02/2026"),
        "a date before the warehouse's days": order_with("order_created_at", "1066-10-14", "records"),
        "a date after the warehouse's days": order_with("order_created_at", "9999-12-31", "records"),
        "text longer than its column": order_with("order_id", "x" * 37),
        "a value outside its list": order_with("payment_method", "gold"),
        "a missing value": order_with("payment_method", None),
        "a placeholder for a value": order_with("order_status", " N/A ", "records"),
        "a NUL character": order_with("order_id", "nul\0byte"),
        "an object where a number belongs": order_with("order_amount", {"amount": 1}),
        "a line too short": Partial("tickets.csv", "\n".join([*lines[:2], short, lines[3]]), {2: "schema"}),
        "a line too long": Partial("tickets.csv", "\n".join([*others[:2], long, others[3]]), {2: "schema"}),
        "a quote that is never closed": Partial(
            "tickets.csv", samples.csv_text(tickets()) + '"open,1,2\n', {4: "schema"}
        ),
        "text behind a closing quote": Partial("tickets.csv", with_quotes(tickets(), 2, '"{}" x'), {2: "schema"}),
        "a stray quote": Partial("tickets.csv", with_quotes(tickets(), 1, '"{}'), {1: "schema"}),
        "rows between two stray quotes": Partial(
            "tickets.csv", with_quotes(tickets(), 1, '"{}', 3, '{}"'), {1: "schema", 3: "schema"}, "ticket_id"
        ),
        "a broken line of NDJSON": Partial("orders.json", "\n".join([nd[0], nd[1][:-9], nd[2]]), {2: "schema"}),
        "an array element that is no object": Partial(
            "orders.json", array.rstrip().removesuffix("]") + ", 7]", {4: "schema"}
        ),
        "a key that only one record has": Partial(
            "orders.json", samples.json_text([extra[0], {**extra[1], "surprise": 1}, extra[2]]), {2: "schema"}
        ),
    }  # fmt: skip


FAILING = failing_files()
PARTIAL = partial_files()


@pytest.fixture(scope="module")
def audited(make_product: MakeProduct) -> Audit:
    """All cases, each in a folder of its own, in one run, judged by the oracle."""
    product = make_product()
    samples.write_master(product.home)
    product.stream("00", "orders.json", ORDERS)
    cases: list[Failing | Partial] = [*FAILING.values(), *PARTIAL.values()]
    for number, case in enumerate(cases):
        product.stream(f"01/{number:03d}", case.name, case.content)
    product.stream("23", "orders.json", own_ids(5000, ORDERS))
    product.once(expect=1)
    return Audit(product)


def outcome(audit: Audit, case: str) -> tuple[dict[str, Any], FileBook]:
    """The case's row in the file log, and the oracle's book of it."""
    number = [*FAILING, *PARTIAL].index(case)
    for log, book in audit.books:
        if f"/01/{number:03d}/" in log["file_path"]:
            return log, book
    raise AssertionError(f"{case}: not in the file log")


def test_all_of_it_is_as_the_oracle_says(audited: Audit) -> None:
    differences = Audit(audited.product).run()
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("case", FAILING)
def test_a_file_that_can_not_be_read_is_logged_with_its_reason(audited: Audit, case: str) -> None:
    log, book = outcome(audited, case)
    assert book.error is not None, "the oracle agrees that the file is bad"
    assert log["status"] == "failed"
    assert FAILING[case].word in log["error"]
    assert (log["inserted_records"], log["already_present"], log["valid_records"]) == (0, 0, 0)


@pytest.mark.parametrize("case", PARTIAL)
def test_a_bad_row_costs_no_good_one(audited: Audit, case: str) -> None:
    log, book = outcome(audited, case)
    expected = PARTIAL[case]
    assert {row.number: row.stage for row in book.rejected} == expected.stages, "the oracle judges as meant"
    assert log["status"] == "success", log["error"]
    found = audited.product.rows("SELECT * FROM quarantine WHERE file_id = %s", log["file_id"])
    assert {row["row_number"]: row["rejection_stage"] for row in found} == expected.stages
    assert log["inserted_records"] == book.total - len(expected.stages)
    if expected.column is not None:
        assert expected.column in {reason["column"] for row in found for reason in row["reasons"]}


def test_files_without_rows_are_successes(make_product: MakeProduct) -> None:
    product = make_product()
    samples.write_master(product.home)
    product.stream("09", "tickets.csv", samples.csv_text([], header=TICKETS[0]))
    product.stream("09", "ticket_events.json", "[]")
    product.stream("09", "orders.json", "[\n]\n")
    product.once(expect=0)
    log = [row for row in product.file_log() if row["file_type"] == "stream"]
    assert [(row["status"], row["total_records"]) for row in log] == [("success", 0)] * 3


def test_other_encodings_of_the_same_rows_load_whole(make_product: MakeProduct) -> None:
    product = make_product()
    samples.write_master(product.home)
    product.stream("00", "orders.json", ORDERS)
    rows = [own_ids(case, TICKETS) for case in range(1, 6)]
    product.stream("01", "tickets.csv", "\ufeff" + samples.csv_text(rows[0]))
    product.stream("02", "tickets.csv", samples.csv_text(rows[1], end="\r\n"))
    product.stream("03", "tickets.csv", samples.csv_text(rows[2], end="\r"))
    product.stream("04", "tickets.csv.gz", gzip.compress(samples.csv_text(rows[3]).encode()))
    product.stream("05", "tickets.csv", samples.csv_text([dict(reversed(row.items())) for row in rows[4]]))
    product.stream("06", "orders.json", "\ufeff" + samples.json_text(own_ids(7, ORDERS)))
    product.stream("07", "orders.json.gz", gzip.compress(samples.json_text(own_ids(8, ORDERS)).encode()))
    product.stream("08", "orders.json", samples.ndjson_text(own_ids(9, ORDERS)))
    product.once(expect=0)
    audit = Audit(product)
    assert audit.run() == []
    assert product.value("SELECT count(*) FROM fact_ticket") == 15
    assert product.value("SELECT count(*) FROM fact_order") == 12
    assert product.value("SELECT count(*) FROM quarantine") == 0


def test_unexpected_names_are_left_alone_and_not_loaded(make_product: MakeProduct) -> None:
    product = make_product()
    samples.write_master(product.home)
    product.stream("09", "invoices.csv", "a,b\n1,2\n")
    product.stream("09", "orders.json.part", samples.json_text(ORDERS))
    product.stream("09", "orders.json", own_ids(1, ORDERS))
    product.once(expect=0)
    names = {row["file_name"] for row in product.file_log() if row["file_type"] == "stream"}
    assert names == {"orders.json"}
    assert product.value("SELECT count(*) FROM fact_order") == 3
    logged = "".join(path.read_text() for path in (product.home / "logs").glob("*.log"))
    assert "invoices.csv" in logged


def test_reasons_are_all_named(make_product: MakeProduct) -> None:
    product: Product = make_product()
    samples.write_master(product.home)
    product.stream("09", "orders.json", changed(ORDERS, payment_method="gold", order_amount=-3, delivered_at=None))
    product.once(expect=0)
    (row,) = product.rows("SELECT * FROM quarantine")
    assert row["rejection_stage"] == "schema"
    assert {(reason["stage"], reason["column"]) for reason in row["reasons"]} == {
        ("schema", "payment_method"),
        ("records", "order_amount"),
        ("records", "delivered_at"),
    }
    assert row["raw_data"]["payment_method"] == "gold"
    assert all(name in row["rejection_reason"] for name in ("payment_method", "order_amount", "delivered_at"))


def test_json_that_is_cut_off_holds_up_neither_its_neighbours_nor_a_stop(make_product: MakeProduct) -> None:
    product = make_product()
    samples.write_master(product.home)
    with product.running() as daemon:
        for name, content in NEVER_WHOLE.items():
            product.stream(f"01/{name}", "orders.json", content)
        product.stream("02", "orders.json", ORDERS)
        bad = "SELECT count(*) FROM pipeline_file_log WHERE file_path LIKE %s"
        wait_until(
            lambda: product.value("SELECT count(*) FROM fact_order") == len(ORDERS),
            "the neighbour's rows",
            seconds=90,
        )
        wait_until(lambda: product.value(bad, "%/01/%") == len(NEVER_WHOLE), "the bad ones", seconds=60)
        for name, content in NEVER_WHOLE.items():
            product.stream(f"03/{name}", "orders.json", content + b" ")
        assert daemon.stop(seconds=10) == 0
    assert (
        product.value("SELECT sum(inserted_records) FROM pipeline_file_log WHERE file_path LIKE '%%/01/%%'") == 0
    )
    errors = product.rows(
        "SELECT error FROM pipeline_file_log WHERE file_path LIKE '%%/01/%%' AND error IS NOT NULL"
    )
    assert len(errors) == len(NEVER_WHOLE) - 1  # a line that is too long is a refused record
    assert all("record" in row["error"] and "byte" in row["error"] for row in errors)
