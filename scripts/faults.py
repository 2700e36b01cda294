"""Plants bad rows in good columns, and keeps for every row the verdict that it should get."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.bad_values import faults_of

Columns = dict[str, npt.NDArray[Any]]
Mask = npt.NDArray[np.bool_]

GOOD = ""
DUPLICATE = "records/duplicate"
SHARE_OF_COPIES = 0.25  # of the bad rows, this many share their key with a good one


@dataclass(frozen=True)
class Sheet:
    """The rows of one file: its columns, and for each row its verdict.

    A verdict is '' for a row that loads, or `stage/rule`. `heals` marks orphans that load once the customers
    and drivers arrive whose ids follow the highest ones.
    """

    columns: Columns
    verdicts: npt.NDArray[np.object_]
    heals: Mask

    def expected(self) -> dict[str, Any]:
        """The file's entry of the manifest: rows in all, loaded, rejected by stage and by reason."""
        reasons = Counter(self.verdicts.tolist())
        loaded = reasons.pop(GOOD, 0)
        rejected = dict.fromkeys(("schema", "records", "orphan"), 0)
        for verdict, count in reasons.items():
            rejected[verdict.partition("/")[0]] += count
        return {
            "total": len(self.verdicts),
            "loaded": loaded,
            "rejected": rejected,
            "reasons": dict(sorted(reasons.items())),
            "healed_later": int(self.heals.sum()),
        }


def with_good(sheet: Sheet, more: Columns) -> Sheet:
    """The sheet, and good rows behind its own."""
    rows = len(next(iter(more.values())))
    return Sheet(
        {name: np.concatenate([values, more[name]]) for name, values in sheet.columns.items()},
        np.concatenate([sheet.verdicts, verdicts_of(rows)]),
        np.concatenate([sheet.heals, np.zeros(rows, dtype=bool)]),
    )


def verdicts_of(rows: int) -> npt.NDArray[np.object_]:
    """`rows` good verdicts."""
    return np.full(rows, GOOD, dtype=object)


def quota(rows: int, share: float) -> tuple[int, int]:
    """Of `rows` rows, how many get bad cells, and how many are second rows of one key."""
    return math.ceil((1 - SHARE_OF_COPIES) * share * rows), round(SHARE_OF_COPIES * share * rows)


def spoil(
    table: str,
    columns: Columns,
    counts: tuple[int, int],
    rng: np.random.Generator,
    *,
    verdicts: npt.NDArray[np.object_] | None = None,
    heals: Mask | None = None,
    corruptible: Mask | None = None,
) -> tuple[Sheet, Mask]:
    """Corrupt `counts[0]` of the `corruptible` good rows, add `counts[1]` rows that repeat a good row's key.

    Rows that `verdicts` already calls bad stay as they are. Returns the sheet, and which of the given rows
    load (a mask as long as `columns`, whereas the sheet is longer by the rows added).
    """
    key = next(iter(columns))
    rows = len(columns[key])
    verdicts = verdicts_of(rows) if verdicts is None else verdicts.copy()
    heals = np.zeros(rows, dtype=bool) if heals is None else heals
    columns = dict(columns)
    cells, copies = counts
    good = verdicts == GOOD
    candidates = good if corruptible is None else good & corruptible
    _corrupt(table, columns, verdicts, rng.permutation(np.flatnonzero(candidates))[:cells], rng)
    loads = verdicts == GOOD
    sources = rng.permutation(np.flatnonzero(loads))[:copies]
    sheet = Sheet(columns, verdicts, heals)
    return (_with_copies(table, key, sheet, sources, rng) if len(sources) else sheet), loads


def _corrupt(
    table: str,
    columns: Columns,
    verdicts: npt.NDArray[np.object_],
    rows: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Give the rows their faults in turn, so that every kind gets its share."""
    faults = faults_of(table)
    fresh: set[str] = set()  # columns of ours, which may be written to
    for turn, index in enumerate(rng.permutation(len(faults))[: len(rows)]):
        fault, chosen = faults[index], rows[turn :: len(faults)]
        verdicts[chosen] = fault.verdict
        for column, value in fault.cells.items():
            if column not in fresh:
                columns[column] = columns[column].astype(object)
                fresh.add(column)
            columns[column][chosen] = value


def _with_copies(
    table: str, key: str, sheet: Sheet, sources: npt.NDArray[np.int64], rng: np.random.Generator
) -> Sheet:
    """Add a row for each source: the same again, its key with another row's values, or a bad one before it."""
    rows = len(sheet.verdicts)
    exact, other, bad_first = (np.arange(len(sources)) % 3 == kind for kind in range(3))
    donors = np.where(other, np.roll(sources, 1), sources)
    copies = {name: values[donors] for name, values in sheet.columns.items()}
    for name in {key, "updated_at"} & copies.keys():  # of another time it would be another version
        copies[name] = sheet.columns[name][sources]
    verdicts = np.full(len(sources), DUPLICATE, dtype=object)
    _corrupt(table, copies, verdicts, np.flatnonzero(bad_first), rng)

    chance = rng.random(len(sources))
    behind, before = sources + chance * (rows - sources), chance * (sources + 1) - 1
    places = np.where(exact | other, behind, before)
    order = np.argsort(np.concatenate([np.arange(rows), places]), kind="stable")
    return Sheet(
        {name: np.concatenate([values, copies[name]])[order] for name, values in sheet.columns.items()},
        np.concatenate([sheet.verdicts, verdicts])[order],
        np.concatenate([sheet.heals, np.zeros(len(sources), dtype=bool)])[order],
    )
