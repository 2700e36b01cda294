"""The columns of a sample judged together: how the file writes its values, and what each column may be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.file_spec import FileSpec
from config.model import Dtype
from config.read_options import ReadOptions
from workbench.date_guess import DAY, MONTH, YEAR, Dates, are_dates_of_many_kinds, guess_dates
from workbench.dialect_guess import NULL_WORDS, Numbers, guess_numbers
from workbench.guesses import guess
from workbench.samples import Sample
from workbench.value_tests import blanked

LONGEST_DATE = 40  # characters
LONGEST_FOOTER, LEAST_BEFORE_FOOTER = 3, 5  # rows that may be totals, and different values before them
_WAYS = {DAY: "the day", MONTH: "the month", YEAR: "the year"}
_EXPONENT = re.compile(r"[0-9][eE][+-]?[0-9]")
_BEYOND_JSONB = re.compile(r"\\u0000|\\u[dD][89a-fA-F]")


@dataclass
class Columns:
    """The entries of the YAML in the file's order, the keys of `read` beside the format's own, and the notes."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    read: dict[str, Any] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def guess_columns(
    sample: Sample, base: ReadOptions, key: Sequence[str], parents: Mapping[str, FileSpec]
) -> Columns:
    """Judge all columns; `key` are those of the key, `parents` the types that columns may refer to."""
    return _Judge(sample, base, key, parents).columns()


