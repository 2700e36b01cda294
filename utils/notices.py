"""What is told of alerts: title and text of a notice, the command and the link that show more. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from utils.alerts import BEGINS, AlertKind, Group, Report
from utils.incidents import Incident, Phase

REPORT = "Files with problems"  # the title of what senders get
MOST_FAULTS = 3  # new ones of an incident that are told in full
MAX_TITLE, MAX_LINE, MAX_DETAILS = 150, 600, 4000  # characters
# The command that shows more; `{type}` is the logical name of the files.
_OF_FILES = "python main.py files --type {type}"
_OF_ROWS = "python main.py quarantine list --table {type}"
_COMMANDS: dict[str, str] = {
    AlertKind.FILE_FAILED: f"{_OF_FILES} --status failed",
    AlertKind.COLUMNS_DIFFER: "python main.py drift {type}",
    AlertKind.NOTHING_LOADED: _OF_ROWS,
    AlertKind.MANY_REFUSED: _OF_ROWS,
    AlertKind.LOAD_ERROR: f"{_OF_ROWS} --stage load",
    AlertKind.NOT_RELOADED: "python main.py config check",
    AlertKind.CRASH: """grep '"level": "CRITICAL"' logs/*.log""",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """What a channel sends: a title of one line, and a text of several. No value of the data is in either.

    `key` is that of its group. All notices of an incident have its key and one title.
    """

    key: tuple[str, str, int]
    kind: str
    file_type: str
    title: str
    text: str
    incident: str = ""
    phase: Phase | None = None
    reports: tuple[Report, ...] = ()  # for their receivers alone

    @property
    def is_good(self) -> bool:
        """Does it tell that trouble is over?"""
        return self.kind in BEGINS


@dataclass(frozen=True, slots=True)
class Site:
    """Where alerts come from: the machine, the dashboard's address or '', and who owns which type of files."""

    host: str
    dashboard: str = ""
    owners: Mapping[str, str] = field(default_factory=dict)


def notice_of(group: Group, site: Site, incident: Incident | None = None, phase: Phase | None = None) -> Notice:
    """The notice for all alerts of `group`."""
    begin = BEGINS.get(group.kind, group.kind) if incident else group.kind
    title = one_line(": ".join(filter(None, (begin, group.file_type))))[:MAX_TITLE]
    many = f" ({group.count:,} times)" if group.count > 1 and incident is None else ""
    parts = [*_history(group, incident, phase), *_facts(group, site)]
    text = "\n\n".join("\n".join(lines) for lines in (parts, _details(group), _ends(group, site, incident)))
    key = incident.key if incident else ""
    return Notice(group.key, group.kind, group.file_type, title + many, text, key, phase)


def report_of(group: Group) -> Notice:
    """The notice for the sender of files: its alerts have reports."""
    reports = tuple(alert.report for alert in group.first if alert.report)
    many = f" ({group.count:,} files)" if group.count > 1 else ""
    lines = [f"  {one_line(one.name)}: {one_line(one.said)[:MAX_LINE]}" for one in reports]
    if group.count > len(reports):
        lines.append(f"  and {group.count - len(reports):,} more")
    text = "\n".join(["These have problems:", *lines])
    return Notice(
        group.key, group.kind, group.file_type, f"{REPORT}: {group.file_type}{many}", text, reports=reports
    )


def command_of(kind: str, file_type: str = "", file_id: int | None = None) -> str:
    """What to type to see more."""
    command = _COMMANDS.get(BEGINS.get(kind, kind), "python main.py status")
    if "{type}" in command and file_id is not None:
        return f"python main.py files show {file_id}"
    if "{type}" in command and not file_type:
        return "python main.py files"
    return command.format(type=file_type) if "{type}" in command else command


def link_of(dashboard: str, kind: str, file_type: str = "", file_id: int | None = None) -> str:
    """The page of the dashboard that shows more."""
    base = dashboard.rstrip("/")
    if file_id is not None:
        return f"{base}/files/{file_id}"
    if not file_type:
        return f"{base}/"
    failed = {"status": "failed"} if BEGINS.get(kind, kind) == AlertKind.FILE_FAILED else {}
    return f"{base}/files?{urlencode({'logical_name': file_type, **failed})}"


def _history(group: Group, incident: Incident | None, phase: Phase | None) -> Iterator[str]:
    """Of the incident, in notices that don't open it."""
    if group.kind in BEGINS:
        yield f"Over: {one_line(group.kind)[:MAX_TITLE]}"
    else:
        yield f"Error: {one_line(group.kind)[:MAX_TITLE]}"
    if incident is None or phase is Phase.OPENS:
        return
    lasted = _in_words(group.last_at - incident.opened_at)
    yield f"Since: {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC, {'for ' if phase is Phase.OVER else ''}{lasted}"
    if incident.count > 1:
        yield f"In all: {incident.count:,} times"
    for reason in incident.new[:MOST_FAULTS]:
        yield f"Another fault: {one_line(reason)[:MAX_LINE]}"
    if incident.top_reason and phase is Phase.OVER:
        yield f"Most frequent reason: {one_line(incident.top_reason)[:MAX_LINE]}"


def _in_words(length: dt.timedelta) -> str:
    minutes = max(0, round(length.total_seconds() / 60))
    if minutes < 120:
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{minutes / 60:.1f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def _facts(group: Group, site: Site) -> Iterator[str]:
    if group.file_type:
        yield f"File type: {one_line(group.file_type)}"
    if owner := site.owners.get(group.file_type):
        yield f"Owner: {one_line(owner)[:MAX_TITLE]}"
    if group.count > 1:
        yield f"How often: {group.count:,} times, from {group.first_at:%H:%M:%S} to {group.last_at:%H:%M:%S} UTC"
        for reason, count in group.reasons.most_common(1):
            yield f"Most frequent reason: {one_line(reason)[:MAX_LINE]} ({count:,} times)"


def _details(group: Group) -> Iterator[str]:
    if group.count == 1:
        lines = group.first[0].message[:MAX_DETAILS].splitlines()
        yield "Details:"
        yield from map(printable, lines)
        return
    yield "The first of them:"
    for alert in group.first:
        yield f"  {one_line(alert.message)[:MAX_LINE]}"
    if group.count > len(group.first):
        yield f"  and {group.count - len(group.first):,} more"


def _ends(group: Group, site: Site, incident: Incident | None) -> Iterator[str]:
    file_id = group.first[0].file_id if group.count == 1 else None
    yield f"To see more: {command_of(group.kind, group.file_type, file_id)}"
    if site.dashboard:
        yield f"Dashboard: {link_of(site.dashboard, group.kind, group.file_type, file_id)}"
    yield f"Time: {group.last_at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"Host: {one_line(site.host)}"
    if incident:
        yield f"Incident: {incident.key}"


def one_line(text: str) -> str:
    """`text` without line breaks and control characters: it may become a header."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """`text` with blanks for what does not print."""
    return "".join(c if c.isprintable() else " " for c in text)
