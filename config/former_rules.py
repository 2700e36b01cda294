"""Rules by their names in earlier versions (former_rules.yaml): YAML that names them goes on working."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def _former() -> dict[str, str | dict[str, Any]]:
    text = (Path(__file__).parent / "former_rules.yaml").read_text(encoding="utf-8")
    found: dict[str, str | dict[str, Any]] = yaml.safe_load(text)
    return found


def todays_rule(name: str) -> str:
    """The name that the rule has today."""
    today = _former().get(name, name)
    return today if isinstance(today, str) else next(iter(today))


def in_todays_words(config: Any) -> Any:
    """The YAML with the rules of its columns by their names of today; whatever is no such YAML stays as it is."""
    schemas = config.get("schemas") if isinstance(config, dict) else None
    for schema in schemas.values() if isinstance(schemas, dict) else ():
        columns = schema.get("columns") if isinstance(schema, dict) else None
        for column in columns if isinstance(columns, list) else ():
            if isinstance(column, dict) and isinstance(column.get("rules"), dict):
                column["rules"] = dict(_todays(column["rules"]))
    return config


def _todays(rules: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, parameter in rules.items():
        today = _former().get(name, name) if isinstance(name, str) else name
        if isinstance(today, dict):
            found += today.items() if parameter is True else []
        else:
            found.append((today, parameter))
    return found
