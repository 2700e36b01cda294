"""From one YAML to another: what `apply` makes of tables with rows is what a fresh database has of the same files.

Rows that don't fit the new YAML are in quarantine, as a load would have put them there. A search is short here,
and the same each time; MODELS_EXAMPLES=300 makes it long, and another each time.
"""

from __future__ import annotations

import datetime as dt
import itertools
import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.replay import replay
from datawarehouse.schema.changes import apply
from datawarehouse.schema.late_pii import mask_late_columns
from datawarehouse.schema.plan import plan
from datawarehouse.schema_init import bring_up
from ingestion.set_aside import judge, set_aside
from tests.integration.small import PII, Small
from workbench.verify import run_checks

pytestmark = pytest.mark.usefixtures("config")
BOUNDED = settings(
    max_examples=int(os.environ.get("MODELS_EXAMPLES", "4")),
    derandomize="MODELS_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
WHO = "a test"
TYPES = {
    "text": "str",
    "varchar(3)": "str",
    "varchar(12)": "str",
    "smallint": "int",
    "bigint": "int",
    "double precision": "float",
    "numeric(6,2)": "float",
    "numeric(12,2)": "float",
    "date": "date",
    "timestamp": "datetime",
    "boolean": "bool",
}
VALUES = ["", "1", "0", "7", "70000", "5000000000", "1.25", "x", "a b c d", "2026-02-03", "2026-02-03 04:05:06"]
OLD = ("a", "b", "c")
EMPTY = """
DROP TABLE IF EXISTS dim_thing, dim_thing_history, dim_thing_seen, dim_kind;
TRUNCATE pipeline_file_log, file_keys, quarantine, quarantine_history, orphan_wait, true_orphan;
DELETE FROM pipeline_meta WHERE key LIKE 'history%' OR key = 'pii_columns'
"""


class Change(NamedTuple):
    """Two models as YAML has them, and files: lines of `thing`, one list a file."""

    before: dict[str, Any]
    after: dict[str, Any]
    files: list[list[str]]


@st.composite
def _column(draw: st.DrawFn, types: list[str]) -> dict[str, Any]:
    sql_type = draw(st.sampled_from(types))
    return {"dtype": TYPES[sql_type], "sql_type": sql_type, "nullable": draw(st.integers(0, 3)) > 0}


def _next(column: dict[str, Any]) -> list[str]:
    """The types that a column may become: a number or a time may be longer as text than it was in its file, and a
    boolean says less than the text that it was read from."""
    if column["dtype"] == "bool":
        return ["text", "boolean"]
    return [name for name in TYPES if column["dtype"] == "str" or not name.startswith("varchar")]


@st.composite
def _changes(draw: st.DrawFn) -> Change:
    before: dict[str, Any] = {name: draw(_column(list(TYPES))) for name in OLD}
    after: dict[str, Any] = {}
    for name, column in before.items():
        what = draw(st.sampled_from(["same", "type", "type", "rename", "both", "gone", "pii"]))
        if what == "gone":
            continue
        now = dict(column)
        if what in {"type", "both"}:
            now = draw(_column(_next(column)))
        if what == "pii" and column["dtype"] == "str":
            now |= {"pii": "text"}
        if what in {"rename", "both"}:
            after[f"{name}2"] = {**now, "was": name, "from": name}
        else:
            after[name] = now
    if draw(st.booleans()):
        after["new"] = {**draw(_column(list(TYPES))), "nullable": True, "optional": True}
    keep = draw(st.sampled_from(["first", "history"]))
    models = []
    for columns, keeps in ((before, keep), (after, draw(st.sampled_from([keep, "history"])))):
        model: dict[str, Any] = {"key": "id", "keep": keeps, "new_columns": "ignore"}
        model["columns"] = {"id": "int", **columns, "k": "int"}
        model["indexes"] = (
            draw(st.lists(st.sampled_from(sorted(columns)), max_size=2, unique=True)) if columns else []
        )
        model["foreign_keys"] = {"k": "kind"} if draw(st.booleans()) else {}
        models.append(model)
    files = []
    for number in range(draw(st.integers(1, 3))):
        ids = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True))
        # what is first depends on what was good when it came; so there each key comes once
        ids = [key + (10 * number if keep == "first" else 0) for key in ids]
        values = st.tuples(*(st.sampled_from(VALUES) for _ in OLD))
        files.append(
            [",".join([str(key), *draw(values), draw(st.sampled_from(["1", "2", "9", ""]))]) for key in ids]
        )
    return Change(models[0], models[1], files)


