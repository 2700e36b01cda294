"""The shape of a source file: its columns, its key, and what becomes of a file of another shape."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from config.checks import Check
from config.key import FILE_ID, FILE_ROW, ROW_COLUMN, Key
from config.model import Dtype, Model, Name, PiiKind
from config.origins import Constant, Origin, Sources
from config.read_options import DateFormats
from config.severity import PLAIN, RuleUse, Severity, Then, read_use
from config.sql_types import SQL_TYPES_OF_DTYPE, SqlType


class Column(Model):
    """One column of a source file and of its table.

    `sql_type` defaults by dtype; `stored_as` is the table's name for it where that differs; `uses` (`rules` in the
    YAML) are the record rules by name, as in `{required: true, at_least: {value: 0, then: warn}}`. `personal`: it
    tells of a person, and is blanked when that person is erased; what is `pii` is so in any case. `round`:
    decimals beyond the scale of numeric(p,s), or below a microsecond, are rounded half up and not refused.
    `format`: how its dates are written, where that is not as `read.dates` says.

    `sources` (`from` in the YAML) are the names that files give it, its own by default; in JSON they may be paths
    to it. A file may lack it if it is `optional`; `default` stands where a file has no value. A column that has a
    `value` is not in the file. `was` is the name that the table had for it before.
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
    was: Name | None = Field(None, repr=False)
    round: bool = False
    format: DateFormats = ()
    sources: Sources = Field((), alias="from")
    optional: bool = False
    default: Constant | list[Any] | dict[str, Any] = None
    value: Origin | None = None
    uses: dict[str, Annotated[RuleUse, BeforeValidator(read_use)]] = Field(default_factory=dict, alias="rules")

    @property
    def rules(self) -> dict[str, Any]:
        """The parameters of its rules, by their names."""
        return {name: use.parameter for name, use in self.uses.items()}

    def severity(self, rule: str) -> Severity:
        """What becomes of rows that break the rule."""
        return self.uses.get(rule, PLAIN)

    def with_rules(self, names: Collection[str]) -> Column:
        """The same with these of its rules alone."""
        return self.model_copy(update={"uses": {name: use for name, use in self.uses.items() if name in names}})

    @property
    def refuses_null(self) -> bool:
        """Do its rules refuse each row without a value?"""
        use = self.uses.get("required")
        return use is not None and use.parameter is True and use.then is Then.REFUSE and use.when is None

    @property
    def target(self) -> str:
        """The column's name in the table."""
        return self.stored_as or self.name

    @property
    def names_in_file(self) -> tuple[str, ...]:
        """What a file may call it."""
        return self.sources or (self.name,)

    @property
    def is_said_by_file(self) -> bool:
        """Is it not in the records, but the same for all rows of a file?"""
        return self.value is not None and not self.value.is_of_record

    @property
    def can_be_missing(self) -> bool:
        """Is a row without it a good one, as far as the column itself goes?"""
        return self.default is not None or (self.nullable and not self.refuses_null)

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


class Within(Model):
    """Where rows are that are elements of arrays: in the records of schema `of`, at `path`."""

    of: Schema
    path: str

    def __str__(self) -> str:
        return f"{self.of.name}.{self.path}"


class Schema(Model):
    """The shape of a source file: its columns, in order, and the key that tells its rows apart.

    `drift`: what becomes of a file of another shape. Rows that are elements of arrays are `within` the records of
    another schema, which has the paths to these arrays `beside` its columns.
    """

    name: str
    primary_key: Annotated[Key, BeforeValidator(Key.read)]
    columns: tuple[Column, ...]
    drift: Drift = Drift()
    within: Within | None = Field(None, repr=False)
    beside: frozenset[str] = Field(frozenset(), repr=False)
    checks: dict[str, Check] = Field(default_factory=dict, repr=False)

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
        return {name: column for column in self.in_record.columns for name in column.names_in_file}

    @cached_property
    def _renamed(self) -> dict[str, str]:
        """Columns by what a file may call them, or the YAML did before, where that is not their own name."""
        former = {column.was: column.name for column in self.columns if column.was is not None}
        found = {**former, **{source: column.name for source, column in self.by_source.items()}}
        return {source: name for source, name in found.items() if source not in self.by_name}

    def in_todays_names(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A refused row's text by column. Before a column got its name here, the row had it under the file's."""
        if not self._renamed or not self._renamed.keys() & raw.keys():
            return raw
        renamed = {name: self._renamed.get(name, name) for name in raw}
        return {name if new in raw else new: raw[name] for name, new in renamed.items()}

    @cached_property
    def in_file(self) -> Schema:
        """The same without the columns that no file has."""
        columns = (column for column in self.columns if not column.is_said_by_file)
        return self.with_columns(tuple(column for column in columns if column.name != EXTRA))

    @cached_property
    def in_record(self) -> Schema:
        """The same without the columns that no record has."""
        return self.with_columns(tuple(c for c in self.columns if c.value is None and c.name != EXTRA))

    def with_columns(self, columns: tuple[Column, ...]) -> Schema:
        """The same with these columns."""
        return self.changed(columns=columns)

    def says(self, rule: str, column: str) -> str | None:
        """What the YAML says of a broken rule to the file's sender, if anything."""
        if column in self.by_name:
            return self.by_name[column].severity(rule).says
        return self.checks[rule].says if not column and rule in self.checks else None

    def changed(self, **changes: Any) -> Schema:
        """The same with other values for these of its fields."""
        return Schema(**{**{name: getattr(self, name) for name in Schema.model_fields}, **changes})


def _of_row_key(name: str, stored_as: str) -> Column:
    return Column(name=name, dtype=Dtype.INT, nullable=False, sql_type="bigint", stored_as=stored_as)


_OF_ROW_KEY = (_of_row_key(FILE_ID, "_file_id"), _of_row_key(FILE_ROW, ROW_COLUMN))
