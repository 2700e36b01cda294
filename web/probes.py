"""Is it alive, is it ready, what are its figures: /healthz, /readyz, /metrics."""

from __future__ import annotations

import platform
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from config.config_loader import PROJECT_ROOT
from config.errors import PipelineError
from config.settings import PipelineConfig
from datawarehouse import reports
from datawarehouse.db_connection import PATIENCE_SECONDS
from datawarehouse.queries import query
from ingestion.pipeline import Pipeline
from utils import metrics
from utils.logger import get_logger

logger = get_logger(__name__)

LOOK_SECONDS = 5.0  # between two looks at the database
AWAY_SECONDS = 0.5  # the same while it is not open yet, or away
SHARE = 20  # a look that took long is followed by a pause of so many times its length
LONGEST_PAUSE_SECONDS = 60.0  # what was seen before that no longer counts
ANSWER_SECONDS = 10.0  # a database that takes longer to answer counts as away


@dataclass
class Database:
    """What the last look at the database saw. `orphans`: (table, open, seconds that the oldest is open)."""

    is_up: bool = False
    looked_at: float = field(default_factory=time.monotonic)
    orphans: list[tuple[str, int, float]] = field(default_factory=list)


class Probes:
    """Looks at the database from a thread of its own, so that no scrape or probe ever waits for it."""

    def __init__(self, config: PipelineConfig, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        # A turn of the main loop may wait for a statement to the end of its time
        self._longest_turn = config.database.statement_timeout_seconds + 2 * PATIENCE_SECONDS
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="web-probes", daemon=True)
        self._figures = _Figures(self)
        self._process = ProcessCollector(registry=None)
        self.database = Database()
        metrics.declare(config)

    def start(self) -> None:
        """Begin to look, and show what is seen in /metrics."""
        metrics.REGISTRY.register(self._figures)
        metrics.REGISTRY.register(self._process)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread; it is left behind when it waits for the database longer than `timeout` seconds."""
        self._stop.set()
        self._thread.join(timeout)
        metrics.REGISTRY.unregister(self._figures)
        metrics.REGISTRY.unregister(self._process)

    # ------------------------------------------------------------ pages

    async def healthz(self, _request: Request) -> Response:
        """200 while the main loop turns, or the service is starting; 503 when it is stuck."""
        seconds = metrics.seconds_since_turn()
        alive = seconds < self._longest_turn or not self._pipeline.is_watching()
        answer = {"status": "alive" if alive else "stuck", "seconds_since_last_turn": round(seconds, 1)}
        return JSONResponse(answer, 200 if alive else 503)

    async def readyz(self, _request: Request) -> Response:
        """200 when the database answers and both watchers find files, else 503 and which of them doesn't."""
        answers = {"database": self.database_answers(), "watchers": self._pipeline.finds_files()}
        ready = all(answers.values())
        return JSONResponse({"status": "ready" if ready else "not ready", **answers}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """The registry, as Prometheus or OpenMetrics text."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.REGISTRY), headers={"Content-Type": content_type})

    def database_answers(self) -> bool:
        """Did it answer at the last look, and was that not long ago?"""
        return self.database.is_up and time.monotonic() - self.database.looked_at < LONGEST_PAUSE_SECONDS

    def backlog(self) -> tuple[int, float]:
        """Files that wait, and for how many seconds the oldest has."""
        return self._pipeline.backlog()

    # ------------------------------------------------------------ inside

    def _watch(self) -> None:
        while True:
            started = time.monotonic()
            self.database = self._look()
            pause = min(max(LOOK_SECONDS, SHARE * (time.monotonic() - started)), LONGEST_PAUSE_SECONDS / 2)
            if self._stop.wait(pause if self.database.is_up else AWAY_SECONDS):
                return

    def _look(self) -> Database:
        orphans = self.database.orphans
        try:
            with self._read() as tx:
                tx.execute("SELECT 1")
        except PipelineError:
            return Database(is_up=False, orphans=orphans)
        try:
            with self._read() as tx:
                rows = reports.rows_of(tx, "dashboard", "open_orphans")
            orphans = [(row["source_table"], row["rows"], row["oldest_seconds"]) for row in rows]
        except PipelineError as problem:  # no tables yet, or too many to count in time
            logger.debug(f"[web] open orphans not counted: {problem}")
        return Database(is_up=True, orphans=orphans)

    @contextmanager
    def _read(self) -> Iterator[Cursor]:
        with self._pipeline.warehouse.transaction(deadline_seconds=ANSWER_SECONDS) as tx:
            tx.execute(query("dashboard", "read_only"))
            yield tx


class _Figures(Collector):
    """What is known only at the moment of a scrape."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._version = version()

    def collect(self) -> Iterator[Metric]:
        files, seconds = self._probes.backlog()
        orphans = self._probes.database.orphans
        yield _gauge("fastfeast_queue_files", "Files queued, in hand or settling.", files)
        yield _gauge(
            "fastfeast_oldest_waiting_seconds", "For how long the oldest waiting file has waited.", seconds
        )
        yield _gauge("fastfeast_database_up", "1 when PostgreSQL answers.", self._probes.database_answers())
        oldest = max((age for _, _, age in orphans), default=0)
        yield _gauge("fastfeast_oldest_orphan_seconds", "For how long the oldest open orphan has waited.", oldest)
        by_table = GaugeMetricFamily("fastfeast_open_orphans", "Orphans that wait for a parent.", labels=["table"])
        for table, rows, _ in orphans:
            by_table.add_metric([table], rows)
        yield by_table
        build = GaugeMetricFamily("fastfeast_build_info", "1; what runs.", labels=["version", "python"])
        build.add_metric([self._version, platform.python_version()], 1)
        yield build


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))


def version() -> str:
    """The project's version, from pyproject.toml."""
    try:
        with (PROJECT_ROOT / "pyproject.toml").open("rb") as file:
            return str(tomllib.load(file)["project"]["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return "unknown"
