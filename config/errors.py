"""What can go wrong, classed by what the caller does next."""

from __future__ import annotations

import traceback
from pathlib import Path

from config.drift import Change


class PipelineError(Exception):
    """Root of the pipeline's own errors. Their messages never carry a value of the data, only names and places."""


class ConfigError(PipelineError):
    """The configuration or the machine is not fit to start: print the message, exit with 2."""


class FileRejected(PipelineError):
    """The file as a whole can't be loaded: record it as failed, alert, go on with the next.

    `changes`: where its columns are why, in what they differ.
    """

    changes: tuple[Change, ...] = ()


class TooManyGone(FileRejected):
    """A snapshot lacks more of its table's rows than may be gone at once: perhaps it was cut."""


class FileChanged(PipelineError):
    """The file changed or vanished while it was read: roll back, look at it again later."""


class FileUnreadable(FileChanged):
    """The disk or the network does not give the file's bytes: look at it again; say so if that doesn't help."""


class WarehouseUnavailable(PipelineError):
    """PostgreSQL can't be reached or asked to try again: wait and repeat, nothing is wrong with the file."""


class ReadOnlyServer(WarehouseUnavailable):
    """This server takes no writes (a demoted primary, a standby): leave its connections, and connect anew."""


class WarehouseUnfit(WarehouseUnavailable):
    """A table, a column or a right that loading needs is gone: others go on, this file waits until it is back."""


class Collision(WarehouseUnavailable):
    """PostgreSQL rolled this transaction back because another was in its way: repeat it, and it goes through."""


class NumberTaken(Collision):
    """PostgreSQL gave a row a number of its own that is taken: its sequence is behind."""


class DataError(PipelineError):
    """PostgreSQL refused a value: find the guilty rows, quarantine them, load the rest."""


class Stopped(PipelineError):
    """The pipeline is stopping: the load in hand was rolled back, and the file is still in its folder."""


class OurWords(str):
    """The message of an error that is not of ours, after another process has put it in words that hold no data."""

    __slots__ = ()


def in_our_words(error: BaseException) -> str:
    """An error without what others say in it: that may quote the data."""
    if isinstance(error, PipelineError):
        return str(error)
    if error.args and isinstance(error.args[0], OurWords):
        return str(error.args[0])
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
