"""Adds a column to a type's schema in the YAML, where it stands: comments and all else stay as they are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from config.errors import ConfigError
from config.includes import included_files

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?: [A-Za-z0-9_]+)*")


def files_of(source: Path) -> Iterator[Path]:
    """The configuration's files: `source`, and those that its `include` names, from its folder on."""
    yield source
    top = yaml.safe_load(source.read_text(encoding="utf-8"))
    yield from included_files(source, top.get("include") if isinstance(top, dict) else None)


def with_column(source: Path, schema: str, column: Mapping[str, Any]) -> tuple[Path, str]:
    """The file that has `schema`, and its text with `column` behind the schema's other ones.

    Raises ConfigError with what to write where that can't be done for you.
    """
    line = in_flow(column)
    for path in files_of(source):
        text = text_of(path)
        columns = _columns(yaml.compose(text, Loader=yaml.SafeLoader), schema)
        if columns is not None:
            new = _inserted(text, columns, line)
            if _only_adds(text, new, schema, column):
                return path, new
            break
    raise ConfigError(f"write it into the YAML yourself, and run this again: schemas.{schema}.columns: - {line}")


def in_flow(value: Any) -> str:
    """`value` as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{in_flow(key)}: {in_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(in_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    reads_back = _PLAIN.fullmatch(text) and yaml.safe_load(text) == text
    return text if reads_back else json.dumps(text, ensure_ascii=False)


def text_of(path: Path) -> str:
    """The file's text, its line ends as they are."""
    return path.read_bytes().decode()


def replace_text(path: Path, text: str) -> None:
    """Put `text` in the file's place at once, with its rights."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(text.encode())
    beside.chmod(path.stat().st_mode & 0o777)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def _columns(top: yaml.Node | None, schema: str) -> yaml.SequenceNode | None:
    node: yaml.Node | None = top
    for key in ("schemas", schema, "columns"):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in pairs if name.value == key), None)
    return node if isinstance(node, yaml.SequenceNode) else None


def _inserted(text: str, columns: yaml.SequenceNode, line: str) -> str:
    end = len(text[: _end_of(columns.value[-1])].rstrip())  # a text over lines ends behind the empty ones after it
    if columns.flow_style:
        return f"{text[:end]}, {line}{text[end:]}"
    end_of_line = text.find("\n", end)
    end_of_line = len(text) if end_of_line < 0 else end_of_line
    first = text.rfind("\n", 0, columns.value[0].start_mark.index) + 1
    indent = text[first:][: len(text[first:]) - len(text[first:].lstrip(" "))]
    line_end = "\r\n" if "\r\n" in text else "\n"
    end_of_line -= text[:end_of_line].endswith("\r")
    return f"{text[:end_of_line]}{line_end}{indent}- {line}{text[end_of_line:]}"


def _end_of(node: yaml.Node) -> int:
    """Where the text of the node ends. A block's own mark is behind the blank lines and comments after it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end_of(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _only_adds(before: str, after: str, schema: str, column: Mapping[str, Any]) -> bool:
    """Is the column all that is new? A list that several schemas share would get it for all of them."""
    try:
        old, new = (json.loads(json.dumps(yaml.safe_load(text), default=str)) for text in (before, after))
    except yaml.YAMLError:
        return False
    return bool(new["schemas"][schema]["columns"].pop() == dict(column) and new == old)
