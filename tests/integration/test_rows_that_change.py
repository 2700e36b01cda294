"""Rows that change: whatever files come in whatever order, table and history are those of the model."""

from __future__ import annotations

import datetime as dt
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.config_loader import get_config
from config.errors import ConfigError
from config.model import FileJob, FileOutcome, Stamp, Status
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from tests.acceptance.oracle_arrivals import Arrivals, Books
from tests.acceptance.oracle_changes import EVER, NEVER, Declared, File, Key, Remembered, TableRow
from tests.conftest import SETTINGS_FROM_OUTSIDE, fresh_database, opened
from tests.integration.small import PII, settings_of
from workbench.verify import run_checks

Given = dict[str, Any]
PLAIN: Given = {"key": "id", "columns": {"id": "int", "v": "str"}}
TIMED: Given = {"key": "id", "columns": {"id": "int", "v": "str", "u": "datetime"}, "newer_by": "u"}
PAIRS: Given = {
    "key": ["id", "part"],
    "columns": {"id": "int", "v": "str", "part": "str", "u": "datetime"},
    "newer_by": "u",
}
TRACKED: Given = {"key": "id", "columns": {"id": "int", "v": "str", "seen": "int"}, "track": ["v"]}
SNAPSHOT: Given = {**PLAIN, "rows": "snapshot", "gone_at_most_pct": 100}
OPERATIONS: Given = {
    **TIMED,
    "columns": {"op": "str", **TIMED["columns"]},
    "operation": {"column": "op", "delete": ["D"]},
}
KINDS: dict[str, Given] = {
    "first": PLAIN,
    "latest": {**TIMED, "keep": "latest"},
    "latest_pairs": {**PAIRS, "keep": "latest"},
    "latest_fact": {**TIMED, "keep": "latest", "table": "fact_latest"},
    "latest_by_file": {**PLAIN, "keep": "latest"},
    "history": {**TIMED, "keep": "history"},
    "history_pairs": {**PAIRS, "keep": "history"},
    "history_by_file": {**PLAIN, "keep": "history"},
    "history_tracked": {**TRACKED, "keep": "history"},
    "history_tracked_by_time": {**TRACKED, "keep": "history", "columns": {**TRACKED["columns"], "u": "datetime"}}
    | {"newer_by": "u"},
    "snapshot_kept": {**SNAPSHOT, "keep": "latest"},
    "snapshot_deletes": {**SNAPSHOT, "keep": "latest", "gone": "delete"},
    "snapshot_marks": {**SNAPSHOT, "keep": "latest", "gone": "mark"},
    "snapshot_history_kept": {**SNAPSHOT, "keep": "history"},
    "snapshot_history_deletes": {**SNAPSHOT, "keep": "history", "gone": "delete"},
    "snapshot_history_marks": {**SNAPSHOT, "keep": "history", "gone": "mark"},
    "snapshot_history_by_time": {**TIMED, "keep": "history", "rows": "snapshot", "gone": "mark"}
    | {"gone_at_most_pct": 100},
    "operations_latest": {**OPERATIONS, "keep": "latest"},
    "operations_history": {**OPERATIONS, "keep": "history"},
}

# ---------------------------------------------------------------- files, as they may come

NOT_YET = ("unknown key", "Input should be", "needs the name of a datetime column")
HOURS = [dt.datetime(2026, 1, 1, 5), dt.datetime(2026, 1, 1, 6), dt.datetime(2026, 1, 2), dt.datetime(2026, 1, 3)]
VALUES: dict[str, list[str]] = {
    "id": ["1", "1", "1", "2", "3"],
    "part": ["x", "y"],
    "v": ["a", "b", ""],
    "seen": ["1", "2"],
    "u": ["", "2026-01-01", "2026-01-01 05:00:00", "2026-01-02"],
    "op": ["I", "U", "D"],
}


class Scene(NamedTuple):
    """Files in the order in which they come."""

    files: list[File]


def _rows(given: Given) -> st.SearchStrategy[str]:
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
    return Scene(list(draw(st.permutations(files))))


# ---------------------------------------------------------------- the product and the model side by side


@dataclass(frozen=True)
class Stage:
    """A database with the tables of one kind."""

    kind: str
    warehouse: Warehouse = field(repr=False)
    home: Path
    config: PipelineConfig = field(repr=False)

    @property
    def table(self) -> str:
        return self.config.by_logical_name[self.kind].table

    def empty(self) -> None:
        """As it was before any file came."""
        names = ", ".join(self._tables)
        self.rows(f"TRUNCATE {names}, pipeline_file_log, quarantine, orphan_wait, true_orphan CASCADE")

    @cached_property
    def _tables(self) -> list[str]:
        beside = f"ARRAY['{self.table}', '{self.table}_history', '{self.table}_seen']"
        found = self.rows(
            f"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY ({beside})"
        )
        return [name for (name,) in found]

    @property
    def knows_times(self) -> bool:
        """Does the file log have the times of files?"""
        column = "table_name = 'pipeline_file_log' AND column_name = 'as_of'"
        return bool(self.rows(f"SELECT FROM information_schema.columns WHERE {column}"))

    def load(self, file: File, chunk_rows: int = 10_000) -> FileOutcome:
        """Write the file where its time says, and load it."""
        spec = self.config.by_logical_name[file.type]
        folder = self.home / str(next(_NUMBERS)) / f"{file.as_of:%Y-%m-%d}" / f"{file.as_of:%H}"
        folder.mkdir(parents=True)
        path = folder / file.name
        path.write_text(file.content, encoding="utf-8")
        stamp = file.modified.replace(tzinfo=dt.UTC).timestamp()
        os.utime(path, (stamp, stamp))
        reader = self.config.reader.model_copy(update={"chunk_rows": chunk_rows})
        config = self.config.model_copy(update={"reader": reader})
        return FileLoad(self.warehouse, config, PII).run(FileJob.of(path, spec, Stamp(*_stamp(path))))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)
            return tx.fetchall() if tx.description else []


