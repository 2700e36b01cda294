"""Names that need no quotes in SQL, made of what files call their columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from config.key import ROW_COLUMN, ROW_KEY
from config.table_names import LINEAGE_COLUMNS, MALFORMED_COLUMN, SYSTEM_COLUMNS

LONGEST = 60  # bytes: PostgreSQL has 63, and a second one of the name gets a number
_OURS = {
    *LINEAGE_COLUMNS,
    *SYSTEM_COLUMNS,
    MALFORMED_COLUMN,
    ROW_COLUMN,
    ROW_KEY,
    "_extra",
    "_gone_at",
    "_placeholder",
}
_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "đ": "d"})


def tidy(name: str) -> str:
    """`Order No.` → `order_no`, `AnnualIncome` → `annual_income`, `Größe` → `grosse`, `1960` → `_1960`.

    Letters of other scripts stay. '' where there is none, nor a digit.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip().replace("%", " pct "))
    plain = unicodedata.normalize("NFKD", words).casefold().translate(_LETTERS)
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
    plain = re.sub(r"[\W_]+", "_", plain).strip("_")
    if not plain:
        return ""
    plain = _cut(f"_{plain}" if plain[0].isdigit() else plain)
    return f"{plain}_" if plain in _OURS else plain


def tidy_names(names: Sequence[str]) -> list[str]:
    """A name of its own for each: of those that would be the same, all but the first get a number."""
    found: list[str] = []
    for place, name in enumerate(names, 1):
        plain = name if is_plain(name) else tidy(name) or f"column_{place}"
        numbered, number = plain, 1
        while numbered in found:
            number += 1
            numbered = f"{plain}_{number}"
        found.append(numbered)
    return found


def is_plain(name: str) -> bool:
    """Can a column of a table be called so as it is?"""
    return re.fullmatch(r"[a-z_][a-z0-9_]*", name) is not None and len(name) <= LONGEST and name not in _OURS


def _cut(name: str) -> str:
    """At most LONGEST bytes, and whole words where there are some."""
    if len(name.encode()) <= LONGEST:
        return name
    short = name.encode()[:LONGEST].decode(errors="ignore")
    return short.rpartition("_")[0] or short
