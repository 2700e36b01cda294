"""Input folders on object storage through fsspec: paths, versions, and listings with a watermark."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PosixPath
from typing import Any, NamedTuple

from config.settings import PipelineConfig
from ingestion.places.left_alone import is_ignored_folder, is_in_ignored_folder

FULL_LISTING_SECONDS = 3600.0  # between two listings of everything, old days too
ADVICE = "install what it needs, for s3:// with: pip install -r requirements-object-storage.txt"


class ObjectStat(NamedTuple):
    """Of an object, what os.stat_result has of a file. The time of change stands for the ETag: equal or not."""

    st_size: int  # bytes
    st_mtime_ns: int
    st_mode: int = stat.S_IFREG


class ObjectPath(PosixPath):
    """An object's address, as in s3://bucket/folder/orders.json. Only its name, parents and lstat() are used."""

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)

    def lstat(self) -> ObjectStat:  # type: ignore[override]
        """Size and version now, by one request. Raises OSError; FileNotFoundError when it is gone."""
        with translated():
            return _stat(_file_system(str(self)).info(str(self), refresh=True))

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """The object's bytes as a stream. Raises OSError."""
        with translated(), _file_system(str(self)).open(str(self), "rb", cache_type="readahead") as stream:
            yield stream


class ObjectEntry:
    """What a listing says of an object or a folder: as much of os.DirEntry as the watchers use."""

    def __init__(self, url: str, info: dict[str, Any]) -> None:
        self.path = url.rstrip("/")
        self.name = self.path.rpartition("/")[2]
        self._info = info
        # Some tools make folders visible by empty objects whose names end with a slash.
        self.is_marker = str(info["name"]).endswith("/") and not self.is_dir()

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002  (there are no links)
        return bool(self._info["type"] == "directory")

    def stat(self, *, follow_symlinks: bool = True) -> ObjectStat:  # noqa: ARG002
        return _stat(self._info)


class ObjectScanner:
    """Lists the objects below `root`. Folders called by a day are listed again only while the day is recent.

    The watermark is the newest such folder less `days`; what comes later into an older one is found by the full
    listings, at the start and every hour.
    """

    def __init__(self, root: Path, days: int) -> None:
        self.root = root
        self._days = dt.timedelta(days)
        self._listed_all: float | None = None  # monotonic seconds

    def top(self) -> list[ObjectEntry]:
        """What is directly in the folder, by name. Raises OSError."""
        return sorted(_listing(self.root, deep=False), key=lambda entry: entry.name)

    def entries(self, *, full: bool = False) -> Iterator[ObjectEntry]:
        """All objects, or those that may be new. Raises OSError."""
        now = time.monotonic()
        due = self._listed_all is None or now - self._listed_all > FULL_LISTING_SECONDS
        top = self.top()
        days = [day for entry in top if (day := _day(entry.name)) is not None and entry.is_dir()]
        watermark = None if full or due or not days else max(days) - self._days
        for entry in top:
            day = _day(entry.name)
            if not entry.is_dir():
                yield entry
            elif is_ignored_folder(entry.name):
                continue
            elif watermark is None or day is None or day >= watermark:
                found = _listing(ObjectPath(entry.path), deep=True)
                yield from (e for e in found if not is_in_ignored_folder(ObjectPath(e.path), self.root))
        if watermark is None:
            self._listed_all = now


def input_folder(config: PipelineConfig, named: str) -> Path:
    """The folder that a key of `watcher` names: an object store's, or one of this machine below `home`."""
    return place(named) if "://" in named else config.path(named)


def root_of(config: PipelineConfig, named: str) -> Path:
    """The same by its real path, as the paths of its files begin: a folder may itself be a link."""
    folder = input_folder(config, named)
    return folder if is_object(folder) else folder.resolve()


def place(path: str) -> Path:
    """A path as listings give it."""
    return ObjectPath(path) if "://" in path else Path(path)


def is_object(path: Path) -> bool:
    return isinstance(path, ObjectPath)


def unusable(folder: str) -> str | None:
    """Why a folder's protocol can't be used on this machine; None when it can. No request is made."""
    try:
        import fsspec

        fsspec.get_filesystem_class(folder.partition("://")[0])
    except ImportError as error:
        return f"{error.name or 'a package'} is missing; {ADVICE}"
    except ValueError:
        return "its protocol is not known; s3://, gs:// and az:// are"
    return None


@contextmanager
def translated() -> Iterator[None]:
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


def _listing(folder: Path, *, deep: bool) -> list[ObjectEntry]:
    """Objects at any depth, or what is directly in the folder. One that is not there is empty."""
    url = str(folder)
    scheme = url.partition("://")[0]
    with translated(), suppress(FileNotFoundError):
        store = _file_system(url)
        found = store.find(url, detail=True).values() if deep else store.ls(url, detail=True)
        entries = [ObjectEntry(f"{scheme}://{info['name'].lstrip('/')}", info) for info in found]
        return [entry for entry in entries if entry.path != url and not entry.is_marker]
    return []


def _stat(info: dict[str, Any]) -> ObjectStat:
    names = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created")
    version = next((info[name] for name in names if info.get(name)), "")
    if isinstance(version, dt.datetime):  # some stores have it as seconds in a listing
        version = version.timestamp()
    digest = hashlib.md5(str(version).encode(), usedforsecurity=False).digest()
    return ObjectStat(int(info.get("size") or 0), int.from_bytes(digest[:7]))


def _day(name: str) -> dt.date | None:
    with suppress(ValueError):
        return dt.date.fromisoformat(name) if len(name) == 10 else None
    return None
