"""One file, one transaction: what loads, what is refused, and what the database itself has the last word on."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from config.errors import DataError, FileChanged, Stopped, WarehouseUnavailable
from config.file_spec import FileSpec
from config.jobs import FileJob, FileOutcome, Status
from config.model import Dtype, Feed, Keep, Stage
from config.schema import Column, Schema
from config.settings import PipelineConfig
from datawarehouse import loader as loader_module
from datawarehouse import row_load
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from tests.acceptance.daemon import wait_until
from tests.conftest import with_files
from tests.integration.putting_right import PARENTS
from validation.pii_handler import PiiHandler

CATEGORIES = "category_id,category_name\n"


@pytest.fixture
def small_chunks(config: PipelineConfig) -> PipelineConfig:
    return config.model_copy(update={"reader": config.reader.model_copy(update={"chunk_rows": 3})})


def load(
    warehouse: Warehouse, config: PipelineConfig, folder: Path, name: str, text: str, **options: Any
) -> FileOutcome:
    path = folder / name
    path.write_text(text)
    spec = config.by_logical_name[name.partition(".")[0]]
    return FileLoad(warehouse, config, PiiHandler("k" * 16), **options).run(FileJob(path, spec, 0, 0))


def one(warehouse: Warehouse, statement: str) -> Any:
    with warehouse.transaction() as tx:
        tx.execute(statement)
        row = tx.fetchone()
    assert row is not None
    return row if len(row) > 1 else row[0]


def categories(*rows: tuple[Any, str]) -> str:
    return CATEGORIES + "".join(f"{number},{name}\n" for number, name in rows)


def test_rows_load_on_every_supported_server(
    any_warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    outcome = load(any_warehouse, config, tmp_path, "categories.csv", categories((1, "a"), ("x", "b"), (2, "c")))
    assert (outcome.status, outcome.total, outcome.inserted) == (Status.SUCCESS, 3, 2)
    assert outcome.rejected_by_stage == {Stage.SCHEMA: 1}
    assert one(
        any_warehouse, "SELECT row_number, reasons->0->>'rule', raw_data->>'category_id' FROM quarantine"
    ) == (
        2,
        "dtype",
        "x",
    )
    again = load(any_warehouse, config, tmp_path, "categories.csv", categories((1, "a"), ("x", "b"), (2, "c")))
    assert again.status is Status.ALREADY_DONE
    assert one(any_warehouse, "SELECT count(*) FROM pipeline_file_log") == 1


def test_a_duplicate_is_one_wherever_a_chunk_ends(
    warehouse: Warehouse, small_chunks: PipelineConfig, tmp_path: Path
) -> None:
    load(warehouse, small_chunks, tmp_path, "categories.csv", categories((9, "old")))
    rows = [(1, "a"), (9, "new"), (2, "b"), (1, "again"), (9, "again"), (3, "c"), (3, "again")]
    outcome = load(warehouse, small_chunks, tmp_path, "categories.csv", categories(*rows))
    assert (outcome.inserted, outcome.already_present, outcome.changed, outcome.duplicates) == (3, 1, 1, 3)


def test_what_only_postgresql_refuses_is_isolated_row_by_row(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    with warehouse.transaction() as tx:
        tx.execute("ALTER TABLE dim_category ADD CONSTRAINT lucky CHECK (category_id NOT IN (4, 7))")
    text = categories(*((number, "x") for number in range(1, 11)))
    outcome = load(warehouse, config, tmp_path, "categories.csv", text)
    assert (outcome.inserted, outcome.rejected_by_stage) == (8, {Stage.LOAD: 2})
    with warehouse.transaction() as tx:
        tx.execute("SELECT row_number, rejection_stage FROM quarantine ORDER BY 1")
        assert tx.fetchall() == [(4, "load"), (7, "load")]


def test_a_row_that_only_postgresql_refuses_does_not_cost_a_good_one_of_the_same_key(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    with warehouse.transaction() as tx:
        tx.execute("ALTER TABLE dim_category ADD CONSTRAINT taste CHECK (category_name NOT LIKE 'bad%')")
    rows = [(1, "a"), (4, "bad"), (4, "bad again"), (4, "good"), (4, "late"), (5, "bad"), (6, "f"), (6, "g")]
    outcome = load(warehouse, config, tmp_path, "categories.csv", categories(*rows))
    assert (outcome.inserted, outcome.duplicates) == (3, 2)
    assert outcome.rejected_by_stage == {Stage.LOAD: 3, Stage.RECORDS: 2}
    with warehouse.transaction() as tx:
        tx.execute("SELECT row_number, rejection_stage FROM quarantine ORDER BY 1")
        assert tx.fetchall() == [(2, "load"), (3, "load"), (5, "records"), (6, "load"), (8, "records")]
        tx.execute("SELECT category_id, category_name FROM dim_category ORDER BY 1")
        assert tx.fetchall() == [(1, "a"), (4, "good"), (6, "f")]


def test_of_many_rows_of_one_key_that_postgresql_refuses_a_few_are_tried(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    with warehouse.transaction() as tx:
        tx.execute("ALTER TABLE dim_category ADD CONSTRAINT taste CHECK (category_id <> 4)")
    rows = [(4, f"name {number}") for number in range(40)]
    outcome = load(warehouse, config, tmp_path, "categories.csv", categories(*rows, (5, "good")))
    tried = row_load.MOST_READMITTED + 1
    assert (outcome.inserted, outcome.duplicates) == (1, 40 - tried)
    assert outcome.rejected_by_stage == {Stage.LOAD: tried, Stage.RECORDS: 40 - tried}


def test_of_text_keys_that_differ_in_blanks_the_first_in_the_file_counts(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    key = Column(name="thing", dtype=Dtype.STR)
    spec = FileSpec(
        "things",
        Feed.BATCH,
        "things.csv",
        "dim_thing",
        Schema(name="things", primary_key="thing", columns=(key, Column(name="n", dtype=Dtype.INT))),
    )
    config = with_files(config, (spec,))
    init_schema(warehouse, config)
    (tmp_path / "things.csv").write_text("thing,n\nb,1\na ,2\na,3\n")
    outcome = FileLoad(warehouse, config, PiiHandler("k" * 16)).run(FileJob(tmp_path / "things.csv", spec, 0, 0))
    assert (outcome.inserted, outcome.duplicates) == (2, 1)
    with warehouse.transaction() as tx:
        tx.execute("SELECT thing, n FROM dim_thing ORDER BY 1")
        assert tx.fetchall() == [("a", 2), ("b", 1)]


def test_a_key_that_another_transaction_brings_during_the_merge_counts_as_what_it_is(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    with warehouse.transaction() as tx:
        tx.execute("ALTER TABLE dim_category ADD CONSTRAINT lucky CHECK (category_id <> 4)")
    outcomes: list[FileOutcome] = []
    text = categories((4, "refused"), (9, "mine"))  # by way of the stage
    thread = threading.Thread(
        target=lambda: outcomes.append(load(warehouse, config, tmp_path, "categories.csv", text))
    )
    with warehouse.transaction() as tx:
        tx.execute("INSERT INTO dim_category (category_id, category_name, _file_id) VALUES (9, 'other', 0)")
        thread.start()
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        wait_until(lambda: one(warehouse, waits) == 1, "the merge waits for this transaction")
    thread.join()
    (outcome,) = outcomes
    assert (outcome.inserted, outcome.already_present, outcome.changed) == (0, 1, 1)


def test_a_newer_row_replaces_an_older_one_where_the_configuration_says_so(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    import dataclasses

    specs = tuple(
        dataclasses.replace(s, keep=Keep.LATEST, newer_by="updated_at") if s.name == "customers" else s
        for s in config.files
    )
    config = with_files(config, specs)
    with warehouse.transaction() as tx:
        tx.execute(PARENTS)
    header = "customer_id,full_name,email,phone,region_id,segment_id,signup_date,gender,created_at,updated_at\n"

    def customer(number: int, name: str, updated: str) -> str:
        return f"{number},{name},a@b.com,01012345678,1,1,2026-01-01,male,2026-01-01,{updated}\n"

    first = customer(1, "one", "2026-01-01") + customer(2, "two", "2026-01-01")
    load(warehouse, config, tmp_path, "customers.csv", header + first)
    second = (
        customer(1, "newer", "2026-02-01") + customer(2, "older", "2025-01-01") + customer(3, "x", "2026-01-01")
    )
    outcome = load(warehouse, config, tmp_path, "customers.csv", header + second)
    assert (outcome.inserted, outcome.updated, outcome.already_present, outcome.stale) == (1, 1, 1, 1)
    assert (
        one(warehouse, "SELECT string_agg(full_name, ',' ORDER BY customer_id) FROM dim_customer") == "newer,two,x"
    )


def test_a_failed_file_is_tried_again_only_when_it_or_the_configuration_changes(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    wrong = "category_id,title\n1,a\n"
    outcome = load(warehouse, config, tmp_path, "categories.csv", wrong)
    assert outcome.status is Status.FAILED
    assert "missing: category_name" in (outcome.error or "")
    again = load(warehouse, config, tmp_path, "categories.csv", wrong)
    assert (again.status, again.file_id, again.told) == (Status.FAILED, outcome.file_id, True)
    (tmp_path / "copy").mkdir()
    copy = load(warehouse, config, tmp_path / "copy", "categories.csv", wrong)
    assert (copy.status, copy.file_id, copy.told) == (Status.FAILED, outcome.file_id, False)
    assert f"has the content of file {outcome.file_id}, which failed: " in (copy.error or "")
    assert load(warehouse, config, tmp_path, "categories.csv", categories((1, "a"))).status is Status.SUCCESS
    with warehouse.transaction() as tx:
        tx.execute("UPDATE pipeline_file_log SET spec_hash = 'other' WHERE status = 'failed'")
    assert load(warehouse, config, tmp_path, "categories.csv", wrong).status is Status.FAILED
    assert one(warehouse, "SELECT count(*) FROM pipeline_file_log") == 2


def test_a_file_that_changes_while_it_is_read_is_rolled_back(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    def overwrite(job: FileJob, _rows: int) -> None:
        job.path.write_text(categories((5, "other")))

    with pytest.raises(FileChanged):
        load(warehouse, config, tmp_path, "categories.csv", categories((1, "a")), progress=overwrite)
    assert one(warehouse, "SELECT count(*) FROM dim_category") == 0


def test_a_long_load_gives_up_when_the_pipeline_stops(
    warehouse: Warehouse, small_chunks: PipelineConfig, tmp_path: Path
) -> None:
    seen: list[int] = []
    rows = categories(*((number, "x") for number in range(100)))
    with pytest.raises(Stopped):
        load(
            warehouse,
            small_chunks,
            tmp_path,
            "categories.csv",
            rows,
            progress=lambda _job, total: seen.append(total),
            give_up=lambda: len(seen) > 2,
        )
    assert one(warehouse, "SELECT count(*) FROM dim_category") == 0


def reason_rows(warehouse: Warehouse) -> str:
    with warehouse.transaction() as tx:
        tx.execute("INSERT INTO dim_reason_category VALUES (1, 'Food', 0)")
    return "reason_id,reason_name,reason_category_id,severity_level,typical_refund_pct\n1,late,1,2,0.5\n"


def test_a_parent_can_not_be_deleted_while_its_child_is_loaded(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The triggers are off for the load, and still the constraint holds: the parent is locked as they would."""
    text = reason_rows(warehouse)
    refused: list[Exception] = []
    threads: list[threading.Thread] = []

    def delete() -> None:
        try:
            with warehouse.transaction() as tx:
                tx.execute("DELETE FROM dim_reason_category WHERE reason_category_id = 1")
        except DataError as error:
            refused.append(error)

    original = loader_module.Loader.load

    def load_slowly(self: Any, rows: Any, **options: Any) -> Any:
        threads.append(threading.Thread(target=delete))
        threads[0].start()
        deadline = time.monotonic() + 10
        while (
            not one(warehouse, "SELECT count(*) FROM pg_locks WHERE NOT granted") and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        assert threads[0].is_alive(), "the delete waits for the load"
        return original(self, rows, **options)

    monkeypatch.setattr(loader_module.Loader, "load", load_slowly)
    outcome = load(warehouse, config, tmp_path, "reasons.csv", text)
    threads[0].join(10)
    assert outcome.inserted == 1
    assert len(refused) == 1
    assert one(warehouse, "SELECT count(*) FROM dim_reason_category") == 1


def test_a_parent_that_was_deleted_first_makes_the_row_an_orphan_that_heals(
    any_warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    text = reason_rows(any_warehouse)
    with any_warehouse.transaction() as tx:
        tx.execute("DELETE FROM dim_reason_category")
    assert load(any_warehouse, config, tmp_path, "reasons.csv", text).orphans == 1
    assert one(any_warehouse, "SELECT parent_table, parent_key FROM orphan_wait") == ("dim_reason_category", "1")
    retry = OrphanRetry(any_warehouse, config)
    assert retry.everything() == 0
    with any_warehouse.transaction() as tx:
        tx.execute("INSERT INTO dim_reason_category VALUES (1, 'Food', 0)")
    assert retry.after("dim_reason_category") == 1
    assert one(any_warehouse, "SELECT reason_category FROM dim_reason") == "Food"
    assert one(
        any_warehouse,
        "SELECT valid_records, inserted_records, quarantined, resolved_orphans, orphan_count "
        "FROM pipeline_file_log",
    ) == (1, 1, 0, 1, 1)
    assert one(any_warehouse, "SELECT resolution, retry_count FROM quarantine") == ("loaded", 1)
    assert one(any_warehouse, "SELECT count(*) FROM orphan_wait") == 0


def test_an_orphan_becomes_a_true_orphan_with_its_history(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    text = reason_rows(warehouse).replace("late,1", "late,77")
    load(warehouse, config, tmp_path, "reasons.csv", text)
    retry = OrphanRetry(warehouse, config)
    assert retry.promote(24) == 0
    with warehouse.transaction() as tx:
        tx.execute("UPDATE quarantine SET quarantined_at = now() - interval '25 hours', retry_count = 3")
    assert retry.promote(24) == 1
    assert retry.promote(24) == 0
    unresolved, retries, seen, raw = one(
        warehouse,
        "SELECT unresolved_fk, retry_count, first_seen_at < now() - interval '24 hours', raw_data "
        "FROM true_orphan",
    )
    assert (unresolved, retries, seen) == ("reason_category_id", 3, True)
    assert json.loads(json.dumps(raw))["reason_category_id"] == "77"
    assert one(warehouse, "SELECT resolution FROM quarantine") == "true_orphan"


def test_a_jump_of_the_clock_resolves_every_orphan_once_or_gives_it_up(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    """The database's clock judges, which stamped them. A jump is a change of all stamps against it."""
    late = reason_rows(warehouse).splitlines()[0] + "\n" + "".join(f"{n},late,7{n},2,0.5\n" for n in (1, 2, 3))
    load(warehouse, config, tmp_path, "reasons.csv", late)
    retry = OrphanRetry(warehouse, config)
    jumps = {1: "-25 hours", 2: "25 hours", 3: "0 hours"}  # set forward since, set back since, neither
    with warehouse.transaction() as tx:
        for row, jump in jumps.items():
            tx.execute(
                "UPDATE quarantine SET quarantined_at = now() + %s::interval WHERE row_number = %s", (jump, row)
            )
    assert retry.promote(24) == 1, "set forward, the time is over sooner; set back, later"
    parents = "reason_category_id,category_name\n71,Delivery\n72,Payment\n"
    load(warehouse, config, tmp_path, "reason_categories.csv", parents)
    assert retry.after("dim_reason_category") == 1
    assert retry.everything() == 0
    assert retry.promote(24) == 0
    resolutions = "SELECT array_agg(coalesce(resolution, 'open') ORDER BY row_number) FROM quarantine"
    assert one(warehouse, resolutions) == ["true_orphan", "loaded", "open"]
    assert one(
        warehouse,
        "SELECT orphan_count, quarantined, resolved_orphans FROM pipeline_file_log WHERE orphan_count > 0",
    ) == (3, 2, 1)
    assert one(warehouse, "SELECT count(*) FROM true_orphan") == 1


def test_two_loads_of_one_content_at_once_load_it_once(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    text = categories(*((number, "x") for number in range(500)))
    outcomes: list[FileOutcome] = []

    def run(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        outcomes.append(load(warehouse, config, folder, "categories.csv", text))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.status for outcome in outcomes) == [Status.ALREADY_DONE] * 3 + [Status.SUCCESS]
    assert one(warehouse, "SELECT count(*), sum(inserted_records) FROM pipeline_file_log") == (1, 500)


def test_books_that_do_not_balance_are_refused_by_the_database(warehouse: Warehouse) -> None:
    with pytest.raises(DataError, match="pipeline_file_log_books"), warehouse.transaction() as tx:
        tx.execute(
            "INSERT INTO pipeline_file_log (file_name, file_path, file_hash, file_size, file_type, logical_name, "
            "source_table, status, total_records, valid_records, inserted_records, spec_hash) "
            "VALUES ('f', 'f', 'h', 1, 'batch', 'x', 't', 'success', 3, 2, 2, '')"
        )


def test_an_outage_loses_nothing_and_marks_nothing(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    def cut(_job: FileJob, _rows: int) -> None:
        with warehouse.transaction() as tx:
            tx.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state <> 'idle'"
            )

    with pytest.raises(WarehouseUnavailable):
        load(warehouse, config, tmp_path, "categories.csv", categories((1, "a")), progress=cut)
    assert one(warehouse, "SELECT count(*) FROM pipeline_file_log") == 0
    assert load(warehouse, config, tmp_path, "categories.csv", categories((1, "a"))).inserted == 1
