"""What the oracle knows of columns: the YAML's kinds of file, and how one value is judged."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import math
import re
import unicodedata
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from tests.acceptance.oracle_origins import Origins, read_origins

BOOLS = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "t", "y"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "f", "n"), False),
}
INT = re.compile(r"[+-]?[0-9]+(?:\.0+)?")
FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
DATETIME = re.compile(  # the year first is never mistaken; without colons there are seconds
    r"([0-9]{4})(?:([-/])([0-9]{2})\2([0-9]{2})|([0-9]{2})([0-9]{2}))"
    r"(?:[ T](?:([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"|([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]{1,9}))?)"
    r"(?: ?(Z|UTC|GMT|z|[Uu][Tt][Cc]|[Gg][Mm][Tt])| ?([+-][0-9]{2}(?::?[0-9]{2})?))?)?"
)
EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
UNSEEN = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e")
EGYPTIAN_MOBILE = re.compile(r"01[0125][0-9]{8}|1[0125][0-9]{8}")
FINER = re.compile(r"\.[0-9]{6}([0-9]+)")  # than a microsecond
BITS = {"smallint": 16, "integer": 32, "bigint": 64}


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the YAML has it; `sql` is e.g. ('numeric', 10, 2)."""

    name: str
    dtype: str
    nullable: bool
    allowed: tuple[str, ...] | None
    sql: tuple[Any, ...]
    pii: str | None
    target: str
    rules: dict[str, Any]
    rounds: bool
    default: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`columns` refer to the columns `to` of the kind of file `parent`."""

    columns: tuple[str, ...]
    parent: str
    to: tuple[str, ...]

    @property
    def label(self) -> str:
        return ", ".join(self.columns)


@dataclass(frozen=True, slots=True)
class VersionOf:
    """A derived column: which version of `parent` was in force at the row's time."""

    column: str
    parent: str
    by: str
    at: str


@dataclass(frozen=True, slots=True)
class Spec:
    """One kind of file. `key` is empty where rows have none. `keys` are the columns that are of any key."""

    name: str
    feed: str
    pattern: str
    table: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    foreign_keys: tuple[ForeignKey, ...]
    keys: frozenset[str]
    unique: tuple[tuple[str, ...], ...]  # to which others refer, beside the key
    nulls: frozenset[str]  # words that mean null, in lower case
    trims: bool
    origins: Origins
    delimiter: str = ","
    newer_by: str | None = None  # where newer rows replace older ones
    replaces: bool = False  # so they do; without a time of their own, those of later files
    keeps_history: bool = False
    track: tuple[str, ...] = ()
    versions: tuple[VersionOf, ...] = ()

    @property
    def goes_by_file(self) -> bool:
        """Is the later file newer?"""
        return self.replaces and self.newer_by is None

    def stored(self, column: str) -> str:
        return next(item.target for item in self.columns if item.name == column)


def meaning(text: str | None, column: Column, spec: Spec) -> str | None:
    """The text of a field as it is judged, or None where it means null."""
    if text is None or text.strip().lower() in spec.nulls:
        return None
    if column.dtype != "str" or column.name in spec.keys or column.pii:
        text = text.strip() or None
    elif spec.trims:
        text = text.strip()
    return _personal(text, column.pii) if text and column.pii else text


def _personal(text: str, kind: str) -> str:
    """Without what nobody sees; a whole number without `.0`, a phone without what is between its digits."""
    text = "".join(c for c in unicodedata.normalize("NFKC", text) if c not in UNSEEN).strip()
    if kind == "email":
        return text
    whole, _, zeros = text.partition(".")
    if whole.isascii() and whole.isdigit() and zeros and not zeros.strip("0"):
        text = whole
    if kind == "phone":
        bare = "".join(c for c in text if not (c.isspace() or c in "()[]{}./\\_-\u2010\u2212"))
        number = bare.removeprefix("+")
        return bare if number.isascii() and number.isdigit() else text
    return text


def judge_value(column: Column, text: str | None) -> tuple[Any, list[str]]:
    """The value of a text that means something, and what the schema stage finds wrong with it."""
    if text is None:
        return None, [] if column.nullable else ["null"]
    broken = ["NUL"] if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text) else []
    try:
        value = READERS[column.dtype](text)
    except ValueError:
        return None, [*broken, "dtype"]
    if column.allowed is not None and value not in column.allowed:
        broken.append("allowed_values")
    base, *limits = column.sql
    if column.pii is None and base in {"varchar", "char"} and len(value) > limits[0]:
        broken.append("length")
    if base in BITS and not -(2 ** (BITS[base] - 1)) <= value < 2 ** (BITS[base] - 1):
        broken.append("range")
    if base == "numeric" and limits:
        precision, scale = limits
        stored = rounded(value, scale)
        if abs(stored) >= Decimal(10) ** (precision - scale) or (stored != value and not column.rounds):
            broken.append("range")
        value = stored
    if base == "double precision" and value == value.to_integral_value() and "e" not in text.lower():
        near = float(value)
        if value not in {Decimal(near), Decimal(repr(near))}:
            broken.append("range")
    if column.dtype == "datetime" and (finer := FINER.search(text)):
        if column.rounds:
            value += dt.timedelta(microseconds=int(finer[1][0] >= "5"))
        elif finer[1].strip("0"):
            broken.append("range")
    return value, broken


