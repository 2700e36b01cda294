"""Rows that change: whatever files come in whatever order, table and history are those of the model.

A search is short here, and the same each time; CHANGES_EXAMPLES=1000 makes it long, and another each time.
"""

from __future__ import annotations

import datetime as dt
import os
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.oracle_files import File
from tests.integration.changing import Stage, Trial
from tests.integration.kinds_that_change import KINDS

HOURS = [dt.datetime(2026, 1, 1, 5), dt.datetime(2026, 1, 1, 6), dt.datetime(2026, 1, 2), dt.datetime(2026, 1, 3)]
VALUES: dict[str, list[str]] = {
    "id": ["1", "1", "1", "1", "2", "x"],
    "part": ["x", "x", "x", "y"],
    "v": ["a", "a", "b", ""],
    "n": ["1", "1", "2", "x"],
    "seen": ["1", "2"],
    "u": ["", "2026-01-01", "2026-01-01", "2026-01-01 05:00:00", "2150-01-01"],
    "op": ["I", "U", "D"],
}
IN_THEIR_ORDER = {
    "snapshot_guarded",  # what would lose too much depends on what came before
    # not yet: a row that is told again at the time of its delete, by a file later than that
    "operations_latest",
    "operations_history",
    "operations_marks",
}
BOUNDED = settings(
    max_examples=int(os.environ.get("CHANGES_EXAMPLES", "6")),
    derandomize="CHANGES_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


class Scene(NamedTuple):
    """Files as they come, some together; then some are reprocessed, taken back, and some of these loaded again."""

    arrivals: list[list[File]]
    chunk_rows: int
    reprocessed: list[int]
    undone: list[int]
    again: int


def _rows(given: dict[str, Any]) -> st.SearchStrategy[str]:
    return st.tuples(*(st.sampled_from(VALUES[name]) for name in given["columns"])).map(",".join)


@st.composite
def _scenes(draw: st.DrawFn, kind: str) -> Scene:
    given = KINDS[kind]
    header = ",".join(given["columns"])
    files: list[File] = []
    for number in range(draw(st.integers(1, 5))):
        rows = draw(st.lists(_rows(given), min_size=0 if "rows" in given else 1, max_size=4))
        as_of = draw(st.sampled_from(HOURS))
        modified = HOURS[3] + dt.timedelta(hours=draw(st.integers(0, 1)))
        name = f"{kind}.{draw(st.sampled_from('ab'))}.csv"
        # the same rows at another time are another file: blank lines tell them apart
        content = "".join(f"{line}\n" for line in [header, *rows]) + "\n" * number
        files.append(File(kind, as_of, modified, name, content))
    if draw(st.integers(0, 4)) == 0:
        files.append(files[draw(st.integers(0, len(files) - 1))])
    arrivals: list[list[File]] = []
    ordered = kind in IN_THEIR_ORDER
    for file in sorted(files, key=lambda file: file.order) if ordered else draw(st.permutations(files)):
        if arrivals and draw(st.integers(0, 2)) == 0:
            arrivals[-1].append(file)
        else:
            arrivals.append([file])
    reprocessed = draw(st.lists(st.integers(0, 4), max_size=2))
    undone = draw(st.lists(st.integers(0, 4), max_size=2)) if given.get("keep") == "history" else []
    return Scene(arrivals, draw(st.sampled_from([1, 2, 1000])), reprocessed, undone, draw(st.integers(0, 2)))


@pytest.mark.parametrize("stage", [*KINDS], indirect=True)
def test_whatever_files_come_in_whatever_order_the_rows_are_the_models(stage: Stage) -> None:
    @BOUNDED
    @given(scene=_scenes(stage.kind))
    def compare(scene: Scene) -> None:
        _play(stage, scene)

    compare()


FIVE, SIX = HOURS[0], HOURS[1]


@pytest.mark.parametrize("stage", ["snapshot_history_deletes", "snapshot_history_marks"], indirect=True)
@pytest.mark.parametrize(
    "came",
    [
        [(FIVE, "a", "1,a"), (SIX, "a", "1,a\n"), (FIVE, "b", ""), (FIVE, "a", "")],
        [(FIVE, "b", ""), (SIX, "b", ""), (FIVE, "a", "1,a"), (SIX, "a", "1,a")],
        [(FIVE, "a", "1,a"), (FIVE, "b", ""), (SIX, "a", "1,b"), (HOURS[2], "a", "1,c"), (FIVE, "a", "1,d")],
    ],
)
@pytest.mark.parametrize("undone", [[], [0], [2]])
def test_of_two_snapshots_of_an_hour_the_laters_word_stands_whatever_comes_after(
    stage: Stage, came: list[tuple[dt.datetime, str, str]], undone: list[int]
) -> None:
    files = [
        File(stage.kind, as_of, HOURS[3], f"{stage.kind}.{name}.csv", f"id,v\n{row}\n")
        for as_of, name, row in came
    ]
    for arrivals in ([[file] for file in files], [files]):
        _play(stage, Scene(arrivals, 1000, [0], undone, 1))


def _play(stage: Stage, scene: Scene) -> None:
    trial = Trial(stage)
    for files in scene.arrivals:
        trial.load(*files, chunk_rows=scene.chunk_rows)
    trial.check()
    for position in scene.reprocessed:
        if position < len(trial.outcomes):
            stage.reprocess(trial.outcomes[position][1])
            trial.check()
    taken_back = [trial.undo(position) for position in scene.undone if position < len(trial.outcomes)]
    if taken_back:
        trial.check()
    if again := taken_back[: scene.again]:
        for file in again:
            trial.load_again(file)
        trial.check()
