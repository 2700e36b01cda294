"""How values of one column type become those of another, and which of them can't.

Nothing is cut or rounded: what does not fit is a misfit, and told. What was text is read as files are read.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.sql_types import INT_LIMITS, SqlType

_TEXTS = {"text", "varchar", "char"}
_ARRAYS = {"text[]", "integer[]", "bigint[]"}
_NESTED = {"json", "jsonb", *_ARRAYS}
_TIMES = {"timestamp without time zone", "timestamp with time zone"}


@dataclass(frozen=True, slots=True)
class TypeChange:
    """SQL, with {c} for the column: `using` is the new value, `misfit` is true of values that have none.

    `text`: the old value as text, where that is to be read as in a file; then the other two are unused.
    `rewrites`: PostgreSQL reads or writes every row.
    """

    using: str = "{c}"
    misfit: str = "false"
    rewrites: bool = True
    text: str | None = None


def parsed(name: str) -> SqlType | None:
    """A type as PostgreSQL's format_type() writes it; None for one that the pipeline does not know."""
    try:
        return SqlType.parse(name)
    except ValueError:
        return None


def type_change(old: SqlType | None, new: SqlType, *, may_round: bool = False) -> TypeChange:  # noqa: PLR0911  (a table of cases)
    """From `old` (None: a type that the pipeline does not know) to `new`; `may_round` as the column's `round`."""
    if old is None:
        return _to_text(old, new) if new.base in _TEXTS else TypeChange(text="{c}::text")
    if new.base in _TEXTS:
        return _to_text(old, new)
    if old.base in _TEXTS or (old.base in _NESTED and new.base in _ARRAYS and not _widens(old, new)):
        return TypeChange(text=text_of(old))
    if old.base in INT_LIMITS or old.base in {"numeric", "double precision"}:
        return _of_number(old, new, may_round)
    if old.base in _NESTED and new.base in _NESTED:
        as_is = {"jsonb": "to_jsonb({c})", "json": "to_json({c})"}
        return TypeChange(as_is.get(new.base, "{c}::" + str(new)))
    if old.base in _TIMES:
        return _of_time(old, new)
    if old.base == "date" and new.base in _TIMES:
        utc = " AT TIME ZONE 'UTC'" if new.base.endswith("with time zone") else ""
        return TypeChange("{c}::timestamp" + utc)
    if old.base == "boolean" and new.base in INT_LIMITS:
        return TypeChange("{c}::integer")
    return _none(new)


def text_of(old: SqlType | None) -> str:
    """The old value as text."""
    if old is not None and old.base in _ARRAYS:
        return "to_jsonb({c})::text"
    if old is not None and old.base == "timestamp with time zone":
        return "({c} AT TIME ZONE 'UTC')::text"
    return "{c}" if old is not None and old.base in {"text", "varchar"} else "{c}::text"


def _none(new: SqlType) -> TypeChange:
    return TypeChange(f"NULL::{new}", "{c} IS NOT NULL")


def _widens(old: SqlType, new: SqlType) -> bool:
    return (old.base == "integer[]" and new.base in {"bigint[]", "text[]"}) or (old.base, new.base) == (
        "bigint[]",
        "text[]",
    )


def _to_text(old: SqlType | None, new: SqlType) -> TypeChange:
    text = text_of(old)
    is_text = old is not None and old.base in {"text", "varchar"}
    if new.length is None:
        return TypeChange(text, rewrites=not is_text)
    limit = old.length if old is not None else None
    widens = old is not None and old.base == new.base == "varchar" and limit is not None and limit <= new.length
    misfit = "false" if widens else f"char_length({text}) > {new.length}"
    return TypeChange(text, misfit, rewrites=not widens)


def _of_number(old: SqlType, new: SqlType, may_round: bool) -> TypeChange:  # noqa: PLR0911  (as above)
    number = "{c}::text::numeric" if old.base == "double precision" else "{c}::numeric"
    finite = "{c}::text NOT IN ('NaN', 'Infinity', '-Infinity')"
    if new.base in INT_LIMITS:
        most = INT_LIMITS[new.base]
        if old.base in INT_LIMITS:
            widens = INT_LIMITS[old.base] <= most
            return TypeChange(
                "{c}::" + new.base, "false" if widens else f"{{c}} NOT BETWEEN {-most - 1} AND {most}"
            )
        fits = (
            f"CASE WHEN {finite} THEN {number} = trunc({number}) AND {number} BETWEEN {-most - 1} AND {most} END"
        )
        return TypeChange("{c}::" + new.base, f"({fits}) IS NOT TRUE AND {{c}} IS NOT NULL")
    if new.base == "double precision":
        if old.base in {"smallint", "integer"}:
            return TypeChange("{c}::double precision")
        return TypeChange("{c}::double precision", "{c}::double precision::text::numeric <> {c}")
    if new.base == "numeric" and new.precision is None:
        return TypeChange(number, rewrites=old.base != "numeric")
    if new.base == "numeric" and new.precision is not None:
        widens = old.base == "numeric" and old.precision is not None and old.scale == new.scale
        if widens and (old.precision or 0) <= new.precision:
            return TypeChange("{c}", rewrites=False)
        rounded, bound = f"round({number}, {new.scale})", 10 ** (new.precision - new.scale)
        whole = "" if may_round else f" AND {rounded} = {number}"
        fits = f"CASE WHEN {finite} THEN abs({rounded}) < {bound}{whole} END"
        return TypeChange(rounded, f"({fits}) IS NOT TRUE AND {{c}} IS NOT NULL")
    if new.base == "boolean":
        return TypeChange("{c}::integer::boolean", "{c} NOT IN (0, 1)")
    return _none(new)


def _of_time(old: SqlType, new: SqlType) -> TypeChange:
    naive = "({c} AT TIME ZONE 'UTC')" if old.base.endswith("with time zone") else "{c}"
    if new.base in _TIMES:
        return TypeChange("{c} AT TIME ZONE 'UTC'")
    if new.base == "date":
        return TypeChange(f"{naive}::date", f"{naive} <> {naive}::date")
    return _none(new)
