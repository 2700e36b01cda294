"""The command line: its list needs none of the modules that do the work, and each is there when called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workbench.commands import COMMANDS

ROOT = Path(__file__).parents[2]
HEAVY = ("pyarrow", "numpy", "sqlalchemy", "pydantic", "psycopg2", "rich", "yaml")


def test_the_list_of_commands_imports_nothing_that_it_does_not_need() -> None:
    code = f"import sys, main; print([name for name in {HEAVY} if name in sys.modules])"

    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_its_own_help(name: str) -> None:
    assert COMMANDS[name].load(name).help


def test_the_summaries_fit_into_their_line() -> None:
    assert {name for name, later in COMMANDS.items() if len(later.summary) > 66} == set()
