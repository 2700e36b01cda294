"""What the YAML says of an expected file: its table, keys, derived columns, contract and partitions."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from config.after_load import AfterLoad
from config.complete_when import CompleteWhen
from config.holidays import country
from config.key import IfMissing
from config.model import Feed, Gone, Keep, Model, Name, Weekday, as_list
from config.origins import SourceName
from config.read_options import ReadOptions, zone
from config.schema import Drift


class Lookup(Model):
    """Take `take` from the row of logical file `source` whose key is this row's `by`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    source: str = Field(alias="from")
    by: str
    take: str


class Derivation(Model):
    """One derived column; exactly one of the forms is given. Columns are named as in the source file.

    `version_of` goes with `by`, the foreign key to the type that it names, and `at`, the time of the row.
    """

    date_key: str | None = None
    time_key: str | None = None
    minutes_between: tuple[str, str] | None = None
    later_than: tuple[str, str] | None = None
    equals: tuple[str, str] | None = None
    lookup: Lookup | None = None
    version_of: str | None = None
    by: str | None = None
    at: str | None = None

    @property
    def forms(self) -> list[str]:
        """Which of them are given."""
        return [name for name in self.model_dump(exclude_none=True) if name not in {"by", "at"}]


def _time_of_day(value: Any) -> dt.time:
    match = re.fullmatch(r"(\d\d?):(\d\d)", value) if isinstance(value, str) else None
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError("a time of day is written HH:MM, as in 06:30")
    return dt.time(int(match[1]), int(match[2]))


def _length_of_time(value: Any) -> dt.timedelta:
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a length of time is written as in 90m, 1h or 2d")
    return dt.timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[match[2]]: int(match[1])})


class Contract(Model):
    """What an expected file is held to; a key that is left out asks for nothing.

    On other days than `days`, and on `holidays`, none is expected. Times and days are those of `timezone`.
    """

    expected_by: Annotated[dt.time, BeforeValidator(_time_of_day)] | None = None
    expected_every: Annotated[dt.timedelta, BeforeValidator(_length_of_time)] | None = None
    days: tuple[Weekday, ...] = ()  # all
    holidays: Annotated[str, AfterValidator(country)] | None = None
    timezone: Annotated[str, AfterValidator(zone)] | None = None  # watcher.batch.timezone
    min_rows: int | None = Field(None, ge=0)
    max_rows: int | None = Field(None, ge=0)
    rows_band_pct: float | None = Field(None, gt=0)
    band_days: int = Field(7, ge=1, le=31)
    max_reject_pct: float | None = Field(None, ge=0, le=100)
    abort: bool = False


class FromChild(Model):
    """The rows of a type are the elements of the array at `path` in the records of type `of`."""

    of: str
    path: SourceName


class PartitionBy(Model):
    """A fact's partitions: ranges of `interval` by `column`, made from `since` on, or from now on.

    What is outside of them is in the default partition.
    """

    column: str
    interval: Literal["day", "week", "month", "year"]
    since: dt.date | None = None


def _addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"[^\s@,;<>]+@[^\s@,;<>]+", value):
            raise ValueError("write addresses of mail, as in sender@example.org")
    return values


def _the_word_null(value: Any) -> Any:
    """`null` is YAML's nothing, and the word is meant."""
    return "null" if value is None else value


class Reference(Model):
    """To which type a foreign key refers, and what becomes of a row whose parent is not there."""

    to: str
    if_missing: Annotated[IfMissing | None, BeforeValidator(_the_word_null)] = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_word(cls, value: Any) -> Any:
        """`visits` is short for `{to: visits}`."""
        if isinstance(value, str):
            return {"to": value}
        if not isinstance(value, dict | Reference):
            raise ValueError("write a type, as in visits, or {to: visits, if_missing: placeholder}")  # noqa: TRY004
        return value


_LOADING = ("i", "u", "c", "r", "insert", "update", "upsert", "create", "read")


class Operation(Model):
    """The column that says what is to be done with a record: it is read, and not stored.

    `delete` are the words that take the row of the key away; any other has to be one of `load`. Upper and lower
    case are one.
    """

    column: str
    delete: Annotated[tuple[str, ...], BeforeValidator(as_list), Field(min_length=1)]
    load: Annotated[tuple[str, ...], BeforeValidator(as_list)] = _LOADING

    @field_validator("delete", "load")
    @classmethod
    def _in_one_case(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word.strip().lower() for word in words)


class ExpectedFile(Drift):
    """`kind` defaults by the table's name: fact_… is a fact, any other a dimension.

    `was` is the name that the table had before. With `from_child` it is no file of its own, and the key that it is
    under is the name of its type.
    """

    table: Name
    was: Name | None = None
    from_child: FromChild | None = None
    kind: Literal["fact", "dimension"] | None = None
    foreign_keys: dict[str, Reference] = Field(default_factory=dict)
    if_parent_missing: Annotated[IfMissing, BeforeValidator(_the_word_null)] = IfMissing.WAIT
    derive: dict[str, Derivation] = Field(default_factory=dict)
    on_conflict: Literal["nothing", "update_if_newer"] = "nothing"  # `keep` in other words
    newer_by: str | None = None
    keep: Keep | None = None
    track: tuple[str, ...] = ()
    rows: Literal["changes", "snapshot"] = "changes"
    gone: Gone | None = None
    gone_at_most_pct: float = Field(20, ge=0, le=100)
    operation: Operation | None = None
    indexes: tuple[str, ...] = ()
    contract: Contract | None = None
    read: ReadOptions = ReadOptions()
    partition_by: PartitionBy | None = None
    after_load: AfterLoad = AfterLoad()
    complete_when: CompleteWhen | None = None
    owner: str | None = Field(None, min_length=1)
    report_to: Annotated[tuple[str, ...], BeforeValidator(as_list), AfterValidator(_addresses)] = ()
    profile: bool = True

    @field_validator("missing_columns", mode="before")
    @classmethod
    def _missing_columns_null(cls, value: Any) -> Any:
        return _the_word_null(value)


class Entry(NamedTuple):
    """An expected file of the YAML, and the type that it is of."""

    feed: Feed
    pattern: str
    file: ExpectedFile
    name: str

    @property
    def where(self) -> str:
        """Its place in the YAML."""
        return f"watcher.{self.feed.value}.expected_files.{self.pattern}"
