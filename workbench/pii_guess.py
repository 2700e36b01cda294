"""What kind of personal data a column holds, by its name and its values."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype, PiiKind
from workbench.value_tests import MOST, is_readable, share

_NAMES_OF_PII = (
    (PiiKind.EMAIL, re.compile(r"e?_?mail"), r"^[^@\s]+@[^@\s]+$"),
    (
        PiiKind.PHONE,
        re.compile(r"phone|mobile|msisdn|(^|_)(tel|cell|fax)($|_)"),
        r"^[+(]?[0-9][0-9 ()./_-]{5,20}(\.0)?$",
    ),
    (
        PiiKind.TEXT,
        re.compile(r"national_?id|(^|_)(ssn|nid|iban)($|_)|passport|tax_?id"),
        r"^[A-Za-z0-9 ./-]{5,40}$",
    ),
)
_EMAIL = r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}$"


def pii_of(name: str, values: pa.Array) -> PiiKind | None:
    """What kind of personal data it is: by a name that the values bear out, or by content that checks out.

    By content that is e-mails, phone numbers with their country, IBANs and card numbers; a long number or an order
    number is none of them.
    """
    if len(values) == 0 or is_readable(Dtype.BOOL, values):
        return None
    if share(values, pc.match_substring_regex(values, _EMAIL)) > MOST:
        return PiiKind.EMAIL
    for kind, named, form in _NAMES_OF_PII:
        if named.search(name.lower()) and share(values, pc.match_substring_regex(values, form)) > MOST:
            return kind
    some = values.slice(0, 200).to_pylist()
    if sum(map(_is_phone_with_country, some)) > MOST * len(some):
        return PiiKind.PHONE
    if sum(_is_checked_number(value) for value in some) > MOST * len(some) and len(set(some)) > 2:
        return PiiKind.TEXT
    return None


def _is_phone_with_country(text: str) -> bool:
    if not text.startswith(("+", "00")):
        return False
    import phonenumbers  # here alone: 0.2 s

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(f"+{text.lstrip('+0')}", None)))
    except phonenumbers.NumberParseException:
        return False


def _is_checked_number(text: str) -> bool:
    """An IBAN or the number of a card, by their check digits."""
    from stdnum import iban, luhn

    if re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9 ]{11,30}", text):
        return bool(iban.is_valid(text))
    digits = re.sub(r"[ -]", "", text)
    return re.fullmatch(r"[3-6][0-9]{14,15}", digits) is not None and bool(luhn.is_valid(digits))
