"""What a load costs, counted and not timed: statements, bytes, rows looked at, memory. A rise is a regression."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.jobs import FileJob, FileOutcome
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.watched_connection import WatchedCursor
from ingestion.file_load import FileLoad
from ingestion.file_reader import read_chunks
from ingestion.group_load import GroupLoad
from ingestion.places.registry import opened
from tests.acceptance import samples
from validation.batch import Chunk
from validation.pii_handler import PiiHandler
from validation.validation_runner import validate


@dataclass
class Sent:
    """What went to the server: the beginnings of the statements, and the bytes of statements and COPY data."""

    statements: list[str] = field(default_factory=list)
    bytes: int = 0


@contextmanager
def counted() -> Iterator[Sent]:
    """Count what is sent within."""
    sent = Sent()
    execute, copy_expert = WatchedCursor.execute, WatchedCursor.copy_expert

    def counting_execute(cursor: WatchedCursor, query: Any, vars: Any = None) -> None:  # noqa: A002
        execute(cursor, query, vars)
        text = (cursor.query or b"").decode()
        sent.statements.append(" ".join(text.split())[:60])
        sent.bytes += len(text)

    def counting_copy(cursor: WatchedCursor, sql: Any, file: Any, size: int = 8192) -> None:
        class Counting:
            @staticmethod
            def read(wanted: int = -1) -> Any:
                data = file.read(wanted)
                sent.bytes += len(data if isinstance(data, bytes) else data.encode())
                return data

        sent.statements.append("COPY")
        copy_expert(cursor, sql, Counting(), size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WatchedCursor, "execute", counting_execute)
        patch.setattr(WatchedCursor, "copy_expert", counting_copy)
        yield sent


def master(warehouse: Warehouse, config: PipelineConfig, folder: Path) -> None:
    for name, rows in samples.master_rows().items():
        load(warehouse, config, samples.write(folder / name, rows))


def load(warehouse: Warehouse, config: PipelineConfig, path: Path) -> FileOutcome:
    spec = next(spec for spec in config.files if spec.name == path.name.partition(".")[0])
    found = path.stat()
    job = FileJob(path, spec, found.st_size, found.st_mtime_ns)
    outcome = FileLoad(warehouse, config, PiiHandler("k" * 16)).run(job)
    assert outcome.error is None
    return outcome


def orders(folder: Path, name: str, numbers: range, **changes: Any) -> Path:
    (folder / name).mkdir()
    return samples.write(folder / name / "orders.json", [samples.order(number, **changes) for number in numbers])


def test_a_small_file_takes_few_statements(warehouse: Warehouse, config: PipelineConfig, tmp_path: Path) -> None:
    master(warehouse, config, tmp_path)
    load(warehouse, config, orders(tmp_path, "first", range(5)))
    with counted() as sent:
        assert load(warehouse, config, orders(tmp_path, "second", range(100, 150))).inserted == 50
    assert len(sent.statements) <= 14, "\n".join(sent.statements)


def test_small_files_loaded_together_take_hardly_more_statements_than_one(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    master(warehouse, config, tmp_path)
    spec = config.by_logical_name["orders"]
    paths = [orders(tmp_path, str(n), range(10 * n, 10 * n + 10)) for n in range(40)]
    jobs = [FileJob(path, spec, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    with counted() as sent:
        outcomes = GroupLoad(warehouse, config, PiiHandler("k" * 16)).run(jobs).loaded
    assert [outcome.inserted for outcome in outcomes] == [10] * 40
    assert len(sent.statements) <= 14, "\n".join(sent.statements)


def test_refused_rows_and_orphans_add_a_copy_each(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    master(warehouse, config, tmp_path)
    rows = [samples.order(1), samples.order(2, customer_id=999_999), samples.order(3, order_amount=-1)]
    with counted() as sent:
        outcome = load(warehouse, config, samples.write(tmp_path / "orders.json", rows))
    assert (outcome.inserted, outcome.quarantined) == (1, 2)
    assert sent.statements.count("COPY") == 3
    assert len(sent.statements) <= 17, "\n".join(sent.statements)


def test_what_is_sent_is_hardly_more_than_the_file(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    master(warehouse, config, tmp_path)
    path = orders(tmp_path, "large", range(6_000))
    config = config.model_copy(update={"reader": config.reader.model_copy(update={"chunk_rows": 1_000})})
    as_csv = len(samples.csv_text(samples.order(number) for number in range(6_000)))
    with counted() as sent:
        assert load(warehouse, config, path).inserted == 6_000
    assert sent.bytes < 1.5 * as_csv  # the derived columns and the keys that are asked for are the rest
    assert len(sent.statements) <= 13 + 4 * 6  # at most four more for each further chunk


def test_parents_are_read_by_key_and_not_by_the_table(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    """Also while the table was never analysed, and the planner knows nothing of its size."""
    master(warehouse, config, tmp_path)
    many = samples.write(tmp_path / "customers.csv", [samples.customer(n) for n in range(1_000, 21_000)])
    load(warehouse, config, many)
    path = orders(tmp_path, "some", range(200), customer_id=1_500)
    seen: dict[str, tuple[int, int]] = {}
    query = "SELECT relname, seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = ANY (%s)"

    def look(tx: Cursor) -> None:
        tx.execute(query, (["dim_customer", "dim_driver", "fact_order"],))
        seen.update({name: (read, fetched) for name, read, fetched in tx.fetchall()})

    with looking_before_commit(warehouse, look):
        assert load(warehouse, config, path).inserted == 200
    assert {name: read for name, (read, _) in seen.items()} == {
        "dim_customer": 0,
        "dim_driver": 0,
        "fact_order": 0,
    }
    assert seen["dim_customer"][1] <= 2
    assert seen["fact_order"][1] == 0  # none of the keys was there


@contextmanager
def looking_before_commit(warehouse: Warehouse, look: Any) -> Iterator[None]:
    transaction = warehouse.transaction

    @contextmanager
    def looked_at(*args: Any) -> Iterator[Cursor]:
        with transaction(*args) as tx:
            yield tx
            look(tx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warehouse, "transaction", looked_at)
        yield


@pytest.mark.parametrize(("name", "chunk_rows"), [("orders.json", 1_000), ("orders.csv", 8_000)])
def test_a_chunk_takes_a_few_times_its_text_and_leaves_nothing_behind(
    config: PipelineConfig, tmp_path: Path, name: str, chunk_rows: int
) -> None:
    """A CSV is read 4 MB at a time, which is the least that its chunks hold: there this file is one chunk."""
    path = samples.write(tmp_path / name, [samples.order(number) for number in range(8_000)])
    spec = config.by_logical_name["orders"]

    def read_it() -> list[float]:
        """What each chunk holds, beside its text."""
        before = pa.total_allocated_bytes()
        held: list[float] = []
        with opened(path) as file:
            for chunk in read_chunks(file, name, spec.schema, chunk_rows):
                batch = validate(chunk.ordered_by(["order_id"]), spec, config.validation.dates)
                held.append((pa.total_allocated_bytes() - before) / text_bytes(chunk))
                del chunk, batch
        return held

    held = read_it()
    assert len(held) == 8_000 // chunk_rows
    assert max(held) < 12
    with_what_rules_keep = pa.total_allocated_bytes()
    read_it()
    assert pa.total_allocated_bytes() - with_what_rules_keep < 100_000


def text_bytes(chunk: Chunk) -> int:
    return sum(len(value or "") for column in chunk.columns.values() for value in column.to_pylist())
