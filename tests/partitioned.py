"""The shipped configuration with its orders partitioned."""

from __future__ import annotations

import dataclasses
from typing import Any

from config.model import PartitionBy, PipelineConfig
from tests.conftest import with_files


def with_partitions(
    config: PipelineConfig, interval: Any = "month", name: str = "orders", **by: Any
) -> PipelineConfig:
    """`config` with the fact of file type `name` partitioned by `column`."""
    column = by.pop("column", "order_created_at")
    partition_by = PartitionBy(column=column, interval=interval, **by)
    changed = [dataclasses.replace(s, partition_by=partition_by) if s.name == name else s for s in config.files]
    return with_files(config, tuple(changed))
