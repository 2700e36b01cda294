"""Imports point one way, and importing a module does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = (
    "config",
    "utils",
    "validation",
    "datawarehouse",
    "ingestion",
    "workbench",
    "web",
    "main",
)  # imports go left


def product_modules() -> Iterator[Path]:
    for layer in LAYERS[:-1]:
        yield from sorted((ROOT / layer).rglob("*.py"))
    yield ROOT / "main.py"


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module}: a relative import"
            yield node.module


@pytest.mark.parametrize("module", list(product_modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(module: Path) -> None:
    layer = module.relative_to(ROOT).parts[0].removesuffix(".py")
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    ours = {name.partition(".")[0] for name in imported(module)} & {*LAYERS, "scripts", "tests"}
    assert ours <= set(allowed)


def test_importing_everything_needs_no_file_no_password_and_starts_nothing(tmp_path: Path) -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in product_modules()]
    code = (
        f"import sys, importlib, threading; sys.path.insert(0, {str(ROOT)!r})\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "assert threading.active_count() == 1\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "FASTFEAST_HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_commands_do_not_wait_for_pandas() -> None:
    """It is 0.2 s of each start, and nothing needs it but a function for notebooks."""
    code = "import sys, main; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0


NOT_PRIVATE = {"_replace", "_asdict", "_fields", "_exit"}  # of named tuples, and of os


def test_no_test_reaches_into_private_names() -> None:
    """One that does breaks with the next change of what is none of its business."""
    reached = {
        f"{module.relative_to(ROOT)}: {ast.unparse(node)}"
        for module in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if node.attr not in NOT_PRIVATE and ast.unparse(node.value) not in {"self", "cls"}
    }
    assert reached == set()
