"""What the loading role needs in the database, no more; granted by scripts/create_roles.py, checked at start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.file_spec import FileSpec
from config.model import Gone
from config.settings import PipelineConfig
from datawarehouse.placeholder_lookups import taken_by
from datawarehouse.queries import query

FILE_LOG_HEAL = (
    *("valid_records", "quarantined", "inserted_records", "already_present", "updated_records"),
    *("stale_records", "changed_records", "delete_records", "gone_records", "removed_records"),
    *("resolved_orphans", "orphan_count", "duplicate_count", "warned_records"),
)
QUARANTINE_RESOLVE = (
    *("resolution", "resolved_at", "retry_count"),
    *("rejection_stage", "rejection_reason", "reasons"),  # of an orphan that is refused for another reason
)
ADVICE = "run `python -m scripts.create_roles` as an administrator, or name another role in DATABASE_URL"


class Right(NamedTuple):
    """`privilege` on a table, or on one of its columns."""

    table: str
    privilege: str
    column: str | None = None

    def __str__(self) -> str:
        return f"{self.privilege} on {self.table}" + (f"({self.column})" if self.column else "")

    def grant(self, role: str) -> str:
        """The statement that gives it."""
        column = f' ("{self.column}")' if self.column else ""
        return f'GRANT {self.privilege}{column} ON "{self.table}" TO "{role}"'


def loader_rights(config: PipelineConfig) -> list[Right]:
    """All that loading, healing, promoting and pruning need on the tables of `config`."""
    return list(dict.fromkeys([*_pipeline_rights(), *_file_rights(config)]))


def readable_tables(config: PipelineConfig) -> list[str]:
    """What reports may read beside the views: facts, dimensions, histories, calendar, file log, broken contracts.

    Not quarantine and its kin: they hold whole records as the source wrote them.
    """
    loaded = dict.fromkeys(spec.table for spec in config.files)
    histories = dict.fromkeys(spec.history_table for spec in config.files if spec.keeps_history)
    return [*loaded, *histories, "dim_date", "dim_time", "pipeline_file_log", "contract_breach"]


def require_rights(tx: Cursor, config: PipelineConfig) -> None:
    """Raises ConfigError that lists what the role of this connection lacks. One query."""
    if missing := _missing(tx, config):
        raise ConfigError(
            f"the database role {current_role(tx)} may not do what loading needs; {ADVICE}. It lacks:\n"
            + "\n".join(f"  - {right}" for right in missing)
        )


def what_is_lacking(tx: Cursor, config: PipelineConfig) -> str:
    """The tables that are gone and the rights that the role lacks, and what mends it; empty where all is there."""
    wanted = sorted({*(right.table for right in loader_rights(config))})
    tx.execute(query("rights", "absent"), {"tables": wanted})
    absent = [name for (name,) in tx.fetchall()]
    if len(absent) == len(wanted):
        return (
            "the database has none of the pipeline's tables, or the role may not see their schema: restore them, "
            "or start the pipeline again, which makes them anew"
        )
    missing = [right for right in _missing(tx, config) if not (isinstance(right, Right) and right.table in absent)]
    parts = []
    if absent:
        parts.append(
            f"gone (dropped, renamed, or being restored): {', '.join(absent)}. Bring them back under these names, "
            "or start the pipeline again, which makes what is missing"
        )
    if missing:
        role = current_role(tx)
        grants = [right.grant(role) for right in missing if isinstance(right, Right)]
        parts.append(
            f"the role {role} lacks {', '.join(map(str, missing))}. "
            f"As the tables' owner run: {'; '.join(grants)}; or {ADVICE}"
            if grants
            else f"the role {role} lacks {', '.join(map(str, missing))}; {ADVICE}"
        )
    return ". ".join(parts)


def _missing(tx: Cursor, config: PipelineConfig) -> list[Right | str]:
    """What the role of this connection lacks; what is no right on a table as a text."""
    tables, privileges, columns = zip(*loader_rights(config), strict=True)
    wanted = {"tables": list(tables), "privileges": list(privileges), "columns": list(columns)}
    tx.execute(query("rights", "missing"), wanted)
    return [Right(*row[1:]) if row[1] else row[0] for row in tx.fetchall()]


def current_role(tx: Cursor) -> str:
    """The role that the connection acts as."""
    tx.execute("SELECT current_user")
    return str((tx.fetchone() or ("",))[0])


def may_replace_view(tx: Cursor, name: str) -> bool:
    """Is view `name` this role's own, or still to be made?"""
    tx.execute(query("rights", "may_replace_view"), {"view": name})
    return bool((tx.fetchone() or (False,))[0])


