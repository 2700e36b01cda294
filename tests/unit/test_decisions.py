"""What happens after an error: a table of every class of error, the tries behind it, and what is known by then."""

from __future__ import annotations

import importlib
import logging
import math
from pathlib import Path
from typing import NamedTuple

import psycopg2
import psycopg2.errorcodes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import errors
from config.errors import PipelineError, WarehouseUnavailable
from config.jobs import Tries
from datawarehouse.db_errors import translate
from ingestion.decisions import (
    Circumstances,
    Decision,
    Next,
    Tell,
    Wait,
    decide,
    decide_what_follows,
    may_be_away,
    statement_seconds,
)

ROOT = Path(__file__).resolve().parents[2]
for _module in (*ROOT.glob("datawarehouse/*.py"), *ROOT.glob("ingestion/*.py")):  # with errors of their own
    importlib.import_module(f"{_module.parent.name}.{_module.stem}")


def all_kinds(kind: type[PipelineError] = PipelineError) -> set[type[PipelineError]]:
    """Every class of error of the product, this one among them."""
    below = [below for below in kind.__subclasses__() if not below.__module__.startswith("tests")]
    return {kind}.union(*map(all_kinds, below))


class Row(NamedTuple):
    """One line of the table: what was met, and what is to happen."""

    error: str  # a class of config.errors, or ValueError
    tries: Tries
    at: Circumstances
    wanted: Decision
    of_group: bool = False
    recordable: bool = True


NEW, USUAL = Tries(), Circumstances()
AWAY, IMPATIENT = Circumstances(answers=False), Circumstances(seconds_left=0)
APART = Decision(Next.APART, Tries(by_itself=True))
LOUD_APART = Decision(Next.APART, Tries(by_itself=True), level=logging.WARNING)
UNFIT = Decision(Next.SETTLED, NEW, tell=Tell.LACKING, table_waits=True)
CRASH = Decision(Next.FAILED, NEW, tell=Tell.CRASH)
GONE_WRONG = ("PipelineError", "ConfigError", "DataError", "ValueError")  # there, a fault of ours


def held_up(times: int, tell: Tell = Tell.NOBODY) -> Decision:
    return Decision(Next.SETTLED, Tries(held_up=times), Wait.SHORT, tell, logging.WARNING)


