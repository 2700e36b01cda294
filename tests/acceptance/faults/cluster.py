"""A dask scheduler and workers as processes, in a network of their own if need be, started again when they die."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.acceptance.daemon import ROOT, Product, wait_until
from tests.acceptance.server import free_port


class Cluster:
    """`workers` processes of one thread each; `prefixes` are commands before theirs (one a worker)."""

    def __init__(
        self,
        product: Product,
        workers: int,
        *,
        host: str = "127.0.0.1",
        url: str | None = None,
        prefixes: Sequence[Sequence[str]] = (),
        patches: Path | None = None,
    ) -> None:
        """`url` is how the workers reach the database, where that is not the product's own way.

        `patches` is a folder whose sitecustomize.py each process runs first.
        """
        self.host, self.port = host, free_port()
        self._env = {**product.environment(), "PYTHONPATH": str(ROOT)}
        if patches:
            self._env["PYTHONPATH"] = f"{patches}:{ROOT}"
        if url:
            self._env["DATABASE_URL"] = url
        self._prefixes = prefixes or [()] * workers
        self._folder = product.home / "cluster"
        self._folder.mkdir(exist_ok=True)
        self._scheduler = self._start_scheduler()
        self.workers: list[subprocess.Popen[bytes]] = [self._start_worker(n) for n in range(workers)]
        self._ending = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")
        self._supervisor.start()

    @property
    def address(self) -> str:
        return f"tcp://{self.host}:{self.port}"

    def kill_worker(self, number: int) -> None:
        self.workers[number].kill()

    def freeze_worker(self, number: int, seconds: float) -> None:
        process = self.workers[number]
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)

    def restart_scheduler(self, away_seconds: float = 1.0) -> None:
        self._scheduler.kill()
        self._scheduler.wait()
        time.sleep(away_seconds)
        self._scheduler = self._start_scheduler()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._supervisor.join()
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()

    # ------------------------------------------------------------ inside

    def _start_scheduler(self) -> subprocess.Popen[bytes]:
        process = self._start(
            "scheduler", "distributed.cli.dask_scheduler", "--host", self.host, "--port", str(self.port)
        )

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((self.host, self.port)) == 0

        wait_until(listens, "the scheduler listens")
        return process

    def _start_worker(self, number: int) -> subprocess.Popen[bytes]:
        options = ["--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--death-timeout", "30"]
        return self._start(
            f"worker{number}",
            "distributed.cli.dask_worker",
            self.address,
            *options,
            "--local-directory",
            str(self._folder),
            prefix=self._prefixes[number],
        )

    def _start(self, name: str, module: str, *args: str, prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.txt").open("ab") as out:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", module, *args, "--no-dashboard"],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def _supervise(self) -> None:
        """As a service manager does: what ends is started again."""
        while not self._ending.wait(0.2):
            for number, process in enumerate(self.workers):
                if process.poll() is not None:
                    self.workers[number] = self._start_worker(number)


def worker_processes(pid: int) -> list[int]:
    """The process ids of the workers that a coordinator has started on this machine."""
    found: list[int] = []
    pending = [pid]
    while pending:
        for task in Path(f"/proc/{pending.pop()}/task").glob("*/children"):
            with suppress(OSError):
                pids = [int(child) for child in task.read_text().split()]
                pending += pids
                found += [child for child in pids if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return found
