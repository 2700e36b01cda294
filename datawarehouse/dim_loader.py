"""Rows → dimensions: one row a key, which is the table's own primary key."""

from __future__ import annotations

import pyarrow as pa

from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.loader import Loader


class DimLoader(Loader):
    """Loads one kind of dimension files. A dimension is one table, whole on every server."""

    @staticmethod
    def kind(spec: FileSpec, config: PipelineConfig) -> str:
        """The statements as they are."""
        del spec, config
        return ""

    def _copy_new(self, rows: pa.Table) -> int:
        return self._copy(self._sql.table, rows)
