"""`python main.py try-rule`: what a check would have refused, before it counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from config.checks import Check
from config.errors import ConfigError
from config.file_spec import FileSpec
from config.read_options import ReadOptions
from datawarehouse.tried_rows import loaded_rows, refused_rows
from validation.batch import Batch, Chunk
from validation.checks import compiled, row_checks, spec_problems
from validation.conversions import AS_WRITTEN, convert
from workbench.arguments import spec_of_table
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.output import AsJson, print_json, say
from workbench.session import checked_config, command, open_warehouse

TRIED = "tried"


@command
def try_rule(
    of_type: Annotated[str, typer.Argument(metavar="TYPE", help="A file type or its table, as visits.")],
    expression: Annotated[str, typer.Argument(help="A condition on the columns of a row, as in `checks`.")],
    when: Annotated[str | None, typer.Option(help="For which rows it counts: another condition.")] = None,
    as_json: AsJson = False,
) -> int:
    """Say what a check would have refused among loaded and quarantined rows; nothing is changed.

    Exit code 0 where no loaded row breaks it, 1 where some do.
    """
    config = checked_config()
    known = spec_of_table(config, of_type)
    check = Check(row=expression, when=when)
    spec = dataclasses.replace(known, schema=known.schema.changed(checks={TRIED: check}))
    if problems := list(spec_problems(spec)):
        place = f"schemas.{spec.name}.checks.{TRIED}"
        raise ConfigError("\n".join(problem.removeprefix(place).removeprefix(".") for problem in problems))
    (tried,) = compiled(spec.schema).of_rows
    columns = [column for column in spec.schema.columns if column.name in tried.columns]
    if hashed := [column.name for column in columns if column.pii]:
        raise ConfigError(
            f"{', '.join(hashed)}: only hashes of it are stored, which no condition can judge; put the check "
            f"under schemas.{spec.name}.checks with then: warn, and `python main.py check` a file"
        )
    with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
        loaded = _count(spec, loaded_rows(tx, spec, columns), as_stored=True)
        refused = _count(spec, refused_rows(tx, spec, columns), as_stored=False)
    if as_json:
        print_json({"type": spec.name, "loaded": loaded, "quarantined": refused})
    else:
        say(f"{spec.table}: {loaded['broken']:,} of {loaded['rows']:,} loaded rows break it")
        say(f"quarantine: {refused['broken']:,} of {refused['rows']:,} open rows break it")
    return EXIT_FOUND if loaded["broken"] else EXIT_OK


def _count(spec: FileSpec, chunks: Iterable[Mapping[str, pa.Array]], *, as_stored: bool) -> dict[str, Any]:
    rows = broken = 0
    for texts in chunks:
        size = len(next(iter(texts.values())))
        batch = Batch(spec, Chunk(np.arange(size), texts))
        for column in spec.schema.columns:
            if column.name in texts:
                read: ReadOptions = AS_WRITTEN if as_stored else spec.read_as(column)
                found = convert(column, texts[column.name], read)
                batch.values[column.name], batch.output[column.name] = found.values, found.text
        row_checks(batch)
        rows += size
        broken += size - int(batch.good.sum())
    return {"rows": rows, "broken": broken}
