"""The record rules: one vectorised function a rule, registered by its name in the YAML.

A rule takes a column's values (a typed Arrow array: text, int64, float64, bool or timestamp) and the YAML's
parameter, and returns a boolean array of the same length: true where the value breaks the rule. A null never
breaks a rule but `required` and `required_when`. A third argument, where a rule has one, is the mapping of
all columns of the chunk.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from config.model import Column, Dtype, Schema
from config.settings import PipelineConfig

Columns = Mapping[str, pa.Array]


@dataclass(frozen=True)
class Rule:
    """A registered rule; `dtypes` are the column types it can judge."""

    name: str
    function: Callable[..., pa.Array]
    dtypes: frozenset[Dtype]
    parameter: TypeAdapter[Any]
    across: bool  # does it look at other columns?

    def broken(self, values: pa.Array, parameter: Any, columns: Columns) -> pa.Array:
        """Boolean array: where `values` break the rule."""
        return self.function(values, parameter, columns) if self.across else self.function(values, parameter)


RULES: dict[str, Rule] = {}
_ANY = frozenset(Dtype)
_NUMBERS = frozenset({Dtype.INT, Dtype.FLOAT})
_TEXT = frozenset({Dtype.STR})


def rule(*dtypes: Dtype) -> Callable[[Callable[..., pa.Array]], Callable[..., pa.Array]]:
    """Register a function as the rule of its name, for columns of `dtypes` (default: any)."""

    def register(function: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
        name = function.__name__
        if name in RULES:
            raise ValueError(f"rule {name!r} is registered twice")
        names = list(inspect.signature(function).parameters)
        hints = get_type_hints(function)
        RULES[name] = Rule(
            name, function, frozenset(dtypes) or _ANY, TypeAdapter(hints[names[1]]), across=len(names) > 2
        )
        return function

    return register


@rule()
def required(values: pa.Array, wanted: bool) -> pa.Array:
    """A null breaks it, and a text of nothing but blanks."""
    return _empty(values) if wanted else _none(values)


@rule()
def required_when(values: pa.Array, when: dict[str, list[str]], columns: Columns) -> pa.Array:
    """What breaks `required` breaks it where each named column holds one of the listed values."""
    applies = _empty(values)
    for name, wanted in when.items():
        applies = pc.and_(applies, pc.is_in(columns[name], value_set=pa.array(wanted, pa.string())))
    return applies


@rule(*_NUMBERS)
def at_least(values: pa.Array, bound: float) -> pa.Array:
    """A number below `bound` breaks it."""
    return pc.less(values, bound)


@rule(*_NUMBERS)
def at_most(values: pa.Array, bound: float) -> pa.Array:
    """A number above `bound` breaks it."""
    return pc.greater(values, bound)


@rule(*_TEXT)
def exact_length(values: pa.Array, length: int) -> pa.Array:
    """A text of another number of characters breaks it."""
    return pc.not_equal(pc.utf8_length(values), length)


@rule(*_TEXT)
def matches(values: pa.Array, pattern: str) -> pa.Array:
    """A text that the regular expression (RE2) does not match as a whole breaks it."""
    return pc.invert(pc.match_substring_regex(values, rf"^(?:{pattern})$"))


@rule(*_TEXT)
def email(values: pa.Array, wanted: bool) -> pa.Array:
    """A text that isn't name@domain.com, with dots and dashes in both parts, breaks it."""
    return matches(values, r"(?i:[a-z0-9._%+-]+@[a-z0-9.-]+\.com)") if wanted else _none(values)


@rule(*_TEXT)
def egyptian_mobile(values: pa.Array, wanted: bool) -> pa.Array:
    """A text that isn't 01[0125] and eight digits breaks it.

    The leading 0 may be lost, and `.0` added, where an export wrote the column as numbers.
    """
    return matches(values, r"0?1[0125][0-9]{8}(?:\.0+)?") if wanted else _none(values)


def _empty(values: pa.Array) -> pa.Array:
    if not pa.types.is_string(values.type):
        return pc.is_null(values)
    blank = pc.or_(pc.equal(pc.binary_length(values), 0), pc.utf8_is_space(values))
    return pc.fill_null(blank, fill_value=True)


def _none(values: pa.Array) -> pa.Array:
    return pa.repeat(pa.scalar(value=False), len(values))


def problems(config: PipelineConfig) -> Iterator[str]:
    """What is wrong with the rules named in the configuration, each with its key's path."""
    for spec in {spec.name: spec for spec in config.files}.values():
        for column in spec.schema.columns:
            where = f"schemas.{spec.name}.columns.{column.name}.rules"
            for name, parameter in column.rules.items():
                yield from (f"{where}.{name}: {p}" for p in _rule_problems(column, name, parameter, spec.schema))


def _rule_problems(column: Column, name: str, parameter: Any, schema: Schema) -> Iterator[str]:
    found = RULES.get(name)
    if found is None:
        yield f"no such rule; there are {', '.join(sorted(RULES))}"
        return
    if column.dtype not in found.dtypes:
        yield f"does not judge dtype {column.dtype.value}"
    try:
        found.parameter.validate_python(parameter, strict=False)
    except ValidationError as error:
        yield f"{error.errors()[0]['msg']} (given: {parameter!r})"
        return
    if name == "required_when":
        unknown = [n for n in parameter if n not in schema.by_name or schema.by_name[n].dtype is not Dtype.STR]
        yield from (f"{other!r} is not a str column of this schema" for other in unknown)
    if name == "matches":
        try:
            pc.match_substring_regex(pa.array(["x"]), parameter)
        except pa.ArrowInvalid:
            yield f"not a regular expression that RE2 knows (given: {parameter!r})"
