"""One clean CSV file, polluted in every way at every place, judged cell by cell.

The idea is that of the Pollock benchmark (Vitagliano, Hameed, Jiang, Reisener, Wu, Naumann: Pollock: A Data
Loading Benchmark. PVLDB 16(8), 2023).
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from config.errors import FileRejected
from config.model import Dtype
from config.schema import Column, Schema
from ingestion.formats.csv_format import read_csv
from ingestion.formats.csv_options import CsvOptions

NAMES = ("id", "name", "note", "price", "day")
SCHEMA = Schema(
    name="items",
    primary_key="id",
    columns=tuple(
        Column(name=name, dtype=dtype)
        for name, dtype in zip(NAMES, (Dtype.INT, Dtype.STR, Dtype.STR, Dtype.FLOAT, Dtype.DATETIME), strict=True)
    ),
)
HEADER = "id,name,note,price,day\n"
RECORDS = (
    "1,Ahmed,plain words,10.50,2026-02-20\n",
    '2,"Nour, the second","said ""no"" to it",11.00,2026-02-21\n',
    "3,,,,\n",
    '4,"","a note\nof two lines",12.00,2026-02-22\n',
    '5,12" pizza,Köln,13.00,2026-02-23\n',
    '"6","Sara","all quoted","14.00","2026-02-24"\n',
    '7,"Lines","one\ntwo, with a comma\nthree",15.00,2026-02-25\n',
    "8,last,row,16.00,2026-02-26\n",
)
CLEAN = HEADER + "".join(RECORDS)
Row = tuple[str, ...]


def parsed(text: str) -> list[Row]:
    """As Python's strict reader has it, up to the first thing that it refuses."""
    rows: list[Row] = []
    with contextlib.suppress(csv.Error):
        rows += (tuple(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row)
    return [row for row in rows if len(row) == len(NAMES)]


EXPECTED = dict(zip(RECORDS, parsed(CLEAN)[1:], strict=True))


def loaded(data: bytes, delimiter: str = ",") -> list[Row]:
    """The rows that the pipeline reads; raises FileRejected."""
    rows: list[Row] = []
    for chunk in read_csv(io.BytesIO(data), SCHEMA, 100, CsvOptions(delimiter=delimiter)):
        columns = (chunk.columns[name].to_pylist() for name in NAMES)
        rows += zip(*([value or "" for value in column] for column in columns), strict=True)
    return rows


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Callable[[str], list[Row]]]:
    """As DuckDB's strict reader has it, without the lines that it refuses."""
    path, connection = tmp_path / "polluted.csv", duckdb.connect()
    columns = "{" + ", ".join(f"'{name}': 'VARCHAR'" for name in NAMES) + "}"

    def rows(text: str) -> list[Row]:
        path.write_text(text, encoding="utf-8", newline="")
        try:
            found = connection.execute(
                f"FROM read_csv('{path}', auto_detect = false, header = true, columns = {columns}, delim = ',',"
                " quote = '\"', escape = '\"', strict_mode = true, ignore_errors = true)"
            ).fetchall()
        except duckdb.Error:
            return []
        return [tuple(value or "" for value in row) for row in found]

    yield rows
    connection.close()


def places(within: str = CLEAN) -> Iterator[int]:
    return iter(range(len(HEADER), len(within) + 1))


def inserted(what: str) -> Callable[[], Iterator[tuple[int, int, str]]]:
    def everywhere() -> Iterator[tuple[int, int, str]]:
        for at in places():
            yield at, at, CLEAN[:at] + what + CLEAN[at:]

    return everywhere


def replaced(old: str, new: str) -> Callable[[], Iterator[tuple[int, int, str]]]:
    def everywhere() -> Iterator[tuple[int, int, str]]:
        for at in places():
            if CLEAN.startswith(old, at):
                yield at, at + len(old), CLEAN[:at] + new + CLEAN[at + len(old) :]

    return everywhere


def two_quotes() -> Iterator[tuple[int, int, str]]:
    """A stray quote at the start of a value, and one at the end of the same or of a later one."""
    starts = [at for at in places() if CLEAN[at - 1] in ",\n"]
    ends = [at for at in places() if CLEAN[at : at + 1] in {",", "\n"}]
    for start in starts:
        for end in ends:
            if end >= start:
                yield start, end, f'{CLEAN[:start]}"{CLEAN[start:end]}"{CLEAN[end:]}'


