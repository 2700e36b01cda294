"""The loader's counts against a model in plain Python: random files of few keys, in tiny chunks."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from config.expected_file import PartitionBy
from config.file_spec import FileSpec
from config.jobs import FileJob, FileOutcome, Status
from config.key import ForeignKey
from config.model import Dtype, Feed, Keep, Stage
from config.schema import Column, Schema
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema import partitions
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from ingestion.group_load import GroupLoad
from tests.conftest import with_files
from validation.pii_handler import PiiHandler

PII = PiiHandler("k" * 16)
REFUSED_VALUE = 3  # PostgreSQL itself refuses it, by a CHECK that the pipeline does not know of
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

    def load(self, rows: list[Row], file: int, chunk_rows: int = 100) -> Books:
        books = Books()
        brought: set[tuple[int, ...]] = set()  # what this file told, and the database took
        for start in range(0, len(rows), chunk_rows):
            good: dict[int, list[Row]] = {}
            for row in rows[start : start + chunk_rows]:
                if row.value is None:
                    books.rejected[Stage.SCHEMA] += 1
                elif row.owner == LATE_OWNER:
                    books.rejected[Stage.ORPHAN] += 1
                    self.orphans.append((row, file))
                else:
                    good.setdefault(row.key, []).append(row)
            for versions in good.values():
                self.load_key(versions, file, brought, books)
        return books

    def told(self, row: Row) -> tuple[int, ...]:
        """What tells a row from its duplicates."""
        return (row.key, row.day) if self.updates else (row.key,)

    def load_key(self, rows: list[Row], file: int, brought: set[tuple[int, ...]], books: Books) -> None:
        """Rows of one key in one chunk: of each version the first, the newest of them; if refused, others."""
        firsts: dict[tuple[int, ...], Row] = {}
        twins = [row for row in rows if firsts.setdefault(self.told(row), row) is not row]
        refused, is_in = set(), False
        for row in sorted(firsts.values(), key=lambda row: -row.day if self.updates else 0):
            if self.told(row) in brought:
                books.rejected[Stage.RECORDS] += 1
                books.duplicates += 1
                is_in = True
            elif not is_in and self.refuses(row, file):
                books.rejected[Stage.LOAD] += 1
                refused.add(self.told(row))
            else:
                is_in = True
                brought.add(self.told(row))
                self.merge(row, file, books)
        again = [twin for twin in twins if self.told(twin) in refused]
        books.rejected[Stage.RECORDS] += len(twins) - len(again)
        books.duplicates += len(twins) - len(again)
        if again:
            self.load_key(again, file, brought, books)

    def is_newer(self, row: Row, file: int) -> bool:
        """Than what is there; day 0 is unknown, and older than any. Of one day that of the later file."""
        there, of_file = self.table[row.key]
        return self.updates and (there.day < row.day or (there.day == row.day and there != row and of_file < file))

    def refuses(self, row: Row, file: int) -> bool:
        """Does the CHECK see the row? Not where the key is there, and the row is not to be written."""
        return row.value == REFUSED_VALUE and (row.key not in self.table or self.is_newer(row, file))

    def merge(self, row: Row, file: int, books: Books) -> None:
        there = self.table.get(row.key)
        if there is None:
            books.inserted += 1
            self.table[row.key] = row, file
        elif self.is_newer(row, file):
            books.updated += there[1] != file
            books.present += there[1] == file  # the older version of the same file is what is left out
            self.table[row.key] = row, file
        else:
            books.present += 1
            is_older = self.updates and row.day < there[0].day
            books.changed += there[1] != file and there[0] != row and not is_older

    def heal(self) -> Books:
        """The late owner has come; what becomes of the orphans."""
        books = Books()
        brought: set[tuple[int, ...]] = set()
        for row, file in self.orphans:
            if (*self.told(row), file) in brought:
                books.duplicates += 1
            elif self.refuses(row, file):
                books.rejected[Stage.LOAD] += 1
            else:
                brought.add((*self.told(row), file))
                self.merge(row, file, books)
        return books


OWNERS = FileSpec(
    "owners",
    Feed.BATCH,
    "owners.csv",
    "dim_owner",
    Schema(name="owners", primary_key="owner_id", columns=(Column(name="owner_id", dtype=Dtype.INT),)),
)


def things(table: str, dtype: Dtype, keep: Keep, partition_by: PartitionBy | None = None) -> FileSpec:
    columns = (
        Column(name="thing_id", dtype=dtype, nullable=False),
        Column(name="value", dtype=Dtype.INT),
        Column(name="owner_id", dtype=Dtype.INT),
        Column(name="updated_at", dtype=Dtype.DATETIME, nullable=partition_by is None),
    )
    return FileSpec(
        table,
        Feed.BATCH,
        f"{table}.csv",
        table,
        Schema(name=table, primary_key="thing_id", columns=columns),
        foreign_keys=(ForeignKey.of("owner_id", "owners"),),
        keep=keep,
        newer_by="updated_at" if keep is Keep.LATEST else None,
        partition_by=partition_by,
        level=1,
    )


BY_DAY = PartitionBy(column="updated_at", interval="day")
SPECS = [
    things("dim_number", Dtype.INT, Keep.FIRST),
    things("fact_text", Dtype.STR, Keep.FIRST),
    things("dim_newer", Dtype.INT, Keep.LATEST),
    things("fact_newer", Dtype.STR, Keep.LATEST),
    things("fact_part", Dtype.STR, Keep.FIRST, BY_DAY),
    things("fact_newer_part", Dtype.INT, Keep.LATEST, BY_DAY),
]
ROWS = st.builds(
    Row,
    key=st.integers(1, 5),
    value=st.sampled_from([1, 1, 2, 3, None]),
    owner=st.sampled_from([1, 1, 1, LATE_OWNER]),
    day=st.integers(0, 3),
)
DATED = ROWS.map(lambda row: row._replace(day=max(row.day, 1)))


@dataclass
class Desk:
    warehouse: Warehouse
    config: PipelineConfig
    folder: Path

    def load(self, spec: FileSpec, rows: list[Row], chunk_rows: int, number: int) -> FileOutcome:
        reader = self.config.reader.model_copy(update={"chunk_rows": chunk_rows})
        config = self.config.model_copy(update={"reader": reader})
        return FileLoad(self.warehouse, config, PII).run(self.job(spec, rows, number))

    def load_together(self, spec: FileSpec, files: list[list[Row]]) -> tuple[list[FileOutcome], int]:
        """As the runner does it: what can be loaded together, then the others; how many were the former."""
        jobs = [self.job(spec, rows, number) for number, rows in enumerate(files, 1)]
        together = GroupLoad(self.warehouse, self.config, PII).run(jobs).loaded
        loaded = {outcome.job.path: outcome for outcome in together}
        alone = FileLoad(self.warehouse, self.config, PII)
        return [loaded.get(job.path) or alone.run(job) for job in jobs], len(together)

    def job(self, spec: FileSpec, rows: list[Row], number: int) -> FileJob:
        path = self.folder / str(number) / spec.pattern
        path.parent.mkdir(exist_ok=True)
        lines = [
            f"{r.key},{'x' if r.value is None else r.value},{r.owner},{f'2026-01-0{r.day}' if r.day else ''}"
            for r in rows
        ]
        end = "\n" * number  # blank lines are no records, but make other content
        path.write_text("\n".join(["thing_id,value,owner_id,updated_at", *lines]) + end)
        return FileJob(path, spec, 0, 0)

    def begin(self, spec: FileSpec) -> None:
        """Empty tables, and the one owner who is there from the start."""
        tables = f"{spec.key_table}, dim_owner, quarantine, orphan_wait, pipeline_file_log"
        self.execute(f"TRUNCATE {tables} CASCADE; INSERT INTO dim_owner (owner_id, _file_id) VALUES (1, 0)")

    def stored(self, spec: FileSpec) -> dict[int, tuple[Row, int]]:
        """The table's rows. In a partitioned one each has its key, with the same time, and there is no other."""
        with self.warehouse.transaction() as tx:
            if spec.partition_by:
                tx.execute(
                    f"SELECT count(*) FROM {spec.table} t FULL JOIN {spec.key_table} k"
                    " USING (thing_id, updated_at) WHERE t.thing_id IS NULL OR k.thing_id IS NULL"
                )
                assert tx.fetchone() == (0,)
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
        desk.execute(f"ALTER TABLE {spec.table} ADD CHECK (value <> {REFUSED_VALUE})")
        if spec.partition_by:  # the second day has a partition, the others are in the default one
            with warehouse.transaction() as tx:
                partitions.add(tx, spec, dt.date(2026, 1, 2), dt.date(2026, 1, 3))
    return desk


