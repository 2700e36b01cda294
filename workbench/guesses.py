"""What a column may be, judged by its name and by some of its values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Column, Dtype, FileSpec, PiiKind
from validation.conversions import convert

FEW = 0.05  # this share of the values may be bad: exports have bad rows
INT4_MAX = 2**31 - 1
LONG_TEXT = 64  # characters of a key at the most; what is longer describes
_WORDS_OF_BOOL = r"(?i)^(true|false|yes|no|t|f|y|n)$"
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


def guess(name: str, raw: pa.Array, *, is_key: bool, parent: FileSpec | None) -> Guess:
    """Judge the column `name` by `raw`, its text. `parent` is the spec that it may refer to.

    What is proposed must hold in the next file, too: no bounds, value sets or lengths are made from what some rows
    happen to hold.
    """
    text = blanked(raw)
    values = text.drop_null()
    if len(values) == 0:
        unknown = {"name": name, "dtype": "str", "sql_type": "text"}
        return Guess(unknown, notes=[f"{name}: no value in the rows read; its type is not known"])
    if parent is not None and (found := _reference(name, raw, parent)) is not None:
        return found
    pii = None if is_key else pii_of(name, values)
    dtype = Dtype.STR if pii else _dtype(name, raw, values, is_key=is_key)
    if is_key and dtype not in {Dtype.INT, Dtype.STR}:
        dtype = Dtype.STR
    entry: dict[str, Any] = {"name": name, "dtype": dtype.value}
    if is_key:
        entry["nullable"] = False
    notes = []
    if unfit := _unfit(dtype, values):
        notes.append(f"{name}: {unfit} of the values read are no {dtype.value}; they would be refused")
    if pii is not None:
        entry["pii"] = pii.value
        notes.append(f"{name}: taken for personal data ({pii.value}); it would be stored as a hash")
    else:
        entry |= _sql_type(name, dtype, raw)
        if "birth" in name.lower() and dtype in {Dtype.STR, Dtype.DATETIME}:
            entry["personal"] = True
    return Guess(entry, notes=notes)


def blanked(raw: pa.Array) -> pa.Array:
    """Text without blanks around it; what is empty is null."""
    text = pc.utf8_trim_whitespace(raw)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _reference(name: str, raw: pa.Array, parent: FileSpec) -> Guess | None:
    """An entry of the type of the parent's key, if the values are such keys."""
    (key,) = parent.schema.key_columns
    if _unfit(key.dtype, blanked(raw).drop_null()) > FEW * len(raw):
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
    if any(_is_readable(dtype, values) for dtype in (Dtype.BOOL, Dtype.DATETIME)):
        return _is_readable(Dtype.INT, values)
    return _is_readable(Dtype.INT, values) or not _is_readable(Dtype.FLOAT, values)


def _dtype(name: str, raw: pa.Array, values: pa.Array, *, is_key: bool) -> Dtype:
    """The narrowest type that reads the values. One leading zero makes it text: a number would lose it.

    pandas writes whole numbers as 464.0 where the column has gaps, or had some: an id is one all the same.
    """
    if _is_readable(Dtype.BOOL, values):
        words = pc.match_substring_regex(values, _WORDS_OF_BOOL)
        if _share(values, words) >= 1 - FEW or _NAMES_OF_BOOL.match(name):
            return Dtype.BOOL
    if pc.any(pc.match_substring_regex(values, r"^[+-]?0[0-9]")).as_py():
        return Dtype.STR
    fraction = _share(values, pc.match_substring(values, ".")) > FEW
    is_id = is_key or name.lower().endswith("id")
    if _is_readable(Dtype.INT, values) and (is_id or not fraction or len(values) < len(raw)):
        return Dtype.INT
    if _is_readable(Dtype.FLOAT, values):
        return Dtype.FLOAT
    return Dtype.DATETIME if _is_readable(Dtype.DATETIME, values) else Dtype.STR


def _sql_type(name: str, dtype: Dtype, raw: pa.Array) -> dict[str, Any]:
    """A type that is wide enough for what may come."""
    if dtype is Dtype.FLOAT:
        return {"sql_type": "numeric"}
    if dtype is not Dtype.INT:
        return {}
    bounds = pc.min_max(convert(Column(name="x", dtype=dtype), raw).values).as_py()
    large = max(abs(bounds["min"]), abs(bounds["max"])) > INT4_MAX // 1000
    return {"sql_type": "bigint"} if large or name.lower().endswith("id") else {}


def _is_readable(dtype: Dtype, values: pa.Array) -> bool:
    return _unfit(dtype, values) <= FEW * len(values)


def _unfit(dtype: Dtype, values: pa.Array) -> int:
    """How many of `values` can't be read as `dtype`."""
    return int(pc.sum(convert(Column(name="x", dtype=dtype), values).unreadable).as_py() or 0)


def _share(values: pa.Array, mask: pa.Array) -> float:
    return float(pc.sum(mask).as_py() or 0) / len(values)
