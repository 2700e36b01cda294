"""Starts programs of the product quickly: a process that has imported it already forks one for each start.

What is forked is a process as any other, to be stopped and killed, with arguments, variables, folder and console
of its own. It is only spared the imports, which take longer than most of what tests let it do. `python -m
tests.acceptance.forks FD` is the process that forks; it ends when the socket with this descriptor is closed.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = (  # all that a start imports, also what is imported where it is needed
    *("main", "ingestion.pipeline", "ingestion.reload", "ingestion.rehearsal", "ingestion.not_loaded"),
    *("web.server", "workbench.session", "workbench.output", "validation.expressions.aggregates"),
    *("numpy.ma", "phonenumbers.data.region_EG", "rich.console", "rich.table", "sqlglot.dialects.postgres"),
)
NUMBER = struct.Struct("i")  # how process id and exit code travel
LONGEST_REQUEST = 1 << 17  # bytes


class Process:
    """As `subprocess.Popen`, as far as tests need it."""

    def __init__(self, pid: int, answers: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._answers = answers  # a pipe, on which the exit code comes

    def poll(self) -> int | None:
        return self.returncode if self.returncode is not None else self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; raises subprocess.TimeoutExpired after `timeout` seconds."""
        code = self.returncode if self.returncode is not None else self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, sign: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended_within(self, seconds: float | None) -> int | None:
        if select.select([self._answers], [], [], seconds)[0]:
            self.returncode = _number_from(self._answers)
            os.close(self._answers)
        return self.returncode


def fork(command: Sequence[str], *, cwd: Path, env: Mapping[str, str], streams: tuple[int, int, int]) -> Process:
    """Start `command`, its program a Python file; `streams` are descriptors of its input, output and errors."""
    request = json.dumps({"command": list(command), "cwd": str(cwd), "env": dict(env)}).encode()
    assert len(request) < LONGEST_REQUEST
    answers, answering = os.pipe()
    try:
        socket.send_fds(_server(), [request], [*streams, answering])
    finally:
        os.close(answering)
    return Process(_number_from(answers), answers)


@cache
def _server() -> socket.socket:
    """A connection to the process that forks, which is started now and lives as long as this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.acceptance.forks", str(theirs.fileno())]
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "OPENBLAS_NUM_THREADS": "1"}  # no thread is forked
    process = subprocess.Popen(command, cwd=ROOT, env=env, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    def close() -> None:
        ours.shutdown(socket.SHUT_RDWR)
        ours.close()
        process.wait(20)

    atexit.register(close)
    return ours


def _number_from(pipe: int) -> int:
    data = os.read(pipe, NUMBER.size)
    assert data, "the process that forks has ended"
    (number,) = NUMBER.unpack(data)
    return int(number)


# ---------------------------------------------------------------- the process that forks


def serve(requests: socket.socket) -> None:
    """Fork for every request; returns when there are no more, and in each process that is to be the product."""
    for module in IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
        _reap()
        if not data:
            return
        if os.fork() == 0:
            _keep(requests, json.loads(data), *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(requests: socket.socket, request: dict[str, object], *descriptors: int) -> None:
    """Fork once more: the one waits for the other and says how it ended, the other is the product."""
    requests.close()
    *streams, answers = descriptors
    if pid := os.fork():
        os.write(answers, NUMBER.pack(pid))
        for descriptor in (0, 1, 2, *streams):  # whoever reads the product's output shall see its end
            os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(BrokenPipeError):
            os.write(answers, NUMBER.pack(code))
        os._exit(0)
    os.close(answers)
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    _become(**request)  # type: ignore[arg-type]


def _become(command: list[str], cwd: str, env: dict[str, str]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = command[1:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as listened_to:
        serve(listened_to)
