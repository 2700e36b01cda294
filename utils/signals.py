"""What signals ask of the service: to end, or to go on with the configuration as it is now."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType


class Asked:
    """What was asked for. `stop` ends the pipeline that runs now, `is_over` also the process, `reload` neither."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.reload = threading.Event()
        self.is_over = False
        self._has_terminal = _terminal_is_there()

    def end(self) -> None:
        """Let the pipeline end, and none begin."""
        self.is_over = True
        self.stop.set()

    def begin_anew(self) -> None:
        """Another pipeline begins; where the process is to end meanwhile, it ends at once."""
        self.stop = threading.Event()
        if self.is_over:
            self.stop.set()

    def listen(self, *, reloads: bool) -> None:
        """From now on the first SIGINT or SIGTERM ends, and a second one at once; SIGHUP reloads, where it may.

        Nothing is lost either way. A SIGHUP since the terminal has gone asks for an end.
        """
        signal.signal(signal.SIGINT, self._on_end)
        signal.signal(signal.SIGTERM, self._on_end)
        if reloads:
            signal.signal(signal.SIGHUP, self._on_hangup)

    def _on_end(self, number: int, _frame: FrameType | None) -> None:
        if self.is_over:
            os._exit(128 + number)
        self.end()
        name = "Ctrl+C" if number == signal.SIGINT else signal.Signals(number).name
        text = f"\n🛑 Stop signal received ({name}); finishing the file in hand...\n"
        with suppress(OSError, ValueError):  # nobody may be reading
            os.write(sys.stdout.fileno(), text.encode())

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        if self._has_terminal and not _terminal_is_there():
            self._on_end(number, frame)
        else:
            self.reload.set()


def _terminal_is_there() -> bool:
    try:
        os.tcgetpgrp(0)
    except OSError:
        return False
    return True
