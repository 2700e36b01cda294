"""The vocabulary: what the YAML says, and the frozen records that travel through the pipeline."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from config.date_formats import format_problem, zone_problem
from config.drift import Change
from config.key import FILE_ID, FILE_ROW, ROW_COLUMN, ForeignKey, Key
from config.origins import Constant, Origin, Sources

__all__ = ["ForeignKey", "Key"]

Name = Annotated[str, Field(min_length=1, max_length=63)]


class Model(BaseModel):
    """Base of all that is read from YAML: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Feed(StrEnum):
    """Where a file comes from. Master files follow the batch rules; they are read before the watchers start."""

    BATCH = "batch"
    STREAM = "stream"


class Stage(StrEnum):
    """The stage that refused a row, in the order in which the stages judge."""

    SCHEMA = "schema"
    RECORDS = "records"
    ORPHAN = "orphan"
    LOAD = "load"


class Dtype(StrEnum):
    STR = "str"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    UUID = "uuid"
    JSON = "json"


class PiiKind(StrEnum):
    """How a sensitive value is written before it is hashed, so that one person hashes the same everywhere."""

    EMAIL = "email"  # lower case
    PHONE = "phone"  # digits alone
    TEXT = "text"  # as it is, but `.0` of a whole number is cut


class Keep(StrEnum):
    """Which row of a key a table has, where files bring several."""

    FIRST = "first"
    LATEST = "latest"

    @property
    def replaces(self) -> bool:
        """Can a row that is there give way to a newer one?"""
        return self is not Keep.FIRST


class SqlType(NamedTuple):
    """A column type of PostgreSQL: its base name and its limits."""

    base: str
    length: int | None = None  # varchar(n), char(n)
    precision: int | None = None  # numeric(p, s); numeric alone takes any number of digits
    scale: int = 0

    @classmethod
    def parse(cls, text: str) -> SqlType:
        """Read e.g. `numeric(10,2)`; raises ValueError for a type that the pipeline does not know."""
        text = text.strip().lower()
        match = re.fullmatch(r"([a-z][a-z0-9 ]*?(?:\[\])?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?", text)
        base = _SQL_ALIASES.get(match[1], match[1]) if match else ""
        if match is None or base not in SQL_TYPES_OF_DTYPE_FLAT:
            raise ValueError(f"{text!r} is not one of {', '.join(sorted(SQL_TYPES_OF_DTYPE_FLAT))}")
        first, second = (int(number) if number else None for number in match.groups()[1:])
        if base in {"varchar", "char"} and (first is None or second is not None):
            raise ValueError(f"{text!r} needs one length, as in varchar(36)")
        if base == "numeric" and first is not None and not 0 <= (second or 0) <= first <= 1000:
            raise ValueError(f"{text!r} needs precision and scale, as in numeric(10,2), or no limits: numeric")
        if base not in {"varchar", "char", "numeric"} and first is not None:
            raise ValueError(f"{text!r} takes no length")
        if base == "numeric" and first is not None:
            return cls(base, precision=first, scale=second or 0)
        return cls(base, length=first)

    def __str__(self) -> str:
        if self.length is not None:
            return f"{self.base}({self.length})"
        return f"numeric({self.precision},{self.scale})" if self.precision is not None else self.base


_SQL_ALIASES = {
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float8": "double precision",
    "bool": "boolean",
    "character varying": "varchar",
    "decimal": "numeric",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "int[]": "integer[]",
    "int4[]": "integer[]",
    "int8[]": "bigint[]",
}
SQL_TYPES_OF_DTYPE = {
    Dtype.STR: ("text", "varchar", "char"),
    Dtype.INT: ("integer", "bigint", "smallint"),
    Dtype.FLOAT: ("double precision", "numeric"),
    Dtype.BOOL: ("boolean",),
    Dtype.DATETIME: ("timestamp without time zone", "timestamp with time zone"),
    Dtype.DATE: ("date",),
    Dtype.TIME: ("time without time zone",),
    Dtype.UUID: ("uuid",),
    Dtype.JSON: ("jsonb", "json", "text[]", "integer[]", "bigint[]"),
}
TIMES = frozenset({Dtype.DATETIME, Dtype.DATE, Dtype.TIME})
INT_LIMITS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
SQL_TYPES_OF_DTYPE_FLAT = frozenset(base for bases in SQL_TYPES_OF_DTYPE.values() for base in bases)


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


