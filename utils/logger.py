"""Structured logs: every thread puts records into a queue, one listener thread writes file and console."""

from __future__ import annotations

import copy
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
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TextIO

from config.errors import ConfigError, PipelineError

SCREEN = "screen"  # extra={SCREEN: text}: the text goes to the console as it is; '' keeps it off
ALERT = "alert"  # extra={ALERT: kind}: the record is an alert, and goes to the file of alerts, too
COMPLAIN_EVERY_SECONDS = 60.0
MAX_FRAMES = 30
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", SCREEN}
# JSON allows these within a text, but terminals and line readers act on them
_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}

_running = ExitStack()  # what shutdown() has to undo
_lock = threading.Lock()  # guards _running


def get_logger(name: str) -> logging.Logger:
    """The logger of module `name`. Safe at import: until setup() its records go nowhere."""
    logger = logging.getLogger(name)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # else logging prints to stderr, tracebacks and all
    return logger


def setup(directory: Path, level: str = "INFO", console: bool = True) -> None:
    """Start the listener thread: `directory`/pipeline_YYYY-MM-DD.log (UTC), and the console.

    Alerts are also in alerts_YYYY-MM-DD.jsonl, so that `status` need not look through all of the log.
    Takes the records of all loggers, also of libraries, and Python's own complaints: warnings and errors that
    end a thread or come up where nothing can catch them. Raises ConfigError when `directory` can't be used.
    """
    with _lock:
        _running.close()
        file, alerts = _DailyFile(directory, "pipeline_{}.log"), _DailyFile(directory, "alerts_{}.jsonl")
        alerts.addFilter(lambda record: hasattr(record, ALERT))
        _running.callback(file.close)
        _running.callback(alerts.close)
        records: queue.SimpleQueue[Any] = queue.SimpleQueue()  # unlike Queue, safe when a put interrupts a put
        listener = logging.handlers.QueueListener(records, file, alerts, *([_Console()] if console else []))
        listener.start()
        _running.callback(listener.stop)
        root, handler = logging.getLogger(), _Enqueue(records)
        _running.callback(root.setLevel, root.level)
        root.setLevel(level)
        root.addHandler(handler)
        _running.callback(root.removeHandler, handler)
        _running.callback(_hook_up())


def shutdown() -> None:
    """Write everything that was logged before, and stop the listener. Idempotent."""
    with _lock:
        _running.close()


# ---------------------------------------------------------------- what Python itself complains of


def _hook_up() -> Callable[[], None]:
    """Have Python's complaints logged, without texts that may quote data; returns what takes that back."""
    before = threading.excepthook, sys.unraisablehook, warnings.showwarning

    def unhook() -> None:
        threading.excepthook, sys.unraisablehook, warnings.showwarning = before

    threading.excepthook, sys.unraisablehook = _log_thread_crash, _log_unraisable
    warnings.showwarning = _log_warning
    return unhook


