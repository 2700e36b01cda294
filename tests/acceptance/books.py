"""What the pipeline says of its input against what the oracle says: every difference, in words."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from tests.acceptance.daemon import Product
from tests.acceptance.histories import history_differences
from tests.acceptance.oracle import FileBook, Oracle, Row, place_of
from tests.acceptance.oracle_rules import Spec, stored_value

Log = dict[str, Any]
COUNTS = {
    "total_records": "total",
    "inserted_records": "inserted",
    "updated_records": "updated",
    "already_present": "already_present",
    "quarantined": "quarantined",
    "duplicate_count": "duplicates",
    "orphan_count": "orphans",
    "resolved_orphans": "resolved_orphans",
}
SYSTEM_FOLDERS = {"@eaDir", "#recycle"}


def input_files(product: Product) -> Iterator[tuple[Path, str]]:
    """The regular files in the input folders that are meant to be read, with their feed."""
    for feed, folder in (("master", "master"), ("batch", "input/batch"), ("stream", "input/stream")):
        root = product.home / "data" / folder
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink() and not is_left_alone(path, root):
                yield path, feed


def is_left_alone(path: Path, root: Path) -> bool:
    """Is it hidden, or a copy that a storage system keeps for itself?"""
    parts = path.relative_to(root).parts
    return any(part.startswith(".") or part in SYSTEM_FOLDERS for part in parts)


def located(product: Product, file_path: str) -> Path:
    """Where a logged file is now; a product may have been copied since."""
    path = product.home / file_path
    if path.is_relative_to(product.home):
        return path
    parts = path.parts
    return product.home.joinpath(*parts[len(parts) - parts[::-1].index("data") - 1 :])


class Audit:
    """The oracle's replay of the files in pipeline_file_log, in their order, beside what the warehouse holds.

    `in_order=False` for files that were loaded side by side, or again after a fault: which rows had to wait for a
    parent, and which of two files brought a key, and which a newer row, is then the order's business; but in the
    end all the same rows are loaded.
    """

    def __init__(self, product: Product, *, in_order: bool = True) -> None:
        self.product = product
        self.in_order = in_order
        self.oracle = Oracle(product.config)
        self.differences: list[str] = []
        self.lost = self.doubled = self.unbalanced = 0  # rows, rows, files
        self.books = [self._replay(log) for log in product.file_log()]
        self.oracle.heal()

    def _replay(self, log: Log) -> tuple[Log, FileBook]:
        path = located(self.product, log["file_path"])
        feed = "master" if "master" in path.relative_to(self.product.home / "data").parts else log["file_type"]
        if is_left_alone(path, self.product.home / "data"):
            self.differences.append(f"{path}: loaded, and is to be left alone")
            self.unbalanced += 1
        spec = self.oracle.spec_for(path, feed)
        assert spec is not None, f"{path} is no expected file"
        if (spec.name, spec.table) != (log["logical_name"], log["source_table"]):
            self.differences.append(f"{path.name}: logged as {log['logical_name']} of {log['source_table']}")
        kept = self.product.kept(path, log["file_hash"])
        content = kept if kept.exists() else path
        assert content.exists(), f"{path} is gone, and the test kept no copy with the logged hash"
        data = content.read_bytes()
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != log["file_hash"]:
            self.differences.append(f"{path}: no version of it ever had the logged hash")
        if len(data) != log["file_size"]:
            self.differences.append(f"{path}: {len(data)} bytes, logged as {log['file_size']}")
        book = self.oracle.load(path, spec, log["file_id"], content)
        self.oracle.heal()
        assert book is not None, f"{path}: the same content has two rows in the file log"
        return log, book

    def run(self) -> list[str]:
        """All differences in files, tables, quarantine, CSV backup and tracker."""
        for log, book in self.books:
            self._compare_file(log, book)
        self._compare_tables()
        self._compare_quarantine()
        self._compare_orphans()
        self._compare_folders()
        self.differences += history_differences(self.product, self.oracle)
        self.differences += csv_differences(self.product)
        self.differences += tracker_differences(self.product)
        return self.differences

    def _note(self, what: str, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            self.differences.append(f"{what}: expected {ours!r}, found {theirs!r}")

    def _compare_file(self, log: Log, book: FileBook) -> None:
        where = f"file {log['file_id']} {log['file_path']}"
        self._note(f"{where} status", "failed" if book.error else "success", log["status"])
        if book.error is not None:
            self._note(f"{where} has an error text", True, bool(log["error"]))
            self._note(f"{where} loaded", 0, log["valid_records"])
            return
        before = len(self.differences)
        by_order = set() if self.in_order else {"orphan_count", "resolved_orphans"}
        if not self.in_order and book.spec.replaces:
            by_order |= {"inserted_records", "updated_records", "already_present"}
            self._note(f"{where} accepted", book.total - book.quarantined, log["valid_records"])
        for column, attribute in COUNTS.items():
            if column not in by_order:
                self._note(f"{where} {column}", getattr(book, attribute), log[column])
        if log["total_records"] != log["valid_records"] + log["quarantined"]:
            self.differences.append(f"{where}: total is not valid + quarantined")
        accepted = log["inserted_records"] + log["already_present"] + log["updated_records"]
        if log["valid_records"] != accepted:
            self.differences.append(f"{where}: valid is not inserted + already present + updated")
        self.unbalanced += len(self.differences) > before

    def _compare_tables(self) -> None:
        for table in self.oracle.loaded:
            spec = next(spec for spec in self.oracle.specs if spec.table == table)
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
            found = [stored_key(spec, row) for row in _rows(self.product, query)]
            keys = self.oracle.keys(table)
            self._note(f"{table} rows", len(keys), len(found))
            self.lost += len(keys - set(found))
            self.doubled += len(found) - len(keys & set(found))
            self._note(f"{table} keys lost", [], sorted(keys - set(found))[:5])
            self._note(f"{table} keys too many", [], sorted(set(found) - keys)[:5])
            inserted = sum(log["inserted_records"] for log, _ in self.books if log["source_table"] == table)
            self._note(f"{table} rows against the file log's inserted_records", inserted, len(found))

    def _compare_quarantine(self) -> None:
        found = {
            (row["file_id"], row["row_number"]): row
            for row in self.product.rows("SELECT * FROM quarantine ORDER BY quarantine_id")
        }
        expected = {(log["file_id"], row.number): (book, row) for log, book in self.books for row in book.rejected}
        if not self.in_order:
            healed = {key for key, row in found.items() if row["resolution"] in {"loaded", "already_present"}}
            healed |= {
                key for key, (_, row) in expected.items() if row.stage == "orphan" and row.fate != "quarantined"
            }
            found = {key: row for key, row in found.items() if key not in healed}
            expected = {key: pair for key, pair in expected.items() if key not in healed}
        lost = sorted(expected.keys() - found.keys())
        self.lost += len(lost)
        self._note(
            "quarantine rows lost (file, row, stage)", [], [(*key, expected[key][1].stage) for key in lost][:9]
        )
        extra = sorted(found.keys() - expected.keys())
        self.doubled += len(extra)
        self._note("quarantine rows too many", [], [(*key, found[key]["rejection_reason"]) for key in extra][:9])
        for key in sorted(expected.keys() & found.keys()):
            book, row = expected[key]
            self._compare_rejection(f"{book.path.name} {key}", book, row, found[key])

    def _compare_rejection(self, where: str, book: FileBook, row: Row, found: dict[str, Any]) -> None:
        self._note(f"{where} stage", row.stage, found["rejection_stage"])
        self._note(f"{where} table", book.spec.table, found["source_table"])
        self._note(f"{where} file", book.path.name, Path(found["source_file"]).name)
        ours = {reason.column for reason in row.reasons}
        columns = {reason["column"] or None for reason in found["reasons"]}
        if ours != {None} and row.reasons[0].rule != "unexpected column":
            self._note(f"{where} columns at fault", sorted(map(str, ours)), sorted(map(str, columns)))
        if found["resolution"] != "true_orphan":
            # Twins that heal in one go are called duplicates; they are as present as other known keys.
            theirs = "already_present" if found["resolution"] == "duplicate" else found["resolution"]
            self._note(f"{where} resolution", None if row.fate == "quarantined" else row.fate, theirs)
        self._note(
            f"{where} resolved_at is set", found["resolution"] is not None, found["resolved_at"] is not None
        )

    def _compare_folders(self) -> None:
        """Every expected file in the folders is in the file log, once, under whatever name.

        Where the later file is newer, the same content of another hour is another file.
        """
        logged = [
            (log["logical_name"], log["file_hash"], book.place[0] if book.spec.goes_by_file else None)
            for log, book in self.books
        ]
        for path, feed in input_files(self.product):
            spec = self.oracle.spec_for(path, feed)
            if spec is None:
                continue
            time, *_, md5 = place_of(path, path)
            if (count := logged.count((spec.name, md5, time if spec.goes_by_file else None))) != 1:
                self.differences.append(f"{path}: {count} rows in the file log")
                self.unbalanced += 1

    def _compare_orphans(self) -> None:
        counts = self.product.rows(
            "SELECT count(*) AS seen, count(*) FILTER (WHERE resolution IS NULL) AS open,"
            " count(*) FILTER (WHERE resolution = 'true_orphan') AS given_up,"
            " count(*) FILTER (WHERE resolution <> 'true_orphan') AS resolved,"
            " (SELECT count(*) FROM true_orphan) AS true_orphans,"
            " (SELECT coalesce(sum(orphan_count), 0) FROM pipeline_file_log) AS logged"
            " FROM quarantine WHERE rejection_stage = 'orphan'"
        )[0]
        self._note("orphans logged", counts["seen"], int(counts["logged"]))
        self._note("orphans seen", counts["seen"], counts["open"] + counts["resolved"] + counts["given_up"])
        self._note("true orphans", counts["given_up"], counts["true_orphans"])


def value_differences(audit: Audit, hash_key: str | None = None) -> list[str]:
    """Where a loaded row's stored values are not what its file says."""
    differences = []
    for table in audit.oracle.loaded:
        spec = next(spec for spec in audit.oracle.specs if spec.table == table)
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
        stored = {stored_key(spec, row): row for row in _rows(audit.product, query)}
        for key, (book, row) in audit.oracle.loaded[table].items():
            found = stored[key]
            if found["_file_id"] != book.number:
                differences.append(f"{table} {book.path.name} row {row.number}: another file's _file_id")
            for column in spec.columns:
                value = stored_value(column, row.values[column.name], hash_key)
                if found[column.target] != value:
                    kind = "a hash" if column.pii else f"{found[column.target]!r}"
                    differences.append(f"{table} {book.path.name} row {row.number} {column.name}: {kind}")
    return differences