TABLE = [
    # The file's bytes
    Row("FileChanged", NEW, USUAL, Decision(Next.SETTLED, NEW)),
    Row("FileChanged", Tries(by_itself=True, held_up=2), USUAL, Decision(Next.SETTLED, Tries(held_up=2))),
    Row("FileUnreadable", NEW, USUAL, Decision(Next.SETTLED, Tries(unrecorded=1))),
    Row("FileUnreadable", Tries(unrecorded=1), USUAL, Decision(Next.SETTLED, Tries(unrecorded=2))),
    Row(
        "FileUnreadable",
        Tries(unrecorded=2),
        USUAL,
        Decision(Next.FAILED_FOR_NOW, Tries(unrecorded=3), tell=Tell.FILE),
    ),
    Row("FileUnreadable", Tries(unrecorded=3), USUAL, Decision(Next.LEFT, Tries(unrecorded=4))),
    Row("FileUnreadable", Tries(unrecorded=90), USUAL, Decision(Next.LEFT, Tries(unrecorded=91))),
    Row("FileRejected", NEW, USUAL, Decision(Next.FAILED, NEW, tell=Tell.FILE)),
    Row("TooManyGone", NEW, USUAL, Decision(Next.FAILED, NEW, tell=Tell.FILE)),
    # The pipeline stops
    Row("Stopped", NEW, USUAL, Decision(Next.SETTLED, NEW, level=logging.WARNING)),
    Row("Stopped", NEW, USUAL, Decision(Next.SETTLED, NEW, level=logging.WARNING), of_group=True),
    # The database is away
    Row("WarehouseUnavailable", NEW, AWAY, Decision(Next.AGAIN, NEW, Wait.DATABASE)),
    Row("WarehouseUnavailable", Tries(held_up=9), AWAY, Decision(Next.AGAIN, Tries(held_up=9), Wait.DATABASE)),
    Row("WarehouseUnavailable", NEW, AWAY, Decision(Next.AGAIN, NEW, Wait.DATABASE), of_group=True),
    Row("ReadOnlyServer", NEW, AWAY, Decision(Next.AGAIN, NEW, Wait.DATABASE)),
    # The database is there, and can't take the file now
    Row("WarehouseUnavailable", NEW, USUAL, held_up(1)),
    Row("WarehouseUnavailable", Tries(held_up=1), USUAL, held_up(2)),
    Row("WarehouseUnavailable", Tries(held_up=2), USUAL, held_up(3, Tell.HELD_UP)),
    Row("WarehouseUnavailable", Tries(held_up=3), USUAL, held_up(4)),
    Row("WarehouseUnavailable", NEW, IMPATIENT, Decision(Next.GIVE_UP, Tries(held_up=1))),
    Row("WarehouseUnavailable", NEW, USUAL, APART, of_group=True),
    Row("ReadOnlyServer", NEW, USUAL, held_up(1)),
    Row("WarehouseUnfit", NEW, USUAL, UNFIT),
    Row("WarehouseUnfit", NEW, USUAL, UNFIT, of_group=True),
    Row("WarehouseUnfit", NEW, IMPATIENT, Decision(Next.GIVE_UP, NEW)),
    Row("Collision", NEW, USUAL, Decision(Next.AGAIN, NEW, Wait.MOMENT)),
    Row("Collision", NEW, IMPATIENT, Decision(Next.AGAIN, NEW, Wait.MOMENT)),
    Row("Collision", NEW, USUAL, APART, of_group=True),
    Row("NumberTaken", NEW, USUAL, Decision(Next.AGAIN, NEW, Wait.MOMENT, moves_sequences=True)),
    Row("NumberTaken", NEW, USUAL, Decision(Next.APART, APART.tries, moves_sequences=True), of_group=True),
    # Faults of ours
    *(Row(kind, NEW, USUAL, CRASH) for kind in GONE_WRONG),
    *(
        Row(kind, NEW, USUAL, LOUD_APART, of_group=True)
        for kind in (*GONE_WRONG, "FileChanged", "FileRejected", "TooManyGone")
    ),
    Row("FileUnreadable", NEW, USUAL, LOUD_APART, of_group=True),
    Row("ValueError", Tries(unrecorded=3), USUAL, Decision(Next.FAILED, Tries(unrecorded=3))),
    # … that can't be recorded either
    Row(
        "ValueError",
        NEW,
        USUAL,
        Decision(Next.FAILED_FOR_NOW, Tries(unrecorded=3), level=logging.CRITICAL),
        recordable=False,
    ),
    Row("ValueError", Tries(unrecorded=3), USUAL, Decision(Next.LEFT, Tries(unrecorded=3)), recordable=False),
    Row("WarehouseUnavailable", NEW, AWAY, Decision(Next.AGAIN, NEW, Wait.DATABASE), recordable=False),
    Row("WarehouseUnfit", NEW, USUAL, UNFIT, recordable=False),
]


def made(name: str) -> Exception:
    kind = ValueError if name == "ValueError" else getattr(errors, name)
    error: Exception = kind("what is wrong")
    return error


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.error}-{row.wanted.next}")
def test_what_happens_after_an_error_is_as_the_table_says(row: Row) -> None:
    decided = decide(made(row.error), row.tries, row.at, of_group=row.of_group, recordable=row.recordable)
    assert decided == row.wanted


def test_the_table_has_every_class_of_error() -> None:
    """Those of other modules are of one of these classes, and fare as it does."""
    known = {kind.__name__ for kind in all_kinds() if kind.__module__ == "config.errors"}
    assert known == {row.error for row in TABLE} - {"ValueError"}
    assert all(kind.__mro__[1] in all_kinds() for kind in all_kinds() - {PipelineError})


# ---------------------------------------------------------------- by what the database says

SQLSTATES = {
    "40P01": Next.AGAIN,  # deadlock_detected
    "40001": Next.AGAIN,  # serialization_failure
    "57014": Next.SETTLED,  # query_canceled: its time was over
    "55P03": Next.SETTLED,  # lock_not_available
    "53100": Next.SETTLED,  # disk_full
    "57P01": Next.SETTLED,  # admin_shutdown
    "08006": Next.SETTLED,  # connection_failure
    "25006": Next.SETTLED,  # read_only_sql_transaction
    "42P01": Next.SETTLED,  # undefined_table
    "42501": Next.SETTLED,  # insufficient_privilege
    "22003": Next.FAILED,  # numeric_value_out_of_range, where nobody can isolate the row
    "XX000": Next.FAILED,  # internal_error
}


CODES = sorted(
    code for name, code in vars(psycopg2.errorcodes).items() if name.isupper() and len(str(code)) == len("40P01")
)


def of_server(code: str) -> PipelineError:
    """What the product makes of the driver's error for an SQLSTATE, which only the driver can set by itself."""
    error = psycopg2.DatabaseError("text of the server")
    error.__setstate__({"pgcode": code})  # type: ignore[no-untyped-call]
    return translate(error)


