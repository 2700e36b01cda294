"""What the parts of a running service share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion.file_tracker import FileTracker
from ingestion.inbox import Inbox


@dataclass(frozen=True, slots=True)
class Service:
    """One life of the service: when `stop` is set, what is in hand is finished, and each part ends."""

    config: PipelineConfig
    warehouse: Warehouse
    tracker: FileTracker
    inbox: Inbox
    stop: threading.Event = field(default_factory=threading.Event)
