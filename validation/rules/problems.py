"""What is wrong with the rules that the configuration names."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import Column, Schema
from config.settings import PipelineConfig
from validation.rules.conditions import condition_problems
from validation.rules.registry import parameter_problems


def problems(config: PipelineConfig) -> Iterator[str]:
    """What is wrong with the rules named in the configuration, each with its key's path."""
    for spec in {spec.name: spec for spec in config.files}.values():
        for column in spec.schema.columns:
            where = f"schemas.{spec.name}.columns.{column.name}.rules"
            yield from (f"{where}.{problem}" for problem in _column_problems(column, spec.schema))


def _column_problems(column: Column, schema: Schema) -> Iterator[str]:
    for name, use in column.uses.items():
        yield from (f"{name}: {problem}" for problem in parameter_problems(column, name, use.parameter, schema))
        if use.when is not None:
            yield from (f"{name}.when{problem}" for problem in condition_problems(use.when, schema))
