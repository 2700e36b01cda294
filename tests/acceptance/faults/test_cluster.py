"""On a cluster of several processes the same invariants hold, whatever dies or is cut off."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.acceptance import samples
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.faults.cluster import Cluster, worker_processes
from tests.acceptance.faults.proxy import Proxy
from tests.acceptance.faults.scenario import Bench, files_of, in_transaction, put_round, put_rounds, settle

pytest.importorskip("distributed")

MASTER = len(samples.master_rows())
WORKERS = 2


def use(product: Product, bench: Bench, scheduler: str | None, **changes: Any) -> None:
    """Let the product load on a cluster."""
    execution: dict[str, Any] = {"engine": "dask", "workers": WORKERS, "scheduler": scheduler}
    product.configure(**bench.quick({"execution": execution, **changes}))


def local(product: Product, bench: Bench) -> None:
    """Let it load by itself again, which must find everything done."""
    product.configure(**bench.quick({}))


def log_text(product: Product) -> str:
    return "".join(path.read_text() for path in (product.home / "logs").glob("*.log"))


def strike(product: Product, times: int, blow: Callable[[int], object]) -> int:
    """Let rounds of files come, and strike while a worker is in a transaction; returns how often it was."""
    struck = 0
    for number in range(times):
        put_rounds(product, range(number * 2, number * 2 + 2))
        with suppress(AssertionError):
            wait_until(lambda: in_transaction(product), "a worker is at work", seconds=3, every=0.002)
            struck += 1
        blow(number)
    return struck


def test_workers_killed_in_the_middle_of_a_file_lose_and_double_nothing(bench: Bench) -> None:
    product = bench.clone()
    use(product, bench, None)
    dice = random.Random(3)

    def kill_one(_number: int) -> None:
        with suppress(ProcessLookupError, IndexError):
            os.kill(dice.choice(worker_processes(daemon.process.pid)), signal.SIGKILL)

    with product.running() as daemon:
        assert len(worker_processes(daemon.process.pid)) == WORKERS
        assert strike(product, 2, kill_one) >= 1
        product.wait_for_files(files_of(4), seconds=90)
        left = worker_processes(daemon.process.pid)
    assert product.rows("SELECT 1 FROM pipeline_file_log WHERE status = 'failed'") == []
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in left), "the workers end")
    local(product, bench)
    assert settle(product).run() == []


def test_a_scheduler_that_is_restarted_and_a_coordinator_that_is_killed(bench: Bench) -> None:
    product = bench.clone()
    with Cluster(product, WORKERS) as cluster:
        use(product, bench, cluster.address)
        with product.running():
            assert strike(product, 1, lambda _number: cluster.restart_scheduler()) >= 1
            product.wait_for_files(files_of(2), seconds=90)
            assert product.rows("SELECT 1 FROM pipeline_file_log WHERE status = 'failed'") == []
        for number in range(2, 4):
            daemon = product.start().wait_for_banner()
            put_round(product, number)
            with suppress(AssertionError):
                wait_until(lambda: in_transaction(product), "a worker is at work", seconds=3, every=0.002)
            daemon.kill()
        with product.running():
            product.wait_for_files(files_of(4), seconds=90)
    local(product, bench)
    assert settle(product).run() == []


def test_a_network_cut_between_the_workers_and_the_database(bench: Bench) -> None:
    with Proxy(bench.server.port) as proxy:
        product = bench.clone()
        assert product.url is not None
        by_proxy = product.url.replace(f":{bench.server.port}/", f":{proxy.port}/")
        with Cluster(product, WORKERS, url=by_proxy) as cluster:
            use(product, bench, cluster.address)
            with product.running():
                proxy.swallow_commits(2)
                strike(product, 2, lambda _number: proxy.cut())
                product.wait_for_files(files_of(4), seconds=90)
                assert proxy.swallowed >= 2
            assert product.rows("SELECT 1 FROM pipeline_file_log WHERE status = 'failed'") == []
    local(product, bench)
    assert settle(product).run() == []


def test_a_job_that_the_engine_runs_twice_is_loaded_once(bench: Bench) -> None:
    """A worker that is taken for dead goes on: here every task is done by two workers at the same time."""
    from distributed import Client

    from config.errors import ConfigError
    from ingestion.engines.crossing import unpack
    from ingestion.engines.dask_worker import config_id, perform

    product = bench.clone()
    with Cluster(product, 2) as cluster, settings_of(product) as config:
        from config.file_names import spec_for
        from config.jobs import FileJob
        from config.model import Feed

        put_round(product, 0)
        with Client(cluster.address, timeout=20, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            first, second = client.scheduler_info(n_workers=-1)["workers"]
            for name in ("orders.json", "tickets.csv", "ticket_events.json"):
                path = next((product.home / "data/input/stream").rglob(name))
                spec = spec_for(config.files, Feed.STREAM, name)
                assert spec is not None
                found = path.stat()
                job = FileJob(path, spec, found.st_size, found.st_mtime_ns)
                arguments = (config_id(config), "load", job)
                twins = [
                    client.submit(perform, *arguments, pure=False, workers=[worker]) for worker in (first, second)
                ]
                answers = [twin.result(timeout=60) for twin in twins]
                states = sorted(answer.result.status.value for answer in answers)
                assert states == ["already_done", "success"], answers
            odd = client.submit(perform, "another", "load", job, pure=False).result(timeout=60)
            assert isinstance(unpack(odd.error), ConfigError)
    assert settle(product).run() == []


@contextmanager
def settings_of(product: Product) -> Iterator[Any]:
    """The product's configuration, read in this process."""
    from config.config_loader import get_config

    before = dict(os.environ)
    os.environ.update(product.environment())
    try:
        yield get_config()
    finally:
        os.environ.clear()
        os.environ.update(before)


