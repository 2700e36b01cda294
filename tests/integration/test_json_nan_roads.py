"""A bare NaN is refused, and stays so on every road until somebody writes what it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from datawarehouse.schema_init import init_schema
from tests.acceptance.daemon import SHIPPED_CONFIG
from tests.integration.putting_right import Site, words


@pytest.fixture
def site_of_notes(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    use_words(tmp_path, monkeypatch)
    return site


def use_words(folder: Path, monkeypatch: pytest.MonkeyPatch, *null_values: str) -> None:
    """From now on there are notes, of which these words mean null."""
    config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    config["watcher"]["stream"]["expected_files"]["notes.ndjson"] = {
        "table": "dim_note",
        "read": {"null_values": list(null_values)},
    }
    config["schemas"]["notes"] = {
        "primary_key": "note_id",
        "columns": [{"name": "note_id", "dtype": "int", "nullable": False}, {"name": "text", "dtype": "str"}],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))


def notes(site: Site) -> list[tuple[object, ...]]:
    return site.rows("SELECT note_id, text FROM dim_note ORDER BY note_id")


def test_a_bare_nan_is_loaded_by_no_road_until_it_is_edited_or_named(
    site_of_notes: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of_notes
    init_schema(site.warehouse, site.config)
    records = "".join(
        f'{{"note_id": {n}, "text": {value}}}\n' for n, value in ((1, "NaN"), (2, '"NaN"'), (3, "NaN"))
    )
    outcome = site.load("notes.ndjson", records)
    assert (outcome.inserted, outcome.quarantined) == (1, 2)
    words(
        site.run("quarantine", "replay", "--table", "dim_note", "--yes", expect=1), ["0 loaded", "2 refused again"]
    )
    site.run("reprocess", outcome.file_id, "--yes", expect=1)
    assert notes(site) == [(2, "NaN")]
    first, _ = site.quarantined(text="NaN")
    site.run("quarantine", "edit", first, "--set", "text=none", "--yes")
    site.run("quarantine", "replay", first, "--yes")
    assert notes(site) == [(1, "none"), (2, "NaN")]
    site.check_books()
    use_words(tmp_path, monkeypatch, "nan")
    site.run("quarantine", "replay", "--table", "dim_note", "--yes", expect=None)
    assert notes(site) == [(1, "none"), (2, "NaN"), (3, None)]
    site.check_books()
