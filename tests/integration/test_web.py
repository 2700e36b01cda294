"""The web server: who is let in, what comes out, and that hostile names, outages and taken ports harm nobody."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest

from config.errors import PipelineError
from config.settings import DatabaseConfig, Panel, PipelineConfig, WebConfig
from datawarehouse.db_connection import Warehouse
from ingestion.pipeline import Pipeline
from tests.acceptance import samples
from tests.acceptance.daemon import wait_until
from web.reading import Reader
from web.server import serving

TOKEN = "a-token-of-some-length"
EVIL = "<script>alert(1)</script>"


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    text: str


class Site:
    """A client that shows requests as they go over the wire."""

    def __init__(self, address: str | None) -> None:
        assert address
        self.port = urlsplit(address).port

    def get(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port or 0, timeout=20)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read().decode())
        connection.close()
        return answer


def with_web(config: PipelineConfig, database: DatabaseConfig | None = None, **web: Any) -> PipelineConfig:
    update: dict[str, Any] = {"web": WebConfig(port=0, **web)}
    if database is not None:
        update["database"] = database
    return config.model_copy(update=update)


@contextmanager
def running(config: PipelineConfig) -> Iterator[tuple[Site, Pipeline]]:
    """The service in this process: web server, pipeline, main loop."""
    stop = threading.Event()
    pipeline = Pipeline(config, stop)
    with serving(config, pipeline) as address, pipeline:
        loop = threading.Thread(target=pipeline.run_forever, name="loop")
        loop.start()
        try:
            site = Site(address)
            wait_until(lambda: site.get("/readyz").status == 200, "it is ready")
            yield site, pipeline
        finally:
            stop.set()
            loop.join()


@contextmanager
def closed(config: PipelineConfig) -> Iterator[Site]:
    """The web server beside a pipeline that has not opened its database."""
    with serving(config, Pipeline(config)) as address:
        yield Site(address)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.probes.LOOK_SECONDS", 0.2)


@pytest.fixture
def config(config: PipelineConfig) -> PipelineConfig:
    watcher = config.watcher.model_copy(update={"settle_seconds": 0.2, "rescan_seconds": 0.3})
    return config.model_copy(update={"watcher": watcher})


# ---------------------------------------------------------------- what is shown


@pytest.fixture
def loaded(config: PipelineConfig, database: DatabaseConfig) -> Iterator[tuple[Site, Pipeline]]:
    """A service that has loaded a good and a bad file of orders, both with hostile names or values."""
    samples.write_master(config.home)
    pattern = "orders*.json"
    orders = next(spec for spec in config.files if spec.pattern == "orders.json")
    files = tuple(spec if spec is not orders else replace(orders, pattern=pattern) for spec in config.files)
    changed = with_web(config.model_copy(update={"files": files}), database)
    changed.__dict__.pop("by_logical_name", None)
    with running(changed) as (site, pipeline):
        folder = config.path(config.watcher.stream.dir)
        rows = [samples.order(1), samples.order(2, payment_method=EVIL), samples.order(3, customer_id=999_999)]
        samples.write(folder / "09" / "orders<img src=x onerror=alert(1)>.json", rows)
        samples.write(folder / "09" / "orders-broken.json", '[{"no": "such columns"}]')
        wait_until(lambda: site.get("/files").text.count("<bdi>09/orders") == 2, "both files are in the table")
        yield site, pipeline


def test_hostile_names_and_values_are_shown_and_do_nothing(loaded: tuple[Site, Pipeline]) -> None:
    site, _ = loaded
    (file_id,) = re.findall(r'href="/files/(\d+)"><bdi>09/orders&lt;img', site.get("/files").text)
    for path in ("/", "/files", "/quarantine", f"/files/{file_id}", f"/files?{urlencode({'text': EVIL})}"):
        page = site.get(path)
        assert page.status == 200
        assert EVIL not in page.text
        assert "<img src=x" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in site.get("/quarantine").text
    page = site.get(f"/files/{file_id}")
    assert "orders&lt;img src=x onerror=alert(1)&gt;.json" in page.text
    assert '<th scope="row"><bdi>order_amount</bdi></th>' in page.text  # of the columns' figures


def test_tables_are_searched_and_filtered(loaded: tuple[Site, Pipeline]) -> None:
    site, _ = loaded

    def rows(path: str, **query: str) -> int:
        text = site.get(f"{path}?{urlencode(query)}").text
        return text.count("<tr>") - text.count("<thead><tr>")

    assert rows("/files", text="BROKEN") == 1
    assert rows("/files", status="failed") == 1
    assert rows("/files", logical_name="orders") == 2
    assert rows("/files", file_type="stream", status="success") == 1
    assert rows("/files", text="no such file") == 0
    assert rows("/files", status="undone") == 0
    assert "<option>undone</option>" in site.get("/files").text
    assert rows("/quarantine", stage="orphan") == 1
    assert rows("/quarantine", rule="allowed_values") == 1
    assert rows("/quarantine", rule="parent_missing", table="fact_order", open="1") == 1
    assert rows("/quarantine", table="dim_driver") == 0


def test_a_discarded_orphan_is_not_a_healed_one(loaded: tuple[Site, Pipeline]) -> None:
    site, pipeline = loaded
    statement = (
        "UPDATE quarantine SET resolution = 'discarded', resolved_at = now() WHERE rejection_stage = 'orphan'"
    )
    with pipeline.warehouse.transaction() as tx:
        tx.execute(statement)
    page = site.get("/").text
    assert re.search(r"given up\s*<b>1</b>", page)
    assert re.search(r"healed\s*<b>0</b>", page)


def test_no_query_breaks_a_page(loaded: tuple[Site, Pipeline]) -> None:
    site, _ = loaded
    odd = "period=%00 before_id=99999999999999999999 before_id=-1 text=%00%ff%27%22 status=%27 rule=%5C"
    for query in (*odd.split(), "file_id=9223372036854775807", "stage=" + "x" * 5000):
        for path in ("/", "/files", "/quarantine"):
            assert (query, site.get(f"{path}?{query}").status) == (query, 200)


def test_the_pages_need_only_reading(loaded: tuple[Site, Pipeline]) -> None:
    site, _ = loaded
    for path in ("/", "/files", "/files/1", "/quarantine", "/metrics"):
        assert {site.get(path, method).status for method in ("POST", "PUT", "DELETE", "PATCH")} == {405}
    assert site.get("/files/999999").status == site.get("/nowhere").status == site.get("/files/x").status == 404
    assert site.get(f"/files/{10**30}").status == 404
    assert site.get("/static/../app.py").status == site.get("/static/%2e%2e/app.py").status == 404


def test_the_figures_are_those_of_the_file_log(loaded: tuple[Site, Pipeline]) -> None:
    site, pipeline = loaded
    with pipeline.warehouse.transaction() as tx:
        tx.execute(
            "SELECT count(*) FILTER (WHERE status = 'success'), sum(inserted_records) FROM pipeline_file_log"
        )
        files, inserted = tx.fetchone() or (0, 0)
    page = site.get("/").text
    assert f"<dt>Files loaded</dt><dd>{files}</dd>" in page
    assert f"<dt>Rows loaded</dt><dd>{inserted:,}</dd>" in page
    assert "customer_id: parent_missing" in page
    wait_until(lambda: "fastfeast_open_orphans{" in site.get("/metrics").text, "the orphans were counted")
    text = site.get("/metrics").text
    for line in (
        'fastfeast_open_orphans{table="fact_order"}',
        'fastfeast_rejection_reasons_total{rule="allowed_values",stage="schema"}',
        'fastfeast_stage_duration_seconds_count{stage="commit"}',
    ):
        assert float(re.findall(f"^{re.escape(line)} (.+)$", text, re.MULTILINE)[0]) >= 1


# ---------------------------------------------------------------- who is let in


def test_what_a_browser_may_do_is_said_with_every_answer(config: PipelineConfig) -> None:
    with closed(with_web(config)) as site:
        for path in ("/", "/healthz", "/metrics", "/static/app.css", "/nowhere"):
            headers = site.get(path).headers
            policy = str(headers["content-security-policy"])
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert not re.search(r"unsafe|https?:|\*", policy)
            assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
            assert headers["server"] is None


def test_only_names_of_this_machine_lead_to_it(config: PipelineConfig) -> None:
    with closed(with_web(config)) as site:
        for host in ("localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1"):
            assert site.get("/metrics", Host=host).status == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "", "[::2]"):
            assert site.get("/metrics", Host=host).status == 421


def test_with_a_token_everything_that_shows_data_asks_for_it(config: PipelineConfig) -> None:
    with closed(with_web(config, token=TOKEN)) as site:
        for path in ("/metrics", "/", "/files", "/files/1", "/quarantine", "/nowhere"):
            assert site.get(path).status == 401
            assert site.get(path, Authorization="Bearer wrong").status == 401
            assert site.get(path, Authorization=f"Basic {TOKEN}").status == 401
            assert site.get(path, Cookie="fastfeast_session=1.2; fastfeast_session").status == 401
            assert site.get(path, Accept="text/html").headers["location"] == "/login"
        assert site.get("/metrics", Authorization=f"Bearer {TOKEN}", Host="fastfeast.example").status == 200
        assert {site.get(path).status for path in ("/healthz", "/login", "/static/app.css")} == {200}
        assert site.get("/readyz").status == 503


def test_the_login_form_gives_a_cookie_that_scripts_and_other_sites_can_not_use(config: PipelineConfig) -> None:
    with closed(with_web(config, token=TOKEN)) as site:

        def log_in(**form: str) -> Answer:
            kind = "application/x-www-form-urlencoded"
            return site.get("/login", "POST", urlencode(form), Content_Type=kind)

        wrong = log_in(token="wrong")
        assert (wrong.status, wrong.headers["set-cookie"]) == (403, None)
        assert log_in(token="x" * 100_000).status == log_in().status == 403
        assert log_in(**{f"field{n}": "x" for n in range(9)}, token=TOKEN).status == 403
        right = log_in(token=TOKEN)
        cookie = str(right.headers["set-cookie"])
        assert (right.status, right.headers["location"]) == (303, "/")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert "Secure" not in cookie
        behind_tls = site.get("/login", "POST", urlencode({"token": TOKEN}), X_Forwarded_Proto="https")
        assert "Secure" in str(behind_tls.headers["set-cookie"])
        session = cookie.partition(";")[0]
        assert site.get("/metrics", Cookie=session).status == 200
        assert site.get("/metrics", Cookie=session[:-1] + "x").status == 401
        assert "Max-Age=0" in str(site.get("/logout", "POST", Cookie=session).headers["set-cookie"])


# ---------------------------------------------------------------- when things are not as they should be


def test_without_the_database_the_pages_say_so_and_nothing_is_logged_as_a_crash(
    config: PipelineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with closed(with_web(config)) as site:
        assert site.get("/healthz").status == 200
        ready = site.get("/readyz")
        assert (ready.status, json.loads(ready.text)["database"]) == (503, False)
        for path in ("/", "/files", "/files/1", "/quarantine"):
            page = site.get(path)
            assert (page.status, "The database does not answer" in page.text) == (503, True)
        assert "fastfeast_database_up 0.0" in site.get("/metrics").text
    assert [record.message for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}] == []


def test_a_query_that_takes_too_long_costs_its_part_of_the_page_only(
    config: PipelineConfig, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from web import reading

    slow = "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '1ms'; SELECT pg_sleep(1)"
    with running(with_web(config, database)) as (site, _):
        monkeypatch.setattr(reading, "query", lambda *_names: slow)
        page = site.get("/")
        assert page.status == 200
        assert page.text.count("choose a shorter time") == 4 + len(config.panels)
        assert site.get("/files").status == 503


def test_what_a_page_does_can_not_write(config: PipelineConfig, database: DatabaseConfig) -> None:
    with (
        running(with_web(config, database)) as (_, pipeline),
        pytest.raises(PipelineError, match="25006"),
        Reader(pipeline).transaction() as tx,
    ):
        tx.execute("DELETE FROM quarantine")


def test_a_main_loop_that_is_stuck_is_not_alive(
    config: PipelineConfig, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from utils import metrics

    with running(with_web(config, database)) as (site, _):
        assert json.loads(site.get("/healthz").text)["seconds_since_last_turn"] < 5
        monkeypatch.setattr(metrics, "seconds_since_turn", lambda: 3600.0)
        assert site.get("/healthz").status == 503


def test_a_watcher_that_ended_makes_it_not_ready(config: PipelineConfig, database: DatabaseConfig) -> None:
    with running(with_web(config, database)) as (site, pipeline):
        pipeline.watchers[0].stop()
        answer = site.get("/readyz")
        assert (answer.status, json.loads(answer.text)["watchers"]) == (503, False)


def test_a_port_that_is_taken_is_one_warning_with_the_way_out(
    config: PipelineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        web = WebConfig(port=other.getsockname()[1])
        changed = config.model_copy(update={"web": web})
        with serving(changed, Pipeline(changed)) as address:
            assert address is None
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "set another web.port (WEB_PORT)" in warning


def test_it_stops_within_a_second_also_with_a_connection_open(config: PipelineConfig) -> None:
    before = threading.active_count()
    with serving(with_web(config), Pipeline(with_web(config))) as address:
        site = Site(address)
        assert site.get("/healthz").status == 200
        idle = socket.create_connection(("127.0.0.1", site.port or 0))
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(15).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
    assert time.monotonic() - started < 1.5
    idle.close()
    wait_until(lambda: threading.active_count() <= before, "its threads have ended")


def test_connections_that_say_nothing_do_not_shut_others_out(
    config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.connections.MOST_CONNECTIONS", 4)
    with closed(with_web(config)) as site, ExitStack() as stack:
        for start in (
            b"",
            b"",
            b"GET / HT",
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
        ):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", site.port or 0)))
            idle.sendall(start)
        assert [site.get(path).status for path in ("/healthz", "/metrics", "/healthz")] == [200, 200, 200]


def test_a_connection_that_takes_its_time_with_its_request_is_ended(
    config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.connections.IDLE_SECONDS", 0.3)
    first = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closed(with_web(config)) as site, ExitStack() as stack:
        for begin in (b"", b"GET /heal", first):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", site.port or 0), timeout=10))
            client.sendall(begin)
            if begin == first:
                assert client.recv(4096).startswith(b"HTTP/1.1 200")
            try:
                for byte in b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 60:  # a byte now and then is no request
                    client.sendall(bytes([byte]))
                    time.sleep(0.05)
                ended = client.recv(4096) == b""
            except OSError:
                ended = True
            assert ended, begin


def is_running(warehouse: Warehouse, statement: str) -> bool:
    with warehouse.transaction() as tx:
        tx.execute("SELECT FROM pg_stat_activity WHERE state = 'active' AND query = %s", (statement,))
        return tx.rowcount > 0


def test_a_slow_query_in_hand_does_not_hold_up_the_stop(config: PipelineConfig, warehouse: Warehouse) -> None:
    pipeline = Pipeline(config)
    pipeline.warehouse = warehouse
    reader = Reader(pipeline)
    ended: list[str] = []

    def read() -> None:
        try:
            with reader.transaction() as tx:
                tx.execute("SELECT pg_sleep(4)")
        except PipelineError as problem:
            ended.append(str(problem))

    thread = threading.Thread(target=read, name="slow page")
    thread.start()
    wait_until(lambda: is_running(warehouse, "SELECT pg_sleep(4)"), "the query runs")
    reader.close()
    thread.join(1)
    assert not thread.is_alive()
    assert len(ended) == 1
    with pytest.raises(PipelineError, match="the service stops"), reader.transaction():
        pass


def test_the_orphans_and_the_lag_are_seen_while_files_wait(
    config: PipelineConfig, database: DatabaseConfig, warehouse: Warehouse
) -> None:
    """The oldest file that waits gives the lag; a file in hand does not wait."""
    from ingestion.file_tracker import FileTracker
    from ingestion.inbox import Inbox

    tracker = FileTracker(config.path("tracker.db"))
    now = [time.time()]
    inbox = Inbox(config, tracker, report=_ignore, clock=lambda: now[0])
    try:
        assert inbox.oldest_seconds() == 0
        path = samples.write(config.home / "data" / "input" / "stream" / "09" / "orders.json", [samples.order(1)])
        inbox.offer(path, config.by_logical_name["orders"].feed, closed=True)
        now[0] += 600
        assert inbox.oldest_seconds() == pytest.approx(600, abs=5)
        job = inbox.get(timeout=0)
        assert job is not None
        assert inbox.oldest_seconds() == 0
        inbox.put_back(job)
        assert inbox.oldest_seconds() == pytest.approx(600, abs=5)
    finally:
        tracker.close()


_ignore: Callable[[str, Any, str], None] = lambda _kind, _path, _message: None  # noqa: E731


def test_a_table_of_the_yaml_is_on_the_first_page_and_a_bad_one_costs_only_itself(
    config: PipelineConfig, database: DatabaseConfig
) -> None:
    panels = (
        Panel(title="Good", query='SELECT \'<b>\' AS name, 3 AS "Rows", 50.0 AS "Share %" WHERE :since < now()'),
        Panel(title="Empty", empty="None today", query="SELECT 1 WHERE false"),
        Panel(title="Bad", query="SELECT * FROM no_such_table"),
        Panel(title="Writing", query="CREATE TABLE mine ()"),
    )
    asked = with_web(config, database).model_copy(update={"panels": panels})
    with running(asked) as (site, _):
        page = site.get("/")
        assert page.status == 200
        for words in ("&lt;b&gt;", "50.0%", "None today"):
            assert words in page.text
        assert page.text.count("Not shown:") == 2
        assert "Files loaded" in page.text