def check_books(outcome: FileOutcome, expected: Books) -> None:
    assert outcome.status is Status.SUCCESS
    assert outcome.rejected_by_stage == +expected.rejected
    counted = (outcome.inserted, outcome.already_present, outcome.changed, outcome.updated)
    assert counted == (expected.inserted, expected.present, expected.changed, expected.updated)
    assert outcome.duplicates == expected.duplicates


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.table)
def test_files_loaded_together_are_as_if_one_had_come_after_the_other(desk: Desk, spec: FileSpec) -> None:
    together = []
    rows = st.lists(DATED if spec.partition_by else ROWS, min_size=1, max_size=4)

    @settings(max_examples=20, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(before=rows, files=st.lists(rows, min_size=2, max_size=4))
    def compare(before: list[Row], files: list[list[Row]]) -> None:
        desk.begin(spec)
        model = Model(spec.keep is Keep.LATEST)
        earlier = desk.load(spec, before, 100, 10)
        check_books(earlier, model.load(before, earlier.file_id or 0))
        outcomes, count = desk.load_together(spec, files)
        together.append(count)
        for outcome, rows in zip(outcomes, files, strict=True):
            check_books(outcome, model.load(rows, outcome.file_id or 0))
        assert desk.stored(spec) == model.table
        numbered = {(o.file_id, n) for o, of in zip(outcomes, files, strict=True) for n in range(1, len(of) + 1)}
        refused = desk.execute(f"SELECT file_id, row_number FROM quarantine WHERE file_id <> {earlier.file_id}")
        assert set(refused) <= numbered
        assert len(refused) == sum(outcome.quarantined for outcome in outcomes)

    compare()
    assert sum(together) > 0


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.table)
def test_the_counts_and_the_table_are_those_of_the_model(desk: Desk, spec: FileSpec) -> None:
    rows = st.lists(DATED if spec.partition_by else ROWS, min_size=1, max_size=12)

    @settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(files=st.lists(rows, min_size=1, max_size=3), chunk_rows=st.integers(2, 5))
    def compare(files: list[list[Row]], chunk_rows: int) -> None:
        desk.begin(spec)
        model = Model(spec.keep is Keep.LATEST)
        for number, rows in enumerate(files, 1):
            outcome = desk.load(spec, rows, chunk_rows, number)
            check_books(outcome, model.load(rows, outcome.file_id or 0, chunk_rows))
            assert desk.stored(spec) == model.table
        desk.execute(f"INSERT INTO dim_owner (owner_id, _file_id) VALUES ({LATE_OWNER}, 0)")
        healed = model.heal()
        assert OrphanRetry(desk.warehouse, desk.config).everything() == healed.inserted + healed.updated
        assert desk.stored(spec) == model.table
        # An orphan that PostgreSQL refuses is no orphan any more: its parent is there.
        still_open = "SELECT count(*) FILTER (WHERE rejection_stage = 'orphan') FROM quarantine"
        assert desk.execute(f"{still_open} WHERE resolution IS NULL") == [(0,)]
        moved = "SELECT count(*) FROM quarantine WHERE rejection_stage = 'load' AND retry_count = 1"
        assert desk.execute(moved) == [(healed.rejected[Stage.LOAD],)]
        books = "SELECT sum(quarantined), sum(orphan_count - resolved_orphans) FROM pipeline_file_log"
        rows_open = desk.execute("SELECT count(*) FROM quarantine WHERE resolution IS NULL")[0][0]
        assert desk.execute(books) == [(rows_open, 0)]

    compare()
