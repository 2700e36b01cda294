"""Errors in the cells of an .xls, which calamine does not tell: a stream of records in a compound file.

[MS-CFB] says what a compound file is, [MS-XLS] what the records are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from config.errors import FileRejected

_STREAMS = ("Workbook", "Book")  # since Excel 97, and before
_MINI_LIMIT, _END = 4096, 0xFFFFFFFA  # shorter streams lie in the mini stream; from _END on no sector is meant
_BOF, _EOF, _BOUNDSHEET, _FORMULA, _BOOLERR = 0x0809, 0x000A, 0x0085, 0x0006, 0x0205
_NAMES = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}


def errors_by_sheet(data: bytes) -> Callable[[int], dict[int, dict[int, str]]]:
    """What finds the errors of a sheet by its position: by row, from 1, and column, from 0.

    Both raise struct.error or IndexError where the file is damaged, and FileRejected.
    """
    stream = _workbook_stream(data)
    starts = [struct.unpack_from("<I", body)[0] for kind, body in _records(stream, 0) if kind == _BOUNDSHEET]
    return lambda position: _errors(stream, starts[position])


def _errors(stream: bytes, start: int) -> dict[int, dict[int, str]]:
    errors: dict[int, dict[int, str]] = {}
    for kind, body in _records(stream, start):
        if kind == _BOOLERR and body[7]:
            code = body[6]
        elif kind == _FORMULA and body[12:14] == b"\xff\xff" and body[6] == 2:
            code = body[8]
        else:
            continue
        row, column = struct.unpack_from("<HH", body)
        errors.setdefault(row + 1, {})[column] = _NAMES.get(code, "#ERROR")
    return errors


def _records(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The records from `at` to the end of what begins there; charts within it are not gone through."""
    depth = 0
    while at + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, at)
        depth += (kind == _BOF) - (kind == _EOF)
        if depth <= 0:
            return
        if depth == 1 and kind in {_BOUNDSHEET, _FORMULA, _BOOLERR}:
            yield kind, stream[at + 4 : at + 4 + length]
        at += 4 + length


def _workbook_stream(data: bytes) -> bytes:
    shift, mini_shift = struct.unpack_from("<HH", data, 30)
    (directory,) = struct.unpack_from("<I", data, 48)
    (mini_fat,) = struct.unpack_from("<I", data, 60)
    fat = _fat(data, shift)

    def read(start: int) -> bytes:
        return b"".join(data[(n + 1) << shift : (n + 2) << shift] for n in _chain(fat, start))

    entries = read(directory)
    root_start = struct.unpack_from("<I", entries, 116)[0]
    minis, mini_stream = _numbers(read(mini_fat)), read(root_start)
    for at in range(0, len(entries), 128):
        length = struct.unpack_from("<H", entries, at + 64)[0]
        name = entries[at : at + max(length - 2, 0)].decode("utf-16-le", "replace")
        start, size = struct.unpack_from("<II", entries, at + 116)
        if name not in _STREAMS:
            continue
        if size >= _MINI_LIMIT:
            return read(start)[:size]
        return b"".join(mini_stream[n << mini_shift : (n + 1) << mini_shift] for n in _chain(minis, start))[:size]
    raise FileRejected("is no workbook: it is a file of another program of Office, or an old one")


def _fat(data: bytes, shift: int) -> tuple[int, ...]:
    """The table of which sector follows which."""
    sectors = list(_numbers(data[76:512]))
    (more,) = struct.unpack_from("<I", data, 68)
    size = 1 << shift
    for _ in range(len(data) >> shift):  # a chain has no more sectors than the file
        if more >= _END:
            break
        numbers = _numbers(data[(more + 1) * size : (more + 2) * size])
        sectors += numbers[:-1]
        more = numbers[-1]
    used = [n for n in sectors if n < _END]
    return _numbers(b"".join(data[(n + 1) * size : (n + 2) * size] for n in used))


def _chain(table: tuple[int, ...], start: int) -> Iterator[int]:
    """The sectors that follow each other. Raises IndexError for a circle: calamine would run in it for ever."""
    for _ in range(len(table) + 1):
        if start >= _END:
            return
        yield start
        start = table[start]
    raise IndexError


def _numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
