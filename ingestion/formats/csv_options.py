"""The keys of `read:` that say how a CSV file is written."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from ingestion.formats.encoding import TextOptions

MOST_SKIPPED = 10_000  # lines before the header, which have to be read in one block
LONGEST_FOOTER = 100  # lines that are held back while the file is read
LONGEST_COMMENT = 8  # characters
_NO_SIGNS = "\r\n\0"


def _delimiter(value: str) -> str:
    delimiter = "\t" if value == "tab" else value
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"' + _NO_SIGNS:
        raise ValueError("a delimiter is one ASCII character, but no quote and no line end, or the word tab")
    return delimiter


def _none(value: Any) -> Any:
    return None if value == "none" else value


def _sign(value: str) -> str:
    if len(value) != 1 or not value.isascii() or value.isalnum() or value.isspace() or value in _NO_SIGNS:
        raise ValueError("one ASCII character that is no letter, digit or blank, or the word none")
    return value


def _comment(value: str) -> str:
    if not 0 < len(value) <= LONGEST_COMMENT or any(sign in value for sign in _NO_SIGNS):
        raise ValueError(f"what a comment begins with has 1 to {LONGEST_COMMENT} characters, and no line end")
    return value


Sign = Annotated[str, AfterValidator(_sign)] | None


class CsvOptions(TextOptions):
    """How the fields are told apart, and which lines are none of the table.

    `delimiter`: one character between the fields, or the word `tab`. `quote`: the sign around values that hold
    one; none: every sign is text. `escape`: the sign before a delimiter, quote, line end or escape that is text.
    `header: false`: no line names the columns, they are the schema's in their order. `skip_lines` of the file are
    before the header, `skip_footer` behind the rows; a line that begins with `comment` is no record.
    """

    delimiter: Annotated[str, AfterValidator(_delimiter)] = ","
    quote: Annotated[Sign, BeforeValidator(_none)] = '"'
    escape: Annotated[Sign, BeforeValidator(_none)] = None
    header: bool = True
    skip_lines: int = Field(0, ge=0, le=MOST_SKIPPED)
    skip_footer: int = Field(0, ge=0, le=LONGEST_FOOTER)
    comment: Annotated[Annotated[str, AfterValidator(_comment)] | None, BeforeValidator(_none)] = None

    @field_validator("quote", "escape", "comment")
    @classmethod
    def _differs(cls, value: str | None, info: ValidationInfo) -> str | None:
        """A sign means one thing; an escape that is the quote is the quote written twice, as always."""
        for other in ("delimiter", "quote", "escape"):
            if other == info.field_name:
                break
            sign = info.data.get(other)
            if value and sign and value.startswith(sign) and (info.field_name, other) != ("escape", "quote"):
                what = "is" if value == sign else "begins with"
                raise ValueError(f"{what} the {other}; give each a sign of its own")
        return value

    @property
    def escape_sign(self) -> str | None:
        """`escape`, unless it is the quote."""
        return None if self.escape == self.quote else self.escape