@pytest.mark.parametrize("code", SQLSTATES)
def test_each_sqlstate_leads_to_what_its_class_is_for(code: str) -> None:
    assert decide(of_server(code), NEW).next is SQLSTATES[code]


@pytest.mark.parametrize("code", CODES)
def test_only_what_is_no_matter_of_the_server_fails_a_file(code: str) -> None:
    error = of_server(code)
    decision = decide(error, NEW)
    if isinstance(error, WarehouseUnavailable):
        assert decision.next in {Next.AGAIN, Next.SETTLED}
        assert decide_what_follows(error).next in {Next.AGAIN, Next.LEFT}
    else:
        assert decision == CRASH
    if may_be_away(error):
        assert decide(error, NEW, AWAY) == Decision(Next.AGAIN, NEW, Wait.DATABASE)


# ---------------------------------------------------------------- what follows a commit

AFTERWARDS = [
    ("WarehouseUnavailable", AWAY, Decision(Next.AGAIN, wait=Wait.DATABASE)),
    ("WarehouseUnavailable", USUAL, Decision(Next.AGAIN, wait=Wait.SHORT, level=logging.WARNING)),
    ("WarehouseUnavailable", IMPATIENT, Decision(Next.GIVE_UP, Tries(held_up=1))),
    ("ReadOnlyServer", AWAY, Decision(Next.AGAIN, wait=Wait.DATABASE)),
    ("Collision", USUAL, Decision(Next.AGAIN, wait=Wait.MOMENT)),
    ("NumberTaken", USUAL, Decision(Next.AGAIN, wait=Wait.MOMENT, moves_sequences=True)),
    ("WarehouseUnfit", USUAL, Decision(Next.LEFT, tell=Tell.LACKING)),
    ("Stopped", USUAL, Decision(Next.LEFT, level=logging.WARNING)),
    *(
        (kind, USUAL, Decision(Next.LEFT, tell=Tell.CRASH))
        for kind in (*GONE_WRONG, "FileRejected", "TooManyGone")
    ),
    *((kind, USUAL, Decision(Next.LEFT, tell=Tell.CRASH)) for kind in ("FileChanged", "FileUnreadable")),
]


@pytest.mark.parametrize(("error", "at", "wanted"), AFTERWARDS)
def test_what_follows_a_commit_is_repeated_or_left_but_no_file_fails_by_it(
    error: str, at: Circumstances, wanted: Decision
) -> None:
    assert decide_what_follows(made(error), at) == wanted


def test_what_follows_has_a_decision_for_every_class_of_error() -> None:
    assert {error for error, _, _ in AFTERWARDS} == {row.error for row in TABLE}


# ---------------------------------------------------------------- in the long run

KINDS = sorted({row.error for row in TABLE})
SOME_TRIES = st.builds(Tries, st.integers(0, 50), st.integers(0, 50), st.booleans())


@given(st.sampled_from(KINDS), SOME_TRIES, st.booleans(), st.floats(0.001, math.inf))
def test_while_there_is_time_nothing_gives_up_and_no_group_fails(
    kind: str, tries: Tries, answers: bool, seconds: float
) -> None:
    decision = decide(made(kind), tries, Circumstances(seconds, answers), of_group=True)
    assert decision.next in {Next.AGAIN, Next.APART, Next.SETTLED}
    assert decision.tries.held_up == tries.held_up, "of whom it was is not known"
    assert decide(made(kind), tries, Circumstances(seconds, answers)).next is not Next.GIVE_UP


@given(st.sampled_from(KINDS), st.integers(1, 40), st.booleans())
def test_the_same_error_again_and_again_is_told_once(kind: str, times: int, recordable: bool) -> None:
    """Of a file that could be recorded nothing is tried again; one that could not comes with each scan."""
    tries, told = NEW, 0
    for _ in range(times):
        decision = decide(made(kind), tries, recordable=recordable)
        tries = decision.tries
        told += decision.next is Next.FAILED_FOR_NOW or decision.tell is Tell.HELD_UP
    assert told <= 1
    assert told == 1 or decision.next is not Next.LEFT


@pytest.mark.parametrize(
    ("size", "tries", "seconds"),
    [(0, 0, 30), (5_000_000, 0, 35), (0, 1, 60), (0, 3, 240), (10_000_000, 2, 160), (0, 99, 30 * 1024)],
)
def test_a_statement_has_more_time_for_a_larger_file_and_after_each_try(
    size: int, tries: int, seconds: float
) -> None:
    assert statement_seconds(30, size, Tries(held_up=tries)) == seconds
