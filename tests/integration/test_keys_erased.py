"""A person whose key has several columns, or is a time or a UUID, is forgotten wherever a row names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from tests.integration.putting_right import KEY, Site
from tests.integration.small import settings_of

pytestmark = pytest.mark.usefixtures("config")
NAME = {"dtype": "str", "personal": True}
AMOUNT = {"dtype": "int", "rules": {"at_least": 0}}
UUID = "0e37df36-f698-11e6-8dd4-cb9ced3df976"


def types(columns: dict[str, Any], **read: Any) -> dict[str, dict[str, Any]]:
    """Guests with such a key, and what they bought."""
    names = list(columns)
    extra = {"read": read} if read else {}
    return {
        "guests": {"key": names, "columns": {**columns, "name": NAME, "n": AMOUNT}, **extra},
        "sales": {
            "key": "id",
            "columns": {"id": "int", **columns, "remark": NAME, "n": AMOUNT},
            "foreign_keys": {", ".join(names): "guests"},
            **extra,
        },
    }


# The key's columns, the ways in which files write one person's key, that of another person, and as it is asked for
PERSONS: dict[str, tuple[dict[str, Any], list[str], str, str, dict[str, Any]]] = {
    "text_and_number": ({"h": "str", "no": "int"}, ["x,1", " x ,+1", '"x",01', "x,1.0"], "x,11", "x, 1", {}),
    "text_with_a_comma": ({"h": "str", "no": "int"}, ['"a, 1",2'], "a,2", '["a, 1", 2]', {}),
    "uuid": ({"g": "uuid"}, [UUID, UUID.upper(), f"{{{UUID}}}", UUID.replace("-", "")], UUID[:-1] + "7", UUID, {}),
    "uuid_and_number": ({"g": "uuid", "no": "int"}, [f"{UUID.upper()},1"], f"{UUID},2", f"{UUID},1", {}),
    "time": (
        {"at": "datetime"},
        ["2026-01-02 10:00", "2026-01-02T12:00+02:00", "20260102T100000"],
        "2026-01-02 10:01",
        "2026-01-02 10:00",
        {},
    ),
    "moment_and_text": (
        {"at": {"dtype": "datetime", "sql_type": "timestamptz"}, "h": "str"},
        ["2026-01-02 10:00,x", "2026-01-02T12:00+02:00,x"],
        "2026-01-02 10:00,y",
        "2026-01-02 10:00,x",
        {},
    ),
    "day": ({"day": "date"}, ["02.01.2026"], "03.01.2026", "02.01.2026", {"dates": "%d.%m.%Y"}),
    "number_with_thousands": ({"no": "int"}, ["1'234'567", "1234567"], "1234568", "1234567", {"thousands": "'"}),
}


@pytest.mark.parametrize("person", PERSONS)
def test_a_person_is_forgotten_however_the_key_is_written(
    warehouse: Warehouse, database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: str
) -> None:
    columns, ways, other, asked, read = PERSONS[person]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings_of(types(columns, **read))))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    monkeypatch.setenv("PII_HASH_KEY", KEY)
    site = Site(warehouse, tmp_path)
    init_schema(warehouse, site.config)
    head = ",".join(columns)

    def bring(folder: str, refused: int) -> None:
        guests = [f"{way},Person {n},{n - refused}\n" for n, way in enumerate([*ways, other])]
        sales = [f"{folder[0]}{n},{way},Person {n},{n - refused}\n" for n, way in enumerate([*ways, other])]
        site.load(f"{folder}/guests.csv", f"{head},name,n\n" + "".join(guests))
        site.load(f"{folder}/sales.csv", f"id,{head},remark,n\n" + "".join(sales))

    bring("1", 99)
    bring("2", 0)
    site.run("erase", "--table", "dim_guests", "--key", asked, "--yes")
    bring("3", 99)
    bring("4", 0)
    for statement in (
        "SELECT name FROM dim_guests WHERE name IS NOT NULL",
        "SELECT remark FROM dim_sales WHERE remark IS NOT NULL",
        "SELECT DISTINCT coalesce(raw_data ->> 'name', raw_data ->> 'remark') FROM quarantine"
        " WHERE coalesce(raw_data ->> 'name', raw_data ->> 'remark') IS NOT NULL",
    ):
        assert {name for (name,) in site.rows(statement)} == {f"Person {len(ways)}"}, statement
    site.backup.reconcile(missing_files=True)
    site.check_books()