def stored_key(spec: Spec, row: dict[str, Any]) -> tuple[Any, ...]:
    """The key of a row of a table; its file and number where rows have none."""
    return tuple(row[spec.stored(name)] for name in spec.key) or (row["_file_id"], row["_row"])


def csv_differences(product: Product) -> list[str]:
    """Where the CSV backup is not the quarantine table: rows lost, doubled or different, or in the wrong file."""
    expected: dict[str, tuple[Any, ...]] = {}
    for row in product.rows("SELECT * FROM quarantine"):
        name = f"{row['file_type']}/quarantined_{row['quarantined_at']:%Y-%m-%d}.csv"
        plain = tuple(str(row[column]) for column in ("file_id", "row_number", "source_table", "rejection_stage"))
        expected[str(row["quarantine_id"])] = (name, *plain, row["reasons"], row["raw_data"])
    differences, seen = [], set()
    folder = product.home / "data/quarantine"
    csv.field_size_limit(2**31 - 1)
    for path in sorted(folder.rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                key = line["quarantine_id"]
                if key in seen:
                    differences.append(f"CSV: quarantine_id {key} twice")
                seen.add(key)
                plain = tuple(
                    line[column] for column in ("file_id", "row_number", "source_table", "rejection_stage")
                )
                found = (
                    path.relative_to(folder).as_posix(),
                    *plain,
                    json.loads(line["reasons"]),
                    json.loads(line["raw_data"]),
                )
                if expected.get(key) != found:
                    differences.append(f"CSV: quarantine_id {key} is not as in the table")
    if lost := expected.keys() - seen:
        differences.append(f"CSV: {len(lost)} rows of the table are not in it")
    return differences


def tracker_differences(product: Product) -> list[str]:
    """Files that SQLite calls done and PostgreSQL doesn't know, by their hashes. No tracker, no differences."""
    path = product.home / "data/tracker/pipeline_tracker.db"
    if not path.exists():
        return []
    known = {log["file_hash"] for log in product.file_log()}
    differences = []
    with closing(sqlite3.connect(path, timeout=10)) as tracker:
        tables = [name for (name,) in tracker.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in tracker.execute(f"PRAGMA table_info('{table}')")]
            hash_columns = [column for column in columns if "md5" in column or "hash" in column]
            if "path" not in columns or not hash_columns:
                continue
            for md5, file in tracker.execute(f"SELECT {hash_columns[0]}, path FROM {table}"):
                if md5 and md5 not in known:
                    differences.append(f"tracker: {file} is not in the file log")
    return differences


def _rows(product: Product, query: sql.Composable) -> list[dict[str, Any]]:
    connection = product.connect()
    try:
        return product.rows(query.as_string(connection))
    except psycopg2.errors.UndefinedTable as error:
        raise AssertionError("a table of the YAML was not created") from error
    finally:
        connection.close()


def assert_books_balance(product: Product, *, in_order: bool = True) -> Audit:
    """Fail with every difference between the warehouse and the oracle's replay of the same files."""
    audit = Audit(product, in_order=in_order)
    differences = audit.run()
    assert not differences, "\n".join(differences[:40])
    return audit


def snapshot(product: Product) -> dict[str, Any]:
    """All that a second run over the same input may not change."""
    tables = [*{spec.table: None for spec in Oracle(product.config).specs}, "quarantine", "true_orphan"]
    counted = {table: product.value(f"SELECT count(*) FROM {table}") for table in tables}
    files = {
        path.relative_to(product.home).as_posix(): path.read_bytes()
        for path in sorted((product.home / "data/quarantine").rglob("*.csv"))
    }
    newest = {table: product.value(f"SELECT max(_loaded_at) FROM {table}") for table in tables[:-2]}
    return {"counts": counted, "log": product.file_log(), "files": files, "newest": newest}
