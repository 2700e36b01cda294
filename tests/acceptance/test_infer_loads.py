"""What `infer` proposes loads unedited: every value is in the table as it was written, or infer said why not."""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import sql

from config.config_loader import get_config
from config.model import Feed
from ingestion.pipeline import Pipeline
from tests.acceptance.daemon import ROOT
from tests.conftest import SETTINGS_FROM_OUTSIDE
from workbench.infer import propose_all
from workbench.infer_write import write_types
from workbench.proposal import Proposal

SITE = "watcher: {settle_seconds: 0.05}\nweb: {enabled: false}\n"


@dataclass
class Empty:
    """A site without types, at `home`, with a database of its own at `url`."""

    home: Path
    url: str

    def run(self, *arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """A command as its users run it."""
        environment = {name: value for name, value in os.environ.items() if name not in SETTINGS_FROM_OUTSIDE}
        environment |= {
            "FASTFEAST_HOME": str(self.home),
            "FASTFEAST_CONFIG": "site.yaml",
            "DATABASE_URL": self.url,
        }
        done = subprocess.run(
            [sys.executable, ROOT / "main.py", *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == expect, f"exit {done.returncode}: {done.stdout}\n{done.stderr}"
        return done

    def rows(self, statement: str | sql.Composable) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()


@pytest.fixture
def server(embedded_server: dict[str, Any]) -> Iterator[Any]:
    """Makes empty sites."""
    names: list[str] = []

    def make(text: str = SITE) -> Empty:
        names.append(f"infer_{uuid4().hex[:12]}")
        home = Path(tempfile.mkdtemp(prefix="infer-"))
        (home / ".env").touch()
        (home / "site.yaml").write_text(text, encoding="utf-8")
        p = embedded_server
        return Empty(home, f"postgresql://{p['user']}@:{p['port']}/{names[-1]}?host={p['host']}")

    yield make
    connection = psycopg2.connect(**{**embedded_server, "dbname": "postgres"})
    connection.autocommit = True
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    connection.close()


# ---------------------------------------------------------------- --write


def test_written_types_are_loaded_by_the_next_run(server: Any, tmp_path: Path) -> None:
    site = server()
    exports = tmp_path / "exports"
    exports.mkdir()
    (exports / "customers.csv").write_bytes("id;name\n1;Müller\n2;Zoë\n".encode("cp1252"))
    (exports / "orders.json").write_text(
        '{"data": [{"id": 10, "customerId": 1, "total": 12.50}, {"id": 11, "customerId": 2, "total": 3}]}'
    )
    done = site.run("infer", exports / "customers.csv", exports / "orders.json", "--write")
    assert f"wrote {site.home}/types/customers.yaml" in done.stdout.replace("\n", " ")
    assert "include: [types/*.yaml]" in (site.home / "site.yaml").read_text()
    assert (site.home / "site.yaml").read_text().startswith(SITE)
    master = site.home / "data" / "master"
    master.mkdir(parents=True)
    for file in exports.iterdir():
        (master / file.name).write_bytes(file.read_bytes())
    site.run("once")
    assert site.rows("SELECT id, name FROM dim_customer ORDER BY 1") == [(1, "Müller"), (2, "Zoë")]
    orders = site.rows("SELECT id, customer_id, total FROM dim_order ORDER BY 1")
    assert orders == [(10, 1, Decimal("12.50")), (11, 2, Decimal(3))]
    references = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'dim_order'::regclass"
    assert site.rows(references) == [(1,)]
    again = site.run("infer", exports / "orders.json", "--write", expect=2)
    assert "already" in again.stderr
    (exports / "gifts.csv").write_text("gift_id,customer_id\n1,1\n2,2\n")
    site.run("infer", exports / "gifts.csv", "--write")
    written = yaml.safe_load((site.home / "types" / "gifts.yaml").read_text())
    entry = written["watcher"]["batch"]["expected_files"]["gifts.csv"]
    assert entry["foreign_keys"] == {"customer_id": "customers"}, "the tables that are there are asked"
    assert (site.home / "site.yaml").read_text().count("include:") == 1


@pytest.mark.parametrize("text", ["", "{}\n", "# nothing yet\n", "web:\n  enabled: false"])
def test_an_empty_site_gets_its_first_type(server: Any, tmp_path: Path, text: str) -> None:
    site = server(text)
    (tmp_path / "things.csv").write_text("id,v\n1,x\n")
    site.run("infer", tmp_path / "things.csv", "--write")
    assert "dim_thing" in site.run("config", "check", "--no-database").stdout


def test_nothing_is_written_over_and_nothing_is_half_written(server: Any, tmp_path: Path) -> None:
    site = server()
    (tmp_path / "things.csv").write_text("id,v\n1,x\n")
    (site.home / "types").mkdir()
    (site.home / "types" / "things.yaml").write_text("# mine\n")
    told = site.run("infer", tmp_path / "things.csv", "--write", expect=2)
    assert "not written over" in told.stderr
    assert (site.home / "types" / "things.yaml").read_text() == "# mine\n"
    assert (site.home / "site.yaml").read_text() == SITE
    (site.home / "types" / "things.yaml").unlink()
    (site.home / "site.yaml").write_text("{web: {enabled: false}}\n")  # a line at its end would be no YAML
    told = site.run("infer", tmp_path / "things.csv", "--write", expect=2)
    assert "nothing was written" in told.stderr
    assert (site.home / "site.yaml").read_text() == "{web: {enabled: false}}\n"
    assert list((site.home / "types").iterdir()) == []
    (site.home / "site.yaml").write_text("include: [others/*.yaml]\n")
    told = site.run("infer", tmp_path / "things.csv", "--write", expect=2)
    assert "include has not types/*.yaml" in told.stderr


# ---------------------------------------------------------------- any table in any dialect

WORDS = st.text(st.sampled_from("abcdefgh éüß,;|\"'.-#"), min_size=1, max_size=12).map(lambda text: f"q{text}z")
DATES = st.dates(dt.date(2001, 1, 1), dt.date(2099, 12, 31))
TIMES = st.datetimes(dt.datetime(2001, 1, 1), dt.datetime(2099, 1, 1)).map(lambda one: one.replace(microsecond=0))
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(10**6), 10**6),
    "decimal": st.decimals(-99999, 99999, places=2),
    "word": WORDS,
    "code": st.integers(0, 9999).map(lambda number: f"{number:05d}"),
    "null word": st.sampled_from(["NA", "null", "Namibia", "None", "x y"]),
    "date": DATES,
    "time": TIMES,
    "bool": st.booleans(),
    "uuid": st.uuids(),
}
NAMES = ["Amount", "amount ", "Größe", "2024", "order no.", "Total (EUR)", "naïve", "when", "x", "Is Ok?"]


@dataclass
class Written:
    """A table, and the bytes of its file."""

    header: list[str]
    rows: list[list[Any]]
    data: bytes
    texts: list[list[str]]


@st.composite
def tables(draw: st.DrawFn) -> Written:
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    header = ["id", *draw(st.permutations(NAMES))[: len(kinds)]]
    columns = [draw(st.lists(st.none() | KINDS[kind], min_size=8, max_size=8)) for kind in kinds]
    rows = [[number, *values] for number, values in enumerate(zip(*columns, strict=True), 1)]
    comma = draw(st.booleans())
    date = draw(st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d-%b-%Y"]))

    def text_of(value: Any) -> str:
        match value:
            case None:
                return ""
            case dt.datetime():
                return value.isoformat(" ")
            case dt.date():
                return value.strftime(date)
            case Decimal() if comma:
                return f"{value:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
        return str(value)

    texts = [[text_of(value) for value in row] for row in rows]
    delimiter = draw(st.sampled_from(",;\t|"))
    title = draw(st.sampled_from(["", "Report of May\n\n"]))
    buffer = io.StringIO()
    quoted = draw(st.booleans())
    writer = csv.writer(
        buffer,
        delimiter=delimiter,
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL,
    )
    writer.writerow(header)
    for row in texts:
        writer.writerow(row)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    return Written(header, rows, (title + buffer.getvalue()).encode(encoding), texts)


@given(written=st.lists(tables(), min_size=6, max_size=6))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_in_any_dialect_is_loaded_as_it_was_written_or_said_why_not(
    written: list[Written], server: Any
) -> None:
    site = server()
    master = site.home / "data" / "master"
    master.mkdir(parents=True)
    for number, one in enumerate(written):
        (master / f"table_{'abcdef'[number]}.csv").write_bytes(one.data)
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS_FROM_OUTSIDE:
            patch.delenv(name, raising=False)
        patch.setenv("FASTFEAST_HOME", str(site.home))
        patch.setenv("FASTFEAST_CONFIG", "site.yaml")
        patch.setenv("DATABASE_URL", site.url)
        found = propose_all(get_config(), sorted(master.iterdir()), feed=Feed.BATCH)
        write_types(get_config(), found)
        with Pipeline(get_config(), threading.Event()) as pipeline:
            pipeline.run_once()
    for one, proposal in zip(written, found, strict=True):
        _compare(site, one, proposal)


def _compare(site: Empty, written: Written, proposal: Proposal) -> None:
    columns = proposal.schema["columns"]
    names = [column["name"] for column in columns]
    assert len(names) == len(written.header), proposal.notes
    query = sql.SQL("SELECT {} FROM {} ORDER BY 1")
    stored = site.rows(
        query.format(sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(proposal.file_entry["table"]))
    )
    if len(stored) < len(written.rows):
        assert any("refused" in note for note in proposal.notes), proposal.notes
        return
    encoded = any("encoding" in note for note in proposal.notes)
    for row, texts, got in zip(written.rows, written.texts, stored, strict=True):
        for column, value, text, there in zip(columns, row, texts, got, strict=True):
            if _is_same(value, text, there, column):
                continue
            told = any(note.startswith(f"{column['name']}: ") for note in proposal.notes)
            assert told or (encoded and not text.isascii()), (column, text, there, proposal.notes)


def _is_same(value: Any, text: str, there: Any, column: dict[str, Any]) -> bool:
    if there is None:
        return value is None
    if column["dtype"] == "str":
        return bool(there == text)
    if isinstance(value, UUID):
        return UUID(str(there)) == value
    return bool(there == value)
