"""Items made in a thread of their own, one ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from config.errors import Stopped

T = TypeVar("T")

ASKED_SECONDS = 0.2  # how often whether to go on, while an item is waited for


@contextmanager
def read_ahead(items: Iterator[T], go_on: Callable[[], None]) -> Iterator[Iterator[T]]:
    """The items of `items`, each made in a thread of its own while the one before is used; the first at once.

    While an item is waited for, `go_on` is asked again and again, which raises Stopped when nobody wants it any
    more. Then the thread is left to itself: it ends with the item that it is making.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(maxsize=1)
    unwanted = threading.Event()

    def hand_over(item: T | None, error: BaseException | None) -> None:
        while not unwanted.is_set():
            with suppress(queue.Full):
                ready.put((item, error), timeout=0.1)
                break

    def produce() -> None:
        try:
            for item in items:
                hand_over(item, None)
                if unwanted.is_set():
                    return
            hand_over(None, StopIteration())
        except BaseException as error:  # noqa: BLE001  (raised again by the consumer)
            hand_over(None, error)

    def handed_over() -> Iterator[T]:
        while True:
            try:
                item, error = ready.get(timeout=ASKED_SECONDS)
            except queue.Empty:
                go_on()
                continue
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            assert item is not None  # noqa: S101  (there is an item or an error)
            yield item

    thread = threading.Thread(target=produce, name="read-ahead", daemon=True)
    thread.start()
    waited_for = True
    try:
        yield handed_over()
    except Stopped:
        waited_for = False
        raise
    finally:
        unwanted.set()
        if waited_for:
            thread.join()
