"""Checks of a schema: SQL expressions over the columns of a row, or of a file, as the YAML gives them."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from config.severity import Severity, Then

CheckName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]


_WITHIN = re.compile(r"(\d+(?:\.\d+)?) sigma of the last (\d+) files")
LEAST_FILES, MOST_FILES = 10, 365  # before it, to which a file may be held


class Within(NamedTuple):
    """How far a figure may be off the mean of the last files': so many of their standard deviations."""

    sigma: float
    files: int

    def __str__(self) -> str:
        return f"{self.sigma:g} sigma of the last {self.files} files"


def _within(said: Any) -> Within | None:
    if said is None or isinstance(said, Within):
        return said
    match = _WITHIN.fullmatch(said) if isinstance(said, str) else None
    if match is None:
        raise ValueError("write it as in: 3 sigma of the last 30 files")
    found = Within(float(match[1]), int(match[2]))
    if not found.sigma:
        raise ValueError("0 sigma is no distance; write it as in: 3 sigma of the last 30 files")
    if not LEAST_FILES <= found.files <= MOST_FILES:
        raise ValueError(f"{LEAST_FILES} to {MOST_FILES} files may be compared with, not {found.files}")
    return found


class Check(Severity):
    """What rows, or the file as a whole, have to hold to.

    `row` is a condition on the columns of a row, in PostgreSQL's words; `file` one on the sums and counts of all
    good rows of a file, which fails where it is false. What is null holds. `when`, another condition on a row,
    says for which rows it counts. Beside `within`, `file` is a figure, which has to be near those of the files
    before. `warehouse` is a SELECT that finds no row after a load, or it is told.
    """

    row: str | None = Field(None, min_length=1)
    file: str | None = Field(None, min_length=1)
    warehouse: str | None = Field(None, min_length=1)
    when: str | None = Field(None, min_length=1)
    within: Annotated[Within | None, BeforeValidator(_within)] = None

    @model_validator(mode="after")
    def _is_of_one_thing(self) -> Self:
        if [self.row, self.file, self.warehouse].count(None) != 2:
            raise ValueError("say what it looks at: row, file or warehouse, one of them")
        if self.warehouse is not None and self.model_fields_set - {"warehouse", "says", "then"}:
            raise ValueError("a check of the warehouse has says beside it, and nothing else")
        if self.warehouse is not None and self.then is not Then.WARN and "then" in self.model_fields_set:
            raise ValueError("a check of the warehouse is asked after the load; it can but warn")
        if self.within is not None and (self.file is None or self.when is not None):
            raise ValueError("within goes with file, a figure of all good rows, and not with when")
        if self.file is None:
            return self
        if self.at_most_pct is not None:
            raise ValueError("at_most_pct is a share of rows; a check of a file says it in its expression")
        if "then" in self.model_fields_set and self.then is Then.REFUSE:
            raise ValueError("a check of a file refuses no rows; say then: fail or then: warn")
        return self

    @property
    def severity(self) -> Severity:
        """What becomes of what breaks it: a row is refused, a file fails, where nothing else is said."""
        then = Then.FAIL if self.file is not None and self.then is Then.REFUSE else self.then
        return Severity(then=then, at_most_pct=self.at_most_pct, says=self.says)
