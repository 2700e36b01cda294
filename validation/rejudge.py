"""Judges quarantined rows again. What they hold of sensitive columns are hashes, which no rule can judge."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from config.file_spec import FileSpec
from config.former_rules import todays_rule
from config.model import Stage
from config.schema import Column
from config.severity import Then
from validation.batch import Batch, Chunk, Reason
from validation.checks import RowCheck, compiled
from validation.conversions import convert
from validation.extra import in_todays_columns
from validation.findings import Finding
from validation.pii_handler import MALFORMED
from validation.rules import RULES, columns_beside
from validation.strays import is_hidden
from validation.validation_runner import validate

_OF_NULLS = frozenset({"required", "required_when", "not_null"})  # a hash doesn't hide whether there is a value
_NO_JSON = "not_json"
# What only a format's reader can tell of a value: what quarantine keeps of it is a text like any other.
_OF_READERS = frozenset({_NO_JSON, "not_utf8", "error_value", "merged_cell", "digits_lost"})
_SCHEMA_RULES = frozenset({"allowed_values", "nul_character"})


@dataclass(frozen=True, slots=True)
class Refused:
    """A quarantined row: its text by column, masked; why it was refused; the columns that were edited since.

    `path`: where its file was, for the columns whose values come from there.
    """

    raw: dict[str, Any]
    reasons: tuple[Reason, ...]
    edited: frozenset[str] = frozenset()
    path: str = ""


def judge_again(
    spec: FileSpec, rows: Sequence[Refused], dates: tuple[dt.date, dt.date]
) -> tuple[Batch, dict[int, tuple[Reason, ...]]]:
    """Judge `rows` by all that needs no warehouse; their numbers in the batch are their positions.

    Of a sensitive value that is the same as before, what was held against it stands. A value that was hashed
    because it had strayed is no value of its column: reason `masked`. Rows that their reader could not make out
    are not in the batch; they come back with its reasons, by position.
    """
    rows = [_in_todays_columns(spec, row) for row in rows]
    unread = {n: reasons for n, row in enumerate(rows) if (reasons := _of_reader(spec, row))}
    kept = [n for n in range(len(rows)) if n not in unread]
    judged = [rows[n] for n in kept]
    columns = {column.name: _texts(judged, column) for column in spec.schema.columns}
    batch = validate(Chunk(np.array(kept, dtype=np.int64), columns), _for_hashes(spec), dates, of_file=False)
    batch.spec = spec
    held = {(todays_rule(reason.rule), reason.column) for row in judged for reason in row.reasons}
    for column in spec.schema.columns:
        values = columns[column.name]
        hidden = _hidden(spec, column)
        for rule in sorted(_that_stand(column, {rule for rule, name in held if name == column.name}, hidden)):
            _hold(batch, column, judged, rule, of_others=hidden.get(rule, frozenset()))
        if spec.has_pii:
            stray = [is_hidden(value or "") for value in values.to_pylist()]
            batch.reject(np.array(stray, dtype=bool), Stage.RECORDS, "masked", column.name)
    for check in _hidden_checks(spec):
        if not check.severity.warns:
            _hold_check(batch, check, judged)
    return batch, unread


def value_problem(spec: FileSpec, column: Column, text: str) -> str | None:
    """The name of the rule that a new value of a sensitive column breaks, or None. An empty value breaks none."""
    values = convert(column, pa.array([text], pa.string()), spec.read_as(column)).values
    if values.null_count:
        return None
    if "\0" in text:
        return "nul_character"
    if column.allowed_values is not None and values[0].as_py() not in column.allowed_values:
        return "allowed_values"
    for name, use in column.uses.items():
        looks_beside = RULES[name].of_file or columns_beside(spec.schema, column, name)
        if (
            use.then is Then.REFUSE
            and not looks_beside
            and RULES[name].broken(values, use.parameter, {})[0].as_py()
        ):
            return name
    return None


def _of_reader(spec: FileSpec, row: Refused) -> tuple[Reason, ...]:
    """Why its file's reader refused the row, as far as nobody has mended that since; none where it did not.

    What was an error in a cell, or a bare NaN in JSON, is no text by that name until somebody writes it. As in a
    load, such a row is judged by nothing else.
    """
    names = spec.schema.in_file.by_name.keys()
    if (MALFORMED in row.raw and not names <= row.raw.keys()) or _has_bad_shape(row):
        return row.reasons
    return tuple(
        reason
        for reason in row.reasons
        if reason.rule in _OF_READERS
        and reason.column in names - row.edited
        and not (reason.rule == _NO_JSON and _means_null(spec, reason.column, row))
    )


def _has_bad_shape(row: Refused) -> bool:
    """Was it refused as a whole (a key given twice, an unknown column), and nobody has mended it since?"""
    return not row.edited and any(r.stage is Stage.SCHEMA and not r.column for r in row.reasons)


def _means_null(spec: FileSpec, name: str, row: Refused) -> bool:
    """Is the value one of the words that mean null by now?"""
    column = spec.schema.by_name[name]
    return str(_text(row, column) or "").strip().lower() in spec.read_as(column).words


def _for_hashes(spec: FileSpec) -> FileSpec:
    """`spec` without what can't be judged of a hash."""

    def judged(column: Column) -> Column:
        hidden = _hidden(spec, column)
        rules = {name: parameter for name, parameter in column.rules.items() if name not in hidden}
        if column.pii is None:
            return column.with_rules(rules) if hidden else column
        rules = {name: parameter for name, parameter in rules.items() if name in _OF_NULLS}
        return column.with_rules(rules).model_copy(update={"allowed_values": None})

    schema = spec.schema.with_columns(tuple(map(judged, spec.schema.columns)))
    hidden_checks = {check.name for check in _hidden_checks(spec)}
    checks = {name: check for name, check in schema.checks.items() if name not in hidden_checks}
    return dataclasses.replace(spec, schema=schema.changed(checks=checks))