def _log_thread_crash(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_type is not SystemExit:
        name = crash.thread.name if crash.thread else "?"
        get_logger(__name__).critical(f"[thread] {name} ended by an error", exc_info=crash.exc_value)


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    get_logger(__name__).error("[python] an error that nothing could catch", exc_info=unraisable.exc_value)


def _log_warning(*arguments: Any, **_named: Any) -> None:
    _message, category, filename, lineno, *_ = arguments
    get_logger(__name__).warning(f"[python] {category.__name__} at {_place(filename)}:{lineno}")


# ---------------------------------------------------------------- records


class _Enqueue(logging.handlers.QueueHandler):
    """Takes from an exception what may be logged, its class and place: its text may quote the data."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """A copy, for other handlers may want the record whole."""
        record = copy.copy(record)
        try:
            record.msg = record.getMessage()
        except (TypeError, ValueError, LookupError):  # arguments that don't fit the message
            record.msg = str(record.msg)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.error = describe(error)
            frames = [*traceback.walk_tb(error.__traceback__)][-MAX_FRAMES:]
            record.at = [
                f"{_place(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}" for frame, line in frames
            ]
        record.args = record.exc_info = record.exc_text = record.stack_info = None
        return record

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Without the traceback that logging would print."""
        _print("! a log record could not be made", sys.stderr)


def describe(error: BaseException) -> str:
    """What may be said of an error: its class; its text only if it is one of ours, which hold no data."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, PipelineError) else name


def _place(filename: str) -> str:
    return "/".join(Path(filename).parts[-2:])


def as_line(record: logging.LogRecord) -> bytes:
    """One line of JSON: time (UTC), level, module, msg, then the extras."""
    keys = {
        "time": _utc(record).strftime("%Y-%m-%d %H:%M:%S"),
        "level": record.levelname,
        "module": record.name,
        "msg": record.getMessage(),
    }
    extras = {key: value for key, value in vars(record).items() if key not in _STANDARD and key not in keys}
    text = ", ".join(f"{_json(key)}: {_json(value)}" for key, value in (keys | extras).items())
    return f"{{{text}}}\n".translate(_CONTROLS).encode("utf-8", "backslashreplace")


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_text)
    except (TypeError, ValueError, RecursionError):  # keys that aren't text, NaN, circles
        return json.dumps(_text(value), ensure_ascii=False)


def _text(value: object) -> str:
    return describe(value) if isinstance(value, BaseException) else str(value)


def _utc(record: logging.LogRecord) -> dt.datetime:
    return dt.datetime.fromtimestamp(record.created, dt.UTC)


# ---------------------------------------------------------------- file


class _DailyFile(logging.Handler):
    """Appends to the file of the record's UTC day; goes on when the disk is full or the file was removed."""

    def __init__(self, directory: Path, name: str) -> None:
        super().__init__()
        self._directory = directory
        self._name = name  # {}: the day
        self._path = directory
        self._file: int | None = None  # descriptor
        self._lost = 0
        self._complained_at = float("-inf")
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"logging.dir: can't make {directory}: {error.strerror}") from None
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ConfigError(f"logging.dir: {directory} is not writable by this user")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._append(record)
        except Exception as error:  # noqa: BLE001  (the one listener thread has to outlive every record)
            self._lost += 1
            self._close_file()
            self._complain(error)

    def close(self) -> None:
        self._close_file()
        super().close()

    def _append(self, record: logging.LogRecord) -> None:
        line = as_line(record)
        file = self._open(self._directory / self._name.format(f"{_utc(record):%Y-%m-%d}"))
        if self._lost:
            line = as_line(self._gap()) + line
        _write_all(file, line)
        self._lost = 0

    def _gap(self) -> logging.LogRecord:
        message = f"[log] lines before this one could not be written: {self._lost}"
        return logging.makeLogRecord(
            {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": message}
        )

    def _open(self, path: Path) -> int:
        """The descriptor of `path`, opened anew if it is another day's or the file is no longer there."""
        if self._file is not None and path == self._path:
            with suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(self._file)):
                    return self._file
        self._close_file()
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.close(file)

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY_SECONDS:
            self._complained_at = now
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            _print(f"! the log can't be written: {reason}", sys.stderr)


def _write_all(file: int, data: bytes) -> None:
    """All of `data`, or nothing: half a line would spoil the next one."""
    size, done = os.fstat(file).st_size, 0
    try:
        while done < len(data):
            done += os.write(file, data[done:])
    except OSError:
        if done and os.fstat(file).st_size == size + done:  # nobody else has written since
            os.ftruncate(file, size)
        raise


# ---------------------------------------------------------------- console


class _Console(logging.Handler):
    """The one writer of the console: what is meant for it, and all warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        screen = getattr(record, SCREEN, None)
        if screen is not None:
            if screen:
                _print(str(screen), sys.stdout)
        elif record.levelno >= logging.WARNING:
            text = "".join(c if c.isprintable() else " " for c in record.getMessage())
            _print(f"! {text}", sys.stderr)


def _print(text: str, stream: TextIO | None) -> None:
    if stream is None:  # a process without a console
        return
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except BrokenPipeError:  # nobody reads it any more; what is still buffered must not fail at exit
        with suppress(OSError, ValueError):
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, stream.fileno())
            os.close(devnull)
    except (OSError, ValueError):
        pass
