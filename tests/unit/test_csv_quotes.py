"""The quotes of a text mean what a reader finds that goes through it byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.formats import csv_quotes
from ingestion.formats.csv_quotes import scan


def byte_by_byte(text: bytes) -> tuple[list[int], list[tuple[int, bool]]]:
    """Quotes that close a value, with something else behind; line ends, and are they in a value?"""
    wrong, lines = [], []
    state = "start"  # of a field; or plain, quoted, closed
    for at, byte in enumerate(text):
        char = chr(byte)
        if char in "\n\r" and text[at : at + 2] != b"\r\n":
            lines.append((at + 1, state == "quoted"))
        if state == "quoted":
            state = "closed" if char == '"' else "quoted"
        elif state == "closed" and char == '"':
            state = "quoted"
        elif char in ",\n\r":
            state = "start"
        elif state == "closed":
            wrong.append(at - 1)
            state = "plain"
        elif state == "start":
            state = "quoted" if char == '"' else "plain"
    return wrong, lines


PLAIN = st.sampled_from(['"a"', '""', '"x, y"', "b", "", '"p""q"', '"l\nm"', '12"', "é" * 9])
LINES = st.lists(st.lists(PLAIN, min_size=1, max_size=9).map(",".join), max_size=12)


@settings(max_examples=300, deadline=None)
@given(
    text=st.one_of(
        st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"])).map(lambda t: t[1].join([*t[0], ""])),
        st.text(alphabet='"",a\n\r', max_size=200),
    ),
    size=st.sampled_from([64, 128, 1 << 16]),
)
def test_the_quick_look_says_what_a_slow_one_says(text: str, size: int) -> None:
    data = b'"",' + text.encode() + b"\n"  # a text that is scanned holds a quote, and ends with a line end
    wrong, lines = byte_by_byte(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_quotes, "SLICE", size)
        found = scan(data, ord(","))
    if found is None:
        assert not wrong
        assert not any(within for _, within in lines)
        return
    first_wrong = wrong[:1]
    assert found.wrong.tolist()[:1] == first_wrong
    end = first_wrong[0] if first_wrong else len(data) + 1  # behind it the two may differ: the record is malformed
    assert [one for one in zip(found.lines.tolist(), found.within.tolist(), strict=True) if one[0] < end] == [
        one for one in lines if one[0] < end
    ]


def test_quotes_that_are_right_take_the_quick_way() -> None:
    assert scan(b'"a","b ""c"", d",\n' * 5_000, ord(",")) is None
    assert scan(b'"a","b\nc"\n' * 5_000, ord(",")) is not None
