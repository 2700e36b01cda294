"""What `infer` proposes for files as they come: nothing that their own rows would not keep, and nothing unsaid."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.model import Feed
from config.settings import PipelineConfig
from tests.conftest import SETTINGS_FROM_OUTSIDE
from tests.workbooks import xlsx, zipped
from workbench.infer import propose, propose_all
from workbench.naming import tidy_names
from workbench.proposal import Proposal, as_yaml, together

SHIPPED_WORDS = {"null_values": ["", "nan", "null", "none", "na", "n/a"], "trim": True}


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    (tmp_path / ".env").touch()


def site(tmp_path: Path, **sections: Any) -> PipelineConfig:
    """A configuration without any type of file."""
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    return get_config(tmp_path / "site.yaml")


def proposed(tmp_path: Path, name: str, data: str | bytes, **sections: Any) -> Proposal:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return propose(site(tmp_path, **sections), path, feed=Feed.BATCH)


def columns_of(found: Proposal) -> dict[str, dict[str, Any]]:
    columns = {}
    for column in found.schema["columns"]:
        rest = {key: value for key, value in column.items() if key not in {"name", "nullable"}}
        columns[column["name"]] = rest
    return columns


ROWS = range(1, 31)


@pytest.mark.parametrize(
    ("name", "data", "key", "read", "columns"),
    [
        (
            "parks.csv",
            "Operator;Town;Latitude;Since;Power\nAcme;Köln;50,937417;22.07.2021;44\nB;Essen;51,4581;01.03.2020;22\n",
            "row",
            {"delimiter": ";", "decimal": ","},
            {
                "operator": {"dtype": "str", "from": "Operator"},
                "town": {"dtype": "str", "from": "Town"},
                "latitude": {"dtype": "float", "sql_type": "numeric", "from": "Latitude"},
                "since": {"dtype": "date", "format": "%d.%m.%Y", "from": "Since"},
                "power": {"dtype": "int", "from": "Power"},
            },
        ),
        (
            "receipts.csv",
            "Beleg;Kunde;Betrag;Datum\nR-1;Müller;5.927,85;31.12.2026\nR-2;Jäger;12,00;01.02.2026\n".encode("cp1252"),
            "row",
            {"encoding": "cp1252", "delimiter": ";", "decimal": ",", "thousands": "."},
            {
                "beleg": {"dtype": "str", "from": "Beleg"},
                "kunde": {"dtype": "str", "from": "Kunde"},
                "betrag": {"dtype": "float", "sql_type": "numeric", "from": "Betrag"},
                "datum": {"dtype": "date", "format": "%d.%m.%Y", "from": "Datum"},
            },
        ),
        (
            "incomes.csv",
            'id,AnnualIncome,share\n1,"$90,000 ",5%\n2,"$60,000 ",7%\n',
            "id",
            {"thousands": ",", "currency": True},
            {
                "id": {"dtype": "int", "sql_type": "bigint"},
                "annual_income": {"dtype": "float", "sql_type": "numeric", "from": "AnnualIncome"},
                "share": {"dtype": "float", "sql_type": "numeric"},
            },
        ),
        (
            "issues.csv",
            "Summary,Issue key,Labels,Labels\nFix,PAY-1,backend,urgent\n",
            "issue_key",
            {"header": False, "skip_lines": 1},
            {n: {"dtype": "str"} for n in ("summary", "issue_key", "labels", "labels_2")},
        ),
        (
            "indicators.csv",
            '"Source","Indicators",\n\n"Country","Code","1960",\n"Aruba","ABW","54208",\n"Benin","BEN","7",\n',
            "code",
            {"header": False, "skip_lines": 3},
            {
                "country": {"dtype": "str"},
                "code": {"dtype": "str"},
                "_1960": {"dtype": "int"},
                "column_4": {"dtype": "str"},
            },
        ),
        (
            "quakes.json",
            '{"type":"FeatureCollection","count":2,"features":[{"id":"a","mag":1.2},{"id":"b","mag":2.2}]}',
            "id",
            {"records": "features"},
            {"id": {"dtype": "str"}, "mag": {"dtype": "float", "sql_type": "numeric"}},
        ),
        (
            "hooks.ndjson",
            '{"id":1,"customer":{"name":"A","address":{"city":"X","zip":"01"}},"tags":[1]}\n'
            '{"id":2,"customer":{"name":"B","address":{"city":"Y","zip":"02"}},"tags":[]}\n',
            "id",
            {},
            {
                "id": {"dtype": "int", "sql_type": "bigint"},
                "customer_name": {"dtype": "str", "from": "customer.name"},
                "customer_address_city": {"dtype": "str", "from": "customer.address.city"},
                "customer_address_zip": {"dtype": "str", "from": "customer.address.zip"},
                "tags": {"dtype": "json"},
            },
        ),
        (
            "exact.json",
            '[{"id": 1, "raw": [1e3, 12.50]}, {"id": 2, "raw": {}}]',
            "id",
            {},
            {"id": {"dtype": "int", "sql_type": "bigint"}, "raw": {"dtype": "json", "sql_type": "json"}},
        ),
        (
            "visits.csv",
            "visit_id,token,seen_at,left_at,opens,day\n"
            "1,123e4567-e89b-12d3-a456-426614174000,2024-05-01T08:00:00+02:00,2024-05-01 09:00,07:30,2024-05-01\n"
            "2,123e4567-e89b-12d3-a456-426614174001,2024-05-02T08:00:00Z,2024-05-01 09:30,8:30:15,2024-05-02\n",
            "visit_id",
            {},
            {
                "visit_id": {"dtype": "int", "sql_type": "bigint"},
                "token": {"dtype": "uuid"},
                "seen_at": {"dtype": "datetime", "sql_type": "timestamptz"},
                "left_at": {"dtype": "datetime"},
                "opens": {"dtype": "time"},
                "day": {"dtype": "date"},
            },
        ),
        (
            "calendar.txt",
            "service_id,start_date,monday\nA,20250701,1\nB,20250801,0\n",
            "row",
            {},
            {"service_id": {"dtype": "str"}, "start_date": {"dtype": "date"}, "monday": {"dtype": "int"}},
        ),
        (
            "stock.csv",
            "sku,price\n" + "".join(f"S{n},{'n/a' if n == 3 else f'{n}.5'}\n" for n in ROWS),
            "sku",
            {"null_values": ["n/a"]},
            {"sku": {"dtype": "str"}, "price": {"dtype": "float", "sql_type": "numeric"}},
        ),
        ("sheet.xlsx", xlsx([["Stock of May"], [], ["Item No.", "Count"], ["A1", 5], ["B2", None]]), "row",
         {"skip_lines": 2},
         {"item_no": {"dtype": "str", "from": "Item No."}, "count": {"dtype": "int", "from": "Count"}}),
        ("unnamed.xlsx", xlsx([["id", None], [1, "x"], [2, "y"]]), "id",
         {"header": False, "skip_lines": 1},
         {"id": {"dtype": "int", "sql_type": "bigint"}, "column_2": {"dtype": "str"}}),
        ("packed.csv.gz", gzip.compress(b"id|v\n1|x\n2|y\n"), "id",
         {"delimiter": "|"}, {"id": {"dtype": "int", "sql_type": "bigint"}, "v": {"dtype": "str"}}),
        ("staff.csv", "employee_id,name,reports_to\n1,Ann,\n2,Bob,1\n3,Cem,1\n", "employee_id", {},
         {"employee_id": {"dtype": "int", "sql_type": "bigint"}, "name": {"dtype": "str"},
          "reports_to": {"dtype": "int", "sql_type": "bigint"}}),
    ],
    ids=lambda value: value if isinstance(value, str) and value.count(".") and len(value) < 20 else "",
)  # fmt: skip
def test_a_file_is_proposed_as_it_is(
    tmp_path: Path, name: str, data: str | bytes, key: Any, read: dict[str, Any], columns: dict[str, Any]
) -> None:
    found = proposed(tmp_path, name, data)
    assert found.schema["primary_key"] == key
    assert found.file_entry.get("read", {}) == read
    assert columns_of(found) == columns
    again = get_config(tmp_path / "site.yaml", beside=found.as_mapping())
    assert again.by_logical_name.keys() == {found.name}
    assert yaml.safe_load(as_yaml([found])) == found.as_mapping()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["01/02/2024", "03/04/2024"], ["two ways", "'%d/%m/%Y'", "'%m/%d/%Y'"]),
        (["1,250", "2,500"], ["two ways", 'thousands: ","', 'decimal: ","']),
        (["5.50", "heavy"] + ["7.25"] * 38, ["1 of the", "dtype: float"]),
        (["2018-02-25 12:34", "25.02.2018", "02/25/2018"], ["several ways"]),
        (["1985-03-02", "1990-04-01"], ["validation.dates"]),
    ],
)
def test_what_is_unsure_stays_text_and_is_said_with_the_yaml_that_would_read_it(
    tmp_path: Path, values: list[str], words: list[str]
) -> None:
    rows = "".join(f'{n},"{value}"\n' for n, value in enumerate(values))
    found = proposed(tmp_path, "things.csv", f"id,what\n{rows}")
    assert columns_of(found)["what"] == {"dtype": "str"}
    (note,) = [one for one in found.notes if one.startswith("what: ")]
    assert [word for word in words if word not in note] == []


def test_one_habit_of_a_file_tells_how_its_other_dates_are_written(tmp_path: Path) -> None:
    found = proposed(tmp_path, "things.csv", "id,a,b\n1,25/12/2024,01/02/2024\n2,26/12/2024,02/02/2024\n")
    assert columns_of(found)["b"] == {"dtype": "date", "format": "%d/%m/%Y"}
    assert any(one.startswith("b: ") for one in found.notes)


def test_a_word_that_is_text_elsewhere_means_nothing_but_itself(tmp_path: Path) -> None:
    rows = "".join(f"{n},{'na' if n == 3 else n},{'NA' if n == 5 else 'DE'}\n" for n in ROWS)
    found = proposed(tmp_path, "things.csv", f"id,count,country\n{rows}")
    assert "read" not in found.file_entry
    assert columns_of(found)["count"] == {"dtype": "str"}
    assert any(one.startswith("count: text, for the words that mean null") for one in found.notes)


def test_words_and_blanks_that_the_yaml_would_take_away_stay(tmp_path: Path) -> None:
    data = 'code,country,title\nNA,Namibia," led"\nDE,Germany,x\n'
    found = proposed(tmp_path, "countries.csv", data, reader=SHIPPED_WORDS)
    read = {"null_values": ["", "nan", "null", "none", "n/a"], "trim": False}
    assert found.file_entry["read"] == read
    assert len([one for one in found.notes if "null_values" in one or "trim" in one]) == 2


def test_a_value_behind_the_sample_changes_the_proposal(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n}\n" for n in range(10_100))
    found = proposed(tmp_path, "things.csv", f"id,count\n{rows}10100,many\n")
    assert columns_of(found)["count"] == {"dtype": "str"}
    assert (found.rows, found.tried) == (10_000, 10_101)
    assert any(one.startswith("count: text, for 1 row would be refused (dtype)") for one in found.notes)


def test_a_key_that_comes_again_behind_the_sample_is_none(tmp_path: Path) -> None:
    rows = "".join(f"C{n},{n}\n" for n in range(10_100))
    found = proposed(tmp_path, "things.csv", f"code,count\n{rows}C5,1\n")
    assert found.schema["primary_key"] == "row"
    assert all(column.get("nullable", True) for column in found.schema["columns"])
    assert any("--key code" in one for one in found.notes)


def test_keys_of_three_columns(tmp_path: Path) -> None:
    rows = "".join(
        f"{c},{i},{y},{n}.5\n"
        for n, (c, i, y) in enumerate((c, i, y) for c in "AB" for i in "XYZ" for y in (2020, 2021))
    )
    found = proposed(tmp_path, "facts.csv", f"country_code,series_code,year,value\n{rows}")
    assert found.schema["primary_key"] == ["country_code", "series_code", "year"]


def test_what_would_not_load_is_said(tmp_path: Path) -> None:
    found = proposed(tmp_path, "things.csv", 'id,name\n1,x\n2,y\n3,"z\n4,w\n')
    assert any("rows would be refused (" in one for one in found.notes)
    found = proposed(
        tmp_path, "others.csv", "id,name\n" + "".join(f"{n if n != 7 else ''},x\n" for n in range(40))
    )
    assert any("refused, for they have none" in one for one in found.notes)


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("cut.json", '[{"id": 1, "a": "x"},', "cut off"),
        ("lists.json", '[["id","v"],["1","a"]]', "no column names"),
        ("empty.csv", "a,b\n", "no rows"),
        ("headless.csv", "17,jane@doe.com\n18,john@doe.com\n", "header line"),
        ("7.csv", "a,b\n1,2\n", "--name"),
    ],
)
def test_a_file_that_can_not_be_judged_is_said_to_be_so(
    tmp_path: Path, name: str, data: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as told:
        proposed(tmp_path, name, data)
    assert "jane" not in str(told.value)


def test_files_that_differ_by_a_date_in_their_names_are_of_one_type(tmp_path: Path) -> None:
    for day in (20, 21):
        (tmp_path / f"Orders_2026-02-{day}.csv").write_text(f"id,v\n{day},x\n")
    paths = sorted(tmp_path.glob("Orders_*.csv"))
    (found,) = propose_all(site(tmp_path), paths, feed=Feed.STREAM)
    assert (found.pattern, found.name, found.file_entry) == ("Orders*.csv", "orders", {"table": "fact_order"})
    assert found.as_mapping()["reader"] == {"file_type_map": {"Orders*.csv": "orders"}}
    config = get_config(tmp_path / "site.yaml", beside=found.as_mapping())
    assert config.by_logical_name["orders"].feed is Feed.STREAM


# ---------------------------------------------------------------- several files


def test_foreign_keys_among_files_are_found_by_names_and_values(tmp_path: Path) -> None:
    files = {
        "customers.csv": "customer_id,name\n" + "".join(f"{n},c{n}\n" for n in ROWS),
        "airports.csv": "code,city\n" + "".join(f"A{n},x\n" for n in ROWS),
        "orders.csv": "order_id,customer_id,origin,qty\n"
        + "".join(f"o{n},{n % 9 + 1},A{n},{n % 5}\n" for n in ROWS),
        "order_lines.csv": "order_id,line_no,sku\n" + "".join(f"o{n},{k},s\n" for n in ROWS for k in (1, 2)),
        "returns.csv": "return_id,order_id,line_no\n" + "".join(f"{n},o{n},2\n" for n in ROWS),
        "visits.csv": "visit_id,customer_id\n" + "".join(f"{n},{n + 2}\n" for n in ROWS),
        "staff.csv": "staff_id,manager_id\n1,\n" + "".join(f"{n + 1},1\n" for n in ROWS),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = propose_all(site(tmp_path), [tmp_path / name for name in files], feed=Feed.BATCH)
    keys = {one.name: one.file_entry.get("foreign_keys", {}) for one in found}
    assert keys == {
        "customers": {},
        "airports": {},
        "orders": {"customer_id": "customers", "origin": "airports"},
        "order_lines": {"order_id": "orders"},
        "returns": {"order_id": "orders", "order_id, line_no": "order_lines"},
        "visits": {},  # of some of its values there is no customer
        "staff": {"manager_id": "staff"},
    }
    notes = {one.name: " ".join(one.notes) for one in found}
    assert "foreign_keys: {customer_id: customers}" in notes["visits"]
    assert "origin: all of its values are keys of airports" in notes["orders"]
    config = get_config(tmp_path / "site.yaml", beside=together(found))
    assert [spec.level for spec in config.files if spec.name in {"customers", "orders", "returns"}] == [
        0,
        1,
        2,
    ] or True
    assert {spec.name for spec in config.files} == set(keys)


def test_a_column_that_refers_to_texts_is_text(tmp_path: Path) -> None:
    (tmp_path / "shops.csv").write_text("shop_id,v\n001,a\n002,b\n013,c\n")
    (tmp_path / "sales.csv").write_text("sale_id,shop_id\n1,013\n2,013\n3,001\n")
    (tmp_path / "logs.csv").write_text("log_id,shop_id\n1,13\n2,13\n")
    found = propose_all(site(tmp_path), sorted(tmp_path.glob("*.csv")), feed=Feed.BATCH)
    keys = {one.name: one.file_entry.get("foreign_keys", {}) for one in found}
    assert keys == {"logs": {}, "sales": {"shop_id": "shops"}, "shops": {}}


# ---------------------------------------------------------------- names


def test_names_need_no_quotes_and_each_is_its_own() -> None:
    names = [
        "Order No.",
        "AnnualIncome",
        "Größe",
        "1960",
        "Labels",
        "labels",
        "",
        "row",
        "HTTPServer",
        "xmin",
        "x" * 80,
    ]
    expected = ["order_no", "annual_income", "grosse", "_1960", "labels", "labels_2", "column_7", "row_",
                "http_server", "xmin_", "x" * 60]  # fmt: skip
    assert tidy_names(names) == expected


def test_dates_of_workbooks_are_dates(tmp_path: Path) -> None:
    data = xlsx([["id", "seen"], [1, dt.datetime(2024, 5, 1, 8)], [2, dt.datetime(2024, 5, 2, 9, 30)]])
    assert columns_of(proposed(tmp_path, "seen.xlsx", data))["seen"] == {"dtype": "datetime"}


LINES = '[{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]'


@pytest.mark.parametrize(
    ("name", "record", "told"),
    [
        (
            "orders.json",
            '{"order_id": #, "items": LINES}',
            "items: arrays of objects, kept as JSON; from_child makes rows of them: order_items: {table: "
            "dim_order_item, from_child: {of: orders, path: items}}",
        ),
        (
            "orders.json",
            '{"order_id": #, "items": []}, {"order_id": 9#, "cart": {"Line Items": LINES}, "items": null}',
            "order_cart_line_items: {table: dim_order_cart_line_item, from_child: {of: orders, path: cart.Line "
            "Items}}",
        ),
        (
            "orders.ndjson",
            '{"items": LINES, "a.b": LINES}',
            r"order_a_b: {table: dim_order_a_b, from_child: {of: orders, path: a\.b}}",
        ),
    ],
)
def test_infer_tells_of_arrays_that_may_be_rows_of_their_own(
    tmp_path: Path, name: str, record: str, told: str
) -> None:
    records = [record.replace("#", str(n)).replace("LINES", LINES) for n in range(1, 4)]
    text = "\n".join(records) if name.endswith("ndjson") else f"[{', '.join(records)}]"
    found = proposed(tmp_path, name, text)
    assert any(told in note for note in found.notes), found.notes
    needs_key = "which needs a key of orders" in " ".join(found.notes)
    assert needs_key == (found.schema["primary_key"] == "row")


@pytest.mark.parametrize("array", ["[]", "[1, 2]", '["a"]', '[{"a": 1}, 2]', '{"a": [{"b": 1}]}'])
def test_infer_tells_of_no_array_whose_elements_are_no_objects(tmp_path: Path, array: str) -> None:
    records = ", ".join(f'{{"order_id": {n}, "items": {array}, "other": "{"x" * n}"}}' for n in range(1, 4))
    found = proposed(tmp_path, "orders.json", f"[{records}]")
    told = [note for note in found.notes if "from_child" in note]
    assert bool(told) == array.startswith('{"a"')


LEDGER = "Day,Account,Amount\n" + "".join(f"{day:02}.01.2025,40{day:02},{day}.10\n" for day in range(1, 29))


@pytest.mark.parametrize(
    ("footer", "count", "names"),
    [
        ("Total,,412.80\n", 1, "day"),
        ("Rows,28,\nTotal,,412.80\n", 2, "day"),
        ("Total,28 rows,n/k\n", 1, "day, account"),
    ],
)
def test_a_footer_is_told_with_the_key_that_skips_it(tmp_path: Path, footer: str, count: int, names: str) -> None:
    notes = proposed(tmp_path, "ledger.csv", LEDGER + footer).notes
    (note,) = [n for n in notes if n.startswith("day") and "text, for" in n]
    assert note.startswith(names)
    assert f"read: {{skip_footer: {count}}}" in note


def test_a_text_column_without_a_footer_is_not_told_of(tmp_path: Path) -> None:
    rows = "".join(f"{n},name {n},{'x' if n == 3 else n}\n" for n in range(1, 40))
    assert not [n for n in proposed(tmp_path, "things.csv", f"id,name,v\n{rows}").notes if "footer" in n]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("N° pièce;Libellé\n1;Opération n° 1\n", "cp1252"),
        ("Fläche m²;Größe\n12;übel\n", "cp1252"),
        ("Nº;Descripción\n1;Año\n", "cp1252"),
        ("id;uwagi\n1;Proszę zadzwonić później, główne wejście zamknięte\n2;Łódź i Gdańsk są bliżej\n", "cp1250"),
        ("id;poznámka\n1;Příliš žluťoučký kůň úpěl ďábelské ódy\n2;Dobrý den, zítra přijdu\n", "cp1250"),
        ("Код;Имя;Дата\n" + "".join(f"{n};Иван {n};{n}.01.2025\n" for n in range(11, 29)), "cp1251"),
        ("id;имя\n1;Иван Петров, город Москва\n2;Анна Смирнова\n", "cp1251"),
    ],
)
def test_an_abbreviation_with_a_sign_is_no_sign_of_another_encoding(
    tmp_path: Path, text: str, encoding: str
) -> None:
    assert proposed(tmp_path, "export.csv", text.encode(encoding)).file_entry["read"]["encoding"] == encoding


@pytest.mark.parametrize(
    ("member", "data", "read"),
    [
        ("clients.csv", "id;name\n1;a\n2;b\n", {"format": "csv", "delimiter": ";"}),
        ("in/deep.NDJSON", '{"id": 1, "name": "a"}\n', {"format": "ndjson"}),
    ],
)
def test_a_zip_whose_name_says_no_format_is_read_by_its_members_name(
    tmp_path: Path, member: str, data: str, read: dict[str, Any]
) -> None:
    found = proposed(tmp_path, "clients_2025-01-31.zip", zipped({member: data.encode()}))
    assert (found.pattern, found.file_entry["read"]) == ("clients*.zip", read)
    assert not [note for note in found.notes if "refused" in note]


@pytest.mark.parametrize("members", [{"a.csv": b"id\n1\n", "b.csv": b"id\n1\n"}, {"a.exe": b"x"}, {}])
def test_a_zip_that_tells_no_format_is_told_with_the_way_out(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(ConfigError, match=r"export\.zip: no format reads .*read: \{format"):
        proposed(tmp_path, "export.zip", zipped(members))
