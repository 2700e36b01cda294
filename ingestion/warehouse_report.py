"""What the checks of the warehouse found after a load, as alerts."""

from __future__ import annotations

from config.file_spec import FileSpec
from datawarehouse.db_connection import Warehouse
from datawarehouse.warehouse_checks import MOST_COUNTED, broken_checks
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)


def tell_of_warehouse(warehouse: Warehouse, spec: FileSpec) -> None:
    """Ask the checks of the warehouse that `spec` has, and tell of those that found something."""
    for found in broken_checks(warehouse, spec):
        rows = f"{MOST_COUNTED:,} rows or more" if found.rows >= MOST_COUNTED else f"{found.rows:,} rows"
        what = found.problem or f"finds {rows}, and should find none"
        says = f" ({found.says})" if found.says else ""
        message = f"check {found.name}{says} {what}; it is schemas.{spec.name}.checks.{found.name}.warehouse"
        logger.warning(f"[checks] {message}", extra={"table": spec.table})
        send_alert(AlertKind.CHECK_BROKEN, message, file_type=spec.name)
