"""An HTTP server on loopback that keeps the JSON that is posted to it, and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """`posts` came and were answered with `status`, by path; while `is_late`, none is answered at all."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.tries = 0
        self.status = 200
        self.is_late = False
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = int(self._server.server_address[1])

    def url(self, path: str = "") -> str:
        return f"json://127.0.0.1:{self.port}/{path}"

    def titles(self, path: str = "") -> list[str]:
        """Of what was taken at `path`, without the keys of incidents."""
        return [str(post["title"]).partition(" [")[0] for where, post in self.posts if where == f"/{path}"]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                post = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.tries += 1
                if webhook.is_late:
                    webhook.ended.wait(10)
                    return
                if webhook.status == 200:
                    webhook.posts.append((self.path, post))
                with suppress(OSError):
                    self.send_response(webhook.status, "no word of this is logged")
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    @contextmanager
    def serving(self) -> Iterator[Webhook]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="webhook")
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join(5)
