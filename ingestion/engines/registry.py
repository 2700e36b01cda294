"""The engines by their names in the YAML (`execution.engine`). A new one is a module and a line here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from config.settings import ExecutionConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion.engines import dask
from ingestion.engines.engine import Engine
from ingestion.engines.local import LocalEngine


class Kind(NamedTuple):
    """How an engine is opened, and how many connections to the database it may hold beside this process's pool."""

    opened: Callable[[PipelineConfig, Warehouse, threading.Event], AbstractContextManager[Engine]]
    connections_elsewhere: Callable[[ExecutionConfig], int]


ENGINES = {
    "local": Kind(lambda *parts: nullcontext(LocalEngine(*parts)), lambda _execution: 0),
    "dask": Kind(lambda config, _warehouse, stop: dask.DaskEngine(config, stop), dask.connections_elsewhere),
}


def opened(config: PipelineConfig, warehouse: Warehouse, stop: threading.Event) -> AbstractContextManager[Engine]:
    """The engine of the YAML, ready for files. Raises ConfigError where that can't be, Stopped when stopped."""
    return ENGINES[config.execution.engine].opened(config, warehouse, stop)


def connections_elsewhere(execution: ExecutionConfig) -> int:
    """Connections to the database that workers in other processes may hold."""
    return ENGINES[execution.engine].connections_elsewhere(execution)
