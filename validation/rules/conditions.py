"""`when` of a rule: for which rows it counts, by what their other columns hold.

when: { status: Resolved }                     # holds this value, or one of a list
when: { closed_at: null }                      # is null
when: { amount: { at_least: 100 }, tax: null } # keeps these rules; all columns together
when: "amount > 2 * tax"                       # an SQL condition, as in checks
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from config.schema import Column, Schema
from config.severity import Condition
from validation import checks
from validation.rules.registry import RULES, parameter_problems, typed, typed_as

if TYPE_CHECKING:
    from validation.batch import Batch


def applies(when: Condition, batch: Batch) -> pa.Array:
    """Boolean array: the rows for which a rule with this condition counts. A null holds only what asks for it.

    A row for which an SQL condition can't be worked out counts.
    """
    if isinstance(when, str):
        return pa.array(checks.applies(when, batch))
    holds = pa.repeat(pa.scalar(value=True), len(batch.chunk.numbers))
    for name, wanted in when.items():
        holds = pc.and_(holds, _holds(batch.values[name], wanted, batch.values))
    return pc.fill_null(holds, fill_value=False)


def columns_beside(schema: Schema, column: Column, rule: str) -> frozenset[str]:
    """The other columns that a rule of `column` looks at."""
    use = column.uses[rule]
    return RULES[rule].other_columns(use.parameter) | _columns_of(use.when, schema)


def _columns_of(when: Condition | None, schema: Schema) -> frozenset[str]:
    if isinstance(when, str):
        return checks.compiled_condition(when, schema).columns
    return frozenset(when or ())


def _holds(values: pa.Array, wanted: Any, columns: Mapping[str, pa.Array]) -> pa.Array:
    if wanted is None:
        return pc.is_null(values)
    if not isinstance(wanted, Mapping):
        return pc.is_in(values, value_set=typed(_listed(wanted), values.type))
    holds = pc.is_valid(values)
    for rule, parameter in wanted.items():
        broken = pc.fill_null(RULES[rule].broken(values, parameter, columns), fill_value=False)
        holds = pc.and_not(holds, broken)
    return holds


def _listed(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def condition_problems(when: Condition, schema: Schema) -> Iterator[str]:
    """What is wrong with a condition, each with its place in it."""
    if isinstance(when, str):
        if problem := checks.condition_problem(when, schema):
            yield f": {problem} (given: {when!r})"
        return
    if not when:
        yield ": names no column; leave it out where the rule counts for all rows"
    for name, wanted in when.items():
        column = schema.by_name.get(name)
        if column is None:
            yield f": {name!r} is not a column of schemas.{schema.name}"
        else:
            yield from _wanted_problems(column, wanted, schema)


def _wanted_problems(column: Column, wanted: Any, schema: Schema) -> Iterator[str]:
    if isinstance(wanted, Mapping):
        for rule, parameter in wanted.items():
            yield from (f".{column.name}.{rule}: {p}" for p in parameter_problems(column, rule, parameter, schema))
            if rule in RULES and RULES[rule].of_file:
                yield f".{column.name}.{rule}: looks at other rows; a condition looks at one row"
    elif wanted is not None:
        try:
            typed(_listed(wanted), typed_as(column.dtype))
        except ValueError as error:
            yield f".{column.name}: {error}"
