"""Keys that some records lack: each record is judged by itself, whatever the chunk and the road."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.file_spec import FileSpec
from config.jobs import FileJob, Status
from config.model import Dtype, Feed
from config.schema import Column, Schema
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from datawarehouse.undo import lock_file
from ingestion.file_load import FileLoad
from ingestion.group_load import GroupLoad
from ingestion.reprocess import reprocess
from tests.conftest import with_files
from validation.pii_handler import PiiHandler
from workbench.check import Checker

PII = PiiHandler("k" * 16)
SPEC = FileSpec(
    "things",
    Feed.STREAM,
    "things.ndjson",
    "dim_thing",
    Schema(
        name="things",
        primary_key="id",
        columns=(
            Column(name="id", dtype=Dtype.INT, nullable=False),
            Column(name="s", dtype=Dtype.STR, nullable=False),
            Column(name="opt", dtype=Dtype.INT),
        ),
    ),
)
OPTIONAL: list[dict[str, Any]] = [
    {"id": 1, "s": "a"},
    {"id": 2, "s": "b", "opt": 1},
    {"id": 3, "s": "c", "more": 1},
    {"id": 4},
]
NONE_HAS_IT: list[dict[str, Any]] = [{"id": 1, "opt": 1}, {"id": 2}, {"id": 3, "opt": None}]
ALL_HAVE_IT: list[dict[str, Any]] = [{"id": 1, "s": "a", "more": 1}, {"id": 2, "s": "b", "more": 2}]


def prepared(warehouse: Warehouse, config: PipelineConfig, chunk_rows: int) -> PipelineConfig:
    reader = config.reader.model_copy(update={"chunk_rows": chunk_rows})
    config = with_files(config.model_copy(update={"reader": reader}), (SPEC,))
    init_schema(warehouse, config)
    return config


def job(folder: Path, records: list[dict[str, Any]]) -> FileJob:
    folder.mkdir()
    path = folder / "things.ndjson"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return FileJob(path, SPEC, 0, 0)


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 1_000])
def test_a_missing_key_has_the_same_outcome_in_any_chunk(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path, chunk_rows: int
) -> None:
    config = prepared(warehouse, config, chunk_rows)
    outcome = FileLoad(warehouse, config, PII).run(job(tmp_path / "a", OPTIONAL))
    assert (outcome.status, outcome.inserted, outcome.quarantined) == (Status.SUCCESS, 2, 2)
    with warehouse.transaction() as tx:
        tx.execute("SELECT id, opt FROM dim_thing ORDER BY 1")
        assert tx.fetchall() == [(1, None), (2, 1)]
        tx.execute("SELECT row_number, rejection_reason FROM quarantine ORDER BY 1")
        assert tx.fetchall() == [(3, "unexpected_column"), (4, "s: not_null")]
        file = lock_file(tx, outcome.file_id or 0)
        again = reprocess(tx, config, PII, outcome.job, file, "a test")
    assert (again.restored, again.replayed.refused.total()) == (0, 2)
    none = FileLoad(warehouse, config, PII).run(job(tmp_path / "b", NONE_HAS_IT))
    assert none.status is Status.FAILED
    assert (none.error or "").startswith("the columns are not those of schema 'things'; missing: s (")
    all_have = FileLoad(warehouse, config, PII).run(job(tmp_path / "c", ALL_HAVE_IT))
    told = "the columns are not those of schema 'things'; missing: opt; unexpected: more ("
    assert (all_have.error or "").startswith(told)
    with warehouse.transaction() as tx:
        tx.execute("SELECT count(*) FROM quarantine")
        assert tx.fetchone() == (2,)


def test_together_and_alone_and_checked_they_are_the_same(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    config = prepared(warehouse, config, 1_000)
    others = [{**record, "id": record["id"] + 10} for record in OPTIONAL]
    jobs = [
        job(tmp_path / str(n), records) for n, records in enumerate((OPTIONAL, NONE_HAS_IT, others, ALL_HAVE_IT))
    ]
    checked = [Checker(config, None, 3).check(one.path, SPEC) for one in jobs]
    loaded = GroupLoad(warehouse, config, PII).run(jobs).loaded
    assert [(one.job.path.parent.name, one.inserted, one.quarantined) for one in loaded] == [
        ("0", 2, 2),
        ("2", 2, 2),
    ]
    assert [(one.good, one.refused) for one in checked if one.error is None] == [(2, 2), (2, 2)]
    assert [one.path for one in checked if one.error] == [str(jobs[1].path), str(jobs[3].path)]
