"""The version of the code, as pyproject.toml has it."""

VERSION = "0.2.0.dev0"
