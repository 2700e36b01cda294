"""Structured logs: every thread puts records into a queue, one listener thread writes file and console."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import logging.handlers
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from config.errors import PipelineError

ROOT = "fastfeast"
SCREEN = "screen"  # extra={SCREEN: text}: the text goes to the console as it is
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_COMPLAIN_EVERY_SECONDS = 60.0

_listener: logging.handlers.QueueListener | None = None
_file: _DailyFile | None = None
_queue_handler: logging.handlers.QueueHandler | None = None


def get_logger(name: str) -> logging.Logger:
    """The logger of a module. Safe at import: until setup() its records go nowhere."""
    return logging.getLogger(f"{ROOT}.{name}")


def setup(directory: Path, level: str = "INFO", *, console: bool = True) -> None:
    """Start the listener thread: `directory`/pipeline_YYYY-MM-DD.log (UTC), and the console."""
    global _listener, _file, _queue_handler  # noqa: PLW0603  (one log a process)
    shutdown()
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    _file = _DailyFile(directory)
    handlers: list[logging.Handler] = [_file, *([_Console()] if console else [])]
    _listener = logging.handlers.QueueListener(records, *handlers)
    _queue_handler = _Enqueue(records)
    root = logging.getLogger(ROOT)
    root.setLevel(level)
    root.propagate = False
    root.addHandler(_queue_handler)
    _listener.start()
    threading.excepthook = _log_thread_crash


def shutdown() -> None:
    """Write everything that was logged before, and stop the listener. Idempotent."""
    global _listener, _file, _queue_handler  # noqa: PLW0603
    if _queue_handler is not None:
        logging.getLogger(ROOT).removeHandler(_queue_handler)
    if _listener is not None:
        _listener.stop()
        threading.excepthook = threading.__excepthook__
    if _file is not None:
        _file.close()
    _listener = _file = _queue_handler = None


def _log_thread_crash(crash: threading.ExceptHookArgs) -> None:
    name = crash.thread.name if crash.thread else "?"
    get_logger(__name__).critical(f"[thread] {name} ended by an error", exc_info=crash.exc_value)


class _Enqueue(logging.handlers.QueueHandler):
    """Takes from an exception what may be logged, its class and place: its text may quote the data."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            error = record.exc_info[1]
            record.exc_info = None
            if error is not None:
                record.error = (
                    f"{type(error).__name__}: {error}"
                    if isinstance(error, PipelineError)
                    else type(error).__name__
                )
                frames = traceback.extract_tb(error.__traceback__)
                record.at = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
        return record


def as_json(record: logging.LogRecord) -> str:
    """One line: time (UTC), level, module, msg, then the extras."""
    line: dict[str, Any] = {
        "time": dt.datetime.fromtimestamp(record.created, dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "level": record.levelname,
        "module": record.name.removeprefix(f"{ROOT}."),
        "msg": record.getMessage(),
    }
    line |= {k: v for k, v in record.__dict__.items() if k not in _STANDARD and k != SCREEN}
    return json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode()


class _DailyFile(logging.Handler):
    """Appends to the file of the record's UTC day; goes on when the disk is full or the file was removed."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._day = ""
        self._stream: TextIO | None = None
        self._path = directory
        self._complained_at = float("-inf")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            stream = self._open(record)
            stream.write(as_json(record) + "\n")
            stream.flush()
        except (OSError, ValueError) as error:
            self._drop_stream()
            self._complain(error)

    def _open(self, record: logging.LogRecord) -> TextIO:
        day = dt.datetime.fromtimestamp(record.created, dt.UTC).strftime("%Y-%m-%d")
        if self._stream is None or day != self._day or not self._path.exists():
            self._drop_stream()
            self._day = day
            self._path = self._directory / f"pipeline_{day}.log"
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._stream = os.fdopen(os.open(self._path, flags, 0o600), "a", encoding="utf-8")
        return self._stream

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(OSError):  # what could not be written then is lost
                stream.close()

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained_at >= _COMPLAIN_EVERY_SECONDS:
            self._complained_at = now
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            _print(f"! the log can't be written: {reason}", sys.stderr)

    def close(self) -> None:
        self._drop_stream()
        super().close()


class _Console(logging.Handler):
    """The one writer of the console: what is meant for it, and all warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        text = getattr(record, SCREEN, None)
        if text is not None:
            _print(text, sys.stdout)
        elif record.levelno >= logging.WARNING:
            _print(f"! {record.getMessage()}", sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
        print(text, file=stream, flush=True)
