"""The YAML, section by section, and the whole of it as the pipeline uses it."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from config.after_load import AfterLoad
from config.checks import Check, CheckName
from config.expected_file import ExpectedFile
from config.file_spec import FileSpec
from config.key import Key
from config.model import Model, Name, Weekday, as_list
from config.read_options import ReadOptions, zone
from config.schema import Column


class PoolConfig(Model):
    min: int = Field(2, ge=1)
    max: int = Field(10, ge=1)


class DatabaseConfig(Model):
    """Where PostgreSQL is. `embedded: true` starts a private one under `data_dir`."""

    embedded: bool = True
    data_dir: str = "data/postgres"
    url: str | None = None  # set from DATABASE_URL; wins over the fields below, and over `embedded`
    host: str = "localhost"
    port: int = Field(5432, ge=1, le=65535)
    user: str = "postgres"
    password: str = ""
    dbname: Name = "fastfeastapp"
    pool: PoolConfig = PoolConfig()
    connect_timeout_seconds: int = Field(5, ge=1)
    statement_timeout_seconds: int = Field(600, ge=1)
    answer_seconds: int = Field(3, ge=1)  # for a statement on a small file
    distributed: bool = False  # over several servers, by Citus: facts by their source keys
    transaction_pooling: bool = False  # PgBouncer's: settings go with each transaction, not with the session


class MasterConfig(Model):
    dir: str = "data/master"


class BatchConfig(Model):
    dir: str = "data/input/batch"
    trigger_hour: int = Field(0, ge=0, le=23)
    timezone: Annotated[str, AfterValidator(zone)] = (
        "UTC"  # of trigger_hour, of the folders' days, and of contracts
    )
    catch_up_days: int = Field(7, ge=0)
    expected_files: dict[str, ExpectedFile] = Field(default_factory=dict)


class StreamConfig(Model):
    dir: str = "data/input/stream"
    polling: bool = False  # for file systems without inotify
    expected_files: dict[str, ExpectedFile] = Field(default_factory=dict)


class WatcherConfig(Model):
    settle_seconds: float = Field(2.0, gt=0)
    rescan_seconds: float = Field(5.0, gt=0)
    master: MasterConfig = MasterConfig()
    batch: BatchConfig = BatchConfig()
    stream: StreamConfig = StreamConfig()


class TrackerConfig(Model):
    db_path: str = "data/tracker/pipeline_tracker.db"


class ReaderConfig(ReadOptions):
    """The defaults of `read`, and what holds for all files."""

    chunk_rows: int = Field(25_000, ge=1)
    file_type_map: dict[str, str] = Field(default_factory=dict)  # default: the file's stem
    after_load: AfterLoad = AfterLoad()


class SchemaConfig(Model):
    primary_key: Annotated[Key, BeforeValidator(Key.read)]  # a column, a list of them, or the word row
    columns: tuple[Column, ...] = Field(min_length=1)
    checks: dict[CheckName, Check] = Field(default_factory=dict)


class ValidationConfig(Model):
    """Dates outside `dates` are refused: dim_date grows only within them."""

    dates: tuple[dt.date, dt.date] = (dt.date(2000, 1, 1), dt.date(2100, 12, 31))


class QuarantineConfig(Model):
    dir: str = "data/quarantine"
    alert_above: int = Field(50, ge=0)
    retry_minutes: float = Field(5, gt=0)
    true_orphan_after_hours: float = Field(24, gt=0)


class RetentionConfig(Model):
    """After how many days what is no longer needed is removed; null keeps it. Open orphans always stay."""

    logs_days: int | None = Field(90, ge=1)
    tracker_days: int | None = Field(90, ge=1)  # of files that are gone from their folders
    quarantine_days: int | None = Field(None, ge=1)
    archive_days: int | None = Field(None, ge=1)  # of files that after_load has moved


class ExecutionConfig(Model):
    """How many files are loaded at a time, and where: in threads here, or on a cluster.

    `scheduler` is that of a dask cluster; without one, `workers` processes are started on this machine.
    """

    engine: Literal["local", "dask"] = "local"
    workers: int = Field(1, ge=1)
    scheduler: str | None = None


class CalendarConfig(Model):
    """`weekend` are the days that dim_date calls one; null: as it does already, at first Saturday and Sunday."""

    weekend: tuple[Weekday, ...] | None = None


class Panel(Model):
    """A table of the dashboard's first page: the rows of `query`, in which `:since` is the period's begin.

    A column whose name ends with % is drawn as a share, too.
    """

    title: str = Field(min_length=1)
    section: str = "More"
    note: str = ""
    empty: str = "Nothing in this time"
    query: str = Field(min_length=1)


class SlaConfig(Model):
    refresh_minutes: float = Field(10, gt=0)


class Route(Model):
    """Alerts that fit all lists given here go to the channels `to`, and to no other; to none: to the log alone."""

    kinds: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()  # all
    types: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()
    owners: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()
    to: Annotated[tuple[str, ...], BeforeValidator(as_list)]


class AlertingConfig(Model):
    """Each kind of channel has a section of its own beside these keys, which the channel reads (utils/channels).

    `channels` are more of them, each by its name: {slack-shop: {apprise: …}}. The first of `routes` that fits
    says where an alert goes; one that fits none goes to all channels.
    """

    model_config = ConfigDict(extra="allow")

    enabled: bool = False
    repeat_minutes: float = Field(10, ge=0)
    channels: dict[str, dict[str, Any]] = Field(default_factory=dict)
    routes: tuple[Route, ...] = ()

    @property
    def sections(self) -> dict[str, Any]:
        """The channels' sections, as they were given."""
        return self.model_extra or {}


