"""What the commands that change something share: who asks, consent, one transaction, and what follows it."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, PipelineError, WarehouseUnavailable
from config.settings import PipelineConfig
from datawarehouse.added_columns import ColumnsToAdd, add_columns
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.backup import QuarantineBackup
from datawarehouse.quarantine.desk import require_operator
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema.late_pii import mask_late_columns
from ingestion.start_checks import check_pii_key
from utils import logger
from validation.pii_handler import PiiHandler
from workbench.output import say
from workbench.session import checked_config, open_warehouse

T = TypeVar("T")
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Do it, say what came of it, and take it back.")]

log = logger.get_logger(__name__)


class _TakenBackError(Exception):
    """Ends the transaction of a dry run."""


class Workplace:
    """The configuration, an open warehouse, and who is at work; what is done is told in the log."""

    def __init__(self, config: PipelineConfig, warehouse: Warehouse, dry_run: bool) -> None:
        self.config = config
        self.warehouse = warehouse
        self.who = user_name()
        self.dry_run = dry_run
        self.backup = QuarantineBackup(config.path(config.quarantine.dir), warehouse)

    def write(self, work: Callable[[Cursor], T]) -> T:
        """`work` in one transaction, which a dry run takes back. When it raises, nothing has changed."""
        results: list[T] = []
        try:
            return self._write(work, results)
        except ColumnsToAdd as lacking:
            if self.dry_run:
                raise ConfigError(f"{lacking}: a dry run does not do that") from None
            add_columns(self.warehouse, self.config, lacking)
            return self.write(work)

    def _write(self, work: Callable[[Cursor], T], results: list[T]) -> T:
        try:
            with self.warehouse.transaction() as tx:
                require_operator(tx, self.config)
                check_pii_key(tx, self.config)
                mask_late_columns(tx, self.config, PiiHandler(self.config.pii.hash_key), is_start=False)
                results.append(work(tx))
                if self.dry_run:
                    raise _TakenBackError  # noqa: TRY301  (that is how a transaction is taken back)
        except _TakenBackError:
            say("Dry run: nothing was changed.")
        except WarehouseUnavailable as problem:  # or rows are locked for long; a COMMIT may have been done
            raise WarehouseUnavailable(f"{problem}; run the command again, it finds what was done") from None
        return results[0]

    def done(self, text: str, **figures: object) -> None:
        """Say on the screen and in the log what was done; no values of the data."""
        say(text)
        if not self.dry_run:
            log.info(f"[operator] {self.who}: {text}", extra={"who": self.who, **figures})

    def follow_up(self, tables: Iterable[str] = ()) -> int:
        """Heal the orphans that waited on rows of `tables`, write the CSV backup anew; how many were healed.

        The service does both by its timer as well: what fails here is only put off.
        """
        if self.dry_run:
            return 0
        retry = OrphanRetry(self.warehouse, self.config)
        try:
            healed = sum(retry.after(table) for table in sorted(set(tables)))
            self.backup.reconcile()
        except (PipelineError, OSError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else problem
            say(f"Done, but what follows is put off; the service does it within minutes: {reason}")
            return 0
        return healed


@contextmanager
def workplace(*, dry_run: bool = False) -> Iterator[Workplace]:
    """Open everything that a command needs, and close it again. Raises what open_warehouse does."""
    config = checked_config()
    logger.setup(config.path(config.logging.dir), config.logging.level, console=False)
    try:
        with open_warehouse(config) as warehouse:
            yield Workplace(config, warehouse, dry_run)
    finally:
        logger.shutdown()


def ask(question: str, *, yes: bool) -> None:
    """Go on only with consent. Raises ConfigError where nobody can be asked, typer.Abort on a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody can be asked here: add --yes")
    typer.confirm(question, abort=True)


def user_name() -> str:
    """Who runs this, as the operating system knows it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