def typed_values(spec: Spec, values: dict[str, str | None]) -> int | None:
    """How many values of a row are more than text; None where they can be no row: no key, or of other types."""
    count = 0
    for column in spec.columns:
        text = meaning(values[column.name], column, spec)
        if not text:
            if column.name in spec.key:
                return None
            continue
        try:
            value = READERS[column.dtype](text.strip())
        except ValueError:
            return None
        if column.allowed is not None and value not in column.allowed:
            return None
        count += column.dtype != "str" or column.allowed is not None
    return count


def broken_rules(
    column: Column, text: str | None, value: Any, texts: dict[str, str | None], dates: tuple[dt.datetime, ...]
) -> list[str]:
    """The record rules that a readable value breaks."""
    broken = []
    for rule, bound in column.rules.items():
        if rule == "required":
            ok = not bound or not _is_empty(value)
        elif rule == "required_when":
            ok = not _is_empty(value) or not any(texts.get(other) in among for other, among in bound.items())
        elif value is None or text is None:
            ok = True
        elif rule == "at_least":
            ok = value >= Decimal(str(bound))
        elif rule == "at_most":
            ok = value <= Decimal(str(bound))
        elif rule == "length":
            ok = len(text) == bound
        elif rule == "email":
            ends = tuple(f".{end}" for end in bound["domains"]) if isinstance(bound, dict) else ("",)
            ok = EMAIL.fullmatch(text) is not None and text.lower().endswith(ends)
        elif rule == "phone" and bound == {"region": "EG", "kind": "mobile"}:
            ok = EGYPTIAN_MOBILE.fullmatch(text) is not None
        else:
            raise ValueError(f"the oracle knows no rule {rule!r}")
        if not ok:
            broken.append(rule)
    if column.dtype == "datetime" and value is not None and not dates[0] <= value <= dates[1]:
        broken.append("dates")
    return broken


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def rounded(value: Decimal, scale: int) -> Decimal:
    """As PostgreSQL stores it in numeric(p, scale): half away from zero."""
    if value.adjusted() > 400:
        return value
    with localcontext() as context:
        context.prec = 1000
        return value.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)


def stored_value(column: Column, value: Any, hash_key: str | None) -> Any:
    """A judged value as its table's column holds it."""
    if value is None:
        return None
    if column.pii is not None:
        return hashed(canonical(column.pii, value), hash_key)
    if isinstance(value, Decimal):
        return rounded(value, column.sql[2]) if column.sql[0] == "numeric" else float(value)
    return value


def canonical(kind: str, text: str) -> str:
    """The one way of writing that is hashed: e-mail in lower case, a mobile number with its 11 digits."""
    if kind == "email":
        return text.strip().lower()
    return text.strip().removesuffix(".0").zfill(11) if kind == "phone" else text.strip()


def hashed(text: str, key: str | None) -> str:
    if key is None:
        return hashlib.sha256(text.encode()).hexdigest()
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _int(text: str) -> int:
    if not INT.fullmatch(text):
        raise ValueError
    value = int(text.partition(".")[0])
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _float(text: str) -> Decimal:
    if not FLOAT.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError
    return Decimal(text)


def _bool(text: str) -> bool:
    if text.lower() not in BOOLS:
        raise ValueError
    return BOOLS[text.lower()]


def _datetime(text: str) -> dt.datetime:
    match = DATETIME.fullmatch(text)
    if match is None:
        raise ValueError
    part = match.groups()
    year, month, day = part[0], part[2] or part[4], part[3] or part[5]
    hour, minute, second = part[6] or part[10], part[7] or part[11], part[8] or part[12]
    fraction, zone = part[9] or part[13], part[15]
    value = dt.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    value += dt.timedelta(microseconds=int((fraction or "").ljust(6, "0")[:6]))
    if zone is None:
        return value
    hours, minutes = zone[1:3], zone[3:].removeprefix(":")
    if int(hours) > 23 or int(minutes or 0) > 59:
        raise ValueError
    offset = dt.timedelta(hours=int(hours), minutes=int(minutes or 0))
    try:
        return value - offset if zone[0] == "+" else value + offset
    except OverflowError as error:
        raise ValueError from error


READERS: dict[str, Any] = {"str": str, "int": _int, "float": _float, "bool": _bool, "datetime": _datetime}
SQL_OF_DTYPE = {
    "str": "text",
    "int": "integer",
    "float": "double precision",
    "bool": "boolean",
    "datetime": "timestamp",
}


