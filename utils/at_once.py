"""An executor without a thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class AtOnce(Executor):
    """Does what it is given at once: for work so small that a thread would cost more than it saves."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """The result, which is there already. What `fn` raises is raised."""
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future
