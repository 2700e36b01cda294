"""Behind PgBouncer in transaction mode everything works, and no session state is left to the next client."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from tests.acceptance.daemon import wait_until
from tests.acceptance.faults.scenario import Bench, files_of, put_rounds, settle
from tests.acceptance.server import free_port

NOBODY = 65534
SERVER_CONNECTIONS = 2


@contextmanager
def pgbouncer(bench: Bench) -> Iterator[int]:
    """The port of a pooler before the bench's server, with few connections to it."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    folder, port = Path(tempfile.mkdtemp(prefix="ff-pgb-", dir="/tmp")), free_port()
    (folder / "users.txt").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={bench.server.port}\n[pgbouncer]\npool_mode = transaction\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder}/users.txt\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 100\n"
    )
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, NOBODY, NOBODY)
    process = subprocess.Popen(
        [program, str(folder / "pgbouncer.ini")],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(bench.server.url(port=port)), "PgBouncer answers")
        yield port
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def test_four_workers_share_two_connections_and_leave_nothing_behind(bench: Bench) -> None:
    with pgbouncer(bench) as port:
        product = bench.clone(
            port=port, execution={"workers": 4}, database={"embedded": False, "transaction_pooling": True}
        )
        with product.running():
            put_rounds(product, range(4))
            product.wait_for_files(files_of(4), seconds=60)
            log = product.rows("SELECT 1 FROM pipeline_file_log WHERE status = 'failed'")
            assert log == []
        assert settle(product).run() == []
        assert product.url is not None
        connections = [psycopg2.connect(product.url) for _ in range(SERVER_CONNECTIONS)]
        for connection in connections:  # each in a transaction, so each on a server connection of its own
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
                    " current_setting('session_replication_role'),"
                    " (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),"
                    " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
                    " (SELECT count(*) FROM pg_prepared_statements)"
                )
                assert cursor.fetchone() == ("0", "0", "origin", 0, 0, 0)
        for connection in connections:
            connection.close()


def test_without_the_setting_the_start_says_which_one_is_needed(bench: Bench) -> None:
    with pgbouncer(bench) as port:
        product = bench.clone(port=port, database={"embedded": False})
        done = product.once(expect=2)
        assert "database.transaction_pooling: true" in done.stdout + done.stderr
