"""Numbers that their column can't hold exactly: told by their decimal text, and rounded where the YAML says so."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from config.sql_types import SqlType
from validation.casting import only

_DIGITS_OF_DECIMAL256 = 76
_DIGITS_OF_DECIMAL128 = 38
_LONG_INTEGER = r"^[+-]?0*[1-9][0-9]{15,}(\.0*)?$"  # up to 15 digits a double holds them all


def fits(sql: SqlType) -> str:
    """The regular expression of plain decimals that numeric(p,s) holds as they are; zeros may follow."""
    whole = (sql.precision or 0) - sql.scale
    return rf"^[+-]?0*[0-9]{{0,{whole}}}(\.[0-9]{{0,{sql.scale}}}0*)?$"


def stored_text(text: pa.Array, sql: SqlType, *, rounding: bool) -> pa.Array:
    """The text of readable numbers as numeric(p,s) stores them; null where it can't.

    With `rounding` further decimals are rounded half away from zero, as PostgreSQL does; without, they don't fit.
    """
    held = pc.match_substring_regex(text, fits(sql))
    if pc.all(held).as_py() is not False:
        return text
    others = pc.fill_null(pc.invert(held), fill_value=False)
    return pc.replace_with_mask(text, others, _fitted(text.filter(others), sql, rounding))


def _fitted(text: pa.Array, sql: SqlType, rounding: bool) -> pa.Array:
    """`stored_text` of numbers that are not held as they are."""
    digits = (sql.precision or 0) + 3  # one more decimal, and room for what is carried
    special, result = pa.repeat(pa.scalar(value=True), len(text)), pa.nulls(len(text), pa.string())
    if digits <= _DIGITS_OF_DECIMAL256:
        special = pc.match_substring_regex(text, "[eE]")
        if rounding:
            result = _rounded(pc.if_else(special, result, text), sql, digits)
    if not pc.any(special).as_py():
        return result
    distinct = pc.dictionary_encode(text.filter(special))
    exact = pa.array([_exact(one, sql, rounding) for one in distinct.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(result, special, exact.take(distinct.indices))


def _rounded(text: pa.Array, sql: SqlType, digits: int) -> pa.Array:
    """Plain decimals, rounded; null where they are too large."""
    whole = (sql.precision or 0) - sql.scale
    # The first decimal that is dropped decides; those behind it would only ask for more digits.
    shape = rf"^([+-]?)0*([0-9]{{0,{whole}}}(?:\.[0-9]{{0,{sql.scale + 1}}})?)[0-9]*$"
    small = pc.match_substring_regex(text, rf"^[+-]?0*[0-9]{{0,{whole}}}(\.|$)")
    text = pc.replace_substring_regex(only(text, small), shape, r"\1\2")
    decimal = pa.decimal128 if digits <= _DIGITS_OF_DECIMAL128 else pa.decimal256
    numbers = pc.cast(text, decimal(digits, sql.scale + 1))
    numbers = pc.round(numbers, ndigits=sql.scale, round_mode="half_towards_infinity")
    result = pc.cast(pc.cast(numbers, decimal(digits, sql.scale)), pa.string())
    held = pc.match_substring_regex(result, fits(sql))  # 99999999.995 no longer fits numeric(10,2)
    return only(result, held)


def _exact(text: str, sql: SqlType, rounding: bool) -> str | None:
    """The same for one number in any notation."""
    whole = (sql.precision or 0) - sql.scale
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent that nothing can hold
        return None
    if not value:
        return "0"
    if value.adjusted() >= whole:
        return None
    if value.adjusted() < -sql.scale - 1:
        return "0" if rounding else None
    context = Context(prec=(sql.precision or 0) + 3, rounding=ROUND_HALF_UP)
    result = value.quantize(Decimal((0, (1,), -sql.scale)), context=context)
    if (result != value and not rounding) or (result and result.adjusted() >= whole):
        return None
    return format(result, "f")


def beyond_double(text: pa.Array, values: pa.Array) -> pa.Array:
    """Boolean: numbers too large for double precision, and whole numbers of which it would change digits.

    Fractions become the nearest double, as everywhere: exports write them from doubles.
    """
    beyond = pc.is_inf(values)
    long = pc.match_substring_regex(text, _LONG_INTEGER)
    if not pc.any(long).as_py():
        return beyond
    doubtful = pc.and_(long, pc.invert(_is_double(text, values)))
    distinct = pc.dictionary_encode(only(text, doubtful))
    changed = pa.array([not _double_holds(one) for one in distinct.dictionary.to_pylist()], pa.bool_())
    return pc.or_(beyond, pc.fill_null(changed.take(distinct.indices), fill_value=False))


def _is_double(text: pa.Array, values: pa.Array) -> pa.Array:
    """Boolean: whole numbers of up to 18 digits that are the very double. False where it was not looked."""
    short = pc.match_substring_regex(text, r"^[+-]?[0-9]{1,18}(\.0*)?$")
    digits = pc.replace_substring_regex(pc.if_else(short, text, pa.scalar("0")), r"^\+|\.0*$", "")
    doubles = pc.cast(pc.if_else(short, values, pa.scalar(1.0)), pa.int64(), safe=False)
    return pc.fill_null(pc.equal(pc.cast(digits, pa.int64()), doubles), fill_value=False)


def _double_holds(text: str) -> bool:
    """Is it the double itself, or its shortest text, from which the double comes back?"""
    whole = Decimal(text.partition(".")[0])
    double = float(whole)
    return double in {float("inf"), float("-inf")} or whole in {Decimal(double), Decimal(repr(double))}
