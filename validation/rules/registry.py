"""The record rules: one function a rule, registered by its name in the YAML.

A rule takes a column's values (a typed Arrow array: text, int64, float64, bool, date32, time64 or timestamp) and
the YAML's parameter, and returns a boolean array of the same length: true where the value breaks the rule. A null
never breaks a rule but those in presence.py. A third argument, where a rule has one, is the mapping of all columns
of the chunk; of a rule that is `of_file`, what it remembers of the file's earlier rows. The parameter's type is
checked when the configuration is read, and by a trial of no rows.
"""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, TypeAdapter, ValidationError

from config.model import Dtype, Model
from config.schema import Column, Schema

Columns = Mapping[str, pa.Array]
Memory = dict[str, Any]

ANY = frozenset(Dtype)
NUMBERS = frozenset({Dtype.INT, Dtype.FLOAT})
DAYS = frozenset({Dtype.DATETIME, Dtype.DATE})
TEXT = frozenset({Dtype.STR})
_ARROW = {
    Dtype.STR: pa.string(),
    Dtype.UUID: pa.string(),
    Dtype.JSON: pa.string(),
    Dtype.INT: pa.int64(),
    Dtype.FLOAT: pa.float64(),
    Dtype.BOOL: pa.bool_(),
    Dtype.DATETIME: pa.timestamp("us"),
    Dtype.DATE: pa.date32(),
    Dtype.TIME: pa.time64("us"),
}


@dataclass(frozen=True)
class Rule:
    """A registered rule; `dtypes` are the column types it can judge."""

    name: str
    function: Callable[..., pa.Array]
    dtypes: frozenset[Dtype]
    parameter: TypeAdapter[Any]
    looks_beside: bool  # at other columns, or at what it remembers?
    refers_to: Callable[[Any], Iterable[str]]  # parameter → the other columns
    others: frozenset[Dtype] | None  # what these may be; None: what the column can be compared with
    keys: frozenset[str]  # of the parameter, where it is a mapping
    of_file: bool  # does it look at the file's earlier rows?

    def broken(self, values: pa.Array, parameter: Any, beside: Columns | Memory) -> pa.Array:
        """Boolean array: where `values` break the rule.

        `beside`: all columns of the chunk; where the rule is `of_file`, what it remembers.
        """
        given = self.parameter.validate_python(parameter)
        return self.function(values, given, beside) if self.looks_beside else self.function(values, given)

    def other_columns(self, parameter: Any) -> frozenset[str]:
        """The columns that it looks at beside its own."""
        return frozenset(self.refers_to(self.parameter.validate_python(parameter)))


class OtherColumn(Model):
    """The value of another column of the row."""

    column: str


Bound = int | float | dt.datetime | dt.date | str | OtherColumn
"""A value as the YAML writes it, or another column's."""


def _known_to_re2(pattern: str) -> str:
    try:
        pc.match_substring_regex(pa.array(["x"]), pattern)
    except pa.ArrowInvalid:
        raise ValueError("not a regular expression that RE2 knows") from None
    return pattern


Expression = Annotated[str, AfterValidator(_known_to_re2)]

RULES: dict[str, Rule] = {}


