"""Runs compiled conditions by DuckDB, in this process and in memory, on one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

# As it is written: what DuckDB would make simpler might no longer fail where PostgreSQL does.
_SETTINGS = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET threads = 1",
    "SET TimeZone = 'UTC'",
    "PRAGMA disable_optimizer",
    "SET lock_configuration = true",
)
_MOST_PREPARED = 100


class _Rows:
    """What DuckDB asks for rows; those of the moment, so that a statement is planned once."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows

    def __arrow_c_schema__(self) -> Any:
        return self.rows.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.rows.__arrow_c_stream__(requested_schema)


class Engine:
    """One connection, for one thread at a time."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")
        for setting in _SETTINGS:
            self._connection.execute(setting)
        self._prepared: dict[tuple[str, pa.Schema], tuple[str, _Rows]] = {}

    def columns(self, select: str, rows: pa.Table) -> dict[str, np.ndarray]:
        """The columns of SELECT `select` FROM `rows`. Raises duckdb.Error."""
        with self._executed(select, rows, "") as found:
            columns: dict[str, Any] = found.fetchnumpy()
            return columns

    def rows(self, select: str, rows: pa.Table, more: str) -> list[tuple[Any, ...]]:
        """The rows of SELECT `select` FROM `rows` `more`. Raises duckdb.Error."""
        with self._executed(select, rows, more) as found:
            return found.fetchall()

    @contextmanager
    def _executed(self, select: str, rows: pa.Table, more: str) -> Iterator[duckdb.DuckDBPyConnection]:
        key = (select, rows.schema)
        if key not in self._prepared:
            if len(self._prepared) >= _MOST_PREPARED:
                self._forget()
            name, source = f"rows_{len(self._prepared)}", _Rows(rows)
            self._connection.register(name, source)
            self._connection.execute(f"PREPARE of_{name} AS SELECT {select} FROM {name} {more}")
            self._prepared[key] = (name, source)
        name, source = self._prepared[key]
        source.rows = rows
        try:
            yield self._connection.execute(f"EXECUTE of_{name}")
        finally:
            source.rows = rows.slice(0, 0)

    def _forget(self) -> None:
        for name, _ in self._prepared.values():
            self._connection.execute(f"DEALLOCATE of_{name}")
            self._connection.unregister(name)
        self._prepared.clear()


_idle: deque[Engine] = deque()


@contextmanager
def borrowed() -> Iterator[Engine]:
    """An engine for the calling thread alone; a new one where all others are in use."""
    try:
        engine = _idle.pop()
    except IndexError:
        engine = Engine()
    try:
        yield engine
    finally:
        _idle.append(engine)


HOLDS, BROKEN, FAILED = 0, 1, 2


def judge(conditions: Sequence[str], rows: pa.Table) -> list[np.ndarray]:
    """For each condition one of HOLDS, BROKEN and FAILED a row; what is null holds."""
    cases = [f"CASE WHEN NOT {condition} THEN {BROKEN} ELSE {HOLDS} END" for condition in conditions]
    with borrowed() as engine:
        try:
            found = engine.columns(_listed(cases), rows)
        except duckdb.Error:  # of one row: then one by one
            found = engine.columns(_listed([f"coalesce(TRY({case}), {FAILED})" for case in cases]), rows)
    return [np.asarray(found[f"check_{n}"]) for n in range(len(conditions))]


def _listed(cases: Sequence[str]) -> str:
    return ", ".join(f"CAST({case} AS UTINYINT) AS check_{n}" for n, case in enumerate(cases))


def figures(aggregates: Sequence[str], owner: str, rows: pa.Table) -> dict[int, tuple[Any, ...]] | None:
    """The aggregates of the rows of each owner, a column of whole numbers; None where they can't be worked out."""
    names = [f"a_{n}" for n in range(len(aggregates))]
    listed = ", ".join(f"{sql} AS {name}" for sql, name in zip(aggregates, names, strict=True))
    with borrowed() as engine:
        try:
            found = engine.rows(f'"{owner}", {listed}', rows, f'GROUP BY "{owner}"')
        except duckdb.Error:
            return None
    return {int(first): tuple(rest) for first, *rest in found}
