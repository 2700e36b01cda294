"""A place says what a path is and what can be done there; nobody else asks."""

from __future__ import annotations

import ast
import datetime as dt
import errno
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from typer.testing import CliRunner

import main
from config.errors import FileChanged, FileRejected
from config.jobs import FileJob, Stamp
from config.settings import PipelineConfig
from ingestion.file_tracker import FileTracker
from ingestion.places.place import Found, Kind, Place
from ingestion.places.registry import PLACES, input_folder, opened, path_of, place_of
from workbench.attention import Unread, attention

PROJECT = Path(__file__).resolve().parents[2]
PRODUCT = ("config", "utils", "validation", "datawarehouse", "ingestion", "workbench", "web")
DATABASE_URL = PROJECT / "datawarehouse" / "login.py"  # its "://" is PostgreSQL's
SERVICE_URL = PROJECT / "utils" / "channels" / "apprise.py"  # and this is of services that take alerts


def modules() -> Iterator[Path]:
    """The product's modules but those that are in the know."""
    for package in PRODUCT:
        yield from (path for path in (PROJECT / package).rglob("*.py") if path.parent.name != "places")
    yield PROJECT / "main.py"


def questions(tree: ast.AST) -> Iterator[str]:
    """What a module says that only one who asks for the kind of a path would say."""
    kinds = {"Folder", "ObjectStore", "UrlPath", "PosixPath", "ObjectPath", "is_object", "StoreScanner", "PLACES"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.alias):
            name = node.id if isinstance(node, ast.Name) else node.name
            if name in kinds or name in {"open_writers", "fsspec"}:
                yield name
        elif isinstance(node, ast.ImportFrom) and node.module:
            last = node.module.removeprefix("ingestion.places.")
            if last in {"folder", "folder_watch", "store", "open_writers"} or last.partition(".")[0] == "fsspec":
                yield node.module
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            schemes = tuple(f"{scheme}://" for scheme in PLACES)
            if node.value == "://" or node.value.startswith(schemes):
                yield node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            asked = ast.unparse(node.args[1])
            if re.search(r"\b\w*(Path|Place|Folder)\b", asked):
                yield f"isinstance(…, {asked})"


