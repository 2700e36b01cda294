"""Facts and their parents, in any order: orphans, placeholders, and the version that was valid at their time."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from config.config_loader import get_config
from config.errors import ConfigError
from config.jobs import FileJob, Stamp
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from ingestion.engines.local import LocalEngine
from tests.acceptance.oracle_changes import Remembered, remember_all, versions_bound
from tests.acceptance.oracle_files import EVER, Declared, File, read
from tests.conftest import SETTINGS_FROM_OUTSIDE, fresh_database, opened
from tests.integration.changing import NOT_YET, history_of, history_wanted
from tests.integration.small import settings_of
from workbench.verify import run_checks

GUEST: dict[str, Any] = {"key": "id", "columns": {"id": "int", "v": "str"}, "keep": "history"}
TIMED: dict[str, Any] = {**GUEST, "columns": {"id": "int", "v": "str", "u": "datetime"}, "newer_by": "u"}
SALE: dict[str, Any] = {
    "key": "id",
    "columns": {"id": "int", "guest": "int", "at": "datetime"},
    "keep": "latest",
}
WAITS = {**SALE, "foreign_keys": {"guest": "guest"}}
HOLDS = {**SALE, "foreign_keys": {"guest": {"to": "guest", "if_missing": "placeholder"}}}
VERSION = {"derive": {"guest_version": {"version_of": "guest", "by": "guest", "at": "at"}}}
SETS: dict[str, dict[str, dict[str, Any]]] = {
    "orphans": {"guest": GUEST, "sale": WAITS},
    "orphans with a history": {"guest": GUEST, "sale": {**WAITS, "keep": "history"}},
    "orphans with a history by time": {"guest": GUEST, "sale": {**WAITS, "keep": "history", "newer_by": "at"}},
    "placeholders": {"guest": GUEST, "sale": HOLDS},
    "versions": {"guest": GUEST, "sale": {**WAITS, **VERSION}},
    "versions by time": {"guest": TIMED, "sale": {**WAITS, **VERSION}},
    "versions, placeholders": {"guest": TIMED, "sale": {**HOLDS, **VERSION}},
    "versions, snapshots": {
        "guest": {**GUEST, "rows": "snapshot", "gone": "mark", "gone_at_most_pct": 100},
        "sale": {**WAITS, **VERSION},
    },
}
BOUNDED = settings(
    max_examples=int(os.environ.get("CHANGES_EXAMPLES", "6")),
    derandomize="CHANGES_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Shop:
    """A database with guests and sales, as one of SETS declares them."""

    name: str
    warehouse: Warehouse = field(repr=False)
    home: Path
    config: PipelineConfig = field(repr=False)

    @property
    def types(self) -> dict[str, Declared]:
        return {name: Declared.read(name, given) for name, given in SETS[self.name].items()}

    def empty(self) -> None:
        beside = "ARRAY['dim_guest_history', 'dim_guest_seen', 'fact_sale_history', 'fact_sale_seen']"
        found = self.rows(
            f"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY ({beside})"
        )
        names = ["dim_guest", "fact_sale", *(name for (name,) in found)]
        self.rows(f"TRUNCATE {', '.join(names)}, pipeline_file_log, quarantine, orphan_wait, true_orphan CASCADE")

    def load(self, files: Sequence[File]) -> None:
        """Load the files one after the other and heal after each, as the service does."""
        engine = LocalEngine(self.config, self.warehouse, threading.Event())
        for file in files:
            outcome = engine.load(self._job(file))
            engine.heal([outcome])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)
            return tx.fetchall() if tx.description else []

    def _job(self, file: File) -> FileJob:
        folder = self.home / str(next(_NUMBERS)) / f"{file.as_of:%Y-%m-%d}" / f"{file.as_of:%H}"
        folder.mkdir(parents=True)
        path = folder / file.name
        path.write_text(file.content, encoding="utf-8")
        stamp = file.modified.replace(tzinfo=dt.UTC).timestamp()
        os.utime(path, (stamp, stamp))
        found = path.stat()
        return FileJob.of(path, self.config.by_logical_name[file.type], Stamp(found.st_size, found.st_mtime_ns))

    def check(self, files: Sequence[File]) -> None:
        """Tables and bound versions are those of the model."""
        wanted = remember_all(self.types, files)
        of_guests = {key[0]: row.is_placeholder for key, row in wanted["guest"].table.items()}
        assert dict(self.rows(f"SELECT id, {self._is_placeholder} FROM dim_guest")) == of_guests
        sales = {key[0]: (row.values["guest"], row.values["at"]) for key, row in wanted["sale"].table.items()}
        assert {i: (c, at) for i, c, at in self.rows("SELECT id, guest, at FROM fact_sale")} == sales
        if wanted["sale"].declared.keep == "history":
            assert history_of(self, wanted["sale"].declared, "fact_sale") == history_wanted(wanted["sale"])
        if wanted["sale"].declared.versions:
            assert self._bound() == _bound(wanted)
        checks = [check for check in run_checks(self.warehouse, self.config) if "CSV" not in check.name]
        assert [(check.name, check.differences) for check in checks if check.differences] == []

    @property
    def _is_placeholder(self) -> str:
        placeholders = any("if_missing" in str(given.get("foreign_keys")) for given in SETS[self.name].values())
        return "_placeholder IS TRUE" if placeholders else "false"

    def _bound(self) -> dict[int, Any]:
        """By sale: since when the version is valid that it has, '' for none."""
        return dict(
            self.rows(
                "SELECT s.id, CASE WHEN h.version_id IS NULL THEN '' WHEN h.valid_from = '-infinity' THEN 'ever'"
                " ELSE h.valid_from::text END FROM fact_sale s"
                " LEFT JOIN dim_guest_history h ON h.version_id = s.guest_version"
            )
        )


def _bound(wanted: Mapping[str, Remembered]) -> dict[int, Any]:
    def said(bound: Any) -> str:
        return "" if bound is None else "ever" if bound.valid_from == EVER else str(bound.valid_from)

    return {key[0]: said(of["guest_version"]) for key, of in versions_bound(wanted, "sale").items()}


@pytest.fixture(params=SETS)
def shop(
    request: pytest.FixtureRequest, embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    path = tmp_path / "config.yaml"
    types = {name: dict(given) for name, given in SETS[request.param].items()}
    types["sale"]["table"] = "fact_sale"
    path.write_text(yaml.safe_dump(settings_of(types, pii={"hash_key": "k" * 16})))
    with fresh_database(embedded_url) as database:
        monkeypatch.setenv("DATABASE_URL", str(database.url))
        with opened(database, tmp_path) as warehouse:
            yield _shop(request.param, warehouse, path, database)


def _shop(name: str, warehouse: Warehouse, path: Path, database: DatabaseConfig) -> Shop:
    """Skips where the configuration doesn't know its keys yet."""
    try:
        config = get_config(path)
    except ConfigError as problem:
        if any(word in str(problem) for word in NOT_YET):
            pytest.skip(f"not yet: {problem}")
        raise
    init_schema(warehouse, config)
    return Shop(name, warehouse, path.parent, config)


