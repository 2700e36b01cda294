"""An incident opens once, tells of other faults, and closes once, whatever is restarted meanwhile."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from utils.alerts import Alert, AlertKind, Group
from utils.incidents import Incidents, Phase
from utils.notices import Site, notice_of

AT = dt.datetime(2026, 2, 20, 9, 0, tzinfo=dt.UTC)


def group(
    kind: str, *reasons: str, name: str = "orders", after: dt.timedelta = dt.timedelta(), message: str = "x"
) -> Group:
    made = Group((kind, name, 0), kind, name, AT + after, AT + after)
    for reason in reasons:
        made.add(Alert(kind, message, name, reason), AT + after)
    return made


def phases(incidents: Incidents, *groups: Group) -> list[Phase | None]:
    return [incidents.add(one)[1] for one in groups]


FAILED = AlertKind.FILE_FAILED


def test_one_fault_is_told_once_and_another_one_in_its_thread(tmp_path: Path) -> None:
    incidents = Incidents(tmp_path / "incidents.db", AT)
    hour = dt.timedelta(hours=1)
    assert phases(
        incidents,
        group(FAILED, "a", "a"),
        group(FAILED, "a", after=hour),
        group(FAILED, "a", "b", after=hour),
        group(FAILED, "b", after=24 * hour),
        group(FAILED, "a", after=26 * hour),
        group(FAILED, "a", name="tickets", after=hour),
    ) == [Phase.OPENS, None, Phase.MORE, None, Phase.MORE, Phase.OPENS]
    over = incidents.close(FAILED, "orders")
    assert over is not None
    assert (over.count, over.top_reason, over.opened_at) == (7, "a", AT)
    assert incidents.close(FAILED, "orders") is None
    assert [one.file_type for one in incidents.open()] == ["tickets"]
    assert phases(incidents, group(FAILED, "a", after=27 * hour)) == [Phase.OPENS]
    incidents.shut()


def test_what_the_database_knows_outlives_a_restart_and_is_closed_by_one_process(tmp_path: Path) -> None:
    path = tmp_path / "state/incidents.db"
    first, second = Incidents(path, AT), Incidents(path, AT)
    assert path.stat().st_mode & 0o077 == 0
    opened, _ = first.add(group(FAILED, "a"))
    first.add(group(AlertKind.DATABASE_AWAY, name=""))
    assert phases(second, group(AlertKind.DATABASE_AWAY, name="")) == [Phase.OPENS]
    assert len(first.open()) == len(second.open()) == 2
    first.shut()
    third = Incidents(path, AT)
    assert [(one.kind, one.key) for one in third.open()] == [(FAILED, opened.key)]
    assert phases(third, group(FAILED, "a")) == [None]
    assert third.close(FAILED, "orders") is not None
    assert second.close(FAILED, "orders") is None
    third.shut()
    second.shut()
    late = Incidents(path, AT + dt.timedelta(days=50))
    assert late.open() == []
    late.shut()


def test_what_nobody_could_be_told_of_is_opened_by_the_next(tmp_path: Path) -> None:
    incidents = Incidents(tmp_path / "incidents.db", AT)
    first, _ = incidents.add(group(FAILED, "a"))
    incidents.untold(FAILED, "orders")
    again, phase = incidents.add(group(FAILED, "a"))
    assert (phase, again.key, again.count) == (Phase.OPENS, first.key, 2)
    incidents.shut()


@pytest.mark.parametrize("trouble", ["no database", "a folder", "spoilt later"])
def test_a_file_that_is_no_good_costs_a_warning_and_no_alert(
    tmp_path: Path, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "incidents.db"
    if trouble == "a folder":
        path.mkdir()
    elif trouble == "no database":
        path.write_bytes(b"nonsense" * 1000)
    incidents = Incidents(path, AT)
    if trouble == "spoilt later":
        path.write_bytes(b"nonsense" * 1000)
    assert phases(incidents, group(FAILED, "a"), group(FAILED, "a")) == [Phase.OPENS, None]
    assert incidents.close(FAILED, "orders") is not None
    assert "incidents.db can't be used" in caplog.text
    incidents.shut()


def test_a_notice_has_what_where_since_when_why_whose_a_link_and_a_command(tmp_path: Path) -> None:
    incidents = Incidents(tmp_path / "incidents.db", AT)
    site = Site("host-7", "https://warehouse.example/", {"orders": "shop"})
    incident, phase = incidents.add(group(FAILED, "b", "a", "a", message="09/orders.json: a column too many"))
    opening = notice_of(group(FAILED, "a", message="09/orders.json"), site, incident, phase)
    assert (opening.title, opening.phase, opening.is_good) == ("File failed: orders", Phase.OPENS, False)
    for part in (
        "Error: File failed\nFile type: orders\nOwner: shop",
        "09/orders.json",
        "To see more: python main.py files --type orders --status failed",
        "Dashboard: https://warehouse.example/files?logical_name=orders&status=failed",
        f"Incident: {incident.key}",
    ):
        assert part in opening.text
    over = incidents.close(FAILED, "orders")
    mended = group(AlertKind.FILES_MENDED, "", after=dt.timedelta(minutes=95), message="All are loaded.")
    closing = notice_of(mended, site, over, Phase.OVER)
    assert (closing.title, closing.incident, closing.is_good) == (opening.title, opening.incident, True)
    for part in (
        "Over: Failed files mended\nSince: 2026-02-20 09:00:00 UTC, for 95 minutes\nIn all: 3 times",
        "Most frequent reason: a",
        "Owner: shop",
        "All are loaded.",
        "files --type orders --status failed",
    ):
        assert part in closing.text
    incidents.shut()
