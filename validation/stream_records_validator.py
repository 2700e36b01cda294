"""Stage records for files of the stream folders: which checks, in which order.

They are those of the batch folders: a value is judged by what it is, wherever it came from. Where files of the
stream allow more, as a value that only a later event has, the rules of the column say so.
"""

from __future__ import annotations

from validation.batch import Batch
from validation.checks import row_checks
from validation.record_checks import ColumnCheck, Dates, check_columns, column_rules, dates_in_range

# Duplicates come after these, and after the orphans: duplicates.py
CHECKS: tuple[ColumnCheck, ...] = (column_rules, dates_in_range)


def validate_stream_records(batch: Batch, dates: Dates) -> None:
    """Hold against the rows what each alone tells; dates must lie within `dates`, both days included."""
    check_columns(batch, CHECKS, dates)
    row_checks(batch)