def _pipeline_rights() -> Iterator[Right]:
    plain = {
        "pipeline_meta": "SELECT INSERT",
        "pipeline_file_log": "SELECT INSERT DELETE",
        "quarantine": "SELECT INSERT DELETE",
        "orphan_wait": "SELECT INSERT DELETE",
        "true_orphan": "SELECT INSERT DELETE",
        "file_warning": "SELECT INSERT DELETE",
        "warned_row": "SELECT INSERT DELETE",
        "column_profile": "SELECT INSERT DELETE",
        "contract_breach": "SELECT INSERT",
        "drift": "SELECT INSERT",
        "quarantine_history": "SELECT DELETE",  # goes with its row, by retention
        "file_keys": "SELECT INSERT UPDATE DELETE",
        "erased": "SELECT",
        "dim_date": "SELECT INSERT",  # the calendar grows
        "dim_time": "SELECT",
    }
    columns = {
        "pipeline_meta": ("value",),
        "pipeline_file_log": (*FILE_LOG_HEAL, "backup_written", "lies_at", "put_away_at"),
        "quarantine": QUARANTINE_RESOLVE,
        "file_warning": ("rows", "says"),
        "column_profile": (
            *("logical_name", "row_count", "null_share", "distinct_count"),
            *("min_value", "max_value", "mean_value"),
        ),
        "contract_breach": ("resolved_at",),
        "drift": ("looks_like", "last_seen_at", "files", "rows", "first_file", "last_file"),
    }
    for table, privileges in plain.items():
        yield from (Right(table, privilege) for privilege in privileges.split())
    for table, names in columns.items():
        yield from (Right(table, "UPDATE", name) for name in names)


def _held_of_parents(spec: FileSpec, config: PipelineConfig) -> Iterator[str]:
    """The columns that a load of parents may change."""
    taken = {one.column for one in taken_by(spec, config)}
    yield from (name for name, derivation in spec.derive.items() if derivation.version_of or name in taken)


def _file_rights(config: PipelineConfig) -> Iterator[Right]:
    parents = {key.parent for spec in config.files for key in spec.foreign_keys}
    for spec in config.files:
        yield Right(spec.table, "SELECT")
        yield Right(spec.table, "INSERT")
        if spec.keep.replaces or spec.has_placeholders:
            yield Right(spec.table, "UPDATE")
        elif spec.name in parents and not spec.partition_by:
            # FOR KEY SHARE asks for UPDATE on a column, whichever
            yield Right(spec.table, "UPDATE", "_loaded_at")
        for name in spec.tables_beside:
            yield from (Right(name, privilege) for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"))
        if spec.gone is Gone.DELETE:
            yield from (Right(name, "DELETE") for name in dict.fromkeys([spec.table, spec.key_table]))
        if not spec.keep.replaces:  # who moves versions of parents binds its rows to them
            yield from (Right(spec.table, "UPDATE", name) for name in _held_of_parents(spec, config))
        if spec.partition_by:
            yield from (Right(spec.key_table, privilege) for privilege in ("SELECT", "INSERT"))
            yield Right(spec.key_table, "UPDATE", spec.partition_column)
