"""What a column may be, judged by its name and by some of its values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.file_spec import FileSpec
from config.keys_check import KEY_DTYPES
from config.model import TIMES, Dtype
from config.read_options import ReadOptions
from config.schema import Column
from validation.conversions import AS_WRITTEN, clean, convert
from workbench.pii_guess import pii_of
from workbench.value_tests import FEW, all_like, any_like, blanked, count_unfit, is_readable, reads, share

INT4_MAX = 2**31 - 1
_PAIRS_OF_BOOL = ({"yes", "no"}, {"y", "n"}, {"t", "f"})
_NAMES_OF_DATE = re.compile(r"date|datum|day|(^|_)(ts|time|timestamp|dt|epoch)($|_)|(_at|_on|_ts|_time)$")
_DAY_IN_DIGITS = r"^(19|20)[0-9]{2}(0[1-9]|1[0-2])([0-2][0-9]|3[01])$"
_EPOCHS = (("epoch", r"^[0-9]{10}(\.[0-9]+)?$"), ("epoch_ms", r"^[0-9]{13}$"))
_UUID = r"(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_NAMES_OF_BOOL = re.compile(r"^(is|has|can|was)_")


@dataclass
class Guess:
    """A column's entry of the YAML; whether it can refer to the parent; what the reader should look at."""

    entry: dict[str, Any]
    fits_parent: bool = False
    notes: list[str] = field(default_factory=list)


def guess(
    name: str,
    raw: pa.Array,
    *,
    is_key: bool,
    parent: FileSpec | None,
    read: ReadOptions = AS_WRITTEN,
    formats: tuple[str, ...] = (),
) -> Guess:
    """Judge the column `name` by `raw`, its text. `parent` is the spec that it may refer to.

    What is proposed must hold in the next file, too: no bounds, value sets or lengths are made from what some rows
    happen to hold. A type is proposed that reads each value; `read` is how the file writes them, and `formats`
    how the column writes its dates, where that is known.
    """
    text = clean(blanked(raw), read)
    values = text.drop_null()
    if len(values) == 0:
        return Guess({"name": name, "dtype": "str"}, notes=[f"{name}: no value in the rows read; taken for text"])
    if parent is not None and (found := _reference(name, values, parent, read)) is not None:
        return found
    pii = None if is_key else pii_of(name, values)
    if pii is not None:
        entry = {"name": name, "dtype": "str", "pii": pii.value}
        return Guess(entry, notes=[f"{name}: taken for personal data ({pii.value}); it would be stored as a hash"])
    return _typed(name, text, values, is_key=is_key, read=read, formats=formats)


def _typed(
    name: str, text: pa.Array, values: pa.Array, *, is_key: bool, read: ReadOptions, formats: tuple[str, ...]
) -> Guess:
    dtype = _dtype(name, text, values, is_key=is_key, read=read)
    notes = []
    if formats and dtype is Dtype.STR:
        dtype = Dtype.DATETIME if any("%H" in one or "%I" in one for one in formats) else Dtype.DATE
    else:
        formats = ()
    if is_key and dtype not in KEY_DTYPES:
        dtype = Dtype.STR
    entry: dict[str, Any] = {"name": name, "dtype": dtype.value}
    if is_key:
        entry["nullable"] = False
    if formats:
        entry["format"] = formats[0] if len(formats) == 1 else list(formats)
    entry |= _sql_type(name, dtype, values, read)
    if "birth" in name.lower() and dtype in {Dtype.STR, *TIMES} and not is_key:
        entry["personal"] = True
    if dtype is Dtype.INT and (unit := _epoch(name, values)):
        to = f"dtype: datetime, format: {unit}"
        since = "seconds" if unit == "epoch" else "milliseconds"
        notes.append(f"{name}: kept as whole numbers; if they are {since} since 1970, say {to}")
    if dtype is Dtype.UUID and any_like(values, "[A-F]"):
        notes.append(f"{name}: uuids are stored in small letters; to keep capitals, say dtype: str")
    if dtype is Dtype.STR and not is_key and len(values) > 1 and (almost := _almost(values, read)):
        notes.append(almost.format(name=name))
    return Guess(entry, notes=notes)


def _reference(name: str, values: pa.Array, parent: FileSpec, read: ReadOptions) -> Guess | None:
    """An entry of the type of the parent's key, if the values are such keys."""
    (key,) = parent.schema.key_columns
    if count_unfit(key.dtype, values, read):
        return None
    entry: dict[str, Any] = {"name": name, "dtype": key.dtype.value}
    if key.sql_type:
        entry["sql_type"] = key.sql_type
    return Guess(entry, fits_parent=True)


