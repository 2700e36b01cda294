"""The views for people and BI tools: the pipeline's own, and those of the files that the YAML names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.settings import PipelineConfig
from datawarehouse.queries import SQL_DIR, blocks, query
from datawarehouse.rights import may_replace_view
from datawarehouse.schema.tables import build_metadata

_OWN = SQL_DIR / "views.sql"
_READ = re.compile(r"\b(?:FROM|JOIN) ((?:fact|dim|v)_\w+)")


def all_views(config: PipelineConfig) -> dict[str, str]:
    """Name → CREATE OR REPLACE VIEW of all views of `config`. Raises ConfigError where a file can't be read."""
    found: dict[str, str] = {}
    for path in (*config.view_files, _OWN):
        try:
            found |= blocks(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"views: {path} can't be read: {reason}") from None
    return found


def problems(config: PipelineConfig) -> Iterator[str]:
    """What is wrong with the files under `views`."""
    try:
        found = all_views(config)
    except ConfigError as problem:
        yield str(problem)
        return
    for name, statement in found.items():
        if not re.match(rf"(--.*\n|\s)*CREATE OR REPLACE VIEW {name}\b", statement):
            yield f"views: the block {name} does not begin with CREATE OR REPLACE VIEW {name}"


def views_of(config: PipelineConfig) -> dict[str, str]:
    """Name → CREATE OR REPLACE VIEW of the views whose tables `config` has; a view comes after those it reads."""
    there = set(build_metadata(config).tables)
    found: dict[str, str] = {}
    for name, statement in all_views(config).items():
        if set(_READ.findall(statement)) <= there:
            found[name] = statement
            there.add(name)
    return found


def replaceable(tx: Cursor, views: dict[str, str]) -> dict[str, str]:
    """Those of `views` that are this role's own, or still to be made."""
    return {name: statement for name, statement in views.items() if may_replace_view(tx, name)}


def existing(tx: Cursor, config: PipelineConfig) -> list[str]:
    """The views that are in the database."""
    names = list(all_views(config))
    tx.execute(query("rights", "existing_views"), {"names": names})
    there = {row[0] for row in tx}
    return [name for name in names if name in there]
