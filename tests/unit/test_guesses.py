"""What `infer` takes for keys, parents, personal data and types: nothing that the next file would belie."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from config.file_spec import FileSpec
from config.model import Dtype, Feed, PiiKind
from config.schema import Column, Schema
from workbench.guesses import guess
from workbench.key_guess import guess_key, parent_of, snake
from workbench.pii_guess import pii_of


def table(text: str) -> pa.Table:
    header, *rows = (line.split(",") for line in text.strip().splitlines())
    return pa.table({name: [row[n].strip() for row in rows] for n, name in enumerate(header)})


def spec(name: str, key: str) -> FileSpec:
    schema = Schema(name=name, primary_key=key, columns=(Column(name=key, dtype=Dtype.INT, nullable=False),))
    return FileSpec(name=name, feed=Feed.BATCH, pattern=f"{name}.csv", table=f"dim_{name}", schema=schema)


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("tickets", "requester_id,id,subject\n501,10,late\n502,11,cold", ("id",)),
        ("tickets", "requesterId,ticketId\n501,10\n502,11", ("ticketId",)),
        ("tickets", "requester_id,subject\n501,late\n502,cold\n503,lost", ("row",)),
        ("gdp", "Country,Country Code,Year,Value\nA,ABW,1986,4.5\nA,ABW,1987,5.5\nP,PLW,1986,6.5\nP,PLW,1987,7",
         ("Country Code", "Year")),
        ("order_items", "order_id,order_item_id,product_id,price\na1,1,p1,10.5\na1,2,p2,11.5\na2,1,p1,10.5",
         ("order_id", "order_item_id")),
        ("stop_times", "trip_id,arrival,stop_id,stop_sequence\nA,07:00,1,1\nA,07:05,2,2\nB,07:00,1,1\nB,07:09,2,2",
         ("trip_id", "stop_sequence")),
        ("trips", "pickup,passengers,fare\n2019-03-23 20:21:09,1,7.0\n2019-03-23 20:21:09,1,7.0", ("row",)),
        ("payments", "amount,paid_at\n1.50,2024-01-01\n2.50,2024-01-02\n3.75,2024-01-03", ("row",)),
        ("notes", "text\nthe first of the notes\nthe second of them\nand a third one", ("row",)),
        ("orders", "Row ID,Order ID,Amount\n1,CA-1,0.5\n2,CA-2,1.5", ("Row ID",)),
        ("countries", "code,country\nNA,Namibia\nUS,United States", ("code",)),
        ("people", "email,name\na@x.org,A\nb@x.org,B", ("row",)),
        ("versions", "id,v\n1,a\n1,b\n1,c", ("row",)),
        ("readings", "sensor_id,ts\n1,2024-01-01 00:00\n1,2024-01-01 00:01\n2,2024-01-01 00:00", ("row",)),
    ],
)  # fmt: skip
def test_a_key_is_taken_by_name_first_and_never_from_amounts_times_or_descriptions(
    name: str, text: str, key: tuple[str, ...]
) -> None:
    found = guess_key(table(text), name)
    assert found.columns == key
    if key == ("row",) or len(key) > 1:
        assert found.notes, "what is unsure is said"


def test_an_id_of_its_own_may_be_missing_in_a_bad_row() -> None:
    rows = "\n".join(f"{n if n != 7 else ''},x" for n in range(40))
    found = guess_key(table(f"ticket_id,kind\n{rows}"), "tickets")
    assert found.columns == ("ticket_id",)
    assert "1 of the rows" in found.notes[0]


@pytest.mark.parametrize(
    ("column", "types", "parent"),
    [
        ("id", [("customers", "id"), ("orders", "id")], None),
        ("code", [("countries", "code")], None),
        ("customer_id", [("customers", "customer_id")], "customers"),
        ("customer_id", [("customers", "id"), ("orders", "id")], "customers"),
        ("customerId", [("raw_customers", "id")], "raw_customers"),
        ("user_id", [("raw_customers", "id"), ("raw_orders", "id")], None),
        ("customer", [("customers", "id")], None),
        ("order_id", [("orders", "order_id"), ("order_payments", "order_id")], "orders"),
        ("batch_id", [("orders", "batch_id"), ("payments", "batch_id")], None),
    ],
)
def test_a_parent_is_one_by_its_name(column: str, types: list[tuple[str, str]], parent: str | None) -> None:
    found = parent_of(column, [spec(*one) for one in types])
    assert (found.name if found else None) == parent


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("contact", ["jane@doe.com", "x.y@uni.edu.eg", "a-b@c.org"], PiiKind.EMAIL),
        ("contact", ["+20 101 234 5678", "+49 30 901820", "+1 650-253-0000"], PiiKind.PHONE),
        ("mobile", ["01012345678", "01112345678"], PiiKind.PHONE),
        (
            "account",
            ["DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606"],
            PiiKind.TEXT,
        ),
        ("Order ID", ["CA-2021-152100", "CA-2021-152101", "CA-2021-152102"], None),
        ("reference", ["285414600000156", "285414600000157", "285414600000158"], None),
        ("created_us", ["1700000000000000", "1700000000000001"], None),
        ("ean", ["4006381333931", "4006381333948"], None),
        ("sold", ["01012345678", "01112345678"], None),
        ("email_sent", ["true", "false"], None),
        ("phone_model", ["Galaxy S9", "iPhone 12"], None),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], None),
    ],
)
def test_personal_data_is_what_checks_out_or_what_its_name_says(
    name: str, values: list[str], kind: PiiKind | None
) -> None:
    assert pii_of(name, pa.array(values)) is kind


@pytest.mark.parametrize(
    ("name", "values", "entry"),
    [
        ("zip", ["10001", "10002", "02134", "10005"] * 50, {"dtype": "str"}),
        ("month", ["Jun-21"] * 80, {"dtype": "str"}),
        ("lat", ["-30.9", "22.7"] * 40, {"dtype": "float", "sql_type": "numeric"}),
        ("name", ["Ann", "Bob"] * 40, {"dtype": "str"}),
        ("qty", ["1", "2", "", "3"], {"dtype": "int"}),
        ("price", ["1.0", "2.0"], {"dtype": "float", "sql_type": "numeric"}),
        ("region_id", ["1.0", "2.0"], {"dtype": "int", "sql_type": "bigint"}),
        ("visits", ["3000000000", "1"], {"dtype": "int", "sql_type": "bigint"}),
        ("is_open", ["True", "False"], {"dtype": "bool"}),
        ("birth_date", ["1990-01-01", "1991-02-02"], {"dtype": "date", "personal": True}),
    ],
)
def test_a_type_is_wide_enough_for_the_next_file_and_nothing_is_bound(
    name: str, values: list[str], entry: dict[str, Any]
) -> None:
    found = guess(name, pa.array(values), is_key=False, parent=None)
    assert found.entry == {"name": name, **entry}


@pytest.mark.parametrize("name", ["Order ID", "orderId", "order-id", "ORDER_ID"])
def test_a_name_is_compared_whatever_its_spelling(name: str) -> None:
    assert snake(name) == "order_id"


def test_a_key_that_was_written_as_floats_is_one_of_whole_numbers() -> None:
    found = guess("order_no", pa.array([f"{n}.0" for n in range(1, 40)]), is_key=True, parent=None)
    assert found.entry["dtype"] == "int"
