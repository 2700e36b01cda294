"""The shipped configuration with a fact partitioned, and a database of its own form for it."""

from __future__ import annotations

import dataclasses
from typing import Any

from config.expected_file import PartitionBy
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from tests.conftest import with_files


def with_partitions(
    config: PipelineConfig, interval: Any = "month", name: str = "orders", **by: Any
) -> PipelineConfig:
    """`config` with the fact of file type `name` partitioned, by default orders by month."""
    partition_by = PartitionBy(column=by.pop("column", "order_created_at"), interval=interval, **by)
    changed = [dataclasses.replace(s, partition_by=partition_by) if s.name == name else s for s in config.files]
    return with_files(config, tuple(changed))


def make_anew(warehouse: Warehouse, config: PipelineConfig) -> None:
    """The tables of `config`, empty, in the place of those that are there."""
    with warehouse.transaction() as tx:
        tx.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC")
    init_schema(warehouse, config)
