"""Files on SFTP servers are found by listings, wait until they are whole, and are loaded as files are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import FileChanged
from config.jobs import Stamp
from config.settings import DatabaseConfig, PipelineConfig
from ingestion.pipeline import Pipeline
from ingestion.places.place import Kind
from ingestion.places.registry import opened as opened_file
from ingestion.places.registry import path_of, place_of
from ingestion.start_checks import check_folders
from tests.acceptance import samples
from tests.acceptance.faults.proxy import Proxy
from tests.conftest import opened

pytest.importorskip("asyncssh")
from tests.sftp_server import SSHD, Server, sftp_server

DAY = "2026-02-20"


@pytest.fixture(params=["sshd", "asyncssh"], scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "sshd" and not SSHD:
        pytest.skip("no sshd on this machine")
    with sftp_server(tmp_path_factory.mktemp("ssh"), request.param) as server:
        yield server


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, and this process as a user whom it lets in, as the host `exports`."""
    monkeypatch.setenv("HOME", str(running.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    running.let_in("exports")
    return running


def on_server(config: PipelineConfig, root: str) -> PipelineConfig:
    watcher = config.watcher
    folders = {
        name: getattr(watcher, name).model_copy(update={"dir": f"{root}/{name}"})
        for name in ("master", "batch", "stream")
    }
    return config.model_copy(update={"watcher": watcher.model_copy(update={**folders, "settle_seconds": 0.1})})


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1_760_000_000, 1_760_000_000))
    return path


def test_files_on_a_server_are_loaded_each_once(
    server: Server, config: PipelineConfig, database: DatabaseConfig, tmp_path: Path
) -> None:
    config = on_server(config, f"sftp://exports{tmp_path}/in").model_copy(update={"database": database})
    for name, rows in samples.master_rows().items():
        put(tmp_path / "in", f"master/{Path(name).name}", samples.text_of(Path(name), rows))
    put(tmp_path / "in", f"stream/{DAY}/09/orders.json", samples.json_text([samples.order(1)]))
    (tmp_path / "in" / "batch").mkdir()
    check_folders(config)

    for expected in (len(samples.master_rows()) + 1, 0):
        with Pipeline(config) as pipeline:
            assert sum(pipeline.run_once().files.values()) == expected

    put(tmp_path / "in", f"stream/{DAY}/10/orders.json", samples.json_text([samples.order(2)]))
    with Pipeline(config) as pipeline:
        pipeline.run_once()
    with opened(config.database, config.home) as warehouse, warehouse.transaction() as tx:
        tx.execute("SELECT order_id FROM fact_order ORDER BY order_sk")
        assert [row[0] for row in tx] == [samples.uid("order", 1), samples.uid("order", 2)]
        tx.execute("SELECT file_path FROM pipeline_file_log ORDER BY file_id DESC LIMIT 1")
        assert tx.fetchone() == (f"sftp://exports{tmp_path}/in/stream/{DAY}/10/orders.json",)


def test_what_a_server_has_is_listed_looked_at_read_and_moved(server: Server, tmp_path: Path) -> None:
    root = path_of(f"sftp://exports{tmp_path}")
    place = place_of(root)
    large = os.urandom(9 << 20)
    put(tmp_path, "b é.csv", "id\n1\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "large").write_bytes(large)

    found = {one.name: one.kind for one in place.list(root)}
    with opened_file(root / "large") as file:
        assert file.handle.read() == large
        put(tmp_path, "large", "other")
        with pytest.raises(FileChanged, match="changed while it was read"):
            file.verify_unchanged()
    place.move(root / "b é.csv", root / "done" / "c.csv", place.stat(root / "b é.csv").stamp)

    assert found == {"a": Kind.FOLDER, "b é.csv": Kind.FILE, "large": Kind.FILE, "link": Kind.OTHER}
    assert (tmp_path / "done" / "c.csv").read_text() == "id\n1\n"
    assert place.changed_at(root / "done" / "c.csv") == 1_760_000_000
    with pytest.raises(FileNotFoundError):
        place.stat(root / "b é.csv")
    with pytest.raises(FileExistsError):
        place.move(root / "large", root / "done" / "c.csv", place.stat(root / "large").stamp)


def test_a_connection_that_is_cut_is_made_anew(server: Server, tmp_path: Path) -> None:
    root = path_of(f"sftp://cut-{server.kind}{tmp_path}")
    place = place_of(root)
    (tmp_path / "large").write_bytes(os.urandom(8 << 20))
    for number in range(300):
        put(tmp_path, f"day/{number}.csv", "id\n")
    with Proxy(server.port) as proxy:
        server.let_in(f"cut-{server.kind}", proxy.port)
        assert len([*place.list(root / "day")]) == 300
        proxy.cut_after(1 << 20)
        lost = f"the connection to the SFTP server cut-{server.kind} was lost"
        with pytest.raises(OSError, match=lost), opened_file(root / "large"):
            pass
        assert len([*place.list(root / "day")]) == 300
        proxy.cut()  # while nobody asks
        with opened_file(root / "large") as file:
            assert file.size == 8 << 20


def test_who_is_not_let_in_is_told_why(server: Server, tmp_path: Path) -> None:
    place = place_of(path_of("sftp://exports/in"))
    key = server.home / ".ssh" / "id_ed25519"
    secret = key.read_bytes()

    def problem(host: str, *, known: bool = True) -> str:
        server.let_in(host, known=known)
        with pytest.raises(OSError, match="SFTP server") as refused:
            place.list(path_of(f"sftp://{host}{tmp_path}"))
        return refused.value.strerror or ""

    stranger = f"stranger-{server.kind}"
    key.chmod(0o644)
    others = f"others may read the private key {key}; take that right away: chmod 600 {key}"
    refusal = f"the SFTP server {stranger} can't be reached: {others}"
    assert problem(stranger) == refusal
    key.chmod(0o600)
    assert problem(stranger, known=False).startswith(f"the key of the SFTP server {stranger} is not the one in")
    try:
        key.unlink()
        assert (
            problem(stranger)
            == f"the SFTP server {stranger} takes none of the keys; `ssh -v {stranger}` tells more"
        )
    finally:
        key.touch(0o600)
        key.write_bytes(secret)


def test_an_address_that_can_not_be_used_is_refused_at_the_start() -> None:
    def unusable(address: str) -> str | None:
        return place_of(path_of(address)).unusable(path_of(address))

    assert unusable("sftp://user@host:22/in") is None
    assert unusable("sftp://user:secret@host/in") == "an address holds no password: use a key, as ssh does"
    assert unusable("sftp://host:ssh/in") == "its port is no number"


def test_a_file_is_put_and_removed_as_long_as_it_is_the_one_that_is_meant(server: Server, tmp_path: Path) -> None:
    root = path_of(f"sftp://exports{tmp_path}")
    place, target = place_of(root), root / "archive" / "a.csv"
    stamp = Stamp(6, 1_000_000_000_000_000_000, 0, 1)
    place.put(target, iter([b"abc", b"def"]), stamp)
    with opened_file(target) as file:
        assert file.handle.read() == b"abcdef"
    there = place.stat(target).stamp
    assert there[:2] == stamp[:2]
    with pytest.raises(FileExistsError):
        place.put(target, iter([b"x"]), stamp)
    with pytest.raises(FileChanged):
        place.remove(target, there._replace(size=7))
    place.remove(target, there)
    place.remove(target, there)
    with pytest.raises(FileNotFoundError):
        place.stat(target)
