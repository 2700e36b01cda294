"""What `from_child` says is checked at the start, and a mistake has its way out."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.file_names import meant_by, spec_for
from config.jobs import FileJob
from config.key import ForeignKey, Key
from config.model import Dtype, Feed
from config.settings import PipelineConfig
from ingestion.formats import registry
from ingestion.load_order import LoadOrder
from validation import defaults, rules

SETTINGS: dict[str, Any] = {
    "watcher": {
        "batch": {"expected_files": {"products.csv": {"table": "dim_product"}}},
        "stream": {
            "expected_files": {
                "orders.json": {"table": "fact_order"},
                "order_items": {"table": "fact_order_item", "from_child": {"of": "orders", "path": "items"}},
                "returns.csv": {"table": "fact_return", "foreign_keys": {"order_id": "orders"}},
            }
        },
    },
    "schemas": {
        "products": {"primary_key": "sku", "columns": [{"name": "sku", "dtype": "str", "nullable": False}]},
        "orders": {
            "primary_key": "order_id",
            "columns": [
                {"name": "order_id", "dtype": "int", "sql_type": "bigint", "nullable": False, "from": "id"},
                {"name": "mail", "dtype": "str", "pii": "email"},
                {"name": "note", "dtype": "str", "personal": True},
                {"name": "day", "dtype": "date", "value": {"file": "date"}},
                {"name": "updated_at", "dtype": "datetime"},
            ],
        },
        "order_items": {
            "primary_key": ["order_id", "position"],
            "columns": [{"name": "sku", "dtype": "str"}, {"name": "quantity", "dtype": "int"}],
        },
        "returns": {
            "primary_key": "return_id",
            "columns": [
                {"name": "return_id", "dtype": "int", "nullable": False},
                {"name": "order_id", "dtype": "int", "sql_type": "bigint"},
            ],
        },
    },
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "PII_HASH_KEY", "FASTFEAST_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    return tmp_path


def read(home: Path, settings: dict[str, Any]) -> PipelineConfig:
    file = home / "config.yaml"
    file.write_text(yaml.safe_dump(settings))
    return get_config(file, checks=[rules.problems, defaults.problems, registry.problems])


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """SETTINGS with other values at paths like `schemas/orders/primary_key`; None takes the key out."""
    settings = deepcopy(SETTINGS)
    for path, value in changes:
        *way, last = path.split("/")
        at: Any = settings
        for step in way:
            at = at[step]
        if value is None:
            del at[last]
        else:
            at[last] = value
    return settings


STREAM = "watcher/stream/expected_files"
CHILD = f"{STREAM}/order_items"
ITEMS = "schemas/order_items/columns"
KEY = "schemas/order_items/primary_key"
LONG = {"dtype": "int", "sql_type": "bigint", "nullable": False}
AS_CHILD = {"table": "fact_order_item", "from_child": {"of": "orders", "path": "items"}}


def items(*columns: dict[str, Any]) -> tuple[str, Any]:
    return ITEMS, [*SETTINGS["schemas"]["order_items"]["columns"], *columns]


def test_key_position_and_reference_of_a_child_need_no_word(home: Path) -> None:
    config = read(home, SETTINGS)
    child = config.by_logical_name["order_items"]
    assert [(c.name, c.dtype, str(c.sql), c.nullable) for c in child.schema.columns[:2]] == [
        ("order_id", Dtype.INT, "bigint", False),
        ("position", Dtype.INT, "integer", False),
    ]
    assert child.foreign_keys == (ForeignKey(Key(("order_id",)), "orders"),)
    assert [spec.name for spec in config.by_logical_name["orders"].children] == ["order_items"]
    assert [spec.name for spec in config.files].index("order_items") > [s.name for s in config.files].index(
        "orders"
    )


def test_key_and_position_of_a_child_may_have_names_of_their_own(home: Path) -> None:
    settings = changed(
        ("schemas/order_items/primary_key", ["of_order", "line"]),
        items(
            {**LONG, "name": "of_order", "value": {"parent": "order_id"}},
            {"name": "line", "dtype": "int", "nullable": False, "value": {"element": "position"}},
            {"name": "updated_at", "dtype": "datetime", "value": {"parent": "updated_at"}},
            {"name": "position", "dtype": "str"},
        ),
    )  # fmt: skip
    child = read(home, settings).by_logical_name["order_items"]
    assert [column.name for column in child.schema.columns][-4:] == ["of_order", "line", "updated_at", "position"]
    assert child.foreign_keys == (ForeignKey(Key(("of_order",)), "orders"),)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            [(f"{CHILD}/from_child/of", "carts")],
            "expected_files.order_items.from_child.of: 'carts' is not the type of any expected file",
        ),
        ([(f"{CHILD}/from_child/path", None)], "order_items.from_child.path: missing"),
        ([(f"{CHILD}/from_child/where", "x")], "order_items.from_child.where: unknown key"),
        ([(f"{CHILD}/from_child/of", "products")], "from_child.of: products is a batch file; put this beside it"),
        (
            [(f"{CHILD}/from_child/of", "returns"), (KEY, ["return_id", "position"])],
            "from_child.of: the files of returns are csv; arrays of records are in json and ndjson",
        ),
        ([(f"{CHILD}/from_child/of", "order_items")], "order_items has from_child itself"),
        (
            [(f"{STREAM}/orders.ndjson", {"table": "fact_order"})],
            "orders has several expected files (orders.json, orders.ndjson); from_child needs one",
        ),
        (
            [("schemas/orders/primary_key", "row"), (f"{STREAM}/returns.csv/foreign_keys", {})],
            "the rows of orders have no key (primary_key: row)",
        ),
        ([(f"{CHILD}/read", {"trim": True})], "order_items.read: it is read as the files of orders are"),
        ([(f"{CHILD}/read", {"records": "a"})], "order_items.read: it is read as the files of orders are"),
        (
            [(f"{CHILD}/contract", {"expected_every": "1h"})],
            "contract.expected_every: it comes with the files of orders; say it there",
        ),
        (
            [(f"{STREAM}/order_items", None), (f"{STREAM}/order_items.json", AS_CHILD)],
            "expected_files.order_items.json: with from_child it is no file; call it by the name of its type",
        ),
        (
            [items({"name": "position", "dtype": "int"})],
            "columns.position: the elements have a column of this name",
        ),
        ([items({"name": "order_id", "dtype": "int"})], "a column with value: {parent: order_id}"),
        (
            [items({"name": "x", "dtype": "str", "value": {"parent": "nothing"}})],
            "columns.x.value: schemas.orders has no column 'nothing' in its records",
        ),
        (
            [items({"name": "x", "dtype": "date", "value": {"parent": "day"}})],
            "columns.x.value: schemas.orders has no column 'day' in its records",
        ),
        (
            [items({"name": "x", "dtype": "str", "value": {"parent": "mail"}})],
            "columns.x.value: the parent's column has pii: email, personal: false; say the same here",
        ),
        (
            [items({"name": "x", "dtype": "str", "value": {"parent": "note"}})],
            "columns.x.value: the parent's column has pii: none, personal: true; say the same here",
        ),
        (
            [items({"name": "x", "dtype": "str", "value": {"element": "position"}})],
            "columns.x.value: element: position goes with dtype int, not with str",
        ),
        ([items({"name": "x", "dtype": "int", "value": {"element": "size"}})], "value.element"),
        (
            [("schemas/orders/columns", [{**LONG, "name": "order_id", "value": {"element": "position"}}])],
            "schemas.orders.columns.order_id.value: element: position goes with a type that has from_child",
        ),
        ([("schemas/order_items/primary_key", ["sku", "nothing"])], "'nothing' is not one of its columns"),
        (
            [(f"{STREAM}/orders.json/foreign_keys", {"note": "order_items"})],
            "note has another number of columns than order_items.order_id, position",
        ),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_place(home: Path, changes: list[tuple[str, Any]], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(home, changed(*changes))
    assert told in str(error.value)


def test_a_child_has_no_file_name_of_its_own(home: Path) -> None:
    config = read(home, SETTINGS)
    assert spec_for(config.files, Feed.STREAM, "order_items") is None
    assert meant_by(config.files, Feed.STREAM, "order_item") is None
    assert not registry.FORMATS.takes(config.by_logical_name["order_items"], "order_items.json")


def test_a_change_of_a_child_makes_a_failed_file_worth_another_try(home: Path) -> None:
    def fingerprint(*changes: tuple[str, Any]) -> str:
        return read(home, changed(*changes)).by_logical_name["orders"].fingerprint

    before = fingerprint()
    assert fingerprint() == before
    assert fingerprint((f"{CHILD}/new_columns", "ignore")) != before
    assert fingerprint((f"{CHILD}/from_child/path", "lines")) != before
    assert fingerprint(items({"name": "x", "dtype": "int"})) != before


def test_a_file_waits_for_the_parents_of_its_children(home: Path) -> None:
    config = read(home, changed((f"{CHILD}/foreign_keys", {"sku": "products"})))
    order = LoadOrder(config.files, home)
    jobs = {
        name: FileJob(home / folder / name, config.by_logical_name[name.partition(".")[0]], 1, 1)
        for folder, name in (("b", "products.csv"), ("s", "orders.json"), ("s", "returns.csv"))
    }
    for job in jobs.values():
        order.add(job)
    assert [order.must_wait(job) for job in jobs.values()] == [False, True, True]
    order.remove(jobs["products.csv"].path)
    assert [order.must_wait(jobs[name]) for name in ("orders.json", "returns.csv")] == [False, True]


def test_children_that_refer_to_what_refers_to_their_parents_hold_up_nobody(home: Path) -> None:
    settings = changed(
        items({"name": "return_id", "dtype": "int"}), (f"{CHILD}/foreign_keys", {"return_id": "returns"})
    )
    config = read(home, settings)
    order = LoadOrder(config.files, home)
    specs = config.by_logical_name
    orders, returns = (FileJob(home / n, specs[n.partition(".")[0]], 1, 1) for n in ("orders.json", "returns.csv"))
    order.add(orders)
    order.add(returns)
    assert (order.must_wait(orders), order.must_wait(returns)) == (False, True)


BUYERS = {
    "primary_key": "buyer",
    "columns": [
        {"name": "buyer", "dtype": "int", "nullable": False},
        {"name": "name", "dtype": "str", "personal": True},
    ],
}
ORDERS_OF_BUYERS = [*SETTINGS["schemas"]["orders"]["columns"], {"name": "by", "dtype": "int"}]
OF_BUYERS: tuple[tuple[str, Any], ...] = (
    ("watcher/batch/expected_files/buyers.csv", {"table": "dim_buyer"}),
    ("schemas/buyers", BUYERS),
    ("schemas/orders/columns", ORDERS_OF_BUYERS),
    ("watcher/stream/expected_files/orders.json/foreign_keys", {"by": "buyers"}),
)


def test_elements_that_tell_of_a_person_have_to_name_the_person(home: Path) -> None:
    read(home, changed(*OF_BUYERS))
    columns = [
        *SETTINGS["schemas"]["order_items"]["columns"],
        {"name": "gift_for", "dtype": "str", "pii": "email"},
    ]
    personal = (*OF_BUYERS, ("schemas/order_items/columns", columns))
    with pytest.raises(ConfigError) as problem:
        read(home, changed(*personal))
    assert (
        "schemas.order_items: gift_for tell of a person whom only the records of orders name, so that erase would "
        'not find them: add {name: by, value: {parent: by}, …} to the columns, and "by": buyers to foreign_keys'
    ) in str(problem.value)
    named = [*columns, {"name": "by", "dtype": "int", "value": {"parent": "by"}}]
    keys = ("watcher/stream/expected_files/order_items/foreign_keys", {"by": "buyers"})
    read(home, changed(*OF_BUYERS, ("schemas/order_items/columns", named), keys))
