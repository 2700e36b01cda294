"""Keys of several columns, rows without one, and what refers to them: the oracle says the same of any files."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.config_loader import get_config
from config.jobs import FileJob, FileOutcome
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from ingestion.engines.local import LocalEngine
from tests.acceptance.oracle import FileBook, Oracle, Row
from tests.conftest import SETTINGS_FROM_OUTSIDE, fresh_database, opened
from tests.integration.small import settings_of
from workbench.verify import run_checks

AMOUNT = {"dtype": "int", "rules": {"at_least": 0}}
TYPES: dict[str, dict[str, Any]] = {
    "lines": {
        "key": ["order_id", "at"],
        "table": "fact_line",
        "columns": {"order_id": "str", "at": "datetime", "qty": AMOUNT},
    },
    "zones": {"key": "id", "columns": {"id": "int", "code": "str"}},
    "prices": {
        "key": ["shop", "at"],
        "columns": {"shop": "int", "at": "datetime", "code": "str", "seen": "datetime"},
        "foreign_keys": {"code": "zones.code"},
        "keep": "latest",
        "newer_by": "seen",
    },
    "rides": {
        "key": "row",
        "columns": {"order_id": "str", "at": "datetime", "code": "str", "n": AMOUNT},
        "foreign_keys": {"order_id, at": "lines", "code": "zones.code"},
    },
    "staff": {
        "key": ["site", "id"],
        "columns": {"site": "str", "id": "int", "boss": "int", "code": "str"},
        "foreign_keys": {"site, boss": "staff", "code": "zones.code"},
    },
    "parts": {
        "key": "id",
        "columns": {"id": "int", "code": "str", "whole": "str"},
        "foreign_keys": {"whole": "parts.code"},
    },
}
REFER_TO_THEMSELVES = {"staff", "parts"}

# ---------------------------------------------------------------- files, as they may come

TEXTS = st.sampled_from(["a", " a", 'a"', "a\\", "a, 1", "[", "ä"])
TIMES = st.sampled_from(
    ["2026-01-01", "2026-01-01 00:00:00Z", "2026-01-01T02:00+02:00", "2026-01-02 00:00:00.5", "2026-01-02"]
)
FEW = st.integers(1, 4)
CODES = {1: "n", 2: "s", 3: "n", 4: ""}  # two have the same, so that one is refused; one has none
PARTS = {1: "n", 2: "s", 3: "q", 4: ""}  # which of two with one code comes first would depend on the chunk
CODE = st.sampled_from(["n", " n", "s", "w", ""])
AMOUNTS = st.sampled_from([1, 1, 1, -1])


def _with_code(number: int) -> tuple[int, str]:
    return number, CODES[number]


ROWS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "lines": st.tuples(TEXTS, TIMES, AMOUNTS),
    "zones": FEW.map(_with_code),
    "prices": st.tuples(FEW, TIMES, CODE, st.sampled_from(["", "2026-01-01", "2026-01-02", "2026-01-03"])),
    "rides": st.tuples(st.one_of(TEXTS, st.just("")), st.one_of(TIMES, st.just("")), CODE, AMOUNTS),
    "staff": st.tuples(
        st.sampled_from(["x", "y"]), st.sampled_from([1, 2, 3, 4, "x"]), st.sampled_from(["", 1, 2, 3, 4]), CODE
    ),
    "parts": st.tuples(FEW, st.sampled_from(["n", "s", "w", "q", ""])).map(lambda r: (r[0], PARTS[r[0]], r[1])),
}


class Arrival(NamedTuple):
    """Files of one type that come at once, and how many rows a chunk has."""

    name: str
    files: list[list[tuple[Any, ...]]]
    chunk_rows: int


def _arrivals(name: str) -> st.SearchStrategy[Arrival]:
    files = st.lists(st.lists(ROWS[name], min_size=1, max_size=7), min_size=1, max_size=3)
    return st.builds(Arrival, st.just(name), files, st.sampled_from([1, 2, 3, 100]))


def _scenes(names: Collection[str]) -> st.SearchStrategy[list[Arrival]]:
    return st.lists(st.sampled_from(sorted(names)).flatmap(_arrivals), min_size=1, max_size=7)


# ---------------------------------------------------------------- the product and the oracle side by side


@dataclass(frozen=True)
class Stage:
    """A database with tables of the types, and the YAML."""

    warehouse: Warehouse = field(repr=False)
    home: Path
    yaml: Path = field(repr=False)
    config: PipelineConfig = field(repr=False)

    def play(self, scene: Sequence[Arrival]) -> Oracle:
        oracle = Oracle(self.yaml)
        specs = {spec.name: spec for spec in oracle.specs}
        for arrival in scene:
            for together in self.load(arrival):
                for outcome in together:
                    if outcome.file_id is not None:  # else the same content was there
                        oracle.load(outcome.job.path, specs[arrival.name], outcome.file_id)
                oracle.heal()
        return oracle

    def load(self, arrival: Arrival) -> Iterator[list[FileOutcome]]:
        """Load the files together as far as possible, the others alone, and heal, as the service does."""
        reader = self.config.reader.model_copy(update={"chunk_rows": arrival.chunk_rows})
        config = self.config.model_copy(update={"reader": reader})
        engine = LocalEngine(config, self.warehouse, threading.Event())
        jobs = [self._job(arrival.name, rows) for rows in arrival.files]
        together = engine.load_together(jobs).loaded if len(jobs) > 1 else []
        engine.heal(together)
        yield together
        done = {outcome.job.path for outcome in together}
        for job in jobs:
            if job.path not in done:
                outcome = engine.load(job)
                engine.heal([outcome])
                yield [outcome]

    def _job(self, name: str, rows: list[tuple[Any, ...]]) -> FileJob:
        spec = self.config.by_logical_name[name]
        path = self.home / str(next(_NUMBERS)) / spec.pattern
        path.parent.mkdir()
        lines = [[column.name for column in spec.schema.columns], *rows]
        path.write_text("".join(",".join(map(_cell, line)) + "\n" for line in lines), encoding="utf-8")
        return FileJob(path, spec, path.stat().st_size, 0)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)
            return tx.fetchall() if tx.description else []

    def empty(self) -> None:
        tables = [spec.table for spec in self.config.files]
        self.rows(f"TRUNCATE {', '.join(tables)}, pipeline_file_log, quarantine, orphan_wait, true_orphan CASCADE")


_NUMBERS = itertools.count(1)


def _cell(value: Any) -> str:
    text = str(value)
    return text if text.isalnum() or not text else '"{}"'.format(text.replace('"', '""'))


@pytest.fixture(scope="module")
def stage(embedded_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as env, fresh_database(embedded_url) as database:
        for name in SETTINGS_FROM_OUTSIDE:
            env.delenv(name, raising=False)
        env.setenv("FASTFEAST_HOME", str(home))
        env.setenv("DATABASE_URL", str(database.url))
        with opened(database, home) as warehouse:
            path = home / "config.yaml"
            path.write_text(yaml.safe_dump(settings_of(TYPES)))
            config = get_config(path)
            init_schema(warehouse, config)
            yield Stage(warehouse, home, path, config)


# ---------------------------------------------------------------- what is compared


def _ours(oracle: Oracle, book: FileBook) -> dict[int, Any]:
    """By row: its fate, or why it is in quarantine; of an orphan, what it waits for by now."""

    def why(row: Row) -> tuple[str, tuple[str, ...]]:
        if row.stage == "orphan":
            return "orphan", tuple(sorted(oracle.waits_for(row, book.spec)))
        columns = () if row.stage == "load" else tuple(sorted(r.column or "" for r in row.reasons))
        return row.stage or "", columns

    return {row.number: row.fate if row.fate != "quarantined" else why(row) for row in book.rows}


def _theirs(stage: Stage, book: FileBook) -> dict[int, Any]:
    """The same of the product; how a row passed that was never refused is told by the books alone."""
    refused = stage.rows(
        "SELECT row_number, resolution, rejection_stage, reasons, (SELECT array_agg(fk_column) FROM orphan_wait w"
        " WHERE (w.file_id, w.row_number) = (q.file_id, q.row_number))"
        f" FROM quarantine q WHERE file_id = {book.number}"
    )

    def why(stage: str, reasons: list[dict[str, str]], waits: list[str] | None) -> tuple[str, tuple[str, ...]]:
        if stage == "orphan":
            return stage, tuple(sorted(waits or ()))
        return stage, () if stage == "load" else tuple(sorted(reason["column"] for reason in reasons))

    return {number: resolution or why(*about) for number, resolution, *about in refused}


def _books(stage: Stage, book: FileBook) -> tuple[int, ...]:
    columns = "total_records, inserted_records, updated_records, already_present, quarantined"
    return stage.rows(f"SELECT {columns} FROM pipeline_file_log WHERE file_id = {book.number}")[0]


def _differences(stage: Stage, oracle: Oracle) -> list[Any]:
    found: list[Any] = []
    for book in oracle.books:
        ours, theirs = _ours(oracle, book), _theirs(stage, book)
        if book.spec.name in REFER_TO_THEMSELVES:
            one, other = _by_key(book, ours), _by_key(book, theirs)
            if one != other:
                found.append((book.spec.name, book.number, one, other))
            continue
        refused = {n: fate for n, fate in ours.items() if isinstance(fate, tuple) or n in theirs}
        refused |= {n: "loaded" for n, fate in refused.items() if fate == "updated"}  # the books tell them apart
        books = (book.total, book.inserted, book.updated, book.already_present, book.quarantined)
        if (refused, books) != (theirs, _books(stage, book)):
            found.append((book.spec.name, book.number, refused, theirs, books, _books(stage, book)))
    for spec in oracle.specs:
        names = ", ".join(f'"{spec.stored(name)}"' for name in spec.key) or "_file_id, _row"
        there = stage.rows(f"SELECT {names} FROM {spec.table}")
        if Counter(there) != Counter(oracle.keys(spec.table)):
            found.append((spec.name, sorted(oracle.keys(spec.table)), sorted(there)))
    return found


def _by_key(book: FileBook, fates: dict[int, Any]) -> Counter[Any]:
    """How many rows of each key have their parents, and what the others lack.

    Which row of a key comes first, and so is no duplicate, depends on the chunk in which its parent is.
    """
    of_key = ("records", (", ".join(book.spec.key),))
    judged = {"loaded", "updated", "already_present", of_key}
    return Counter(
        (tuple(row.values.get(name) for name in book.spec.key), "judged" if fate in judged else fate)
        for row in book.rows
        for fate in [fates.get(row.number, "loaded")]
    )


BOUNDED = settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)


@BOUNDED
@given(scene=_scenes(ROWS))
def test_whatever_comes_in_whatever_chunks_fares_as_the_oracle_says(stage: Stage, scene: list[Arrival]) -> None:
    _compare(stage, scene)


@BOUNDED
@given(scene=_scenes({*REFER_TO_THEMSELVES, "zones"}))
def test_rows_that_refer_to_their_own_table_fare_as_the_oracle_says(stage: Stage, scene: list[Arrival]) -> None:
    _compare(stage, scene)


def _compare(stage: Stage, scene: list[Arrival]) -> None:
    stage.empty()
    oracle = stage.play(scene)
    assert _differences(stage, oracle) == []
    checks = [check for check in run_checks(stage.warehouse, stage.config) if "CSV" not in check.name]
    assert [(check.name, check.differences) for check in checks if check.differences] == []
