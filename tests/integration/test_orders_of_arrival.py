"""Stories of one key or two, in each order in which their files may come: the rows are those of the model."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.oracle_files import File
from tests.integration.changing import Stage, Trial
from tests.integration.kinds_that_change import KINDS

Told = tuple[int, int, list[str]]  # the hour of its folder, that of its last change, rows
BY_TIME = ("latest", "latest_fact", "history")
BY_FILE = ("latest_by_file", "history_by_file")
SNAPSHOTS = ("snapshot_deletes", "snapshot_marks", "snapshot_history_deletes", "snapshot_history_marks")
T1, T2, T3 = "2026-01-01 01:00:00", "2026-01-01 02:00:00", "2026-01-01 03:00:00"

STORIES: dict[str, tuple[Sequence[str], list[Told]]] = {
    "the newest wins": (BY_TIME, [(5, 5, [f"1,c,{T3}"]), (6, 6, [f"1,a,{T1}"]), (7, 7, [f"1,b,{T2}"])]),
    "null is older": (BY_TIME, [(5, 5, [f"1,a,{T1}"]), (6, 6, ["1,unknown,"])]),
    "of two contradictions the later file": (BY_TIME, [(5, 5, [f"1,a,{T1}"]), (6, 6, [f"1,b,{T1}"])]),
    "of two nulls the later file": (BY_TIME, [(5, 5, ["1,a,"]), (6, 6, ["1,b,"])]),
    "a contradiction between two that agree": (
        BY_TIME,
        [(5, 5, [f"1,a,{T1}"]), (6, 6, [f"1,b,{T1}"]), (7, 7, [f"1,a,{T1}"])],
    ),
    "several times in one file": (
        BY_TIME,
        [(5, 5, [f"1,b,{T2}", f"1,a,{T1}", f"1,again,{T2}"]), (6, 6, [f"1,c,{T3}", f"1,x,{T1}"])],
    ),
    "a to b to a by time": (
        BY_TIME,
        [(5, 5, [f"1,a,{T1}"]), (6, 6, [f"1,b,{T2}"]), (7, 7, [f"1,a,{T3}"])],
    ),
    "a to b to a": ((*BY_FILE, *SNAPSHOTS), [(5, 5, ["1,a"]), (6, 6, ["1,b"]), (7, 7, ["1,a"])]),
    "a and again a": ((*BY_FILE, *SNAPSHOTS), [(5, 5, ["1,a"]), (6, 6, ["1,a"]), (7, 7, ["1,a"])]),
    "of one hour, by their last change": ((*BY_FILE, *SNAPSHOTS), [(5, 5, ["1,a"]), (5, 6, ["1,b"])]),
    "of one hour, by their content": ((*BY_FILE, *SNAPSHOTS), [(5, 5, ["1,a"]), (5, 5, ["1,b"])]),
    "of one hour, two agree": (BY_FILE, [(5, 5, ["1,a"]), (5, 6, ["1,b"]), (5, 7, ["1,a"])]),
    "only what is tracked": (
        ("history_tracked",),
        [(5, 5, ["1,a,1"]), (6, 6, ["1,a,2"]), (7, 7, ["1,b,2"])],
    ),
    "untracked, then back": (("history_tracked",), [(5, 5, ["1,a,1"]), (6, 6, ["1,b,2"]), (7, 7, ["1,a,3"])]),
    "gone": (SNAPSHOTS, [(5, 5, ["1,a", "2,z"]), (6, 6, ["2,z"])]),
    "gone and back": (SNAPSHOTS, [(5, 5, ["1,a", "2,z"]), (6, 6, ["2,z"]), (7, 7, ["1,a", "2,z"])]),
    "gone and back as another": (SNAPSHOTS, [(5, 5, ["1,a", "2,z"]), (6, 6, ["2,z"]), (7, 7, ["1,b", "2,y"])]),
    "gone for two snapshots": (SNAPSHOTS, [(5, 5, ["1,a", "2,z"]), (6, 6, ["2,z"]), (7, 7, ["2,y"])]),
    "nothing left": (SNAPSHOTS, [(5, 5, ["1,a"]), (6, 6, [])]),
    "lacked in the same hour": (SNAPSHOTS, [(5, 5, ["1,a", "2,z"]), (6, 6, ["1,b", "2,z"]), (6, 7, ["2,z"])]),
    "back in the same hour": (SNAPSHOTS, [(5, 5, ["1,a", "2,z"]), (6, 6, ["2,z"]), (6, 7, ["1,a", "2,z"])]),
    "a key that can't be read": (SNAPSHOTS, [(5, 5, ["1,a", "2,z"]), (6, 6, ["2,y", "x,y"])]),
    "a line that was cut": (SNAPSHOTS, [(5, 5, ["1,a", "2,z"]), (6, 6, ["2,y", "1"])]),
    "a refused row is not gone": (
        ("snapshot_refusals",),
        [(5, 5, ["1,a,1", "2,z,1"]), (6, 6, ["1,b,no number", "2,y,1"]), (7, 7, ["2,z,1"])],
    ),
    "a refused row does not come back": (
        ("snapshot_refusals",),
        [(5, 5, ["1,a,1", "2,z,1"]), (6, 6, ["2,y,1"]), (7, 7, ["1,a,no number", "2,z,1"])],
    ),
    "kept though a snapshot lacks it": (
        ("snapshot_kept", "snapshot_history_kept"),
        [(5, 5, ["1,a", "2,z"]), (6, 6, ["2,y"]), (7, 7, ["1,b", "2,z"])],
    ),
    "back by its own time": (
        ("snapshot_history_by_time",),
        [(3, 3, [f"1,a,{T1}", "2,z,"]), (4, 4, ["2,y,"]), (6, 6, [f"1,a,{T1}", "2,z,"])],
    ),
    "back since its own time": (
        ("snapshot_history_by_time",),
        [(2, 2, [f"1,a,{T1}", "2,z,"]), (2, 3, ["2,y,"]), (6, 6, [f"1,a,{T3}", "2,z,"])],
    ),
    "back with another value": (
        ("snapshot_history_by_time",),
        [(2, 2, [f"1,a,{T1}", "2,z,"]), (4, 4, ["2,y,"]), (6, 6, [f"1,b,{T1}", "2,z,"])],
    ),
    "back by a time before it was gone": (
        ("snapshot_history_by_time",),
        [(2, 2, [f"1,a,{T1}", "2,z,"]), (4, 4, ["2,y,"]), (6, 6, [f"1,b,{T2}", "2,z,"])],
    ),
    "back without a time": (
        ("snapshot_history_by_time",),
        [(2, 2, ["1,a,", "2,z,"]), (4, 4, ["2,y,"]), (6, 6, ["1,b,", "2,z,"])],
    ),
    "deleted": (
        ("operations_latest", "operations_history"),
        [(5, 5, [f"I,1,a,{T1}"]), (6, 6, [f"D,1,,{T3}"]), (7, 7, [f"U,1,late,{T2}"])],
    ),
    "deleted and back": (
        ("operations_latest", "operations_history"),
        [(5, 5, [f"I,1,a,{T1}"]), (6, 6, [f"D,1,,{T2}"]), (7, 7, [f"I,1,b,{T3}"])],
    ),
    "deleted, and told again at that time": (
        ("operations_latest", "operations_history"),
        [(5, 5, [f"I,1,a,{T1}"]), (6, 6, [f"D,1,,{T1}"]), (7, 7, [f"U,1,a,{T1}"])],
    ),
    "deleted, and told again by its file": (
        ("operations_by_file", "operations_history_by_file"),
        [(5, 5, ["I,1,a"]), (6, 6, ["D,1,"]), (7, 7, ["U,1,a"])],
    ),
    "a delete of what nobody knows": (
        ("operations_latest", "operations_history"),
        [(5, 5, [f"D,1,,{T1}"]), (6, 6, [f"I,2,a,{T1}"])],
    ),
}
OF_KINDS = [(kind, story) for story, (kinds, _) in STORIES.items() for kind in kinds]


def _file(kind: str, hour: int, changed: int, rows: Sequence[str], blank: int = 0) -> File:
    """`blank`: empty lines at its end, so that the same rows at another time are another content."""
    lines = [",".join(KINDS[kind]["columns"]), *rows, *[""] * blank]
    day = dt.datetime(2026, 1, 1)
    times = [day + dt.timedelta(hours=number) for number in (hour, changed)]
    return File(kind, times[0], times[1], f"{kind}.csv", "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(("stage", "story"), OF_KINDS, indirect=["stage"])
def test_each_order_of_arrival_tells_the_same(stage: Stage, story: str) -> None:
    files = [_file(stage.kind, *told, blank=number) for number, told in enumerate(STORIES[story][1])]
    for order in itertools.permutations(files):
        trial = Trial(stage)
        for file in order:
            trial.load(file)
        trial.check()


@pytest.mark.parametrize("stage", ["history_by_file", "latest_by_file", "snapshot_history_marks"], indirect=True)
def test_the_same_content_on_another_day_is_another_file(stage: Stage) -> None:
    files = [_file(stage.kind, hour, hour, rows) for hour, rows in [(5, ["1,a"]), (6, ["1,b"]), (7, ["1,a"])]]
    for order in (files, files[::-1]):
        trial = Trial(stage)
        for file in order:
            trial.load(file)
        trial.check()


@pytest.mark.parametrize("stage", ["snapshot_history_by_time"], indirect=True)
def test_a_snapshot_as_it_was_once_brings_back_what_another_lacked(stage: Stage) -> None:
    days = [(5, [f"1,a,{T1}", "2,z,"]), (6, ["2,z,"]), (7, [f"1,a,{T1}", "2,z,"])]
    files = [_file(stage.kind, hour, hour, rows) for hour, rows in days]
    for order in itertools.permutations(files):
        trial = Trial(stage)
        for file in order:
            trial.load(file)
        trial.check()
        assert len(trial.outcomes) == 3


@pytest.mark.parametrize("stage", ["history", "history_by_file", "snapshot_history_marks"], indirect=True)
def test_what_is_taken_back_leaves_what_the_others_tell(stage: Stage) -> None:
    given = (
        [["1,a"], ["1,b"], ["1,a"]] if stage.kind != "history" else [[f"1,a,{T1}"], [f"1,b,{T1}"], [f"1,a,{T2}"]]
    )
    files = [_file(stage.kind, hour, hour, rows, blank=hour) for hour, rows in enumerate(given, 5)]
    for position in range(len(files)):
        trial = Trial(stage)
        for file in files:
            trial.load(file)
        taken_back = trial.undo(position)
        trial.check()
        trial.load_again(taken_back)
        trial.check()


@pytest.mark.parametrize("stage", ["snapshot_guarded"], indirect=True)
def test_a_snapshot_that_would_lose_too_much_fails_as_a_whole(stage: Stage) -> None:
    everyone = [f"{number},a" for number in range(1, 5)]
    days = [everyone, [], everyone[:1], [*everyone[:1], "9,new"], everyone[:2], everyone[1:2], []]
    trial = Trial(stage)
    for hour, rows in enumerate(days, 5):
        trial.load(_file(stage.kind, hour, hour, rows, blank=hour))
        trial.check()
    assert len(trial.outcomes) == 3


@pytest.mark.parametrize("stage", ["latest", "latest_by_file", "history", "history_by_file"], indirect=True)
def test_files_that_come_at_once_leave_what_they_would_one_after_the_other(stage: Stage) -> None:
    timed = stage.declared.newer_by is not None
    for turn in range(8):
        trial = Trial(stage)
        files = []
        for number in range(4):
            rows = [
                f"{key},{turn}-{number}-{key}" + (f",{T1 if number % 2 else T2}" if timed else "")
                for key in (1, 2)
            ]
            files.append(_file(stage.kind, 5 + number, 5 + number, rows))
        with ThreadPoolExecutor(len(files)) as workers:
            list(workers.map(stage.load, files))
        for file in files:
            trial.arrivals.load(file)
        trial.check()
