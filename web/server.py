"""The web server: uvicorn in a thread of the service, with an event loop of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from config.settings import PipelineConfig, WebConfig
from ingestion.pipeline import Pipeline
from utils.logger import get_logger
from web.app import build_app
from web.connections import ACCEPTED_AT_ONCE, Connection, Server
from web.probes import Probes
from web.reading import Reader

logger = get_logger(__name__)

STOP_SECONDS = 1  # requests in hand are cut after this


@contextmanager
def serving(config: PipelineConfig, pipeline: Pipeline) -> Iterator[str | None]:
    """Serves metrics, health and dashboard inside; gives the address, or None when the port can't be had.

    That the port can't be had is a warning: loading matters more than looking at it.
    """
    web = config.web
    try:
        listener = listen(web)
    except OSError as error:
        logger.warning(
            f"[web] no metrics and no dashboard: {web.host} port {web.port} can't be used "
            f"({error.strerror or type(error).__name__}); set another web.port (WEB_PORT), or web.enabled: false"
        )
        yield None
        return
    probes = Probes(config, pipeline)
    reader = Reader(pipeline)
    server = _server(build_app(config, reader, probes))
    thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
    probes.start()
    thread.start()
    address = address_of(listener, web)
    logger.info(f"[web] serving at {address}", extra={"screen": f"Dashboard: {address}"})
    try:
        yield address
    finally:
        reader.close()
        server.should_exit = True
        thread.join(2 * STOP_SECONDS)
        probes.stop(STOP_SECONDS)
        listener.close()
        if thread.is_alive():
            logger.warning("[web] the server did not end in time; it is left behind")


def listen(web: WebConfig) -> socket.socket:
    """A socket that listens at the configured place. Raises OSError."""
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    return socket.create_server((web.host, web.port), family=family)


def address_of(listener: socket.socket, web: WebConfig) -> str:
    """The URL, with the port that the system chose where port 0 was asked for."""
    host = f"[{web.host}]" if ":" in web.host else web.host
    return f"http://{host}:{listener.getsockname()[1]}/"


def _server(app: ASGIApp) -> Server:
    """In a thread it sets no signal handlers; the log is ours."""
    settings = uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # a request that is no HTTP is nobody's concern
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(settings)
