#!/usr/bin/env python
"""Command line of the FastFeast pipeline: `python main.py` is the service, `python main.py once` a single turn."""

from __future__ import annotations

import datetime as dt
import faulthandler
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from utils.signals import Asked
from workbench.commands import COMMANDS, Commands
from workbench.exit_codes import EXIT_CANNOT, EXIT_FOUND, EXIT_OK

if TYPE_CHECKING:  # what does the work is imported when there is some: help does without
    from config.settings import PipelineConfig
    from ingestion.file_report import Summary
    from ingestion.pipeline import Pipeline

app = typer.Typer(
    cls=Commands,
    add_completion=True,
    no_args_is_help=False,
    help=__doc__,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def service(context: typer.Context) -> None:
    """Watch the input folders and load what arrives, until Ctrl-C or SIGTERM."""
    if context.invoked_subcommand is None:
        raise typer.Exit(_run(_watch, "👋 Pipeline stopped. Goodbye!", beside=_served, reloads=True))


Wait = Annotated[
    float,
    typer.Option("--wait", min=0, metavar="SECONDS", help="For a database that is away, or lets nothing through."),
]


@app.command()
def once(wait: Wait = 30) -> None:
    """Load everything that is pending, print a summary, and exit: 0, or 1 when a file failed."""
    raise typer.Exit(_run(_turn, "Done.", patience=wait))


@app.command()
def backfill(
    first: Annotated[dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")],
    last: Annotated[dt.datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.")],
    name: Annotated[str | None, typer.Option("--type", help="Only files of this type, as visits.")] = None,
    wait: Wait = 30,
) -> None:
    """Load the batch and stream folders of these days now, whatever trigger_hour and catch_up_days say."""

    def work(pipeline: Pipeline) -> int:
        return _verdict(pipeline.backfill(first.date(), last.date(), name))

    raise typer.Exit(_run(work, "Done.", patience=wait))


for name, later in COMMANDS.items():
    app.command(name, help=later.summary)(later.stand_in)


def _watch(pipeline: Pipeline) -> int:
    _say(pipeline.run_forever())
    return EXIT_OK


def _turn(pipeline: Pipeline) -> int:
    return _verdict(pipeline.run_once())


def _verdict(summary: Summary) -> int:
    from config.jobs import Status

    _say(summary)
    return EXIT_FOUND if summary.files[Status.FAILED] else EXIT_OK


def _say(summary: Summary) -> None:
    from utils import logger

    logger.get_logger("main").info("[main] summary", extra={"screen": summary.text()})


@contextmanager
def _served(config: PipelineConfig, pipeline: Pipeline) -> Iterator[None]:
    """Metrics, health and dashboard, where they are switched on: from before the database is opened on."""
    if not config.web.enabled:
        yield
        return
    from web.server import serving  # only the service has the time to import it

    with serving(config, pipeline):
        yield


def _run(
    work: Callable[[Pipeline], int],
    farewell: str,
    *,
    beside: Callable[[PipelineConfig, Pipeline], AbstractContextManager[None]] | None = None,
    patience: float = math.inf,
    reloads: bool = False,
) -> int:
    """Read the configuration, run `work` within a pipeline, say how it went; returns the exit code.

    `beside` is a context around the pipeline; `patience` is its own. With `reloads` a SIGHUP has another pipeline
    follow, with the configuration as it is then.
    """
    asked = Asked()
    asked.listen(reloads=reloads)
    from config.errors import ConfigError, PipelineError
    from ingestion.reload import Reload
    from utils import logger
    from workbench.session import checked_config

    log = logger.get_logger("main")
    try:
        config = checked_config()
        logger.setup(config.path(config.logging.dir), config.logging.level)
    except PipelineError as problem:
        typer.echo(str(problem), err=True)
        return EXIT_CANNOT
    former: PipelineConfig | None = None
    try:
        while True:
            reload = Reload(asked.reload, asked.stop, checked_config)
            watching = reload.watching() if reloads else nullcontext()
            try:
                code = _within_pipeline(config, asked.stop, patience, work, watching, beside)
            except ConfigError as problem:
                if former is None:
                    raise
                log.error(f"[main] the service goes on as it was before the reload: {problem}")
                reload.config, former = former, None
            else:
                former = config
            if reload.config is None or asked.is_over:
                break
            config = reload.config
            asked.begin_anew()
            logger.setup(config.path(config.logging.dir), config.logging.level)
        log.info("[main] stopped", extra={"screen": farewell})
    except PipelineError as problem:
        log.error(f"[main] {problem}")
        return EXIT_CANNOT
    finally:
        logger.shutdown()
    return code


def _within_pipeline(
    config: PipelineConfig,
    stop: threading.Event,
    patience: float,
    work: Callable[[Pipeline], int],
    watching: AbstractContextManager[None],
    beside: Callable[[PipelineConfig, Pipeline], AbstractContextManager[None]] | None,
) -> int:
    """What `work` returns."""
    from ingestion.pipeline import Pipeline

    pipeline = Pipeline(config, stop, patience)
    with ExitStack() as around:
        if beside:
            around.enter_context(beside(config, pipeline))
        with pipeline, watching:
            code = work(pipeline)
            around.close()  # before the database, which it reads
    return code


if __name__ == "__main__":
    if sys.stderr is not None:  # prints what each thread is at, for when it seems to hang
        faulthandler.register(signal.SIGUSR1)
    app()
