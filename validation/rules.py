"""The record rules: one vectorised function a rule, registered by its name in the YAML.

A rule takes a column's values (a typed Arrow array: text, int64, float64, bool or timestamp) and the YAML's
parameter, and returns a boolean array of the same length: true where the value breaks the rule. A null never
breaks a rule but `required` and `required_when`. A third argument, where a rule has one, is the mapping of
all columns of the chunk. The parameter's type is checked when the configuration is read.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from config.model import Dtype, Model
from config.schema import Column, Schema
from config.settings import PipelineConfig
from validation import phones
from validation.phones import PhoneForm

Columns = Mapping[str, pa.Array]


@dataclass(frozen=True)
class Rule:
    """A registered rule; `dtypes` are the column types it can judge."""

    name: str
    function: Callable[..., pa.Array]
    dtypes: frozenset[Dtype]
    parameter: TypeAdapter[Any]
    across: bool  # does it look at other columns?
    refers_to: Callable[[Any], Iterable[str]]  # parameter → the other columns
    others: frozenset[Dtype]  # what these may be
    keys: frozenset[str]  # of the parameter, where it is a mapping

    def broken(self, values: pa.Array, parameter: Any, columns: Columns) -> pa.Array:
        """Boolean array: where `values` break the rule."""
        given = self.parameter.validate_python(parameter)
        return self.function(values, given, columns) if self.across else self.function(values, given)


class EmailForm(Model):
    """`domains`: the ones that are taken, without a dot before them."""

    domains: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$")], ...] = Field(min_length=1)


def _known_to_re2(pattern: str) -> str:
    try:
        pc.match_substring_regex(pa.array(["x"]), pattern)
    except pa.ArrowInvalid:
        raise ValueError("not a regular expression that RE2 knows") from None
    return pattern


Expression = Annotated[str, AfterValidator(_known_to_re2)]
_ANY_DOMAIN = r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}"

RULES: dict[str, Rule] = {}
_ANY = frozenset(Dtype)
_NUMBERS = frozenset({Dtype.INT, Dtype.FLOAT})
_TEXT = frozenset({Dtype.STR})


def rule(
    *dtypes: Dtype,
    refers_to: Callable[[Any], Iterable[str]] = lambda _: (),
    others: Iterable[Dtype] = (Dtype.STR,),
) -> Callable[[Callable[..., pa.Array]], Callable[..., pa.Array]]:
    """Register a function as the rule of its name, for columns of `dtypes` (default: any).

    `refers_to` tells from its parameter which other columns it looks at, which are of dtypes `others`.
    """

    def register(function: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
        name = function.__name__
        if name in RULES:
            raise ValueError(f"rule {name!r} is registered twice")
        names = list(inspect.signature(function).parameters)
        hints = get_type_hints(function, include_extras=True)
        parameter = hints[names[1]]
        RULES[name] = Rule(
            name,
            function,
            dtypes=frozenset(dtypes) or _ANY,
            parameter=TypeAdapter(parameter),
            across=len(names) > 2,
            refers_to=refers_to,
            others=frozenset(others),
            keys=frozenset(_keys_of(parameter)),
        )
        return function

    return register


def _keys_of(parameter: Any) -> Iterator[str]:
    for kind in (parameter, *get_args(parameter)):
        if isinstance(kind, type) and issubclass(kind, Model):
            yield from kind.model_fields


@rule()
def required(values: pa.Array, wanted: bool) -> pa.Array:
    """A null breaks it, and a text of nothing but blanks."""
    return _empty(values) if wanted else _none(values)


@rule(refers_to=list)
def required_when(values: pa.Array, when: dict[str, list[str]], columns: Columns) -> pa.Array:
    """What breaks `required` breaks it where each named column holds one of the listed values."""
    applies = _empty(values)
    for name, wanted in when.items():
        applies = pc.and_(applies, pc.is_in(columns[name], value_set=pa.array(wanted, pa.string())))
    return applies


@rule(*_NUMBERS)
def at_least(values: pa.Array, bound: int | float) -> pa.Array:
    """A number below `bound` breaks it."""
    return pc.less(values, _exactly(values, bound, math.ceil))


@rule(*_NUMBERS)
def at_most(values: pa.Array, bound: int | float) -> pa.Array:
    """A number above `bound` breaks it."""
    return pc.greater(values, _exactly(values, bound, math.floor))


@rule(*_TEXT)
def length(values: pa.Array, characters: int) -> pa.Array:
    """A text of another number of characters breaks it."""
    return pc.not_equal(pc.utf8_length(values), characters)


@rule(*_TEXT)
def matches(values: pa.Array, pattern: Expression) -> pa.Array:
    """A text that the regular expression (RE2) does not match as a whole breaks it."""
    return pc.invert(pc.match_substring_regex(values, rf"^(?:{pattern})$"))


@rule(*_TEXT)
def email(values: pa.Array, form: bool | EmailForm) -> pa.Array:
    """A text that isn't name@domain, with letters, digits, dots and dashes, or not of one of the `domains`, breaks
    it. A domain is whole (example.org), or one that others end with (org)."""
    if form is False:
        return _none(values)
    domains = form.domains if isinstance(form, EmailForm) else ()
    ends = "|".join((r"(?:[a-z0-9.-]+\.)?" if "." in d else r"[a-z0-9.-]+\.") + re.escape(d) for d in domains)
    return matches(values, rf"(?i:[a-z0-9._%+-]+@(?:{ends or _ANY_DOMAIN}))")


@rule(*_TEXT)
def phone(values: pa.Array, form: PhoneForm) -> pa.Array:
    """A text that isn't a phone number of the region, and kind, breaks it.

    The national prefix may be lost, and `.0` added, where an export wrote the column as numbers.
    """
    return matches(values, phones.pattern(form))


def _exactly(values: pa.Array, bound: float, whole: Callable[[float], int]) -> float:
    """The bound as `values` are compared with it: of whole numbers a double would change digits."""
    return whole(bound) if pa.types.is_integer(values.type) else bound


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
        said = error.errors()[0]
        place = ".".join(str(part) for part in said["loc"] if part in found.keys)
        message = said["msg"].removeprefix("Value error, ")
        yield f"{place + ': ' if place else ''}{message} (given: {parameter!r})"
        return
    known = {column.name for column in schema.columns if column.dtype in found.others}
    others = [other for other in found.refers_to(parameter) if other not in known]
    dtypes = " or ".join(sorted(dtype.value for dtype in found.others))
    yield from (f"{other!r} is not a {dtypes} column of this schema" for other in others)