DateFormats = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class Column(Model):
    """One column of a source file and of its table.

    `sql_type` defaults by dtype; `stored_as` is the table's name for it where that differs; `rules` are
    the record rules by name, as in `{required: true, at_least: 0}`. `personal`: it tells of a person, and is
    blanked when that person is erased; what is `pii` is so in any case. `round`: decimals beyond the scale of
    numeric(p,s), or below a microsecond, are rounded half up and not refused. `format`: how its dates are written,
    where that is not as `read.dates` says.

    `sources` (`from` in the YAML) are the names that files give it, its own by default; in JSON they may be paths
    to it. A file may lack it if it is `optional`; `default` stands where a file has no value. A column that has a
    `value` is not in the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: Annotated[str, Field(min_length=1, max_length=1000)]  # a header may be longer than a column's name
    dtype: Dtype
    nullable: bool = True
    allowed_values: tuple[str, ...] | None = None
    sql_type: str | None = None
    pii: PiiKind | None = None
    personal: bool = False
    stored_as: Name | None = None
    round: bool = False
    format: DateFormats = ()
    sources: Sources = Field((), alias="from")
    optional: bool = False
    default: Constant | list[Any] | dict[str, Any] = None
    value: Origin | None = None
    rules: dict[str, Any] = Field(default_factory=dict)

    @property
    def target(self) -> str:
        """The column's name in the table."""
        return self.stored_as or self.name

    @property
    def names_in_file(self) -> tuple[str, ...]:
        """What a file may call it."""
        return self.sources or (self.name,)

    @property
    def can_be_missing(self) -> bool:
        """Is a row without it a good one, as far as the column itself goes?"""
        return self.default is not None or (self.nullable and not self.rules.get("required"))

    @cached_property
    def sql(self) -> SqlType:
        """The column's type in the table; a hash where the value is sensitive."""
        if self.pii is not None:
            return SqlType("varchar", length=64)
        return SqlType.parse(self.sql_type or SQL_TYPES_OF_DTYPE[self.dtype][0])


EXTRA = "_extra"  # what the schema has no column for, of a row: an object of JSON, value by name


class Drift(Model):
    """What becomes of a file with other columns: those that are new to the schema, and those that it lacks."""

    new_columns: Literal["fail", "ignore", "keep", "add"] = "fail"
    missing_columns: Literal["fail", "null"] = "fail"

    @property
    def takes_new(self) -> bool:
        """Do values of new columns come into the table?"""
        return self.new_columns in {"keep", "add"}


def extra_column(*, personal: bool) -> Column:
    """The column that holds the values of new columns, on their way and where they are kept."""
    return Column(name=EXTRA, dtype=Dtype.JSON, sql_type="jsonb", optional=True, personal=personal)


