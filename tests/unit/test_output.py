"""Tables on the screen, as wide as the terminal is."""

from __future__ import annotations

import datetime as dt
import io
import sys

import pytest

from workbench import output

ROW = {
    "file_id": 12_345,
    "processed_at": dt.datetime(2026, 2, 20, 9, 5, 7, tzinfo=dt.UTC),
    "file_name": "a_file_with_a_long_name_that_is_broken_first.json",
    "total_records": 1_234_567,
    "inserted_records": 1_234_000,
    "quarantined": 567,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [80, 200])
def test_numbers_and_times_are_never_broken(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    for name, value in {"COLUMNS": str(width), "LINES": "25", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    output.show_rows([ROW], as_json=False)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    row = next(line for line in lines if "12345" in line)
    assert all(text in row for text in ("2026-02-20 09:05:07", "1,234,567", "1,234,000", "567"))
    assert ("total_records" in screen.getvalue()) == (width == 200), "headings are the columns' names if they fit"
