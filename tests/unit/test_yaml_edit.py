"""A column is added to the YAML where it stands, and nothing else of the file changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from config.errors import ConfigError
from workbench.yaml_edit import in_flow, with_column

COLUMN = {"name": "tip", "dtype": "float", "optional": True, "from": "Tip %"}
LINE = 'name: tip, dtype: float, optional: true, from: "Tip %"'
HEAD = "schemas:\n  a:\n    columns:\n    - name: id"
TEXTS = {
    "a block": "schemas:\n  a:\n    columns:  # of a\n      - {name: id}\n\n  # b\n  b: {columns: [{name: x}]}\n",
    "nested blocks": f"{HEAD}\n      rules:\n        at_least: 0   # why\n# end\n",
    "an anchor": HEAD.replace("columns:", "columns: &c") + "\n",
    "no newline at the end": HEAD,
    "a flow": "schemas: {a: {columns: [{name: id}]  # c\n  , primary_key: id}}\n",
    "windows": f"{HEAD}\n\n".replace("\n", "\r\n"),
    "a text over lines": f"{HEAD}\n      x: |\n        2\n        lines\n\n    key: id\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_column_comes_last_and_all_else_stays(name: str, tmp_path: Path) -> None:
    source = tmp_path / "config.yaml"
    source.write_bytes(TEXTS[name].encode())
    path, text = with_column(source, "a", COLUMN)
    assert path == source
    old, new = yaml.safe_load(TEXTS[name]), yaml.safe_load(text)
    assert new["schemas"]["a"]["columns"].pop() == COLUMN
    assert new == old
    assert LINE in text
    lines = TEXTS[name].splitlines(keepends=name == "windows")
    assert [line for line in text.splitlines(keepends=name == "windows") if LINE not in line] == [
        x for x in lines if x not in gone(name)
    ]


def gone(name: str) -> list[str]:
    """A list on one line grows on it."""
    return TEXTS[name].splitlines()[:1] if name == "a flow" else []


def test_a_column_list_in_an_included_file_is_found(tmp_path: Path) -> None:
    source = tmp_path / "config.yaml"
    source.write_text("include: [types/*.yaml]\nschemas: {}\n")
    (tmp_path / "types").mkdir()
    of_type = tmp_path / "types/a.yaml"
    of_type.write_text("schemas:\n  a:\n    columns:\n    - name: id\n")
    path, text = with_column(source, "a", COLUMN)
    assert (path, text) == (of_type, f"schemas:\n  a:\n    columns:\n    - name: id\n    - {{{LINE}}}\n")


@pytest.mark.parametrize(
    "text",
    [
        "x: &c\n  - name: id\nschemas:\n  a: {columns: *c}\n  b: {columns: *c}\n",
        "schemas:\n  b: {columns: [{name: id}]}\n",
    ],
)
def test_what_can_not_be_written_safely_is_told_to_write(text: str, tmp_path: Path) -> None:
    source = tmp_path / "config.yaml"
    source.write_text(text)
    with pytest.raises(ConfigError, match=r"write it into the YAML yourself.*schemas\.a\.columns: - \{name: tip"):
        with_column(source, "a", COLUMN)


@pytest.mark.parametrize(
    "value", ["no", "1", "a: b", "null", "x y", "#c", " a", "é", "a'b", '"', "2026-01-01", "~", ""]
)
def test_any_name_reads_back_as_itself(value: str) -> None:
    assert yaml.safe_load(in_flow({value: [value, True]})) == {value: [value, True]}


@pytest.mark.parametrize("include", ["types/*.yaml", "types/a.yaml", "{home}/types/*.yaml"])
def test_the_file_that_has_the_schema_gets_the_column(tmp_path: Path, include: str) -> None:
    source, part = tmp_path / "config.yaml", tmp_path / "types" / "a.yaml"
    part.parent.mkdir()
    source.write_text(f"include: ['{include.format(home=tmp_path)}']\n")
    part.write_text(TEXTS["nested blocks"])
    path, text = with_column(source, "a", COLUMN)
    assert (path, LINE in text) == (part, True)
