"""`python main.py` as a process of its own: started, watched until it is ready, ended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.config_loader import PROJECT_ROOT
from scripts.benchmarks.server import CountError, Database, environment

READY = b"is running!"
START_SECONDS, STOP_SECONDS = 120, 30


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon; `started` is when its process was made (perf_counter), `ready_seconds` from there on."""

    pid: int
    started: float
    ready_seconds: float

    def peak_megabytes(self) -> float:
        """The most memory it ever had resident (VmHWM), in MB of 2²⁰ bytes."""
        return peak_megabytes(self.pid)


def peak_megabytes(pid: int) -> float:
    """VmHWM of a live process, in MB of 2²⁰ bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


@contextmanager
def daemon(database: Database) -> Iterator[Daemon]:
    """Run the daemon on the database; within, it says that it is ready. It is ended by its process id."""
    output = database.home / "daemon.txt"
    with environment(database.variables()) as variables, output.open("wb") as sink:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(PROJECT_ROOT / "main.py")],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Daemon(process.pid, started, _wait_until_ready(process, output, started))
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], output: Path, started: float) -> float:
    while READY not in (said := output.read_bytes()):
        if process.poll() is not None or time.perf_counter() - started > START_SECONDS:
            tail = said.decode(errors="replace")[-2_000:]
            raise CountError(f"the daemon did not come up within {START_SECONDS} s; it said:\n{tail}")
        time.sleep(0.005)
    return time.perf_counter() - started