def ended() -> Iterator[tuple[int, int, str]]:
    for at in places():
        yield at, len(CLEAN), CLEAN[:at]


def every_line(change: Callable[[str], str]) -> Callable[[], Iterator[tuple[int, int, str]]]:
    """A change of one physical line, whichever."""

    def everywhere() -> Iterator[tuple[int, int, str]]:
        at = 0
        for line in CLEAN.splitlines(keepends=True):
            if at >= len(HEADER):
                yield at, at + len(line) - 1, CLEAN[:at] + change(line) + CLEAN[at + len(line) :]
            at += len(line)

    return everywhere


POLLUTIONS: dict[str, Callable[[], Iterator[tuple[int, int, str]]]] = {
    "a stray quote": inserted('"'),
    "two quotes": inserted('""'),
    "a lost quote": replaced('"', ""),
    "a single quote for a double one": replaced('"', "'"),
    "a quote escaped by a backslash": replaced('""', '\\"'),
    "a delimiter too many": inserted(","),
    "a delimiter too few": replaced(",", ""),
    "another delimiter": replaced(",", ";"),
    "a blank behind the delimiter": replaced(",", ", "),
    "a blank before the delimiter": replaced(",", " ,"),
    "a line end too many": inserted("\n"),
    "a CR within": inserted("\r"),
    "a line end too few": replaced("\n", ""),
    "CR for LF": replaced("\n", "\r"),
    "CR LF for LF": replaced("\n", "\r\n"),
    "a backslash": inserted("\\"),
    "a NUL": inserted("\0"),
    "a byte order mark": inserted("\ufeff"),
    "a field more": every_line(lambda line: line.rstrip("\n") + ",more\n"),
    "a field less": every_line(lambda line: line.rpartition(",")[0] + "\n"),
    "a line lost": every_line(lambda _: ""),
    "a line twice": every_line(lambda line: line + line),
    "an empty line": every_line(lambda line: "\n" + line),
    "a line of blanks": every_line(lambda line: "   \n" + line),
    "a comment": every_line(lambda line: "# a remark\n" + line),
    "the header again": every_line(lambda line: HEADER + line),
    "a table of another kind": every_line(lambda line: "x,y\n1,2\n" + line),
    "the file ends": ended,
}


@pytest.mark.parametrize("pollution", POLLUTIONS)
def test_no_wrong_value_is_loaded_that_a_strict_reader_refuses(
    pollution: str, duck: Callable[[str], list[Row]]
) -> None:
    wrong = []
    for start, _, text in POLLUTIONS[pollution]():
        odd = [row for row in loaded(text.encode()) if row not in EXPECTED.values()]
        if odd and (odd := [row for row in odd if row not in parsed(text)]):
            strict = duck(text)
            wrong += [(start, row) for row in odd if row not in strict]
    assert wrong == []


def test_two_stray_quotes_load_no_value_that_a_strict_reader_refuses(duck: Callable[[str], list[Row]]) -> None:
    """What is read of a line that was given back is what such a reader reads from that line on."""
    wrong = []
    for start, end, text in two_quotes():
        odd = [row for row in loaded(text.encode()) if row not in EXPECTED.values()]
        lines = text.splitlines(keepends=True)
        alone = {row for at in range(len(lines)) for row in parsed("".join(lines[at:]))[:1]}
        if odd and (odd := [row for row in odd if row not in alone and row not in parsed(text)]):
            strict = duck(text)
            wrong += [(start, end, row) for row in odd if row not in strict]
    assert wrong == []


@pytest.mark.parametrize("pollution", [*POLLUTIONS, "two quotes about values"])
def test_no_row_is_lost_that_was_not_polluted(pollution: str) -> None:
    lost = []
    for start, end, text in {**POLLUTIONS, "two quotes about values": two_quotes}[pollution]():
        rows, begin = loaded(text.encode()), len(HEADER)
        for record, row in EXPECTED.items():
            behind = begin + len(record)
            if (behind < start or begin > end) and row not in rows:
                lost.append((start, row[0]))
            begin = behind
    assert lost == []


