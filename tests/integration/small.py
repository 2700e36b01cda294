"""A configuration of a few columns, as the YAML says it, and files of it loaded into a test's own database."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from config.config_loader import get_config
from config.jobs import FileJob, FileOutcome
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from ingestion.group_load import GroupLoad
from validation.pii_handler import PiiHandler

PII = PiiHandler("k" * 16)
_numbers = itertools.count(1)


def settings_of(types: Mapping[str, Mapping[str, Any]], **sections: Any) -> dict[str, Any]:
    """The YAML of file types by name: `key`, `columns` (name → dtype or more), and keys of an expected file."""
    expected: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for name, given in types.items():
        entry = dict(given)
        columns = [
            {"name": column, **(how if isinstance(how, dict) else {"dtype": how})}
            for column, how in entry.pop("columns").items()
        ]
        checks = entry.pop("checks", {})
        key = entry.pop("key")
        for column in columns:
            if column["name"] == key or (isinstance(key, list) and column["name"] in key):
                column.setdefault("nullable", False)
        schemas[name] = {"primary_key": key, "columns": columns, "checks": checks}
        pattern = name + entry.pop("extension", ".csv")
        expected[pattern] = {"table": f"dim_{name}", **entry}
    return {"watcher": {"batch": {"expected_files": expected}, "stream": {}}, "schemas": schemas, **sections}


class Small:
    """Loads files of the types in `types`, whose tables are made at once."""

    def __init__(
        self, warehouse: Warehouse, home: Path, types: Mapping[str, Mapping[str, Any]], **sections: Any
    ) -> None:
        self.warehouse = warehouse
        self.home = home
        self.config = self.read(types, **sections)
        init_schema(warehouse, self.config)

    def read(self, types: Mapping[str, Mapping[str, Any]], **sections: Any) -> PipelineConfig:
        path = self.home / f"config{next(_numbers)}.yaml"
        path.write_text(yaml.safe_dump(settings_of(types, **sections)))
        return get_config(path)

    def job(self, name: str, rows: Sequence[Sequence[Any]] | str, folder: str = "") -> FileJob:
        """A file of type `name`: CSV lines, or rows in the order of its columns. `folder`: as in 2026-02-20/10."""
        spec = self.config.by_logical_name[name]
        path = self.home / str(next(_numbers)) / folder / spec.pattern
        path.parent.mkdir(parents=True)
        names = [column.name for column in spec.schema.columns]
        if not isinstance(rows, str) and path.suffix == ".json":
            rows = json.dumps([dict(zip(names, row, strict=True)) for row in rows])
        elif not isinstance(rows, str):
            rows = "".join(",".join(map(_cell, line)) + "\n" for line in [names, *rows])
        path.write_text(rows, encoding="utf-8")
        return FileJob(path, spec, 0, 0)

    def load(
        self, name: str, rows: Sequence[Sequence[Any]] | str, chunk_rows: int = 10_000, folder: str = ""
    ) -> FileOutcome:
        return self.loader(chunk_rows).run(self.job(name, rows, folder))

    def loader(self, chunk_rows: int = 10_000, **options: Any) -> FileLoad:
        reader = self.config.reader.model_copy(update={"chunk_rows": chunk_rows})
        return FileLoad(self.warehouse, self.config.model_copy(update={"reader": reader}), PII, **options)

    def load_together(self, name: str, files: Sequence[Sequence[Sequence[Any]]]) -> list[FileOutcome]:
        jobs = [self.job(name, rows) for rows in files]
        together = GroupLoad(self.warehouse, self.config, PII).run(jobs).loaded
        assert len(together) == len(jobs)
        return together

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)
            return tx.fetchall() if tx.description else []


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return '"{}"'.format(text.replace('"', '""')) if text and not text.isalnum() else text
