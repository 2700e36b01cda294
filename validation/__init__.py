"""What judges rows: chunks of Arrow.

At the first list that it makes an array of, pyarrow imports pandas, to know whether it is one of pandas' own: that
would be a fifth of each command's start. There are none here, so it finds no pandas; see ingestion/file_reader.py,
where it is used.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


_finder = _NoPandas()
sys.meta_path.insert(0, _finder)
pa.array([])
sys.meta_path.remove(_finder)
