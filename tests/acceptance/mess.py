"""Rows as they should not be: seeded, one field after another replaced by what has been seen in bad exports."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.acceptance import samples
from tests.acceptance.oracle_rules import Column, Spec

PLACEHOLDERS = ("", "nan", " NaN ", "NULL", "null", "None", "NA", "n/a", "N/A", "   ")
NASTY: dict[str, tuple[Any, ...]] = {
    "int": (
        *("370.0", "3.7", "-1", "-1.0", "1e3", "1_000", "0x1F", "abc", " 1 ", "+1", "01", "1.", "1,000", "1\x00"),
        *("2147483647", "2147483648", "-2147483649", "9007199254740993", "9223372036854775808", 1.0, 0, True),
    ),
    "float": (
        *(
            "1e2",
            "1e999",
            "-1e999",
            "inf",
            "-Infinity",
            "-0.01",
            "5.01",
            "1.005",
            "0.1234567",
            "1,5",
            "12 EGP",
            ".5",
        ),
        *(
            "99999999.99",
            "99999999.995",
            "999999.995",
            "5.",
            "+0.5",
            " 1.25 ",
            "1e-3",
            "--1",
            1.0,
            0,
            1e300,
            4.999,
        ),
    ),
    "bool": (
        *(
            "True",
            "FALSE",
            "1",
            "0",
            "1.0",
            "0.0",
            "yes",
            "No",
            "T",
            "f",
            "Y",
            "n",
            "on",
            "2",
            "maybe",
            True,
            False,
        ),
    ),
    "datetime": (
        *("2026-02-20", "2026-02-20 09:30", "2026-02-20T09:30:15Z", "2026-02-20T09:30:15.123456789"),
        *("2026-02-20T23:30:00-05:00", "2026-02-20 00:30:00+02:00", "2026-02-20T10:00:00+02", "2026-02-30"),
        *("20/02/2026", "2026-02-20T25:00", "invalid", "1708387200", "1999-12-31T23:59:59", "2101-01-01"),
        *("0001-01-01", "9999-12-31", "2000-01-01T00:30:00+02:00", "1500-06-01", "2026-2-3", "2024-02-29"),
        *("2023-02-29", 1708387200),
    ),
    "str": (
        *("  padded  ", "x" * 300, "é" * 36, "日本語", "a,b", 'say "hi"', "two\nlines", "=1+1", "😀" * 20),
        *(
            "'; DROP TABLE quarantine;--",
            "{curly}",
            "back\\slash",
            "\\N",
            "tab\there",
            "nul\x00byte",
            "%s %(name)s",
        ),
        *("\u202eright", 7, 1.5, True),
    ),
    "email": (
        *("a.b-c@d-e.f.com", " UPPER@CASE.com ", "a@b.org", "no-at.com", "two@@x.com", "a@b.com.", "a@.com"),
        *("a b@c.com",),
    ),
    "phone": (
        *(
            "1012345678",
            "1012345678.0",
            "01012345678",
            "01312345678",
            "0101234567",
            "+201012345678",
            "010 1234 5678",
        ),
    ),
}
NEVER_WHOLE = {
    "one": b"[1,",
    "rows": b'[["id","v"],["1","a"],["2"',
    "record": b'[{"order_id": "x"},',
    "text": b'[{"order_id": "x',
    "deep": b"[" * 100_000,
    "blanks": b"[" + b" " * 3_000_000,
    "long": b'[{"order_id": "' + b"x" * 20_000_000,
    "brackets": b"[{},{" * 300_000,
    "line": b'{"order_id": "' + b"\xff" * 18_000_000,
    "numbers": b"[" + b"1," * 100_000,
}


def mess_up(
    rows: Iterable[samples.Fields], spec: Spec, dice: random.Random, share: float = 0.5
) -> list[samples.Fields]:
    """`rows` with faults in about `share` of them, in up to three columns, and a repeated key now and then."""
    result: list[samples.Fields] = []
    for original in rows:
        row = dict(original)
        if dice.random() < share:
            for column in dice.sample(spec.columns, dice.choice((1, 1, 2, 3))):
                row[column.name] = _bad_value(column, dice)
        if result and dice.random() < share / 8:
            twin = dice.choice(result)
            row.update({name: twin[name] for name in spec.key})
        result.append(row)
    return result


def _bad_value(column: Column, dice: random.Random) -> Any:
    if dice.random() < 0.2:
        return dice.choice((*PLACEHOLDERS, None))
    kind = column.pii if column.pii in NASTY else column.dtype
    if dice.random() < 0.1:
        kind = dice.choice(list(NASTY))
    return dice.choice(NASTY[str(kind)])


def messy_text(path: Path, rows: list[samples.Fields], dice: random.Random) -> str:
    """The rows as a file for `path`, with some lines broken, the way that a format allows it."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        lines = [samples.csv_text([row]).partition("\n") for row in rows]
        bodies = [_broken(body, dice, _ragged) for _, _, body in lines]
        return f"{lines[0][0]}\n{''.join(bodies)}"
    if name.endswith(".json"):
        return samples.json_text([{k: _bare_nan(v, dice) for k, v in row.items()} for row in rows])
    return "".join(_broken(f"{json.dumps(row)}\n", dice, _cut) for row in rows)


def _broken(line: str, dice: random.Random, way: Callable[[str], str]) -> str:
    return way(line) if "\n" not in line[:-1] and dice.random() < 0.05 else line


def _ragged(line: str) -> str:
    return f"{line[:-1]},one too many\n"


def _cut(line: str) -> str:
    return f"{line[: len(line) // 2]}\n"


def _bare_nan(value: Any, dice: random.Random) -> Any:
    return float("nan") if value is None and dice.random() < 0.5 else value
