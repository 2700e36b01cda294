"""Stage records for files of the batch folders, and for master's: which checks, in which order."""

from __future__ import annotations

from validation.batch import Batch
from validation.checks import row_checks
from validation.record_checks import ColumnCheck, Dates, check_columns, column_rules, dates_in_range

# Duplicates come after these, and after the orphans: duplicates.py
CHECKS: tuple[ColumnCheck, ...] = (column_rules, dates_in_range)


def validate_batch_records(batch: Batch, dates: Dates) -> None:
    """Hold against the rows what each alone tells; dates must lie within `dates`, both days included."""
    check_columns(batch, CHECKS, dates)
    row_checks(batch)
