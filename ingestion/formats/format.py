"""What a format is: its keys of `read:`, what it says of a file's beginning, and its records as chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO, Any, ClassVar

from config.model import Model
from config.schema import Schema
from validation.batch import Chunk


class Format(ABC):
    """One kind of file, by its `name` in `read: {format: …}` and by `extensions` (in small letters, with the dot).

    A format keeps nothing between two files. `raw` is always a stream of bytes at its beginning, unpacked, that
    reads in full: fewer bytes than were asked for are the last ones. Raises FileRejected for what is wrong with a
    file as a whole.
    """

    name: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]
    Options: ClassVar[type[Model]] = Model
    """The keys of `read:` that are this format's own, with their types and defaults."""
    longest_record: ClassVar[int]
    """Bytes. A record that is longer is refused, or its file; so nothing is looked for further away."""
    has_arrays: ClassVar[bool] = False
    """Can records hold arrays of other records? Then `chunks` reads these where the schema is `within` another."""
    sniffed_bytes: ClassVar[int] = 1 << 18
    """How much of a file's beginning `sniff` is to be given."""

    def defaults(self, extension: str) -> dict[str, Any]:
        """Where the extension says something of the file: keys of `Options` whose default is another then."""
        del extension
        return {}

    @abstractmethod
    def sniff(self, beginning: bytes, options: Any) -> dict[str, Any] | None:
        """How a file looks that begins so: the keys of `Options` in which it differs from `options`.

        None where it is not of this format. A guess, for `infer` and for messages: a load never goes by it.
        """

    def ends_with_record(self, blocks: Iterable[bytes], options: Any) -> bool:
        """Do these bytes, a file's beginning, end with a whole record? A line does, when it has its end."""
        del options
        return deque(blocks, maxlen=1)[-1].endswith(b"\n")

    @abstractmethod
    def columns(self, raw: IO[bytes], rows: int, options: Any) -> list[str]:
        """The names of the file's columns; where each record has names of its own, those of the first `rows`."""

    def by_position(self, raw: IO[bytes], options: Any) -> dict[str, Any] | None:
        """The keys of `Options` by which the file's columns go by their places, with nothing read of its header.

        For headers whose names can't tell columns apart. None where columns have no places.
        """
        del raw, options
        return None

    def remarks(self, raw: IO[bytes], options: Any) -> list[str]:
        """What the file holds beside the records that are read by `options`, in sentences for `infer`."""
        del raw, options
        return []

    @abstractmethod
    def chunks(self, raw: IO[bytes], schema: Schema, chunk_rows: int, options: Any) -> Iterator[Chunk]:
        """The records as columns of text, as the schema names them, at most `chunk_rows` rows at a time.

        Which column of a file is which of the schema's tells `match_columns` in validation/drift.py. A column that
        the file may lack, and lacks, is left out of `columns`: whoever asked completes them.

        Records count from 1, malformed ones too, which come as `malformed` of a chunk, in their order. Memory does
        not grow with the file. `options` is an `Options`, as everywhere.
        """
