"""Files that were put away and are older than `retention.archive_days`: removed, and the file log says so."""

from __future__ import annotations

import datetime as dt

from config.errors import FileChanged
from datawarehouse.db_connection import Warehouse
from datawarehouse.queries import query
from ingestion.archived import was_packed
from ingestion.places.registry import path_of, place_of


def prune_archive(warehouse: Warehouse, before: dt.datetime) -> int:
    """Remove the files that were moved before `before`; returns how many. Raises OSError, PipelineError.

    What lies in the place of one with another size is somebody else's, and stays.
    """
    with warehouse.transaction() as tx:
        tx.execute(query("put_away", "moved_before"), {"before": before})
        files = tx.fetchall()
    count = 0
    for lies_at, name, size in files:
        archived = path_of(lies_at)
        place = place_of(archived)
        try:
            found = place.stat(archived)
            if was_packed(name, archived) or found.stamp.size == size:
                place.remove(archived, found.stamp)
                count += 1
        except (FileNotFoundError, FileChanged):
            pass
        with warehouse.transaction() as tx:
            tx.execute(query("put_away", "removed"), {"lies_at": lies_at})
    return count
