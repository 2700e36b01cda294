"""How much it matters that a rule or check is broken, as the YAML says it beside each of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from config.model import Model


class Then(StrEnum):
    """What becomes of what breaks a check."""

    REFUSE = "refuse"  # the row goes to quarantine
    WARN = "warn"  # the row is loaded, and told of
    FAIL = "fail"  # the whole file fails


class Severity(Model):
    """What becomes of rows that break a check, and how it is said to the file's sender (`says`).

    Where more than `at_most_pct` per cent of a file's records break it, the whole file fails, whatever `then`
    says; up to that, `then: fail` lets them pass.
    """

    then: Then = Then.REFUSE
    at_most_pct: float | None = Field(None, ge=0, le=100)
    says: str | None = Field(None, min_length=1)

    @property
    def warns(self) -> bool:
        return self.then is Then.WARN

    @property
    def only_refuses(self) -> bool:
        """Does it do nothing but refuse rows?"""
        return self.then is Then.REFUSE and self.at_most_pct is None


PLAIN = Severity()

Condition = str | dict[str, Any]
"""For which rows a rule counts: an SQL expression, or what other columns hold, by name."""


class RuleUse(Severity):
    """A rule of a column: its parameter, for which rows it counts, and how much it matters."""

    parameter: Any = True
    when: Condition | None = None


_OPTIONS = frozenset({"then", "at_most_pct", "says", "when"})


def read_use(said: Any) -> Any:
    """What the YAML says of a rule: its parameter alone, or a mapping with `then` and the like beside it.

    There the parameter is `value`, or the mapping's other keys; a rule that needs none may leave it out. No option
    is a list: a key with a list belongs to a parameter that goes by the names of columns.
    """
    if isinstance(said, RuleUse):
        return said
    if not isinstance(said, Mapping):
        return {"parameter": said}
    options = {key: said[key] for key in said if key in _OPTIONS and not isinstance(said[key], list)}
    rest = {key: value for key, value in said.items() if key not in options}
    if rest.keys() == {"value"} and (options or not isinstance(rest["value"], list)):
        return {**options, "parameter": rest["value"]}
    return {**options, "parameter": rest or not said or True} if options else {"parameter": said}
