"""The keys of `read:` that say how a CSV file is written."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from config.model import Model


def _delimiter(value: str) -> str:
    delimiter = "\t" if value == "tab" else value
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise ValueError("a delimiter is one ASCII character, but no quote and no line end, or the word tab")
    return delimiter


class CsvOptions(Model):
    """`delimiter`: one character between the fields, or the word `tab`."""

    delimiter: Annotated[str, AfterValidator(_delimiter)] = ","
