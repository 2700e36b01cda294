"""Rules that hold a row against the earlier rows of its file, and what they remember of these."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa

from config.schema import Column, Schema
from config.severity import RuleUse
from validation.batch import Batch
from validation.conversions import as_mask
from validation.findings import Finding
from validation.operations import loads
from validation.rules import RULES, applies
from validation.rules.registry import Memory


def looks_at_earlier_rows(schema: Schema) -> bool:
    """Has it rules that need the rows of a file in their order?"""
    return any(RULES[rule].of_file for column in schema.columns for rule in column.uses)


class EarlierRows:
    """What the rules of a file's columns remember, from one of its chunks to the next."""

    def __init__(self) -> None:
        self._memories: defaultdict[tuple[str, str], Memory] = defaultdict(dict)

    def judge(self, batch: Batch) -> None:
        """Hold against the good rows of the next chunk of the file what its earlier rows have."""
        for column in batch.spec.schema.columns:
            for name, use in column.uses.items():
                if RULES[name].of_file:
                    self._judge(batch, column, name, use)

    def _judge(self, batch: Batch, column: Column, name: str, use: RuleUse) -> None:
        values = batch.values[column.name]
        judged = batch.good & as_mask(values.is_valid()) & loads(batch)
        if use.when is not None:
            judged &= as_mask(applies(use.when, batch))
        rows = np.flatnonzero(judged)
        rows = rows[np.argsort(batch.chunk.numbers[rows], kind="stable")]  # it may be in the order of keys
        memory = self._memories[column.name, name]
        found = as_mask(RULES[name].broken(values.take(pa.array(rows)), use.parameter, memory))
        if found.any():
            broken = np.zeros(len(judged), dtype=bool)
            broken[rows[found]] = True
            batch.note(Finding.of_rule(batch.spec.schema, column, name, broken))
