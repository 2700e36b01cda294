"""Names: the most exact pattern wins, what is no input is left alone, a slip is told with what was meant."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from config.config_loader import DEFAULT_CONFIG, get_config
from config.errors import ConfigError
from config.file_names import spec_for, ties, why_unexpected
from config.file_spec import FileSpec
from config.model import Feed
from config.settings import PipelineConfig
from ingestion.file_tracker import FileTracker
from ingestion.master_seeder import seed_master
from ingestion.places.left_alone import ignored_because
from ingestion.scans import scan_everything
from tests.unit.test_inbox import Desk


def specs_of(config: PipelineConfig, *patterns: str, feed: Feed = Feed.STREAM) -> tuple[FileSpec, ...]:
    orders = config.by_logical_name["orders"]
    return tuple(replace(orders, pattern=pattern, feed=feed) for pattern in patterns)


# ---------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("name", "winner"),
    [
        ("events.csv", "events.csv"),
        ("events.csv.gz", "events.csv"),
        ("events_1.csv", "events_*.csv"),
        ("eve.csv", "ev*.csv"),
        ("other.csv", "*.csv"),
        ("events.json", None),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_most_exact_pattern_wins_whatever_the_order(
    config: PipelineConfig, name: str, winner: str | None, reverse: bool
) -> None:
    specs = specs_of(config, "ev*.csv", "events.csv", "*.csv", "events_*.csv")
    found = spec_for(specs[::-1] if reverse else specs, Feed.STREAM, name)
    assert (found.pattern if found else None) == winner
    assert list(ties(specs)) == []


@pytest.mark.parametrize(
    ("one", "other", "tie"),
    [
        ("a*.csv", "*b.csv", True),
        ("a?.csv", "?b.csv", True),
        ("a[bc]*.csv", "a*[cd].csv", True),
        ("a*.csv", "b*.csv", False),
        ("a*.csv", "*b.json", False),
        ("a?.csv", "b?.csv", False),
        ("x[ab].csv", "xc?.csv", False),
        ("a*b*.csv", "*ba.csv", True),
    ],
)
def test_two_globs_tie_only_where_both_take_some_name(
    config: PipelineConfig, one: str, other: str, tie: bool
) -> None:
    assert bool(list(ties(specs_of(config, one, other)))) is tie
    apart = (*specs_of(config, one), *specs_of(config, other, feed=Feed.BATCH))
    assert list(ties(apart)) == []


def test_a_tie_is_refused_with_both_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = yaml.safe_load(DEFAULT_CONFIG.read_text())
    stream = text["watcher"]["stream"]["expected_files"]
    for pattern in ("or*s.json", "*ers.json"):
        stream[pattern] = copy.deepcopy(stream["orders.json"])
        text["reader"].setdefault("file_type_map", {})[pattern] = "orders"
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(text))
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"\*ers\.json and or\*s\.json expect the same names"):
        get_config(path)


@pytest.mark.parametrize(
    ("feed", "name", "said"),
    [
        (Feed.STREAM, "Orders.json", "Did you mean orders.json?"),
        (Feed.STREAM, "ORDERS.JSON.GZ", "Did you mean orders.json.gz?"),
        (Feed.STREAM, "order.json", "Did you mean orders.json?"),
        (Feed.STREAM, "orders.csv", "Did you mean orders.json?"),
        (Feed.STREAM, "ticket-events.json", "Did you mean ticket_events.json?"),
        (Feed.STREAM, "customers.csv", "It belongs into the batch folder"),
        (Feed.STREAM, "holiday.jpg", "no expected file has this name; it is not loaded"),
    ],
)
def test_an_unexpected_name_is_told_with_the_one_that_was_meant(
    config: PipelineConfig, feed: Feed, name: str, said: str
) -> None:
    assert why_unexpected(config.files, feed, name).endswith(said)


def test_the_case_of_a_glob_is_told(config: PipelineConfig) -> None:
    specs = specs_of(config, "orders_*.csv")
    assert why_unexpected(specs, Feed.STREAM, "Orders_1.CSV").endswith("Did you mean orders_*.csv?")


# ---------------------------------------------------------------- left alone

HIDDEN = (
    *(".rsync-partial", ".~tmp~", ".snapshot", ".stversions", ".Trash-1000", ".git", "@eaDir", "@Recycle"),
    *("#recycle", "@Recently-Snapshot", "lost+found", "System Volume Information", "$RECYCLE.BIN", "__MACOSX"),
)


def test_hidden_folders_and_those_of_storage_systems_are_left_alone_everywhere(
    config: PipelineConfig, tmp_path: Path
) -> None:
    tracker = FileTracker(tmp_path / "tracker.db")
    desk = Desk(config, tracker)
    for folder in HIDDEN:
        desk.write(f"{folder}/orders.json", age=60)
        desk.write(f"2026-02-20/09/{folder}/deep/orders.json", age=60)
        desk.write(f"../batch/2026-02-20/{folder}/customers.csv", age=60)
        desk.write(f"../batch/{folder}/customers.csv", age=60)
        desk.write(f"../../master/{folder}/cities.json", age=60)
    desk.write("2026-02-20/09/x@eaDir/orders.json", age=60)
    seed_master(config, desk.inbox)
    scan_everything(config, desk.inbox)
    assert desk.drain() == ["data/input/stream/2026-02-20/09/x@eaDir/orders.json"]
    assert desk.reports == []
    tracker.close()


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("09/orders.json", None),
        ("@eaDir/orders.json", "folder @eaDir"),
        (".x/09/orders.json", "folder .x"),
        (".orders.json", "dot"),
        ("09/orders.json.filepart", "in the making"),
    ],
)
def test_it_can_be_said_why_a_file_is_left_alone(path: str, part: str | None) -> None:
    why = ignored_because(Path("/home/.me/stream") / path, Path("/home/.me/stream"))
    assert (why is None) if part is None else (why is not None and part in why)
