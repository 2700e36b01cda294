"""Alerts are read back from the log by other processes: grouped, bounded, whatever else is in the file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from utils import alert_log, alerter, logger
from utils.alert_log import last_alerts
from utils.alerts import AlertKind


def test_each_alert_is_a_line_that_another_process_counts(tmp_path: Path) -> None:
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    logger.setup(tmp_path, console=False)
    for n in range(3):
        alerter.send_alert(AlertKind.MANY_REFUSED, f"text {n}", file_type="orders", place=f"{n:02}/orders.json")
    alerter.send_alert(AlertKind.CRASH, "text")
    logger.get_logger("x").warning("no alert")
    logger.shutdown()
    told = {(one.kind, one.file_type): one for one in last_alerts(tmp_path, since)}
    assert {key: one.count for key, one in told.items()} == {
        ("High quarantine volume", "orders"): 3,
        ("Pipeline exception", ""): 1,
    }
    assert told["High quarantine volume", "orders"].message == "02/orders.json: text 2"
    assert last_alerts(tmp_path, dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)) == []
    assert last_alerts(tmp_path / "none", since) == []


def test_of_a_long_file_only_the_end_is_read(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    line = f'{{"time": "{now:%Y-%m-%d %H:%M:%S}", "msg": "[alert] x: {{}}", "alert": "x"}}\n'
    count = 3 * alert_log.MOST_BYTES // len(line)
    (tmp_path / f"alerts_{now:%Y-%m-%d}.jsonl").write_text(line * count + '[1]\nnull\n{"alert": 1}\n{"time": ')
    (told,) = last_alerts(tmp_path, now - dt.timedelta(days=1))
    assert count / 4 < told.count < count / 2
