"""Alerts reach services by apprise; one that answers late, wrong or not at all costs nobody else anything."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import DEFAULT_CONFIG as SHIPPED
from config.config_loader import get_config
from config.settings import AlertingConfig
from tests.integration.documents import documented
from tests.integration.webhook import Webhook
from utils import alerter, logger, outbox, routing
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.channels import registry as channels
from utils.notices import Site


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook().serving() as webhook:
        yield webhook


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    alerter.stop()
    logger.shutdown()


def alerting(urls: Mapping[str, str | list[str]], routes: Any = (), repeat_minutes: float = 0) -> AlertingConfig:
    """A channel for each name, with its URLs."""
    channels = {
        name: {"apprise": {"urls": [given] if isinstance(given, str) else given, "timeout_seconds": 0.3}}
        for name, given in urls.items()
    }
    given = {"enabled": True, "repeat_minutes": repeat_minutes, "channels": channels, "routes": routes}
    return AlertingConfig.model_validate(given)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


def test_each_team_gets_what_concerns_it(webhook: Webhook) -> None:
    routes = [
        {"kinds": ["Database unavailable"], "to": ["ops", "pager"]},
        {"owners": "billing", "to": "billing"},
        {"kinds": "Columns differ", "to": []},
    ]
    urls: dict[str, Any] = {name: webhook.url(name) for name in ("ops", "billing")}
    urls["pager"] = [webhook.url("pager1"), webhook.url("pager2")]
    alerter.start(alerting(urls, routes), site=Site("here", owners={"payments": "billing"}))
    send_alert(AlertKind.DATABASE_AWAY, "x")
    send_alert(AlertKind.DATABASE_BACK, "x")
    send_alert(AlertKind.FILE_FAILED, "x", file_type="payments")
    send_alert(AlertKind.COLUMNS_DIFFER, "x", file_type="orders")
    send_alert(AlertKind.CRASH, "x")
    alerter.stop()
    database = ["Database unavailable", "Database unavailable"]  # an end has the title of its begin
    assert webhook.titles("billing") == ["File failed: payments", "Pipeline exception"]
    for name in ("ops", "pager1", "pager2"):
        assert sorted(webhook.titles(name)) == sorted([*database, "Pipeline exception"])
    (_, post) = webhook.posts[0]
    assert {post["type"] for _, post in webhook.posts if "again" in post["message"]} == {"success"}
    assert "To see more: python main.py" in post["message"]


def test_the_documented_routes_do_what_they_say(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLACK", "SLACK_SHOP", "PAGERDUTY"):
        monkeypatch.setenv(f"{name}_URL", webhook.url(name))
    config = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    said = documented("To the right people")
    config["watcher"]["stream"]["expected_files"]["orders.json"] |= said["watcher"]["stream"]["expected_files"][
        "orders.json"
    ]
    config["alerting"] = {"enabled": True, "repeat_minutes": 0, **said["alerting"]}
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(config))
    loaded = get_config(path, checks=[channels.problems, routing.problems])
    alerter.start(loaded.alerting, site=Site("here", owners=routing.owners_of(loaded)))
    for kind, name in [
        (AlertKind.DATABASE_AWAY, ""), (AlertKind.FILE_FAILED, "orders"), (AlertKind.COLUMNS_DIFFER, "drivers"),
        (AlertKind.COLUMNS_DIFFER, "agents"), (AlertKind.FILE_FAILED, "agents"),
    ]:  # fmt: skip
        send_alert(kind, "x", file_type=name)
    alerter.stop()
    assert webhook.titles("PAGERDUTY") == ["Database unavailable"]
    assert webhook.titles("SLACK_SHOP") == ["File failed: orders"]
    assert sorted(webhook.titles("SLACK")) == [
        "Columns differ: agents",
        "Database unavailable",
        "File failed: agents",
    ]


@pytest.mark.parametrize("trouble", ["wrong", "late", "nobody"])
def test_a_service_that_is_down_is_tried_again_and_told_of_on_the_others(
    webhook: Webhook, trouble: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(outbox, "RETRY_AFTER_SECONDS", (0.1, 0.1))
    logger.setup(tmp_path, "DEBUG", console=False)
    reasons = {"wrong": "HTTP 503", "late": "not reached, or no answer in time"}
    with Webhook().serving() as bad:
        bad.status = 503 if trouble == "wrong" else 200
        bad.is_late = trouble == "late"
        url = bad.url("t0ken")
        if trouble == "nobody":
            with socket.create_server(("127.0.0.1", 0)) as probe:
                url = f"json://127.0.0.1:{probe.getsockname()[1]}/t0ken"
        began = time.monotonic()
        alerter.start(alerting({"ops": webhook.url(), "bad": url}))
        send_alert(AlertKind.FILE_FAILED, "x", file_type="orders")
        assert time.monotonic() - began < 2, "no one waits for it"
        wait_until(lambda: len(webhook.posts) == 2)
        assert webhook.titles() == ["File failed: orders", "Alerts not delivered"]
        assert f"bad: {reasons.get(trouble, 'not reached')}" in webhook.posts[1][1]["message"]
        if trouble != "nobody":
            assert bad.tries == 3
            bad.status, bad.is_late = 200, False
            send_alert(AlertKind.FILE_FAILED, "x", file_type="orders")
            wait_until(lambda: any("Alerts delivered again" in post["message"] for _, post in webhook.posts))
            assert bad.titles("t0ken")[0] == "File failed: orders"
        alerter.stop()
    assert webhook.titles().count("Alerts not delivered") == (1 if trouble == "nobody" else 2)
    logger.shutdown()
    log = "".join(path.read_text() for path in tmp_path.glob("pipeline*"))
    assert "bad not sent" in log
    assert "t0ken" not in log
    assert "no word" not in log


def test_a_channel_that_fails_at_the_very_stop_is_told_on_the_others(webhook: Webhook) -> None:
    """A run by hand has hardly begun when it ends."""
    with Webhook().serving() as bad:
        bad.status = 500
        alerter.start(alerting({"bad": bad.url(), "ops": webhook.url()}, repeat_minutes=10))
        send_alert(AlertKind.FILE_FAILED, "x", file_type="orders")
        alerter.stop()
    assert webhook.titles() == ["File failed: orders", "Alerts not delivered"]


def test_an_answer_that_never_ends_holds_up_neither_the_others_nor_the_stop(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "STUCK_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"json://127.0.0.1:{listener.getsockname()[1]}"
        alerter.start(alerting({"ops": webhook.url(), "endless": url}))
        send_alert(AlertKind.FILE_FAILED, "first")
        client, _ = listener.accept()
        with client:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(50):
                client.sendall(b"x")
                time.sleep(0.1)
                if len(webhook.posts) == 2:
                    break
            assert webhook.titles() == ["File failed", "Alerts not delivered"]
            assert "endless: no end of an answer" in webhook.posts[1][1]["message"]
            began = time.monotonic()
            alerter.stop(timeout=0.3)
            assert time.monotonic() - began < 1
    wait_until(lambda: len(webhook.posts) >= 2)
