"""The report for the people who send the files: one page, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ingestion.file_check import FileCheck, ReasonCount

# What a rule means, for a reader who has not the configuration at hand. Others are told by their name.
MEANINGS = {
    "dtype": "the value can't be read as what this column holds (number, date, yes or no)",
    "not_null": "the value is missing",
    "required": "the value is missing",
    "required_when": "the value is missing, and another column asks for it",
    "allowed_values": "the value is not one of those agreed",
    "too_long": "the text is too long",
    "out_of_range": "the number is too large",
    "at_least": "the number is too small",
    "at_most": "the number is too large",
    "email": "not an e-mail address, or not of the domains agreed",
    "phone": "not a phone number of the country and kind agreed",
    "length": "the text has not the agreed number of characters",
    "greater_than": "the value is too small",
    "less_than": "the value is too large",
    "between": "the value lies outside the agreed range",
    "equals": "the value is not the one that it should be",
    "differs_from": "the value is one that it should not be",
    "in": "the value is not one of those agreed",
    "not_in": "the value is one of those that are not taken",
    "multiple_of": "the number is no multiple of the agreed step",
    "decimals": "the number has too many digits behind the point",
    "unique": "an earlier row of the file has this value",
    "increasing": "an earlier row of the file has a greater value",
    "empty_when": "there is a value, where another column says that there is none",
    "not_blank": "there is nothing but blanks",
    "starts_with": "the text does not begin as agreed",
    "ends_with": "the text does not end as agreed",
    "contains": "the text does not hold what was agreed",
    "not_contains": "the text holds what it should not",
    "not_matches": "the text has a form that is not taken",
    "trimmed": "there are blanks at the beginning or the end",
    "lower": "there are capital letters",
    "upper": "there are small letters",
    "digits": "there is something else than digits, or another number of them",
    "ascii": "there are letters or signs beyond the English ones (ASCII)",
    "single_line": "there is a line end, a tab or another control character",
    "url": "not a web address, or not of the schemes agreed",
    "hostname": "not the name of a host",
    "uuid": "not a UUID",
    "ip": "not an IP address, or not of the version agreed",
    "iban": "not an IBAN: its country, length or check digits are wrong",
    "checked_id": "not a number of the agreed kind: its form or check digits are wrong",
    "not_in_future": "the time lies in the future",
    "not_in_past": "the time lies in the past",
    "within": "the time lies too far from now",
    "matches": "the text has not the agreed form",
    "date_in_range": "the date lies outside the agreed range",
    "duplicate": "a row with this key came before",
    "parent_missing": "it refers to a row that is not there (yet)",
    "too_many_fields": "the row has more fields than the header",
    "too_few_fields": "the row has fewer fields than the header",
    "bad_quotes": "the quotes of the row are not right: one too many, or one too few",
    "not_an_object": "the record is not an object",
    "no_object_at_path": "there is another value where the record should have an object with values within",
    "not_an_array": "there is another value where the record should have an array",
    "not_json": "the line, or this value of it (a bare NaN or Infinity), is not JSON",
    "not_utf8": "the line is not text in its encoding",
    "line_too_long": "the line is too long to be read",
    "nested_too_deeply": "values are nested too deeply",
    "lone_surrogate": "the text holds half a character (a lone surrogate)",
    "unexpected_column": "the record has a key that is not agreed",
    "key_given_twice": "the record names a key twice",
    "error_value": "the cell holds an error, as #N/A, in the place of a value",
    "merged_cell": "the cell is merged with another one, which has the value",
    "digits_lost": "the number has more digits than a workbook keeps; write it as text",
}

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1b1b; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
caption { text-align: left; font-weight: bold; padding: .5rem 0; }
th, td { border: 1px solid #767676; padding: .35rem .6rem; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.value { font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.bad { color: #a40000; } .good { color: #00602b; }
@media (prefers-color-scheme: dark) {
  body { color: #eee; background: #161616; } .bad { color: #ff9c9c; } .good { color: #8fe0a8; }
}
"""


