"""SIGHUP: the service goes on with the configuration as it is now, if a start would take it; else as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from config.errors import PipelineError
from config.settings import PipelineConfig
from ingestion.rehearsal import rehearse
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

LOOK_SECONDS = 0.5  # how soon the thread sees that the pipeline ends


class Reload:
    """Beside a running pipeline: `config` is what the next one shall have, None while there is none."""

    def __init__(self, asked: threading.Event, stop: threading.Event, read: Callable[[], PipelineConfig]) -> None:
        self.config: PipelineConfig | None = None
        self._asked = asked
        self._stop = stop
        self._read = read

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A thread waits for `asked` inside; it sets `stop` when there is a configuration to go on with."""
        thread = threading.Thread(target=self._watch, name="reload", daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join(2 * LOOK_SECONDS)  # what it may be asking of the database is for nothing now

    def _watch(self) -> None:
        while not self._stop.is_set():
            if self._asked.wait(LOOK_SECONDS) and not self._stop.is_set():
                self._asked.clear()
                self.look()

    def look(self) -> None:
        """Read the configuration, and let the pipeline end if another may begin with it; else say why not."""
        logger.info("[reload] asked to read the configuration again")
        try:
            config = self._read()
            reasons = _against(config)
        except PipelineError as problem:
            reasons = [str(problem)]
        if reasons:
            text = "The service goes on as it was, for a start would be refused:\n" + "\n".join(reasons)
            logger.error(f"[reload] {text}", extra={"screen": f"✗ {text}"})
            send_alert(AlertKind.NOT_RELOADED, text)
            return
        self.config = config
        logger.info(
            "[reload] the configuration is read; what is in hand is finished with the former one",
            extra={"screen": "↻ Configuration reloaded: what is in hand is finished with the former one..."},
        )
        self._stop.set()


def _against(config: PipelineConfig) -> list[str]:
    """Why the service can't go on with `config`: what a start would be refused for. It makes safe steps itself."""
    todo, problems = rehearse(config)
    return [*todo.differences, *problems]
