"""Input folders on SFTP servers: hosts, users, keys and known hosts are those of OpenSSH's own files."""

from __future__ import annotations

import asyncio
import errno
import stat
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar, cast
from urllib.parse import unquote, urlsplit

from config.errors import FileChanged
from config.jobs import Stamp
from ingestion.places.place import EverythingScanner, Found, Kind, Place
from ingestion.places.recent_scanner import RecentScanner

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

CONNECT_SECONDS = 15
ANSWER_SECONDS = 30  # of one request: a listing, a look, a part of a file
PART_BYTES = 4 << 20
ADVICE = "install what it needs with: pip install -r requirements-sftp.txt"


class Sftp(Place):
    """`sftp://user@host:port/folder`; the path is the server's, from its root.

    Who the host is, which key opens it and under which address it is reached is said where it is for `ssh`:
    `~/.ssh/config`, `~/.ssh/known_hosts`, `~/.ssh/id_*`, or the agent.
    """

    has_times = True
    writes = True

    def unusable(self, folder: Path) -> str | None:
        """Whether the package is there, and the address one that can be used."""
        try:
            import asyncssh  # noqa: F401
        except ImportError as error:
            return f"{error.name or 'a package'} is missing; {ADVICE}"
        try:
            Address.of(folder)
        except OSError as error:
            return error.strerror
        return None

    def list(self, folder: Path) -> list[Found]:
        """Sorted by name."""

        async def listed(client: asyncssh.SFTPClient, path: str) -> list[Found]:
            entries = [(str(entry.filename), entry.attrs) async for entry in client.scandir(path)]
            root = str(folder).rstrip("/")
            return [
                _found(f"{root}/{name}", attributes) for name, attributes in entries if name not in (".", "..")
            ]

        return sorted(_ask(folder, listed), key=lambda found: found.path)

    def stat(self, path: Path) -> Found:
        """By lstat."""

        async def looked(client: asyncssh.SFTPClient, name: str) -> Found:
            return _found(str(path), await client.lstat(name))

        return _ask(path, looked)

    @contextmanager
    def read(self, path: Path) -> Iterator[IO[bytes]]:
        """The file's bytes as they come."""
        yield cast("IO[bytes]", _Stream(path))

    def move(self, path: Path, target: Path, stamp: Stamp) -> None:
        """By SFTP's rename, which takes the place of no other file."""
        self._verify(path, stamp)
        _ask(path, lambda client, name: _renamed(client, name, Address.of(target).path))

    def put(self, target: Path, parts: Iterable[bytes], stamp: Stamp) -> None:
        """Under a hidden name first, part by part; what a lost connection leaves, the next try writes over."""
        draft = target.with_name(f".{target.name}.part")

        async def begun(client: asyncssh.SFTPClient, name: str) -> None:
            await client.makedirs(name.rpartition("/")[0], exist_ok=True)
            async with client.open(name, "wb"):
                pass

        _ask(draft, begun)
        position = 0
        for part in parts:
            position = _ask(draft, partial(_written, data=part, position=position))
        seconds = stamp.mtime_ns // 1_000_000_000
        if _in_seconds(stamp):
            _ask(draft, lambda client, name: client.utime(name, (seconds, seconds)))
        _ask(draft, lambda client, name: _renamed(client, name, Address.of(target).path))

    def remove(self, path: Path, stamp: Stamp) -> None:
        """As far as a look just before can tell that it is this file."""
        with suppress(FileNotFoundError):
            self._verify(path, stamp)
            _ask(path, lambda client, name: client.remove(name))

    def _verify(self, path: Path, stamp: Stamp) -> None:
        if self.stat(path).stamp != stamp:
            raise FileChanged(f"{path.name} changed before it was put away")

    def scanner(self, folder: Path, recent_days: int) -> RecentScanner:
        """With a watermark."""
        return RecentScanner(folder, recent_days, self.list, lambda day: EverythingScanner(self, day).entries())


async def _renamed(client: asyncssh.SFTPClient, name: str, to: str) -> None:
    if await client.lexists(to):
        raise FileExistsError(errno.EEXIST, "there is such a file already", to)
    await client.makedirs(to.rpartition("/")[0], exist_ok=True)
    await client.rename(name, to)


async def _written(client: asyncssh.SFTPClient, name: str, *, data: bytes, position: int) -> int:
    """Where the next part begins."""
    async with client.open(name, "r+b") as file:
        await file.write(data, position)
    return position + len(data)


def _in_seconds(stamp: Stamp) -> bool:
    """Does it hold a time, and no version?"""
    return stamp.ctime_ns != 0


class Address(NamedTuple):
    """Where a path is: `user` and `port` are "" and 0 where OpenSSH's files say them."""

    user: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, path: Path) -> Address:
        """Raises OSError for one that has no host, or a password, which would be told with each path."""
        url = urlsplit(str(path), allow_fragments=False)
        try:
            port = url.port or 0
        except ValueError:
            raise OSError(errno.EINVAL, "its port is no number", str(path)) from None
        if not url.hostname:
            raise OSError(errno.EINVAL, "it names no host: sftp://user@host/folder", str(path))
        if url.password is not None:
            raise OSError(errno.EINVAL, "an address holds no password: use a key, as ssh does")
        where = f"{url.path}?{url.query}" if url.query else url.path
        return cls(unquote(url.username or ""), url.hostname, port, where or "/")


