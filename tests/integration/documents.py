"""Examples of docs/operations.md, which tests run."""

from __future__ import annotations

from typing import Any

import yaml

from config.config_loader import PROJECT_ROOT


def documented(section: str) -> dict[str, Any]:
    """The first YAML of the section with this title."""
    text = (PROJECT_ROOT / "docs/operations.md").read_text(encoding="utf-8").partition(f"# {section}\n")[2]
    found = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    assert isinstance(found, dict)
    return found
