"""Checks of a schema: SQL expressions over the columns of a row, as the YAML gives them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.model import Model

CheckName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]


class Check(Model):
    """What rows have to hold to.

    `row` is a condition on the columns of a row, in PostgreSQL's words; a row for which it is null holds. `when`,
    another condition, says for which rows it counts. `says` are the words for the sender.
    """

    row: str = Field(min_length=1)
    when: str | None = Field(None, min_length=1)
    says: str | None = Field(None, min_length=1)
