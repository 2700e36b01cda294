"""Phone numbers as a country writes them, by the metadata of libphonenumber."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Literal

from phonenumbers import SUPPORTED_REGIONS, PhoneMetadata
from pydantic import AfterValidator

from config.model import Model
from config.schema import Column


def _known(region: str) -> str:
    if region not in SUPPORTED_REGIONS:
        raise ValueError("is no country by its two letters, as in DE")
    return region


class PhoneForm(Model):
    """Numbers of `region` (ISO 3166, two letters), of one kind or of any; `international`: also with its code."""

    region: Annotated[str, AfterValidator(_known)]
    kind: Literal["mobile", "fixed_line", "any"] = "any"
    international: bool = False


_KINDS = ("mobile", "fixed_line", "toll_free", "premium_rate", "shared_cost", "voip", "uan", "personal_number")


@cache
def national_pattern(form: PhoneForm) -> str:
    """The regular expression (RE2) of a number without the prefix that is dialled within the country."""
    metadata = _metadata(form.region)
    kinds = _KINDS if form.kind == "any" else (form.kind,)
    patterns = [found.national_number_pattern for kind in kinds if (found := getattr(metadata, kind))]
    return "|".join(f"(?:{pattern})" for pattern in patterns if pattern) or "[^\\s\\S]"


@cache
def pattern(form: PhoneForm) -> str:
    """The regular expression (RE2) of a number as exports write it: without its prefix, perhaps, and with `.0`."""
    prefix = re.escape(_metadata(form.region).national_prefix or "")
    start = f"(?:{prefix})?" if prefix else ""
    if form.international:
        start = rf"(?:{start}|(?:\+|00){_metadata(form.region).country_code})"
    return rf"{start}(?:{national_pattern(form)})(?:\.0+)?"


def form_of(column: Column) -> PhoneForm | None:
    """What the rule `phone` of a column says."""
    return _form(*column.rules["phone"].items()) if "phone" in column.rules else None


@cache  # asked for each refused row
def _form(*keys: tuple[str, object]) -> PhoneForm:
    return PhoneForm.model_validate(dict(keys))


def in_national_form(digits: str, form: PhoneForm) -> str:
    """A number of the country as it is dialled within it, however it is written; others as they are."""
    prefix, shape = _national(form)
    found = shape.fullmatch(digits)
    return f"{prefix}{found[1]}" if found else digits


@cache  # asked for each number
def _national(form: PhoneForm) -> tuple[str, re.Pattern[str]]:
    """The prefix, and the expression of a number without it or with the country's code, in whose group it is."""
    metadata = _metadata(form.region)
    shape = rf"(?:(?:\+|00){metadata.country_code})?({national_pattern(form)})"
    return metadata.national_prefix or "", re.compile(shape)


def _metadata(region: str) -> PhoneMetadata:
    found = PhoneMetadata.metadata_for_region(region)
    assert found is not None  # noqa: S101  (it is one of the supported regions)
    return found
