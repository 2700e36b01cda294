"""`python main.py undo`, `reprocess` and `erase`: what concerns whole files, and persons."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.jobs import FileJob, Status
from config.settings import PipelineConfig
from datawarehouse.erasure import erase as erase_person
from datawarehouse.undo import lock_file
from datawarehouse.undo import undo as undo_file
from ingestion.file_load import FileLoad
from ingestion.file_report import console_line
from ingestion.reprocess import Reprocessed, job_of
from ingestion.reprocess import reprocess as reprocess_file
from validation.pii_handler import PiiHandler
from workbench.arguments import FileId
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.key_guess import singular
from workbench.output import say
from workbench.session import checked_config, command
from workbench.writing import DryRun, Workplace, Yes, ask, workplace


@command
def undo(file_id: FileId, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Take back what one file brought, unless other rows depend on it. `reprocess` loads it again."""
    with workplace(dry_run=dry_run) as place:
        if not dry_run:
            ask(f"Take back all that file {file_id} brought?", yes=yes)
        day = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
        undone = place.write(lambda tx: undo_file(tx, place.config, file_id, place.who, day))
        both = (
            f" with file {', '.join(map(str, undone.with_files))}, of its records' arrays,"
            if undone.with_files
            else ""
        )
        former = f", {undone.restored} rows as they were before" if undone.restored else ""
        place.done(
            f"file {file_id} ({undone.file_name}){both} undone: {undone.rows} rows and {undone.quarantined} "
            f"quarantined rows taken back{former}; its content is loaded again by `reprocess {file_id}` only",
            file_id=file_id,
            rows=undone.rows,
            quarantined=undone.quarantined,
        )
        if undone.later_files and undone.rows:
            say(
                f"{undone.later_files} later files of this type counted rows as already there. Some of these may "
                "have been this file's, and are in no table now: `reprocess` those files to have them."
            )
        place.follow_up()


AcceptGone = Annotated[
    bool,
    typer.Option(
        "--accept-gone", help="A snapshot is whole, however many rows it lacks: gone_at_most_pct is 100."
    ),
]


@command
def reprocess(file_id: FileId, yes: Yes = False, dry_run: DryRun = False, accept_gone: AcceptGone = False) -> int:
    """Judge a file by today's rules: load what passes now. A failed or undone file is loaded as if it were new."""
    with workplace(dry_run=dry_run) as place:
        with place.warehouse.transaction() as tx:
            file = lock_file(tx, file_id)
        job = job_of(place.config, file)
        if accept_gone:
            job = job.evolve(spec=replace(job.spec, gone_at_most_pct=100))
        if dry_run and file["status"] != Status.SUCCESS:
            raise ConfigError(f"file {file_id} is {file['status']}: all of it would be loaded as if it were new")
        if not dry_run:
            ask(f"Read {job.path} again?", yes=yes)
        if file["status"] != Status.SUCCESS:
            return _load(place, job, file_id)
        pii = PiiHandler(place.config.pii.hash_key)

        def work(tx: Cursor) -> Reprocessed:
            found = lock_file(tx, file_id)
            if found["status"] != Status.SUCCESS:
                raise ConfigError(f"file {file_id} was undone meanwhile")
            return reprocess_file(tx, place.config, pii, job, found, place.who)

        code = _tell(place, place.write(work), job, file_id)
        return code if dry_run else max(code, _load_new_children(place, job))


def _load_new_children(place: Workplace, job: FileJob) -> int:
    """Load what came into the configuration since: types whose rows are in arrays of the file's records."""
    code, loader = EXIT_OK, FileLoad(place.warehouse, place.config, PiiHandler(place.config.pii.hash_key))
    for spec in job.spec.children:
        outcome = loader.run(job.evolve(spec=spec))
        name, figures = place.config.shown(job.path, spec.name), {"file_id": outcome.file_id}
        if outcome.status is Status.SUCCESS:
            place.done(console_line(outcome, name), **figures)
            place.follow_up([spec.table] if outcome.inserted else [])
        elif outcome.status is Status.FAILED:
            place.done(f"{name} failed: {outcome.error}", **figures)
            code = EXIT_FOUND
    return code


