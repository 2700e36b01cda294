"""`check`: what the pipeline would say of files, through its own modules; nothing is written to the warehouse."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, FileChanged, FileRejected
from config.file_names import spec_for
from config.file_spec import FileSpec
from config.key import ForeignKey, IfMissing
from config.model import Feed, Stage
from config.settings import PipelineConfig
from datawarehouse import reports
from datawarehouse.file_checks import broken_checks, told
from datawarehouse.fk_checker import check_fk
from ingestion.file_check import Example, FileCheck, ReasonCount, drift_of
from ingestion.file_reader import get_file_type, read_chunks
from ingestion.places.open_file import OpenFile
from ingestion.places.registry import opened, path_of
from ingestion.report_html import page
from validation.batch import Batch, Reason
from validation.checks import Figures
from validation.columns import rows_of
from validation.earlier_rows import EarlierRows
from validation.fault_handler import quarantine_row
from validation.findings import FileFindings
from validation.key_values import key_of
from validation.met_columns import MetColumns
from validation.orphan_validator import Keys, KnownParents, ParentLookup
from validation.pii_handler import MALFORMED, PiiHandler
from validation.profile import Profiles
from validation.validation_runner import settle, validate
from workbench.arguments import insist_on
from workbench.exit_codes import EXIT_FOUND, EXIT_OK
from workbench.output import AsJson, print_json, say, show_rows
from workbench.seen_keys import REMEMBERED_KEYS, SeenKeys
from workbench.session import checked_config, command, open_warehouse

_NEXT_FILE = 2**63 - 1  # the id of a file that comes after all others


@command
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", parser=path_of)],
    name: Annotated[
        str | None, typer.Option(help="The logical name, where the file's name does not tell.")
    ] = None,
    database: Annotated[
        bool, typer.Option("--database", help="Look for parents and for keys already there.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a report for the files' senders to this page.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Examples of every reason.")] = 3,
    as_json: AsJson = False,
) -> int:
    """Check files by the pipeline's own rules, and load nothing.

    Exit code 1 when rows or files are refused.
    """
    config = checked_config()
    jobs = [(path, _spec(config, path, name)) for path in files]
    with _maybe_transaction(config, database) as tx:
        checks = [
            Checker(config, tx, rows).check(path, one)
            for path, spec in jobs
            for one in (spec, *map(_apart, spec.children))
        ]
    if html is not None:
        html.write_text(page(checks), encoding="utf-8")
    if as_json:
        print_json([{**dataclasses.asdict(one), "passed": one.passed} for one in checks])
    else:
        for one in checks:
            _show(one)
    return EXIT_OK if all(one.passed for one in checks) else EXIT_FOUND


@contextmanager
def _maybe_transaction(config: PipelineConfig, database: bool) -> Iterator[Cursor | None]:
    if not database:
        yield None
        return
    with open_warehouse(config) as warehouse, warehouse.transaction() as tx:
        tx.execute("SET TRANSACTION READ ONLY")
        yield tx


def _spec(config: PipelineConfig, path: Path, name: str | None) -> FileSpec:
    """The kind of file; raises ConfigError where neither its name nor `name` tells, or there is no such file."""
    insist_on(path)
    if name is not None:
        if name not in config.by_logical_name:
            known = ", ".join(sorted(config.by_logical_name))
            raise ConfigError(f"--name {name}: the configuration has no such file type; there are {known}")
        return config.by_logical_name[name]
    found = spec_for(config.files, Feed.STREAM, path.name) or spec_for(config.files, Feed.BATCH, path.name)
    if found is not None:
        return found
    try:
        return config.by_logical_name[get_file_type(path.name, config)]
    except FileRejected:
        raise ConfigError(f"{path.name}: its name tells no file type; say which with --name") from None


def _apart(child: FileSpec) -> FileSpec:
    """A type whose rows are in arrays of a file's records, without asking for these: they are not loaded yet."""
    within = child.schema.within
    others = tuple(key for key in child.foreign_keys if within is None or key.parent != within.of.name)
    return dataclasses.replace(child, foreign_keys=others)


