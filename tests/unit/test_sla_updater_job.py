"""The views are replaced at once and then in turns, whatever the database does, until the stop."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from config.errors import WarehouseUnavailable
from utils.sla_updater_job import sla_scheduler_loop, update_views

VIEW = "CREATE OR REPLACE VIEW v AS SELECT 1"
VIEWS = {"v": VIEW}
SECRET = "nour.adel@example.com"


class Engine:
    """Stands in for an engine: keeps the statements of each transaction, and fails in the turns it is told to."""

    def __init__(self, failures: dict[int, Exception] | None = None) -> None:
        self.failures = failures or {}
        self.turns: list[list[str]] = []

    @contextmanager
    def begin(self) -> Iterator[Engine]:
        self.turns.append([])
        yield self

    def execution_options(self, **_options: Any) -> Engine:
        return self

    def exec_driver_sql(self, statement: str) -> None:
        if problem := self.failures.get(len(self.turns)):
            raise problem
        self.turns[-1].append(statement)

    @property
    def engine(self) -> sa.Engine:
        return cast("sa.Engine", self)


class LockNotAvailable(Exception):
    """A driver's error: its text quotes data, its code does not."""

    pgcode = "55P03"


def lock_timeout() -> OperationalError:
    return OperationalError(VIEW, None, LockNotAvailable(SECRET))


@contextmanager
def running(engine: sa.Engine, every_seconds: float) -> Iterator[threading.Event]:
    """The loop in a thread of its own; it must end when told to."""
    stop = threading.Event()
    thread = threading.Thread(target=sla_scheduler_loop, args=(stop, engine, VIEWS, every_seconds))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_view_is_replaced_under_a_lock_timeout_of_the_transaction_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    engine = Engine()
    update_views(engine.engine, VIEWS)
    ((timeout, view),) = engine.turns
    assert timeout.startswith("SET LOCAL lock_timeout")
    assert view == VIEW
    assert "SLA view updated" in caplog.text


def test_a_refusal_is_logged_by_class_and_sqlstate_alone(caplog: pytest.LogCaptureFixture) -> None:
    update_views(Engine({1: lock_timeout()}).engine, VIEWS)
    assert "SLA view update failed: v (OperationalError, SQLSTATE 55P03)" in caplog.text
    assert SECRET not in caplog.text


def test_a_server_that_is_away_is_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    engine = sa.create_engine(f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres?connect_timeout=2")
    update_views(engine, VIEWS)
    engine.dispose()
    assert "SLA view update failed: v (OperationalError)" in caplog.text


def test_the_warehouse_own_errors_while_connecting_are_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    def connect() -> Any:
        raise WarehouseUnavailable("the warehouse is not open")

    engine = sa.create_engine("postgresql+psycopg2://", creator=connect, poolclass=sa.NullPool)
    update_views(engine, VIEWS)
    assert "SLA view update failed: v (WarehouseUnavailable)" in caplog.text


def test_the_loop_starts_at_once_and_outlives_failures() -> None:
    engine = Engine({1: lock_timeout(), 3: WarehouseUnavailable("away")})
    with running(engine.engine, every_seconds=0.01):
        wait_until(lambda: len(engine.turns) > 5)
    assert engine.turns[0] == engine.turns[2] == []
    assert all(len(turn) == 2 for turn in (engine.turns[1], engine.turns[3], engine.turns[4]))


def test_one_view_that_fails_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine({2: lock_timeout()})
    left_out = update_views(engine.engine, {name: f"{VIEW} AS {name}" for name in ("v", "w", "x")})
    assert [turn[1:] for turn in engine.turns] == [[f"{VIEW} AS v"], [], [f"{VIEW} AS x"]]
    assert left_out == []
    assert "update failed: w (" in caplog.text


def test_the_stop_ends_the_wait() -> None:
    engine = Engine()
    with running(engine.engine, every_seconds=3600) as stop:
        wait_until(lambda: engine.turns)
        began = time.monotonic()
        stop.set()
    assert time.monotonic() - began < 5
    assert len(engine.turns) == 1


def test_a_loop_that_was_stopped_before_it_began_does_nothing() -> None:
    engine = Engine()
    stop = threading.Event()
    stop.set()
    sla_scheduler_loop(stop, engine.engine, VIEWS)
    assert engine.turns == []
