"""Files that are finished and lie in their input folder still, though `after_load` has another place for them."""

from __future__ import annotations

import threading
from pathlib import Path

from config.file_spec import FileSpec


class Leaving:
    """Thread-safe; a path is in it once. The folders are the queue: what a kill forgets, the next scan finds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _files
        self._files: dict[Path, FileSpec] = {}

    def add(self, path: Path, spec: FileSpec) -> None:
        """The file is finished; nothing to do where it stays."""
        if not spec.after_load.keeps_all:
            with self._lock:
                self._files[path] = spec

    def take(self) -> dict[Path, FileSpec]:
        """All of them; the caller has them then."""
        with self._lock:
            files, self._files = self._files, {}
        return files
