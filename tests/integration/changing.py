"""A database for each kind of file whose rows change, and what is there beside what the model says."""

from __future__ import annotations

import datetime as dt
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.jobs import FileJob, FileOutcome, Stamp, Status
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from datawarehouse.undo import lock_file, undo
from ingestion.file_load import FileLoad
from ingestion.group_load import GroupLoad
from ingestion.reprocess import job_of, reprocess
from tests.acceptance.oracle_arrivals import Arrivals, Books
from tests.acceptance.oracle_changes import Remembered, TableRow
from tests.acceptance.oracle_files import EVER, NEVER, Declared, File, Key
from tests.conftest import opened
from tests.integration.kinds_that_change import KINDS
from tests.integration.small import PII, settings_of
from workbench.verify import run_checks

FIGURES = ("unchanged", "stale", "changed", "gone")
NOT_YET = ("unknown key", "Input should be", "needs the name of a datetime column")
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Stage:
    """A database with the tables of one kind."""

    kind: str
    warehouse: Warehouse = field(repr=False)
    home: Path
    config: PipelineConfig = field(repr=False)

    @property
    def declared(self) -> Declared:
        return Declared.read(self.kind, KINDS[self.kind])

    @property
    def table(self) -> str:
        return self.config.by_logical_name[self.kind].table

    def empty(self) -> None:
        """As it was before any file came."""
        names = ", ".join(self._tables)
        self.rows(f"TRUNCATE {names}, pipeline_file_log, file_keys, quarantine, orphan_wait, true_orphan CASCADE")

    @cached_property
    def _tables(self) -> list[str]:
        beside = [self.table, *(f"{self.table}_{what}" for what in ("history", "seen", "key", "gone"))]
        found = self.rows(
            f"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY (ARRAY{beside})"
        )
        return [name for (name,) in found]

    @property
    def knows_times(self) -> bool:
        """Does the file log have the times of files?"""
        return "as_of" in self._logged

    @property
    def has_history(self) -> bool:
        return f"{self.table}_history" in self._tables

    @cached_property
    def _logged(self) -> set[str]:
        statement = "SELECT column_name FROM information_schema.columns WHERE table_name = 'pipeline_file_log'"
        return {name for (name,) in self.rows(statement)}

    # ---------------------------------------------------------------- files

    def load(self, file: File, chunk_rows: int = 10_000, *, again: bool = False) -> FileOutcome:
        reader = self.config.reader.model_copy(update={"chunk_rows": chunk_rows})
        config = self.config.model_copy(update={"reader": reader})
        return FileLoad(self.warehouse, config, PII, again=again).run(self._job(file))

    def load_together(self, files: Sequence[File]) -> list[tuple[File, FileOutcome]]:
        """Load those that can be loaded in one transaction, then the others alone; in the order of loading."""
        jobs = {job.path: (file, job) for file in files for job in [self._job(file)]}
        loaded = GroupLoad(self.warehouse, self.config, PII).run([job for _, job in jobs.values()]).loaded
        done = [(jobs.pop(outcome.job.path)[0], outcome) for outcome in loaded]
        return done + [(file, FileLoad(self.warehouse, self.config, PII).run(job)) for file, job in jobs.values()]

    def undo(self, outcome: FileOutcome) -> None:
        with self.warehouse.transaction() as tx:
            undo(tx, self.config, outcome.file_id or 0, "a test", "2026-02-01")

    def reprocess(self, outcome: FileOutcome) -> None:
        """Judge the file again by the same rules: nothing changes."""
        with self.warehouse.transaction() as tx:
            logged = lock_file(tx, outcome.file_id or 0)
            reprocess(tx, self.config, PII, job_of(self.config, logged), logged, "a test")

    def _job(self, file: File) -> FileJob:
        """The file where its time says."""
        folder = self.home / str(next(_NUMBERS)) / f"{file.as_of:%Y-%m-%d}" / f"{file.as_of:%H}"
        folder.mkdir(parents=True)
        path = folder / file.name
        path.write_text(file.content, encoding="utf-8")
        stamp = file.modified.replace(tzinfo=dt.UTC).timestamp()
        os.utime(path, (stamp, stamp))
        found = path.stat()
        return FileJob.of(path, self.config.by_logical_name[file.type], Stamp(found.st_size, found.st_mtime_ns))

    # ---------------------------------------------------------------- what is there

    def figures(self, outcome: FileOutcome) -> dict[str, int]:
        """What the file log says of a file beside what its outcome says, as far as it has columns for that."""
        names = sorted({f"{name}_records" for name in FIGURES} & self._logged)
        ((*values,),) = self.rows(
            f"SELECT {', '.join(names)} FROM pipeline_file_log WHERE file_id = {outcome.file_id}"
        )
        return {name.removesuffix("_records"): value for name, value in zip(names, values, strict=True)}

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)
            return tx.fetchall() if tx.description else []


