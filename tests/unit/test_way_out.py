"""The command that `status` gives for what is not read works where the file is."""

from __future__ import annotations

import datetime as dt
import shlex
from pathlib import Path

import pytest

from config.settings import PipelineConfig
from ingestion.places.registry import path_of
from workbench.attention import Unread, attention

NOW = dt.datetime(2026, 2, 20, tzinfo=dt.UTC)


@pytest.mark.parametrize("kind", ["unexpected", "unreadable"])
def test_of_an_object_no_command_for_files_is_given(config: PipelineConfig, kind: str) -> None:
    path = path_of("memory://exports/stream/2026-02-20/09/Orders.json")
    (item,) = attention(config, NOW, None, [Unread(kind, path, "why")])
    wanted = "rename it to orders.json" if kind == "unexpected" else "python main.py status --json"
    assert item.more == wanted


def test_a_file_is_renamed_unless_its_name_is_taken(config: PipelineConfig, tmp_path: Path) -> None:
    misnamed = tmp_path / "Orders.json"
    misnamed.touch()
    (item,) = attention(config, NOW, None, [Unread("unexpected", misnamed, "why")])
    assert shlex.split(item.more) == ["mv", "-n", str(misnamed), str(tmp_path / "orders.json")]
    (tmp_path / "orders.json").touch()
    (item,) = attention(config, NOW, None, [Unread("unexpected", misnamed, "why")])
    assert shlex.split(item.more)[0] == "ls"
