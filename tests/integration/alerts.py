"""Alerts that the pipeline raises, caught before they are mailed."""

from __future__ import annotations

import pytest

from ingestion import contract_watch, file_report, ingestion_runner, outage, put_away


def caught_alerts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The alerts from now on, title and text."""
    alerts: list[tuple[str, str]] = []
    for module in (contract_watch, file_report, ingestion_runner, outage, put_away):
        monkeypatch.setattr(module, "send_alert", lambda title, text, **_more: alerts.append((title, text)))
    return alerts


def titles(alerts: list[tuple[str, str]]) -> list[str]:
    return [title for title, _ in alerts]
