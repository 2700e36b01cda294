"""Steps for keys, references, checks and indexes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from datawarehouse.schema.catalog import Catalog, Constraint, Naming, TableThere
from datawarehouse.schema.ddl import DIALECT, quoted
from datawarehouse.schema.misfits import counted
from datawarehouse.schema.steps import Cost, Kind, Step

_Shape = tuple[tuple[str, ...], str, tuple[str, ...]]  # of a reference: columns, parent, its columns


def key_steps(catalog: Catalog, table: sa.Table, showing: Sequence[str]) -> Iterator[Step | str]:
    """Primary and unique keys, and foreign keys. `showing`: the columns whose values may be shown."""
    there = catalog.tables[table.name]
    if not there.constraints and not any(index.unique for index in there.indexes):
        return  # it is being restored, or the user's own way of having no keys
    yield from _unique(catalog, table, there, showing)
    yield from _foreign(catalog, table, there, showing)


def _unique(catalog: Catalog, table: sa.Table, there: TableThere, showing: Sequence[str]) -> Iterator[Step | str]:
    has = {frozenset(key.columns) for key in there.constraints if key.kind in "pu"}
    has |= {frozenset(index.columns) for index in there.indexes if index.unique and not index.partial}
    wanted = {frozenset(_names(table.primary_key.columns)): tuple(_names(table.primary_key.columns))}
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            wanted[frozenset(_names(constraint.columns))] = tuple(_names(constraint.columns))
    wanted |= {frozenset([c.name]): (c.name,) for c in table.columns if c.unique}
    lacking = [columns for key, columns in wanted.items() if key and key not in has]
    if not lacking:
        return
    primary = there.of_kind("p")
    wants_primary = tuple(_names(table.primary_key.columns))
    former = [
        key
        for key in there.constraints
        if key.kind in "pu"
        and frozenset(key.columns) not in wanted
        and (key.kind == "p" or key.name.startswith(f"{there.real}_"))
    ]
    referring = sorted(
        {
            other.name
            for other in catalog.tables.values()
            for key in other.of_kind("f")
            if key.parent == table.name and any(set(key.parent_columns) == set(one.columns) for one in former)
        }
    )
    if referring and frozenset(wants_primary) not in has:
        yield (
            f"{table.name}: its key was {', '.join(former[0].columns)}, and {', '.join(referring)} "
            "refer to it; no step can tell what they are to refer to instead. Load the files into a table of "
            "another name (table:), and drop the old one"
        )
        return
    if frozenset(wants_primary) not in has or table.name.startswith("fact_"):
        for key in former:
            yield Step(
                Kind.DROP_KEY,
                table.name,
                f"{table.name}: {', '.join(key.columns)} is its key no more",
                (f"ALTER TABLE {quoted(table.name)} DROP CONSTRAINT {quoted(key.name)}",),
            )
            there.constraints.remove(key)
    for columns in lacking:
        listed = ", ".join(map(quoted, columns))
        is_primary = columns == wants_primary and not [key for key in primary if key in there.constraints]
        misfits = None
        if set(columns) <= there.columns.keys():
            why = f"{', '.join(columns)} is to be a key, and another row has the same"
            misfits = counted(catalog, there, _repeated(table.name, columns), why, columns[0], showing)
        rows = catalog.rows(table.name)
        yield Step(
            Kind.ADD_KEY,
            table.name,
            f"{table.name}: the configuration has {', '.join(columns)} as a key, by which rows are told apart or "
            "referred to, and the table has not",
            (f"ALTER TABLE {quoted(table.name)} ADD {'PRIMARY KEY' if is_primary else 'UNIQUE'} ({listed})",),
            _cost(rows, misfits is not None and misfits.count > 0),
            rows,
            misfits=misfits,
        )


def _foreign(catalog: Catalog, table: sa.Table, there: TableThere, showing: Sequence[str]) -> Iterator[Step | str]:
    known = (table.metadata.tables if table.metadata else {}).keys()
    found = {_as_found(key): key for key in there.of_kind("f")}
    wanted = {_as_wanted(key): key for key in table.foreign_key_constraints}
    for shape, key in sorted(found.items(), key=lambda pair: pair[1].name):
        if shape in wanted:
            name = wanted[shape].name
            if name is not None and name != key.name:
                yield Step(
                    Kind.RENAME_COLUMN,
                    table.name,
                    f"{table.name}: the foreign key {key.name} gets its name of today",
                    (f"{_alter(table)} RENAME CONSTRAINT {quoted(key.name)} TO {quoted(str(name))}",),
                )
            if not key.valid:
                yield _validation(catalog, table.name, key.name)
        elif key.parent in known:
            yield Step(
                Kind.DROP_FOREIGN_KEY,
                table.name,
                f"{table.name}.{', '.join(key.columns)}: the table refers to {key.parent}, the configuration "
                "does not",
                (f"ALTER TABLE {quoted(table.name)} DROP CONSTRAINT {quoted(key.name)}",),
            )
        elif set(key.columns) <= {column.name for column in table.columns}:
            yield (
                f"{table.name}.{', '.join(key.columns)}: the table refers to {key.parent}, of which the "
                "configuration knows nothing, so that loads can't keep to it; drop the foreign key there"
            )
    for shape, constraint in sorted(wanted.items()):
        if shape not in found:
            yield from reference(catalog, table, constraint, showing)


def reference(
    catalog: Catalog, table: sa.Table, key: sa.ForeignKeyConstraint, showing: Sequence[str]
) -> Iterator[Step]:
    """A new foreign key: on a table with rows it is first held to by new ones, then proved for the others."""
    there = catalog.tables[table.name]
    columns, parent, _ = _as_wanted(key)
    statement = str(sa.schema.AddConstraint(key).compile(dialect=DIALECT)).strip()
    sentence = (
        f"{table.name}.{', '.join(columns)}: the table refers to nothing there, the configuration to {parent}"
    )
    has_values = catalog.has_rows(table.name) and all(name in there.columns for name in columns)
    has_values = has_values and not set(columns) <= there.new
    if not has_values:
        yield Step(Kind.FOREIGN_KEY, table.name, sentence, (statement,), lock="SHARE ROW EXCLUSIVE")
        return
    why = f"{', '.join(columns)} refers to {parent}, which has no such row"
    condition = _without_parent(table.name, _as_wanted(key), is_there=parent in catalog.tables)
    misfits = counted(catalog, there, condition, why, columns[0], showing)
    is_split = not table.dialect_options["postgresql"].get("partition_by")
    name = str(key.name or f"{table.name}_{columns[0]}_fkey"[:63])
    if is_split and key.name is None:
        statement = statement.replace(" ADD FOREIGN KEY", f" ADD CONSTRAINT {quoted(name)} FOREIGN KEY", 1)
    rows = catalog.rows(table.name)
    yield Step(
        Kind.FOREIGN_KEY,
        table.name,
        sentence,
        (f"{statement} NOT VALID" if is_split else statement,),
        _cost(rows, misfits.count > 0),
        rows,
        lock="SHARE ROW EXCLUSIVE",
        misfits=misfits,
    )
    if is_split:
        yield _validation(catalog, table.name, name)


def _repeated(table: str, columns: Sequence[str]) -> Callable[[Naming], str]:
    def condition(names: Naming) -> str:
        listed = ", ".join(names.column(table, name) for name in columns)
        return f"({listed}) IN (SELECT {listed} FROM {names.table(table)} GROUP BY {listed} HAVING count(*) > 1)"

    return condition


def _without_parent(table: str, shape: _Shape, *, is_there: bool) -> Callable[[Naming], str]:
    columns, parent, parent_columns = shape

    def condition(names: Naming) -> str:
        own = [f"t.{names.column(table, name)}" for name in columns]
        filled = " AND ".join(f"{name} IS NOT NULL" for name in own)
        if not is_there:
            return filled
        its = [f"p.{names.column(parent, name)}" for name in parent_columns]
        same = " AND ".join(f"{a}::text = {b}::text" for a, b in zip(own, its, strict=True))
        return f"{filled} AND NOT EXISTS (SELECT FROM {names.table(parent)} AS p WHERE {same})"

    return condition


def _validation(catalog: Catalog, table: str, name: str) -> Step:
    return Step(
        Kind.VALIDATE,
        table,
        f"{table}: the rows that are there are held to {name} too",
        (f"ALTER TABLE {quoted(table)} VALIDATE CONSTRAINT {quoted(name)}",),
        Cost.SLOW,
        catalog.rows(table),
        lock="SHARE UPDATE EXCLUSIVE",
        beside=True,
    )


def index_steps(catalog: Catalog, table: sa.Table) -> Iterator[Step]:
    """Indexes that the table lacks, those that were left half made, and those that the YAML had before."""
    there = catalog.tables[table.name]
    has = {(index.method, index.columns, index.partial) for index in there.indexes if index.valid}
    indexes: list[sa.Index] = sorted(table.indexes, key=lambda one: str(one.name))
    wanted = {_shape(index): index for index in indexes}
    names = {str(index.name) for index in table.indexes}
    columns = "|".join(re.escape(name) for name in sorted({*there.columns}))
    former = re.compile(rf"{re.escape(table.name)}_({columns})_(btree|gin|brin)(_[0-9a-f]{{8}})?")
    for index in there.indexes:
        is_wanted = (index.method, index.columns, index.partial) in wanted
        if not index.valid and index.name in names:
            yield _dropping(table.name, index.name, "was left half made, and is made anew")
        elif not is_wanted and not index.unique and former.fullmatch(index.name) and index.name not in names:
            yield _dropping(table.name, index.name, "is in the configuration no more")
    yield from (_making(catalog, table, one) for shape, one in wanted.items() if shape not in has)


def _making(catalog: Catalog, table: sa.Table, index: sa.Index) -> Step:
    statement = str(sa.schema.CreateIndex(index).compile(dialect=DIALECT)).strip()
    has_rows = catalog.has_rows(table.name)
    is_partitioned = bool(table.dialect_options["postgresql"].get("partition_by"))
    beside = has_rows and not is_partitioned
    if beside:
        statement = re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX CONCURRENTLY ", statement)
    columns = ", ".join(column.name for column in index.columns)
    return Step(
        Kind.INDEX,
        table.name,
        f"{table.name}: an index on {columns}",
        (statement,),
        Cost.SLOW if has_rows and is_partitioned else Cost.SAFE,
        catalog.rows(table.name) if has_rows else 0,
        lock="SHARE UPDATE EXCLUSIVE" if beside else "SHARE",
        beside=beside,
    )


def _dropping(table: str, name: str, why: str) -> Step:
    return Step(Kind.DROP_INDEX, table, f"{table}: the index {name} {why}", (f"DROP INDEX {quoted(name)}",))


def exclusion_steps(table: sa.Table, there: TableThere, changed: set[str], key: set[str]) -> Iterator[Step]:
    """That of versions is written for the types of the key: it is made anew where one of them changes."""
    wanted = [one for one in table.constraints if isinstance(one, ExcludeConstraint)]
    if not wanted or not changed & key:
        return
    for constraint in there.of_kind("x"):
        yield Step(
            Kind.DROP_KEY,
            table.name,
            f"{table.name}: {constraint.name} is made anew for the new type",
            (f"ALTER TABLE {quoted(table.name)} DROP CONSTRAINT {quoted(constraint.name)}",),
        )
    for one in wanted:
        statement = str(sa.schema.AddConstraint(one).compile(dialect=DIALECT)).strip()
        yield Step(
            Kind.ADD_KEY,
            table.name,
            f"{table.name}: no two versions overlap, by the new type",
            (statement,),
            Cost.SLOW,
        )


def _alter(table: sa.Table) -> str:
    return f"ALTER TABLE {quoted(table.name)}"


def _cost(rows: int, has_misfits: bool) -> Cost:
    if has_misfits:
        return Cost.LOSING
    return Cost.SLOW if rows else Cost.SAFE


def _names(columns: object) -> list[str]:
    return [column.name for column in columns]  # type: ignore[attr-defined]


def _shape(index: sa.Index) -> tuple[str, tuple[str, ...], bool]:
    options = index.dialect_options["postgresql"]
    names = tuple(column.name for column in index.columns)
    return str(options.get("using") or "btree"), names, options.get("where") is not None


def _as_found(key: Constraint) -> _Shape:
    pairs = sorted(zip(key.columns, key.parent_columns, strict=True))
    return tuple(a for a, _ in pairs), key.parent or "", tuple(b for _, b in pairs)


def _as_wanted(key: sa.ForeignKeyConstraint) -> _Shape:
    pairs = sorted((element.parent.name, element.column.name) for element in key.elements)
    return tuple(a for a, _ in pairs), key.referred_table.name, tuple(b for _, b in pairs)
