"""Checks of a schema: SQL expressions over the columns of a row, as the YAML gives them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from config.model import Model

CheckName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]


class Check(Model):
    """What rows have to hold to.

    `row` is a condition on the columns of a row, in PostgreSQL's words; `file` one on the sums and counts of all
    good rows of a file. What is null holds. `when`, another condition on a row, says for which rows it counts.
    `says` are the words for the sender.
    """

    row: str | None = Field(None, min_length=1)
    file: str | None = Field(None, min_length=1)
    when: str | None = Field(None, min_length=1)
    says: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _is_of_one_thing(self) -> Self:
        if (self.row is None) == (self.file is None):
            raise ValueError("say what it looks at: row or file, one of them")
        return self
