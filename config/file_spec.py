"""One kind of file, with all that the pipeline knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from config.after_load import AfterLoad
from config.complete_when import CompleteWhen
from config.expected_file import Contract, Derivation, Operation, PartitionBy
from config.fingerprint import fingerprint_of
from config.key import ForeignKey, Key
from config.model import Feed, Gone, Keep
from config.read_options import PLAIN, ReadOptions
from config.schema import EXTRA, Column, Schema


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
    track: tuple[str, ...] = field(default=(), repr=False)
    is_snapshot: bool = field(default=False, repr=False)  # holds all rows that there are at its time
    gone: Gone = field(default=Gone.KEEP, repr=False)
    gone_at_most_pct: float = field(default=20, repr=False)
    operation: Operation | None = field(default=None, repr=False)
    indexes: tuple[str, ...] = ()  # columns with a btree of their own, beside the keys
    contract: Contract | None = None
    read: ReadOptions = field(default_factory=ReadOptions)
    partition_by: PartitionBy | None = field(default=None, repr=False)  # where rows lie: not how they are judged
    complete_when: CompleteWhen | None = field(default=None, repr=False)
    after_load: AfterLoad = field(default_factory=AfterLoad, repr=False)
    report_to: tuple[str, ...] = field(default=(), repr=False)  # whoever sends its files
    owner: str | None = field(default=None, repr=False)  # whom alerts of it concern
    is_profiled: bool = field(default=True, repr=False)  # are figures of its columns kept?
    level: int = 0  # 0: refers to nothing; else one more than its deepest parent
    kind: Literal["fact", "dimension"] | None = field(default=None, repr=False)  # by default the table's name
    has_placeholders: bool = field(default=False, repr=False)  # other types may put them into the table
    was: str | None = field(default=None, repr=False)  # the table's former name
    children: tuple[FileSpec, ...] = field(default=(), repr=False)  # types whose rows are in arrays of its records

    @property
    def is_fact(self) -> bool:
        return self.kind == "fact" if self.kind else self.table.startswith("fact_")

    @property
    def surrogate_key(self) -> str | None:
        """A fact's own key column: visit_sk for fact_visit, event_sk for fact_visit_event."""
        return f"{self.table.rsplit('_', 1)[-1]}_sk" if self.is_fact else None

    @property
    def keeps_history(self) -> bool:
        """Has the table another beside it, with every version of its rows?"""
        return self.keep is Keep.HISTORY

    @property
    def history_table(self) -> str:
        """Where the versions are."""
        return f"{self.table}_history"

    @property
    def seen_table(self) -> str:
        """Where what was seen of rows is kept that made no version of its own."""
        return f"{self.table}_seen"

    @property
    def deletes_table(self) -> str:
        """Where the deletes are kept that files told of."""
        return f"{self.table}_gone"

    @property
    def history_tables(self) -> tuple[str, ...]:
        """The tables that keep its history; none where it keeps none."""
        return (self.history_table, self.seen_table) if self.keeps_history else ()

    @property
    def tables_beside(self) -> tuple[str, ...]:
        """What is kept of rows beside the table itself."""
        return (*self.history_tables, *([self.deletes_table] if self.operation else []))

    @property
    def possible_tables(self) -> tuple[str, ...]:
        """Its table, and all that there may be of it, be it of an earlier configuration."""
        return (self.table, self.key_table, self.history_table, self.seen_table, self.deletes_table)

    @property
    def tracked(self) -> tuple[Column, ...]:
        """The columns whose changes make a version."""
        return tuple(c for c in self.stored if (c.name in self.track if self.track else c.name != self.newer_by))

    @property
    def takes_away(self) -> bool:
        """Is a row gone that a file of this kind lacks?"""
        return self.is_snapshot and self.gone is not Gone.KEEP

    @property
    def loses_rows(self) -> bool:
        """May rows of the table be gone, and be it that one stays and is marked?"""
        return self.gone is not Gone.KEEP

    @property
    def goes_by_file(self) -> bool:
        """Is the later file newer?"""
        return self.keep.replaces and self.newer_by is None

    @property
    def is_told_apart_by_time(self) -> bool:
        """Is the same content at another time another file, since it says something new?"""
        return self.goes_by_file or self.takes_away

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
        if column.value is not None and column.value.parent is None:
            return PLAIN
        is_word = self.is_key(column) or self.is_operation(column)
        return self.read_of_keys if column.pii or is_word else self.read

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
        return tuple(
            column
            for column in self.schema.columns
            if (column.name != EXTRA or self.stores_extra) and not self.is_operation(column)
        )

    def is_operation(self, column: Column) -> bool:
        """Does the column say what is to be done with its record?"""
        return self.operation is not None and column.name == self.operation.column

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
        """Changes with what a file of this kind may fail by. MD5, hex."""
        return fingerprint_of(self)


def foreign_key_columns(child: FileSpec, key: ForeignKey, parent: FileSpec) -> list[tuple[Column, Column]]:
    """Pairs of columns by which `child` refers to `parent`."""
    return list(zip(child.schema.columns_of(key.key), parent.referred_by(key.to), strict=True))