def rule(
    *dtypes: Dtype,
    refers_to: Callable[[Any], Iterable[str]] = lambda _: (),
    others: Iterable[Dtype] | None = (Dtype.STR,),
    of_file: bool = False,
) -> Callable[[Callable[..., pa.Array]], Callable[..., pa.Array]]:
    """Register a function as the rule of its name, for columns of `dtypes` (default: any).

    `refers_to` tells from its parameter which other columns it looks at, which are of dtypes `others`. A name
    that is a word of Python has a `_` behind it here.
    """

    def register(function: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
        name = function.__name__.rstrip("_")
        if name in RULES:
            raise ValueError(f"rule {name!r} is registered twice")
        names = list(inspect.signature(function).parameters)
        parameter = get_type_hints(function, include_extras=True)[names[1]]
        RULES[name] = Rule(
            name,
            function,
            dtypes=frozenset(dtypes) or ANY,
            parameter=TypeAdapter(parameter),
            looks_beside=len(names) > 2,
            refers_to=refers_to,
            others=None if others is None else frozenset(others),
            keys=frozenset(_keys_of(parameter)),
            of_file=of_file,
        )
        return function

    return register


def _keys_of(parameter: Any) -> Iterator[str]:
    for kind in (parameter, *get_args(parameter)):
        if isinstance(kind, type) and issubclass(kind, Model):
            yield from kind.model_fields


# ---------------------------------------------------------------- what rules are made of


def none(values: pa.Array) -> pa.Array:
    """None of the values breaks the rule."""
    return pa.repeat(pa.scalar(value=False), len(values))


def typed(given: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """Values of the YAML as those of a column. Raises ValueError for one that is none."""
    listed = list(given)
    try:
        if pa.types.is_time(kind):
            return pa.array([dt.time.fromisoformat(str(one)) for one in listed], kind)
        if pa.types.is_temporal(kind):
            return pa.array([str(one) for one in listed], pa.string()).cast(kind)
        truths = [one for one in listed if isinstance(one, bool) and not pa.types.is_boolean(kind)]
        return pa.array([*map(str, truths)] or listed, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, TypeError):
        said = listed[0] if len(listed) == 1 else listed
        raise ValueError(f"{said!r} is not of the column's kind, {_word(kind)}") from None


def typed_as(dtype: Dtype) -> pa.DataType:
    """How values of `dtype` come to the rules."""
    return _ARROW[dtype]


def _word(kind: pa.DataType) -> str:
    return next(dtype.value for dtype, arrow in _ARROW.items() if arrow == kind)


def each(values: pa.Array, breaks: Callable[[Any], bool]) -> pa.Array:
    """Judge each distinct value once, by a function of Python."""
    codes = pc.dictionary_encode(values)
    found = pa.array([breaks(one) for one in codes.dictionary.to_pylist()], pa.bool_())
    return found.take(codes.indices)


# ---------------------------------------------------------------- what the configuration may say


def parameter_problems(column: Column, name: str, parameter: Any, schema: Schema) -> Iterator[str]:
    """What is wrong with a rule of `column`, or with its parameter."""
    found = RULES.get(name)
    if found is None:
        yield f"no such rule; there are {', '.join(sorted(RULES))}"
        return
    if column.dtype not in found.dtypes:
        yield f"does not judge dtype {column.dtype.value}"
        return
    try:
        given = found.parameter.validate_python(parameter, strict=False)
    except ValidationError as error:
        said = error.errors()[0]
        place = ".".join(str(part) for part in said["loc"] if part in found.keys)
        message = said["msg"].removeprefix("Value error, ")
        yield f"{place + ': ' if place else ''}{message} (given: {parameter!r})"
        return
    allowed = _comparable(column.dtype) if found.others is None else found.others
    known = {other.name for other in schema.columns if other.dtype in allowed}
    others = [*found.refers_to(given)]
    dtypes = " or ".join(sorted(dtype.value for dtype in allowed))
    unknown = [other for other in others if other not in known]
    yield from (f"{other!r} is not a {dtypes} column of this schema" for other in unknown)
    if not unknown:
        yield from _trial(found, column, parameter, {name: schema.by_name[name] for name in others})


def _trial(found: Rule, column: Column, parameter: Any, others: Mapping[str, Column]) -> Iterator[str]:
    """Judge no row: what the parameter has against it then, it has against it always."""
    beside: Any = {} if found.of_file else {name: _nothing(other) for name, other in others.items()}
    try:
        found.broken(_nothing(column), parameter, beside)
    except ValueError as error:
        yield str(error)


def _nothing(column: Column) -> pa.Array:
    return pa.array([], typed_as(column.dtype))


def _comparable(dtype: Dtype) -> frozenset[Dtype]:
    return next((kinds for kinds in (NUMBERS, DAYS) if dtype in kinds), frozenset({dtype}))
