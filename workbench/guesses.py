"""What a column may be, judged by its name and by some of its values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Column, Dtype, FileSpec, PiiKind, ReadOptions
from validation.conversions import clean, convert
from validation.rules import RULES
from validation.strays import looks_personal

AS_EXPORTED = ReadOptions(null_values=("", "nan", "null", "none", "na", "n/a"), trim=True)
FEW = 0.05  # this share of the values may be bad: exports have bad rows
MAX_SET = 8  # distinct values of a value set
ROWS_A_VALUE = 5  # and each comes at least so often, on the average
LENGTHS = (10, 20, 36, 50, 100, 200, 500)  # of varchar; 36 is a UUID
INT4_MAX = 2**31 - 1
_WORDS_OF_BOOL = r"(?i)^(true|false|yes|no|t|f|y|n)$"
_NAMES_OF_BOOL = re.compile(r"^(is|has|can|was)_")
_NAMES_OF_PII = (
    (PiiKind.EMAIL, re.compile(r"e?_?mail")),
    (PiiKind.PHONE, re.compile(r"phone|mobile|msisdn|(^|_)(tel|cell)($|_)")),
    (PiiKind.TEXT, re.compile(r"national_?id|ssn|passport|(^|_)(nid|iban)($|_)|tax_?id|birth")),
)


@dataclass
class Guess:
    """A column's entry of the YAML; whether it can refer to the parent; what the reader should look at."""

    entry: dict[str, Any]
    fits_parent: bool = False
    notes: list[str] = field(default_factory=list)


def guess(name: str, raw: pa.Array, *, is_key: bool, parent: FileSpec | None) -> Guess:
    """Judge the column `name` by `raw`, its text. `parent` is the spec whose key has this name."""
    text = clean(raw, AS_EXPORTED)
    values = text.drop_null()
    if len(values) == 0:
        unknown = {"name": name, "dtype": "str", "sql_type": "text"}
        return Guess(unknown, notes=[f"{name}: no value in the rows read; its type is not known"])
    if parent is not None and (found := _reference(name, raw, text, parent)) is not None:
        return found
    pii = None if is_key else pii_of(name, values)
    dtype = Dtype.STR if pii else _dtype(name, raw, values)
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
        entry |= _limits(dtype, raw, values, is_key=is_key)
    if rules := _rules(dtype, values, pii, full=text.null_count == 0):
        entry["rules"] = rules
    return Guess(entry, notes=notes)


def _reference(name: str, raw: pa.Array, text: pa.Array, parent: FileSpec) -> Guess | None:
    """An entry of the type of the parent's key, if the values are such keys."""
    key = parent.schema.key
    if _share(text, convert(key, raw).unreadable) > FEW:
        return None
    entry: dict[str, Any] = {"name": name, "dtype": key.dtype.value}
    if key.sql_type:
        entry["sql_type"] = key.sql_type
    rules: dict[str, Any] = {"required": True} if text.null_count == 0 else {}
    if "at_least" in key.rules:
        rules["at_least"] = key.rules["at_least"]
    if rules:
        entry["rules"] = rules
    return Guess(entry, fits_parent=True)


def pii_of(name: str, values: pa.Array) -> PiiKind | None:
    """By content first: most values are e-mails or mobile numbers; then by name; then by what looks personal."""
    if _share(values, RULES["email"].broken(values, True, {})) < 0.2:
        return PiiKind.EMAIL
    if _share(values, RULES["egyptian_mobile"].broken(values, True, {})) < 0.2:
        return PiiKind.PHONE
    if _is_readable(Dtype.BOOL, values) or _is_readable(Dtype.DATETIME, values):
        return PiiKind.TEXT if "birth" in name.lower() else None
    by_name = next((kind for kind, pattern in _NAMES_OF_PII if pattern.search(name.lower())), None)
    if by_name is not None or name.lower().endswith(("_id", "_key", "_code")):
        return by_name
    if _share(values, pc.invert(pc.match_substring_regex(values, r"^[0-9]{14,15}$"))) < 0.2:
        return PiiKind.TEXT
    strayed = sum(looks_personal(value) for value in values.slice(0, 200).to_pylist() if not _is_number(value))
    return PiiKind.TEXT if strayed > min(len(values), 200) / 2 else None


