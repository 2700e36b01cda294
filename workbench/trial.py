"""A proposed type put to the proof: its file is read by the pipeline's own rules, and nothing is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.errors import ConfigError, FileChanged, FileRejected
from config.file_spec import FileSpec
from config.file_specs import build_file_specs
from config.model import Feed
from config.settings import ConfigFile, PipelineConfig
from ingestion.file_reader import read_chunks
from ingestion.places.registry import opened
from validation.orphan_validator import Keys, KnownParents
from validation.validation_runner import settle, validate
from workbench.seen_keys import SeenKeys


@dataclass
class Trial:
    """What came of it: rows, refused ones, and how many each reason (rule, column) is held against."""

    rows: int = 0
    refused: int = 0
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    error: str | None = None


def spec_of(
    config: PipelineConfig, feed: Feed, pattern: str, name: str, entry: Mapping[str, Any], schema: Any
) -> FileSpec:
    """The proposed type as the pipeline would know it, without its foreign keys. Raises ConfigError."""
    alone = {key: value for key, value in entry.items() if key != "foreign_keys"}
    reader = {**config.reader.model_dump(), "file_type_map": {pattern: name}}
    raw = {
        "watcher": {feed.value: {"expected_files": {pattern: alone}}},
        "schemas": {name: schema},
        "reader": reader,
    }
    specs, problems = build_file_specs(ConfigFile.model_validate(raw))
    if problems:
        raise ConfigError("; ".join(problems))
    return specs[0]


def tried(config: PipelineConfig, path: Path, spec: FileSpec, most: int) -> Trial:
    """Judge the first `most` rows of the file by `spec`."""
    trial = Trial()
    seen = SeenKeys(spec)
    parents = KnownParents(_every_parent)
    try:
        with opened(path) as file:
            for chunk in read_chunks(file, path.name, spec.schema, 25_000, spec.read, path):
                batch = validate(chunk, spec, config.validation.dates)
                settle(batch, parents)
                seen.reject(batch)
                trial.rows += len(chunk.numbers) + len(chunk.malformed)
                for rejection in batch.rejections():
                    if rejection.number <= most:
                        trial.refused += 1
                        trial.reasons.update({(reason.rule, reason.column) for reason in rejection.reasons})
                if trial.rows >= most:
                    break
    except (FileRejected, FileChanged) as problem:
        trial.error = str(problem)
    return trial


def _every_parent(keys: Keys) -> Keys:
    return keys