def as_written(delimiter: str = ",", end: str = "\n") -> bytes:
    """All records of the clean file, written in another way."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([NAMES, *EXPECTED.values()])
    return text.getvalue().encode()


HALF = len("".join(RECORDS[:4]))
BODY = "".join(RECORDS)
WHOLE: dict[str, bytes] = {
    "as it is": CLEAN.encode(),
    "with a byte order mark": CLEAN.encode("utf-8-sig"),
    "without its last line end": CLEAN[:-1].encode(),
    "with empty lines behind it": f"{CLEAN}\n\n".encode(),
    "with empty lines before it": f"\n\n{CLEAN}".encode(),
    "with lines ended by CR LF": as_written(end="\r\n"),
    "with lines ended by CR": as_written(end="\r"),
    "with all line ends mixed": (HEADER + BODY[:HALF].replace("\n", "\r\n") + BODY[HALF:]).encode(),
    "with a quoted header": ('"id","name","note","price","day"\n' + BODY).encode(),
    "with blanks about the names": (" id , name,note ,price,\tday\n" + BODY).encode(),
    "with Excel's line": f"sep=,\n{CLEAN}".encode(),
    "with Excel's line and semicolons": b"\xef\xbb\xbfsep=;\r\n" + as_written(delimiter=";", end="\r\n"),
    "in UTF-16 with a byte order mark": CLEAN.encode("utf-16"),
    "with a line behind it": f"{CLEAN}8 rows in all\n".encode(),
}


@pytest.mark.parametrize("how", WHOLE)
def test_a_file_with_a_header_loads_all_its_good_rows(how: str) -> None:
    rows = [tuple(value.replace("\r\n", "\n") for value in row) for row in loaded(WHOLE[how])]
    assert rows == list(EXPECTED.values())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (as_written(delimiter=";"), r"looks separated by ';'; the YAML says ','"),
        (as_written(delimiter="\t"), r"looks separated by tab; the YAML says ','"),
        (as_written(delimiter="|"), r"looks separated by '\|'; the YAML says ','"),
        (CLEAN.replace(HEADER, "ID;Name;Note;Price;Day\n").replace(",", ";").encode(), "looks separated by ';'"),
        (CLEAN.replace(HEADER, "id;name;note;price\n").encode(), "looks separated by ';'"),
        (b"sep=;\n" + CLEAN.encode(), r"looks separated by ','; its sep= line says ';'"),
        (CLEAN.removeprefix(HEADER).encode(), "looks like values: has the file no header line"),
        (b'id,"name"x,note,price,day\n1,2,3,4,5\n', "quotes of the header"),
        (b'id,"name,note,price,day\n1,2,3,4,5\n', "quotes of the header"),
        (f"List of items\n{CLEAN}".encode(), r"line 2 names the columns; .*: read: \{skip_lines: 1\}"),
        (CLEAN.encode("utf-16-le"), "looks like UTF-16"),
        (CLEAN.encode("utf-16-be"), "looks like UTF-16"),
        (CLEAN.encode("latin-1"), r"not UTF-8 .* line 7, byte \d+; it looks like cp1252: read: \{enc"),
        (
            CLEAN.replace(",note", ",nöte").encode("latin-1"),
            "not UTF-8 text at line 1, byte 10; it looks like cp1252",
        ),
        (
            CLEAN.encode()[:20] + b"\x81" + CLEAN.encode()[20:],
            "not UTF-8 text at line 1, byte 21; the text around",
        ),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00", "an Excel workbook"),
        (b"\x1f\x8b\x08\x08\n", "packed with gzip"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n\n", "is empty"),
        (b"sep=;\n", "is empty"),
    ],
)
def test_a_file_of_another_kind_is_told_what_it_looks_like(data: bytes, reason: str) -> None:
    with pytest.raises(FileRejected, match=reason):
        loaded(data)


def test_a_message_about_a_dialect_quotes_no_value() -> None:
    for data in (as_written(delimiter=";"), CLEAN.removeprefix(HEADER).encode(), CLEAN.encode("latin-1")):
        with pytest.raises(FileRejected) as problem:
            loaded(data)
        assert "Ahmed" not in str(problem.value)
