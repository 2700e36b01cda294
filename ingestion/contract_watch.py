"""Holds files to their contracts: reads the file log, keeps contract_breach, alerts when one opens and ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.expected_file import Contract
from config.file_names import spec_for
from config.file_spec import FileSpec
from config.jobs import FileOutcome, Status
from config.model import Feed
from datawarehouse.queries import query
from ingestion.contract import (
    Arrival,
    Finding,
    Kind,
    LoggedFile,
    days_due,
    judge_days,
    judge_rows,
    judge_silence,
    kinds,
)
from ingestion.places.registry import input_folder
from ingestion.service import Service
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

WINDOW = dt.timedelta(days=35)  # how far back a contract looks: longer than band_days
MOST_FILES = 1000  # of one kind, within the window
OF_ARRIVALS = {Kind.LATE, Kind.SILENT}
BROKEN = {
    Kind.LATE: AlertKind.LATE,
    Kind.SILENT: AlertKind.SILENT,
    Kind.SHRUNKEN: AlertKind.SHRUNKEN,
    Kind.SWOLLEN: AlertKind.SWOLLEN,
    Kind.DIRTY: AlertKind.DIRTY,
}
KEPT_AGAIN = {
    Kind.LATE: AlertKind.LATE_OVER,
    Kind.SILENT: AlertKind.SILENT_OVER,
    Kind.SHRUNKEN: AlertKind.SHRUNKEN_OVER,
    Kind.SWOLLEN: AlertKind.SWOLLEN_OVER,
    Kind.DIRTY: AlertKind.DIRTY_OVER,
}

Done = tuple[str, str, dt.datetime]  # path, MD5, when
Alert = tuple[AlertKind, str, str]  # what, detail, logical name


class _Breach(NamedTuple):
    """An open row of contract_breach."""

    breach_id: int
    kind: Kind
    file_type: str
    file: str
    day: dt.date

    def is_of(self, spec: FileSpec) -> bool:
        return (self.file_type, self.file) == (spec.feed.value, spec.pattern)


class ContractWatch:
    """Called by the runner after each file, and by the timer. `now` is the clock, in UTC."""

    def __init__(self, service: Service, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> None:
        self._config = service.config
        self._warehouse = service.warehouse
        self._tracker = service.tracker
        self._inbox = service.inbox
        self._now = now
        self._specs = [spec for spec in service.config.files if spec.contract is not None]

    def after(self, outcome: FileOutcome) -> None:
        """Judge a file that is finished, also where later ones are. Raises WarehouseUnavailable.

        That files are late or silent can end here, but not begin: others may be on their way.
        """
        spec, job = outcome.job.spec, outcome.job
        if spec.contract is None:
            return
        now = self._now()
        done = [] if outcome.status is Status.FAILED else [(str(job.path), job.md5, now)]
        upto = None if outcome.status is Status.ALREADY_DONE else outcome.file_id
        with self._warehouse.transaction() as tx:
            findings = self._findings(tx, spec, spec.contract, done, now, upto)
            wanted = [f for f in findings if not (f.broken and f.kind in OF_ARRIVALS)]
            alerts = list(_keep(tx, spec, wanted, now))
        _send(alerts)

    def turn(self) -> None:
        """Judge every contract as of now. Raises PipelineError; the next turn tries again."""
        now = self._now()
        done = self._done_by_spec() if self._specs else {}
        alerts: list[Alert] = []
        with self._warehouse.transaction() as tx:
            self._close_what_nobody_asks(tx, now)
            for spec in self._specs:
                assert spec.contract is not None  # noqa: S101
                findings = self._findings(tx, spec, spec.contract, done.get((spec.feed, spec.pattern), []), now)
                if self._inbox.has(spec):  # it has come, and we are behind
                    findings = [f for f in findings if not (f.broken and f.kind in OF_ARRIVALS)]
                alerts += _keep(tx, spec, findings, now)
        _send(alerts)

    # ---------------------------------------------------------------- inside

    def _findings(
        self,
        tx: Cursor,
        spec: FileSpec,
        contract: Contract,
        done: list[Done],
        now: dt.datetime,
        upto: int | None = None,
    ) -> list[Finding]:
        tx.execute(query("contract", "since"))
        since = (tx.fetchone() or (None,))[0]
        if since is None:
            return []
        wanted = {"logical_name": spec.name, "file_type": spec.feed.value, "since": now - WINDOW}
        tx.execute(query("contract", "files"), {**wanted, "limit": MOST_FILES, "upto": upto})
        files = [LoggedFile(*row) for row in tx]
        arrivals = [Arrival(file.path, file.at) for file in files if file.status == Status.SUCCESS]
        arrivals += _really_loaded(tx, spec, done, {arrival.path for arrival in arrivals})
        days = days_due(contract, now, since)
        days |= {breach.day for breach in _open(tx) if breach.is_of(spec) and breach.kind is Kind.LATE}
        return [
            *judge_days(spec, contract, days, arrivals),
            *judge_silence(spec, contract, arrivals, now, since),
            *judge_rows(spec, contract, files),
        ]

    def _done_by_spec(self) -> dict[tuple[Feed, str], list[Done]]:
        """What the tracker knows of files with a contract: also those whose content was loaded before."""
        folders = {
            Feed.BATCH: str(input_folder(self._config, self._config.watcher.batch.dir)),
            Feed.STREAM: str(input_folder(self._config, self._config.watcher.stream.dir)),
        }
        found: dict[tuple[Feed, str], list[Done]] = {}
        for path, md5, at in self._tracker.done_files():
            feed = next((feed for feed, folder in folders.items() if path.startswith(f"{folder}/")), None)
            spec = spec_for(self._config.files, feed, path.rpartition("/")[2]) if feed else None
            if spec is not None and spec.contract is not None:
                found.setdefault((spec.feed, spec.pattern), []).append((path, md5, at))
        return found

    def _close_what_nobody_asks(self, tx: Cursor, now: dt.datetime) -> None:
        """Breaches of contracts that are gone from the configuration. Nobody is told."""
        asked = {(s.feed.value, s.pattern, kind) for s in self._specs if s.contract for kind in kinds(s.contract)}
        for breach in _open(tx):
            if (breach.file_type, breach.file, breach.kind) not in asked:
                tx.execute(query("contract", "resolve"), {"breach_id": breach.breach_id, "now": now})
                logger.info(f"[contract] {breach.file}: no longer asked whether it is {breach.kind.value}")


def _really_loaded(tx: Cursor, spec: FileSpec, done: Iterable[Done], known: set[str]) -> Iterator[Arrival]:
    """Those of `done` whose content is in the table: it may have failed before, under another name."""
    new = [file for file in done if file[0] not in known]
    if new:
        hashes = [md5 for _, md5, _ in new]
        tx.execute(query("contract", "loaded"), {"logical_name": spec.name, "hashes": hashes})
        loaded = {row[0] for row in tx}
        yield from (Arrival(path, at) for path, md5, at in new if md5 in loaded)


def _open(tx: Cursor) -> list[_Breach]:
    tx.execute(query("contract", "open"))
    return [_Breach(row[0], Kind(row[1]), *row[2:]) for row in tx]


def _keep(tx: Cursor, spec: FileSpec, findings: Iterable[Finding], now: dt.datetime) -> Iterator[Alert]:
    """Open and resolve breaches; what there is to tell, of which only the one that writes it tells."""
    breaches = {(b.kind, b.day if b.kind is Kind.LATE else None): b for b in _open(tx) if b.is_of(spec)}
    for finding in findings:
        breach = breaches.get((finding.kind, finding.day if finding.kind is Kind.LATE else None))
        if finding.broken and breach is None:
            values: dict[str, Any] = {"kind": finding.kind.value, "day": finding.day, "detail": finding.detail}
            values |= {"file_type": spec.feed.value, "file": spec.pattern, "now": now}
            tx.execute(query("contract", "breach"), values)
            if tx.fetchone() and not finding.told:
                yield BROKEN[finding.kind], finding.detail, spec.name
        elif not finding.broken and breach is not None:
            tx.execute(query("contract", "resolve"), {"breach_id": breach.breach_id, "now": now})
            if tx.fetchone():
                yield KEPT_AGAIN[finding.kind], finding.detail, spec.name


def _send(alerts: Iterable[Alert]) -> None:
    for kind, detail, name in alerts:
        send_alert(kind, detail, file_type=name)
