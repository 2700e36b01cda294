"""The model of rows that change, against small cases worked out by hand."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceptance.oracle_arrivals import Arrivals, Books
from tests.acceptance.oracle_changes import Remembered, remember, remember_all
from tests.acceptance.oracle_files import EVER, NEVER, Declared, File

ITEM: dict[str, Any] = {"key": "id", "columns": {"id": "int", "v": "str", "u": "datetime"}}
PLAIN: dict[str, Any] = {"key": "id", "columns": {"id": "int", "v": "str"}}
BY_TIME = {**ITEM, "keep": "history", "newer_by": "u"}
BY_FILE = {**PLAIN, "keep": "history"}
SNAPSHOT = {**BY_FILE, "rows": "snapshot", "gone": "delete", "gone_at_most_pct": 100}


def day(number: int) -> dt.datetime:
    return dt.datetime(2026, 1, number)


def csv_of(given: dict[str, Any], *rows: str) -> str:
    return "".join(f"{line}\n" for line in [",".join(given["columns"]), *rows])


def file(given: dict[str, Any], number: int, *rows: str, name: str = "item.csv") -> File:
    """A file of the folder of a day; `rows` are lines of CSV, times by their day in January."""
    return File("item", day(number), day(number), name, csv_of(given, *rows))


def u(number: int) -> str:
    return f"2026-01-{number:02}"


def story(given: dict[str, Any], *files: File) -> list[tuple[Any, Any, Any]]:
    """Versions of key 1 as (from, to, v), with days for times; None is for ever."""
    versions = remember(Declared.read("item", given), files).history.get((1,), ())
    return [(_day(v.valid_from), _day(v.valid_to), v.values["v"]) for v in versions]


def _day(time: dt.datetime) -> int | None:
    return None if time in {EVER, NEVER} else time.day


def table(given: dict[str, Any], *files: File) -> dict[Any, Any]:
    declared = Declared.read("item", given)
    return {key[0]: row.values["v"] for key, row in remember(declared, files).table.items()}


# ---------------------------------------------------------------- by a column


def test_the_newest_wins_across_files_whatever_their_order() -> None:
    files = [file(ITEM, 1, f"1,new,{u(5)}"), file(ITEM, 2, f"1,old,{u(3)}"), file(ITEM, 3, f"1,oldest,{u(1)}")]
    assert story(BY_TIME, *files) == [(1, 3, "oldest"), (3, 5, "old"), (5, None, "new")]
    assert table({**ITEM, "keep": "latest", "newer_by": "u"}, *files) == {1: "new"}


def test_a_null_is_older_than_any_time() -> None:
    files = [file(ITEM, 1, f"1,a,{u(5)}"), file(ITEM, 2, "1,unknown,")]
    assert story(BY_TIME, *files) == [(None, 5, "unknown"), (5, None, "a")]


def test_of_two_that_contradict_each_other_the_later_file_stands() -> None:
    files = [file(ITEM, 1, f"1,a,{u(1)}"), file(ITEM, 2, f"1,b,{u(1)}"), file(ITEM, 3, f"1,a,{u(1)}")]
    assert story(BY_TIME, *files[:2]) == [(1, None, "b")]
    assert story(BY_TIME, *files) == [(1, None, "a")]


def test_of_one_hour_the_file_of_the_later_time_or_name_stands() -> None:
    two = [file(PLAIN, 1, "1,a"), file(PLAIN, 1, "1,b", name="item_2.csv")]
    assert story(BY_FILE, *two) == [(1, None, "b")]


def test_each_row_of_a_file_is_a_version_and_a_second_of_one_time_a_duplicate() -> None:
    one = file(ITEM, 9, f"1,b,{u(2)}", f"1,a,{u(1)}", f"1,again,{u(2)}", "1,x,no time", "x,b,")
    declared = Declared.read("item", BY_TIME)
    assert story(BY_TIME, one) == [(1, 2, "a"), (2, None, "b")]
    assert Arrivals(declared).load(one) == Books(total=5, quarantined=3, inserted=1, stale=1)


# ---------------------------------------------------------------- by files


def test_a_middle_that_comes_late_splits_what_was_one() -> None:
    first, middle, last = file(PLAIN, 1, "1,a"), file(PLAIN, 2, "1,b"), file(PLAIN, 3, "1,a")
    assert story(BY_FILE, first, last) == [(1, None, "a")]
    assert story(BY_FILE, first, middle, last) == [(1, 2, "a"), (2, 3, "b"), (3, None, "a")]


def test_the_same_row_again_is_no_version_and_an_earlier_one_begins_earlier() -> None:
    assert story(BY_FILE, file(PLAIN, 2, "1,a"), file(PLAIN, 3, "1,a")) == [(2, None, "a")]
    assert story(BY_FILE, *(file(PLAIN, number, "1,a") for number in (1, 2, 3))) == [(1, None, "a")]


def test_only_tracked_columns_make_a_version_and_the_table_has_the_newest_row() -> None:
    given = {**BY_FILE, "columns": {"id": "int", "v": "str", "seen": "int"}, "track": ["v"]}
    files = [file(given, 1, "1,a,1"), file(given, 2, "1,a,2"), file(given, 3, "1,b,3")]
    assert story(given, *files) == [(1, 3, "a"), (3, None, "b")]
    found = remember(Declared.read("item", given), files[:2])
    assert [v.values["seen"] for v in found.history[1,]] == [1]
    assert found.table[1,].values["seen"] == 2


# ---------------------------------------------------------------- snapshots


def test_what_a_snapshot_lacks_is_gone_until_the_next_that_has_it() -> None:
    files = [
        file(PLAIN, 1, "1,a", "2,z"),
        file(PLAIN, 2, "2,z"),
        file(PLAIN, 3, "2,y"),
        file(PLAIN, 4, "1,a", "2,z"),
    ]
    assert story(SNAPSHOT, *files) == [(1, 2, "a"), (4, None, "a")]
    assert table(SNAPSHOT, *files[:3]) == {2: "y"}
    marked = remember(Declared.read("item", {**SNAPSHOT, "gone": "mark"}), files[:3]).table
    assert (marked[1,].gone_at, marked[2,].gone_at) == (day(2), None)


def test_a_late_snapshot_between_two_others_takes_away_until_the_next() -> None:
    files = [file(PLAIN, 1, "1,a"), file(PLAIN, 3, "1,a")]
    assert story(SNAPSHOT, *files) == [(1, None, "a")]
    assert story(SNAPSHOT, *files, file(PLAIN, 2, "2,z")) == [(1, 2, "a"), (3, None, "a")]


def test_gone_keep_takes_nothing_away() -> None:
    assert story({**SNAPSHOT, "gone": "keep"}, file(PLAIN, 1, "1,a"), file(PLAIN, 2, "2,z")) == [(1, None, "a")]


def test_a_refused_row_neither_takes_away_nor_brings_back() -> None:
    given = {**SNAPSHOT, "columns": {"id": "int", "v": "str", "n": "int"}}
    first, refused, without = (
        file(given, 1, "1,a,1", "2,z,1"),
        file(given, 2, "1,a,no number"),
        file(given, 3, "2,z,1"),
    )
    assert story(given, first, refused) == [(1, None, "a")]
    assert story(given, first, without, file(given, 4, "1,a,no number")) == [(1, 3, "a")]
    assert story(given, first, file(given, 2, "1,a,1", "x,z,1")) == [(1, None, "a")]
    assert table(given, first, file(given, 2, "1,a,1", "x,z,1")) == {1: "a", 2: "z"}, "any of them might be 2"
    assert table(given, first, file(given, 2, "1,a,1", "2,z")) == {1: "a", 2: "z"}, "a line that was cut"


def test_an_empty_snapshot_or_one_that_lost_most_fails_as_a_whole() -> None:
    arrivals = Arrivals(Declared.read("item", {**SNAPSHOT, "gone_at_most_pct": 20}))
    everyone = [f"{number},a" for number in range(1, 11)]
    assert arrivals.load(file(PLAIN, 1, *everyone)) == Books(total=10, inserted=10)
    assert arrivals.load(file(PLAIN, 2)) == Books(failed=True)
    assert arrivals.load(file(PLAIN, 3, *everyone[:7])) == Books(failed=True)
    assert arrivals.load(file(PLAIN, 4, *everyone[:8])) == Books(total=8, unchanged=8, gone=2)
    assert arrivals.load(file(PLAIN, 5, *everyone[:6])) == Books(failed=True), "of those that are there"
    assert len(arrivals.table) == 8


def test_what_came_back_begins_where_its_time_says_or_where_it_was_seen_again() -> None:
    given = {**BY_TIME, "rows": "snapshot", "gone": "mark", "gone_at_most_pct": 100}
    first, without = file(ITEM, 3, f"1,a,{u(2)}"), file(ITEM, 4, f"2,z,{u(1)}")
    assert story(given, first, without, file(ITEM, 7, f"1,a,{u(2)}")) == [(2, 4, "a"), (7, None, "a")]
    assert story(given, first, without, file(ITEM, 7, f"1,b,{u(6)}")) == [(2, 4, "a"), (6, None, "b")]
    assert story(given, first, without) == [(2, 4, "a")]


# ---------------------------------------------------------------- operations, placeholders, facts


def test_a_delete_ends_a_version_and_an_older_row_does_not_bring_it_back() -> None:
    columns = {"op": "str", **ITEM["columns"]}
    given = {**BY_TIME, "columns": columns, "operation": {"column": "op", "delete": ["D"]}}
    rows = [f"I,1,a,{u(1)}", f"D,1,,{u(3)}", f"U,1,late,{u(2)}"]
    files = [file(given, number, row) for number, row in enumerate(rows, 5)]
    assert story(given, *files) == [(1, 2, "a"), (2, 3, "late")]
    assert table(given, *files) == {}
    again = file(given, 9, f"I,1,b,{u(4)}")
    assert story(given, *files, again) == [(1, 2, "a"), (2, 3, "late"), (4, None, "b")]


def test_a_parent_that_is_not_there_is_waited_for_or_a_placeholder() -> None:
    child = {"key": "id", "columns": {"id": "int", "item": "int"}, "keep": "latest"}
    files = [file(PLAIN, 1, "1,a"), File("child", day(1), day(1), "c", "id,item\n1,1\n2,7\n3,\n")]
    for if_missing, loaded, there in [("wait", 2, {(1,): False}), ("placeholder", 3, {(1,): False, (7,): True})]:
        of_child = {**child, "foreign_keys": {"item": {"to": "item", "if_missing": if_missing}}}
        types = {"item": Declared.read("item", BY_FILE), "child": Declared.read("child", of_child)}
        found = remember_all(types, files)
        assert len(found["child"].table) == loaded
        assert {key: row.is_placeholder for key, row in found["item"].table.items()} == there


@pytest.mark.parametrize(
    ("number", "wanted"), [(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "c"), (6, "c"), (None, None)]
)
def test_a_fact_has_the_version_of_its_time(number: int | None, wanted: str | None) -> None:
    files = [file(PLAIN, 2, "1,a", "2,z"), file(PLAIN, 3, "2,z"), file(PLAIN, 5, "1,c", "2,z")]
    found = remember(Declared.read("item", SNAPSHOT), files).version_at((1,), day(number) if number else None)
    assert (found.values["v"] if found else None) == wanted


# ---------------------------------------------------------------- books


def test_what_a_row_counts_as() -> None:
    latest = Arrivals(Declared.read("item", {**ITEM, "keep": "latest", "newer_by": "u"}))
    told = [
        (file(ITEM, 2, f"1,a,{u(2)}"), Books(total=1, inserted=1)),
        (file(ITEM, 2, f"1,a,{u(2)}"), None),
        (file(ITEM, 3, f"1,a,{u(2)}"), Books(total=1, unchanged=1)),
        (file(ITEM, 4, f"1,b,{u(3)}", f"2,z,{u(1)}"), Books(total=2, updated=1, inserted=1)),
        (file(ITEM, 5, f"1,a,{u(2)}"), Books(total=1, stale=1)),
        (file(ITEM, 6, f"1,c,{u(3)}"), Books(total=1, updated=1)),
        (file(ITEM, 3, f"1,d,{u(3)}"), Books(total=1, changed=1)),
    ]
    for arrived, books in told:
        assert latest.load(arrived) == books
    first = Arrivals(Declared.read("item", PLAIN))
    assert first.load(file(PLAIN, 2, "1,a")) == Books(total=1, inserted=1)
    assert first.load(file(PLAIN, 1, "1,b", "2,c")) == Books(total=2, changed=1, inserted=1)
    assert {key: row.values["v"] for key, row in first.table.items()} == {(1,): "a", (2,): "c"}


# ---------------------------------------------------------------- said in another way

VALUES = {"id": ["1"], "v": ["a", "b"], "u": ["", u(1), u(2), u(3)], "op": ["U", "D"]}
PROBES = [EVER, *(day(number) + dt.timedelta(hours=hour) for number in range(1, 6) for hour in (0, 12))]
BY_OPERATION = {
    **BY_TIME,
    "columns": {"op": "str", **ITEM["columns"]},
    "operation": {"column": "op", "delete": ["D"]},
}


def _files(given: dict[str, Any]) -> st.SearchStrategy[list[File]]:
    rows = st.tuples(*(st.sampled_from(VALUES[name]) for name in given["columns"])).map(",".join)
    one = st.builds(
        lambda number, lines, name: file(given, number, *lines, name=name),
        st.integers(1, 5),
        st.lists(rows, min_size=0, max_size=2),
        st.sampled_from("ab"),
    )
    return st.lists(one, min_size=1, max_size=5)


@pytest.mark.parametrize(
    "given_as", [BY_TIME, BY_FILE, SNAPSHOT, BY_OPERATION], ids=["time", "file", "snapshot", "op"]
)
def test_at_each_time_the_last_word_before_it_is_in_force(given_as: dict[str, Any]) -> None:
    declared = Declared.read("item", given_as)

    def in_force(found: Remembered, time: dt.datetime) -> str | None:
        """The last word up to `time`: a value; None where there is none, or it is gone."""
        words = [
            (row.at, r.file.order, None if row.deletes else row["v"]) for r in found.readings for row in r.good
        ]
        if declared.takes_away:
            words += [(r.file.as_of, r.file.order, None) for r in found.readings if r.lacks((1,))]
        said = max((word for word in words if word[0] <= time), key=lambda word: word[:2], default=None)
        return said[2] if said else None

    @settings(max_examples=150, deadline=None)
    @given(files=_files(given_as))
    def holds(files: list[File]) -> None:
        found = remember(declared, files)
        versions = found.history.get((1,), ())
        for time in PROBES:
            valid = [v.values["v"] for v in versions if v.valid_from <= time < v.valid_to]
            assert valid == [value for value in [in_force(found, time)] if value is not None]
        assert [v for v in versions if v.is_current] == list(versions[-1:] if (1,) in found.table else ())
        for one, other in itertools.pairwise(versions):
            assert one.valid_from < one.valid_to <= other.valid_from < other.valid_to
            assert one.valid_to < other.valid_from or one.values["v"] != other.values["v"]
        if (1,) in found.table:
            assert found.table[1,].values["v"] == in_force(found, day(31))

    holds()
