"""Tells the sender of a file what is wrong in it, by mail, with a page that shows rows and reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.jobs import FileOutcome, Status
from datawarehouse import reports
from datawarehouse.db_connection import Warehouse
from ingestion.file_check import Example, FileCheck, ReasonCount, drift_of
from ingestion.report_html import page
from utils.alerter import send_report
from utils.alerts import Report
from validation.pii_handler import MALFORMED

EXAMPLES = 3  # of each reason
MOST_REASONS = 20
LOOKED_THROUGH = 1000  # first refused rows of a file, for examples


def report_to_sender(warehouse: Warehouse, outcome: FileOutcome, name: str) -> None:
    """Send the page of a file that failed, or has refused rows, if somebody is to get it. Raises PipelineError.

    Rows that only wait for their parents are no fault of the sender's. Values are as quarantine has them: masked.
    """
    spec = outcome.job.spec
    has_problems = outcome.status is Status.FAILED or outcome.quarantined > outcome.orphans
    if not spec.report_to or not has_problems or outcome.told or outcome.status is Status.ALREADY_DONE:
        return
    with warehouse.transaction() as tx:
        verdict = verdict_on(tx, outcome, name)
    said = (
        verdict.error or f"{verdict.refused:,} of {verdict.total:,} rows are refused, mostly {outcome.top_reason}"
    )
    send_report(Report(spec.report_to, name, said, page([verdict])), spec.name)


def verdict_on(tx: Cursor, outcome: FileOutcome, name: str) -> FileCheck:
    """What `check` would say of the file, from its books and its quarantined rows."""
    spec = outcome.job.spec
    by_rows = sorted(outcome.reasons.items(), key=lambda item: -item[1])[:MOST_REASONS]
    reasons = {
        (rule, column): ReasonCount(stage.value, rule, column, spec.schema.says(rule, column), rows)
        for (stage, rule, column), rows in by_rows
    }
    if reasons and outcome.file_id is not None:
        for row in reports.read(tx, "first_refused", file_id=outcome.file_id, limit=LOOKED_THROUGH):
            _take_examples(row, reasons)
    return FileCheck(
        str(outcome.job.path),
        spec.name,
        spec.table,
        total=outcome.total,
        good=outcome.total - outcome.quarantined,
        refused=outcome.quarantined,
        within=str(spec.schema.within) if spec.schema.within else None,
        reasons=list(reasons.values()),
        error=outcome.error,
        drift=drift_of(spec, outcome.drift),
        shown=name,
    )


def _take_examples(row: Mapping[str, Any], reasons: Mapping[tuple[str, str], ReasonCount]) -> None:
    for reason in row["reasons"]:
        count = reasons.get((reason["rule"], reason["column"] or ""))
        if count is not None and len(count.examples) < EXAMPLES:
            value = row["raw_data"].get(reason["column"] or MALFORMED)
            count.examples.append(Example.of(row["row_number"], value))
