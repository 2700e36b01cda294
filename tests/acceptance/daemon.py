"""The pipeline as its users have it: a process, a home folder, and a database to look into."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg2
import psycopg2.extras
import yaml

from tests.acceptance import forks, samples

ROOT = Path(__file__).resolve().parents[2]
SHIPPED_CONFIG = ROOT / "config" / "pipeline_config.yaml"
BANNER = "FastFeast Pipeline is running"
QUICK: dict[str, Any] = {
    "watcher": {"settle_seconds": 0.3, "rescan_seconds": 1},
    "quarantine": {"retry_minutes": 0.05},
    "web": {"enabled": False, "port": 0},
}
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "XDG_RUNTIME_DIR")


def wait_until(
    condition: Callable[[], Any], what: str | Callable[[], str], *, seconds: float = 30, every: float = 0.05
) -> Any:
    """The first truthy value of `condition`; fails with `what` when there was none in `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(every)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping."""
    result = dict(base)
    for key, value in changes.items():
        mapping = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if mapping else value
    return result


class Daemon:
    """A running `python main.py`; its console goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes] | forks.Process, console: Path) -> None:
        self.process = process
        self.console = console

    def output(self) -> str:
        return self.console.read_text(encoding="utf-8", errors="replace")

    def wait_for_banner(self, seconds: float = 60) -> Daemon:
        def ready() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.output()[-3000:]}"
            return BANNER in self.output()

        wait_until(ready, f"the banner; console: {self.output()[-3000:]}", seconds=seconds)
        return self

    def stop(self, sign: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        """Ask it to stop; returns the exit code, fails when it doesn't end in `seconds`."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(seconds)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


class Product:
    """One installation: a home folder with its own YAML, and, without `url`, its own embedded server."""

    def __init__(self, home: Path, url: str | None = None, **changes: Any) -> None:
        self.home = home
        self.url = url
        self.watch_url = url  # where the test looks; not by way of a proxy
        self.env: dict[str, str] = {}
        self.archive = home.parent / f"{home.name}-archive"
        self.config = home / "config.yaml"
        home.mkdir(parents=True, exist_ok=True)
        (home / ".env").touch()  # else the project's would be used, which a developer may have
        self.configure(**changes)
        self._consoles = 0

    def configure(self, **changes: Any) -> None:
        """Write the YAML: the shipped one, made quick, with `changes` laid over it."""
        shipped = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
        config = merged(merged(shipped, QUICK), changes)
        self.config.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")

    # ------------------------------------------------------------ input

    def put(self, relative: str, content: str | bytes | Iterable[samples.Fields]) -> Path:
        """Put a whole file at `relative` under data/ at once; a copy stays for whoever judges it later."""
        path = samples.write(self.home / "data" / relative, content)
        self.keep(path)
        return path

    def stream(self, hour: str, name: str, content: str | bytes | Iterable[samples.Fields]) -> Path:
        return self.put(f"input/stream/{samples.DAY}/{hour}/{name}", content)

    def batch(self, name: str, content: str | bytes | Iterable[samples.Fields], day: str | None = None) -> Path:
        """Put a batch file into the folder of `day`, by default today's (UTC), whose hour has come."""
        day = day or dt.datetime.now(dt.UTC).date().isoformat()
        return self.put(f"input/batch/{day}/{name}", content)

    def keep(self, path: Path) -> None:
        copy = self.kept(path, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)  # with its time, which may tell which file is newer

    def kept(self, path: Path, md5: str) -> Path:
        return self.archive / md5 / path.name

    # ------------------------------------------------------------ processes

    def command(self, *args: str) -> list[str]:
        return [sys.executable, str(ROOT / "main.py"), *args]

    def environment(self) -> dict[str, str]:
        env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        env |= {"FASTFEAST_HOME": str(self.home), "FASTFEAST_CONFIG": str(self.config)}
        if self.url is not None:
            env["DATABASE_URL"] = self.url
        return env | self.env

    def once(self, *, expect: int | None = None, seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """Run `python main.py once`; `expect` is the exit code to insist on."""
        return self.run("once", expect=expect, seconds=seconds)

    def run(
        self, *arguments: object, expect: int | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a process; `expect` is the exit code to insist on."""
        command = self.command(*map(str, arguments))
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = self._process(command, out, err)
            try:
                code = process.wait(seconds)
            finally:
                process.kill()
                process.wait(10)
            out.seek(0)
            err.seek(0)
            done = subprocess.CompletedProcess(command, code, out.read(), err.read())
        text = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert expect is None or done.returncode == expect, f"exit {done.returncode}, not {expect}: {text}"
        return done

    def start(self, *command: str) -> Daemon:
        """Start the daemon (or `command`) without waiting for it; whoever starts it stops it."""
        self._consoles += 1
        console = self.home / f"console-{self._consoles}.txt"
        with console.open("wb") as out:
            process = self._process(list(command) or self.command(), out, out)
        return Daemon(process, console)

    def _process(self, command: list[str], out: IO[Any], err: IO[Any]) -> subprocess.Popen[bytes] | forks.Process:
        """Forked, where it is a program of this code, else by subprocess."""
        env = self.environment()
        if command[0] != sys.executable or not Path(command[1]).is_relative_to(ROOT):
            env["PYTHONUNBUFFERED"] = "1"
            nothing = subprocess.DEVNULL
            return subprocess.Popen(command, cwd=self.home, env=env, stdin=nothing, stdout=out, stderr=err)
        with Path(os.devnull).open("rb") as nothing_to_read:
            streams = (nothing_to_read.fileno(), out.fileno(), err.fileno())
            return forks.fork(command, cwd=self.home, env=env, streams=streams)

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        """The daemon, ready; at the end it is stopped and has to exit with 0."""
        daemon = self.start()
        try:
            yield daemon.wait_for_banner()
            assert daemon.stop() == 0, daemon.output()[-3000:]
        finally:
            daemon.kill()

    # ------------------------------------------------------------ database

    def connect(self) -> psycopg2.extensions.connection:
        assert self.watch_url is not None
        return psycopg2.connect(self.watch_url, options="-c timezone=UTC")

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        connection = self.connect()
        try:
            with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                cursor.execute(query, parameters or None)
                return [dict(row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def value(self, query: str, *parameters: Any) -> Any:
        """The one value that `query` gives, or None; also None while the table isn't there yet."""
        try:
            rows = self.rows(query, *parameters)
        except (psycopg2.errors.UndefinedTable, psycopg2.OperationalError):
            return None
        return next(iter(rows[0].values())) if rows else None

    def file_log(self) -> list[dict[str, Any]]:
        """pipeline_file_log in the order of loading."""
        return self.rows("SELECT * FROM pipeline_file_log ORDER BY file_id")

    def wait_for_files(self, count: int, seconds: float = 30) -> None:
        """Wait until `count` files are in the file log."""
        query = "SELECT count(*) FROM pipeline_file_log"
        wait_until(
            lambda: (self.value(query) or 0) >= count,
            lambda: f"{count} files in the file log; it has {self.value(query)}",
            seconds=seconds,
        )
