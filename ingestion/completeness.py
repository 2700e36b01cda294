"""Holds files back whose marker or manifest is not there yet, and tells of those that are alone for hours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from config.file_spec import FileSpec
from config.model import Feed
from config.settings import PipelineConfig
from ingestion.archived import is_there
from ingestion.places.registry import place_of

ALONE_SECONDS = 2 * 3600.0  # after which one without the other is worth a word


class Completeness:
    """Thread-safe. `clock` is the wall clock in seconds."""

    def __init__(self, config: PipelineConfig, clock: Callable[[], float] = time.time) -> None:
        self._specs = [spec for spec in config.files if spec.complete_when is not None]
        self._clock = clock
        self._lock = threading.Lock()  # guards what follows
        self._waiting: dict[Path, tuple[str, float]] = {}  # files: what they lack, and since when
        self._markers: dict[Path, float] = {}  # markers and manifests of one file each, and since when

    def is_complete(self, path: Path, spec: FileSpec) -> bool:
        """May the file be loaded? Raises OSError where that can't be looked at."""
        if spec.complete_when is None:
            return True
        name = spec.complete_when.beside(path.name)
        try:
            place_of(path).stat(path.with_name(name))
        except FileNotFoundError:
            with self._lock:
                self._waiting.setdefault(path, (name, self._since(path)))
            return False
        with self._lock:
            self._waiting.pop(path, None)
        return True

    def is_marker(self, path: Path, feed: Feed) -> bool:
        """Is it no input, but a marker or a manifest of some?"""
        specs = [spec for spec in self._specs if spec.feed is feed and _marks(spec, path.name)]
        if any(spec.complete_when and spec.complete_when.is_of_one for spec in specs):
            with self._lock:
                self._markers.setdefault(path, self._since(path))
        return bool(specs)

    def waiting(self) -> list[tuple[Path, str]]:
        """The files that are held back, and why."""
        with self._lock:
            return [(path, f"waits for {name} beside it") for path, (name, _) in self._waiting.items()]

    def alone(self) -> Iterator[tuple[Path, str]]:
        """Files and markers that have been alone for hours, and what to do."""
        before = self._clock() - ALONE_SECONDS
        with self._lock:
            files = [(path, name) for path, (name, since) in self._waiting.items() if since < before]
            markers = [path for path, since in self._markers.items() if since < before]
        for path, name in files:
            if is_there(path) and not is_there(path.with_name(name)):
                yield path, f"waits for {name} beside it for hours: let its sender write that, or remove the file"
            else:
                with self._lock:
                    self._waiting.pop(path, None)
        for path in markers:
            if is_there(path) and not self._has_file(path):
                yield path, "marks a file that is not there: send the file, or remove the marker"
            else:
                with self._lock:
                    self._markers.pop(path, None)

    def _has_file(self, marker: Path) -> bool:
        place = place_of(marker)
        specs = [spec.complete_when for spec in self._specs if spec.complete_when is not None]
        names = [found.name for found in place.list(marker.parent)]
        return any(when.is_of_one and when.beside(name) == marker.name for when in specs for name in names)

    def _since(self, path: Path) -> float:
        """Since when it is there, as far as that is known."""
        changed = place_of(path).changed_at(path)
        return self._clock() if changed is None else changed


def _marks(spec: FileSpec, name: str) -> bool:
    return spec.complete_when is not None and spec.complete_when.fits(name)