def _dtype(name: str, raw: pa.Array, values: pa.Array) -> Dtype:
    """The narrowest type that reads the values. Digits with a leading zero are text: a number would lose it."""
    if _is_readable(Dtype.BOOL, values):
        words = pc.match_substring_regex(values, _WORDS_OF_BOOL)
        if _share(values, words) >= 1 - FEW or _NAMES_OF_BOOL.match(name):
            return Dtype.BOOL
    if _share(values, pc.match_substring_regex(values, r"^[+-]?0[0-9]")) > FEW:
        return Dtype.STR
    fraction = _share(values, pc.match_substring(values, ".")) > FEW
    gaps = len(values) < len(raw)  # pandas writes whole numbers as 464.0 where the column has gaps
    if _is_readable(Dtype.INT, values) and (gaps or not fraction):
        return Dtype.INT
    if _is_readable(Dtype.FLOAT, values):
        return Dtype.FLOAT
    return Dtype.DATETIME if _is_readable(Dtype.DATETIME, values) else Dtype.STR


def _limits(dtype: Dtype, raw: pa.Array, values: pa.Array, *, is_key: bool) -> dict[str, Any]:
    """sql_type and allowed_values, with headroom."""
    if dtype is Dtype.INT:
        numbers = convert(Column(name="x", dtype=dtype), raw).values
        bounds = pc.min_max(numbers).as_py()
        large = max(abs(bounds["min"]), abs(bounds["max"])) > INT4_MAX // 4
        return {"sql_type": "bigint"} if large else {}
    if dtype is Dtype.FLOAT:
        return _numeric(values.filter(pc.invert(convert(Column(name="x", dtype=dtype), values).unreadable)))
    if dtype is not Dtype.STR:
        return {}
    longest = pc.max(pc.utf8_length(values)).as_py()
    fixed = pc.min(pc.utf8_length(values)).as_py() == longest and longest == 36
    length = 36 if fixed else next((n for n in LENGTHS if n >= 1.5 * longest), None)
    limits: dict[str, Any] = {"sql_type": f"varchar({length})" if length else "text"}
    distinct = sorted(pc.unique(values).to_pylist())
    if (
        not is_key
        and len(distinct) <= MAX_SET
        and len(values) >= ROWS_A_VALUE * len(distinct)
        and len(distinct) > 1
    ):
        limits["allowed_values"] = distinct
    return limits


def _numeric(values: pa.Array) -> dict[str, Any]:
    """numeric(p,s) with two more digits before the point; double precision for exponents and long fractions."""
    if _has(pc.match_substring_regex(values, "[eE]")):
        return {}
    parts = [str(value).lstrip("+-").partition(".") for value in values.to_pylist()]
    scale = max([2, *(len(fraction.rstrip("0")) for _, _, fraction in parts)])
    if scale > 6:
        return {}
    return {"sql_type": f"numeric({max(len(whole) for whole, _, _ in parts) + 2 + scale},{scale})"}


def _rules(dtype: Dtype, values: pa.Array, pii: PiiKind | None, *, full: bool) -> dict[str, Any]:
    """Rules that every value read keeps."""
    rules: dict[str, Any] = {"required": True} if full else {}
    if dtype in {Dtype.INT, Dtype.FLOAT}:
        numbers = convert(Column(name="x", dtype=dtype), values).values
        if _share(values, pc.less(numbers, 0)) <= FEW:
            rules["at_least"] = 0
    for kind, rule in ((PiiKind.EMAIL, "email"), (PiiKind.PHONE, "egyptian_mobile")):
        if pii is kind and _share(values, RULES[rule].broken(values, True, {})) < 0.2:
            rules[rule] = True
    lengths = pc.unique(pc.utf8_length(values))
    if pii is PiiKind.TEXT and len(lengths) == 1 and len(values) > 1:
        rules["exact_length"] = lengths[0].as_py()
    return rules


def _is_readable(dtype: Dtype, values: pa.Array) -> bool:
    return _unfit(dtype, values) <= FEW * len(values)


def _unfit(dtype: Dtype, values: pa.Array) -> int:
    """How many of `values` can't be read as `dtype`."""
    return int(pc.sum(convert(Column(name="x", dtype=dtype), values).unreadable).as_py() or 0)


def _has(mask: pa.Array) -> bool:
    return bool(pc.any(mask).as_py())


def _share(values: pa.Array, mask: pa.Array) -> float:
    return float(pc.sum(mask).as_py() or 0) / len(values)


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?", value) is not None
