"""What a column may be, judged by its name and by some of its values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.keys_check import KEY_DTYPES
from config.model import TIMES, Column, Dtype, FileSpec, PiiKind, ReadOptions
from validation.conversions import AS_WRITTEN, clean, convert

FEW = 0.05  # this share of the values may be bad: exports have bad rows
INT4_MAX = 2**31 - 1
LONG_TEXT = 64  # characters of a key at the most; what is longer describes
_PAIRS_OF_BOOL = ({"yes", "no"}, {"y", "n"}, {"t", "f"})
_NAMES_OF_DATE = re.compile(r"date|datum|day|(^|_)(ts|time|timestamp|dt|epoch)($|_)|(_at|_on|_ts|_time)$")
_DAY_IN_DIGITS = r"^(19|20)[0-9]{2}(0[1-9]|1[0-2])([0-2][0-9]|3[01])$"
_EPOCHS = (("epoch", r"^[0-9]{10}(\.[0-9]+)?$"), ("epoch_ms", r"^[0-9]{13}$"))
_UUID = r"(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_NAMES_OF_BOOL = re.compile(r"^(is|has|can|was)_")
_NAMES_OF_PII = (
    (PiiKind.EMAIL, re.compile(r"e?_?mail"), r"^[^@\s]+@[^@\s]+$"),
    (
        PiiKind.PHONE,
        re.compile(r"phone|mobile|msisdn|(^|_)(tel|cell|fax)($|_)"),
        r"^[+(]?[0-9][0-9 ()./_-]{5,20}(\.0)?$",
    ),
    (
        PiiKind.TEXT,
        re.compile(r"national_?id|(^|_)(ssn|nid|iban)($|_)|passport|tax_?id"),
        r"^[A-Za-z0-9 ./-]{5,40}$",
    ),
)
_EMAIL = r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}$"
_MOST = 0.8  # this share of the values must be of a kind that is told by content


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
    if dtype is Dtype.UUID and _any(values, "[A-F]"):
        notes.append(f"{name}: uuids are stored in small letters; to keep capitals, say dtype: str")
    if dtype is Dtype.STR and not is_key and len(values) > 1 and (almost := _almost(values, read)):
        notes.append(almost.format(name=name))
    return Guess(entry, notes=notes)


def blanked(raw: pa.Array) -> pa.Array:
    """Text without blanks around it; what is empty is null."""
    text = pc.utf8_trim_whitespace(raw)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _reference(name: str, values: pa.Array, parent: FileSpec, read: ReadOptions) -> Guess | None:
    """An entry of the type of the parent's key, if the values are such keys."""
    (key,) = parent.schema.key_columns
    if _unfit(key.dtype, values, read):
        return None
    entry: dict[str, Any] = {"name": name, "dtype": key.dtype.value}
    if key.sql_type:
        entry["sql_type"] = key.sql_type
    return Guess(entry, fits_parent=True)


def pii_of(name: str, values: pa.Array) -> PiiKind | None:
    """What kind of personal data it is: by a name that the values bear out, or by content that checks out.

    By content that is e-mails, phone numbers with their country, IBANs and card numbers; a long number or an order
    number is none of them.
    """
    if len(values) == 0 or _is_readable(Dtype.BOOL, values):
        return None
    if _share(values, pc.match_substring_regex(values, _EMAIL)) > _MOST:
        return PiiKind.EMAIL
    for kind, named, form in _NAMES_OF_PII:
        if named.search(name.lower()) and _share(values, pc.match_substring_regex(values, form)) > _MOST:
            return kind
    some = values.slice(0, 200).to_pylist()
    if sum(map(_is_phone_with_country, some)) > _MOST * len(some):
        return PiiKind.PHONE
    if sum(_is_checked_number(value) for value in some) > _MOST * len(some) and len(set(some)) > 2:
        return PiiKind.TEXT
    return None


def _is_phone_with_country(text: str) -> bool:
    if not text.startswith(("+", "00")):
        return False
    import phonenumbers  # here alone: 0.2 s

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(f"+{text.lstrip('+0')}", None)))
    except phonenumbers.NumberParseException:
        return False


def _is_checked_number(text: str) -> bool:
    """An IBAN or the number of a card, by their check digits."""
    from stdnum import iban, luhn

    if re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9 ]{11,30}", text):
        return bool(iban.is_valid(text))
    digits = re.sub(r"[ -]", "", text)
    return re.fullmatch(r"[3-6][0-9]{14,15}", digits) is not None and bool(luhn.is_valid(digits))


def may_be_key(text: pa.Array) -> bool:
    """Can the values be keys? Not amounts, times, truth values, or texts that describe."""
    values = text.drop_null()
    if len(values) == 0 or pc.max(pc.utf8_length(values)).as_py() > LONG_TEXT:
        return False
    if _share(values, pc.match_substring_regex(values, r"\s")) > _MOST:
        return False
    some = values.slice(0, 1000)
    whole = _mostly(Dtype.INT, some)
    if _mostly(Dtype.BOOL, some) or _mostly(Dtype.DATETIME, some):
        return whole
    return whole or not (
        _mostly(Dtype.FLOAT, some) or (_all(some, r"^[^A-Za-z]*[0-9][^A-Za-z]*$") and _any(some, "[.,$€%:]"))
    )


