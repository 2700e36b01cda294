"""Rules of whether there is a value: the only ones that a null can break."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from validation.rules.registry import Columns, none, rule

Listed = dict[str, list[str]]  # words by the column that may hold them


@rule()
def required(values: pa.Array, wanted: bool) -> pa.Array:
    """A null breaks it, and a text of nothing but blanks."""
    return _empty(values) if wanted else none(values)


@rule(refers_to=list)
def required_when(values: pa.Array, when: Listed, columns: Columns) -> pa.Array:
    """What breaks `required` breaks it where each named column holds one of the listed values."""
    return pc.and_(_empty(values), _applies(when, columns))


@rule(refers_to=list)
def empty_when(values: pa.Array, when: Listed, columns: Columns) -> pa.Array:
    """What keeps `required` breaks it where each named column holds one of the listed values."""
    return pc.and_not(_applies(when, columns), _empty(values))


def _applies(when: Listed, columns: Columns) -> pa.Array:
    holds = pa.scalar(value=True)
    for name, wanted in when.items():
        holds = pc.and_(holds, pc.is_in(columns[name], value_set=pa.array(wanted, pa.string())))
    return holds


def _empty(values: pa.Array) -> pa.Array:
    if not pa.types.is_string(values.type):
        return pc.is_null(values)
    blank = pc.or_(pc.equal(pc.binary_length(values), 0), pc.utf8_is_space(values))
    return pc.fill_null(blank, fill_value=True)
