"""`if_parent_missing` and `if_missing`: how they are read, and what they can't be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.key import IfMissing
from config.settings import PipelineConfig
from datawarehouse.rights import loader_rights
from datawarehouse.schema.tables import build_metadata
from tests.integration.small import settings_of

PARENT: dict[str, Any] = {
    "key": "id",
    "columns": {"id": "int", "code": "str", "name": {"dtype": "str", "nullable": False}, "city": "int"},
}
CHILD: dict[str, Any] = {
    "key": "n",
    "table": "fact_child",
    "columns": {"n": "int", "p": "int", "q": "int", "at": {"dtype": "datetime", "nullable": False}, "s": "str"},
    "foreign_keys": {"p": "parents"},
}


def read(
    tmp_path: Path, child: dict[str, Any], parent: dict[str, Any] | None = None, **more: Any
) -> PipelineConfig:
    types = {"parents": {**PARENT, **(parent or {})}, "children": {**CHILD, **child}, **more}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings_of(types)))
    return get_config(path)


@pytest.mark.parametrize(
    ("child", "policies"),
    [
        ({}, [IfMissing.WAIT]),
        ({"if_parent_missing": "wait"}, [IfMissing.WAIT]),
        ({"if_parent_missing": "placeholder"}, [IfMissing.PLACEHOLDER]),
        ({"if_parent_missing": None}, [IfMissing.NULL]),
        ({"if_parent_missing": "null"}, [IfMissing.NULL]),
        ({"foreign_keys": {"p": {"to": "parents"}}}, [IfMissing.WAIT]),
        ({"foreign_keys": {"p": {"to": "parents", "if_missing": None}}}, [IfMissing.NULL]),
        ({"foreign_keys": {"s": {"to": "parents.code", "if_missing": "null"}}}, [IfMissing.NULL]),
        (
            {
                "if_parent_missing": "placeholder",
                "foreign_keys": {"p": "parents", "q": {"to": "parents", "if_missing": "wait"}},
            },
            [IfMissing.PLACEHOLDER, IfMissing.WAIT],
        ),
    ],
)
def test_a_file_says_it_for_all_of_its_keys_and_a_key_for_itself(
    tmp_path: Path, child: dict[str, Any], policies: list[IfMissing]
) -> None:
    config = read(tmp_path, child)
    assert [key.if_missing for key in config.by_logical_name["children"].foreign_keys] == policies
    stands_for = IfMissing.PLACEHOLDER in policies
    parent = config.by_logical_name["parents"]
    assert parent.has_placeholders == stands_for
    columns = build_metadata(config).tables["dim_parents"].columns
    assert ("_placeholder" in columns, columns["name"].nullable, columns["id"].nullable) == (
        stands_for,
        stands_for,
        False,
    )
    updates = {
        right.column
        for right in loader_rights(config)
        if (right.table, right.privilege) == ("dim_parents", "UPDATE")
    }
    assert (None in updates) == stands_for


LINES = {
    "key": ["p", "n"],
    "columns": {"p": "int", "n": "int"},
    "foreign_keys": {"p": "parents"},
}


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ({"if_parent_missing": "skip"}, "if_parent_missing: Input should be 'wait', 'placeholder' or 'null'"),
        (
            {"foreign_keys": {"p": {"to": "parents", "if_missing": 5}}},
            "foreign_keys.p.if_missing: Input should be",
        ),
        ({"foreign_keys": {"p": {"if_missing": "wait"}}}, "foreign_keys.p.to: missing"),
        ({"foreign_keys": {"p": 5}}, "write a type, as in visits, or {to: visits, if_missing: placeholder}"),
        (
            {"columns": {**CHILD["columns"], "p": {"dtype": "int", "nullable": False}}, "if_parent_missing": None},
            "foreign_keys.p.if_missing: null, but p is nullable: false; make it nullable, or say wait",
        ),
        (
            {"foreign_keys": {"n": "parents"}, "if_parent_missing": None},
            "foreign_keys.n.if_missing: null, but n is of the primary key",
        ),
        (
            {"foreign_keys": {"p": "parents", "p, q": {"to": "lines", "if_missing": None}}},
            "foreign_keys.p, q.if_missing: null, but p is of the foreign key p too, which would be lost with it",
        ),
        (
            {"foreign_keys": {"s": {"to": "parents.code", "if_missing": "placeholder"}}},
            "placeholder, but it refers to parents.code, and a placeholder needs the primary key of dim_parents",
        ),
        (
            {"foreign_keys": {"p, q": {"to": "lines", "if_missing": "placeholder"}}},
            "placeholder, but the primary key of lines holds p, which refers to parents",
        ),
    ],
)
def test_what_can_not_be_is_said_with_a_way_out(tmp_path: Path, child: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, child, lines=LINES)
    assert said in str(caught.value)


def test_personal_rows_are_not_cut_loose_from_their_person(tmp_path: Path) -> None:
    personal = {"columns": {**PARENT["columns"], "name": {"dtype": "str", "personal": True}}}
    child = {"columns": {**CHILD["columns"], "s": {"dtype": "str", "personal": True}}, "if_parent_missing": None}
    with pytest.raises(
        ConfigError, match="would not be found when that person is erased; say wait or placeholder"
    ):
        read(tmp_path, child, personal)


def test_a_column_of_the_parent_is_not_called_as_the_mark_of_placeholders(tmp_path: Path) -> None:
    named = {"columns": {**PARENT["columns"], "_placeholder": "bool"}}
    read(tmp_path, {}, named)
    with pytest.raises(ConfigError, match=r"schemas\.parents has a column _placeholder"):
        read(tmp_path, {"if_parent_missing": "placeholder"}, named)


def test_what_files_of_one_type_do_without_parents_may_differ(tmp_path: Path) -> None:
    config = read(tmp_path, {"if_parent_missing": "placeholder"})
    key = config.by_logical_name["children"].foreign_keys[0]
    assert key == read(tmp_path, {}).by_logical_name["children"].foreign_keys[0]


def test_placeholders_do_not_go_with_distributed_tables(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    types = {"parents": PARENT, "children": {**CHILD, "if_parent_missing": "placeholder"}}
    path.write_text(yaml.safe_dump(settings_of(types, database={"distributed": True})))
    with pytest.raises(ConfigError, match="placeholder does not go with database"):
        get_config(path)
