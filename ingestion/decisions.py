"""What happens after an error, as a value: worked out from the error, the file's tries and the time left."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from config.errors import (
    Collision,
    FileChanged,
    FileRejected,
    FileUnreadable,
    NumberTaken,
    Stopped,
    WarehouseUnavailable,
    WarehouseUnfit,
)
from config.jobs import Tries

TRIES_BEFORE_ALERT = 3  # what did not go away in so many tries is worth a word
BYTES_PER_SECOND = 1_000_000  # a statement has a second more for so much of its file; it handles a chunk of it
MOST_DOUBLINGS = 10


class Next(StrEnum):
    """What becomes of the file; the values are words for the log."""

    AGAIN = "once more"  # it is the next one again
    SETTLED = "trying again when it has settled"  # and behind the others, which may fare better
    APART = "one by one"  # of a group: the next ones again, each by itself
    FAILED = "failed"  # and recorded so
    FAILED_FOR_NOW = "failed for now"  # not recorded: the next scan has another try
    LEFT = "left to the next scan"  # or, of what follows a commit, to the timer and the next start
    GIVE_UP = "given up"  # the loop ends


class Wait(StrEnum):
    """For what, before the thread goes on."""

    NOTHING = "nothing"
    MOMENT = "a moment"  # of a random length, so that two that collided don't again
    SHORT = "short"
    DATABASE = "database"  # until it answers


class Tell(StrEnum):
    """Whom it concerns beside the log."""

    NOBODY = "nobody"
    HELD_UP = "held up"  # a database that is there can't take the file, again and again
    LACKING = "lacking"  # a table or a right is gone
    CRASH = "crash"  # a fault of ours
    FILE = "file"  # the report of the file's end says it


class Circumstances(NamedTuple):
    """Of the database, when the error was met."""

    seconds_left: float = math.inf  # of the time that it may let nothing through
    answers: bool = True  # does it, now; asked where `may_be_away`


UNTRIED, AS_USUAL = Tries(), Circumstances()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and the tries that the file has behind it then."""

    next: Next
    tries: Tries = UNTRIED
    wait: Wait = Wait.NOTHING
    tell: Tell = Tell.NOBODY
    level: int = logging.INFO  # of the log line
    moves_sequences: bool = False  # past the numbers that are taken
    table_waits: bool = False  # files of the same table can't be loaded now, and hold up no other


def decide(
    error: Exception,
    tries: Tries,
    at: Circumstances = AS_USUAL,
    *,
    of_group: bool = False,
    recordable: bool = True,
) -> Decision:
    """After a try to load a file, which left nothing of it in the warehouse.

    `of_group`: it was tried together with others. Not `recordable`: that the file failed could not be written down
    either, and `error` is why.
    """
    tries = replace(tries, by_itself=False)
    if isinstance(error, WarehouseUnavailable):
        return _of_database(error, tries, at, of_group=of_group)
    if isinstance(error, Stopped):
        return Decision(Next.SETTLED, tries, level=logging.WARNING)
    if of_group:  # what is wrong with which of them is found out then
        return _apart(tries, level=logging.WARNING)
    return _of_file(error, tries, recordable=recordable)


def decide_what_follows(error: Exception, at: Circumstances = AS_USUAL) -> Decision:
    """After an error in what follows a commit: the files are loaded, whatever becomes of it."""
    if isinstance(error, WarehouseUnfit):
        return Decision(Next.LEFT, tell=Tell.LACKING)
    if isinstance(error, WarehouseUnavailable):
        decision = _of_database(error, UNTRIED, at, of_group=False)
        return decision if decision.next is Next.GIVE_UP else replace(decision, next=Next.AGAIN, tries=UNTRIED)
    if isinstance(error, Stopped):
        return Decision(Next.LEFT, level=logging.WARNING)
    return Decision(Next.LEFT, tell=Tell.CRASH)


def may_be_away(error: Exception) -> bool:
    """May the error come from a database that is not there, or takes no writes?"""
    return isinstance(error, WarehouseUnavailable) and not isinstance(error, (Collision, WarehouseUnfit))


def statement_seconds(answer_seconds: float, size: int, tries: Tries) -> float:
    """How long a statement on a file may take, so that a frozen backend does not hold up the others.

    By the file's size in bytes; and double after each try that did not get through, so that a server which is only
    slow is not given up again and again.
    """
    return (answer_seconds + size / BYTES_PER_SECOND) * 2.0 ** min(tries.held_up, MOST_DOUBLINGS)


# ---------------------------------------------------------------- by the kind of error


def _of_database(error: WarehouseUnavailable, tries: Tries, at: Circumstances, *, of_group: bool) -> Decision:
    """Nothing is wrong with the file."""
    if not at.answers:
        return Decision(Next.AGAIN, tries, Wait.DATABASE)
    is_taken = isinstance(error, NumberTaken)
    if isinstance(error, WarehouseUnfit):
        put_off = Decision(Next.SETTLED, tries, tell=Tell.LACKING, table_waits=True)
    elif of_group:
        return _apart(tries, moves_sequences=is_taken)
    elif isinstance(error, Collision):  # others get through, and so will it
        return Decision(Next.AGAIN, tries, Wait.MOMENT, moves_sequences=is_taken)
    else:
        tries = replace(tries, held_up=tries.held_up + 1)
        tell = Tell.HELD_UP if tries.held_up == TRIES_BEFORE_ALERT else Tell.NOBODY
        put_off = Decision(Next.SETTLED, tries, Wait.SHORT, tell, logging.WARNING)
    return put_off if at.seconds_left > 0 else Decision(Next.GIVE_UP, tries)


def _apart(tries: Tries, *, level: int = logging.INFO, moves_sequences: bool = False) -> Decision:
    return Decision(Next.APART, replace(tries, by_itself=True), level=level, moves_sequences=moves_sequences)


def _of_file(error: Exception, tries: Tries, *, recordable: bool) -> Decision:
    if isinstance(error, FileUnreadable):
        return _of_bytes(replace(tries, unrecorded=tries.unrecorded + 1))
    if isinstance(error, FileChanged):
        return Decision(Next.SETTLED, tries)
    if isinstance(error, FileRejected) and recordable:
        return Decision(Next.FAILED, tries, tell=Tell.FILE)
    return _of_fault(tries, recordable=recordable)


def _of_bytes(tries: Tries) -> Decision:
    """The disk does not give them: it is told once, and each scan has another try."""
    if tries.unrecorded < TRIES_BEFORE_ALERT:
        return Decision(Next.SETTLED, tries)
    if tries.unrecorded == TRIES_BEFORE_ALERT:
        return Decision(Next.FAILED_FOR_NOW, tries, tell=Tell.FILE)
    return Decision(Next.LEFT, tries)


def _of_fault(tries: Tries, *, recordable: bool) -> Decision:
    """A fault of ours, or of the database's schema: the file has failed, the rest goes on; it is told once."""
    known = tries.unrecorded >= TRIES_BEFORE_ALERT
    if recordable:
        return Decision(Next.FAILED, tries, tell=Tell.NOBODY if known else Tell.CRASH)
    if known:
        return Decision(Next.LEFT, tries)
    return Decision(Next.FAILED_FOR_NOW, replace(tries, unrecorded=TRIES_BEFORE_ALERT), level=logging.CRITICAL)
