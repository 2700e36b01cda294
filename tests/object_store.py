"""An S3-compatible server for tests, moto's, in this process; objects are put into it directly."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BUCKET = "exports"


class ObjectStore:
    """One bucket, served on loopback. `requests` are the lines of the server's log: method and path."""

    def __init__(self, backend: Any, port: int) -> None:
        self._backend = backend
        self.requests: list[str] = []
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def put(self, key: str, content: str | bytes) -> str:
        """Put an object; returns its URL."""
        data = content.encode() if isinstance(content, str) else content
        self._backend.put_object(BUCKET, key, data)
        return f"s3://{BUCKET}/{key}"

    def remove(self, key: str) -> None:
        self._backend.delete_object(BUCKET, key)


class _Requests(logging.Handler):
    def __init__(self, store: ObjectStore) -> None:
        super().__init__()
        self._store = store

    def emit(self, record: logging.LogRecord) -> None:
        self._store.requests.append(record.getMessage())


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A running store with an empty bucket; within, this process finds it, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import s3fs
        from moto.s3.models import s3_backends
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=True)
        server.start()
    backend = s3_backends["123456789012"]["aws"]
    backend.reset()
    backend.create_bucket(BUCKET, "us-east-1")
    store = ObjectStore(backend, server.get_host_and_port()[1])
    log = logging.getLogger("werkzeug")
    handler, level = _Requests(store), log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    before = dict(os.environ)
    os.environ.update(store.environment)
    s3fs.S3FileSystem.clear_instance_cache()  # those of an earlier server would be asked
    try:
        yield store
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        os.environ.clear()
        os.environ.update(before)
        log.removeHandler(handler)
        log.setLevel(level)
        server.stop()