class _Judge:
    def __init__(
        self, sample: Sample, base: ReadOptions, key: Sequence[str], parents: Mapping[str, FileSpec]
    ) -> None:
        self._sample, self._base, self._key, self._parents = sample, base, key, parents
        self._found = Columns()
        self._flat = [one.name for one in sample.fields if one.name not in sample.nested]
        self._distinct = {
            name: pc.unique(blanked(sample.rows.column(name).combine_chunks())).drop_null() for name in self._flat
        }
        words = pa.array(sorted((NULL_WORDS | base.words) - {""}))
        self._means_null = {
            name: pc.is_in(pc.utf8_lower(values), value_set=words) for name, values in self._distinct.items()
        }
        self._bare = {
            name: values.filter(pc.invert(self._means_null[name])) for name, values in self._distinct.items()
        }
        self._numbers = Numbers()
        self._formats: dict[str, tuple[str, ...]] = {}

    def columns(self) -> Columns:
        """All of them, in the file's order."""
        european = self._sample.read.get("delimiter") == ";"
        self._numbers = guess_numbers(
            {name: values for name, values in self._bare.items() if len(values) and name not in self._key},
            self._base,
            european=european,
        )
        self._found.read |= self._numbers.read
        self._found.notes += self._numbers.notes
        self._formats = dict(self._dates())
        self._say_null_words()
        read = self._read()
        for one in self._sample.fields:
            self._found.entries.append(self._entry(one.name, read))
        self._keep_blanks()
        self._say_footer()
        for entry, one in zip(self._found.entries, self._sample.fields, strict=True):
            if one.source is not None:
                entry["from"] = one.source
        return self._found

    def _read(self) -> ReadOptions:
        return ReadOptions.model_validate(self._found.read).over(self._base)

    def _entry(self, name: str, read: ReadOptions) -> dict[str, Any]:
        if name in self._sample.nested:
            texts = [text for text in self._sample.rows.column(name).to_pylist() if text is not None]
            as_it_is = any(_EXPONENT.search(text) or _BEYOND_JSONB.search(text) for text in texts)
            return {"name": name, "dtype": "json", **({"sql_type": "json"} if as_it_is else {})}
        is_key = name in self._key
        raw = self._sample.rows.column(name).combine_chunks()
        if name in self._numbers.texts:
            return {"name": name, "dtype": "str", **({"nullable": False} if is_key else {})}
        parent = self._parents.get(name)
        found = guess(name, raw, is_key=is_key, parent=parent, read=read, formats=self._formats.get(name, ()))
        self._found.notes += found.notes
        if parent is not None and found.fits_parent:
            self._found.references[name] = parent.name
        return found.entry | ({"nullable": False} if is_key else {})

    # ---------------------------------------------------------------- dates

    def _dates(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The formats of the columns that are dates in one way, or by the habit of another column of the file."""
        found = {name: dates for name in self._flat if (dates := self._dates_of(name)) is not None}
        habits = {dates.separator: next(iter(dates.ways)) for dates in found.values() if len(dates.ways) == 1}
        for name, dates in found.items():
            way = next(iter(dates.ways)) if len(dates.ways) == 1 else habits.get(dates.separator)
            if way in dates.ways:
                formats = dates.ways[way]
                yield name, formats
                if len(dates.ways) > 1:
                    self._found.notes.append(
                        f"{name}: {formats[0]} as in the file's other dates; look whether it is"
                    )
                elif "%y" in formats[0]:
                    self._found.notes.append(f"{name}: the years have two digits, and are read by {formats[0]}")
                continue
            ways = " or ".join(
                f"dtype: {dates.dtype.value}, format: '{formats[0]}' ({_WAYS[first]} first)"
                for first, formats in dates.ways.items()
            )
            self._found.notes.append(f"{name}: text, for its dates can be read in two ways; say {ways}")

    def _dates_of(self, name: str) -> Dates | None:
        values = self._bare[name]
        if not len(values) or name in self._numbers.texts or self._kind(name, values) is not Dtype.STR:
            return None
        if pc.max(pc.utf8_length(values)).as_py() > LONGEST_DATE:
            return None
        few = guess_dates(values.slice(0, 20), self._base)
        if few and (found := guess_dates(values, self._base)):
            return found
        if are_dates_of_many_kinds(values.slice(0, 200), self._base):
            self._found.notes.append(
                f"{name}: text, for its dates are written in several ways; format: with a list of them reads "
                "what is a date in one way only"
            )
        return None

    # ---------------------------------------------------------------- null words and blanks

    def _kind(self, name: str, values: pa.Array) -> Dtype:
        read = ReadOptions.model_validate({**self._found.read, "null_values": ()}).over(self._base)
        entry = guess(name, values, is_key=False, parent=None, read=read).entry
        return Dtype.STR if entry.get("pii") else Dtype(entry["dtype"])

    def _say_null_words(self) -> None:
        """Which words mean null: those that alone keep a column from being numbers, dates or truth values.

        A word that is in a column of text as well means nothing but itself: then all such columns are text.
        """
        needed: dict[str, set[str]] = {}
        kept: set[str] = set()
        for name in self._flat:
            if not pc.any(self._means_null[name]).as_py():
                continue
            words = set(pc.utf8_lower(self._distinct[name].filter(self._means_null[name])).to_pylist())
            is_typed = name in self._formats or (
                len(self._bare[name]) > 0
                and self._kind(name, self._bare[name]) is not Dtype.STR
                and name not in self._numbers.texts
            )
            if is_typed and name not in self._key:
                needed[name] = words
            else:
                kept |= words
        while texts := [name for name, words in needed.items() if words & kept]:
            for name in texts:
                kept |= needed.pop(name)
                self._formats.pop(name, None)
                self._found.notes.append(
                    f"{name}: text, for the words that mean null in it stand in other columns as text; name them "
                    "in read: {null_values: […]}, and say its dtype, if they mean null everywhere"
                )
        still = [word for word in self._base.null_values if word.strip().lower() not in kept]
        told = {word.strip().lower() for word in still}
        still += sorted({word for of_column in needed.values() for word in of_column} - told)
        if still == [*self._base.null_values]:
            return
        self._found.read["null_values"] = still
        for name, of_column in needed.items():
            if of_column - self._base.words:
                self._found.notes.append(f"{name}: {_listed(of_column)} in it means null (read.null_values)")
        if lost := kept & self._base.words:
            self._found.notes.append(
                f"{_listed(lost)}: stays text, as a column has it, where reader.null_values says null; leave "
                "read.null_values out if it means null here, too"
            )

    def _say_footer(self) -> None:
        """Tell of columns of text that are none but for the file's last rows, as of one with totals."""
        if not self._sample.may_have_footer:
            return
        texts = [one["name"] for one in self._found.entries if one["dtype"] == "str" and not one.get("pii")]
        found: dict[int, list[str]] = {}
        for name in texts:
            rows = self._sample.rows.column(name).combine_chunks()
            counts = range(1, LONGEST_FOOTER + 1)
            if name in self._flat and name not in self._key and self._is_typed(name, rows, LONGEST_FOOTER):
                found.setdefault(next(n for n in counts if self._is_typed(name, rows, n)), []).append(name)
        others = tuple(f"{name}: text, for " for names in found.values() for name in names)
        self._found.notes[:] = [note for note in self._found.notes if not note.startswith(others or "\0")]
        for count, names in found.items():
            rows_are = "row alone keeps" if count == 1 else f"{count} rows alone keep"
            self._found.notes.append(
                f"{', '.join(names)}: text, for the last {rows_are} it from being dates or numbers; if that is a "
                f"footer, say read: {{skip_footer: {count}}}, and infer again without it"
            )

    def _is_typed(self, name: str, rows: pa.Array, footer: int) -> bool:
        """Are the values but those of the last rows numbers or dates?"""
        values = pc.unique(blanked(rows.slice(0, max(len(rows) - footer, 0)))).drop_null()
        if len(values) < LEAST_BEFORE_FOOTER:
            return False
        return self._kind(name, values) is not Dtype.STR or bool(
            guess_dates(values.slice(0, 20), self._base) and guess_dates(values, self._base)
        )

    def _keep_blanks(self) -> None:
        """Where the YAML says that blanks around text are cut, and there are some, they stay."""
        if not self._base.trim:
            return
        texts = {one["name"] for one in self._found.entries if one["dtype"] == "str" and not one.get("pii")}
        for name in self._flat:
            values = self._sample.rows.column(name)
            if name not in texts or name in self._key or name in self._found.references:
                continue
            if pc.any(pc.not_equal(values, pc.utf8_trim_whitespace(values))).as_py():
                self._found.read["trim"] = False
                self._found.notes.append(f"{name}: blanks around its text stay (read: {{trim: false}})")
                return


def _listed(words: set[str]) -> str:
    return ", ".join(sorted(words))
