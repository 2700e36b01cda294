"""What the configuration says of how files of a kind are loaded, value by value: what a fingerprint is made of.

A file that failed is tried again when one of these values has changed. What has its default is left out, so that a
key which is new in the code changes nothing where the YAML does not give it. A new key has to be listed here, or
in the test that compares, as one that no file fails by.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from config.checks import Check
from config.expected_file import Contract, Derivation, Lookup, Operation
from config.key import Key
from config.origins import Origin
from config.read_options import ReadOptions
from config.schema import Column, Drift
from config.severity import RuleUse

if TYPE_CHECKING:
    from config.file_spec import FileSpec

# Of each section, the keys that a file may fail by.
LISTED: dict[type[BaseModel], tuple[str, ...]] = {
    Check: ("row", "file", "within", "when", "then", "at_most_pct"),
    Column: (
        *("name", "dtype", "nullable", "allowed_values", "sql_type", "pii", "stored_as", "round", "format"),
        *("sources", "optional", "default", "value", "uses"),
    ),
    Origin: ("file", "path", "constant", "parent", "element"),
    Drift: ("new_columns", "missing_columns"),
    Derivation: (
        *("date_key", "time_key", "minutes_between", "later_than", "equals", "lookup", "version_of", "by", "at"),
    ),
    Lookup: ("source", "by", "take"),
    Operation: ("column", "delete", "load"),
    Contract: ("min_rows", "max_rows", "rows_band_pct", "band_days", "max_reject_pct", "abort"),
    ReadOptions: ("null_values", "format", "trim", "decimal", "thousands", "currency", "dates", "timezone"),
}


_SAID = {"uses": "rules"}  # keys that have another name in the code


def fingerprint_of(spec: FileSpec) -> str:
    """MD5, hex, of all that is listed."""
    text = json.dumps(listed(spec), sort_keys=True, default=str)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def listed(spec: FileSpec) -> dict[str, Any]:
    """The values by name; a name whose value is empty is left out."""
    schema = spec.schema
    values = {
        "name": spec.name,
        "feed": spec.feed.value,
        "pattern": spec.pattern,
        "table": spec.table,
        "primary_key": list(schema.primary_key),
        "columns": [_given(column) for column in schema.columns],
        "checks": {name: _given(check) for name, check in schema.checks.items()},
        "drift": _given(schema.drift),
        "within": str(schema.within or ""),
        "foreign_keys": [
            [list(key.key), key.parent, list(key.to or Key()), key.if_missing.value] for key in spec.foreign_keys
        ],
        "derive": {name: _given(derivation) for name, derivation in spec.derive.items()},
        "keep": spec.keep.value,
        "newer_by": spec.newer_by,
        "is_snapshot": spec.is_snapshot,
        "gone": spec.gone.value if spec.loses_rows else None,
        "gone_at_most_pct": spec.gone_at_most_pct if spec.takes_away else None,
        "operation": _given(spec.operation) if spec.operation else None,
        "contract": _given(spec.contract) if spec.contract else None,
        "read": {**_given(spec.read), **spec.read.of_format},
        "manifest": spec.complete_when.manifest if spec.complete_when else None,
        "children": [listed(child) for child in spec.children],
    }
    return {name: value for name, value in values.items() if value}


def _given(section: BaseModel) -> dict[str, Any]:
    """The listed keys of a section that are not as they are by default."""
    kind = next(kind for kind in type(section).__mro__ if kind in LISTED)
    fields = kind.model_fields
    values = {name: getattr(section, name) for name in LISTED[kind]}
    return {
        _SAID.get(name, name): _given(value) if isinstance(value, BaseModel) else _rules_said(value)
        for name, value in values.items()
        if value != fields[name].get_default(call_default_factory=True)
    }


def _rules_said(value: Any) -> Any:
    """Rules as the YAML has them: the parameter alone, where nothing else is said. Any other value as it is."""
    if not isinstance(value, dict):
        return value
    return {name: _said(use) if isinstance(use, RuleUse) else use for name, use in value.items()}


def _said(use: RuleUse) -> Any:
    more = use.model_dump(exclude={"parameter"}, exclude_defaults=True)
    return {**more, "value": use.parameter} if more else use.parameter