def _hidden_checks(spec: FileSpec) -> list[RowCheck]:
    """The checks that look at sensitive columns, which are hashes now."""
    sensitive = {column.name for column in spec.schema.columns if column.pii is not None}
    return [check for check in compiled(spec.schema).of_rows if check.columns & sensitive]


def _hidden(spec: FileSpec, column: Column) -> dict[str, frozenset[str]]:
    """Rules of the column that can't be judged of a row alone, and the sensitive columns, hashes now, by which.

    They look at such columns, or at other rows of the file.
    """
    sensitive = {other.name for other in spec.schema.columns if other.pii is not None}
    found = {name: sensitive & columns_beside(spec.schema, column, name) for name in column.uses}
    return {name: frozenset(others) for name, others in found.items() if others or RULES[name].of_file}


def _that_stand(column: Column, rules: set[str], hidden: Collection[str]) -> set[str]:
    """Of rules that were held against values of the column, those that can't be judged of what is stored.

    A rule that is none of the column any more does not stand.
    """
    stand = rules & {*hidden}
    if column.pii is not None:
        stand |= (rules - _OF_NULLS) & ({*column.rules} | _SCHEMA_RULES)
    return stand


def _hold(
    batch: Batch, column: Column, rows: Sequence[Refused], rule: str, of_others: frozenset[str] = frozenset()
) -> None:
    """Hold `rule` against the rows where it was held against a value that is the same as before.

    `of_others` are the sensitive columns that the rule looks at: these are the same, too.
    """
    empty = batch.values[column.name].is_null().to_pylist()
    mask = [
        (of_others or not empty[n])
        and not row.edited.intersection({column.name, *of_others})
        and any((todays_rule(r.rule), r.column) == (rule, column.name) for r in row.reasons)
        for n, row in enumerate(rows)
    ]
    if rule in _SCHEMA_RULES:
        batch.reject(np.array(mask, dtype=bool), Stage.SCHEMA, rule, column.name)
    else:
        batch.note(Finding(rule, column.name, column.severity(rule), np.array(mask, dtype=bool)))


def _hold_check(batch: Batch, check: RowCheck, rows: Sequence[Refused]) -> None:
    """Hold `check` against the rows that broke it, where no column that it looks at was edited since."""
    mask = [
        not row.edited & check.columns and any((r.rule, r.column) == (check.name, "") for r in row.reasons)
        for row in rows
    ]
    batch.reject(np.array(mask, dtype=bool), Stage.RECORDS, check.name)


def _in_todays_columns(spec: FileSpec, row: Refused) -> Refused:
    raw = in_todays_columns(spec.schema, row.raw)
    return row if raw is row.raw else dataclasses.replace(row, raw=raw)


def _texts(rows: Sequence[Refused], column: Column) -> pa.Array:
    if column.value is None:
        try:  # most are texts, and need not be looked at one by one
            return pa.array([row.raw.get(column.name) for row in rows], pa.string())
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            pass  # some are numbers, as earlier versions kept them
    return pa.array([_text(row, column) for row in rows], pa.string())


def _text(row: Refused, column: Column) -> str | None:
    """A row that was refused before its column had a `value` gets the one that its file's path gives."""
    value = row.raw.get(column.name)
    if column.value is not None and column.name not in row.raw and row.path:
        return column.value.of(row.path)
    return value if value is None or isinstance(value, str) else str(value)
