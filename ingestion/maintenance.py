"""What happens by the clock: orphans retried and promoted, backup mended, old things removed, and so on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from config.errors import PipelineError, Stopped, WarehouseUnfit
from config.settings import PipelineConfig
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema.partitions import keep_up
from ingestion.incident_ends import tell_what_is_over
from ingestion.ingestion_runner import IngestionRunner
from ingestion.retention import Retention
from utils.logger import get_logger

logger = get_logger(__name__)


def maintain(
    stop: threading.Event,
    runner: IngestionRunner,
    config: PipelineConfig,
    retention: Retention,
    *,
    missing_files: bool = False,
    contracts: bool = True,
) -> None:
    """One turn of everything, until `stop` is set. A part that fails is logged and comes again with the next turn.

    `contracts` is false before the folders were looked at: what lies there would count as late.
    """

    retry = OrphanRetry(retention.warehouse, config, stop)

    def heal() -> None:
        runner.summary.add_healed(retry.everything())

    def promote() -> None:
        retry.promote(config.quarantine.true_orphan_after_hours)

    def back_up() -> None:
        runner.aftermath.backup.reconcile(missing_files=missing_files)

    def prune() -> None:
        retention.prune()

    def make_partitions() -> None:
        keep_up(retention.warehouse, config)

    def judge_contracts() -> None:
        if contracts:
            runner.aftermath.contracts.turn()

    def end_incidents() -> None:
        tell_what_is_over(retention.warehouse, config, runner.is_held_up)

    for part in (heal, promote, back_up, prune, make_partitions, judge_contracts, end_incidents):
        if not stop.is_set():
            attempt(part, runner)


def maintenance_loop(
    stop: threading.Event, runner: IngestionRunner, config: PipelineConfig, retention: Retention
) -> None:
    """A turn at once, which mends what a crash or a lost home left undone, then one every `retry_minutes`.

    It runs beside the loading, whose correctness does not depend on it. Ends when `stop` is set.
    """
    maintain(stop, runner, config, retention, missing_files=True, contracts=False)
    while not stop.wait(config.quarantine.retry_minutes * 60):
        maintain(stop, runner, config, retention)


def attempt(part: Callable[[], None], runner: IngestionRunner) -> None:
    """Do `part`; what it raises is logged, and it comes again with the next turn."""
    try:
        part()
    except Stopped:
        logger.info(f"[maintenance] {part.__name__} left to the next start")
    except (PipelineError, OSError) as error:
        reason = error if isinstance(error, PipelineError) else error.strerror
        logger.warning(f"[maintenance] {part.__name__} put off: {reason}")
        if isinstance(error, WarehouseUnfit):
            runner.trouble.lacking.tell(f"The timer's part {part.__name__}", error)
        if isinstance(error, PipelineError):
            runner.trouble.make_way(error)
    except Exception as error:
        logger.critical(f"[maintenance] {part.__name__}: {type(error).__name__}", exc_info=error)
