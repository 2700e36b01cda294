"""`files`: the file log, and everything of one file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from config.errors import ConfigError
from config.model import Feed
from datawarehouse import reports
from workbench.arguments import FileId, Since, moment, spec_of_table
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.output import AsJson, print_json, say, show_record, show_rows
from workbench.session import checked_config, command, open_warehouse
from workbench.status import told_apart

app = typer.Typer(help="What became of the files.", invoke_without_command=True, rich_markup_mode=None)

_SHOWN = (  # of a file, in the list on the screen
    *("file_id", "processed_at", "file", "status"),
    *("total_records", "inserted_records", "already_present", "quarantined", "error"),
)


LoggedStatus = Literal["success", "failed", "undone"]


@app.callback()
def list_files(
    context: typer.Context,
    status: Annotated[LoggedStatus | None, typer.Option()] = None,
    type_: Annotated[str | None, typer.Option("--type", help="The logical name, as visits, or table.")] = None,
    feed: Annotated[Feed | None, typer.Option(help="Master files are batch files.")] = None,
    text: Annotated[str | None, typer.Option(help="Is in the path, in any case.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the files of the file log, newest first."""
    if context.invoked_subcommand is None:
        kind = feed.value if feed else None
        filters: dict[str, Any] = {"status": status, "file_type": kind, "text": text}
        _list(filters | {"limit": limit}, type_, since, as_json=as_json)


@command
def _list(filters: dict[str, Any], type_: str | None, since: str | None, *, as_json: bool) -> int:
    config = checked_config()
    name = spec_of_table(config, type_).name if type_ else None
    with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
        rows = reports.files(tx, **filters, logical_name=name, since=moment(since))
    rows = told_apart(config, rows)
    if not as_json:
        rows = [{name: row[name] for name in _SHOWN} for row in rows]
    show_rows(rows, as_json=as_json, empty="No file of this kind was loaded.")
    return EXIT_OK


@app.command("show")
@command
def show_file(file_id: FileId, as_json: AsJson = False) -> int:
    """Show one file: its books, the reasons of its refused rows, its orphans and what they wait for, and warnings.

    Exit code 1 for a file that failed.
    """
    with open_warehouse(checked_config()) as warehouse, warehouse.transaction() as tx:
        file = reports.file(tx, file_id)
        reasons = reports.reasons(tx, file_id=file_id)
        orphans = reports.read(tx, "orphans_of_file", file_id=file_id)
        waits = reports.read(tx, "waits_of_file", file_id=file_id, limit=50)
        warnings = reports.read(tx, "warnings", file_id=file_id, limit=50)
    if file is None:
        raise ConfigError(f"there is no file {file_id} in the file log; `files` lists them")
    if as_json:
        print_json(
            {"file": file, "reasons": reasons, "orphans": orphans, "waits_for": waits, "warnings": warnings}
        )
    else:
        show_record(file, as_json=False, title=f"File {file_id}")
        for title, rows in (
            ("Open refused rows, by reason", reasons),
            ("Its orphans", orphans),
            ("What its open orphans wait for", waits),
            ("What checks warn of in its loaded rows", warnings),
        ):
            if rows:
                say("")
                show_rows(rows, as_json=False, title=title)
    return EXIT_FOUND if file["status"] == "failed" else EXIT_OK