def test_outside_of_places_nobody_asks_what_kind_of_path_it_is() -> None:
    asked = {
        f"{path.relative_to(PROJECT)}: {question}"
        for path in modules()
        if path not in {DATABASE_URL, SERVICE_URL}
        for question in questions(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert asked == set()


def test_input_files_are_looked_at_through_their_place() -> None:
    """On other paths than those of input files, stat() and exists() do."""
    for package in ("ingestion", "workbench", "web"):
        for path in (PROJECT / package).rglob("*.py"):
            if path.parent.name != "places":
                assert "lstat(" not in path.read_text(encoding="utf-8"), path.name


def test_the_search_would_find_who_asks() -> None:
    for code in (
        "from ingestion.places.store import ObjectStore",
        "from ingestion.places.open_writers import has_writer",
        "if '://' in path: pass",
        "if str(path).startswith('s3://'): pass",
        "if isinstance(path, UrlPath): pass",
        "import fsspec",
    ):
        assert list(questions(ast.parse(code))), code


def test_what_lies_below_places_knows_no_inbox() -> None:
    for path in (PROJECT / "ingestion" / "places").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ingestion."):
                assert str(node.module).startswith("ingestion.places"), path.name


# ---------------------------------------------------------------- the same of every kind


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path if request.param == "folder" else path_of(f"memory://places-{uuid4().hex[:8]}")


def put(path: Path, text: str) -> Path:
    with fsspec.open(str(path), "w", auto_mkdir=True) as file:
        file.write(text)
    return path


def shown(found: Found, root: Path) -> tuple[str, Kind]:
    return str(path_of(found.path).relative_to(root)), found.kind


def test_a_place_lists_what_is_there_and_leaves_out_what_is_left_alone(root: Path) -> None:
    for name in ("2026-02-20/09/orders.json", "2026-02-20/.x/orders.json", "@eaDir/orders.json", "tickets.csv"):
        put(root / name, "[]")
    place = place_of(root)
    assert {shown(found, root) for found in place.list(root)} == {
        ("2026-02-20", Kind.FOLDER),
        ("@eaDir", Kind.FOLDER),
        ("tickets.csv", Kind.FILE),
    }
    below = {shown(found, root) for found in place.scanner(root, 7).entries(full=True)}
    assert below == {("2026-02-20/09/orders.json", Kind.FILE), ("tickets.csv", Kind.FILE)}


def test_a_listing_and_a_look_tell_of_the_same_version(root: Path) -> None:
    path = put(root / "orders.json", "[1]")
    place = place_of(root)
    (listed,) = place.list(root)
    assert listed == place.stat(path)
    assert listed.stamp.size == 3
    with opened(path) as file:
        assert file.stamp == listed.stamp
        assert file.handle.read() == b"[1]"
        file.verify_unchanged()
        put(path, "[2]")
        with pytest.raises(FileChanged, match="changed"):
            file.verify_unchanged()
    with place.read(path) as stream:
        assert stream.read() == b"[2]"


def test_of_what_is_not_there_every_place_says_so(root: Path) -> None:
    gone = root / "gone.json"
    with pytest.raises(FileNotFoundError):
        place_of(gone).stat(gone)
    with pytest.raises(FileChanged, match="went away"), opened(gone):
        pass
    assert place_of(gone).changed_at(gone) is None


def test_a_file_is_moved_into_a_new_folder_and_in_the_place_of_no_other(root: Path) -> None:
    path, target = put(root / "orders.json", "[1]"), root / "archive" / "2026" / "orders.json"
    place = place_of(path)
    place.move(path, target, place.stat(path).stamp)
    with opened(target) as file:
        assert file.handle.read() == b"[1]"
    with pytest.raises(FileNotFoundError):
        place.stat(path)
    put(path, "[2]")
    with pytest.raises(FileExistsError):
        place.move(path, target, place.stat(path).stamp)
    with opened(path) as left, opened(target) as there:
        assert (left.handle.read(), there.handle.read()) == (b"[2]", b"[1]"), "nothing is lost"


def test_a_protocol_that_nobody_knows_is_told_by_whatever_is_done_with_it() -> None:
    path = path_of("xyz://bucket/orders.json")
    place = place_of(path)
    for use in (place.list, place.stat, place.read):
        with pytest.raises(OSError, match="its protocol is not known; s3://") as told:
            use(path)
        assert told.value.errno == errno.EPROTONOSUPPORT
    assert not place.is_gone(path), "a file log may name it"


class Refusing(Place):
    """A place that shows a file, and then refuses it."""

    def list(self, folder: Path) -> list[Found]:
        return [self.stat(folder / "orders.json")]

    def stat(self, path: Path) -> Found:
        return Found(str(path), Kind.FILE)

    def read(self, path: Path) -> io.BytesIO:
        raise PermissionError(errno.EACCES, "no", str(path))

    def move(self, path: Path, target: Path, stamp: Stamp) -> None:  # noqa: ARG002
        raise PermissionError(errno.EACCES, "no", str(path), None, str(target))


def test_what_may_not_be_read_is_refused_and_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLACES, "refusing", Refusing())
    with pytest.raises(FileRejected, match="can't be opened"), opened(path_of("refusing://x/orders.json")):
        pass


# ---------------------------------------------------------------- who looks


def test_an_input_folder_is_from_home_and_behind_its_link_or_as_named(config: PipelineConfig) -> None:
    (config.home / "real").mkdir()
    (config.home / "linked").symlink_to(config.home / "real")
    assert input_folder(config, "linked") == config.home.resolve() / "real"
    assert str(input_folder(config, "memory://x/stream")) == "memory://x/stream"


def test_a_path_is_shown_from_its_input_folder_on(config: PipelineConfig) -> None:
    watcher = config.watcher
    stream = watcher.stream.model_copy(update={"dir": "memory://x/stream/"})
    there = config.model_copy(update={"watcher": watcher.model_copy(update={"stream": stream})})
    there.__dict__.pop("_input_roots", None)  # worked out from the folders
    assert there.shown("memory://x/stream/2026-02-20/09/orders.json") == "2026-02-20/09/orders.json"
    assert there.shown(config.path(watcher.batch.dir) / "2026-02-20/a.csv") == "2026-02-20/a.csv"
    assert there.shown("/elsewhere/a.csv") == "/elsewhere/a.csv"


def test_the_tracker_forgets_only_what_is_known_to_be_gone(config: PipelineConfig, tmp_path: Path) -> None:
    tracker = FileTracker(tmp_path / "tracker.db")
    spec = config.by_logical_name["orders"]
    here = tmp_path / "orders.json"
    here.write_text("[]")
    for path in (here, tmp_path / "gone.json", path_of("memory://x/gone.json"), path_of("xyz://x/gone.json")):
        tracker.mark_as_done(FileJob(path, spec, 2, 1, "x"))
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert tracker.forget_vanished(tomorrow) == 1
    assert {path for path, _, _ in tracker.done_files()} == {
        str(here),
        "memory://x/gone.json",
        "xyz://x/gone.json",
    }
    tracker.close()


def test_what_is_misnamed_in_a_batch_folder_far_away_is_compared_with_batch_files(config: PipelineConfig) -> None:
    watcher = config.watcher
    batch = watcher.batch.model_copy(update={"dir": "memory://x/batch"})
    config = config.model_copy(update={"watcher": watcher.model_copy(update={"batch": batch})})
    path = path_of("memory://x/batch/2026-02-20/custmers.csv")
    (item,) = attention(config, dt.datetime.now(dt.UTC), None, [Unread("unexpected", path, "why")])
    assert (item.since, item.more) == (None, "rename it to customers.csv")


def test_check_takes_the_address_of_a_file_as_well_as_its_path(config: PipelineConfig, root: Path) -> None:
    path = put(root / "orders.json", "[]")
    done = CliRunner().invoke(main.app, ["check", str(path), "--json"])
    assert [(one["path"], one["error"]) for one in json.loads(done.stdout)] == [(str(path), None)], done.output
    gone = CliRunner().invoke(main.app, ["check", str(root / "gone" / "orders.json")])
    assert gone.exit_code == 2
    assert "no such file" in gone.output