def _dtype(name: str, text: pa.Array, values: pa.Array, *, is_key: bool, read: ReadOptions) -> Dtype:
    """The narrowest type that reads each of the values.

    One leading zero makes it text: a number would lose it. pandas writes whole numbers as 464.0 where the column
    has gaps, or had some: an id is one all the same.
    """
    if _is_bool(name, values):
        return Dtype.BOOL
    zeros = _any(values, r"^[+-]?0[0-9]")
    if (zeros and not _any(values, "[-:.,/]")) or _is_number_by_chance(values):
        return Dtype.STR
    if _is_readable(Dtype.INT, values, read):
        if _is_day_in_digits(name, values, read):
            return Dtype.DATE
        fraction = _share(values, pc.match_substring(values, ".")) > FEW and read.thousands != "."
        is_id = is_key or name.lower().endswith("id")
        is_money = read.currency and _any(values, "[^0-9.,' +-]")  # which has decimals in the next file
        is_int = is_id or not fraction or len(values) < len(text)
        return Dtype.INT if is_int and not is_money else Dtype.FLOAT
    if not zeros and _is_readable(Dtype.FLOAT, values, read):
        return Dtype.STR if _all(values, r"^[+-]?[0-9]+$") else Dtype.FLOAT  # text: longer than any count
    return _dtype_of_times(values, read)


def _dtype_of_times(values: pa.Array, read: ReadOptions) -> Dtype:
    """Dates and times, else uuids and text."""
    if _reads(Dtype.DATETIME, values, read) and not _all(values, "^[0-9]+$"):
        return Dtype.DATETIME if _any(values, ":") or not _reads(Dtype.DATE, values, read) else Dtype.DATE
    if _reads(Dtype.TIME, values, read):
        return Dtype.TIME
    return Dtype.UUID if _all(values, _UUID) else Dtype.STR


def _is_day_in_digits(name: str, values: pa.Array, read: ReadOptions) -> bool:
    """20250701, in a column that is called so."""
    named = _NAMES_OF_DATE.search(name.lower())
    return named is not None and _all(values, _DAY_IN_DIGITS) and _reads(Dtype.DATE, values, read)


def _is_bool(name: str, values: pa.Array) -> bool:
    """Truth values by their words, both of them where one alone is something else as well (no, f)."""
    if not _is_readable(Dtype.BOOL, values):
        return False
    if _NAMES_OF_BOOL.match(name):
        return True
    words = {word.lower() for word in pc.unique(values).to_pylist()}
    return words <= {"true", "false"} or any(words == pair for pair in _PAIRS_OF_BOOL)


def _is_number_by_chance(values: pa.Array) -> bool:
    """Codes that read as numbers: a + before many digits, as of phones; 12E4 and no fraction at all."""
    if _any(values, r"^\+[0-9]{7,}$"):
        return True
    return _any(values, r"^[0-9]+E[0-9]+$") and not _any(values, r"[.+-]")


def _epoch(name: str, values: pa.Array) -> str | None:
    """`epoch` or `epoch_ms`, where whole numbers may be times by their name and their size."""
    if not _NAMES_OF_DATE.search(name.lower()):
        return None
    return next((unit for unit, form in _EPOCHS if _all(values, form)), None)


def _almost(values: pa.Array, read: ReadOptions) -> str | None:
    """What to say of texts of which nearly all are numbers or dates."""
    for dtype in (Dtype.INT, Dtype.FLOAT, Dtype.DATETIME):
        unfit = _unfit(dtype, values, read)
        if 0 < unfit <= FEW * len(values) and not _any(values, r"^[+-]?0[0-9]"):
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
    if dtype is Dtype.DATETIME and _any(values, r"(?i)(:[0-9.]+ ?([+-][0-9]{2}(:?[0-9]{2})?|Z|UTC|GMT))$"):
        return {"sql_type": "timestamptz"}
    if dtype is not Dtype.INT:
        return {}
    bounds = pc.min_max(convert(Column(name="x", dtype=dtype), values, read).values).as_py()
    large = max(abs(bounds["min"]), abs(bounds["max"])) > INT4_MAX // 1000
    return {"sql_type": "bigint"} if large or name.lower().endswith("id") else {}


def _is_readable(dtype: Dtype, values: pa.Array, read: ReadOptions = AS_WRITTEN) -> bool:
    return _unfit(dtype, values, read) == 0


def _reads(dtype: Dtype, values: pa.Array, read: ReadOptions) -> bool:
    """The same for dates and times, quick where the first of them are none."""
    return _unfit(dtype, values.slice(0, 20), read) == 0 and _unfit(dtype, values, read) == 0


def _unfit(dtype: Dtype, values: pa.Array, read: ReadOptions = AS_WRITTEN) -> int:
    """How many of `values` can't be read as `dtype`."""
    column = Column(name="x", dtype=dtype, sql_type="numeric" if dtype is Dtype.FLOAT else None)
    found = convert(column, values, read)
    bad = found.unreadable
    for mask in (found.beyond, found.ambiguous):
        bad = pc.or_(bad, pc.fill_null(mask, fill_value=False)) if mask is not None else bad
    return int(pc.sum(bad).as_py() or 0)


def _mostly(dtype: Dtype, values: pa.Array) -> bool:
    return _unfit(dtype, values) <= FEW * len(values)


def _any(values: pa.Array, form: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, form)).as_py())


def _all(values: pa.Array, form: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, form)).as_py())


def _share(values: pa.Array, mask: pa.Array) -> float:
    return float(pc.sum(mask).as_py() or 0) / len(values)
