"""How the values of a file are read: the keys of `read` that all formats share."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, model_validator

from config.date_formats import format_problem, zone_problem
from config.model import Model, as_list

DateFormats = Annotated[tuple[str, ...], BeforeValidator(as_list)]


def _word(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("write it in quotes: YAML reads null, true, no and the like as something else")  # noqa: TRY004
    return value


def _thousands(value: str) -> str:
    if value not in {".", ",", " ", "'", "_"}:
        raise ValueError("thousands are grouped by one of . , ' _ or a blank")
    return value


def _date_formats(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if problem := format_problem(value):
            raise ValueError(f"{value!r} {problem}")
    return values


def zone(value: str) -> str:
    """An IANA name, as it is; raises ValueError for any other."""
    if problem := zone_problem(value):
        raise ValueError(f"{value!r} {problem}")
    return value


class NullWords(Model):
    """`null_values`: the words that mean null, beside what the format calls null."""

    null_values: tuple[Annotated[str, BeforeValidator(_word)], ...] = ()

    @cached_property
    def words(self) -> frozenset[str]:
        """`null_values` as they are compared."""
        return frozenset(word.strip().lower() for word in self.null_values)


class ReadOptions(NullWords):
    """How a file is read: `read` of an expected file, whose defaults are under `reader`.

    `format` is the name of a format, where the extension does not tell. For the values of all formats,
    `null_values` are the words that mean null, beside an unquoted empty field (CSV) or null (JSON), in any case
    and with blanks around them; `trim` cuts blanks around text. `decimal` and `thousands` are the signs in
    numbers; with `currency` those of money and per cent are cut. `dates` are formats as in strptime, or the
    words of config/date_formats.py; without any, ISO 8601. `timezone` is that of times without an offset. Other
    keys are the format's own.
    """

    model_config = ConfigDict(extra="allow")

    format: str | None = None
    trim: bool = False
    decimal: Literal[".", ","] = "."
    thousands: Annotated[str, AfterValidator(_thousands)] | None = None
    currency: bool = False
    dates: Annotated[DateFormats, AfterValidator(_date_formats)] = ()
    timezone: Annotated[str, AfterValidator(zone)] = "UTC"

    @cached_property
    def has_plain_numbers(self) -> bool:
        """Are numbers written with a point and digits alone?"""
        return self.decimal == "." and self.thousands is None and not self.currency

    @model_validator(mode="after")
    def _signs_differ(self) -> Self:
        if self.thousands == self.decimal:
            both = f"decimal and thousands are both {self.decimal!r}"
            raise ValueError(f"{both}; give each its own, as in decimal: ',' and thousands: '.'")
        return self

    @property
    def of_format(self) -> dict[str, Any]:
        """The keys that are the format's own, as they were given."""
        return self.model_extra or {}

    @cached_property
    def has_digits(self) -> bool:
        """Might a word that means null be a number or a date?"""
        return any(character.isdigit() for word in self.words for character in word)

    def over(self, defaults: ReadOptions) -> ReadOptions:
        """These options where they were given, else `defaults`."""
        given = {name: getattr(self, name) for name in ReadOptions.model_fields if name in self.model_fields_set}
        known = {name: getattr(defaults, name) for name in ReadOptions.model_fields}
        return ReadOptions(**{**known, **defaults.of_format, **given, **self.of_format})


PLAIN = ReadOptions()  # how the pipeline itself writes values
