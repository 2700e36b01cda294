"""Sensitive values in the one way of writing them, so that one person is judged and hashed the same everywhere."""

from __future__ import annotations

import re
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

from config.model import PiiKind
from validation.phones import PhoneForm, in_national_form

# What nobody sees: zero-width characters, marks of direction, soft hyphens, variation selectors.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_BETWEEN_DIGITS = re.compile(r"[\s()\[\]{}./\\_\u00b7\u2010-\u2015\u2022\u2212-]")  # as people write phone numbers
_BETWEEN_DIGITS_ASCII = r"[\t-\r\x1c-\x1f ()\[\]{}./\\_-]"  # those of them, for RE2
_WHOLE_AS_FLOAT = r"^([0-9]+)\.0+$"  # an export writes whole numbers so where the column has gaps
# Values that `tidied` leaves as they are, by kind: most are.
_TIDY = {
    PiiKind.EMAIL: r"^[!-~]*$",
    PiiKind.PHONE: r"^\+?[0-9]*$",
    PiiKind.TEXT: r"^[!-~]([ -~]*[!-~])?$",
}


def plain(text: str) -> str:
    """`text` in the usual characters (NFKC: no full-width digits and signs), without invisible ones."""
    return text if text.isascii() else _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))


def tidied(text: str, kind: PiiKind) -> str:
    """The value as it is judged: plain, without blanks around it; of whole numbers `.0` is cut.

    Of a phone number what stands between the digits is dropped, and of an e-mail nothing: it is one word.
    """
    text = plain(text).strip()
    if kind is PiiKind.EMAIL:
        return text
    text = re.sub(_WHOLE_AS_FLOAT, r"\1", text)
    if kind is PiiKind.PHONE:
        digits = _BETWEEN_DIGITS.sub("", text)
        return digits if re.fullmatch(r"\+?[0-9]+", digits) else text
    return text


def canonical(text: str, kind: PiiKind, form: PhoneForm | None = None) -> str:
    """The value as it is hashed: tidied; an e-mail in lower case, a phone number of the column's `form` as it is
    dialled within its country."""
    text = tidied(text, kind)
    if kind is PiiKind.EMAIL:
        return text.lower()
    return in_national_form(text, form) if kind is PiiKind.PHONE and form else text


def all_tidied(texts: pa.Array, kind: PiiKind) -> pa.Array:
    """`tidied` of each of `texts`, quick where they are tidy."""
    if kind is not PiiKind.EMAIL:
        texts = pc.replace_substring_regex(texts, _WHOLE_AS_FLOAT, r"\1")
    if kind is PiiKind.PHONE:
        digits = pc.replace_substring_regex(texts, _BETWEEN_DIGITS_ASCII, "")
        texts = pc.if_else(pc.match_substring_regex(digits, r"^\+?[0-9]+$"), digits, texts)
    tidy = pc.match_substring_regex(texts, _TIDY[kind])
    if pc.all(tidy).as_py() is not False:
        return texts
    odd = pc.fill_null(pc.invert(tidy), fill_value=False)
    distinct = pc.dictionary_encode(texts.filter(odd))
    put_right = pa.array([tidied(text, kind) for text in distinct.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(texts, odd, put_right.take(distinct.indices))