class Schema(Model):
    """The shape of a source file: its columns, in order, and the key that tells its rows apart.

    `drift`: what becomes of a file of another shape.
    """

    name: str
    primary_key: Annotated[Key, BeforeValidator(Key.read)]
    columns: tuple[Column, ...]
    drift: Drift = Drift()

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns of the primary key; those of the table where file and row number are the key."""
        return self.columns_of(self.primary_key)

    def columns_of(self, key: Key) -> tuple[Column, ...]:
        """The columns of `key`."""
        return tuple(self.by_name[name] for name in key) or _OF_ROW_KEY

    @cached_property
    def by_source(self) -> dict[str, Column]:
        """Columns by what a file may call them."""
        return {name: column for column in self.in_file.columns for name in column.names_in_file}

    @cached_property
    def _renamed(self) -> dict[str, str]:
        """Columns by what a file may call them, where that is not their own name."""
        return {source: c.name for source, c in self.by_source.items() if source not in self.by_name}

    def in_todays_names(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A refused row's text by column. Before a column got its name here, the row had it under the file's."""
        if not self._renamed or not self._renamed.keys() & raw.keys():
            return raw
        renamed = {name: self._renamed.get(name, name) for name in raw}
        return {name if new in raw else new: raw[name] for name, new in renamed.items()}

    @cached_property
    def in_file(self) -> Schema:
        """The same without the columns that no file has."""
        return self.with_columns(tuple(c for c in self.columns if c.value is None and c.name != EXTRA))

    def with_columns(self, columns: tuple[Column, ...]) -> Schema:
        """The same with these columns."""
        return Schema(name=self.name, primary_key=self.primary_key, columns=columns, drift=self.drift)


def _of_row_key(name: str, stored_as: str) -> Column:
    return Column(name=name, dtype=Dtype.INT, nullable=False, sql_type="bigint", stored_as=stored_as)


_OF_ROW_KEY = (_of_row_key(FILE_ID, "_file_id"), _of_row_key(FILE_ROW, ROW_COLUMN))


class Lookup(Model):
    """Take `take` from the row of logical file `source` whose key is this row's `by`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    source: str = Field(alias="from")
    by: str
    take: str


class Derivation(Model):
    """One derived column; exactly one of the forms is given. Columns are named as in the source file."""

    date_key: str | None = None
    time_key: str | None = None
    minutes_between: tuple[str, str] | None = None
    later_than: tuple[str, str] | None = None
    equals: tuple[str, str] | None = None
    lookup: Lookup | None = None


def _time_of_day(value: Any) -> dt.time:
    match = re.fullmatch(r"(\d\d?):(\d\d)", value) if isinstance(value, str) else None
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError("a time of day (UTC) is written HH:MM, as in 06:30")
    return dt.time(int(match[1]), int(match[2]))


def _length_of_time(value: Any) -> dt.timedelta:
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a length of time is written as in 90m, 1h or 2d")
    return dt.timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[match[2]]: int(match[1])})


def _word(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("write it in quotes: YAML reads null, true, no and the like as something else")  # noqa: TRY004
    return value


def _thousands(value: str) -> str:
    if value not in {".", ",", " ", "'", "_"}:
        raise ValueError("thousands are grouped by one of . , ' _ or a blank")
    return value


def _date_formats(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if problem := format_problem(value):
            raise ValueError(f"{value!r} {problem}")
    return values


def _zone(value: str) -> str:
    if problem := zone_problem(value):
        raise ValueError(f"{value!r} {problem}")
    return value


class NullWords(Model):
    """`null_values`: the words that mean null, beside what the format calls null."""

    null_values: tuple[Annotated[str, BeforeValidator(_word)], ...] = ()

    @cached_property
    def words(self) -> frozenset[str]:
        """`null_values` as they are compared."""
        return frozenset(word.strip().lower() for word in self.null_values)


class ReadOptions(NullWords):
    """How a file is read: `read` of an expected file, whose defaults are under `reader`.

    `format` is the name of a format, where the extension does not tell. For the values of all formats,
    `null_values` are the words that mean null, beside an unquoted empty field (CSV) or null (JSON), in any case
    and with blanks around them; `trim` cuts blanks around text. `decimal` and `thousands` are the signs in
    numbers; with `currency` those of money and per cent are cut. `dates` are formats as in strptime, or the
    words of config/date_formats.py; without any, ISO 8601. `timezone` is that of times without an offset. Other
    keys are the format's own.
    """

    model_config = ConfigDict(extra="allow")

    format: str | None = None
    trim: bool = False
    decimal: Literal[".", ","] = "."
    thousands: Annotated[str, AfterValidator(_thousands)] | None = None
    currency: bool = False
    dates: Annotated[DateFormats, AfterValidator(_date_formats)] = ()
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"

    @cached_property
    def has_plain_numbers(self) -> bool:
        """Are numbers written with a point and digits alone?"""
        return self.decimal == "." and self.thousands is None and not self.currency

    @model_validator(mode="after")
    def _signs_differ(self) -> Self:
        if self.thousands == self.decimal:
            both = f"decimal and thousands are both {self.decimal!r}"
            raise ValueError(f"{both}; give each its own, as in decimal: ',' and thousands: '.'")
        return self

    @property
    def of_format(self) -> dict[str, Any]:
        """The keys that are the format's own, as they were given."""
        return self.model_extra or {}

    @cached_property
    def has_digits(self) -> bool:
        """Might a word that means null be a number or a date?"""
        return any(character.isdigit() for word in self.words for character in word)

    def over(self, defaults: ReadOptions) -> ReadOptions:
        """These options where they were given, else `defaults`."""
        given = {name: getattr(self, name) for name in ReadOptions.model_fields if name in self.model_fields_set}
        known = {name: getattr(defaults, name) for name in ReadOptions.model_fields}
        return ReadOptions(**{**known, **defaults.of_format, **given, **self.of_format})


