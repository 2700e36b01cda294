"""The engine knows nothing of the case that ships with it: the YAML does, config/views and scripts/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("config", "utils", "validation", "datawarehouse", "ingestion", "workbench", "web")
SUFFIXES = {".py", ".sql", ".html", ".js", ".css"}
OF_THE_CASE = re.compile(
    r"\borders\b|order_id|fact_order|\btickets?\b|ticket_|\bcustomers?\b|customer_|\bdrivers\b|driver_id|\brestaurants?\b"
    r"|\bdelivery\b|egypt|\bEG\b|\.com\b|food",
    re.IGNORECASE,
)
NO_WORD_OF_IT = re.compile(r"load_order|_ORDER|_Order|self\._order\b|github\.com|appriseit\.com")
OF_THE_YAML = {"config/views/fastfeast.sql"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_of_the_engine_names_a_thing_of_the_case(package: str) -> None:
    found = []
    for path in sorted((ROOT / package).rglob("*")):
        name = str(path.relative_to(ROOT))
        if path.suffix not in SUFFIXES or name in OF_THE_YAML:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            words = OF_THE_CASE.findall(NO_WORD_OF_IT.sub("", line))
            found += [f"{name}:{number}: {word}" for word in words]
    assert not found, "\n".join(found)
