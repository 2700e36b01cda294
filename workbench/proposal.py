"""What `infer` proposes for one kind of file, and the YAML of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from config.model import Feed


@dataclass
class Proposal:
    """The entries of the YAML for one type, as mappings, and what to look at before they are used.

    `rows` were judged by; `tried` were put to the proof.
    """

    pattern: str
    feed: Feed
    name: str
    file_entry: dict[str, Any]
    schema: dict[str, Any]
    rows: int
    file_name: str = ""
    tried: int = 0
    is_mapped: bool = False  # the name is not the one that the pattern tells
    notes: list[str] = field(default_factory=list)

    def as_mapping(self) -> dict[str, Any]:
        """Where the entries belong in the YAML."""
        expected = {"expected_files": {self.pattern: self.file_entry}}
        mapping: dict[str, Any] = {"watcher": {self.feed.value: expected}}
        if self.is_mapped:
            mapping["reader"] = {"file_type_map": {self.pattern: self.name}}
        return mapping | {"schemas": {self.name: self.schema}}


def together(found: Iterable[Proposal]) -> dict[str, Any]:
    """The entries of several types in one mapping."""
    whole: dict[str, Any] = {}
    for one in found:
        _lay_beside(whole, one.as_mapping())
    return whole


def _lay_beside(whole: dict[str, Any], part: dict[str, Any]) -> None:
    for key, value in part.items():
        if isinstance(whole.get(key), dict) and isinstance(value, dict):
            _lay_beside(whole[key], value)
        else:
            whole[key] = value


def as_yaml(found: list[Proposal]) -> str:
    """The proposals as text to paste: a line a column, as in the shipped YAML, and the notes as comments."""
    lines = []
    for one in found:
        rest = f"; all {one.tried:,} were tried" if one.tried > one.rows else ""
        lines.append(f"# Proposed from the first {one.rows:,} rows of {_printable(one.file_name)}{rest}.")
        lines += [f"# {_printable(note)}" for note in one.notes]
    lines.append("watcher:")
    for feed in dict.fromkeys(one.feed for one in found):
        lines += [f"  {feed.value}:", "    expected_files:"]
        for one in (one for one in found if one.feed is feed):
            lines.append(f"      {flow(one.pattern)}:")
            lines += [f"        {key}: {flow(value)}" for key, value in one.file_entry.items()]
    if mapped := [one for one in found if one.is_mapped]:
        lines += ["", "reader:", "  file_type_map:"]
        lines += [f"    {flow(one.pattern)}: {flow(one.name)}" for one in mapped]
    lines += ["", "schemas:"]
    for one in found:
        lines += [f"  {flow(one.name)}:", f"    primary_key: {flow(one.schema['primary_key'])}", "    columns:"]
        lines += [f"      - {flow(column)}" for column in one.schema["columns"]]
    return "\n".join(lines)


def flow(value: Any) -> str:
    """As YAML writes it on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
