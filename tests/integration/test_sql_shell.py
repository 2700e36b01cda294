"""`sql` shows what is stored."""

from __future__ import annotations

import csv
import io
import json

from tests.integration.putting_right import Site

STORED = '{"lat": 12.50, "n": 1e3, "b": [1.10, "x"], "a": "Köln"}'


def test_sql_shows_json_as_it_is_stored_digit_for_digit(site: Site) -> None:
    site.execute("CREATE TABLE notes (one json, many json[], two jsonb)")
    site.execute(
        f"INSERT INTO notes VALUES ('{STORED}', ARRAY['12.50'::json, '[1.0]'], '12.50'), (NULL, NULL, NULL)"
    )
    statement = "SELECT * FROM notes ORDER BY one IS NULL"
    assert STORED in site.run("sql", "SELECT one FROM notes")
    first, second = json.loads(site.run("sql", statement, "--json"))
    assert first == {"one": STORED, "many": ["12.50", "[1.0]"], "two": "12.50"}
    assert second == {"one": None, "many": None, "two": None}
    rows = list(csv.reader(io.StringIO(site.run("sql", statement, "--csv"))))
    assert rows[1][0] == STORED