def page(checks: Sequence[FileCheck]) -> str:
    """The whole page as HTML. Values are escaped; they come masked."""
    files = {one.path: all(other.passed for other in checks if other.path == one.path) for one in checks}
    summary = f"{sum(files.values())} of {len(files)} files without a problem."
    now = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>File check: {summary}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>File check</h1>\n<p>{summary} Checked {now}. Personal data is shown as hashes.</p>\n"
        f"{_overview(checks)}{''.join(map(_section, checks))}</main>\n</body>\n</html>\n"
    )


def _name(one: FileCheck) -> str:
    """The file's, and the type's where its rows are in arrays of the file's records."""
    name = one.shown or Path(one.path).name
    return f"{name} → {one.name}" if one.within else name


def _overview(checks: Sequence[FileCheck]) -> str:
    rows = []
    for one in checks:
        verdict = '<span class="good">good</span>' if one.passed else '<span class="bad">problems</span>'
        figures = "".join(f'<td class="number">{count:,}</td>' for count in (one.total, one.good, one.refused))
        rows.append(f'<tr><th scope="row">{escape(_name(one))}</th><td>{verdict}</td>{figures}</tr>\n')
    return _table("All files", ("File", "Verdict", "Rows", "Good", "Refused"), rows)


def _section(one: FileCheck) -> str:
    parts = [f"<section>\n<h2>{escape(_name(one))}</h2>\n"]
    if one.error is not None:
        parts.append(f'<p class="bad">The file is refused as a whole: {escape(one.error)}.</p>\n')
    elif one.refused == 0:
        parts.append(f'<p class="good">All {one.total:,} rows are good.</p>\n')
    else:
        parts.append(f'<p class="bad">{one.refused:,} of {one.total:,} rows are refused.</p>\n')
    parts += [f"<p>{escape(note)}</p>\n" for note in one.notes]
    if one.drift:
        told = (f"<tr><td>{escape(column.told)}</td></tr>\n" for column in one.drift)
        parts.append(_table("Columns that are not as agreed", ("Column, and what becomes of it",), told))
    if one.reasons:
        header = ("Column", "Problem", "Rows", "For example, row", "Value")
        parts.append(_table("What to correct; a row may have several problems", header, _reason_rows(one.reasons)))
    if one.warnings:
        parts.append(f"<p>{one.warned:,} rows are good, and look odd.</p>\n")
        header = ("Column", "What is odd", "Rows", "For example, row", "Value")
        parts.append(_table("What to look at", header, _reason_rows(one.warnings)))
    return "".join([*parts, "</section>\n"])


def _reason_rows(reasons: Iterable[ReasonCount]) -> Iterable[str]:
    for reason in reasons:
        span = f' rowspan="{len(reason.examples)}"' if len(reason.examples) > 1 else ""
        column = escape(reason.column) if reason.column else "(the whole row)"
        meaning = escape(reason.says) if reason.says else MEANINGS.get(reason.rule, "")
        problem = f"{escape(reason.rule)}: {meaning}" if meaning else escape(reason.rule)
        head = f'<th scope="row"{span}>{column}</th><td{span}>{problem}</td>'
        head += f'<td{span} class="number">{reason.rows:,}</td>'
        for example in reason.examples:
            value = "(empty)" if example.value is None or not example.value.strip() else escape(example.value)
            yield f'<tr>{head}<td class="number">{example.row_number:,}</td><td class="value">{value}</td></tr>\n'
            head = ""


def _table(caption: str, header: Sequence[str], rows: Iterable[str]) -> str:
    cells = "".join(f'<th scope="col">{name}</th>' for name in header)
    return (
        f"<table>\n<caption>{caption}</caption>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n"
        f"{''.join(rows)}</tbody>\n</table>\n"
    )
