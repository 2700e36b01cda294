"""An e-mail address that hides its @ is one, and a sentence with an "at" in it is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.model import Dtype, PiiKind
from config.schema import Column
from tests.specs import spec_of
from validation.pii_handler import PiiHandler
from validation.strays import looks_personal

SPEC = spec_of(
    "people",
    "dim_person",
    Column(name="email", dtype=Dtype.STR, pii=PiiKind.EMAIL),
    Column(name="note", dtype=Dtype.STR),
)
WRITINGS = (
    "someone(at)mail.com",
    "some.one+x (at) mail.com",
    "someone[at]mail.co.uk",
    "someone{AT}mail.com",
    "someone<at>mail.com",
    "someone\uff08at\uff09mail.com",
    "someone [at] mail [dot] com",
    "someone(at)mail(dot)com",
    "someone at mail dot com",
    "someone AT mail DOT com",
    "someone(a)mail.com",
    "someone_at_mail.com",
    "someone%40mail.com",
    "someone&#64;mail.com",
    "someone&#x40;mail.com",
    "someone&commat;mail.com",
    "someone\\u0040mail.com",
    "mail to someone(at)mail.com, please",
    "so\u200bmeone(at)mail.com",
)


@pytest.mark.parametrize("text", WRITINGS)
def test_an_address_that_hides_its_at_is_masked_where_it_strayed_to(text: str) -> None:
    masked = PiiHandler("k" * 16).mask_raw(SPEC, {"id": "1", "email": text, "note": text})
    assert masked["note"].startswith("sha256:")
    assert masked["email"] not in ("", text)
    assert len(masked["email"]) == 64


@pytest.mark.parametrize(
    "text",
    [
        "meet me at example.com",
        "at home",
        "(at)",
        "look (at) this",
        "cat)at(mail",
        "20% 40mail",
        "up 40% at least",
        "we look at a polka dot dress",
        "backup_at_10.30",
        "5 at 3.50",
        "f(a)b",
        "f(a)=2.5",
        "sold at 12.50 dot",
        "100%40",
    ],
)
def test_a_sentence_is_none(text: str) -> None:
    assert not looks_personal(text)


@given(st.text(alphabet="a.(at)[] dot%40&#;_-", max_size=60))
def test_any_text_is_judged(text: str) -> None:
    assert looks_personal(text) in {True, False}


def test_a_long_text_takes_no_time_that_grows_faster_than_it() -> None:
    for part in ("a.", "a(at)", "a at ", "a_at_", "a dot ", "%40"):
        assert looks_personal(part * 100_000) in {True, False}