# ---------------------------------------------------------------- separate networks

PREFIX = "10.203.77"  # of namespaces made here, and of nothing else


@contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """Network namespaces, each joined to a bridge of this machine at PREFIX.1; removed at the end."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    tag = f"ff{os.getpid() % 100_000}"
    names = [f"{tag}n{number}" for number in range(count)]

    def ip(*args: str, check: bool = True) -> None:
        subprocess.run(["ip", *args], check=check, capture_output=True)

    try:
        try:
            ip("link", "add", f"{tag}br", "type", "bridge")
            ip("addr", "add", f"{PREFIX}.1/24", "dev", f"{tag}br")
            ip("link", "set", f"{tag}br", "up")
            for number, name in enumerate(names):
                ip("netns", "add", name)
                ip("link", "add", f"{tag}v{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
                ip("link", "set", f"{tag}v{number}", "master", f"{tag}br", "up")
                ip("-n", name, "addr", "add", f"{PREFIX}.{number + 2}/24", "dev", "eth0")
                ip("-n", name, "link", "set", "eth0", "up")
                ip("-n", name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode(errors='replace').strip()}")
        yield names
    finally:
        for name in names:
            ip("netns", "del", name, check=False)
        ip("link", "del", f"{tag}br", check=False)


def set_link(namespace: str, state: str) -> None:
    subprocess.run(["ip", "-n", namespace, "link", "set", "eth0", state], check=True)


def test_workers_in_separate_networks_that_are_cut_off_for_a_while(bench: Bench) -> None:
    with namespaces(WORKERS) as names:
        with (bench.server.data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {PREFIX}.0/24 trust\n")
        bench.execute(f"ALTER SYSTEM SET listen_addresses = '127.0.0.1,{PREFIX}.1'")
        bench.server.stop()
        bench.server.start()
        product = bench.clone()
        assert product.url is not None
        cluster = Cluster(
            product,
            WORKERS,
            host=f"{PREFIX}.1",
            url=product.url.replace("127.0.0.1", f"{PREFIX}.1"),
            prefixes=[("ip", "netns", "exec", name) for name in names],
        )
        with cluster:
            use(product, bench, cluster.address)

            def cut(number: int) -> None:
                set_link(names[number % WORKERS], "down")
                time.sleep(2)
                set_link(names[number % WORKERS], "up")
                subprocess.run(["ip", "-n", names[number % WORKERS], "addr"], check=True, capture_output=True)

            with product.running():
                wait_until(
                    lambda: (
                        product.value(
                            "SELECT count(*) FROM pg_stat_activity WHERE client_addr << %s::inet", f"{PREFIX}.0/24"
                        )
                        is not None
                    ),
                    "the database is reached",
                )
                strike(product, WORKERS, cut)
                product.wait_for_files(files_of(2 * WORKERS), seconds=150)
                from_there = product.rows(
                    "SELECT DISTINCT client_addr FROM pg_stat_activity WHERE client_addr << %s::inet",
                    f"{PREFIX}.0/24",
                )
                assert len(from_there) >= 2
        local(product, bench)
        assert settle(product).run() == []
        bench.execute("ALTER SYSTEM RESET listen_addresses")
