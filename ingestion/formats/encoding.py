"""Text in any encoding that Python knows → UTF-8, as it is read. A byte order mark wins over the YAML."""

from __future__ import annotations

import codecs
import difflib
import encodings.aliases
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

from pydantic import AfterValidator

from config.errors import FileRejected
from config.model import Model
from ingestion.formats.streams import PIECE_BYTES, Again, Filled, Stream
from ingestion.formats.way_out import in_yaml

UTF8 = "utf-8"
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as that of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LONGEST_BOM = 4
_WITH_BOM = ("utf-16", "utf-32")  # which order their bytes have, the mark alone tells
_NO_FILES = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}  # Python's, of no export
_SURROGATES = re.compile("[\ud800-\udfff]")
_SAMPLE = 200  # bytes looked at for zeros
_CONTROLS = re.compile("[\0-\x08\x0e-\x1f]")
_MOST_CONTROLS = 0.1  # of a text's characters
_FOREIGN = re.compile(rb"[A-Za-z]?[\x80-\xff]+[A-Za-z]?")
_WITHIN_WORDS = re.compile(rb"(?<=[A-Za-z])[\x80-\xff]+(?=[A-Za-z])")
_SIGNS = "€£§°©®™«»–—‘’“”…•·¿¡´½¼¾²³\xa0"  # noqa: RUF001  (as texts have them)
_EXPORTED = [  # what exports are written in
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "iso8859_2", "cp437",
    "cp850", "cp874", "mac_roman", "shift_jis", "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "cp949",
]  # fmt: skip
_ABBREVIATED = {"N°", "n°", "Nº", "nº", "m²", "m³"}  # signs behind a letter, as texts have them
_MOST_IN_A_ROW = 2  # letters with marks that western words have side by side, as a rule
_ENOUGH = 8  # bytes that are not ASCII, or are letters beside such: fewer tell nothing
_AROUND = 1 << 15  # bytes before and behind the first that is not UTF-8, for a guess


def _codec(value: str) -> str:
    try:
        found = codecs.lookup(value)
        known = found.incrementaldecoder is not None and found.name not in _NO_FILES
        with suppress(UnicodeError):
            b"x".decode(value)  # LookupError where it is made for something else than text
    except (LookupError, ValueError):
        known = False
    if not known:
        close = difflib.get_close_matches(value.lower(), sorted(encodings.aliases.aliases), n=1)
        meant = f"; did you mean {close[0].replace('_', '-')}?" if close else ""
        raise ValueError(f"no encoding is called so{meant}; as utf-8, utf-16-le, cp1252 or iso8859-15")
    return UTF8 if found.name == "utf-8-sig" else found.name


class TextOptions(Model):
    """`encoding`: of the text, by any name that Python knows; a byte order mark wins over it."""

    encoding: Annotated[str, AfterValidator(_codec)] = UTF8


class Text:
    """A file's text as a stream in UTF-8. What is no text in its `encoding` is a byte that no UTF-8 has.

    `fault`: where the first such byte is in the file, from 1, as far as it was read; not known for UTF-8, whose
    bytes come as they are.
    """

    def __init__(self, raw: Stream, declared: str) -> None:
        head = raw.read(_LONGEST_BOM)
        bom, self.encoding = next((found for found in _BOMS if head.startswith(found[0])), (b"", declared))
        self.fault: int | None = None
        if self.encoding == UTF8:
            self._stream: Stream = Again(head, raw)
            self.is_as_written = True
            return
        rest = Again(head[len(bom) :], raw)
        self._stream = Filled(_encoded(self._decoded(rest, len(bom), marked=bool(bom))))
        self.is_as_written = False

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes; fewer are the last ones."""
        return self._stream.read(size)

    def _decoded(self, raw: Stream, place: int, *, marked: bool) -> Iterator[str]:
        """The text, a piece at a time; a lone surrogate where there is none. `place`: bytes before."""
        piece = raw.read(PIECE_BYTES)
        if not marked:
            _refuse_other(piece, self.encoding)
        decoder = codecs.getincrementaldecoder(self.encoding)()
        looking = not marked
        first = True
        while True:
            last = len(piece) < PIECE_BYTES
            if looking and not piece.isascii():
                looking = _may_be_utf8(piece, self.encoding)
            before = decoder.getstate()
            try:
                text = decoder.decode(piece, last)
            except UnicodeDecodeError as error:
                if self.fault is None:
                    self.fault = place - len(before[0]) + error.start + 1
                decoder.setstate(before)
                decoder.errors = _MARK
                text = decoder.decode(piece, last)
                decoder.errors = "strict"
            if first:
                text, first = text.removeprefix("\ufeff"), False
            yield text
            if last:
                return
            place += len(piece)
            piece = raw.read(PIECE_BYTES)


_MARK = "fastfeast.no_text"
codecs.register_error(_MARK, lambda error: ("\udcff", error.end))  # type: ignore[attr-defined]


def _encoded(texts: Iterator[str]) -> Iterator[bytes]:
    for text in texts:
        try:
            yield text.encode()
        except UnicodeEncodeError:
            yield _SURROGATES.sub("\udcff", text).encode("utf-8", "surrogateescape")


def _refuse_other(beginning: bytes, encoding: str) -> None:
    """Raise FileRejected where the order of the bytes is not said, or not as it is said."""
    found = wide_encoding(beginning)
    if encoding in _WITH_BOM:
        likely = found or f"{encoding}-le"
        raise FileRejected(
            f"has no byte order mark, which {encoding} (encoding) needs; {_say(likely, sure=bool(found))}"
        )
    wide = encoding.startswith(_WITH_BOM)
    if found and found != encoding:
        raise OtherEncoding(found, encoding)
    if wide and len(beginning) >= 4 and b"\0" not in beginning and _is_utf8(beginning):
        raise OtherEncoding(UTF8, encoding)


def _may_be_utf8(piece: bytes, encoding: str) -> bool:
    """Might a text with other characters than ASCII be UTF-8? Raises FileRejected where it is.

    Bytes that happen to be UTF-8 are rare in any other encoding: one such character is taken for chance only if it
    is of two bytes, with no letter beside it, and alone with two more.
    """
    if not _is_utf8(piece):
        return False
    pairs = re.findall(rb"[\xc2-\xdf][\x80-\xbf]", piece)
    if (
        len(pairs) > 2
        or re.search(rb"[\xe0-\xf4][\x80-\xbf]{2}|[A-Za-z][\xc2-\xdf]|[\xc2-\xdf][\x80-\xbf][A-Za-z]", piece)
    ) and not encoding.startswith(("utf", "gb18030")):
        raise OtherEncoding(UTF8, encoding)
    return True


def _is_utf8(piece: bytes) -> bool:
    """Is it UTF-8, but for a character that is cut at either end?"""
    try:
        piece.lstrip(bytes(range(0x80, 0xC0)))[:-3].decode() if len(piece) >= PIECE_BYTES else piece.decode()
    except UnicodeDecodeError as error:
        return error.end >= len(piece) - 3 and len(piece) >= PIECE_BYTES
    return True


class OtherEncoding(FileRejected):
    """The text has another encoding than was said."""

    def __init__(self, found: str, encoding: str) -> None:
        super().__init__(f"looks like {found}; the YAML says {encoding} (encoding): {in_yaml('encoding', found)}")


def wide_encoding(beginning: bytes) -> str | None:
    """The encoding with two or four bytes a character whose text without a mark begins so, by its zeros.

    None where it would be no text: of the characters whose last byte is zero, one order makes control characters.
    """
    found = _by_zeros(beginning[:_SAMPLE])
    if found is None:
        return None
    text = beginning[:_SAMPLE].decode(found, "replace")
    return None if len(_CONTROLS.findall(text)) > _MOST_CONTROLS * len(text) else found


def _by_zeros(start: bytes) -> str | None:
    if len(start) < 4:
        return None
    zeros = [start[offset::4].count(0) * 4 / len(start) for offset in range(4)]
    if zeros[1] > 0.8 and zeros[2] > 0.8:
        return "utf-32-le" if zeros[3] > zeros[0] else "utf-32-be"
    even, odd = (zeros[0] + zeros[2]) / 2, (zeros[1] + zeros[3]) / 2
    if max(even, odd) <= 0.8:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def sniffed_text(beginning: bytes, declared: str) -> tuple[str, dict[str, str]]:
    """The text of a file that begins so, as far as it can be read, and its encoding, where that is not `declared`.

    Where a byte order mark tells, there is nothing to declare. The beginning may end amid a character.
    """
    for bom, name in _BOMS:
        if beginning.startswith(bom):
            return beginning[len(bom) :].decode(name, "replace"), {}
    found = wide_encoding(beginning) or declared
    if found in _WITH_BOM or (found == declared and not _fits(beginning, found)):
        found = UTF8 if _fits(beginning, UTF8) else likely_encoding(beginning) or declared
    return beginning.decode(found, "replace"), {} if found == declared else {"encoding": found}


def _fits(beginning: bytes, encoding: str) -> bool:
    """Is it text in `encoding`, but for a character that is cut off? And not UTF-8 that only reads as such?"""
    try:
        codecs.getincrementaldecoder(encoding)().decode(beginning)
        if encoding != UTF8:
            _refuse_other(beginning, encoding)
            _may_be_utf8(beginning, encoding)
    except (UnicodeDecodeError, FileRejected):
        return False
    return True


def likely_encoding(data: bytes) -> str | None:
    """What text that is not UTF-8 may be encoded in, where that shows. A guess, never used to load."""
    from charset_normalizer import from_bytes  # here alone: no load needs it

    runs = _FOREIGN.findall(data)
    if _is_western(runs):
        return "cp1252"
    if sum(map(len, runs)) < _ENOUGH:
        return None
    within = set(_WITHIN_WORDS.findall(data))
    likely = [codec for codec in _EXPORTED if all(one.decode(codec, "replace").isalpha() for one in within)]
    best = from_bytes(data, cp_isolation=likely or _EXPORTED).best()
    return codecs.lookup(best.encoding).name if best else None


def _is_western(runs: list[bytes]) -> bool:
    """Are the characters that are not ASCII letters within words, one or two in a row, or usual signs?"""
    try:
        texts = [run.decode("cp1252") for run in runs]
    except UnicodeDecodeError:
        return False
    words = [text for text in texts if (text[0].isascii() or text[-1].isascii()) and text not in _ABBREVIATED]
    in_a_row = [sum(sign.isalpha() and not sign.isascii() for sign in text) for text in texts]
    short = sum(count > _MOST_IN_A_ROW for count in in_a_row) <= len(texts) // 10
    return (
        bool(texts)
        and short
        and all(map(str.isalpha, words))
        and all(sign.isalpha() or sign in _SIGNS for text in texts for sign in text)
    )


def not_utf8(text: bytes, at: int) -> str:
    """What to say of the encoding of `text`, whose byte at offset `at` is no UTF-8."""
    sample = text[max(0, at - _AROUND) : at + _AROUND]
    read = sample.decode(errors="replace")
    damaged = read.count("\ufffd")
    if sum(not sign.isascii() for sign in read) >= 2 * damaged:
        return "the text around is UTF-8, so it was damaged on its way: export it again"
    found = likely_encoding(sample)
    return _say(found, sure=True) if found else "say which it is, as in read: {encoding: cp1252}"


def _say(found: str, *, sure: bool) -> str:
    return f"{'it looks like ' + found if sure else 'say which'}: {in_yaml('encoding', found)}"
