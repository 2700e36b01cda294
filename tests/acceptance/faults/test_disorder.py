"""Random sequences of everything that can happen to files, process and server: in the end the books balance."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.acceptance import samples
from tests.acceptance.books import Audit
from tests.acceptance.daemon import Daemon, Product
from tests.acceptance.faults.scenario import Bench, put_round

ROOM = 10  # files that the machine plays with
EXAMPLES = int(os.environ.get("DISORDER_EXAMPLES", "2"))


class Disorder(RuleBasedStateMachine):
    """One product on one server; each rule is one thing that happens."""

    bench: ClassVar[Bench]

    def __init__(self) -> None:
        super().__init__()
        self.product: Product = self.bench.clone()
        self.daemon: Daemon | None = self.product.start()
        self.up = True
        self.next_order = 1_000_000
        self.rounds = 0

    def _fresh(self, count: int) -> list[samples.Fields]:
        self.next_order += count
        return [samples.order(self.next_order + n) for n in range(count)]

    def _path(self, slot: int) -> Any:
        return self.product.home / "data/input/stream" / samples.DAY / f"{slot:02d}" / "orders.json"

    @rule(slot=st.integers(0, ROOM), count=st.integers(1, 30))
    def write(self, slot: int, count: int) -> None:
        self.product.stream(f"{slot:02d}", "orders.json", self._fresh(count))

    @rule(slot=st.integers(0, ROOM), count=st.integers(1, 5))
    def append(self, slot: int, count: int) -> None:
        """More lines in place; the file is NDJSON from then on, or broken if it was an array."""
        path = self._path(slot)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(samples.ndjson_text(self._fresh(count)))
        self.product.keep(path)

    @rule(slot=st.integers(0, ROOM), share=st.floats(0, 1))
    def truncate(self, slot: int, share: float) -> None:
        path = self._path(slot)
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(int(path.stat().st_size * share))
            self.product.keep(path)

    @rule(slot=st.integers(0, ROOM), other=st.integers(0, ROOM))
    def rename(self, slot: int, other: int) -> None:
        if slot != other and self._path(slot).exists():
            self._path(other).parent.mkdir(parents=True, exist_ok=True)
            self._path(slot).replace(self._path(other))

    @rule(slot=st.integers(0, ROOM), other=st.integers(0, ROOM))
    def replay(self, slot: int, other: int) -> None:
        if slot != other and self._path(slot).exists():
            self._path(other).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._path(slot), self._path(other))

    @rule(slot=st.integers(0, ROOM))
    def delete(self, slot: int) -> None:
        self._path(slot).unlink(missing_ok=True)

    @rule()
    def round(self) -> None:
        put_round(self.product, self.rounds)
        self.rounds += 1

    @rule(pause=st.floats(0, 1))
    def tick(self, pause: float) -> None:
        time.sleep(pause)

    @precondition(lambda self: self.daemon is not None)
    @rule()
    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon = None

    @precondition(lambda self: self.daemon is None)
    @rule()
    def start(self) -> None:
        self.daemon = self.product.start()

    @precondition(lambda self: self.up)
    @rule(mode=st.sampled_from(["fast", "immediate"]))
    def database_down(self, mode: str) -> None:
        self.bench.server.stop(mode)
        self.up = False

    @precondition(lambda self: not self.up)
    @rule()
    def database_up(self) -> None:
        self.bench.server.start()
        self.up = True

    def teardown(self) -> None:
        """Once all is quiet: everything holds."""
        if not self.up:
            self.bench.server.start()
        if self.daemon is not None:
            self.daemon.kill()
        self.product.once()
        differences = Audit(self.product).run()
        assert not differences, "\n".join(differences[:20])


def run_disorder(bench: Bench, *, examples: int, steps: int) -> None:
    """Play `examples` random games of up to `steps` steps."""
    Disorder.bench = bench
    run_state_machine_as_test(
        Disorder,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(600)
def test_after_any_disorder_the_books_balance(bench: Bench) -> None:
    run_disorder(bench, examples=EXAMPLES, steps=25)