def _load(place: Workplace, job: FileJob, file_id: int) -> int:
    """Load a file that failed or was undone; its new row in the file log takes the old one's place."""
    place.write(lambda _: None)  # may this role do that, and does the PII key fit?
    place.backup.reconcile()  # while the old row still says that its lines have to go
    pii = PiiHandler(place.config.pii.hash_key)
    outcome = FileLoad(place.warehouse, place.config, pii, again=True).run(job)
    figures = {"file_id": outcome.file_id, "status": outcome.status.value}
    if outcome.status is Status.SUCCESS:
        for one in (outcome, *outcome.children):
            place.done(console_line(one, place.config.shown(job.path, one.job.spec.name)), file_id=one.file_id)
        place.done(f"file {file_id} is file {outcome.file_id} now", **figures)
    elif outcome.status is Status.FAILED:
        place.done(f"file {file_id} failed again: {outcome.error}", **figures)
    else:
        place.done(f"file {file_id}: its content was loaded meanwhile as file {outcome.file_id}", **figures)
    loaded = [one.job.spec.table for one in (outcome, *outcome.children) if one.inserted]
    if healed := place.follow_up(loaded):
        place.done(f"{healed} orphans healed", healed=healed)
    return EXIT_FOUND if outcome.status is Status.FAILED else EXIT_OK


def _tell(place: Workplace, result: Reprocessed, job: FileJob, file_id: int) -> int:
    of_quarantine = result.replayed
    loaded, present, refused = (
        counter.total() for counter in (of_quarantine.loaded, of_quarantine.already_present, of_quarantine.refused)
    )
    place.done(
        f"file {file_id} ({job.path.name}) reprocessed: of its quarantined rows {loaded} loaded, {present} "
        f"already there, {refused} refused again; {result.restored} rows that were in no table any more loaded",
        file_id=file_id,
        loaded=loaded,
        refused=refused,
        restored=result.restored,
    )
    if result.quarantined:
        say(f"{result.quarantined} rows that are in no table and refused today are in quarantine (again).")
    if result.edited:
        say(f"{result.edited} quarantined rows were edited: they are left to `quarantine replay`.")
    for (column, rule), count in sorted(result.broken.items()):
        say(f"{count} loaded rows break a rule of today ({column}: {rule}) and stay; `undo` removes whole files.")
    if healed := place.follow_up([job.spec.table] if loaded or result.restored else []):
        place.done(f"{healed} orphans healed", healed=healed)
    return EXIT_FOUND if refused or result.quarantined or result.broken else EXIT_OK


@command
def erase(
    context: typer.Context,
    key: Annotated[str | None, typer.Option("--key", help="The row's key in --table.")] = None,
    table: Annotated[str | None, typer.Option("--table", help="Where the person has a row.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Blank a person's personal values in tables, quarantine and CSV, and in every file to come. No way back.

    Any file type of the configuration may be named, too: --guest-key 17 is short for key 17 in the table of
    guests.
    """
    if context.args and key is None and table is None:
        table, key = _named_key(checked_config(), context.args)
    if table is None or key is None or (context.args and key != context.args[-1]):
        raise ConfigError("give --TYPE-key KEY, as in --guest-key 17, or --table TABLE and --key KEY")
    of_table, of_key = table.lower(), key
    with workplace(dry_run=dry_run) as place:
        if not dry_run:
            ask(f"Erase the person with this key in {of_table} for good?", yes=yes)
        result = place.write(lambda tx: erase_person(tx, place.config, of_table, of_key, place.who))
        place.done(
            f"a person of {of_table} erased: {result.rows} rows and {result.quarantined} quarantined rows blanked",
            table=of_table,
            rows=result.rows,
            quarantined=result.quarantined,
        )
        if not result.rows:
            say("No row has this key now; it is blanked should a file bring it.")
        place.follow_up()


def _named_key(config: PipelineConfig, arguments: Sequence[str]) -> tuple[str, str]:
    """The table and the key that `--guest-key 17` says. Raises ConfigError."""
    option, *keys = arguments
    match = re.fullmatch(r"--(.+)-key", option)
    names = {singular(name): name for name in config.by_logical_name}
    if match is None or len(keys) != 1:
        raise ConfigError(f"{option}: no such option; give --TYPE-key KEY, or --table TABLE and --key KEY")
    name = names.get(match[1].replace("-", "_"), match[1])
    if name not in config.by_logical_name:
        raise ConfigError(f"{option}: no such file type; there are {', '.join(sorted(names))}")
    return config.by_logical_name[name].table, keys[0]
