"""Reads YAML as the configuration is written: no key twice, and times of the day that stay times."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from config.errors import ConfigError

# YAML 1.1 reads 18:30 as the number 1110, to base 60; in this configuration it is a time.
_TIME_OF_DAY = ("tag:yaml.org,2002:str", re.compile(r"\d\d?:\d\d$"))


def _mapping_with_unique_keys(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in mapping:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


def _strict(safe_loader: Any) -> Any:
    """A safe loader, except that a key given twice is an error and not the last one's win."""
    resolvers = {
        first: [_TIME_OF_DAY, *others] if first.isdigit() else others
        for first, others in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    loader: Any = type("StrictLoader", (safe_loader,), {"yaml_implicit_resolvers": resolvers})
    loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_with_unique_keys)
    return loader


_TELLING = _strict(yaml.SafeLoader)
_FAST = _strict(yaml.CSafeLoader) if yaml.__with_libyaml__ else _TELLING  # ten times as fast; its errors say less


def read_yaml(source: Path, way_out: str) -> Any:
    """What the file says. Raises ConfigError that names it; `way_out` is told where it can't be read."""
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{source}: can't read the configuration: {reason}; {way_out}") from None
    try:
        try:
            return yaml.load(text, Loader=_FAST)  # noqa: S506  (a subclass of the safe loader)
        except yaml.YAMLError:
            return yaml.load(text, Loader=_TELLING)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{source}:{place} {problem}") from None
