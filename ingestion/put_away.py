"""`after_load`: moves, packs or deletes files that are loaded or have failed, and writes down where they lie."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from config.after_load import Fate, How
from config.errors import FileChanged, FileRejected, PipelineError
from config.file_names import storable
from config.file_spec import FileSpec
from config.jobs import Content, Stamp, Status
from config.origins import folder_of
from datawarehouse import reports
from datawarehouse.queries import query
from ingestion.archived import (
    PACKING,
    content_at,
    is_there,
    name_in_archive,
    packed,
    packs,
    unpacked,
    was_packed,
)
from ingestion.places.open_file import COPY_BYTES
from ingestion.places.place import Kind
from ingestion.places.registry import input_folder, named_folder, path_of, place_of
from ingestion.service import Service
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

Row = dict[str, Any]
TURN_SECONDS = 1.0


class PutAway:
    """Takes what the inbox knows to be finished. `turn` is called by one thread.

    Before anything is touched, the file log says where the file is to lie; who looks for it looks there, and else
    where it was found. Each step can be done again, by this process or another, and changes nothing then.
    """

    def __init__(self, service: Service) -> None:
        self._config = service.config
        self._warehouse = service.warehouse
        self._tracker = service.tracker
        self._inbox = service.inbox
        self._stop = service.stop
        self._lock = threading.Lock()  # guards _put_off
        self._put_off: dict[Path, FileSpec] = {}
        self._told: dict[str, str] = {}  # why files of a type can't be put away, by its name

    def begin(self) -> None:
        """At a start: make good what a kill left."""
        if all(spec.after_load.keeps_all for spec in self._config.files):
            return
        watcher = self._config.watcher
        for named in (watcher.master.dir, watcher.batch.dir, watcher.stream.dir):
            folder = input_folder(self._config, named)
            place_of(folder).mend(folder)

    def bring_back(self, first: dt.date, last: dt.date, name: str | None) -> None:
        """Files of these days that failed, were moved, and may load since the configuration was mended.

        They lie in their input folders again then. Raises OSError, PipelineError.
        """
        with self._warehouse.transaction() as tx:
            rows = reports.rows_of(tx, "put_away", "failed_and_moved")
        for row in rows:
            spec = self._config.by_logical_name.get(row["logical_name"])
            day = folder_of(row["file_path"]).day
            if spec is None or name not in {None, spec.name} or spec.fingerprint == row["spec_hash"]:
                continue
            path, archived = path_of(row["file_path"]), path_of(row["lies_at"])
            if day is None or not first <= day <= last or is_there(path) or not is_there(archived):
                continue
            unpack = was_packed(row["file_name"], archived)
            stamp = place_of(archived).stat(archived).stamp
            self._bring(archived, path, stamp, row["file_hash"], unpack=unpack)
            logger.info(f"[after_load] {archived} → {self._config.shown(path)}: to be tried again")

    def turn(self) -> None:
        """Put away all that is finished. What can't be is told once a type, and tried again by `again`."""
        for path, spec in self._inbox.leaving.take().items():
            if self._stop.is_set():
                return
            if self._inbox.holds(path):
                continue  # it comes back when it is done
            try:
                self._put_away(path, spec)
            except FileChanged as change:
                logger.info(f"[after_load] {self._config.shown(path)}: {change}; it stays where it is")
            except (OSError, FileRejected, PipelineError) as problem:
                self._put_off_and_tell(path, spec, problem)
            else:
                self._end_trouble(spec)

    def again(self) -> None:
        """Let the next turn try once more what could not be put away."""
        with self._lock:
            files, self._put_off = self._put_off, {}
        for path, spec in files.items():
            self._inbox.leaving.add(path, spec)

    # ---------------------------------------------------------------- one file

    def _put_away(self, path: Path, spec: FileSpec) -> None:
        place = place_of(path)
        try:
            found = place.stat(path)
        except FileNotFoundError:
            return
        md5 = self._tracker.md5_of(str(path), found.stamp)
        if md5 is None or found.kind is not Kind.FILE:
            return  # another one by now, which is loaded first
        content = Content(md5, found.stamp.size)
        row = self._row_of(path, spec, content)
        if row is None:
            return
        fate = spec.after_load.of(failed=row["status"] == Status.FAILED)
        if fate.how is How.KEEP:
            return
        if place.has_writer(path):
            raise FileChanged("somebody has it open for writing")
        if fate.how is How.DELETE:
            if row["file_path"] == storable(str(path)):
                self._note(row, spec, row["lies_at"])
            place.remove(path, found.stamp)
            self._take_along(path, spec, None)
            logger.info(f"[after_load] {self._config.shown(path)} deleted", extra={"path": str(path)})
        else:
            self._move(path, found.stamp, content, spec, fate, row)

    def _move(self, path: Path, stamp: Stamp, content: Content, spec: FileSpec, fate: Fate, row: Row) -> None:
        target, is_there = self._target(path, content, spec, fate, row)
        self._note(row, spec, str(target))
        try:
            if is_there:
                place_of(path).remove(path, stamp)
            else:
                self._bring(path, target, stamp, content.md5, pack=was_packed(path.name, target))
        except FileNotFoundError:  # another process was first, and may have put it elsewhere
            self._note(row, spec, row["lies_at"] or str(target))
            return
        except OSError as problem:
            problem.filename = problem.filename or str(target)  # that a disk is full is said without its name
            raise
        self._take_along(path, spec, target)
        logger.info(f"[after_load] {self._config.shown(path)} → {target}", extra={"path": str(path)})

    def _take_along(self, path: Path, spec: FileSpec, target: Path | None) -> None:
        """The file's own marker or manifest goes where it went."""
        if spec.complete_when is None or not spec.complete_when.is_of_one:
            return
        marker = path.with_name(spec.complete_when.beside(path.name))
        place = place_of(marker)
        try:
            stamp = place.stat(marker).stamp
            if target is not None:
                beside = spec.complete_when.beside(name_in_archive(path.name, target))
                with suppress(FileExistsError):
                    self._bring(marker, target.with_name(beside), stamp)
            place.remove(marker, stamp)
        except FileNotFoundError:
            return

    def _target(self, path: Path, content: Content, spec: FileSpec, fate: Fate, row: Row) -> tuple[Path, bool]:
        """Where the file is to lie, and whether it does already: one content lies in the archive once."""
        if row["lies_at"] and self._lies_there(path.name, path_of(row["lies_at"]), content):
            return path_of(row["lies_at"]), True
        folder = fate.folder_of(spec.name, row["as_of"], row["file_id"])
        ending = PACKING if spec.after_load.compress and packs(path.name) else ""
        root = named_folder(self._config, folder)
        for name in _names(path.name):
            target = root / f"{name}{ending}"
            try:
                place_of(target).stat(target)
            except FileNotFoundError:
                return target, False
            if self._lies_there(path.name, target, content):
                return target, True
            logger.warning(f"[after_load] {target} is there with other content; another name is taken")
        raise AssertionError

    @staticmethod
    def _lies_there(name: str, target: Path, content: Content) -> bool:
        try:
            with content_at(name, target) as file:
                return file.size == content.size and file.md5() == content.md5
        except (FileRejected, FileChanged, FileNotFoundError):
            return False

    @staticmethod
    def _bring(
        path: Path, target: Path, stamp: Stamp, md5: str = "", *, pack: bool = False, unpack: bool = False
    ) -> None:
        """Let the file lie at `target`, whole, and then at `path` no more; `md5` is what it has to have."""
        here, there = place_of(path), place_of(target)
        if here is there and not pack and not unpack:
            try:
                here.move(path, target, stamp)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            else:
                return

        def parts() -> Iterator[bytes]:
            digest = hashlib.md5(usedforsecurity=False)
            with unpacked(here.read(path)) if unpack else here.read(path) as stream:
                while part := stream.read(COPY_BYTES):
                    digest.update(part)
                    yield part
            if md5 and digest.hexdigest() != md5:
                raise FileChanged(f"{path.name} changed while it was copied")

        there.put(target, packed(parts()) if pack else parts(), stamp)
        here.remove(path, stamp)

    # ---------------------------------------------------------------- the file log

    def _row_of(self, path: Path, spec: FileSpec, content: Content) -> Row | None:
        wanted = {"logical_name": spec.name, "md5": content.md5, "size": content.size, "path": storable(str(path))}
        with self._warehouse.transaction() as tx:
            return next(iter(reports.rows_of(tx, "put_away", "of_content", **wanted)), None)

    def _note(self, row: Row, spec: FileSpec, lies_at: str | None) -> None:
        names = [spec.name, *(child.name for child in spec.children)]
        said = {"path": row["file_path"], "md5": row["file_hash"], "size": row["file_size"], "names": names}
        with self._warehouse.transaction() as tx:
            tx.execute(query("put_away", "put_away"), {**said, "lies_at": lies_at and storable(lies_at)})

    # ---------------------------------------------------------------- what can't be done

    def _put_off_and_tell(self, path: Path, spec: FileSpec, problem: Exception) -> None:
        with self._lock:
            self._put_off[path] = spec
        what = _in_words(problem)
        name = self._config.shown(path)
        logger.warning(f"[after_load] {name}: {what}; tried again", extra={"path": str(path)})
        if spec.name not in self._told:
            self._told[spec.name] = what
            text = (
                f"{what}. The file stays where it is until it can be put away, which is tried every "
                f"{self._config.quarantine.retry_minutes:g} minutes; nothing is lost. Make room there, give the "
                "pipeline's user the right to write, or name another folder in after_load."
            )
            send_alert(AlertKind.NOT_PUT_AWAY, text, place=name, reason=what, file_type=spec.name)

    def _end_trouble(self, spec: FileSpec) -> None:
        if self._told.pop(spec.name, None):
            send_alert(AlertKind.PUT_AWAY_AGAIN, "Files are put away again.", file_type=spec.name)


def put_away_loop(stop: threading.Event, put_away: PutAway, again_seconds: float) -> None:
    """A turn every second, until `stop` is set; what could not be done once more every `again_seconds`.

    What is not done by then the next start finds.
    """
    again_at = time.monotonic() + again_seconds
    while not stop.wait(TURN_SECONDS):
        try:
            if time.monotonic() >= again_at:
                again_at += again_seconds
                put_away.again()
            put_away.turn()
        except Exception as error:
            logger.critical(f"[after_load] {type(error).__name__}", exc_info=error)


def _names(name: str) -> Iterator[str]:
    """items.json, items-2.json, items-3.json, …"""
    yield name
    stem, dot, extensions = name.partition(".")
    for number in itertools.count(2):
        yield f"{stem}-{number}{dot}{extensions}"


def _in_words(problem: Exception) -> str:
    if isinstance(problem, OSError):
        where = problem.filename2 or problem.filename
        return ": ".join(str(part) for part in (where, problem.strerror) if part) or type(problem).__name__
    return str(problem)