class _Connections:
    """One connection a server, shared by all threads; an event loop of its own drives them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guard = threading.Lock()
        self._clients: dict[Address, tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]] = {}
        self._opening: dict[Address, asyncio.Lock] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, run in the loop. Raises what it raises, TimeoutError after ANSWER_SECONDS."""
        with self._guard:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="sftp", daemon=True).start()
        limit = asyncio.wait_for(work, ANSWER_SECONDS)
        return asyncio.run_coroutine_threadsafe(limit, self._loop).result()

    @asynccontextmanager
    async def client(self, address: Address) -> AsyncIterator[asyncssh.SFTPClient]:
        """A client of the server; after an error that is no answer of the server's it is connected anew."""
        import asyncssh

        server = address._replace(path="")
        async with self._opening.setdefault(server, asyncio.Lock()):
            if server not in self._clients or self._clients[server][0].is_closed():
                self._clients[server] = await _connected(server)
        connection, client = self._clients[server]
        try:
            yield client
        except (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost):
            self._drop(server, connection)
            raise
        except (asyncssh.SFTPError, FileExistsError):
            raise
        except BaseException:
            self._drop(server, connection)
            raise

    def _drop(self, server: Address, connection: asyncssh.SSHClientConnection) -> None:
        if self._clients.get(server, (None,))[0] is connection:
            del self._clients[server]
        connection.abort()


_CONNECTIONS = _Connections()


async def _connected(server: Address) -> tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]:
    import asyncssh

    said = {"username": server.user, "port": server.port}
    named = {name: value for name, value in said.items() if value}
    options = asyncssh.SSHClientConnectionOptions(
        host=server.host,
        connect_timeout=CONNECT_SECONDS,
        login_timeout=CONNECT_SECONDS,
        keepalive_interval=CONNECT_SECONDS,
        **named,
    )
    _refuse_open_keys(options.config.get("IdentityFile", ()))
    connection = await asyncssh.connect(server.host, options=options)
    return connection, await connection.start_sftp_client(path_errors="surrogateescape")


def _refuse_open_keys(named: Any) -> None:
    """Raise OSError where others may read a private key: as for ssh, it is none then."""
    keys = [Path(name).expanduser() for name in named] or sorted((Path.home() / ".ssh").glob("id_*"))
    for key in keys:
        if key.suffix != ".pub" and key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
            raise OSError(
                errno.EACCES, f"others may read the private key {key}; take that right away: chmod 600 {key}"
            )


class _Stream:
    """The bytes of a remote file, from its start to its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size` of them; none at the end. Raises OSError."""
        wanted = PART_BYTES if size < 0 else min(size, PART_BYTES)

        async def part(client: asyncssh.SFTPClient, name: str) -> bytes:
            async with client.open(name, "rb") as file:
                return cast("bytes", await file.read(wanted, self._position))

        data = _ask(self._path, part)
        self._position += len(data)
        return data


def _ask(path: Path, work: Callable[[asyncssh.SFTPClient, str], Coroutine[Any, Any, T]]) -> T:
    """What the server answers. Raises OSError, in words for who runs the pipeline."""
    address = Address.of(path)

    async def asked() -> T:
        async with _CONNECTIONS.client(address) as client:
            return await work(client, address.path)

    with _translated(path, address):
        return _CONNECTIONS.run(asked())


@contextmanager
def _translated(path: Path, address: Address) -> Iterator[None]:
    """Turn what the package raises into OSError."""
    import asyncssh

    host = f"{address.host}:{address.port}" if address.port else address.host
    try:
        yield
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        raise FileNotFoundError(errno.ENOENT, "there is no such file or folder", str(path)) from None
    except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect):
        raise PermissionError(errno.EACCES, "the server refuses it", str(path)) from None
    except asyncssh.HostKeyNotVerifiable:
        raise OSError(errno.EIO, _UNKNOWN_HOST.format(host=host)) from None
    except asyncssh.PermissionDenied:
        raise OSError(errno.EIO, _NO_KEY.format(host=host)) from None
    except (asyncssh.KeyImportError, asyncssh.ConfigParseError) as error:
        raise OSError(errno.EIO, f"one of the files in ~/.ssh can't be used: {error}") from None
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, f"the SFTP server {host} does not answer") from None
    except (
        *(asyncssh.ConnectionLost, asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection),
        *(ConnectionResetError, ConnectionAbortedError, BrokenPipeError),
    ):
        raise OSError(errno.EIO, f"the connection to the SFTP server {host} was lost") from None
    except asyncssh.Error as error:
        raise OSError(
            errno.EIO, f"the SFTP server {host} did not answer as expected ({type(error).__name__})"
        ) from None
    except FileExistsError:
        raise
    except OSError as error:
        text = error.strerror or type(error).__name__
        raise OSError(errno.EIO, f"the SFTP server {host} can't be reached: {text}") from None


_UNKNOWN_HOST = (
    "the key of the SFTP server {host} is not the one in known_hosts, or none is there: enter the new one with "
    "ssh-keyscan, if you know that it is right"
)
_NO_KEY = "the SFTP server {host} takes none of the keys; `ssh -v {host}` tells more"


def _found(path: str, attributes: asyncssh.SFTPAttrs) -> Found:
    mode = attributes.permissions or 0
    kind = Kind.FILE if stat.S_ISREG(mode) else Kind.FOLDER if stat.S_ISDIR(mode) else Kind.OTHER
    changed = int(attributes.mtime or 0) * 1_000_000_000
    return Found(path, kind, Stamp(attributes.size or 0, changed, 0, changed))
