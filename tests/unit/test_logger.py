"""What is logged is in the file, one JSON object a line, without data, whatever happens to file and console."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError, FileRejected
from utils import logger as log
from utils.logger import get_logger

SECRET = "nour.adel@example.com"
PROJECT_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    """The folder of a log that is set up."""
    folder = tmp_path / "logs"
    log.setup(folder, "DEBUG", console=False)
    yield folder
    log.shutdown()


def today(folder: Path) -> Path:
    return folder / f"pipeline_{dt.datetime.now(dt.UTC):%Y-%m-%d}.log"


def lines(folder: Path) -> list[dict[str, Any]]:
    """What was written, oldest file first; fails on a line that isn't strict JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    texts = [path.read_bytes().decode() for path in sorted(folder.glob("*.log"))]
    return [json.loads(line, parse_constant=refuse) for line in "".join(texts).splitlines()]


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def run(program: str, folder: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `program` in a Python of its own; `folder` is its argument."""
    arguments = [sys.executable, "-c", program, str(folder)]
    return subprocess.run(
        arguments, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True, timeout=60, check=False, **more
    )


PREAMBLE = """
import os, sys
from pathlib import Path
from utils.logger import get_logger, setup, shutdown
folder = Path(sys.argv[1])
logger = get_logger("some.module")
"""


# ---------------------------------------------------------------- lines


def test_a_line_holds_time_level_module_message_and_extras_in_this_order(logs: Path) -> None:
    get_logger("ingestion.runner").info(
        "[runner] processed %d files", 5, extra={"count": 5, "file_name": "o.json"}
    )
    log.shutdown()
    (line,) = lines(logs)
    assert list(line) == ["time", "level", "module", "msg", "count", "file_name"]
    written = dt.datetime.strptime(line.pop("time"), "%Y-%m-%d %H:%M:%S")
    assert abs(written - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(minutes=1)
    assert line == {
        "level": "INFO",
        "module": "ingestion.runner",
        "msg": "[runner] processed 5 files",
        "count": 5,
        "file_name": "o.json",
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Path("/in/orders.json"), "/in/orders.json"),
        (float("nan"), "nan"),
        ({("a", 1): 2}, "{('a', 1): 2}"),
        ([1, {"x": None}], [1, {"x": None}]),
        (ValueError(SECRET), "ValueError"),
        ("two\nlines\r\x1b[2J\x85\u2028\u2029", "two\nlines\r\x1b[2J\x85\u2028\u2029"),
        ("a name from a foreign disk \udcff", "a name from a foreign disk \udcff"),
    ],
    ids=["path", "nan", "keys", "nested", "error", "line breaks", "surrogate"],
)
def test_any_extra_is_written_and_stays_in_its_line(logs: Path, value: Any, written: Any) -> None:
    get_logger("m").info("one\ntwo \x9b31m", extra={"value": value})
    log.shutdown()
    (line,) = lines(logs)
    assert line["msg"] == "one\ntwo \x9b31m"
    assert line["value"] == written
    assert not set(today(logs).read_text().removesuffix("\n")) & {"\x1b", "\x85", "\x9b", "\u2028"}


def test_a_message_that_does_not_fit_its_arguments_is_still_written(tmp_path: Path) -> None:
    program = f"""
setup(folder)
logger.info("%d rows", {SECRET!r})
shutdown()
"""
    done = run(PREAMBLE + program, tmp_path, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [line["msg"] for line in lines(tmp_path)] == ["%d rows"]


def test_the_level_holds_for_every_logger(tmp_path: Path) -> None:
    log.setup(tmp_path, "WARNING", console=False)
    for name in ("utils.x", "some.library"):
        logging.getLogger(name).info("no")
        logging.getLogger(name).warning("yes")
    log.shutdown()
    assert [(line["module"], line["msg"]) for line in lines(tmp_path)] == [
        ("utils.x", "yes"),
        ("some.library", "yes"),
    ]


# ---------------------------------------------------------------- errors


def fail(error: Exception) -> None:
    raise error


def test_of_an_error_class_and_place_are_logged_and_never_its_text(
    logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        fail(ValueError(SECRET))
    except ValueError:
        get_logger("m").exception("it failed")
    log.shutdown()
    (line,) = lines(logs)
    assert line["error"] == "ValueError"
    assert [frame.rpartition(":")[0] for frame in line["at"]] == ["unit/test_logger.py"] * 2
    assert line["at"][-1].endswith(" fail")
    assert SECRET not in today(logs).read_text()
    assert caplog.records[0].exc_info, "other handlers still get the record whole"


def test_the_text_of_our_own_errors_is_logged(logs: Path) -> None:
    get_logger("m").error("refused", exc_info=FileRejected("orders.json: no column order_id"))
    log.shutdown()
    assert lines(logs)[0]["error"] == "FileRejected: orders.json: no column order_id"


def test_a_thread_that_dies_of_an_error_is_logged_by_name(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    thread = threading.Thread(target=fail, args=(ValueError(SECRET),), name="sla-updater")
    thread.start()
    thread.join()
    log.shutdown()
    (line,) = lines(logs)
    assert (line["level"], line["error"]) == ("CRITICAL", "ValueError")
    assert "sla-updater" in line["msg"]
    assert SECRET not in today(logs).read_text() + "".join(capfd.readouterr())


class _FailsAtItsEnd:
    def __del__(self) -> None:
        raise ValueError(SECRET)


def test_warnings_and_errors_that_nothing_can_catch_are_logged_without_their_text(
    logs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(SECRET, UserWarning, stacklevel=1)
    _FailsAtItsEnd()
    log.shutdown()
    warned, failed = lines(logs)
    assert "UserWarning at unit/test_logger.py:" in warned["msg"]
    assert failed["error"] == "ValueError"
    assert SECRET not in today(logs).read_text() + "".join(capfd.readouterr())


def test_shutdown_takes_back_all_that_setup_changed(tmp_path: Path) -> None:
    def state() -> tuple[object, ...]:
        root = logging.getLogger()
        hooks = threading.excepthook, sys.unraisablehook, warnings.showwarning
        return root.level, [*root.handlers], threading.active_count(), *hooks

    before = state()
    log.setup(tmp_path / "one", console=False)
    log.setup(tmp_path / "two", console=False)
    get_logger("m").warning("here")
    assert state() != before
    log.shutdown()
    log.shutdown()
    assert state() == before
    assert lines(tmp_path / "one") == []
    assert len(lines(tmp_path / "two")) == 1


def test_before_setup_and_after_shutdown_a_logger_works_and_says_nothing(tmp_path: Path) -> None:
    program = f"""
logger.error("before", exc_info=ValueError({SECRET!r}))
setup(folder)
shutdown()
logger.error("after")
"""
    done = run(PREAMBLE + program, tmp_path, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert lines(tmp_path) == []


# ---------------------------------------------------------------- the file


def test_everything_logged_before_shutdown_is_in_the_file_in_whole_lines(logs: Path) -> None:
    def write(number: int) -> None:
        for count in range(500):
            get_logger("m").info("x" * 200, extra={"writer": number, "count": count})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.shutdown()
    written = lines(logs)
    assert len(written) == 2000
    for number in range(4):
        assert [line["count"] for line in written if line["writer"] == number] == list(range(500))


def test_a_line_goes_to_the_file_of_its_own_utc_day(logs: Path) -> None:
    logger = get_logger("m")
    for moment in ("2026-02-21 23:59:59.999", "2026-02-22 00:00:00", "2026-02-21 23:59:59.999"):
        record = logger.makeRecord("m", logging.INFO, "", 0, moment[:19], (), None)
        record.created = dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC).timestamp()
        logger.handle(record)
    log.shutdown()
    names = [path.name for path in sorted(logs.iterdir())]
    assert names == ["pipeline_2026-02-21.log", "pipeline_2026-02-22.log"]
    assert [line["msg"] for line in lines(logs)] == [*["2026-02-21 23:59:59"] * 2, "2026-02-22 00:00:00"]
    assert all(line["time"] == line["msg"] for line in lines(logs))


def test_folder_and_file_are_closed_to_other_users(logs: Path) -> None:
    get_logger("m").info("here")
    log.shutdown()
    assert stat.S_IMODE(logs.stat().st_mode) == 0o700
    assert stat.S_IMODE(today(logs).stat().st_mode) == 0o600


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_removed_or_moved_by_others_is_made_anew(logs: Path, replaced: bool) -> None:
    get_logger("m").info("first")
    wait_until(lambda: today(logs).exists() and today(logs).read_text())
    today(logs).rename(logs.parent / "old")
    if replaced:
        today(logs).touch()
    get_logger("m").info("second")
    log.shutdown()
    assert [line["msg"] for line in lines(logs)] == ["second"]


def test_a_removed_folder_is_made_anew(logs: Path) -> None:
    logs.rmdir()
    get_logger("m").info("here")
    log.shutdown()
    assert [line["msg"] for line in lines(logs)] == ["here"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_on_a_full_disk_logging_goes_on_complains_once_and_resumes(
    logs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    today(logs).symlink_to("/dev/full")
    for _ in range(3):
        get_logger("m").info("no room")
    said = ""

    def complained() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return bool(said)

    wait_until(complained)
    get_logger("m").info("no room")
    time.sleep(0.05)  # so that the listener sees the full disk for this one, too; harmless if it doesn't
    today(logs).unlink()
    get_logger("m").info("room again")
    log.shutdown()
    gap, resumed = (line["msg"] for line in lines(logs)[-2:])
    assert "could not be written" in gap
    assert resumed == "room again"
    said += capfd.readouterr().err
    assert said == "! the log can't be written: No space left on device\n"


def test_a_line_that_was_written_by_half_is_taken_back(tmp_path: Path) -> None:
    program = """
import resource, signal, time
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
setup(folder, console=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
logger.info("x" * 600)
logger.info("y" * 600)
shutdown()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
setup(folder, console=False)
logger.info("z")
shutdown()
"""
    done = run(PREAMBLE + program, tmp_path)
    assert (done.returncode, done.stderr) == (0, "! the log can't be written: File too large\n")
    assert [line["msg"][0] for line in lines(tmp_path)] == ["x", "z"]


def test_a_folder_that_can_not_be_used_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    with pytest.raises(ConfigError, match=r"logging\.dir"):
        log.setup(tmp_path / "logs")


# ---------------------------------------------------------------- the console


def test_the_console_shows_what_is_meant_for_it_and_warnings_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.setup(tmp_path)
    logger = get_logger("m")
    logger.info("not for the screen")
    logger.info("banner", extra={"screen": "=====\n🚀 running\n====="})
    logger.error("failed", extra={"screen": "✗ orders.json"})
    logger.warning("beware\nof \x1b[2J")
    log.shutdown()
    assert capsys.readouterr() == ("=====\n🚀 running\n=====\n✗ orders.json\n", "! beware of  [2J\n")
    assert len(lines(tmp_path)) == 4
    assert not any("screen" in line for line in lines(tmp_path))


def test_without_a_console_nothing_is_printed(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    get_logger("m").critical("serious", extra={"screen": "serious"})
    log.shutdown()
    assert capfd.readouterr() == ("", "")
    assert len(lines(logs)) == 1


def test_a_reader_that_went_away_costs_no_log_line_and_no_exit_code(tmp_path: Path) -> None:
    program = """
setup(folder)
for count in range(3):
    logger.info("line", extra={"screen": "text"})
shutdown()
"""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = run(PREAMBLE + program, tmp_path, stdout=writer, env=buffered)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(lines(tmp_path)) == 3


def test_a_console_that_lacks_a_character_shows_the_rest(tmp_path: Path) -> None:
    program = """
setup(folder)
logger.info("line", extra={"screen": "\\u2717 orders.json"})
shutdown()
"""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run(PREAMBLE + program, tmp_path, stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u2717 orders.json\n", "")
