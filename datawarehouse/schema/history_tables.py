"""The tables of versions: `TABLE_history`, and `TABLE_seen` with what was seen and made no version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.sql import quoted_name

from config.file_spec import FileSpec
from config.key import PLACEHOLDER_COLUMN
from config.model import GONE_COLUMN, Dtype
from config.schema import Column
from config.settings import PipelineConfig
from datawarehouse.queries import query
from datawarehouse.schema.catalog import Catalog
from datawarehouse.schema.steps import Kind, Step

FOREVER = "infinity"


def tables_beside(metadata: sa.MetaData, spec: FileSpec, table: sa.Table) -> None:
    """Add to `metadata` what is kept of rows beside the type's own `table`."""
    if spec.keeps_history:
        _history_tables(metadata, spec, table)
    if spec.operation:
        _deletes_table(metadata, spec, table)


def _history_tables(metadata: sa.MetaData, spec: FileSpec, table: sa.Table) -> None:
    own = {spec.surrogate_key, "_loaded_at", PLACEHOLDER_COLUMN, GONE_COLUMN}
    columns = [column for column in table.columns if column.name not in own]
    key = [column.target for column in spec.schema.key_columns]
    versions = sa.Table(
        spec.history_table,
        metadata,
        sa.Column("version_id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        *_copies(spec, columns),
        sa.Column("valid_from", sa.DateTime(), nullable=False),
        sa.Column("valid_to", sa.DateTime(), nullable=False, server_default=FOREVER),
        sa.Column("is_current", sa.Boolean(), sa.Computed(f"valid_to = '{FOREVER}'", persisted=True)),
        sa.Column("_ended_by", sa.BigInteger()),  # the file that told it was gone
        sa.CheckConstraint("valid_from < valid_to"),
        sa.UniqueConstraint(*key, "valid_to"),
    )
    sa.Index(f"{spec.history_table}__file_id_brin", versions.c["_file_id"], postgresql_using="brin")
    versions.append_constraint(_no_overlap(spec.schema.key_columns))
    seen = sa.Table(
        spec.seen_table,
        metadata,
        *_copies(spec, columns),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint(*key, "seen_at", "_file_id"),
    )
    sa.Index(f"{spec.seen_table}__file_id_brin", seen.c["_file_id"], postgresql_using="brin")


def _deletes_table(metadata: sa.MetaData, spec: FileSpec, table: sa.Table) -> None:
    """Add `TABLE_gone`, for the types whose files tell deletes: what was told, and when."""
    key = [column.target for column in spec.schema.key_columns]
    told = sa.Table(
        spec.deletes_table,
        metadata,
        *_copies(spec, [table.columns[name] for name in key]),
        sa.Column("gone_at", sa.DateTime(), nullable=False),
        sa.Column("_file_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*key, "gone_at", "_file_id"),
    )
    sa.Index(f"{spec.deletes_table}__file_id_brin", told.c["_file_id"], postgresql_using="brin")


def history_steps(catalog: Catalog, config: PipelineConfig) -> Iterator[Step]:
    """Histories of tables that are there begin with their rows, each since its time."""
    for spec in config.by_logical_name.values():
        if spec.keeps_history and spec.table in catalog.tables and spec.history_table not in catalog.tables:
            rows = catalog.rows(spec.table)
            yield Step(
                Kind.HISTORY,
                spec.history_table,
                f"{spec.table}: its history begins with the rows that are there",
                tuple(_beginning(catalog, spec)),
                rows=rows,
                lock="ROW EXCLUSIVE",
            )


def _beginning(catalog: Catalog, spec: FileSpec) -> Iterator[str]:
    column = spec.schema.by_name[spec.newer_by] if spec.newer_by else None
    names = [column.target for column in spec.stored] + [*spec.derive, "_file_id"]
    begins = sql.SQL(query("history", "since_its_time")).format(time=time_of(column, "t")) if column else None
    has_placeholders = PLACEHOLDER_COLUMN in catalog.tables[spec.table].columns
    statement = sql.SQL(query("history", "begin")).format(
        history=sql.Identifier(spec.history_table),
        table=sql.Identifier(spec.table),
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        t_columns=sql.SQL(", ").join(sql.Identifier("t", name) for name in names),
        begins=begins or sql.SQL(query("history", "since_its_file")),
        is_real=sql.SQL("NOT t._placeholder" if has_placeholders else "true"),
    )
    yield statement.as_string(catalog.tx)
    yield catalog.tx.mogrify(query("history", "note_begin"), _begun(spec)).decode()


def is_known(tx: Cursor, spec: FileSpec, file_id: int) -> bool:
    """Was the file loaded when the history of its table had begun? What older files replaced is not kept."""
    if not spec.keeps_history:
        return False
    tx.execute(query("history", "last_before"), _begun(spec))
    return file_id > int((tx.fetchone() or (0,))[0])


def _begun(spec: FileSpec) -> dict[str, str]:
    return {"key": f"history of {spec.table}"}


def time_of(column: Column, table: str) -> sql.Composable:
    """The value of a column of times as a timestamp, UTC."""
    form = "({} AT TIME ZONE 'UTC')" if column.sql.base == "timestamp with time zone" else "{}::timestamp"
    return sql.SQL(form).format(sql.Identifier(table, column.target))


def own_time(spec: FileSpec, table: str) -> sql.Composable | None:
    """The time that a row itself says, by `newer_by`; None where it is that of its file."""
    if spec.newer_by is None:
        return None
    return sql.SQL("coalesce({}, '-infinity')").format(time_of(spec.schema.by_name[spec.newer_by], table))


def _copies(spec: FileSpec, columns: Sequence[sa.Column[object]]) -> list[sa.Column[object]]:
    """The same columns without keys, references and defaults; a placeholder, which has nulls, is no version."""
    filled = {column.target for column in spec.stored if not column.nullable}
    return [
        sa.Column(
            quoted_name(c.name, quote=True),
            c.type,
            nullable=c.nullable and c.name not in filled,
            info=dict(c.info),
        )
        for c in columns
    ]


def _no_overlap(key: Sequence[Column]) -> ExcludeConstraint:
    """No two versions of a key that have ended were valid at one time; a current one is alone by `valid_to`.

    An index for all versions would take ten times what the load of new rows takes.
    """
    same = [(sa.text(text), "&&") for column in key for text in _as_ranges(column)]
    during = (sa.text("tsrange(valid_from, valid_to)"), "&&")
    where = sa.text(f"valid_to < '{FOREVER}'")
    return ExcludeConstraint(*same, during, using="gist", where=where)


def _as_ranges(column: Column) -> list[str]:
    """A key's column as ranges that overlap only where values are equal: GiST knows no = without an extension."""
    name = '"{}"'.format(column.target.replace('"', '""'))
    kinds = {
        "timestamp without time zone": "tsrange",
        "timestamp with time zone": "tstzrange",
        "date": "daterange",
    }
    if column.dtype is Dtype.INT:
        return [f"int8range({name}, {name}, '[]')"]
    if kind := kinds.get(column.sql.base):
        return [f"{kind}({name}, {name}, '[]')"]
    halves = [f"('x' || substr(md5({name}::text), {start}, 15))::bit(60)::bigint" for start in (1, 17)]
    return [f"int8range({half}, {half}, '[]')" for half in halves]
