"""Errors on their way from one process to another: by their class, and without data in their texts."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

from config.errors import OurWords, PipelineError, in_our_words

MOST_CAUSES = 5

Packed = tuple[tuple[bytes, ...], ...]  # the error, its cause, and so on; of each the most special form first


def pack(error: BaseException) -> Packed:
    """The error and its causes, as another process can read them. Raises nothing."""
    chain: list[tuple[bytes, ...]] = []
    link: BaseException | None = error
    while link is not None and len(chain) <= MOST_CAUSES:
        chain.append(tuple(_forms(link)))
        link = link.__cause__
    return tuple(chain)


def unpack(packed: Packed) -> Exception:
    """The error as it was raised, or the nearest of its bases that can be made here, with its message."""
    chain = [_first_readable(forms) for forms in packed]
    for error, cause in pairwise(chain):
        error.__cause__ = cause
    first = chain[0] if chain else None
    return first if isinstance(first, Exception) else PipelineError("an error that can't be told of")


def _forms(error: BaseException) -> Iterator[bytes]:
    """The error as it is, if it is ours; then as each of its classes, from the most special on, by its message."""
    is_ours = isinstance(error, PipelineError)
    message = str(error) if is_ours else OurWords(in_our_words(error))
    if is_ours:
        yield from _pickled(error, message)
    for kind in type(error).__mro__:
        if issubclass(kind, BaseException):
            stand_in = None
            with suppress(Exception):  # a class may want other arguments
                stand_in = kind(message)
            if stand_in is not None:
                yield from _pickled(stand_in, message)


def _pickled(error: BaseException, message: str) -> Iterator[bytes]:
    """The error pickled, if what comes out is what went in."""
    with suppress(Exception):  # whatever its class makes of it
        parts: Any = error.__reduce_ex__(pickle.DEFAULT_PROTOCOL)
        data = pickle.dumps((parts[0], parts[1], parts[2] if len(parts) > 2 else None))
        back = _made(data)
        if type(back) is type(error) and in_our_words(back) == message:
            yield data


def _made(data: bytes) -> Any:
    """From its parts: a cluster changes how exceptions are pickled, and takes causes along with their texts."""
    make, arguments, state = pickle.loads(data)  # noqa: S301  (by a worker, which has the database's password)
    error = make(*arguments)
    if state:
        error.__setstate__(state)
    return error


def _first_readable(forms: tuple[bytes, ...]) -> BaseException:
    for form in forms:
        with suppress(Exception):  # a class that is not here
            error = _made(form)
            if isinstance(error, BaseException):
                return error
    return PipelineError("an error that can't be told of")
