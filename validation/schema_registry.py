"""Config → Schema, by logical file name."""

from __future__ import annotations

from config.config_loader import get_config
from config.schema import Schema
from config.settings import PipelineConfig


class SchemaRegistry:
    """Looks up the schema of a kind of file."""

    def __init__(self, config: PipelineConfig) -> None:
        self._schemas = {spec.name: spec.schema for spec in config.files}

    def get_schema(self, name: str) -> Schema | None:
        """The schema of logical file `name`, or None."""
        return self._schemas.get(name)


def schema_registry(config: PipelineConfig | None = None) -> SchemaRegistry:
    """A registry over `config`, by default the one that get_config() reads."""
    return SchemaRegistry(config or get_config())
