"""`include`: the configuration in several files holds as in one, and each problem names the file that has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from tests.conftest import SETTINGS_FROM_OUTSIDE

COLUMNS = [{"name": "id", "dtype": "int", "nullable": False}]


def type_of(name: str, **changes: Any) -> dict[str, Any]:
    entry = {"table": f"dim_{name}", **changes}
    return {
        "watcher": {"batch": {"expected_files": {f"{name}.csv": entry}}},
        "schemas": {name: {"primary_key": "id", "columns": COLUMNS}},
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    (tmp_path / ".env").touch()
    (tmp_path / "types").mkdir()
    return tmp_path


def write(home: Path, **files: Any) -> Path:
    """Files by the stem of their names: `site`, others within types/."""
    for name, content in files.items():
        path = home / "site.yaml" if name == "site" else home / "types" / f"{name}.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return home / "site.yaml"


def told(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        get_config(path)
    return str(error.value)


def test_types_in_files_of_their_own_are_as_good_as_in_the_yaml(home: Path) -> None:
    site = {"include": ["types/*.yaml"], "reader": {"trim": True}, **type_of("cats")}
    path = write(home, site=site, dogs=type_of("dogs"), birds=type_of("birds"))
    (home / "types" / ".hidden.yaml").write_text("nonsense")
    assert {spec.name for spec in get_config(path).files} == {"cats", "dogs", "birds"}
    assert get_config(path).by_logical_name["dogs"].read.trim


def test_globs_begin_at_the_folder_of_the_yaml(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    write(home, dogs=type_of("dogs"))
    inner = home / "conf"
    inner.mkdir()
    (inner / "site.yaml").write_text("include: ../types/dogs.yaml\n")
    assert [spec.name for spec in get_config(inner / "site.yaml").files] == ["dogs"]


def test_a_site_without_types_holds(home: Path) -> None:
    assert get_config(write(home, site="")).files == ()
    assert get_config(write(home, site="include: [types/*.yaml]\n")).files == ()


@pytest.mark.parametrize(
    ("dogs", "key"),
    [
        (type_of("cats"), r"schemas\.cats"),
        ({"watcher": type_of("cats")["watcher"]}, r"watcher\.batch\.expected_files\.cats\.csv"),
        ({"schemas": {"cats": {"primary_key": "row", "columns": COLUMNS}}}, r"schemas\.cats"),
        ({"reader": {"trim": False}}, r"reader\.trim"),
        ({"database": {"port": 1}}, "database"),
    ],
)
def test_what_two_files_say_is_told_with_both(home: Path, dogs: dict[str, Any], key: str) -> None:
    site = {"include": ["types/*.yaml"], "reader": {"trim": True}, "database": {"port": 2}, **type_of("cats")}
    path = write(home, site=site, dogs=dogs)
    with pytest.raises(ConfigError, match=rf"^{key}: is said in .*site\.yaml and in .*types/dogs\.yaml"):
        get_config(path)
    path = write(home, site={"include": ["types/*.yaml"]}, mice=type_of("rats"), rats=type_of("rats"))
    (home / "types" / "dogs.yaml").unlink()
    assert "types/mice.yaml and in " in told(path)


@pytest.mark.parametrize(
    ("dogs", "problem"),
    [
        ("schemas: [", r"types/dogs\.yaml: line 1"),
        ("- a list", r"types/dogs\.yaml: holds no sections"),
        ("include: [more.yaml]", r"types/dogs\.yaml: include: an included .* and add more\.yaml to include in"),
        ("schemas: {a: 1, a: 2}", r"types/dogs\.yaml: .*given twice"),
        (type_of("dogs", tabel="x"), r"types/dogs\.yaml: watcher\.batch\.expected_files\.dogs\.csv\.tabel: unkno"),
        (type_of("dogs", foreign_keys={"id": "wolves"}), r"types/dogs\.yaml: .*'wolves', which is not the type"),
        ({"schemas": type_of("dogs")["schemas"]}, r"types/dogs\.yaml: schemas\.dogs: no expected file uses it"),
    ],
)  # fmt: skip
def test_a_problem_names_the_file_that_has_it(home: Path, dogs: Any, problem: str) -> None:
    path = write(home, site={"include": ["types/*.yaml"], **type_of("cats")}, dogs=dogs)
    with pytest.raises(ConfigError, match=problem):
        get_config(path)


def test_a_named_file_that_is_missing_is_told_and_an_empty_glob_is_none(home: Path) -> None:
    assert "types/dogs.yaml: can't read" in told(write(home, site="include: [types/dogs.yaml]\n"))
    assert get_config(write(home, site="include: ['none/*.yaml']\n")).files == ()
    assert "include" in told(write(home, site="include: {a: b}\n"))


def test_an_empty_included_file_says_nothing(home: Path) -> None:
    path = write(home, site={"include": ["types/*.yaml"], **type_of("cats")}, dogs="# to come\n")
    assert [spec.name for spec in get_config(path).files] == ["cats"]


def test_the_environment_reaches_included_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOG_TABLE", "dim_hound")
    path = write(home, site="include: [types/*.yaml]\n", dogs=type_of("dogs", table="${DOG_TABLE}"))
    assert get_config(path).by_logical_name["dogs"].table == "dim_hound"
