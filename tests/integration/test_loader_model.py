"""The loader's counts against a model in plain Python: random files of few keys, in tiny chunks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from config.model import (
    Column,
    Dtype,
    Feed,
    FileJob,
    FileOutcome,
    FileSpec,
    ForeignKey,
    OnConflict,
    PipelineConfig,
    Schema,
    Stage,
    Status,
)
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine_retry import OrphanRetry
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from tests.conftest import with_files
from validation.pii_handler import PiiHandler

REFUSED_KEY = 4  # PostgreSQL itself refuses it, by a CHECK that the pipeline does not know of
LATE_OWNER = 2  # comes after all files


class Row(NamedTuple):
    """One line of a file. `day` 0 is no date."""

    key: int
    value: int | None  # None: written as text, which the schema refuses
    owner: int
    day: int


@dataclass
class Books:
    inserted: int = 0
    present: int = 0
    changed: int = 0
    updated: int = 0
    rejected: Counter[Stage] = field(default_factory=Counter)
    duplicates: int = 0


@dataclass
class Model:
    """What should be in the table, which file brought it, and who waits for an owner."""

    updates: bool
    table: dict[int, tuple[Row, int]] = field(default_factory=dict)
    orphans: list[tuple[Row, int]] = field(default_factory=list)

    def load(self, rows: list[Row], chunk_rows: int, file: int) -> Books:
        books = Books()
        brought: set[int] = set()  # keys of rows that passed, in this file
        for start in range(0, len(rows), chunk_rows):
            refused: set[int] = set()  # in this chunk: who comes first is told before PostgreSQL is asked
            for row in rows[start : start + chunk_rows]:
                if row.value is None:
                    books.rejected[Stage.SCHEMA] += 1
                elif row.owner == LATE_OWNER:
                    books.rejected[Stage.ORPHAN] += 1
                    self.orphans.append((row, file))
                elif row.key in brought | refused:
                    books.rejected[Stage.RECORDS] += 1
                    books.duplicates += 1
                elif row.key == REFUSED_KEY:
                    books.rejected[Stage.LOAD] += 1
                    refused.add(row.key)
                else:
                    brought.add(row.key)
                    self.merge(row, file, books)
        return books

    def merge(self, row: Row, file: int, books: Books) -> None:
        there = self.table.get(row.key)
        if there is None:
            books.inserted += 1
            self.table[row.key] = row, file
        elif self.updates and there[1] != file and 0 < there[0].day < row.day:
            books.updated += 1
            self.table[row.key] = row, file
        else:
            books.present += 1
            books.changed += there[0] != row

    def heal(self) -> int:
        """The late owner has come; how many orphans are loaded."""
        books = Books()
        brought: set[tuple[int, int]] = set()
        for row, file in self.orphans:
            if row.key != REFUSED_KEY and (row.key, file) not in brought:
                brought.add((row.key, file))
                self.merge(row, file, books)
        return books.inserted + books.updated


OWNERS = FileSpec(
    "owners",
    Feed.BATCH,
    "owners.csv",
    "dim_owner",
    Schema(name="owners", primary_key="owner_id", columns=(Column(name="owner_id", dtype=Dtype.INT),)),
)


def things(table: str, dtype: Dtype, on_conflict: OnConflict) -> FileSpec:
    columns = (
        Column(name="thing_id", dtype=dtype, nullable=False),
        Column(name="value", dtype=Dtype.INT),
        Column(name="owner_id", dtype=Dtype.INT),
        Column(name="updated_at", dtype=Dtype.DATETIME),
    )
    return FileSpec(
        table,
        Feed.BATCH,
        f"{table}.csv",
        table,
        Schema(name=table, primary_key="thing_id", columns=columns),
        foreign_keys=(ForeignKey("owner_id", "owners"),),
        on_conflict=on_conflict,
        newer_by="updated_at" if on_conflict is OnConflict.UPDATE_IF_NEWER else None,
        level=1,
    )


SPECS = [
    things("dim_number", Dtype.INT, OnConflict.NOTHING),
    things("fact_text", Dtype.STR, OnConflict.NOTHING),
    things("dim_newer", Dtype.INT, OnConflict.UPDATE_IF_NEWER),
    things("fact_newer", Dtype.STR, OnConflict.UPDATE_IF_NEWER),
]
ROWS = st.builds(
    Row,
    key=st.integers(1, 5),
    value=st.sampled_from([1, 1, 2, 3, None]),
    owner=st.sampled_from([1, 1, 1, LATE_OWNER]),
    day=st.integers(0, 3),
)
FILES = st.lists(st.lists(ROWS, min_size=1, max_size=12), min_size=1, max_size=3)


@dataclass
class Desk:
    warehouse: Warehouse
    config: PipelineConfig
    folder: Path

    def load(self, spec: FileSpec, rows: list[Row], chunk_rows: int, number: int) -> FileOutcome:
        reader = self.config.reader.model_copy(update={"chunk_rows": chunk_rows})
        path = self.folder / spec.pattern
        lines = [
            f"{r.key},{'x' if r.value is None else r.value},{r.owner},{f'2026-01-0{r.day}' if r.day else ''}"
            for r in rows
        ]
        end = "\n" * number  # blank lines are no records, but make other content
        path.write_text("\n".join(["thing_id,value,owner_id,updated_at", *lines]) + end)
        config = self.config.model_copy(update={"reader": reader})
        return FileLoad(self.warehouse, config, PiiHandler("k" * 16)).run(FileJob(path, spec, 0, 0))

    def stored(self, spec: FileSpec) -> dict[int, tuple[Row, int]]:
        with self.warehouse.transaction() as tx:
            columns = "thing_id, value, owner_id, extract(day FROM updated_at), _file_id"
            tx.execute(f"SELECT {columns} FROM {spec.table}")
            return {int(k): (Row(int(k), v, o, int(d or 0)), f) for k, v, o, d, f in tx}

    def execute(self, statement: str) -> list[tuple[int, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)
            return tx.fetchall() if tx.description else []


@pytest.fixture
def desk(warehouse: Warehouse, config: PipelineConfig, tmp_path: Path) -> Desk:
    config = with_files(config, (OWNERS, *SPECS))
    init_schema(warehouse, config)
    desk = Desk(warehouse, config, tmp_path)
    for spec in SPECS:
        desk.execute(f"ALTER TABLE {spec.table} ADD CHECK (thing_id::integer <> {REFUSED_KEY})")
    return desk


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.table)
def test_the_counts_and_the_table_are_those_of_the_model(desk: Desk, spec: FileSpec) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(files=FILES, chunk_rows=st.integers(2, 5))
    def compare(files: list[list[Row]], chunk_rows: int) -> None:
        tables = f"{spec.table}, dim_owner, quarantine, orphan_wait, pipeline_file_log"
        desk.execute(f"TRUNCATE {tables} CASCADE; INSERT INTO dim_owner (owner_id, _file_id) VALUES (1, 0)")
        model = Model(spec.on_conflict is OnConflict.UPDATE_IF_NEWER)
        for number, rows in enumerate(files, 1):
            outcome = desk.load(spec, rows, chunk_rows, number)
            assert outcome.status is Status.SUCCESS
            assert outcome.file_id is not None
            expected = model.load(rows, chunk_rows, outcome.file_id)
            assert outcome.rejected_by_stage == expected.rejected
            counted = (outcome.inserted, outcome.already_present, outcome.changed, outcome.updated)
            assert counted == (expected.inserted, expected.present, expected.changed, expected.updated)
            assert outcome.duplicates == expected.duplicates
            assert desk.stored(spec) == model.table
        desk.execute(f"INSERT INTO dim_owner (owner_id, _file_id) VALUES ({LATE_OWNER}, 0)")
        assert OrphanRetry(desk.warehouse, desk.config).everything() == model.heal()
        assert desk.stored(spec) == model.table
        # An orphan that PostgreSQL refuses is no orphan any more: its parent is there.
        refused = sum(row.key == REFUSED_KEY for row, _ in model.orphans)
        still_open = "SELECT count(*) FILTER (WHERE rejection_stage = 'orphan') FROM quarantine"
        assert desk.execute(f"{still_open} WHERE resolution IS NULL") == [(0,)]
        moved = "SELECT count(*) FROM quarantine WHERE rejection_stage = 'load' AND retry_count = 1"
        assert desk.execute(moved) == [(refused,)]
        books = "SELECT sum(quarantined), sum(orphan_count - resolved_orphans) FROM pipeline_file_log"
        rows_open = desk.execute("SELECT count(*) FROM quarantine WHERE resolution IS NULL")[0][0]
        assert desk.execute(books) == [(rows_open, 0)]

    compare()