class Place:
    """A database with one model at a time."""

    def __init__(self, warehouse: Warehouse, home: Path) -> None:
        self.warehouse = warehouse
        self.home = home
        self.small: Small

    def begin(self, model: dict[str, Any], files: list[list[str]]) -> None:
        """The tables of a new database, with all files loaded."""
        with self.warehouse.transaction() as tx:
            tx.execute("SELECT relname FROM pg_class WHERE relname IN ('dim_kind', 'pipeline_file_log')")
            if tx.rowcount:
                tx.execute(EMPTY)
        self.small = Small(self.warehouse, self.home, self.types(model))
        with self.warehouse.transaction() as tx:
            mask_late_columns(tx, self.small.config, PII)
        self.small.load("kind", [(1,), (2,)])
        for number, lines in enumerate(files, 1):
            text = "".join(f"{line}\n" for line in [",".join(["id", *OLD, "k"]), *lines])
            self.small.load("thing", text, folder=f"2026-01-0{number}/00")

    def types(self, model: dict[str, Any]) -> dict[str, Any]:
        return {"kind": {"key": "id", "columns": {"id": "int"}}, "thing": model}

    def go_to(self, model: dict[str, Any]) -> None:
        """Apply all steps; then what is in quarantine may fit."""
        config = self.small.config = self.small.read(self.types(model))

        def then(tx: Cursor) -> None:
            bring_up(tx, config)
            mask_late_columns(tx, config, PII)
            judge(tx, config, WHO)

        def aside(tx: Cursor, step: Any) -> None:
            set_aside(tx, config, step, WHO)

        with self.warehouse.transaction() as tx:
            todo = plan(tx, config)
        assert todo.refusals == ()
        apply(self.warehouse, config, todo.steps, then, set_aside=aside)
        with self.warehouse.transaction() as tx:
            left = plan(tx, config)
            assert (left.steps, left.refusals) == ((), ())
            tx.execute("SELECT quarantine_id FROM quarantine WHERE resolution IS NULL")
            replay(tx, config, [q_id for (q_id,) in tx.fetchall()], WHO)

    def what_is_there(self) -> dict[str, Any]:
        config = self.small.config
        found: dict[str, Any] = {
            "checks": [c.differences for c in run_checks(self.warehouse, config) if c.differences]
        }
        thing = config.by_logical_name["thing"]
        names = [column.target for column in thing.stored]
        tables = {
            thing.table: "",
            **({thing.history_table: ", valid_from, valid_to"} if thing.keeps_history else {}),
        }
        for table, more in tables.items():
            listed = ", ".join(f'"{name}"::text' for name in names)
            rows = self.small.rows(f"SELECT {listed}{more} FROM {table}")
            found[table] = sorted(
                (
                    tuple(itertools.chain(map(_plain, row[: len(names)]), map(str, row[len(names) :])))
                    for row in rows
                ),
                key=str,
            )
        found["columns"] = self._columns(names, list(tables))
        found["keys"] = self._keys(list(tables))
        found["refused"] = self.small.rows(
            "SELECT l.as_of, q.row_number FROM quarantine q JOIN pipeline_file_log l USING (file_id)"
            " WHERE q.resolution IS NULL ORDER BY 1, 2"
        )
        return found

    def _columns(self, names: list[str], tables: list[str]) -> list[Any]:
        """A text stays one when its values are hashed; a hash alone needs 64 characters."""
        return self.small.rows(
            "SELECT attrelid::regclass::text, attname, attnotnull,"
            " replace(format_type(atttypid, atttypmod), 'character varying(64)', 'text') FROM pg_attribute"
            f" WHERE attrelid = ANY (ARRAY{tables}::regclass[]) AND attname = ANY (ARRAY{names}) ORDER BY 1, 2"
        )

    def _keys(self, tables: list[str]) -> list[Any]:
        return self.small.rows(
            "SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid), convalidated"
            f" FROM pg_constraint WHERE conrelid = ANY (ARRAY{tables}::regclass[]) AND contype <> 'n'"
            " UNION ALL SELECT tablename, 'i', regexp_replace(indexdef, 'INDEX \\S+ ', ''), indisvalid"
            " FROM pg_indexes JOIN pg_index ON indexrelid = indexname::regclass"
            f" WHERE tablename = ANY (ARRAY{tables}) AND NOT indisunique ORDER BY 1, 2, 3"
        )


def _plain(text: str | None) -> Any:
    """A value in the one form that all types have for it."""
    if text is None or len(text) == 64:
        return text
    if text in {"true", "false"}:
        return "1" if text == "true" else "0"
    try:
        return format(Decimal(text).normalize(), "f")
    except InvalidOperation:
        pass
    try:
        return dt.datetime.fromisoformat(text).isoformat()
    except ValueError:
        return text


@pytest.fixture
def place(warehouse: Warehouse, tmp_path: Path) -> Place:
    return Place(warehouse, tmp_path)


@BOUNDED
@given(change=_changes())
def test_what_apply_leads_to_is_what_a_fresh_database_has(place: Place, change: Change) -> None:
    place.begin(change.before, change.files)
    place.go_to(change.after)
    came_to = place.what_is_there()
    place.begin(change.after, change.files)
    assert came_to == place.what_is_there()
