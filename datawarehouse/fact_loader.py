"""Rows → facts: they have a surrogate key, and may be partitioned or distributed."""

from __future__ import annotations

import pyarrow as pa

from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.loader import Loader


class FactLoader(Loader):
    """Loads one kind of fact files. The source keys of a partitioned fact are unique in a table of their own."""

    @staticmethod
    def kind(spec: FileSpec, config: PipelineConfig) -> str:
        """How the fact lies in the database."""
        if spec.partition_by:
            return "partitioned"
        return "distributed" if config.database.distributed else ""

    def _copy_new(self, rows: pa.Table) -> int:
        if by := self._spec.partition_by:
            columns = [column.name for column in self._spec.schema.key_columns]
            self._copy(self._sql.keys, rows, {name: self._names[name] for name in (*columns, by.column)})
        return self._copy(self._sql.table, rows)
