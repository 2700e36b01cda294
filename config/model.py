"""The vocabulary: the words of the YAML and of the pipeline's tables that all modules share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=63)]


class Model(BaseModel):
    """Base of all that is read from YAML: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def as_list(value: Any) -> Any:
    """What the YAML may say as one text or as a list of them, as a list."""
    return (value,) if isinstance(value, str) else value


class Weekday(StrEnum):
    """The days of dim_date, from ISO's first on."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"

    @property
    def iso(self) -> int:
        """1 for Monday to 7 for Sunday."""
        return list(Weekday).index(self) + 1


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


TIMES = frozenset({Dtype.DATETIME, Dtype.DATE, Dtype.TIME})


class PiiKind(StrEnum):
    """How a sensitive value is written before it is hashed, so that one person hashes the same everywhere."""

    EMAIL = "email"  # lower case
    PHONE = "phone"  # digits alone
    TEXT = "text"  # as it is, but `.0` of a whole number is cut


class Keep(StrEnum):
    """Which row of a key a table has, where files bring several."""

    FIRST = "first"
    LATEST = "latest"
    HISTORY = "history"  # the newest, and beside it every version that there was

    @property
    def replaces(self) -> bool:
        """Can a row that is there give way to a newer one?"""
        return self is not Keep.FIRST


class Gone(StrEnum):
    """What becomes of a row that a snapshot lacks, or that a file tells to delete."""

    KEEP = "keep"
    MARK = "mark"  # it stays, with the time since when it is gone
    DELETE = "delete"  # it goes; one that others refer to is marked


GONE_COLUMN = "_gone_at"  # of a table whose rows may be gone: since when, UTC
