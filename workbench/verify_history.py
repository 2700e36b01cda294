"""What `verify` asks of tables with history: their versions, and that each row is the newest of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg2 import sql

from config.file_spec import FileSpec
from config.key import PLACEHOLDER_COLUMN
from config.model import GONE_COLUMN
from config.schema import Column
from config.settings import PipelineConfig
from datawarehouse import key_sql
from datawarehouse.load_sql import comparable
from datawarehouse.queries import query
from datawarehouse.schema.history_tables import own_time

_COMMA = sql.SQL(", ")
QUERIES = ("history", "history_files", "history_of_rows")
# Rows with such a mark may have no version.
_WITHOUT_VERSION = {GONE_COLUMN: "t.{} IS NOT NULL", PLACEHOLDER_COLUMN: "t.{}"}


def with_history(config: PipelineConfig) -> Iterator[FileSpec]:
    """The types whose tables have one."""
    specs = {spec.table: spec for spec in config.by_logical_name.values() if spec.keeps_history}
    yield from (specs[table] for table in sorted(specs))


def names_of(spec: FileSpec) -> dict[str, sql.Composable]:
    """What the queries of sql/verify.sql say of one table."""
    key, tracked = spec.schema.key_columns, spec.tracked
    time_of_h, time_of_s = own_time(spec, "h"), own_time(spec, "s")
    has = {GONE_COLUMN: spec.loses_rows, PLACEHOLDER_COLUMN: spec.has_placeholders}
    marks = [sql.SQL(form).format(sql.Identifier(name)) for name, form in _WITHOUT_VERSION.items() if has[name]]
    parts = {
        "table": sql.Identifier(spec.table),
        "table_text": sql.Literal(spec.table),
        "history": sql.Identifier(spec.history_table),
        "seen": sql.Identifier(spec.seen_table),
        "key": key_sql.listed(key),
        "s_key": key_sql.listed(key, "s"),
        "h_is_s": key_sql.matching(key, "h", "s"),
        "h_is_t": key_sql.matching(key, "h", "t"),
        "time_of_h": time_of_h or sql.SQL("NULL::timestamp"),
        "may_lack": sql.SQL("({})").format(sql.SQL(" OR ").join([sql.SQL("false"), *marks])),
        "tracked": _listed(None, tracked),
        "next_tracked": sql.SQL(", ").join(
            [sql.SQL("lead({}) OVER w").format(comparable(None, c)) for c in tracked]
        ),
        "t_tracked": _listed("t", tracked),
        "h_tracked": _listed("h", tracked),
        # Their values, not their files: one may have told the row, and others again after it.
        **{f"{alias}_columns": _listed(alias, spec.stored) for alias in ("t", "h", "s")},
        "is_back": sql.Literal(spec.takes_away),  # then it may begin with its file
    }
    if time_of_s and spec.takes_away:
        parts["time_of_s"] = time_of_s
        is_newer = sql.SQL(query("verify", "is_newer_by_time"))
        return parts | {"s_is_newer": is_newer.format(**parts, o_is_s=key_sql.matching(key, "o", "s"))}
    return parts | {"time_of_s": sql.SQL("s.seen_at"), "s_is_newer": sql.SQL("s.seen_at > h.valid_from")}


def _listed(alias: str | None, columns: Sequence[Column]) -> sql.Composed:
    return _COMMA.join([comparable(alias, column) for column in columns])
