"""The first records of a file as text, whatever columns it has: how they are read, and what they are called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pyarrow as pa

from config.errors import FileRejected
from config.model import Dtype
from config.read_options import ReadOptions
from config.schema import Column, Drift, Schema
from ingestion.file_reader import byte_stream, read_chunks
from ingestion.formats.format import Format
from ingestion.formats.packing import member_name
from ingestion.formats.registry import FORMATS, options_of
from ingestion.places.open_file import OpenFile
from validation.strays import looks_personal
from workbench.naming import tidy_names

ALL_ROWS = 1 << 62
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
MOST_PARTS, MOST_LEVELS = 8, 3  # of a nested object whose values become columns of their own


@dataclass(frozen=True)
class Field:
    """A column by its tidy `name`; `source` is where it comes from, where that is not its name.

    `path` are the keys that lead to it in a JSON record.
    """

    name: str
    source: str | None = None
    path: tuple[str, ...] = ()


@dataclass
class Sample:
    """The first rows as texts by tidy name. `read` are the keys of the format that differ from its defaults.

    `nested`: columns that hold objects or arrays; `arrays`: those that hold arrays of objects alone.
    `may_have_footer`: its format knows rows behind the data.
    `new_columns`: the policy, where some column is left out.
    """

    read: dict[str, Any]
    fields: list[Field]
    rows: pa.Table
    new_columns: str | None = None
    nested: set[str] = field(default_factory=set)
    arrays: list[Field] = field(default_factory=list)
    may_have_footer: bool = False
    notes: list[str] = field(default_factory=list)


def take_sample(file: OpenFile, name: str, rows: int, base: ReadOptions, *, every_row: bool) -> Sample:
    """The first `rows` of the file; `base` are the defaults that the YAML has. Raises FileRejected.

    Where its name says no format, the name of a zip archive's member may. With `every_row`, the names of the
    columns are those of all records.
    """
    said = _format_of_member(file, name, base)
    read = {**said, **sniff(file, name, ReadOptions.model_validate(said).over(base))}
    found, own = FORMATS.get(_plainly(base, read), name)
    with byte_stream(file, name) as raw:
        names = found.columns(raw, ALL_ROWS if every_row else rows, own)
    if not names:
        raise FileRejected("has no column names: its records are no objects")
    by_place = getattr(own, "header", None) is False
    notes = _notes_of(read)
    if by_place:
        notes.append("no line names the columns, so that they go by their places; look whether the first one does")
    else:
        _refuse_values(names)
    tell_apart = "" not in names and len(set(names)) == len(names)
    sample = Sample(read, _fields(names, by_place=by_place), pa.table({}), notes=notes)
    sample.may_have_footer = hasattr(own, "skip_footer")
    if tell_apart or by_place:
        try:
            _read_rows(sample, file, name, rows, base, found)
        except FileRejected:  # as of a sheet with values in columns without a name
            if by_place or not _go_by_places(sample, file, name, names, base, found):
                raise
            with suppress(FileRejected):
                _read_rows(sample, file, name, rows, base, found)
                problem = None
            if problem is not None:
                raise problem from None
    else:
        if not _go_by_places(sample, file, name, names, base, found):
            sample.notes.append("a key without a name can't be a column: it is left out (new_columns: ignore)")
            sample.new_columns = "ignore"
            sample.fields = _fields([one for one in names if one], by_place=False)
        _read_rows(sample, file, name, rows, base, found)
    with byte_stream(file, name) as raw:
        sample.notes += found.remarks(raw, options_of(found, _plainly(base, sample.read), name))
    return sample


def _format_of_member(file: OpenFile, name: str, base: ReadOptions) -> dict[str, Any]:
    """`format`, where the name of a zip archive says none, and that of its member does."""
    if FORMATS.find(base, name) is not None:
        return {}
    found = FORMATS.find(base, member_name(file.handle) or "")
    if found is None:
        raise FileRejected(f'{FORMATS.unreadable(base, name)}; see "Your own files" in README.md')
    return {"format": found.name}


def _fields(names: Sequence[str], *, by_place: bool) -> list[Field]:
    return [
        Field(plain, None if by_place or plain == one else one.replace(".", "\\."), (one,))
        for plain, one in zip(tidy_names(names), names, strict=True)
    ]


def _go_by_places(
    sample: Sample, file: OpenFile, name: str, names: list[str], base: ReadOptions, found: Format
) -> bool:
    """Take the columns by their places, for the names don't tell them apart; False where they have none."""
    with byte_stream(file, name) as raw:
        places = found.by_position(raw, options_of(found, _plainly(base, sample.read), name))
    if places is None:
        return False
    sample.read = {**sample.read, **places}
    with byte_stream(file, name) as raw:
        wide = found.columns(raw, 1, options_of(found, _plainly(base, sample.read), name))
    sample.fields = _fields([*names, *[""] * (len(wide) - len(names))], by_place=True)
    told = ", ".join(f"{key}: {str(value).lower()}" for key, value in places.items())
    sample.notes.append(
        "the header names a column twice, or not at all, so that columns go by their places, and the header is "
        f"skipped ({told}); a file that has others in their places, but as many, is not told"
    )
    return True


def sniff(file: OpenFile, name: str, base: ReadOptions) -> dict[str, Any]:
    """What the file's format makes of its beginning, as far as it differs from `base`."""
    found, own = FORMATS.get(base, name)
    with byte_stream(file, name) as raw:
        return dict(found.sniff(raw.read(found.sniffed_bytes), own) or {})


def _plainly(base: ReadOptions, read: dict[str, Any]) -> ReadOptions:
    """How texts are read as they are: no word means null, and blanks stay."""
    plain: dict[str, Any] = {"null_values": (), "trim": False}
    return ReadOptions.model_validate({**read, **plain}).over(base)


