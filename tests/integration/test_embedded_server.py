"""The embedded PostgreSQL is there when a process needs it and gone when none does, whatever happened before."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from config.errors import ConfigError
from datawarehouse.embedded_data import PORT
from datawarehouse.embedded_server import EmbeddedServer
from datawarehouse.embedded_settings import server_settings

# SIGINT may be ignored by whoever started the tests, and so by their children
USER_OF_SERVER = """
import signal
import sys
from pathlib import Path
from datawarehouse.embedded_server import EmbeddedServer
signal.signal(signal.SIGINT, signal.default_int_handler)
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print("up", flush=True)
sys.stdin.readline()
server.stop()
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path that the server's account may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="ff-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def data_dir(folder: Path) -> Path:
    """A data directory that has been used before; no server runs on it."""
    server = EmbeddedServer(folder / "used")
    server.start()
    server.stop()
    return server.data_dir


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data_dir)
    yield server
    server.stop()


def processes(data_dir: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and process.cwd() == str(data_dir):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postmaster.pid").read_text().splitlines()[0])


def ask(parameters: dict[str, Any], statement: str) -> Any:
    connection = psycopg2.connect(**parameters, dbname="postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone() if cursor.description else None
    finally:
        connection.close()


def join(data_dir: Path) -> subprocess.Popen[str]:
    """Another process that uses the server until a line is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER_OF_SERVER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


# ---------------------------------------------------------------- one process


def test_a_clean_stop_leaves_no_process(server: EmbeddedServer, data_dir: Path) -> None:
    assert ask(server.start(), "SELECT 1") == (1,)
    assert processes(data_dir)
    server.stop()
    assert processes(data_dir) == []
    assert not (data_dir / "postmaster.pid").exists()
    server.stop()


def test_it_is_private_durable_and_in_utc(server: EmbeddedServer, data_dir: Path) -> None:
    parameters = server.start()
    wanted = {
        "listen_addresses": "",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "TimeZone": "UTC",
        "log_timezone": "UTC",
        "server_encoding": "UTF8",
        "max_connections": "50",
    }
    assert {name: ask(parameters, f"SELECT current_setting('{name}')")[0] for name in wanted} == wanted
    assert data_dir.stat().st_mode & 0o077 == 0
    assert ask(parameters, "SELECT lower('ÄÉ'), 'Z' < 'a'") == ("äé", True)


def test_settings_fit_the_machine(tmp_path: Path) -> None:
    settings = server_settings(tmp_path, PORT, with_lz4=True)
    assert 128 <= int(settings["shared_buffers"].removesuffix("MB")) <= 2048
    assert int(settings["max_wal_size"].removesuffix("MB")) <= max(
        shutil.disk_usage(tmp_path).total / 10 / 1024**2, 128
    )
    assert settings["wal_compression"] == "lz4"


def test_no_row_reaches_the_servers_log(server: EmbeddedServer, data_dir: Path) -> None:
    parameters = server.start()
    for statement in (
        "SELECT 'canary-1'::int",
        "SELECT 'canary-2' FROM nowhere",
        "CREATE TEMP TABLE t (email text UNIQUE); INSERT INTO t VALUES ('canary-3'), ('canary-3')",
        "DO $$ BEGIN RAISE WARNING 'canary-4'; RAISE EXCEPTION 'canary-5'; END $$",
    ):
        with pytest.raises(psycopg2.Error):
            ask(parameters, statement)
    backend = ask(parameters, "SELECT pg_backend_pid()")
    assert backend is not None
    connection = psycopg2.connect(**parameters, dbname="postgres")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [(pid,)] = cursor.fetchall()
        os.kill(pid, signal.SIGSEGV)  # a crash makes the server tell what the process was running
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 'canary-6'")
    connection.close()
    log = data_dir / "log"
    wait_until(lambda: "terminated by signal 11" in log.read_text())
    assert "canary" not in log.read_text()


def test_a_path_too_long_for_a_socket_gets_a_short_one_outside(folder: Path) -> None:
    server = EmbeddedServer(folder / ("long, and 'quoted' " * 6).strip())
    parameters = server.start()
    assert ask(parameters, "SELECT 1") == (1,)
    socket_dir = Path(parameters["host"])
    assert socket_dir.stat().st_mode & 0o777 == 0o700
    assert server.start() == parameters
    server.stop()
    assert processes(server.data_dir) == []
    socket_dir.rmdir()


def test_a_socket_folder_that_somebody_else_made_is_refused(folder: Path) -> None:
    server = EmbeddedServer(folder / ("deep" * 25))
    parameters = server.start()
    server.stop()
    socket_dir = Path(parameters["host"])
    socket_dir.chmod(0o777)
    with pytest.raises(ConfigError, match="not a private folder"):
        server.start()
    socket_dir.rmdir()


# ---------------------------------------------------------------- several processes


def test_the_last_one_out_stops_the_server(server: EmbeddedServer, data_dir: Path) -> None:
    first, second = join(data_dir), join(data_dir)
    parameters = server.start()
    pid = postmaster(data_dir)
    leave(first)
    server.stop()
    assert postmaster(data_dir) == pid
    assert ask(parameters, "SELECT 1") == (1,)
    leave(second)
    assert processes(data_dir) == []


def test_processes_that_start_at_once_on_a_new_folder_share_one_server(folder: Path) -> None:
    data_dir = folder / "new"
    command = [sys.executable, "-c", USER_OF_SERVER, str(data_dir)]
    users = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for user in users:
        assert user.stdout is not None
        assert user.stdout.readline() == "up\n"
    assert (data_dir / "log").read_text().count("starting PostgreSQL") == 1
    for user in users:
        leave(user)
    assert processes(data_dir) == []


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    user = join(data_dir)
    os.killpg(user.pid, signal.SIGINT)
    user.wait(timeout=60)  # its input is closed afterwards: the end of that would have it stop the server
    user.communicate()
    assert processes(data_dir)
    server = EmbeddedServer(data_dir)
    assert ask(server.start(), "SELECT 1") == (1,)
    server.stop()
    assert processes(data_dir) == []


# ---------------------------------------------------------------- after accidents


def test_a_server_left_by_a_killed_process_is_taken_over(server: EmbeddedServer, data_dir: Path) -> None:
    user = join(data_dir)
    user.kill()
    user.communicate()
    pid = postmaster(data_dir)
    assert ask(server.start(), "SELECT 1") == (1,)
    assert postmaster(data_dir) == pid
    server.stop()
    assert processes(data_dir) == []


def test_a_killed_server_recovers_what_was_committed(server: EmbeddedServer, data_dir: Path) -> None:
    parameters = server.start()
    ask(parameters, "CREATE TABLE IF NOT EXISTS kept (n int)")
    ask(parameters, "INSERT INTO kept VALUES (7)")
    busy = psycopg2.connect(**parameters, dbname="postgres")
    with busy.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [(backend,)] = cursor.fetchall()
    os.kill(backend, signal.SIGSTOP)  # it can't notice that its server is gone
    killed = postmaster(data_dir)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in processes(data_dir))
    assert ask(server.start(), "SELECT n FROM kept") == (7,)
    assert backend not in processes(data_dir)
    busy.close()


def test_a_pid_file_that_names_another_program_is_stale(server: EmbeddedServer, data_dir: Path) -> None:
    server.start()
    pid_file = data_dir / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    lines[0] = str(os.getpid())
    pid_file.write_text("\n".join(lines) + "\n")
    assert ask(server.start(), "SELECT 1") == (1,)


def test_a_first_start_that_was_cut_short_is_begun_anew(folder: Path) -> None:
    half_made = folder / "cut.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    server = EmbeddedServer(folder / "cut")
    assert ask(server.start(), "SELECT 1") == (1,)
    server.stop()


# ---------------------------------------------------------------- what can't work


def test_another_major_version_is_refused_by_name(folder: Path) -> None:
    old = folder / "old"
    old.mkdir()
    (old / "PG_VERSION").write_text("15\n")
    with pytest.raises(ConfigError, match=r"PostgreSQL 15.* 18;"):
        EmbeddedServer(old).start()


def test_a_folder_with_other_files_is_refused_and_left_alone(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="can't hold a new database"):
        EmbeddedServer(other).start()
    assert (other / "letter.txt").read_text() == "dear"


def test_a_server_that_does_not_start_says_why(folder: Path, data_dir: Path) -> None:
    broken = folder / "broken"
    shutil.copytree(data_dir, broken, symlinks=True)
    for path in (broken, *broken.rglob("*")):
        shutil.chown(path, *_owner(data_dir))
    (broken / "postgresql.conf").write_text("no_such_setting = 1\n")
    server = EmbeddedServer(broken)
    with pytest.raises(ConfigError, match="no_such_setting"):
        server.start()
    (broken / "postgresql.conf").write_text("")
    assert ask(server.start(), "SELECT 1") == (1,)
    server.stop()


def _owner(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="data_dir"):
        EmbeddedServer(tmp_path / "file" / "pg").start()


# ---------------------------------------------------------------- accounts


def _as_nobody(work: Callable[[], None]) -> None:
    """Run `work` in a forked process as an ordinary user."""
    nobody = pwd.getpwnam("nobody")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            work()
            status = 0
        except BaseException:  # noqa: BLE001  (the child must end here)
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing users takes root")


@needs_root
def test_an_ordinary_user_runs_it_as_himself_and_root_after_him_too(folder: Path) -> None:
    home = folder / "home"
    home.mkdir()
    shutil.chown(home, "nobody")
    data_dir = home / "pg"
    program = EmbeddedServer(data_dir).bin_dir / "postgres"
    if any(not parent.stat().st_mode & 0o001 for parent in program.parents):
        pytest.skip(f"an ordinary user can't reach {program}")

    def use_it() -> None:
        server = EmbeddedServer(data_dir)
        assert ask(server.start(), "CREATE TABLE IF NOT EXISTS mine (n int)") is None
        server.stop()
        assert processes(data_dir) == []

    _as_nobody(use_it)
    server = EmbeddedServer(data_dir)
    ask(server.start(), "INSERT INTO mine VALUES (1)")
    assert psutil.Process(postmaster(data_dir)).username() == "nobody"
    server.stop()
    assert {path.owner() for path in data_dir.rglob("*")} == {"nobody"}
    _as_nobody(use_it)


@needs_root
def test_a_folder_of_another_user_is_refused_to_an_ordinary_one(data_dir: Path) -> None:
    def refused() -> None:
        with pytest.raises(ConfigError, match=f"belongs to {data_dir.owner()}"):
            EmbeddedServer(data_dir).start()

    _as_nobody(refused)


@needs_root
def test_closed_folders_above_are_opened_for_passing_through_only(folder: Path) -> None:
    closed = folder / "closed"
    inner = closed / "inner"
    inner.mkdir(parents=True)
    closed.chmod(0o700)
    inner.chmod(0o750)
    server = EmbeddedServer(inner / "pg")
    assert ask(server.start(), "SELECT 1") == (1,)
    server.stop()
    assert closed.stat().st_mode & 0o777 == 0o701
    assert inner.stat().st_mode & 0o777 == 0o751