@contextmanager
def stage_of(kind: str, database: DatabaseConfig, home: Path) -> Iterator[Stage]:
    """Tables of `kind`; skips where the pipeline doesn't know it yet."""
    config = _config(home, kind)
    with opened(database, home) as warehouse:
        init_schema(warehouse, config)
        stage = Stage(kind, warehouse, home, config)
        if KINDS[kind].get("keep") and not stage.knows_times:
            pytest.skip("not yet: which of two files is later")
        if stage.declared.keep == "history" and not stage.has_history:
            pytest.skip("not yet: history")
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


class HasRows(Protocol):
    def rows(self, statement: str) -> list[tuple[Any, ...]]: ...


def history_of(place: HasRows, declared: Declared, table: str) -> dict[Key, list[Any]]:
    """By key: from, to, values and whether it is the current one, of each version."""
    columns = ", ".join(f'"{name}"' for name in declared.stored)
    statement = (
        f"SELECT {columns}, nullif(valid_from, '-infinity'), nullif(valid_to, 'infinity'), is_current"
        f" FROM {table}_history ORDER BY valid_from"
    )
    found: dict[Key, list[Any]] = {}
    for *values, begin, end, current in place.rows(statement):
        row = dict(zip(declared.stored, values, strict=True))
        found.setdefault(tuple(row[name] for name in declared.key), []).append((begin, end, row, current))
    return found


def history_wanted(remembered: Remembered) -> dict[Key, list[Any]]:
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


def as_books(outcome: FileOutcome) -> tuple[int, ...]:
    return outcome.total, outcome.quarantined, outcome.inserted, outcome.updated, outcome.already_present


def books_wanted(books: Books) -> tuple[int, ...]:
    return books.total, books.quarantined, books.inserted, books.updated, books.already_present


def _told(figures: dict[str, int], chunk_rows: int) -> dict[str, int]:
    """In several chunks, a row meets what is there before a newer one of its file has made it stale."""
    return figures if chunk_rows > 100 else {"gone": figures["gone"]} if "gone" in figures else {}


@dataclass
class Trial:
    """Files come to the product and to the model; `check` compares what is there."""

    stage: Stage
    arrivals: Arrivals = field(init=False)
    outcomes: list[tuple[File, FileOutcome]] = field(default_factory=list)
    differences: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stage.empty()
        self.arrivals = Arrivals(self.stage.declared)

    def load(self, *files: File, chunk_rows: int = 10_000) -> None:
        """One file, or several together where that can be done."""
        if len(files) > 1:
            came = self.stage.load_together(files)
        else:
            came = [(file, self.stage.load(file, chunk_rows)) for file in files]
        for file, outcome in came:
            books = self.arrivals.load(file)
            if books is None or outcome.status is Status.ALREADY_DONE:
                if books is not None or outcome.status is not Status.ALREADY_DONE:
                    self.differences.append((file, "is it the double of another?", books, outcome.status))
                continue
            assert books.balance
            assert (outcome.status is Status.FAILED) == books.failed, (file, outcome.error)
            if not books.failed:
                self.outcomes.append((file, outcome))
                figures = self.stage.figures(outcome)
                ours = (*books_wanted(books), _told({name: getattr(books, name) for name in figures}, chunk_rows))
                theirs = (*as_books(outcome), _told(figures, chunk_rows))
                if ours != theirs:
                    self.differences.append((file, ours, theirs))

    def undo(self, position: int) -> File:
        file, outcome = self.outcomes.pop(position)
        self.stage.undo(outcome)
        self.arrivals.undo(file)
        return file

    def load_again(self, file: File) -> None:
        """A file that was undone."""
        self.outcomes.append((file, self.stage.load(file, again=True)))
        self.arrivals.load(file)

    def check(self) -> None:
        """Books, table, history and `verify` say the same as the model."""
        declared, found = self.stage.declared, list(self.differences)
        wanted = {key: TableRow(dict(row.values), row.gone_at) for key, row in self.arrivals.table.items()}
        if (there := _table_of(self.stage, declared)) != wanted:
            found.append(("table", wanted, there))
        if declared.keep == "history":
            ours, theirs = (
                history_wanted(self.arrivals.remembered),
                history_of(self.stage, declared, self.stage.table),
            )
            found += [
                ("history", key, ours.get(key), theirs.get(key))
                for key in {*ours, *theirs}
                if ours.get(key) != theirs.get(key)
            ]
        checks = [
            check for check in run_checks(self.stage.warehouse, self.stage.config) if "CSV" not in check.name
        ]
        found += [(check.name, check.differences) for check in checks if check.differences]
        assert not found, "the model, then what is there:\n" + "\n".join(map(str, found))
