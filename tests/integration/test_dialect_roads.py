"""The dialect that the YAML declares reaches every road: alone, in a group, reprocessed, on a cluster, `check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.jobs import FileJob
from config.model import Feed
from config.settings import DatabaseConfig
from ingestion.file_reader import read_file
from ingestion.formats import registry
from ingestion.group_load import GroupLoad
from tests.acceptance.daemon import SHIPPED_CONFIG
from tests.integration.home import Home
from tests.integration.putting_right import KEY, Site
from validation.pii_handler import PiiHandler
from workbench.infer import propose

GERMAN = {
    "encoding": "cp1252",
    "delimiter": ";",
    "quote": "'",
    "escape": "\\",
    "header": False,
    "skip_lines": 2,
    "skip_footer": 1,
    "comment": "#",
}


def german(*lines: str) -> bytes:
    """A file of reasons in that dialect."""
    return "\r\n".join(["Gründe", "Stand: heute", *lines, "3 Zeilen", ""]).encode("cp1252")


class Foreign(Site):
    """A site whose reasons come in another dialect."""

    def declare(self, monkeypatch: pytest.MonkeyPatch, read: dict[str, Any]) -> None:
        """From now on reasons are read so."""
        config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
        config["watcher"]["batch"]["expected_files"]["reasons.csv"]["read"] = read
        path = self.home / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("FASTFEAST_CONFIG", str(path))

    def reasons(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT reason_id, reason_name FROM dim_reason ORDER BY 1")


@pytest.fixture
def foreign(site: Site, monkeypatch: pytest.MonkeyPatch) -> Foreign:
    foreign = Foreign(site.warehouse, site.home)
    foreign.declare(monkeypatch, GERMAN)
    foreign.load("reason_categories.csv", "reason_category_id,category_name\n1,Food\n")
    return foreign


def test_a_file_alone_and_reprocessed(foreign: Foreign) -> None:
    lines = ("1;'Zu spät; kalt';1;2;0.5", "# 'nichts", "2;falsch \\; böse;1;2", "3;Ärger;1;x;0.5")
    file = foreign.load("reasons.csv", german(*lines))
    assert foreign.reasons() == [(1, "Zu spät; kalt")]
    refused = "SELECT row_number, raw_data ->> '_line', rejection_reason FROM quarantine ORDER BY 1"
    expected = [(2, "5", "too_few_fields"), (3, None, "severity_level: dtype")]
    assert foreign.rows(refused) == expected
    text = foreign.one("SELECT raw_data ->> '_malformed' FROM quarantine WHERE row_number = 2")
    assert text == "2;falsch \\; böse;1;2"
    foreign.run("reprocess", file.file_id, "--yes", expect=None)
    assert foreign.rows(f"{refused} LIMIT 2") == expected
    foreign.check_books()


def test_files_in_a_group(foreign: Foreign) -> None:
    jobs = []
    for number in (1, 2):
        path = foreign.home / f"data/{number}/reasons.csv"
        path.parent.mkdir(parents=True)
        path.write_bytes(german(f"{number};'Nº {number}';1;2;0.5"))
        jobs.append(FileJob(path, foreign.config.by_logical_name["reasons"], 0, 0))
    loaded = GroupLoad(foreign.warehouse, foreign.config, PiiHandler(KEY)).run(jobs).loaded
    assert len(loaded) == len(jobs)
    assert foreign.reasons() == [(1, "Nº 1"), (2, "Nº 2")]


def test_check_and_its_page_read_it_and_say_what_another_looks_like(foreign: Foreign) -> None:
    path, page = foreign.home / "reasons.csv", foreign.home / "report.html"
    path.write_bytes(german("1;Ä;1;2;0.5", "2;'x;1;2;0.5"))
    (one,) = json.loads(foreign.run("check", path, "--json", expect=1))
    assert (one["total"], one["refused"], one["reasons"][0]["rule"]) == (2, 1, "bad_quotes")
    path.write_bytes(german("1,a,1,2,0.5", "2,b,1,2,0.5"))
    said = foreign.run("check", path, "--html", page, expect=1)
    assert "looks separated by ','" in said.replace("\n", " ")
    assert "looks separated by" in page.read_text()


def test_a_failed_file_is_loaded_once_the_yaml_says_its_dialect(
    foreign: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign.declare(monkeypatch, {})
    assert foreign.load("reasons.csv", german("1;Ä;1;2;0.5")).status == "failed"
    error = foreign.one("SELECT error FROM pipeline_file_log WHERE status = 'failed'")
    assert "line 1, byte 3; it looks like cp1252: read: {encoding: cp1252}" in error
    foreign.declare(monkeypatch, GERMAN)
    foreign.load("reasons.csv", german("1;Ä;1;2;0.5"))
    assert foreign.reasons() == [(1, "Ä")]


def test_what_infer_proposes_is_read_unedited(foreign: Foreign) -> None:
    path = foreign.home / "belege.csv"
    rows = "".join(f"R-{n};'Müller; Söhne {n}';{n}\r\n" for n in range(1, 6))
    path.write_bytes(f"Belege 2026\r\nBeleg;Kunde;Menge\r\n{rows}".encode("cp1252"))
    found = propose(foreign.config, path, "belege", feed=Feed.BATCH, key=["Beleg"])
    read = {"encoding": "cp1252", "delimiter": ";", "quote": "'", "skip_lines": 1}
    assert found.file_entry["read"] == read
    config = foreign.home / "proposed.yaml"
    proposed = found.as_mapping()
    proposed["watcher"]["stream"] = {}
    config.write_text(yaml.safe_dump(proposed))
    frame, _ = read_file(path, get_config(config, checks=[registry.problems]))
    assert frame.to_numpy().tolist() == [[f"R-{n}", f"Müller; Söhne {n}", str(n)] for n in range(1, 6)]


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_the_service_reads_it_with_either_engine(
    engine: str, database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "dask":
        pytest.importorskip("distributed")
    files: dict[str, Any] = {name: {"table": "fact_note"} for name in ("notes.csv", "notes.ndjson")}
    files["notes.csv"]["read"] = {"comment": "#", "header": False}
    columns = [{"name": "note_id", "dtype": "int", "nullable": False}, {"name": "text", "dtype": "str"}]
    home = Home(tmp_path, database, monkeypatch)
    home.configure(
        files,
        {"notes": {"primary_key": "note_id", "columns": columns}},
        reader={"encoding": "cp1252", "quote": "'"},  # defaults for all files
        execution={"engine": engine, "workers": 1},
    )
    home.put("notes.csv", "# Notizen\n1,'ä, ö'\n".encode("cp1252"))
    home.put("notes.ndjson", '{"note_id": 2, "text": "ü"}\n'.encode("cp1252"))
    home.turn()
    assert home.rows("SELECT note_id, text FROM fact_note ORDER BY 1") == [(1, "ä, ö"), (2, "ü")]
