"""Rules of texts that the world has agreed on: addresses, numbers with a check digit, identifiers."""

from __future__ import annotations

import re
from importlib import import_module
from ipaddress import ip_address
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, Field

from config.model import Model, as_list
from validation import phones
from validation.phones import PhoneForm
from validation.rules.registry import TEXT, each, none, rule
from validation.rules.text import matches

_ANY_DOMAIN = r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_UUID = r"(?i:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"


class EmailForm(Model):
    """`domains`: the ones that are taken, without a dot before them."""

    domains: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$")], ...] = Field(min_length=1)


class UrlForm(Model):
    """`schemes`: what may stand before `://`."""

    schemes: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*$")], ...] = Field(
        ("http", "https"), min_length=1
    )


class IpForm(Model):
    """Of one version alone."""

    version: Literal[4, 6]


class IbanForm(Model):
    """`countries`, by their two letters."""

    countries: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = Field(min_length=1)


def _module_of(kind: str) -> str:
    """The module of python-stdnum that checks such numbers: isbn, luhn, de.vat, us.ssn."""
    if re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)?", kind) is None or not hasattr(_checker(kind), "is_valid"):
        raise ValueError("is no kind of number that python-stdnum checks, as isbn, luhn, ean, de.vat or us.ssn")
    return kind


def _checker(kind: str) -> Any:
    try:
        return import_module(f"stdnum.{kind}")
    except ImportError:
        return None


Kinds = Annotated[
    tuple[Annotated[str, AfterValidator(_module_of)], ...], BeforeValidator(as_list), Field(min_length=1)
]


@rule(*TEXT)
def email(values: pa.Array, form: bool | EmailForm) -> pa.Array:
    """A text that isn't name@domain, with letters, digits, dots and dashes, or not of one of the `domains`, breaks
    it. A domain is whole (example.org), or one that others end with (org)."""
    if form is False:
        return none(values)
    domains = form.domains if isinstance(form, EmailForm) else ()
    ends = "|".join((r"(?:[a-z0-9.-]+\.)?" if "." in d else r"[a-z0-9.-]+\.") + re.escape(d) for d in domains)
    return matches(values, rf"(?i:[a-z0-9._%+-]+@(?:{ends or _ANY_DOMAIN}))")


@rule(*TEXT)
def phone(values: pa.Array, form: PhoneForm) -> pa.Array:
    """A text that isn't a phone number of the region, and kind, breaks it.

    The national prefix may be lost, and `.0` added, where an export wrote the column as numbers.
    """
    return matches(values, phones.pattern(form))


@rule(*TEXT)
def url(values: pa.Array, form: bool | UrlForm) -> pa.Array:
    """A text that isn't scheme://host, with a port, path, query or fragment or without, breaks it (RFC 3986)."""
    if form is False:
        return none(values)
    schemes = "|".join(map(re.escape, (form if isinstance(form, UrlForm) else UrlForm()).schemes))
    user = r"(?:[a-z0-9._~%!$&'()*+,;=:-]*@)?"
    rest = r"(?:[/?#][a-z0-9._~%!$&'()*+,;=:@/?#\[\]-]*)?"
    return matches(values, rf"(?i:(?:{schemes})://{user}(?:{_HOST}|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?{rest})")


@rule(*TEXT)
def hostname(values: pa.Array, wanted: bool) -> pa.Array:
    """A text that isn't a name of letters, digits and hyphens between dots breaks it (RFC 1123)."""
    return matches(values, rf"(?i:{_HOST})") if wanted else none(values)


@rule(*TEXT)
def uuid(values: pa.Array, wanted: bool) -> pa.Array:
    """A text that isn't a UUID with its hyphens breaks it."""
    return matches(values, _UUID) if wanted else none(values)


@rule(*TEXT)
def ip(values: pa.Array, form: bool | IpForm) -> pa.Array:
    """A text that isn't an IP address breaks it, or of another version."""
    if form is False:
        return none(values)
    versions = {form.version} if isinstance(form, IpForm) else {4, 6}
    return each(values, lambda text: text is not None and _version(text) not in versions)


@rule(*TEXT)
def iban(values: pa.Array, form: bool | IbanForm) -> pa.Array:
    """A text that isn't an IBAN by its length, country and check digits breaks it; it may have blanks in it."""
    if form is False:
        return none(values)
    is_valid = _checker("iban").is_valid
    countries = form.countries if isinstance(form, IbanForm) else None

    def breaks(text: str | None) -> bool:
        if text is None:
            return False
        return not is_valid(text) or (countries is not None and text.strip()[:2].upper() not in countries)

    return each(values, breaks)


@rule(*TEXT)
def checked_id(values: pa.Array, kinds: Kinds) -> pa.Array:
    """A text that isn't a number of one of these kinds of python-stdnum, by form and check digits, breaks it."""
    checkers = [_checker(kind) for kind in kinds]
    return each(values, lambda text: text is not None and not any(one.is_valid(text) for one in checkers))


def _version(text: str) -> int | None:
    try:
        return ip_address(text).version
    except ValueError:
        return None
