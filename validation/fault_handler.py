"""Rejections → rows of the quarantine table, and lines of its CSV backup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from config.file_spec import FileSpec
from config.model import Stage
from validation.batch import Reason, Rejection
from validation.pii_handler import PiiHandler

BACKUP_COLUMNS = (
    "quarantine_id",
    "file_id",
    "row_number",
    "source_file",
    "source_table",
    "rejection_stage",
    "rejection_reason",
    "reasons",
    "raw_data",
    "quarantined_at",
)
_OF_GOOD_VALUES = frozenset({"duplicate", "parent_missing"})  # what is held against the row, not against the value
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def quarantine_row(rejection: Rejection, spec: FileSpec, pii: PiiHandler) -> dict[str, Any]:
    """The row of the quarantine table: number, stage, reason (text), reasons and raw_data (JSON text), masked."""
    unfit = {reason.column for reason in rejection.reasons if reason.rule not in _OF_GOOD_VALUES}
    raw = pii.mask_raw(spec, rejection.raw, strays=rejection.stage is not Stage.ORPHAN, unfit=unfit)
    return {
        "row_number": rejection.number,
        **reason_fields(rejection.reasons),
        "raw_data": to_json(raw),
    }


def reason_fields(reasons: Sequence[Reason]) -> dict[str, str]:
    """The columns of the quarantine table that say why: rejection_stage, rejection_reason, reasons (JSON text)."""
    listed = [{"stage": r.stage.value, "rule": r.rule, "column": r.column or None} for r in reasons]
    return {
        "rejection_stage": reasons[0].stage.value,
        "rejection_reason": "; ".join(f"{r.column}: {r.rule}" if r.column else r.rule for r in reasons),
        "reasons": json_text(listed),
    }


def to_json(raw: dict[str, Any]) -> str:
    """JSON that a JSONB column takes; a NUL or lone surrogate, which it can't hold, becomes its escape as text."""
    try:
        text = json_text(raw)
    except UnicodeEncodeError:
        return json_text(_storable(raw))
    return json_text(_storable(raw)) if r"\u0000" in text else text


def json_text(value: Any) -> str:
    """`value` as JSON text. Raises UnicodeEncodeError where it holds a lone surrogate."""
    return msgspec.json.encode(value).decode()


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_storable(k): _storable(v) for k, v in value.items()}
    return value


def backup_line(row: Sequence[Any]) -> list[str]:
    """One line of the CSV backup; a cell that a spreadsheet would run as a formula gets a leading apostrophe."""
    return [defused("" if cell is None else str(cell)) for cell in row]


def defused(cell: str) -> str:
    """`cell`, harmless in a spreadsheet."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def fused(cell: str) -> str:
    """What `defused` made harmless, as it was."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell
