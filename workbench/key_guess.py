"""Which columns tell the rows of a file apart, and which refer to another type: guesses that stay honest."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.file_spec import FileSpec
from config.key import ROW_KEY
from config.model import Dtype
from workbench.pii_guess import pii_of
from workbench.value_tests import FEW, MOST, all_like, any_like, blanked, mostly, share

LONGEST_KEY = 64  # characters; what is longer describes
ENOUGH_ROWS = 20  # of fewer, that a value never comes twice says little
MOST_COLUMNS = 12  # that are tried in pairs
_ENDINGS = ("id", "uuid", "guid", "key", "code", "no", "nr", "number", "sku", "ref")
_OWN = {"id", "uuid", "guid", "row_id", "record_id"}
_IDENTIFIERS = {*_OWN, *_ENDINGS, "isbn", "ean", "gtin", "iso", "symbol", "slug", "hash"}
_OF_ITS_OWN = re.compile(
    r"(^|_)(parent|manager|reports_to|supervisor|boss|superior|reply_to|replaces|predecessor)(_|$)"
)
_PLACES = {"line", "item", "position", "pos", "seq", "sequence", "version", "year", "part", "revision", "index"}


@dataclass(frozen=True)
class KeyGuess:
    """The columns of the key, in the file's order, or (`row`,); and what is unsure of it."""

    columns: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    is_own: bool = False  # its name says that it is the rows' own


def snake(name: str) -> str:
    """`Visit ID`, `visitId` and `visit-id` → `visit_id`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^0-9a-z]+", "_", spaced.lower()).strip("_") or name.lower()


def singular(name: str) -> str:
    """`coupons` → `coupon`, `cities` → `city`."""
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def guess_key(sample: pa.Table, name: str) -> KeyGuess:
    """The key of files of type `name`, by names first and values second: its own id, a code, a pair, else `row`.

    Never an amount, a time, a description or personal data. Exports have bad rows: an id of its own may be empty
    or come twice in one row of twenty.
    """
    texts = {
        column: blanked(sample.column(column).combine_chunks().cast(pa.string())) for column in sample.column_names
    }
    fit = {c: t for c, t in texts.items() if may_be_key(t) and pii_of(c, t.drop_null()) is None}
    without = {c: sample.num_rows - pc.count_distinct(t, mode="only_valid").as_py() for c, t in fit.items()}
    own = _first(fit, lambda c: _is_own(c, name) and without[c] <= FEW * sample.num_rows)
    if own is not None:
        bad = without[own]
        notes = [f"{own}: {bad} of the rows read have no key of their own"] if bad else []
        return KeyGuess((own,), notes, is_own=True)
    unique = [column for column in fit if without[column] == 0]
    code = _first(unique, lambda c: snake(c) in _IDENTIFIERS)
    if code is not None:
        return KeyGuess((code,), _few_rows(sample, code))
    first = next(iter(sample.column_names), "")  # none of a file whose columns are all nested
    if first in unique and _ends_like_id(first) and sample.num_rows >= ENOUGH_ROWS:
        return KeyGuess((first,), [f"{first}: taken for the key by its values; its name does not say so. Is it?"])
    if _ends_like_id(first) and first in unique and (child := _refers_to(texts, first)):
        return KeyGuess((first,), [f"{first}: taken for the key, for {child} refers to it"])
    if pair := _several([c for c in fit if c not in unique and fit[c].null_count == 0], fit, name):
        return KeyGuess(pair, [f"{', '.join(pair)}: taken for the key together; no column is one by itself"])
    notes = ["no column tells the rows apart by its name and values: each row of each file is kept (key: row)"]
    if own := _first(fit, lambda c: _is_own(c, name)):
        notes.append(f"{own}: comes more than once; if later rows are newer versions of it, say --key {own!r}")
    maybe = [c for c in unique if _ends_like_id(c) or sample.num_rows >= ENOUGH_ROWS]
    notes += [f"{c}: no value comes twice in the rows read; if it is the key, say --key {c!r}" for c in maybe[:3]]
    return KeyGuess((ROW_KEY,), notes)


def _refers_to(texts: dict[str, pa.Array], key: str) -> str | None:
    """The column by which rows refer to others of the table, as employees to their managers: all of its values are
    those of the column `key`."""
    for column, text in texts.items():
        values = text.drop_null()
        if column != key and refers_to_its_own(column) and len(values):
            found = pc.all(pc.is_in(values, value_set=texts[key].drop_null())).as_py()
            if found:
                return column
    return None


def refers_to_its_own(column: str) -> bool:
    """Does the name say that rows refer to others of their table by it?"""
    return _OF_ITS_OWN.search(snake(column)) is not None


def may_be_key(text: pa.Array) -> bool:
    """Can the values be keys? Not amounts, times, truth values, or texts that describe."""
    values = text.drop_null()
    if len(values) == 0 or pc.max(pc.utf8_length(values)).as_py() > LONGEST_KEY:
        return False
    if share(values, pc.match_substring_regex(values, r"\s")) > MOST:
        return False
    some = values.slice(0, 1000)
    whole = mostly(Dtype.INT, some)
    if mostly(Dtype.BOOL, some) or mostly(Dtype.DATETIME, some):
        return whole
    return whole or not (
        mostly(Dtype.FLOAT, some)
        or (all_like(some, r"^[^A-Za-z]*[0-9][^A-Za-z]*$") and any_like(some, "[.,$€%:]"))
    )


def _first(columns: Sequence[str] | dict[str, pa.Array], fits: Callable[[str], bool]) -> str | None:
    return next((column for column in columns if fits(column)), None)


def _is_own(column: str, name: str) -> bool:
    """`id`, or `visit_id` in a file of visits; of `raw_visits` too."""
    plain, whole = snake(column), singular(name)
    nouns = {whole, name, _last_word(name)}
    return plain in _OWN or plain in {f"{noun}_{ending}" for noun in nouns for ending in _ENDINGS}


def _ends_like_id(column: str) -> bool:
    return snake(column).rpartition("_")[2] in _ENDINGS


def _few_rows(sample: pa.Table, column: str) -> list[str]:
    if sample.num_rows >= ENOUGH_ROWS:
        return []
    return [f"{column}: taken for the key from {sample.num_rows} rows; look whether it may come twice"]


def _several(columns: Sequence[str], texts: dict[str, pa.Array], name: str) -> tuple[str, ...]:
    """Columns that tell rows apart together, as few as do: an id, and others or places in a sequence."""

    def is_place(column: str) -> bool:
        return bool({*snake(column).split("_")} & _PLACES)

    codes = {c: pc.dictionary_encode(texts[c]).indices.to_numpy() for c in columns[:MOST_COLUMNS]}
    told = {column: (_ends_like_id(column), is_place(column) or _is_own(column, name)) for column in codes}
    for size in (2, 3, 4):
        found = []
        for together in combinations(codes, size):
            ids, places = (sum(told[column][kind] for column in together) for kind in (0, 1))
            each = size == 2 or all(any(told[column]) for column in together)
            if ids and ids + places >= size and each and _tell_apart([codes[column] for column in together]):
                found.append((-places, together))
        if found:
            return min(found, key=lambda item: item[0])[1]
    return ()


def _tell_apart(codes: Sequence[np.ndarray]) -> bool:
    """Does no row have the codes of another one?"""
    rows = len(codes[0])
    together = codes[0].astype(np.int64)
    for one in codes[1:]:
        pairs = together * (int(one.max(initial=0)) + 1) + one
        together = np.unique(pairs, return_inverse=True)[1]
    return len(np.unique(together)) == rows > 2


# ------------------------------------------------------------ parents


def parent_of(column: str, specs: Sequence[FileSpec]) -> FileSpec | None:
    """The type that `column` may refer to by its name; whether its values are there is another question.

    `guest_id` refers to guests, or to raw_guests, whose key has that name or is a plain `id`. A plain
    `id` refers to nothing.
    """
    plain = snake(column)
    noun, _, ending = plain.rpartition("_")
    if plain in _IDENTIFIERS or ending not in _ENDINGS:
        return None
    alone = [s for s in specs if len(s.schema.primary_key) == 1]
    fit = [s for s in alone if snake(str(s.schema.primary_key)) in {plain, *_IDENTIFIERS}]
    named = [s for s in fit if singular(s.name) == noun] or [s for s in fit if _last_word(s.name) == noun]
    named = named or [s for s in fit if snake(str(s.schema.primary_key)) == plain]
    return named[0] if len(named) == 1 else None


def _last_word(name: str) -> str:
    return singular(name).rpartition("_")[2]