def _notes_of(read: dict[str, Any]) -> list[str]:
    notes = []
    if (encoding := read.get("encoding")) and not str(encoding).startswith("utf"):
        notes.append(f"the encoding looks like {encoding}: look at letters with accents in the table")
    if records := read.get("records"):
        notes.append(
            f"the file is one object: its records are taken from {records}, and what lies beside is skipped; if "
            "the object is the record, leave read.records out"
        )
    if read.get("skip_lines"):
        notes.append(f"{read['skip_lines']} lines before the header are skipped; every file needs as many")
    return notes


def _refuse_values(names: Sequence[str]) -> None:
    """Raise FileRejected where names look as if they were values of a file without a header."""
    for position, column in enumerate(names, 1):
        if looks_personal(column) or len(column) > 1000:
            raise FileRejected(f"the name of column {position} looks like a value; has the file a header line?")
    if len(names) > 1 and all(one.replace(".", "").isdigit() and not _is_year(one) for one in names):
        raise FileRejected("the names of all columns look like values; has the file a header line?")


def _is_year(text: str) -> bool:
    return len(text) == 4 and text[:2] in {"19", "20"}


def _read_rows(sample: Sample, file: OpenFile, name: str, rows: int, base: ReadOptions, found: Format) -> None:
    """Read the rows by the fields; in JSON, objects with few values become columns of their own."""
    is_json = "json" in found.name
    if not is_json:
        sample.fields = [one if one.source is None else replace(one, source=one.path[0]) for one in sample.fields]
    for _ in range(MOST_LEVELS if is_json else 1):
        sample.rows = _texts(sample, file, name, rows, base, is_json=is_json)
        if not is_json or not _unfold(sample):
            break
    else:
        sample.rows = _texts(sample, file, name, rows, base, is_json=is_json)
    if is_json:
        _in_plain_text(sample)


def _texts(sample: Sample, file: OpenFile, name: str, rows: int, base: ReadOptions, *, is_json: bool) -> pa.Table:
    columns = tuple(
        Column(
            name=one.name, dtype=Dtype.JSON if is_json else Dtype.STR, sources=(one.source,) if one.source else ()
        )
        for one in sample.fields
    )
    drift = Drift(new_columns="ignore" if sample.new_columns else "fail", missing_columns="null")
    schema = Schema(name=name, primary_key="row", columns=columns, drift=drift)
    tables: list[pa.Table] = []
    for chunk in read_chunks(file, name, schema, min(rows, 25_000), _plainly(base, sample.read)):
        tables.append(pa.table(dict(chunk.columns)))
        if sum(table.num_rows for table in tables) >= rows:
            break
    empty = pa.table({column.name: pa.array([], pa.string()) for column in columns})
    whole = pa.concat_tables([empty, *(table.select(empty.column_names) for table in tables)])
    return whole.slice(0, rows).combine_chunks()


def _unfold(sample: Sample) -> bool:
    """Put columns in the place of objects whose values are plain and few; was there one?"""
    fields: list[Field] = []
    taken = {one.name for one in sample.fields}
    for one in sample.fields:
        parts = _parts(sample.rows.column(one.name)) if len(one.path) < MOST_LEVELS else []
        if not parts:
            fields.append(one)
            continue
        taken.discard(one.name)
        for key in parts:
            path = (*one.path, key)
            name = next(n for n in tidy_names([*taken, "_".join((one.name, key))])[-1:])
            taken.add(name)
            fields.append(Field(name, ".".join(step.replace(".", "\\.") for step in path), path))
        sample.notes.append(
            f"{one.name}: the values of its objects are columns of their own ({', '.join(parts[:4])}"
            f"{', …' if len(parts) > 4 else ''}); other keys that come later are told of, "
            "and kept where new_columns says so"
        )
    if len(fields) == len(sample.fields) and fields == sample.fields:
        return False
    sample.fields = fields
    return True


def _parts(values: pa.ChunkedArray) -> list[str]:
    """The keys of a column's objects, where each value is an object or null, and they have few keys."""
    keys: dict[str, None] = {}
    for text in values.to_pylist():
        if text is None:
            continue
        if not text.startswith("{"):
            return []
        try:
            pairs = json.loads(text, object_pairs_hook=list)
        except ValueError:
            return []
        names = [key for key, _ in pairs]
        if not names or len(set(names)) < len(names) or "" in names:
            return []  # an empty one, or one with a key twice: as a whole it loses nothing
        keys |= dict.fromkeys(names)
        if len(keys) > MOST_PARTS:
            return []
    return list(keys)


def _in_plain_text(sample: Sample) -> None:
    """Texts without their quotes; columns with objects or arrays are `nested`, and stay as they are."""
    for place, one in enumerate(sample.fields):
        texts = sample.rows.column(one.name).to_pylist()
        if any(text is not None and text[:1] in "{[" for text in texts):
            sample.nested.add(one.name)
            if _are_arrays_of_objects(texts):
                sample.arrays.append(one)
            continue
        plain = [json.loads(text) if text is not None and text.startswith('"') else text for text in texts]
        sample.rows = sample.rows.set_column(place, one.name, pa.array(plain, pa.string()))


def _are_arrays_of_objects(texts: Sequence[str | None]) -> bool:
    """Is each value null, or an array with objects alone in it, and one of them not empty?"""
    if any(text is not None and not text.startswith("[") for text in texts):
        return False
    try:
        elements = [one for text in texts if text is not None for one in _ELEMENTS.decode(text)]
    except (msgspec.DecodeError, RecursionError):
        return False
    return bool(elements) and all(bytes(one).startswith(b"{") for one in elements)