class LoggingConfig(Model):
    dir: str = "logs"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class PiiConfig(Model):
    hash_key: str | None = None
    accept_key_id: str | None = None  # set from PII_ACCEPT_KEY_ID: hash with another key from now on


_EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104  (where it listens, nobody can be sent to)


class WebConfig(Model):
    """Metrics, health and dashboard. Beyond this machine (`host` is no loopback address) a token is needed."""

    enabled: bool = True
    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8080, ge=0, le=65535)  # 0: any that is free
    token: str | None = None  # set from WEB_TOKEN
    link: str | None = None  # how people reach it: what alerts link to

    @property
    def reached_at(self) -> str:
        """Where its pages are, or '' where nobody can say."""
        if not self.enabled or self.link is not None:
            return self.link or ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}" if self.port and self.host not in _EVERY_ADDRESS else ""


class ConfigFile(Model):
    """The YAML as written, with the files that it includes laid beside."""

    include: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()  # globs, from the YAML's folder on
    database: DatabaseConfig = DatabaseConfig()
    watcher: WatcherConfig = WatcherConfig()
    tracker: TrackerConfig = TrackerConfig()
    reader: ReaderConfig = ReaderConfig()
    schemas: dict[str, SchemaConfig] = Field(default_factory=dict)
    validation: ValidationConfig = ValidationConfig()
    quarantine: QuarantineConfig = QuarantineConfig()
    retention: RetentionConfig = RetentionConfig()
    execution: ExecutionConfig = ExecutionConfig()
    sla: SlaConfig = SlaConfig()
    calendar: CalendarConfig = CalendarConfig()
    views: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()
    alerting: AlertingConfig = AlertingConfig()
    logging: LoggingConfig = LoggingConfig()
    pii: PiiConfig = PiiConfig()
    web: WebConfig = WebConfig()


class PipelineConfig(ConfigFile):
    """The whole configuration, checked, with `files` worked out of `watcher`, `reader` and `schemas`.

    Relative paths start at `home`; use `path()`.
    """

    home: Path
    source: Path  # the YAML file itself
    files: tuple[FileSpec, ...]  # in load order: parents before children

    def path(self, relative: str) -> Path:
        """`relative` as an absolute path, from `home`."""
        return self.home / relative

    @property
    def view_files(self) -> tuple[Path, ...]:
        """The SQL files under `views`: beside the YAML, or else among those that ship."""
        shipped = Path(__file__).parent
        return tuple(p if (p := self.source.parent / name).exists() else shipped / name for name in self.views)

    def shown(self, path: Path | str, type_name: str = "") -> str:
        """`path` as people are told it: from its input folder on, which tells files of one name apart.

        With the type, where its rows are in arrays of the file's records. What does not print is replaced; a path
        elsewhere is shown as a whole.
        """
        text, spec = str(path), self.by_logical_name.get(type_name)
        root = next((root for root in self._input_roots if text.startswith(root)), "")
        name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.removeprefix(root))
        return f"{name} → {type_name}" if spec and spec.schema.within else name

    @cached_property
    def _input_roots(self) -> tuple[str, ...]:
        """The input folders as paths begin with them, the deepest first: as named, from `home`, behind links."""
        watcher = self.watcher
        named = (watcher.master.dir, watcher.batch.dir, watcher.stream.dir)
        here = [self.path(name) for name in named]
        roots = {*(name.rstrip("/") for name in named), *map(str, here), *(str(one.resolve()) for one in here)}
        return tuple(sorted((f"{root}/" for root in roots if root), key=len, reverse=True))

    @cached_property
    def by_logical_name(self) -> dict[str, FileSpec]:
        """The first spec of each logical name; all of one name share schema, table and foreign keys."""
        return {spec.name: spec for spec in reversed(self.files)}