class Checker:
    """Judges files; with `tx`, by the warehouse's parents and keys too. `examples` of every reason are kept."""

    def __init__(self, config: PipelineConfig, tx: Cursor | None, examples: int) -> None:
        self._config = config
        self._tx = tx
        self._examples = examples
        self._pii = PiiHandler(config.pii.hash_key)

    def check(self, path: Path, spec: FileSpec) -> FileCheck:
        """The verdict on one file."""
        within = spec.schema.within
        result = FileCheck(str(path), spec.name, spec.table, within=str(within) if within else None)
        try:
            with opened(path) as file:
                self._note_same_content(result, file, spec)
                self._judge(result, file, path, spec)
        except (FileRejected, FileChanged) as problem:
            result.error = str(problem)
            result.drift = drift_of(spec, problem.changes if isinstance(problem, FileRejected) else ())
        except OSError as problem:
            result.error = f"can't be read: {problem.strerror}"
        result.reasons.sort(key=lambda reason: -reason.rows)
        return result

    def _note_same_content(self, result: FileCheck, file: OpenFile, spec: FileSpec) -> None:
        if self._tx is None:
            if spec.foreign_keys:
                result.notes.append("Without --database it was not looked whether the parents are there.")
            return
        content = {"logical_name": spec.name, "md5": file.md5(), "size": file.size}
        for row in reports.read(self._tx, "same_content", **content):
            result.notes.append(
                f"This very content is file {row['file_id']} ({row['status']}): it is not loaded again."
            )

    def _judge(self, result: FileCheck, file: OpenFile, path: Path, spec: FileSpec) -> None:
        lookup = partial(check_fk, self._tx, self._config, lock=False) if self._tx else _every_parent
        parents = KnownParents(lookup)
        seen, figures, profiles = SeenKeys(spec), Figures(spec), Profiles(spec)
        met = MetColumns(spec, self._pii.hidden)
        reasons: dict[Reason, ReasonCount] = {}
        warnings: dict[tuple[str, str], ReasonCount] = {}
        by_stage: Counter[Stage] = Counter()
        without: Counter[ForeignKey] = Counter()
        rows, earlier, findings = self._config.reader.chunk_rows, EarlierRows(), FileFindings()
        for chunk in read_chunks(file, path.name, spec.schema, rows, spec.read, path):
            met.note(chunk)
            batch = validate(chunk, spec, self._config.validation.dates, earlier)
            settle(batch, parents)
            seen.reject(batch)
            file_ids = np.full(len(chunk.numbers), _NEXT_FILE)
            figures.note(batch, file_ids)
            profiles.note(batch, batch.good, file_ids)
            result.total += len(chunk.numbers) + len(chunk.malformed)
            result.good += int(batch.good.sum())
            if self._tx is not None:
                result.already_present = (result.already_present or 0) + self._present(batch, lookup)
            self._collect(batch, reasons, by_stage)
            findings.add(batch.findings, batch.chunk.numbers, batch.good)
            self._collect_warnings(batch, warnings)
            for key, mask in [*batch.cut_loose.items(), *batch.asking.items()]:
                without[key] += int((mask & batch.good).sum())
        result.refused = by_stage.total()
        result.refused_by_stage = {stage.value: by_stage[stage] for stage in Stage if by_stage[stage]}
        result.reasons = list(reasons.values())
        result.notes += [
            f"{count:,} good rows have no parent by {key.label} ({key.parent}): "
            + ("they will refer to nothing." if key.if_missing is IfMissing.NULL else "it will be a placeholder.")
            for key, count in (+without).items()
        ]
        self._judge_file(result, spec, figures, profiles)
        result.drift = drift_of(spec, met.changes())
        result.warned = findings.warned
        result.warnings = sorted(warnings.values(), key=lambda one: -one.rows)
        findings.refuse_if_too_many(result.total)
        if seen.full:
            result.notes.append(f"Duplicates were looked for among the first {REMEMBERED_KEYS:,} keys only.")

    def _judge_file(self, result: FileCheck, spec: FileSpec, figures: Figures, profiles: Profiles) -> None:
        """What the checks of whole files say, which PostgreSQL works out, or the files before them."""
        if self._tx is None:
            if figures.checks or figures.of_profiles:
                result.notes.append("Without --database the checks of the whole file were not worked out.")
            return
        broken = list(broken_checks(self._tx, spec, figures, profiles, _NEXT_FILE))
        result.notes += [f"Warning: it breaks {c.name} ({c.says})." for c in broken if c.severity.warns]
        if fatal := [check for check in broken if not check.severity.warns]:
            result.error = told(fatal)

    def _present(self, batch: Batch, lookup: ParentLookup) -> int:
        spec = batch.spec
        if spec.schema.primary_key.is_row:
            return 0
        keys = key_of(batch).filter(pa.array(batch.good))
        key = ForeignKey(spec.schema.primary_key, spec.name)
        return len(lookup({key: keys})[key]) if len(keys) else 0

    def _collect(self, batch: Batch, reasons: dict[Reason, ReasonCount], by_stage: Counter[Stage]) -> None:
        for rejection in batch.rejections():
            by_stage[rejection.stage] += 1
            masked: dict[str, Any] | None = None
            for reason in rejection.reasons:
                says = batch.spec.schema.says(reason.rule, reason.column)
                new = ReasonCount(reason.stage.value, reason.rule, reason.column, says)
                count = reasons.setdefault(reason, new)
                count.rows += 1
                if len(count.examples) < self._examples:
                    masked = masked or json.loads(quarantine_row(rejection, batch.spec, self._pii)["raw_data"])
                    value = masked.get(reason.column or MALFORMED)
                    count.examples.append(Example.of(rejection.number, value))

    def _collect_warnings(self, batch: Batch, warnings: dict[tuple[str, str], ReasonCount]) -> None:
        for one in batch.findings:
            positions = np.flatnonzero(one.broken & batch.good).tolist()
            if not one.severity.warns or not positions:
                continue
            new = ReasonCount("warning", one.name, one.column, one.severity.says)
            count = warnings.setdefault((one.name, one.column), new)
            count.rows += len(positions)
            for position in positions[: self._examples - len(count.examples)]:
                number = int(batch.chunk.numbers[position])
                (raw,) = rows_of(batch.chunk.columns, [position])
                masked = self._pii.mask_raw(batch.spec, raw, strays=True, unfit={one.column})
                count.examples.append(Example.of(number, masked.get(one.column)))


