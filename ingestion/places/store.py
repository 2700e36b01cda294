"""Input folders on object storage through fsspec: versions, and listings with a watermark."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from config.jobs import Stamp
from ingestion.places.left_alone import is_in_ignored_folder
from ingestion.places.place import Found, Kind, Place, UrlPath
from ingestion.places.recent_scanner import RecentScanner

ADVICE = "install what it needs, for s3:// with: pip install -r requirements-object-storage.txt"


class ObjectStore(Place):
    """S3, Google Cloud Storage, Azure Blob Storage, or this process's memory. A put is atomic.

    Of an object's version, its ETag, only a digest is kept, in the place of the time of change: equal or not.
    """

    settles = False

    def unusable(self, folder: Path) -> str | None:
        """Whether the package that its protocol needs is there."""
        try:
            import fsspec

            fsspec.get_filesystem_class(str(folder).partition("://")[0])
        except ImportError as error:
            return f"{error.name or 'a package'} is missing; {ADVICE}"
        return None

    def list(self, folder: Path) -> list[Found]:
        """Sorted by name; a folder that is not there is empty."""
        return _listing(folder, deep=False)

    def stat(self, path: Path) -> Found:
        """By one request."""
        with _translated():
            info = _file_system(str(path)).info(str(path), refresh=True)
        return _found(str(path), info)

    @contextmanager
    def read(self, path: Path) -> Iterator[IO[bytes]]:
        """The object's bytes as they come."""
        with _translated(), _file_system(str(path)).open(str(path), "rb", cache_type="readahead") as stream:
            yield cast("IO[bytes]", stream)

    def move(self, path: Path, target: Path) -> None:
        """A copy, and then the removal: killed in between, both are there."""
        with _translated():
            store = _file_system(str(path))
            with suppress(FileNotFoundError):
                store.info(str(target), refresh=True)
                raise FileExistsError(errno.EEXIST, "there is such an object already", str(target))
            store.mv(str(path), str(target))

    def scanner(self, folder: Path, recent_days: int) -> StoreScanner:
        """With a watermark."""
        return StoreScanner(folder, recent_days)


class StoreScanner(RecentScanner):
    """Lists the objects below `root`, each folder of a day by one request."""

    def __init__(self, root: Path, recent_days: int, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(root, recent_days, lambda folder: _listing(folder, deep=False), self._objects, now)

    def _objects(self, folder: Path) -> Iterator[Found]:
        below = _listing(folder, deep=True)
        return (one for one in below if not is_in_ignored_folder(UrlPath(one.path), self.root))


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the store's own package raises into OSError."""
    try:
        yield
    except (OSError, GeneratorExit):
        raise
    except Exception as error:  # noqa: BLE001  (each store has errors of its own)
        raise OSError(errno.EIO, f"the object store did not answer as expected ({type(error).__name__})") from None


def _file_system(url: str) -> Any:
    import fsspec

    return fsspec.core.url_to_fs(url, use_listings_cache=False)[0]


def _listing(folder: Path, *, deep: bool) -> list[Found]:
    """Objects at any depth, or what is directly in the folder. One that is not there is empty."""
    url = str(folder)
    scheme = url.partition("://")[0]
    with _translated(), suppress(FileNotFoundError):
        store = _file_system(url)
        infos = store.find(url, detail=True).values() if deep else store.ls(url, detail=True)
        named = [(f"{scheme}://{info['name'].lstrip('/')}", info) for info in infos if not _is_marker(info)]
        entries = [_found(path, info) for path, info in named if path != url]
        return sorted(entries, key=lambda found: found.path)
    return []


def _is_marker(info: dict[str, Any]) -> bool:
    """Some tools make folders visible by empty objects whose names end with a slash."""
    return str(info["name"]).endswith("/") and info["type"] != "directory"


def _found(url: str, info: dict[str, Any]) -> Found:
    if info["type"] == "directory":
        return Found(url.rstrip("/"), Kind.FOLDER)
    names = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created")
    version = next((info[name] for name in names if info.get(name)), "")
    if isinstance(version, dt.datetime):  # some stores have it as seconds in a listing
        version = version.timestamp()
    digest = hashlib.md5(str(version).encode(), usedforsecurity=False).digest()
    return Found(url, Kind.FILE, Stamp(int(info.get("size") or 0), int.from_bytes(digest[:7])))
