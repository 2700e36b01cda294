"""A proposal put to the proof, and mended until its file loads: what it can't mend it says, with the way on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.errors import ConfigError
from config.key import ROW_KEY
from config.settings import PipelineConfig
from workbench.proposal import Proposal
from workbench.trial import Trial, spec_of, tried
from workbench.value_tests import FEW

MOST_TRIES = 6
# Held against a value by its column's type: text takes it as it is.
_OF_TYPE = {"dtype", "out_of_range", "too_long", "ambiguous_time", "date_in_range", "not_an_array", "array_item"}
_OF_TYPE |= {"digits_lost", "key_given_twice", "lone_surrogate"}
_NUMBERS_THAT_ARE_NONE = ["nan", "infinity", "-infinity"]


def put_to_the_proof(
    config: PipelineConfig, path: Path, draft: Proposal, *, most: int, sure_key: bool, own_key: list[str]
) -> None:
    """Try the first `most` rows by the draft, and change it until no more of them load.

    `sure_key`: the user has named the key; `own_key` are its columns where the file's names say that it is one.
    """
    mender = _Mender(config, draft, own_key, sure_key=sure_key)
    for _ in range(MOST_TRIES):
        trial = _tried(config, path, draft, most)
        draft.tried = trial.rows
        if not mender.mend(trial):
            break
    mender.tell(trial)


def _tried(config: PipelineConfig, path: Path, draft: Proposal, most: int) -> Trial:
    try:
        spec = spec_of(config, draft.feed, draft.pattern, draft.name, draft.file_entry, draft.schema)
    except (ConfigError, ValidationError) as problem:
        raise ConfigError(f"{path.name}: {problem}") from None
    return tried(config, path, spec, most)


class _Mender:
    def __init__(self, config: PipelineConfig, draft: Proposal, own_key: list[str], *, sure_key: bool) -> None:
        self._config, self._draft = config, draft
        self._own_key, self._sure_key = own_key, sure_key

    def mend(self, trial: Trial) -> bool:
        """Change the draft by what was found; was there anything to change?"""
        changed = False
        for (rule, name), rows in sorted(trial.reasons.items()):
            column = next((one for one in self._draft.schema["columns"] if one["name"] == name), None)
            if rule == "duplicate":
                changed = self._keep_all(trial, rows) or changed
            elif column is not None and rule in _OF_TYPE:
                changed = self._as_text(column, rule, rows) or changed
            elif column is not None and rule == "not_json":
                changed = self._without_nan(name) or changed
        return changed

    def _as_text(self, column: dict[str, Any], rule: str, rows: int) -> bool:
        if column["dtype"] == "json" and column.get("sql_type") != "json":
            column["sql_type"] = "json"
            return True
        if column["dtype"] == "str" or column.get("pii"):
            return False
        dtype, sql_type, formats = (column.pop(key, None) for key in ("dtype", "sql_type", "format"))
        was = "".join(f", {key}: {value}" for key, value in (("sql_type", sql_type), ("format", formats)) if value)
        rest = {key: column.pop(key) for key in list(column) if key != "name"}
        column |= {"dtype": "str", **rest}
        self._draft.notes.append(f"{column['name']}: text, for {self._why(rule, rows)}; else dtype: {dtype}{was}")
        return True

    def _why(self, rule: str, rows: int) -> str:
        first, last = self._config.validation.dates
        some = f"{rows:,} row{'s' if rows > 1 else ''}"
        reasons = {
            "date_in_range": f"{some} have a date outside validation.dates, {first} to {last}: widen that",
            "ambiguous_time": f"{some} have a time that the clocks of read.timezone show twice, or skip",
        }
        return reasons.get(rule, f"{some} would be refused ({rule})")

    def _without_nan(self, name: str) -> bool:
        read = self._draft.file_entry.setdefault("read", {})
        words = list(read.get("null_values", self._config.reader.null_values))
        if set(_NUMBERS_THAT_ARE_NONE) <= set(words):
            return False
        read["null_values"] = [*words, *(word for word in _NUMBERS_THAT_ARE_NONE if word not in words)]
        self._draft.notes.append(
            f"{name}: NaN or Infinity, which JSON does not know, means null (read.null_values)"
        )
        return True

    def _keep_all(self, trial: Trial, rows: int) -> bool:
        """Where rows have one key that was taken for it by its values, each row is kept."""
        key = self._draft.schema["primary_key"]
        few = self._own_key and rows <= FEW * trial.rows
        if self._sure_key or key == ROW_KEY or few:
            return False
        columns = [key] if isinstance(key, str) else key
        for column in self._draft.schema["columns"]:
            if column["name"] in columns:
                column.pop("nullable", None)
        self._draft.schema["primary_key"] = ROW_KEY
        self._draft.notes[:] = [one for one in self._draft.notes if "taken for the key" not in one]
        self._draft.notes.append(
            f"{', '.join(columns)}: {rows:,} rows have one that came before, so each row of each file is kept "
            f"(key: row); if they are newer versions, say {' '.join(f'--key {one}' for one in columns)}"
        )
        return True

    def tell(self, trial: Trial) -> None:
        """Say what would not be loaded, and how to go on."""
        if trial.error is not None:
            self._draft.notes.append(f"the file would be refused: {trial.error}")
        for (rule, name), rows in sorted(trial.reasons.items()):
            some = f"{rows:,} of {trial.rows:,} rows would be refused"
            match rule:
                case "duplicate":
                    key = self._draft.schema["primary_key"]
                    told = key if isinstance(key, str) else ", ".join(key)
                    way_out = "the first row of a key is loaded; --key row keeps each, keep: latest the newest"
                    self._draft.notes.append(f"{told}: {some}, for their key came before; {way_out}")
                case "not_null":
                    self._draft.notes.append(f"{name}: {some}, for they have none; --key row keeps them")
                case _:
                    place = f"{name}: " if name else ""
                    self._draft.notes.append(
                        f"{place}{some} ({rule}); `check` shows which, once the type is there"
                    )
