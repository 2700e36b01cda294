"""What is told of columns that only a file has, or lacks: one alert a change, however many files have it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from config.drift import Change, ChangeKind
from config.file_spec import FileSpec
from config.jobs import FileOutcome
from utils.alerter import send_alert
from utils.alerts import AlertKind
from validation.drift import rename_told, told_name

_REFUSED = {ChangeKind.UNEXPECTED, ChangeKind.MISSING}  # the file's own alert says it


def report_drift(outcome: FileOutcome, new: Sequence[Change], name: str) -> None:
    """Tell of the changes of the file `name` that nobody has met before."""
    told = [change for change in new if change.kind not in _REFUSED]
    if not told:
        return
    spec = outcome.job.spec
    text = "; ".join(what_became(spec, change) for change in told)
    send_alert(AlertKind.COLUMNS_DIFFER, text, file_type=spec.name, place=f"{name} (file {outcome.file_id})")


def what_became(spec: FileSpec, change: Change) -> str:
    """A change in a sentence, with what can be done."""
    name = told_name(change.column)
    if change.kind is ChangeKind.NO_ARRAY:
        return f"no record has {name}, where from_child says that {spec.name} are: none of them came"
    if change.kind is ChangeKind.NULL:
        return f"{name} is missing: it is null, or its default, in the rows of such files"
    became = {
        ChangeKind.KEPT: f"kept in {spec.table}._extra; `{adoption(spec, name)}` makes it a column",
        ChangeKind.ADDED: f"{spec.table} has got a column for it, of text",
        ChangeKind.IGNORED: f"its values are left out (new_columns: {spec.schema.drift.new_columns})",
        ChangeKind.UNEXPECTED: "its files are refused (new_columns: fail)",
        ChangeKind.MISSING: "its files are refused (missing_columns: fail)",
    }[change.kind]
    verb = "is missing" if change.kind is ChangeKind.MISSING else "is new"
    return f"{name} {verb}: {became}{_renamed(spec, change)}"


def what_would_become(spec: FileSpec, change: Change) -> str:
    """The same of a file that is not loaded yet; for one that is refused, what its sender or the YAML can do."""
    name = told_name(change.column)
    if change.kind is ChangeKind.NO_ARRAY:
        return f"no record has {name}, where from_child says that {spec.name} are: none will come"
    would = {
        ChangeKind.KEPT: f"is new: its values will be kept in {spec.table}._extra",
        ChangeKind.ADDED: f"is new: its values get a column of {spec.table}, of text",
        ChangeKind.IGNORED: f"is new: its values will be left out (new_columns: {spec.schema.drift.new_columns})",
        ChangeKind.NULL: "is missing: it will be null, or its default, in these rows",
        ChangeKind.UNEXPECTED: "is new: the file is refused for it (new_columns: fail)",
        ChangeKind.MISSING: "is missing: the file is refused for it (missing_columns: fail)",
    }[change.kind]
    return f"{name} {would}{_renamed(spec, change)}"


def _renamed(spec: FileSpec, change: Change) -> str:
    column = spec.schema.by_name.get(change.looks_like or "")
    return f"; {rename_told(column, told_name(change.column))}" if column else ""


def adoption(spec: FileSpec, column: str) -> str:
    """The command that makes a kept column one of the schema."""
    return f"python main.py adopt {spec.name} {shlex.quote(column)}"