def _every_parent(keys: Keys) -> Keys:
    return keys


def _show(one: FileCheck) -> None:
    if one.error is not None:
        say(f"✗ {one.path}: the file is refused: {one.error}")
        return
    stages = ", ".join(f"{stage} {count:,}" for stage, count in one.refused_by_stage.items())
    parts = [
        f"{one.total:,} rows",
        f"{one.good:,} good",
        f"{one.refused:,} refused" + (f" ({stages})" if stages else ""),
    ]
    if one.warned:
        parts.append(f"{one.warned:,} good ones warned of")
    if one.already_present is not None:
        parts.insert(2, f"{one.already_present:,} of them already there")
    say(f"{'✓' if one.passed else '✗'} {one.path} ({one.name}): {', '.join(parts)}")
    for note in [*(column.told for column in one.drift), *one.notes]:
        say(f"  {note}")
    if told := [*one.reasons, *one.warnings]:
        show_rows(example_rows(told), as_json=False)


def example_rows(reasons: Sequence[ReasonCount]) -> list[dict[str, Any]]:
    """A row an example; the reason itself is told once."""
    rows = []
    for reason in reasons:
        for position, example in enumerate(reason.examples):
            told = (reason.stage, reason.column, reason.rule, f"{reason.rows:,}") if position == 0 else ("",) * 4
            of_reason = dict(zip(("stage", "column", "rule", "rows"), told, strict=True))
            rows.append({**of_reason, "row number": str(example.row_number), "value": example.value})
    return rows
