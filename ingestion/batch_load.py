"""Judged rows → tables and quarantine, within a transaction; of one file or of several, whose books it keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import FileRejected
from config.file_spec import FileSpec
from config.jobs import FileJob, FileOutcome, Status, WentAway
from config.model import Stage
from config.settings import PipelineConfig
from datawarehouse import profiles
from datawarehouse.file_checks import broken_checks, told
from datawarehouse.loaded import Loaded
from datawarehouse.merge.goings import Goings
from datawarehouse.quarantine import loader as quarantine_loader
from datawarehouse.quarantine.loader import QuarantineText, RefusedRows
from datawarehouse.row_load import RowLoad
from utils import metrics
from validation.batch import Batch, Rejection
from validation.checks import Figures
from validation.findings import FileFindings
from validation.pii_handler import PiiHandler
from validation.profile import Profiles


@dataclass
class Books:
    """The figures of one file as they add up, chunk by chunk."""

    total: int = 0
    loaded: Loaded = field(default_factory=Loaded)
    by_stage: Counter[Stage] = field(default_factory=Counter)
    reasons: Counter[tuple[Stage, str, str]] = field(default_factory=Counter)
    duplicates: int = 0
    deletes: int = 0
    placeholders: Counter[str] = field(default_factory=Counter)
    cut_loose: Counter[str] = field(default_factory=Counter)
    findings: FileFindings = field(default_factory=FileFindings)

    def add(self, rows: int, loaded: Loaded, rejections: Sequence[Rejection]) -> None:
        """Count `rows` records: those of `loaded` and those of `rejections`."""
        self.total += rows
        self.loaded.inserted += loaded.inserted
        self.loaded.updated += loaded.updated
        self.loaded.already_present += loaded.already_present
        self.loaded.changed += loaded.changed
        self.loaded.stale += loaded.stale
        self.deletes += len(loaded.deletes)
        self.placeholders.update({name: len(found) for name, found in loaded.placeholders.items()})
        self.cut_loose.update({label: len(found) for label, found in loaded.cut_loose.items()})
        self.by_stage.update(rejection.stage for rejection in rejections)
        self.reasons.update((r.stage, r.rule, r.column) for row in rejections for r in row.reasons)
        self.duplicates += sum(rejection.reasons[0].rule == "duplicate" for rejection in rejections)

    def outcome(self, job: FileJob, file_id: int, seconds: float) -> FileOutcome:
        """The books as they are closed."""
        return FileOutcome(
            job,
            Status.SUCCESS,
            file_id=file_id,
            total=self.total,
            inserted=self.loaded.inserted,
            already_present=self.loaded.already_present,
            changed=self.loaded.changed,
            stale=self.loaded.stale,
            deletes=self.deletes,
            updated=self.loaded.updated,
            rejected_by_stage=dict(self.by_stage),
            duplicates=self.duplicates,
            reasons=dict(self.reasons),
            seconds=seconds,
            placeholders=dict(+self.placeholders),
            without_parent=dict(+self.cut_loose),
            warned=self.findings.warned,
            warnings={check: tally.loaded for check, tally in self.findings.warnings.items()},
        )


class BatchLoad:
    """Loads batches of one spec in transaction `tx`, for which the parents that were found are remembered.

    `files` are those in hand, by id. `of_many`: a batch holds rows of several files, and `Loaded` lists them.
    """

    def __init__(
        self,
        tx: Cursor,
        spec: FileSpec,
        config: PipelineConfig,
        pii: PiiHandler,
        files: Mapping[int, FileJob],
        *,
        of_many: bool = False,
    ) -> None:
        self._tx = tx
        self._config = config
        self._pii = pii
        self._spec = spec
        self._file_ids = tuple(files)
        self._goings: Goings | None = None
        if spec.takes_away:
            ((file_id, job),) = files.items()  # loaded alone
            self._goings = Goings(tx, spec, config, file_id, job)
        self._rows = RowLoad(tx, spec, config, pii, list_rows=of_many, in_hand=files)
        self._erased = self._rows.erased
        self._figures = Figures(spec)
        self._profiles = Profiles(spec)

    def load(self, batch: Batch, file_ids: np.ndarray, *, more: bool = False) -> Loaded:
        """Judge what needs the warehouse, and load the good rows; then the batch has all of its rejections.

        `file_ids` has one for each row of the batch; `more` says that other batches of the file may follow.
        """
        self._rows.find_parents(batch)
        loaded = self._rows.load(batch, file_ids, more=more)
        if self._goings:
            self._goings.note(batch)
        self._figures.note(batch, file_ids)
        with metrics.stage("profile"):
            self._profiles.note(batch, batch.good, file_ids)
        return loaded

    def keep_profiles(self) -> None:
        """Write down what the columns of the files hold, once all of their batches are loaded."""
        with metrics.stage("profile"):
            found = {file_id: self._profiles.of(file_id) for file_id in self._file_ids}
            profiles.write(self._tx, self._spec.name, found)

    def take_away(self, inserted: int) -> WentAway:
        """Take away what the file lacks, or told to delete, once all of its batches are loaded.

        `inserted`: how many rows of the file are new. Raises TooManyGone.
        """
        return self._goings.finish(inserted) if self._goings else self._rows.take_away()

    def judge_file(self, file_id: int, findings: FileFindings) -> None:
        """Hold a file, all of which was loaded, to the checks of files; what only warns goes to `findings`.

        Raises FileRejected where it breaks another.
        """
        broken = list(broken_checks(self._tx, self._spec, self._figures, self._profiles, file_id))
        for check in broken:
            if check.severity.warns:
                severity = check.severity.model_copy(update={"says": check.says})
                findings.tally(check.name, "", severity).broken += 1
        if fatal := [check for check in broken if not check.severity.warns]:
            raise FileRejected(told(fatal))

    def finish(self) -> None:
        """To be called once all batches are loaded."""
        self._rows.finish()

    def refused_text(self, batch: Batch, job: FileJob, file_id: int) -> tuple[list[Rejection], QuarantineText]:
        """The rejections of a batch that was loaded, of one file, and what is to be written of them."""
        rejections = batch.rejections()
        return rejections, self.quarantine_text(RefusedRows(job, file_id, rejections))

    def quarantine_text(self, *files: RefusedRows) -> QuarantineText:
        """Refused rows as they are to be written, without what is personal of the erased."""
        with metrics.stage("quarantine"):
            if self._erased:
                files = tuple(replace(file, rejections=self._blanked(file.rejections)) for file in files)
            return quarantine_loader.as_text(files, self._config, self._pii)

    def _blanked(self, rejections: Sequence[Rejection]) -> list[Rejection]:
        return [replace(rejection, raw=self._erased.blank_raw(rejection.raw)) for rejection in rejections]

    def quarantine(self, text: QuarantineText) -> None:
        """Write refused rows."""
        quarantine_loader.write(self._tx, text)
