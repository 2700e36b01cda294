"""The coordinator's side of a cluster: hands files to workers elsewhere, by dask.distributed."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Self

from config.errors import ConfigError, Stopped
from config.jobs import FileJob, FileOutcome
from config.settings import ExecutionConfig, PipelineConfig
from ingestion.engines.crossing import unpack
from ingestion.engines.dask_worker import WORKER_POOL, Answer, Call, config_id, perform
from ingestion.engines.engine import Grace, Healing
from ingestion.group_load import Together
from utils import metrics
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

if TYPE_CHECKING:
    from distributed import Client, Future

logger = get_logger(__name__)

LOOK_SECONDS = 0.25  # between two looks at a task
LONELY_SECONDS = 60.0  # a task that takes so long may be waiting for a worker to come
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 15.0
CONNECT_SECONDS = 5
DEATHS = 10  # of workers with one task in hand, before the task is given up by the cluster and put off here


def connections_elsewhere(execution: ExecutionConfig) -> int:
    """Connections to the database that all workers together may hold."""
    return execution.workers * WORKER_POOL


class DaskEngine:
    """An engine whose work is done by a cluster: that of `execution.scheduler`, or processes on this machine.

    A context: entering connects, leaving lets go. What the cluster loses (a worker, a scheduler, an answer) is
    handed out again: a file that was loaded after all is found done by its claim. Thread-safe.
    """

    def __init__(self, config: PipelineConfig, stop: threading.Event, client: Client | None = None) -> None:
        """`client` is a connection to a cluster that is there already."""
        self._execution = config.execution
        self._config_id = config_id(config)
        self._healing = Healing(config)
        self._stop = stop
        self._grace = Grace(stop)
        self._lock = threading.Lock()  # guards _client and _cluster
        self._client = client
        self._cluster: Any = None

    def load(self, job: FileJob) -> FileOutcome:
        """Have the file loaded. Raises what FileLoad.run raises, wherever it ran."""
        outcome: FileOutcome = self._perform("load", job)
        return outcome

    def load_together(self, jobs: Sequence[FileJob]) -> Together:
        """Have small files of one spec loaded by one worker in one transaction."""
        together: Together = self._perform("load_together", jobs)
        return together

    def heal(self, outcomes: Sequence[FileOutcome]) -> int:
        """How many orphans that these outcomes concern were healed with them, or are healed now."""
        left = [outcome for outcome in outcomes if self._healing.is_wanted(outcome)]
        healed: int = self._perform("heal", left) if left else 0
        return healed + sum(outcome.healed or 0 for outcome in outcomes)

    def __enter__(self) -> Self:
        """Connect, or start local processes. Raises ConfigError without the package, or when stopped: Stopped."""
        try:
            import distributed  # noqa: F401
        except ImportError:
            raise ConfigError(
                "execution.engine: dask needs a package that is not installed; run: "
                "pip install -r requirements-cluster.txt"
            ) from None
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said here
        try:
            self._connected()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the cluster; local processes end."""
        with self._lock:
            client, cluster, self._client, self._cluster = self._client, self._cluster, None, None
        for part in (client, cluster):
            if part is not None:
                part.close(timeout=5)

    # ------------------------------------------------------------ inside

    def _perform(self, call: Call, argument: object) -> Any:
        """The result of an engine's method, as a worker does it. Raises what it raised there."""
        while True:
            try:
                client = self._connected()
                # A key of its own: the cluster must not take it for a task that it has done before.
                key = f"file-{uuid.uuid4().hex}"
                future = client.submit(perform, self._config_id, call, argument, pure=False, key=key)
                answer = self._answer(client, future)
            except (CancelledError, OSError, TimeoutError, RuntimeError) as problem:
                self._put_off(f"the cluster lost a task ({type(problem).__name__})")
                continue
            if not answer.error:
                return answer.result
            error = unpack(answer.error)
            if not isinstance(error, ConfigError):
                raise error
            send_alert(AlertKind.WORKER_UNFIT, str(error))
            self._put_off(str(error), LONGEST_WAIT_SECONDS)

    def _put_off(self, what: str, seconds: float = FIRST_WAIT_SECONDS) -> None:
        logger.warning(f"[cluster] {what}; handed out again")
        if self._stop.wait(seconds):
            raise Stopped("the pipeline stops, and the cluster has not answered; the next start finds out")

    def _answer(self, client: Client, future: Future) -> Answer:
        """Wait for the task. Raises CancelledError or OSError when the cluster has lost it."""
        from distributed import KilledWorker

        told = time.monotonic()
        while True:
            metrics.turn()  # a worker that takes long is no reason to start the service again
            try:
                answer: Answer = future.result(timeout=LOOK_SECONDS)
            except TimeoutError:
                now = time.monotonic()
                if self._grace.is_over():
                    raise Stopped("a worker was still busy when the pipeline stopped") from None
                if client.status == "closed":
                    raise OSError("the client was closed") from None
                if now - told > LONELY_SECONDS:
                    told = now
                    if not client.nthreads():
                        send_alert(AlertKind.CLUSTER_EMPTY, "Files wait in their folders until a worker comes.")
            except KilledWorker:
                send_alert(
                    AlertKind.WORKERS_DIE,
                    f"{DEATHS} workers died, one after the other, with the same file in hand",
                )
                self._put_off("its workers died", LONGEST_WAIT_SECONDS)
                raise CancelledError from None
            else:
                return answer

    def _connected(self) -> Client:
        """The client, made anew if it was closed, however long that takes; an alert at the start and the end."""
        with self._lock:
            if self._client is not None and self._client.status in {"running", "connecting"}:
                return self._client
            wait, alerted = FIRST_WAIT_SECONDS, False
            while True:
                metrics.turn()
                try:
                    self._client = self._connect()
                except (OSError, TimeoutError) as problem:
                    if not alerted:
                        alerted = True
                        send_alert(
                            AlertKind.CLUSTER_AWAY, f"{self._place} ({type(problem).__name__}). Files wait."
                        )
                else:
                    if alerted:
                        send_alert(AlertKind.CLUSTER_BACK, self._place)
                    return self._client
                if self._stop.wait(wait):
                    raise Stopped("the pipeline stops, and the cluster is away")
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)

    @property
    def _place(self) -> str:
        return self._execution.scheduler or "local processes"

    def _connect(self) -> Client:
        import dask
        from distributed import Client, LocalCluster

        if self._execution.scheduler:
            return Client(
                self._execution.scheduler, timeout=CONNECT_SECONDS, set_as_default=False, name="fastfeast"
            )
        with dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}):
            self._cluster = LocalCluster(
                n_workers=self._execution.workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its HTTP port, else 8787 of all addresses
                memory_limit=0,
                preload=perform.__module__,
                silence_logs=logging.CRITICAL,
            )
        return Client(self._cluster, timeout=CONNECT_SECONDS, set_as_default=False)
