"""A kept column that turns out to be personal: by `adopt --pii`, or by hand, no clear text of it is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.model import PiiKind
from config.settings import DatabaseConfig
from ingestion.pipeline import Pipeline
from tests.integration.drifting import Drifting
from validation.pii_handler import PiiHandler

KEY = "a key for what turns out to be personal"
ANYWHERE = ("dim_notes", "quarantine", "quarantine_history", "true_orphan", "drift", "pipeline_file_log")
FILE = (
    "id,name,sent_on,nick,tip\n"
    "1,a,2026-01-01,Mona,1\n2,b,2026-01-02,Mona Lisa,\n3,c,2026-01-03,,3\n"
    "no,d,2026-01-04,Mona,4\n5,e,no day,Lisa,5\n"
)


def hashed(text: str) -> str:
    return PiiHandler(KEY).hash_value(text, PiiKind.TEXT)


def stored(drifting: Drifting) -> str:
    """All that the database and the CSV backup hold, as text."""
    rows = [drifting.rows(f"SELECT to_jsonb(t)::text FROM {table} t") for table in ANYWHERE]
    files = [path.read_text() for path in (drifting.home / "data/quarantine").rglob("*.csv")]
    return json.dumps(rows) + "".join(files)


def make(database: DatabaseConfig, home: Path, patch: pytest.MonkeyPatch, policy: str) -> Drifting:
    return Drifting(database, home, patch, {"notes.csv": {"new_columns": policy}}, pii={"hash_key": KEY})


def say_it_by_hand(drifting: Drifting, kind: str = "text") -> None:
    text = yaml.safe_load(drifting.yaml.read_text())
    column = {"name": "nick", "dtype": "str", "optional": True, "pii": kind}
    text["schemas"]["notes"]["columns"].append(column)
    drifting.yaml.write_text(yaml.safe_dump(text, sort_keys=False))


@pytest.fixture(params=["keep", "add"])
def drifting(
    request: pytest.FixtureRequest, database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Drifting:
    drifting = make(database, tmp_path, monkeypatch, request.param)
    drifting.put("notes.csv", FILE)
    drifting.turn()
    assert stored(drifting).count("Mona") >= 4
    return drifting


def nicks(drifting: Drifting) -> list[tuple[Any, ...]]:
    return drifting.rows("SELECT id, nick FROM dim_notes ORDER BY id")


def test_adopted_as_personal_no_clear_text_is_left(drifting: Drifting) -> None:
    row = drifting.rows("SELECT quarantine_id FROM quarantine WHERE raw_data->>'id' = '5'")[0][0]
    assert drifting.run("quarantine", "edit", str(row), "--set", "sent_on=2026-01-05", "--yes")[0] == 0
    code, said = drifting.run("adopt", "notes", "nick", "--pii", "text", "--yes")
    assert code == 0, said
    assert "{name: nick, dtype: str, optional: true, pii: text}" in drifting.yaml.read_text()
    assert nicks(drifting) == [(1, hashed("Mona")), (2, hashed("Mona Lisa")), (3, None)]
    assert not [name for name in ("Mona", "Lisa") if name in stored(drifting)]
    assert drifting.run("quarantine", "replay", str(row), "--yes")[0] == 0
    assert nicks(drifting)[-1] == (5, hashed("Lisa"))
    drifting.put("notes.csv", "id,name,sent_on,nick\n6,f,2026-01-01,Mona\n")
    drifting.turn()
    assert nicks(drifting)[-1] == (6, hashed("Mona"))
    assert "Mona" not in stored(drifting)
    assert drifting.run("verify")[0] == 0


def test_written_by_hand_the_start_masks_what_was_kept_and_fills_the_column(drifting: Drifting) -> None:
    say_it_by_hand(drifting)
    drifting.turn()
    assert not [name for name in ("Mona", "Lisa") if name in stored(drifting)]
    assert nicks(drifting) == [(1, hashed("Mona")), (2, hashed("Mona Lisa")), (3, None)]


def test_what_a_service_of_the_former_yaml_stores_meanwhile_is_masked_by_the_next_start(
    drifting: Drifting,
) -> None:
    with Pipeline(drifting.config) as running:
        running.run_once()
        assert drifting.run("adopt", "notes", "nick", "--pii", "text", "--yes")[0] == 0
        drifting.put("notes.csv", "id,name,sent_on,nick\n6,f,2026-01-01,Mona\nno,f,2026-01-01,Lisa\n")
        running.run_once()
    assert drifting.rows("SELECT status, inserted_records FROM pipeline_file_log ORDER BY file_id")[-1] == (
        "success",
        1,
    )
    drifting.turn()
    assert nicks(drifting)[-1] == (6, hashed("Mona"))
    assert not [name for name in ("Mona", "Lisa") if name in stored(drifting)]


def test_a_type_whose_first_personal_column_it_is_hides_what_looks_so_in_other_new_ones(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = make(database, tmp_path, monkeypatch, "keep")
    drifting.put("notes.csv", "id,name,sent_on,nick,contact\n1,a,2026-01-01,Mona,mona@canary.example\n")
    drifting.turn()
    assert drifting.run("adopt", "notes", "nick", "--pii", "text", "--yes")[0] == 0
    assert not [name for name in ("Mona", "mona@") if name in stored(drifting)]
    ((extra,),) = drifting.rows("SELECT _extra FROM dim_notes")
    assert extra == {"contact": f"sha256:{PiiHandler(KEY).hash_text('mona@canary.example')}"}


def test_one_person_hashes_the_same_whether_kept_first_or_not(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = make(database, tmp_path, monkeypatch, "keep")
    drifting.put("notes.csv", "id,name,sent_on,mail\n1,a,2026-01-01,Me@Canary.example\n")
    drifting.turn()
    assert drifting.run("adopt", "notes", "mail", "--pii", "email", "--yes")[0] == 0
    drifting.put("notes.csv", "id,name,sent_on,mail\n2,a,2026-01-01,me@canary.example\n")
    drifting.turn()
    assert drifting.rows("SELECT count(DISTINCT mail), count(*) FROM dim_notes") == [(1, 2)]


@pytest.mark.parametrize("policy", ["keep"])
def test_only_text_is_hashed(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    drifting = make(database, tmp_path, monkeypatch, policy)
    drifting.put("notes.csv", FILE)
    drifting.turn()
    before = drifting.yaml.read_text()
    code, said = drifting.run("adopt", "notes", "tip", "--dtype", "int", "--pii", "text", "--yes")
    assert (code, drifting.yaml.read_text()) == (2, before)
    assert "--pii" in said