PLAIN = ReadOptions()  # how the pipeline itself writes values


class Contract(Model):
    """What an expected file is held to; a key that is left out asks for nothing."""

    expected_by: Annotated[dt.time, BeforeValidator(_time_of_day)] | None = None  # UTC
    expected_every: Annotated[dt.timedelta, BeforeValidator(_length_of_time)] | None = None
    min_rows: int | None = Field(None, ge=0)
    max_rows: int | None = Field(None, ge=0)
    rows_band_pct: float | None = Field(None, gt=0)
    band_days: int = Field(7, ge=1, le=31)
    max_reject_pct: float | None = Field(None, ge=0, le=100)
    abort: bool = False


class PartitionBy(Model):
    """A fact's partitions: ranges of `interval` by `column`, made from `since` on, or from now on.

    What is outside of them is in the default partition.
    """

    column: str
    interval: Literal["day", "week", "month", "year"]
    since: dt.date | None = None


@dataclass(frozen=True)
class FileSpec:
    """Everything the pipeline knows of one kind of file. Built by config_loader; the rest ask it."""

    name: str  # logical name: visits
    feed: Feed
    pattern: str  # file name or glob: visits.json
    table: str  # fact_visit
    schema: Schema
    foreign_keys: tuple[ForeignKey, ...] = ()
    unique: tuple[Key, ...] = field(default=(), repr=False)  # what other types refer to, beside the primary key
    derive: dict[str, Derivation] = field(default_factory=dict)
    keep: Keep = Keep.FIRST
    newer_by: str | None = None
    indexes: tuple[str, ...] = ()  # columns with a btree of their own, beside the keys
    contract: Contract | None = None
    read: ReadOptions = field(default_factory=ReadOptions)
    partition_by: PartitionBy | None = field(default=None, repr=False)  # where rows lie: not how they are judged
    level: int = 0  # 0: refers to nothing; else one more than its deepest parent
    kind: Literal["fact", "dimension"] | None = field(default=None, repr=False)  # by default the table's name
    has_placeholders: bool = field(default=False, repr=False)  # other types may put them into the table

    @property
    def is_fact(self) -> bool:
        return self.kind == "fact" if self.kind else self.table.startswith("fact_")

    @property
    def surrogate_key(self) -> str | None:
        """A fact's own key column: visit_sk for fact_visit, event_sk for fact_visit_event."""
        return f"{self.table.rsplit('_', 1)[-1]}_sk" if self.is_fact else None

    @property
    def version_by(self) -> str | None:
        """Where newer rows replace older ones: the column that tells which is newer."""
        return self.newer_by if self.keep.replaces else None

    @property
    def key_table(self) -> str:
        """Where the source keys are unique, and what children refer to: the table itself unless partitioned.

        A unique constraint of a partitioned table holds the column that it is partitioned by; so its keys are in a
        table of their own, each with its row's value of that column.
        """
        return f"{self.table}_key" if self.partition_by else self.table

    @property
    def partition_column(self) -> str | None:
        """The table's name of the column that it is partitioned by."""
        return self.schema.by_name[self.partition_by.column].target if self.partition_by else None

    @property
    def self_references(self) -> tuple[ForeignKey, ...]:
        """The foreign keys by which the table refers to itself."""
        return tuple(key for key in self.foreign_keys if key.parent == self.name)

    @property
    def own_keys(self) -> tuple[Key, ...]:
        """The keys by which its rows refer to each other."""
        return tuple(dict.fromkeys(key.to or self.schema.primary_key for key in self.self_references))

    def referred_by(self, to: Key | None) -> tuple[Column, ...]:
        """The columns that a foreign key refers to: those of `to`, else of the primary key."""
        return self.schema.columns_of(to or self.schema.primary_key)

    def read_as(self, column: Column) -> ReadOptions:
        """How `column` is read: in keys, and in what is hashed, blanks don't count, and nothing else is null.

        What is not in the file is not in its dialect.
        """
        if column.value is not None:
            return PLAIN
        return self.read_of_keys if column.pii or self.is_key(column) else self.read

    def is_key(self, column: Column) -> bool:
        """Does `column` identify a row, of this table or of a parent's?"""
        return column.name in self._key_names

    @cached_property
    def _key_names(self) -> frozenset[str]:
        keys = (self.schema.primary_key, *self.unique, *(foreign_key.key for foreign_key in self.foreign_keys))
        return frozenset(name for key in keys for name in key)

    @cached_property
    def read_of_keys(self) -> ReadOptions:
        """How keys are read: blanks don't count, and nothing else is null."""
        said = {**{name: getattr(self.read, name) for name in ReadOptions.model_fields}, **self.read.of_format}
        return ReadOptions(**{**said, "null_values": ("", *self.read.null_values), "trim": True})

    @cached_property
    def has_pii(self) -> bool:
        return any(column.pii for column in self.schema.columns)

    @property
    def stores_extra(self) -> bool:
        """Has the table a column for the values of new columns?"""
        return self.schema.drift.new_columns == "keep"

    @property
    def adds_new(self) -> bool:
        """Does the table get the new columns that files bring?"""
        return self.schema.drift.new_columns == "add"

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns of the schema that are the table's."""
        return tuple(column for column in self.schema.columns if column.name != EXTRA or self.stores_extra)

    @property
    def hides_extra(self) -> bool:
        """Are values of new columns hidden that look personal? So they are where the schema has such columns."""
        extra = self.schema.by_name.get(EXTRA)
        return extra is not None and extra.personal

    @property
    def personal(self) -> tuple[Column, ...]:
        """The columns that tell of a person."""
        return tuple(column for column in self.schema.columns if column.pii or column.personal)

    @cached_property
    def fingerprint(self) -> str:
        """Changes with whatever the configuration says of this kind of file. MD5, hex."""
        return hashlib.md5(repr(self).encode(), usedforsecurity=False).hexdigest()


