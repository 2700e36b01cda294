"""No e-mail, phone or national id of the input is found anywhere but in the input."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest
import yaml

from tests.acceptance import samples
from tests.acceptance.daemon import SHIPPED_CONFIG, Product, wait_until
from tests.acceptance.mails import PASSWORD, Mailbox, mail_server
from tests.acceptance.server import postgres_binaries

HASH_KEY = "a-key-of-more-than-16-characters"
INPUTS = ("data/input", "data/master")


class Canaries:
    """People who exist only here: each call plants one more e-mail, phone and national id."""

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.planted: list[str] = []

    def email(self) -> str:
        return self._plant(f"Canary.{self.kind}.{len(self.planted):03d}@Hidden-Nest.com")

    def phone(self) -> str:
        return "0" + self._plant(f"1069{self.kind}{len(self.planted):05d}")

    def odd_phone(self, between: str) -> str:
        """One as people write it."""
        digits = self.phone()
        return self._plant(between.join((digits[:3], digits[3:7], digits[7:])))

    def national_id(self) -> str:
        return self._plant(f"7730917{self.kind}{len(self.planted):07d}")

    def person(self) -> dict[str, str]:
        return {"email": self.email(), "phone": self.phone()}

    def rider(self) -> dict[str, str]:
        return {"driver_phone": self.phone(), "national_id": self.national_id()}

    def staff(self) -> dict[str, str]:
        return {"agent_email": self.email(), "agent_phone": self.phone()}

    def _plant(self, text: str) -> str:
        self.planted.append(text)
        return text

    def found_in(self, data: bytes) -> list[str]:
        text = data.lower()
        return [canary for canary in self.planted if canary.lower().encode() in text]


def plant(product: Product, canaries: Canaries, strays: Canaries) -> None:
    """Canaries in rows and files of every fate; strays are in columns that nobody called sensitive."""
    c, d, a = samples.customer, samples.driver, samples.agent
    good = [c(n, **canaries.person()) for n in range(100, 103)]
    bad = [
        c(110, gender="none of these", **canaries.person()),
        c(111, email=f"{canaries.email()}.org", phone=canaries.phone()),
        c(112, email=canaries.email(), phone=f"{canaries.phone()}99"),
        c(113, email=canaries.phone(), phone=canaries.email()),
        c(114, full_name="x" * 201, **canaries.person()),
        c(199, customer_id="not a number", **canaries.person()),
        c(115, region_id=4711, **canaries.person()),
        c(116, updated_at="invalid", **canaries.person()),
        c(117, email=f"  {canaries.email()}\0", phone=canaries.phone()),
        c(100, full_name="Twin", **canaries.person()),
        c(118, region_id=strays.email(), updated_at=strays.phone(), **canaries.person()),
        c(119, region_id=strays.odd_phone("\u00a0"), updated_at=strays.odd_phone("\u2011"), **canaries.person()),
        c(121, segment_id=strays.odd_phone("_"), gender=strays.odd_phone("/"), **canaries.person()),
        c(122, full_name=strays.odd_phone("\u200b"), gender="?", **canaries.person()),
        c(123, gender=strays.email().replace("@", "\uff20"), **canaries.person()),
    ]
    lines = samples.csv_text([*good, *bad]).splitlines()
    cells = samples.csv_text([c(120, **canaries.person())]).splitlines()[1]
    malformed = [f"{cells},too,many", cells.rpartition(",")[0], f"120,{canaries.email()},{canaries.phone()}"]
    product.batch("customers.csv", "\n".join([*lines, *malformed]))

    headerless = samples.csv_text([c(n, **canaries.person()) for n in (130, 131)]).partition("\n")[2]
    product.batch("customers.csv", headerless, day="2026-02-21")
    open_quote = samples.csv_text([c(140, **canaries.person())]) + f'141,"{canaries.email()},{canaries.phone()}\n'
    product.batch("customers.csv", open_quote, day="2026-02-22")
    latin = samples.csv_text([c(150, full_name="Réné", **canaries.person())]).encode("latin-1")
    product.batch("customers.csv", latin, day="2026-02-23")
    twice = f"{lines[0]},{canaries.email()}\n{lines[1]},{canaries.phone()}\n"
    product.batch("customers.csv", twice, day="2026-02-24")

    named = c(160, **canaries.person())
    people = [json.dumps(named), json.dumps({**named, "customer_id": 161, f"_{strays.email()}": 1})]
    product.batch("customers.ndjson", "\n".join(people), day="2026-02-25")

    riders = [d(n, **canaries.rider()) for n in (100, 101)]
    riders += [
        d(102, driver_phone=canaries.phone(), national_id=f"{canaries.national_id()}0"),
        d(103, rating_avg=9, **canaries.rider()),
        d(104, region_id=4711, **canaries.rider()),
        d(105, on_time_rate=strays.national_id(), **canaries.rider()),
    ]
    product.batch("drivers.csv", riders, day="2026-02-21")
    staff = [
        a(100, **canaries.staff()),
        a(101, team_id=4711, **canaries.staff()),
        a(102, skill_level="?", **canaries.staff()),
    ]
    product.batch("agents.csv", staff)
    # More refused rows than quarantine.alert_above, so that a mail goes out about them.
    product.batch(
        "agents.csv", [a(n, skill_level="?", **canaries.staff()) for n in range(200, 270)], day="2026-02-21"
    )
    product.stream("09", "orders.json", samples.json_text([samples.order(1)])[:-30] + canaries.email())


@pytest.fixture(scope="module")
def canaries() -> Canaries:
    return Canaries(1)


@pytest.fixture(scope="module")
def strays() -> Canaries:
    return Canaries(2)


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    with mail_server(tmp_path_factory.mktemp("mail")) as box:
        yield box


@pytest.fixture(scope="module")
def hunted(
    tmp_path_factory: pytest.TempPathFactory, canaries: Canaries, strays: Canaries, mailbox: Mailbox
) -> Product:
    """A product with its own server, run over all the canaries, so that its folder holds every trace there is."""
    shipped = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    customers = shipped["watcher"]["batch"]["expected_files"]["customers.csv"]
    people = {"batch": {"expected_files": {"customers.ndjson": customers}}}
    product = Product(tmp_path_factory.mktemp("hunt") / "home", alerting=mailbox.alerting, watcher=people)
    product.env["PII_HASH_KEY"] = HASH_KEY
    samples.write_master(product.home)
    plant(product, canaries, strays)
    done = product.once(expect=1)
    (product.home / "console.txt").write_text(done.stdout + done.stderr)
    return product


def traces(product: Product, canaries: Canaries) -> dict[str, list[str]]:
    """The files that the pipeline wrote and that hold a canary."""
    found = {}
    for path in product.home.rglob("*"):
        relative = path.relative_to(product.home).as_posix()
        if path.is_file() and not relative.startswith(INPUTS) and (here := canaries.found_in(path.read_bytes())):
            found[relative] = here[:3]
    return found


def test_no_canary_in_any_file_that_the_pipeline_wrote(hunted: Product, canaries: Canaries) -> None:
    """Tables, write-ahead log, server log, SQLite, CSV backup, logs, console."""
    assert (hunted.home / "data/postgres").is_dir()
    assert traces(hunted, canaries) == {}


def test_nor_one_that_had_strayed_into_another_column(hunted: Product, strays: Canaries) -> None:
    assert traces(hunted, strays) == {}


def test_no_canary_in_a_dump_of_the_database(hunted: Product, canaries: Canaries) -> None:
    """Also for what the files hold compressed."""
    with hunted.running():
        host, port = socket_of(hunted)
        names = databases(host, port)
        assert "fastfeastapp" in names
        for name in names:
            dump = subprocess.run(
                [postgres_binaries() / "pg_dump", "-h", host, "-p", port, "-U", "postgres", "-d", name],
                capture_output=True,
                check=True,
                timeout=60,
            ).stdout
            assert canaries.found_in(dump) == [], name
            if name == "fastfeastapp":
                assert b"Twin" in dump, "the dump holds the refused rows"


def test_no_canary_and_no_secret_on_a_command_line_while_it_works(hunted: Product, canaries: Canaries) -> None:
    """Command lines are for everybody to read: of the daemon, of all processes of its server."""
    people = [samples.customer(10_000 + n, **canaries.person()) for n in range(2000)]
    seen: dict[bytes, None] = {}
    daemon = hunted.start("env", *hunted.command())  # as users start it, with its own command line
    try:
        daemon.wait_for_banner()
        host, port = socket_of(hunted)
        hunted.watch_url = f"postgresql://postgres@:{port}/fastfeastapp?host={host}"
        yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(1)
        hunted.batch("customers.csv", people, day=yesterday.isoformat())

        def loaded() -> bool:
            seen.update(dict.fromkeys(command_lines()))
            return bool(hunted.value("SELECT 1 FROM dim_customer WHERE customer_id = 11999"))

        wait_until(loaded, "the file loads", every=0.001)
        assert daemon.stop() == 0
    finally:
        daemon.kill()
    text = b"\n".join(seen)
    assert b"main.py" in text
    assert b"fastfeastapp" in text, "the server's processes say what they are doing"
    assert canaries.found_in(text) == []
    for secret in (HASH_KEY, PASSWORD):
        assert secret.encode() not in text


def command_lines() -> Iterator[bytes]:
    """Those of all processes of this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()


