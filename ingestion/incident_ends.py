"""Tells that trouble is over which no single event ends: held against what there is, as `status` does."""

from __future__ import annotations

from collections.abc import Callable

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.settings import PipelineConfig
from datawarehouse import reports
from datawarehouse.db_connection import Warehouse
from utils.alerter import open_incidents, send_alert
from utils.alerts import ENDS, AlertKind

MOST_TYPES = 1000
_TOLD = {
    AlertKind.FILE_FAILED: "Where a file failed, a good one was loaded since; or it failed 30 days ago.",
    AlertKind.NOTHING_LOADED: "There are good rows from each such file by now, or its rows are discarded.",
    AlertKind.MANY_REFUSED: "The last file that was loaded has no more refused rows than quarantine.alert_above.",
    AlertKind.LOADING_HELD_UP: "What waited is loaded, or can be.",
}


def tell_what_is_over(warehouse: Warehouse, config: PipelineConfig, is_held_up: Callable[[], bool]) -> None:
    """End the incidents whose trouble is no more. Raises PipelineError; the next turn tries again."""
    asked = [incident for incident in open_incidents() if incident.kind in _TOLD]
    if not asked:
        return
    names = [incident.file_type for incident in asked]
    hours, above = config.quarantine.true_orphan_after_hours, config.quarantine.alert_above
    with warehouse.transaction() as tx:
        lasting = {
            AlertKind.FILE_FAILED: _named(tx, "failed_files", limit=MOST_TYPES),
            AlertKind.NOTHING_LOADED: _named(tx, "refused_files", limit=MOST_TYPES, hours=hours),
            AlertKind.MANY_REFUSED: _named(tx, "last_files_refused", names=names, above=above),
            AlertKind.LOADING_HELD_UP: {""} if is_held_up() else set(),
        }
    for incident in asked:
        kind = AlertKind(incident.kind)
        if incident.file_type not in lasting[kind]:
            send_alert(ENDS[kind], _TOLD[kind], file_type=incident.file_type)


def _named(tx: Cursor, name: str, **parameters: object) -> set[str]:
    """The types of files that a report names."""
    return {str(row["logical_name"]) for row in reports.read(tx, name, **parameters)}