def _dtype(name: str, text: pa.Array, values: pa.Array, *, is_key: bool, read: ReadOptions) -> Dtype:
    """The narrowest type that reads each of the values.

    One leading zero makes it text: a number would lose it. pandas writes whole numbers as 464.0 where the column
    has gaps, or had some: an id is one all the same.
    """
    if _is_bool(name, values):
        return Dtype.BOOL
    zeros = any_like(values, r"^[+-]?0[0-9]")
    if (zeros and not any_like(values, "[-:.,/]")) or _is_number_by_chance(values):
        return Dtype.STR
    if is_readable(Dtype.INT, values, read):
        if _is_day_in_digits(name, values, read):
            return Dtype.DATE
        fraction = share(values, pc.match_substring(values, ".")) > FEW and read.thousands != "."
        is_id = is_key or name.lower().endswith("id")
        is_money = read.currency and any_like(values, "[^0-9.,' +-]")  # which has decimals in the next file
        is_int = is_id or not fraction or len(values) < len(text)
        return Dtype.INT if is_int and not is_money else Dtype.FLOAT
    if not zeros and is_readable(Dtype.FLOAT, values, read):
        return Dtype.STR if all_like(values, r"^[+-]?[0-9]+$") else Dtype.FLOAT  # text: longer than any count
    return _dtype_of_times(values, read)


def _dtype_of_times(values: pa.Array, read: ReadOptions) -> Dtype:
    """Dates and times, else uuids and text."""
    if reads(Dtype.DATETIME, values, read) and not all_like(values, "^[0-9]+$"):
        return Dtype.DATETIME if any_like(values, ":") or not reads(Dtype.DATE, values, read) else Dtype.DATE
    if reads(Dtype.TIME, values, read):
        return Dtype.TIME
    return Dtype.UUID if all_like(values, _UUID) else Dtype.STR


def _is_day_in_digits(name: str, values: pa.Array, read: ReadOptions) -> bool:
    """20250701, in a column that is called so."""
    named = _NAMES_OF_DATE.search(name.lower())
    return named is not None and all_like(values, _DAY_IN_DIGITS) and reads(Dtype.DATE, values, read)


def _is_bool(name: str, values: pa.Array) -> bool:
    """Truth values by their words, both of them where one alone is something else as well (no, f)."""
    if not is_readable(Dtype.BOOL, values):
        return False
    if _NAMES_OF_BOOL.match(name):
        return True
    words = {word.lower() for word in pc.unique(values).to_pylist()}
    return words <= {"true", "false"} or any(words == pair for pair in _PAIRS_OF_BOOL)


def _is_number_by_chance(values: pa.Array) -> bool:
    """Codes that read as numbers: a + before many digits, as of phones; 12E4 and no fraction at all."""
    if any_like(values, r"^\+[0-9]{7,}$"):
        return True
    return any_like(values, r"^[0-9]+E[0-9]+$") and not any_like(values, r"[.+-]")


def _epoch(name: str, values: pa.Array) -> str | None:
    """`epoch` or `epoch_ms`, where whole numbers may be times by their name and their size."""
    if not _NAMES_OF_DATE.search(name.lower()):
        return None
    return next((unit for unit, form in _EPOCHS if all_like(values, form)), None)


def _almost(values: pa.Array, read: ReadOptions) -> str | None:
    """What to say of texts of which nearly all are numbers or dates."""
    for dtype in (Dtype.INT, Dtype.FLOAT, Dtype.DATETIME):
        unfit = count_unfit(dtype, values, read)
        if 0 < unfit <= FEW * len(values) and not any_like(values, r"^[+-]?0[0-9]"):
            extra = ", sql_type: numeric" if dtype is Dtype.FLOAT else ""
            return (
                f"{{name}}: text, for {unfit} of the {len(values)} values read are no {dtype.value}; with "
                f"dtype: {dtype.value}{extra} their rows would be refused"
            )
    return None


def _sql_type(name: str, dtype: Dtype, values: pa.Array, read: ReadOptions) -> dict[str, Any]:
    """A type that is wide enough for what may come."""
    if dtype is Dtype.FLOAT:
        return {"sql_type": "numeric"}
    if dtype is Dtype.DATETIME and any_like(values, r"(?i)(:[0-9.]+ ?([+-][0-9]{2}(:?[0-9]{2})?|Z|UTC|GMT))$"):
        return {"sql_type": "timestamptz"}
    if dtype is not Dtype.INT:
        return {}
    bounds = pc.min_max(convert(Column(name="x", dtype=dtype), values, read).values).as_py()
    large = max(abs(bounds["min"]), abs(bounds["max"])) > INT4_MAX // 1000
    return {"sql_type": "bigint"} if large or name.lower().endswith("id") else {}
