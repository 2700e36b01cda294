"""A kept column becomes one of its type: written into the YAML, its values moved; none is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import workbench.drift
from config.settings import DatabaseConfig
from datawarehouse import adoption
from ingestion.pipeline import Pipeline
from tests.integration.drifting import Drifting

FILE = (
    "id,name,sent_on,tip,code\n"
    '1,a,2026-01-01,1.50,007\n2,b,2026-01-02,"1,5",x\n3,c,2026-01-03,,\n4,d,2026-01-04,NA,008\n5,e,,1.50,\n'
)
CODES = "SELECT array_agg(code ORDER BY id) FROM dim_notes WHERE code IS NOT NULL"
ROWS = "SELECT id, {}::text, _extra FROM dim_notes ORDER BY id"


@pytest.fixture
def drifting(database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drifting:
    entry = {"new_columns": "keep", "read": {"null_values": ["NA"]}}
    drifting = Drifting(database, tmp_path, monkeypatch, {"notes.csv": entry})
    drifting.put("notes.csv", FILE)
    drifting.turn()
    return drifting


def test_drift_lists_what_was_met_and_what_to_do(drifting: Drifting) -> None:
    code, said = drifting.run("drift", "--json")
    tip, _code = sorted(json.loads(said), key=lambda row: str(row["column"]), reverse=True)
    assert code == 0
    assert {name: tip[name] for name in ("type", "column", "kind", "files", "rows")} == {
        "type": "notes",
        "column": "tip",
        "kind": "kept",
        "files": 1,
        "rows": 4,
    }
    assert tip["example_file"].endswith("notes.csv")
    assert "python main.py adopt notes tip" in tip["what_to_do"]
    assert drifting.run("drift", "notes")[0] == 0
    assert "no table of the configuration" in drifting.run("drift", "nothing")[1]


def test_adopted_values_are_those_that_a_load_would_have_given(drifting: Drifting) -> None:
    before = drifting.yaml.read_text()
    drifting.yaml.write_text(before.replace("dtype: date", "dtype: date  # the day it was sent"))
    code, said = drifting.run("adopt", "notes", "tip", "--dtype", "float", "--yes")
    assert (code, "3 rows have got their values" in said, "1 values are no float" in said) == (1, True, True), said
    assert "2 of file 1" in said
    assert drifting.rows(ROWS.format("tip")) == [
        (1, "1.5", {"code": "007"}),
        (2, None, {"tip": "1,5", "code": "x"}),
        (3, None, None),
        (4, None, {"code": "008"}),
        (5, "1.5", None),
    ]
    text = drifting.yaml.read_text()
    assert "# the day it was sent" in text
    assert "- {name: tip, dtype: float, optional: true}\n" in text
    assert text.replace("    - {name: tip, dtype: float, optional: true}\n", "").count("\n") == before.count("\n")
    assert [row["column"] for row in json.loads(drifting.run("drift", "--json")[1])] == ["code"]
    drifting.put("notes.csv", "id,name,sent_on,tip,code\n6,f,,2.25,1\n")
    drifting.turn()
    assert drifting.rows(ROWS.format("tip"))[-1] == (6, "2.25", {"code": "1"})


def test_what_a_service_kept_meanwhile_comes_by_a_second_run(drifting: Drifting) -> None:
    kept = drifting.yaml.read_text()
    assert drifting.run("adopt", "notes", "code", "--as", "code_no", "--yes")[0] == 0
    adopted = drifting.yaml.read_text()
    assert "- {name: code_no, dtype: str, optional: true, from: code}" in adopted
    drifting.yaml.write_text(kept)
    drifting.put("notes.csv", "id,name,sent_on,code\n6,f,,late\n")
    drifting.turn()
    drifting.yaml.write_text(adopted)
    assert drifting.run("adopt", "notes", "code")[0] == 0
    assert drifting.rows("SELECT id, code_no FROM dim_notes WHERE code_no IS NOT NULL ORDER BY id") == [
        (1, "007"),
        (2, "x"),
        (4, "008"),
        (6, "late"),
    ]
    assert drifting.yaml.read_text() == adopted


def test_killed_in_between_it_is_safe_to_repeat(drifting: Drifting, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_args: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(adoption, "validate_schema", killed)
        with pytest.raises(KilledError):
            drifting.run("adopt", "notes", "code", "--yes")
    assert drifting.rows("SELECT count(*) FROM dim_notes WHERE _extra ? 'code' AND code IS NULL") == [(3,)]
    assert drifting.run("adopt", "notes", "code", "--yes")[0] == 0
    assert drifting.rows(CODES) == [(["007", "x", "008"],)]


@pytest.mark.parametrize("amid", ["give_column", "back_fill"])
def test_what_it_was_killed_in_the_next_start_finishes(
    drifting: Drifting, monkeypatch: pytest.MonkeyPatch, amid: str
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_args: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(workbench.drift, amid, killed)
        with pytest.raises(KilledError):
            drifting.run("adopt", "notes", "code", "--yes")
    drifting.turn()
    assert drifting.rows(CODES) == [(["007", "x", "008"],)]
    assert [row["column"] for row in json.loads(drifting.run("drift", "--json")[1])] == ["tip"]


def test_killed_before_the_yaml_is_written_nothing_has_begun(
    drifting: Drifting, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_args: object) -> None:
        raise KilledError

    before = drifting.yaml.read_text()
    with monkeypatch.context() as patch:
        patch.setattr(workbench.drift, "replace_text", killed)
        with pytest.raises(KilledError):
            drifting.run("adopt", "notes", "code", "--yes")
    drifting.turn()
    assert drifting.yaml.read_text() == before
    assert drifting.rows("SELECT count(*) FROM dim_notes WHERE _extra ? 'code'") == [(3,)]


def test_a_service_that_was_started_before_goes_on_and_nothing_is_lost(drifting: Drifting) -> None:
    with Pipeline(drifting.config) as running:
        running.run_once()
        assert drifting.run("adopt", "notes", "code", "--as", "code_no", "--yes")[0] == 0
        drifting.put("notes.csv", "id,name,sent_on,code\n6,f,,late\n")
        running.run_once()
        assert drifting.rows("SELECT _extra, code_no FROM dim_notes WHERE id = 6") == [({"code": "late"}, None)]
    drifting.turn()
    assert drifting.rows("SELECT _extra, code_no FROM dim_notes WHERE id = 6") == [(None, "late")]
    drifting.put("notes.csv", "id,name,sent_on,code\n7,f,,8\n")
    drifting.turn()
    assert drifting.rows("SELECT _extra, code_no FROM dim_notes WHERE id = 7") == [(None, "8")]


def test_a_column_that_was_added_gets_another_name_with_its_values(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = Drifting(database, tmp_path, monkeypatch, {"notes.csv": {"new_columns": "add"}})
    drifting.put("notes.csv", "id,name,sent_on,tip\n1,a,,2.50\n2,b,,much\n3,c,,\n")
    drifting.turn()
    code, said = drifting.run("adopt", "notes", "tip", "--as", "tips", "--dtype", "float", "--yes")
    assert (code, "1 rows have got their values" in said, "1 values are no float" in said) == (1, True, True), said
    assert drifting.rows("SELECT tips, tip FROM dim_notes ORDER BY id") == [
        (2.5, None),
        (None, "much"),
        (None, None),
    ]
    drifting.put("notes.csv", "id,name,sent_on,tip\n4,a,,3\n")
    drifting.turn()
    assert drifting.rows("SELECT tips, tip FROM dim_notes WHERE id = 4") == [(3.0, None)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["name2", "--as", "name"], "the schema has a column name: write from: [name, name2] there"),
        (["tip", "--as", "_file_id"], "dim_notes has a column _file_id of type bigint already"),
        (["tip", "--as", "ctid"], "'ctid' is PostgreSQL's own in every table"),
        (["x" * 70], "and that of a column in a table 63 at most"),
    ],
)
def test_a_name_that_can_not_be_is_told_and_nothing_changes(
    drifting: Drifting, arguments: list[str], told: str
) -> None:
    before = drifting.yaml.read_text()
    code, said = drifting.run("adopt", "notes", *arguments, "--yes")
    assert (code, drifting.yaml.read_text()) == (2, before)
    assert told in said


def test_a_refused_row_brings_its_kept_value_into_the_column(drifting: Drifting) -> None:
    drifting.put("notes.csv", "id,name,sent_on,tip\n9,x,no date,3.5\n")
    drifting.turn()
    assert drifting.run("adopt", "notes", "tip", "--dtype", "float", "--yes")[0] == 1
    ((row,),) = drifting.rows("SELECT quarantine_id FROM quarantine")
    assert drifting.run("quarantine", "edit", str(row), "--set", "sent_on=2026-01-09", "--yes")[0] == 0
    code, said = drifting.run("quarantine", "replay", str(row), "--yes")
    assert code == 0, said
    assert drifting.rows("SELECT tip, _extra FROM dim_notes WHERE id = 9") == [(3.5, None)]