_NUMBERS = itertools.count(1)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@pytest.fixture(scope="module")
def database(embedded_url: str) -> Iterator[DatabaseConfig]:
    """One database for the tables of all kinds."""
    with fresh_database(embedded_url) as database:
        yield database


@pytest.fixture(params=KINDS)
def stage(
    request: pytest.FixtureRequest, database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    config = _config(tmp_path, request.param)
    with opened(database, tmp_path) as warehouse:
        init_schema(warehouse, config)
        stage = Stage(request.param, warehouse, tmp_path, config)
        if KINDS[stage.kind].get("keep") and not stage.knows_times:
            pytest.skip("not yet: which of two files is later")
        yield stage


def _config(home: Path, kind: str) -> PipelineConfig:
    """The configuration with one kind of file; skips where it doesn't know its keys yet."""
    pattern = ".*.csv"
    types = {kind: {"extension": pattern, "table": f"dim_{kind}", **KINDS[kind]}}
    path = home / "config.yaml"
    path.write_text(yaml.safe_dump(settings_of(types, reader={"file_type_map": {kind + pattern: kind}})))
    try:
        return get_config(path)
    except ConfigError as problem:
        if any(word in str(problem) for word in NOT_YET):
            pytest.skip(f"not yet: {problem}")
        raise


# ---------------------------------------------------------------- what is compared


def _table_of(stage: Stage, declared: Declared) -> dict[Key, TableRow]:
    columns = ", ".join(f'"{name}"' for name in declared.stored)
    gone_at = "_gone_at" if declared.gone == "mark" else "NULL"
    found: dict[Key, TableRow] = {}
    for *values, gone in stage.rows(f"SELECT {columns}, {gone_at} FROM {stage.table}"):
        row = dict(zip(declared.stored, values, strict=True))
        found[tuple(row[name] for name in declared.key)] = TableRow(row, gone)
    return found


def _history_of(stage: Stage, declared: Declared) -> dict[Key, list[Any]]:
    """By key: from, to, values and whether it is the current one, of each version."""
    columns = ", ".join(f'"{name}"' for name in declared.stored)
    statement = (
        f"SELECT {columns}, nullif(valid_from, '-infinity'), nullif(valid_to, 'infinity'), is_current"
        f" FROM {stage.table}_history ORDER BY valid_from"
    )
    found: dict[Key, list[Any]] = {}
    for *values, begin, end, current in stage.rows(statement):
        row = dict(zip(declared.stored, values, strict=True))
        found.setdefault(tuple(row[name] for name in declared.key), []).append((begin, end, row, current))
    return found


def _history_wanted(remembered: Remembered) -> dict[Key, list[Any]]:
    return {
        key: [
            (
                None if v.valid_from == EVER else v.valid_from,
                None if v.valid_to == NEVER else v.valid_to,
                dict(v.values),
                v.is_current,
            )
            for v in versions
        ]
        for key, versions in remembered.history.items()
    }


def _as_books(outcome: FileOutcome) -> tuple[int, ...]:
    return outcome.total, outcome.quarantined, outcome.inserted, outcome.updated, outcome.already_present


def _wanted(books: Books) -> tuple[int, ...]:
    return books.total, books.quarantined, books.inserted, books.updated, books.already_present


BOUNDED = settings(
    max_examples=int(os.environ.get("CHANGES_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


def _compare(stage: Stage, scene: Scene, chunk_rows: int) -> None:
    stage.empty()
    declared = Declared.read(stage.kind, KINDS[stage.kind])
    arrivals = Arrivals(declared)
    for number, file in enumerate(scene.files):
        outcome = stage.load(file, chunk_rows)
        books = arrivals.load(file)
        if books is None:
            assert outcome.status is Status.ALREADY_DONE
            continue
        assert books.balance
        assert (outcome.status is Status.FAILED) == books.failed, outcome.error
        assert _as_books(outcome) == _wanted(books), f"file {number}"
    assert _table_of(stage, declared) == {
        key: TableRow(dict(row.values), row.gone_at) for key, row in arrivals.table.items()
    }
    if declared.keep == "history":
        assert _history_of(stage, declared) == _history_wanted(arrivals.remembered)
    checks = [check for check in run_checks(stage.warehouse, stage.config) if "CSV" not in check.name]
    assert [(check.name, check.differences) for check in checks if check.differences] == []


def test_whatever_files_come_in_whatever_order_the_rows_are_the_models(stage: Stage) -> None:
    @BOUNDED
    @given(scene=_scenes(stage.kind), chunk_rows=st.sampled_from([1, 2, 100]))
    def compare(scene: Scene, chunk_rows: int) -> None:
        _compare(stage, scene, chunk_rows)

    compare()
