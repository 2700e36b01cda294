"""Names that a table or its columns can't have: the pipeline's own, PostgreSQL's, and what is no name."""

from __future__ import annotations

from collections.abc import Iterator

_LONGEST_NAME = 63  # bytes, PostgreSQL cuts what is longer
RESERVED_TABLES = frozenset(
    {
        *("dim_date", "dim_time", "quarantine", "quarantine_history", "orphan_wait", "true_orphan"),
        *("pipeline_file_log", "pipeline_meta", "contract_breach", "erased", "drift", "file_keys"),
        *("file_warning", "warned_row", "column_profile"),
    }
)
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})  # PostgreSQL's, on every table
LINEAGE_COLUMNS = ("_file_id", "_loaded_at")  # on every table: which file, when
MALFORMED_COLUMN = "_malformed"  # what quarantine calls the text of a record that can't be split


def stored_name_problems(name: str) -> Iterator[str]:
    """Why no column of a table can be called so."""
    if name in LINEAGE_COLUMNS:
        yield f"{name!r} is a name that the pipeline uses itself"
    if name in SYSTEM_COLUMNS:
        yield f"{name!r} is PostgreSQL's own in every table"
    if not is_text(name) or "\0" in name:
        yield "the name of a column in a table is text, without the character NUL"
    elif (size := len(name.encode())) > _LONGEST_NAME:
        yield f"its name has {size} bytes, and that of a column in a table {_LONGEST_NAME} at most"


def is_text(name: str) -> bool:
    """Can the name be written as UTF-8? Halves of surrogate pairs can't."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