def read_specs(config: dict[str, Any]) -> list[Spec]:
    """The kinds of file, parents before children; of equal depth in the order of the YAML."""
    reader = config.get("reader", {})
    renamed = reader.get("file_type_map") or {}
    references = _references(config, renamed)
    specs = []
    for feed in ("batch", "stream"):
        for pattern, entry in config["watcher"][feed].get("expected_files", {}).items():
            name = renamed.get(pattern, pattern.partition(".")[0])
            schema = config["schemas"][name]
            columns = tuple(_column(column) for column in schema["columns"])
            read = {**(config.get("reader") or {}), **(entry.get("read") or {})}
            comma = read.get("delimiter") or ","
            specs.append(
                Spec(
                    name=name,
                    feed=feed,
                    pattern=pattern,
                    table=entry["table"].lower(),
                    key=_key(schema),
                    columns=columns,
                    newer_by=entry.get("newer_by") if _replaces(entry) else None,
                    replaces=_replaces(entry),
                    keeps_history=entry.get("keep") == "history",
                    track=tuple(entry.get("track", ())),
                    versions=tuple(
                        VersionOf(name, how["version_of"], how["by"], how["at"])
                        for name, how in entry.get("derive", {}).items()
                        if "version_of" in how
                    ),
                    foreign_keys=references[name],
                    keys=frozenset({*_key(schema), *(c for r in references[name] for c in r.columns)}).union(
                        *_unique(name, schema, references)
                    ),
                    unique=_unique(name, schema, references),
                    nulls=frozenset(str(word).strip().lower() for word in read.get("null_values", ())),
                    trims=read.get("trim", False),
                    origins=read_origins(schema, entry, read),
                    delimiter="\t" if comma == "tab" else comma,
                )
            )
    by_name = {spec.name: spec for spec in specs}

    def level(name: str) -> int:
        parents = {reference.parent for reference in by_name[name].foreign_keys} - {name}
        return max((level(parent) + 1 for parent in parents), default=0)

    return sorted(specs, key=lambda spec: level(spec.name))


def _key(schema: dict[str, Any]) -> tuple[str, ...]:
    """The columns of the primary key; none where the YAML says `row`."""
    said = schema["primary_key"]
    if said == "row":
        return ()
    return (said,) if isinstance(said, str) else tuple(said)


def _references(config: dict[str, Any], renamed: dict[str, str]) -> dict[str, tuple[ForeignKey, ...]]:
    """The foreign keys of each kind of file: `"a, b": parent`, or `a: parent.column`."""
    schemas = config["schemas"]
    found: dict[str, tuple[ForeignKey, ...]] = {}
    for feed in ("batch", "stream"):
        for pattern, entry in config["watcher"][feed].get("expected_files", {}).items():
            name = renamed.get(pattern, pattern.partition(".")[0])
            own = {column["name"] for column in schemas[name]["columns"]}
            references = []
            for columns, said in entry.get("foreign_keys", {}).items():
                parent, _, to = (said, "", "") if said in schemas else said.partition(".")
                referred = {column["name"] for column in schemas[parent]["columns"]}
                key = _parts(to, referred) if to else _key(schemas[parent])
                references.append(ForeignKey(_parts(columns, own), parent, key))
            found[name] = tuple(references)
    return found


def _parts(text: str, columns: set[str]) -> tuple[str, ...]:
    return (text,) if text in columns else tuple(part.strip() for part in text.split(","))


def _unique(
    name: str, schema: dict[str, Any], references: dict[str, tuple[ForeignKey, ...]]
) -> tuple[tuple[str, ...], ...]:
    """What others refer to, beside the primary key."""
    referred = {r.to: None for of in references.values() for r in of if r.parent == name and r.to != _key(schema)}
    return tuple(referred)


def _replaces(entry: dict[str, Any]) -> bool:
    return entry.get("keep") in {"latest", "history"} or entry.get("on_conflict") == "update_if_newer"


def _column(entry: dict[str, Any]) -> Column:
    sql = entry.get("sql_type") or SQL_OF_DTYPE[entry["dtype"]]
    base, _, limits = sql.partition("(")
    numbers = [int(number) for number in limits.rstrip(")").split(",") if number.strip()]
    if base == "numeric" and len(numbers) == 1:
        numbers.append(0)
    return Column(
        name=entry["name"],
        dtype=entry["dtype"],
        nullable=entry.get("nullable", True),
        allowed=tuple(entry["allowed_values"]) if entry.get("allowed_values") else None,
        sql=(base.strip(), *numbers),
        pii=entry.get("pii"),
        target=entry.get("stored_as") or entry["name"],
        rules=entry.get("rules") or {},
        rounds=entry.get("round", False),
        default=None if entry.get("default") is None else str(entry["default"]),
    )
