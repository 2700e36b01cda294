"""What every command shares: the configuration and an open warehouse, and errors as one line and an exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import typer

from config.config_loader import get_config
from config.errors import ConfigError, PipelineError, WarehouseUnfit
from config.settings import PipelineConfig
from datawarehouse import views
from datawarehouse.db_connection import Warehouse
from datawarehouse.queries import query
from datawarehouse.schema.migrate import require_current
from ingestion.formats import registry as formats
from utils import routing
from utils.channels import registry as channels
from validation import checks, defaults, rules
from workbench.exit_codes import EXIT_CANNOT, EXIT_OK

P = ParamSpec("P")


# Of a start, beside the YAML's own.
CHECKS = (
    *(rules.problems, checks.problems, defaults.problems, views.problems, formats.problems),
    *(channels.problems, routing.problems),
)


def checked_config() -> PipelineConfig:
    """The configuration, checked as at a start. Raises ConfigError."""
    return get_config(checks=CHECKS)


@contextmanager
def open_warehouse(config: PipelineConfig) -> Iterator[Warehouse]:
    """The warehouse that the service loads into, beside the service or without it; nothing is created in it.

    Raises ConfigError when no service has made the database or the tables yet, or another version has made
    them, and what Warehouse.open() raises.
    """
    warehouse = Warehouse(config.database, config.home)
    warehouse.open(create=False)
    try:
        with warehouse.transaction() as tx:
            tx.execute(query("reports", "has_tables"))
            if tx.fetchone() != (True,):
                raise ConfigError("the database has no tables yet; run `python main.py once` first")
            require_current(tx)
        yield warehouse
    finally:
        warehouse.close()


def command(function: Callable[P, int | None]) -> Callable[P, None]:
    """Make `function` a command: what it returns is the exit code, and an error of ours is one line on stderr."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = function(*args, **kwargs)
        except PipelineError as problem:
            lacks = isinstance(problem, WarehouseUnfit) and "undefined" in str(problem)
            hint = "; `python main.py plan` shows in what the tables differ from the YAML" if lacks else ""
            typer.echo(f"{problem}{hint}", err=True)
            raise typer.Exit(EXIT_CANNOT) from None
        except BrokenPipeError:  # whoever read the output has seen enough
            raise
        except OSError as error:
            typer.echo(f"{error.filename or 'the system'}: {error.strerror}", err=True)
            raise typer.Exit(EXIT_CANNOT) from None
        raise typer.Exit(code or EXIT_OK)

    return run
