"""In what the pipeline's own tables differ from those of this version."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from datawarehouse.queries import query
from datawarehouse.schema.catalog import Found
from datawarehouse.schema.ddl import DIALECT


def outdated_checks(
    tx: Cursor, metadata: sa.MetaData, existing: dict[str, dict[str, Found]]
) -> Iterator[tuple[str, str]]:
    """(table, statement) that bring the CHECKs of tables which exist to what the metadata says."""
    tx.execute(query("schema_init", "checks"))
    there = set(tx.fetchall())
    for table in metadata.sorted_tables:
        for check in table.constraints if table.name in existing else ():
            is_named = isinstance(check, sa.CheckConstraint | sa.UniqueConstraint) and check.name is not None
            if is_named and (table.name, check.name) not in there:
                yield table.name, str(sa.schema.AddConstraint(check).compile(dialect=DIALECT))
