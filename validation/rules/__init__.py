"""The record rules, by group; each module registers its own."""

from validation.rules import across_rows, comparison, formats, presence, text, times
from validation.rules.conditions import applies, columns_beside
from validation.rules.problems import problems
from validation.rules.registry import RULES

__all__ = [
    "RULES",
    "across_rows",
    "applies",
    "columns_beside",
    "comparison",
    "formats",
    "presence",
    "problems",
    "text",
    "times",
]
