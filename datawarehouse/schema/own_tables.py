"""The pipeline's own tables as SQLAlchemy metadata, and the calendar's.

A start adds the columns, CHECKs, unique keys and indexes that a table of an earlier version has not. A CHECK that
changes gets a new name, and a file in `migrations/` drops the old one: PostgreSQL writes its text in a way of its
own, which can't be compared.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, JSONB
from sqlalchemy.types import TypeEngine

NOW = sa.text("now()")


def calendar_tables(metadata: sa.MetaData) -> None:
    """dim_date and dim_time."""

    def column(name: str, kind: TypeEngine[Any], *, key: bool = False) -> sa.Column[Any]:
        return sa.Column(name, kind, primary_key=key, nullable=False, autoincrement=False)

    sa.Table(
        "dim_date",
        metadata,
        column("date_key", sa.Integer(), key=True),  # YYYYMMDD
        column("full_date", sa.Date()),
        column("year", sa.SmallInteger()),
        column("quarter", sa.SmallInteger()),
        column("month", sa.SmallInteger()),
        column("month_name", sa.String(9)),
        column("week", sa.SmallInteger()),  # ISO 8601
        column("day", sa.SmallInteger()),
        column("day_of_week", sa.SmallInteger()),  # ISO 8601: Monday is 1
        column("day_name", sa.String(9)),
        column("is_weekend", sa.Boolean()),  # as calendar.weekend says
    )
    sa.Table(
        "dim_time",
        metadata,
        column("time_key", sa.Integer(), key=True),  # HHMM
        column("hour", sa.SmallInteger()),
        column("minute", sa.SmallInteger()),
        column("period", sa.String(9)),  # night, morning, afternoon, evening
    )


def pipeline_tables(metadata: sa.MetaData) -> None:
    """The file log, quarantine, and what else the pipeline keeps."""
    counts = [
        sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        for name in (
            "total_records",
            "valid_records",
            "quarantined",
            "inserted_records",
            "already_present",
            "updated_records",
            "changed_records",  # of already_present, how many had other values, and were not applied
            "stale_records",  # of already_present, how many were older than what is there
            "delete_records",  # of valid_records, how many tell to delete
            "gone_records",  # rows of the table that are gone by the file: marked, or removed
            "removed_records",  # of gone_records, how many are not in the table any more
            "duplicate_count",
            "orphan_count",  # as found; resolved_orphans of them were loaded later
            "resolved_orphans",
            "resolved_records",  # the same of other refused records, by `quarantine replay`
            "warned_records",  # of valid_records, how many a check warns of
        )
    ]
    sa.Table(
        "pipeline_file_log",
        metadata,
        sa.Column("file_id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("file_path", sa.Text(), nullable=False),
        sa.Column("file_hash", sa.String(32), nullable=False),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("file_type", sa.String(10), nullable=False),
        sa.Column("logical_name", sa.Text(), nullable=False),
        sa.Column("source_table", sa.Text(), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        *counts,
        sa.Column(
            "unchanged_records",
            sa.BigInteger(),
            sa.Computed("already_present - changed_records - stale_records", persisted=True),
        ),
        sa.Column("rejection_stage", sa.String(10)),
        sa.Column("error", sa.Text()),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("pii_key_id", sa.String(8)),
        sa.Column("spec_hash", sa.String(32), nullable=False),
        sa.Column("backup_written", sa.Boolean(), nullable=False, server_default=sa.true()),
        # Its place among the files of its table, UTC: file_order.py. Of files of earlier versions it is not known.
        sa.Column("as_of", sa.DateTime(), nullable=False, server_default="-infinity"),
        sa.Column("modified_at", sa.DateTime(), nullable=False, server_default="-infinity"),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        # Where it was put after the load, and when; a file that was deleted lies nowhere.
        sa.Column("lies_at", sa.Text()),
        sa.Column("put_away_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("logical_name", "file_hash", "file_size", "as_of", name="pipeline_file_log_contents"),
        sa.CheckConstraint("status IN ('success', 'failed', 'undone')", name="pipeline_file_log_states"),
        sa.CheckConstraint("total_records = valid_records + quarantined", name="pipeline_file_log_books"),
        sa.CheckConstraint(
            "valid_records = inserted_records + already_present + updated_records + delete_records",
            name="pipeline_file_log_good",
        ),
        sa.CheckConstraint("removed_records <= gone_records", name="pipeline_file_log_gone"),
        sa.CheckConstraint(
            "duplicate_count + orphan_count - resolved_orphans - resolved_records <= quarantined"
            " AND resolved_orphans <= orphan_count AND changed_records + stale_records <= already_present",
            name="pipeline_file_log_shares",
        ),
        sa.Index("pipeline_file_log_processed_at", "processed_at"),
        sa.Index("pipeline_file_log_order", "source_table", "as_of"),
        sa.Index("pipeline_file_log_path", "file_path", postgresql_using="hash"),  # of any length
        sa.Index(
            "pipeline_file_log_no_row",
            "file_id",
            postgresql_where=sa.text(
                "status = 'failed' OR (status = 'success' AND valid_records = 0 AND total_records > 0)"
            ),
        ),
    )
    sa.Table(
        "quarantine",
        metadata,
        sa.Column("quarantine_id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column("source_file", sa.Text(), nullable=False),
        sa.Column("source_table", sa.Text(), nullable=False),
        sa.Column("file_type", sa.String(10), nullable=False),
        sa.Column("rejection_stage", sa.String(10), nullable=False),
        sa.Column("rejection_reason", sa.Text(), nullable=False),
        sa.Column("reasons", JSONB(), nullable=False),
        sa.Column("raw_data", JSONB(), nullable=False),
        sa.Column("quarantined_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.Column("retry_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("resolution", sa.String(20)),
        sa.UniqueConstraint("file_id", "row_number", name="quarantine_file_row"),
        sa.Index("quarantine_quarantined_at", "quarantined_at"),
        sa.Index(
            "quarantine_open_orphans",
            "quarantined_at",
            postgresql_where=sa.text("rejection_stage = 'orphan' AND resolution IS NULL"),
        ),
    )
    # What each open orphan waits for; a row goes when its parent was found.
    sa.Table(
        "orphan_wait",
        metadata,
        sa.Column("file_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("row_number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("fk_column", sa.Text(), primary_key=True),
        sa.Column("source_table", sa.Text(), nullable=False),
        sa.Column("parent_table", sa.Text(), nullable=False),
        sa.Column("parent_key", sa.Text(), nullable=False),
        sa.Column("own_keys", JSONB()),
        sa.Index("orphan_wait_parent", "parent_table", "parent_key"),
    )
    sa.Table(
        "true_orphan",
        metadata,
        sa.Column("true_orphan_id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("quarantine_id", sa.BigInteger(), nullable=False, unique=True),
        sa.Column("source_file", sa.Text(), nullable=False),
        sa.Column("source_table", sa.Text(), nullable=False),
        sa.Column("unresolved_fk", sa.Text(), nullable=False),
        sa.Column("raw_data", JSONB(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
    )
    # What operators did to a quarantined row: the values before and after, as they are stored (PII hashed).
    sa.Table(
        "quarantine_history",
        metadata,
        sa.Column("history_id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("quarantine_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.Column("action", sa.String(10), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("changes", JSONB(), nullable=False, server_default="{}"),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Index("quarantine_history_row", "quarantine_id"),
    )
    # What checks warn of: how many loaded rows of a file, and which, the first thousand of each check.
    sa.Table(
        "file_warning",
        metadata,
        sa.Column("file_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("check_name", sa.Text(), primary_key=True),
        sa.Column("column_name", sa.Text(), primary_key=True),  # '' where the check is of a row, or of the file
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("says", sa.Text()),
        sa.Column("warned_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.Index("file_warning_warned_at", "warned_at"),
    )
    sa.Table(
        "warned_row",
        metadata,
        sa.Column("file_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("check_name", sa.Text(), primary_key=True),
        sa.Column("column_name", sa.Text(), primary_key=True),
        sa.Column("row_number", sa.BigInteger(), primary_key=True, autoincrement=False),
    )
    # Figures of the columns of a file, in its good rows; of columns that are pii or personal no values.
    sa.Table(
        "column_profile",
        metadata,
        sa.Column("file_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("column_name", sa.Text(), primary_key=True),  # as the file has it
        sa.Column("logical_name", sa.Text(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("null_share", sa.Double(), nullable=False),  # 0 to 1
        sa.Column("distinct_count", sa.BigInteger(), nullable=False),  # nearly
        sa.Column("min_value", sa.Text()),
        sa.Column("max_value", sa.Text()),
        sa.Column("mean_value", sa.Double()),
        sa.Column("profiled_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.Index("column_profile_of_type", "logical_name", "column_name", "file_id"),
    )
    # What files told again, with nothing new: bounds of ranges of numbers (key_traces.py). A chunk has a row. And
    # the keys that a snapshot held, in a row of its own: what it lacks is gone, whenever it came (goings.py).
    sa.Table(
        "file_keys",
        metadata,
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("unchanged", ARRAY(sa.BigInteger())),
        sa.Column("held", INT8MULTIRANGE()),  # the keys of good records
        sa.Column("refused", INT8MULTIRANGE()),  # of records of which none is good
        sa.Column("unreadable", sa.BigInteger()),  # records whose keys can't be read
        sa.Index("file_keys_file_id", "file_id"),
    )
    # Persons whose data is blanked in every file that brings them again.
    sa.Table(
        "erased",
        metadata,
        sa.Column("source_table", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.Column("erased_by", sa.Text(), nullable=False),
    )
    sa.Table(
        "contract_breach",
        metadata,
        sa.Column("breach_id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("file_type", sa.String(10), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        # Of two services that find the same, one tells it.
        sa.Index(
            "contract_breach_open",
            *("kind", "file_type", "file", "day"),
            unique=True,
            postgresql_where=sa.text("resolved_at IS NULL"),
        ),
    )
    # In what files differ from their schemas, one row for each change: who sees it first tells of it.
    sa.Table(
        "drift",
        metadata,
        sa.Column("logical_name", sa.Text(), primary_key=True),
        sa.Column("column_name", sa.Text(), primary_key=True),
        sa.Column("kind", sa.String(10), primary_key=True),
        sa.Column("looks_like", sa.Text()),  # the column that it may be under another name
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("first_file", sa.Text(), nullable=False),
        sa.Column("last_file", sa.Text(), nullable=False),
    )
    sa.Table(
        "pipeline_meta",
        metadata,
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
