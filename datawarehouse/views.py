"""The views for people and BI tools: which of them a configuration's tables can have."""

from __future__ import annotations

import re

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.settings import PipelineConfig
from datawarehouse.queries import names, query
from datawarehouse.rights import may_replace_view
from datawarehouse.tables import build_metadata

VIEWS = names("views")
_READ = re.compile(r"\b(?:FROM|JOIN) ((?:fact|dim|v)_\w+)")


def views_of(config: PipelineConfig) -> dict[str, str]:
    """Name → CREATE OR REPLACE VIEW of the views whose tables `config` has; a view comes after those it reads."""
    there = set(build_metadata(config).tables)
    found: dict[str, str] = {}
    for name in VIEWS:
        statement = query("views", name)
        if set(_READ.findall(statement)) <= there:
            found[name] = statement
            there.add(name)
    return found


def replaceable(tx: Cursor, views: dict[str, str]) -> dict[str, str]:
    """Those of `views` that are this role's own, or still to be made."""
    return {name: statement for name, statement in views.items() if may_replace_view(tx, name)}


def existing(tx: Cursor) -> list[str]:
    """The views that are in the database."""
    tx.execute(query("rights", "existing_views"), {"names": list(VIEWS)})
    there = {row[0] for row in tx}
    return [name for name in VIEWS if name in there]