def foreign_key_columns(child: FileSpec, key: ForeignKey, parent: FileSpec) -> list[tuple[Column, Column]]:
    """Pairs of columns by which `child` refers to `parent`."""
    return list(zip(child.schema.columns_of(key.key), parent.referred_by(key.to), strict=True))


class Stamp(NamedTuple):
    """What tells that a file is still the one that it was: size in bytes, times of change in ns, inode.

    Whoever writes a file can set its time of change, but not `ctime_ns`, the time of the last change of any
    kind. An object, and a file whose system gives no lasting numbers, has the inode 0; an object no `ctime_ns`.
    """

    size: int
    mtime_ns: int
    inode: int = 0
    ctime_ns: int = 0


class Content(NamedTuple):
    """What was loaded: MD5 (hex) and size in bytes."""

    md5: str
    size: int


@dataclass(frozen=True, slots=True)
class Tries:
    """What came of a file's tries so far. The job carries it, and the inbox keeps it until the file is done."""

    held_up: int = 0  # how often a database that was there could not take the file
    unrecorded: int = 0  # tries in a row that left no row of the file in the file log
    by_itself: bool = False  # it could not be loaded together with others


@dataclass(frozen=True, slots=True)
class FileJob:
    """One file to load, as it was when it was found. `size` in bytes; `md5` is '' until it was hashed.

    `former` is what was loaded from its path before, as far as this machine remembers.
    `deadline_seconds`: how long a statement on this file may take, wherever it is loaded.
    """

    path: Path
    spec: FileSpec
    size: int
    mtime_ns: int
    md5: str = ""
    tries: Tries = Tries()
    deadline_seconds: float = math.inf
    discovered_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    inode: int = 0
    ctime_ns: int = 0
    former: Content | None = None

    @classmethod
    def of(cls, path: Path, spec: FileSpec, stamp: Stamp, tries: Tries = Tries()) -> FileJob:
        """The file as `stamp` describes it."""
        return cls(path, spec, stamp.size, stamp.mtime_ns, "", tries, inode=stamp.inode, ctime_ns=stamp.ctime_ns)

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.size, self.mtime_ns, self.inode, self.ctime_ns)

    def as_of(self, stamp: Stamp) -> FileJob:
        """The same file as it was when `stamp` was taken."""
        return replace(self, **stamp._asdict())

    def evolve(self, **changes: Any) -> FileJob:
        """A copy with `changes`."""
        return replace(self, **changes)

    def log_context(self) -> dict[str, Any]:
        """Extras for a log line about this file."""
        return {"file_name": self.path.name, "path": str(self.path), "file_type": self.spec.feed.value}