HOURS = st.integers(5, 8)
TIMES = st.sampled_from(["2026-01-01 04:00:00", "2026-01-01 06:00:00", "2026-01-01 07:30:00"])
ROWS = {
    "guest": st.tuples(st.sampled_from("112"), st.sampled_from("ab"), st.one_of(TIMES, st.just(""))),
    "sale": st.tuples(st.sampled_from("12"), st.sampled_from(["1", "1", "2", ""]), st.one_of(TIMES, st.just(""))),
}


@st.composite
def _files(draw: st.DrawFn, name: str) -> list[File]:
    files = []
    for number in range(draw(st.integers(2, 5))):
        kind = draw(st.sampled_from(["guest", "sale"]))
        columns = SETS[name][kind]["columns"]
        rows = draw(st.lists(ROWS[kind], min_size=1, max_size=3, unique_by=lambda row: row[0]))
        lines = [",".join(columns), *(",".join(row[: len(columns)]) for row in rows), *[""] * number]
        as_of = dt.datetime(2026, 1, 1, draw(HOURS))
        files.append(File(kind, as_of, as_of, f"{kind}.csv", "".join(f"{line}\n" for line in lines)))
    return files


def _says_it_twice(types: Mapping[str, Declared], files: Sequence[File]) -> bool:
    """Is there another row between two that say the same? That the second said so is not remembered yet."""
    for file_type, declared in types.items():
        parents = {f.parent: _Everything() for f in declared.foreign_keys}
        rows = [row for file in files if file.type == file_type for row in read(declared, file, parents).good]
        for a, x, b in itertools.permutations(rows, 3):
            if a.key == x.key == b.key and a.order < x.order < b.order and a.values == b.values != x.values:
                return True
    return False


class _Everything(frozenset[Any]):
    def __contains__(self, key: object) -> bool:
        return True


def test_facts_in_any_order_have_the_parents_and_versions_of_the_model(shop: Shop) -> None:
    @BOUNDED
    @given(files=_files(shop.name))
    def compare(files: list[File]) -> None:
        assume(not _says_it_twice(shop.types, files))
        shop.empty()
        shop.load(files)
        shop.check(files)

    compare()