def socket_of(product: Product) -> tuple[str, str]:
    """Folder and port of the embedded server's socket."""
    (socket,) = (path for path in (product.home / "data/postgres").rglob(".s.PGSQL.*") if path.suffix != ".lock")
    return str(socket.parent), socket.name.rpartition(".")[2]


def test_what_the_pipeline_wrote_is_closed_to_other_accounts(hunted: Product) -> None:
    """Logs, tracker, CSV backup and the embedded server's data: each behind a folder that others can't enter."""
    for name in ("logs", "data/tracker", "data/quarantine/batch", "data/postgres"):
        folder = hunted.home / name
        assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0, name
        if name != "data/postgres":  # PostgreSQL's own, within a closed folder
            open_ones = [path.name for path in folder.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077]
            assert open_ones == [], name


def databases(host: str, port: str) -> list[str]:
    connection = psycopg2.connect(host=host, port=port, user="postgres", dbname="postgres")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate")
            return [name for (name,) in cursor.fetchall()]
    finally:
        connection.close()


def test_no_canary_in_the_mails(hunted: Product, canaries: Canaries, mailbox: Mailbox) -> None:
    wait_until(lambda: len(mailbox.messages) >= 2, "alerts for the refused files and the many refused rows")
    assert canaries.found_in(mailbox.text().encode()) == []
    assert {str(message["To"]) for message in mailbox.messages} == {"oncall@fastfeast.example"}
    assert "customers.csv" in mailbox.text()


def test_no_canary_in_the_tracker(hunted: Product, canaries: Canaries) -> None:
    """Nor in a value that SQLite keeps in pieces over its pages."""
    with closing(sqlite3.connect(hunted.home / "data/tracker/pipeline_tracker.db")) as tracker:
        tracker.text_factory = bytes
        tables = [
            name.decode() for (name,) in tracker.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        rows = [row for table in tables for row in tracker.execute(f"SELECT * FROM {table}")]
    dump = b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)
    assert b"customers.csv" in dump
    assert canaries.found_in(dump) == []


def test_the_hunt_finds_what_is_there(hunted: Product, canaries: Canaries) -> None:
    found: set[str] = set()
    for folder in INPUTS:
        for path in (hunted.home / folder).rglob("*.*"):
            found.update(canaries.found_in(path.read_bytes()))
    assert found == set(canaries.planted)


def test_backup_and_logs_were_written(hunted: Product) -> None:
    written = [
        path.name for folder in ("logs", "data/quarantine") for path in Path(hunted.home / folder).rglob("*")
    ]
    assert any(name.startswith("pipeline_") for name in written)
    assert any(name.startswith("quarantined_") for name in written)