class Status(StrEnum):
    """How a file ended. The first three are rows of pipeline_file_log; the others are not."""

    SUCCESS = "success"
    FAILED = "failed"
    UNDONE = "undone"  # an operator took it back; its content is not loaded again by itself
    ALREADY_DONE = "already_done"  # the same content is in the file log
    CHANGED = "changed"  # rolled back; it will be looked at again


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of a file: the figures of its row in pipeline_file_log. `seconds` from claim to commit."""

    job: FileJob
    status: Status
    file_id: int | None = None
    total: int = 0
    inserted: int = 0
    already_present: int = 0
    changed: int = 0
    updated: int = 0
    rejected_by_stage: dict[Stage, int] = field(default_factory=dict)
    duplicates: int = 0
    reasons: dict[tuple[Stage, str, str], int] = field(default_factory=dict)  # (stage, rule, column): rows
    error: str | None = None
    seconds: float = 0.0
    told: bool = False  # it failed before under the same name, and was reported then
    continues: str = ""  # what became of an earlier file that was loaded before it was whole
    drift: tuple[Change, ...] = ()  # in what its columns differ from its schema's
    placeholders: dict[str, int] = field(default_factory=dict)  # made for its rows, by the parents' logical name
    without_parent: dict[str, int] = field(default_factory=dict)  # rows with a foreign key that is null for that
    healed: int | None = None  # orphans that were healed with it; None: nobody looked yet

    @property
    def quarantined(self) -> int:
        return sum(self.rejected_by_stage.values())

    @property
    def orphans(self) -> int:
        return self.rejected_by_stage.get(Stage.ORPHAN, 0)

    @property
    def is_refused_whole(self) -> bool:
        """Are there rows in it, and is each of them refused?"""
        return self.status is Status.SUCCESS and 0 < self.total == self.quarantined

    @property
    def top_reason(self) -> str:
        """What most of the refused rows have against them, as `column: rule`; '' when none is refused."""
        if not self.reasons:
            return ""
        _, rule, column = max(self.reasons, key=self.reasons.__getitem__)
        return f"{column}: {rule}" if column else rule

    @property
    def valid(self) -> int:
        return self.inserted + self.already_present + self.updated
