"""Rows of one table that are each other's parents: which of them would be without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Links:
    """One foreign key of a table to itself: by row, numbers that stand for its own key and for its parent's.

    `asks` (boolean, one a row): the parent is not in the table, so that only a row beside it can be it.
    """

    own: np.ndarray
    parent: np.ndarray
    asks: np.ndarray

    @classmethod
    def of(cls, parents: pa.Array, own: pa.Array, asks: np.ndarray) -> Links:
        """The links of rows with the keys `own` that name `parents`."""
        every = pa.concat_arrays([own, parents.cast(own.type)])
        codes = pc.dictionary_encode(every, null_encoding="encode").indices.to_numpy()
        return cls(codes[: len(own)], codes[len(own) :], asks)


def without_parent(links: Sequence[Links], there: np.ndarray) -> list[np.ndarray]:
    """For each of `links` the rows (boolean) whose parent is none of the rows `there`, which can be parents.

    Who has no parent is no parent either, and so on: in the end each row that is left has its parents beside it.
    The work grows with the rows, whatever they refer to.
    """
    there = there.copy()
    lost = [np.zeros(len(there), bool) for _ in links]
    counts = [np.bincount(link.own[there], minlength=_codes(link)) for link in links]
    children = [_by_parent(link) for link in links]
    leaving = _note(lost, links, counts, np.flatnonzero(there))
    asking = np.logical_or.reduce([link.asks for link in links]) & ~there
    _note(lost, links, counts, np.flatnonzero(asking))
    while leaving:
        row = leaving.pop()
        if not there[row]:
            continue
        there[row] = False
        for link, count, (order, starts) in zip(links, counts, children, strict=True):
            code = link.own[row]
            count[code] -= 1
            if count[code] == 0:
                orphaned = order[starts[code] : starts[code + 1]]
                leaving += _note(lost, links, counts, orphaned)
    return lost


def _codes(link: Links) -> int:
    return int(max(link.own.max(initial=0), link.parent.max(initial=0))) + 1


def _by_parent(link: Links) -> tuple[np.ndarray, np.ndarray]:
    """The rows that ask for a parent in its order, and where those of each parent begin."""
    asking = np.flatnonzero(link.asks)
    order = asking[np.argsort(link.parent[asking], kind="stable")]
    return order, np.searchsorted(link.parent[order], np.arange(_codes(link) + 1))


def _note(
    lost: Sequence[np.ndarray], links: Sequence[Links], counts: Sequence[np.ndarray], rows: np.ndarray
) -> list[int]:
    """Note which of `rows` lack a parent by now; returns them."""
    found = np.zeros(len(rows), bool)
    for mask, link, count in zip(lost, links, counts, strict=True):
        lacks = link.asks[rows] & (count[link.parent[rows]] == 0)
        mask[rows[lacks]] = True
        found |= lacks
    noted: list[int] = rows[found].tolist()
    return noted


def families(links: Sequence[Links], rows: np.ndarray) -> list[list[int]]:
    """The positions of `rows` (boolean) in families: one that asks for no parent, and all that refer to it.

    Parents come before their children, but for those that refer to each other.
    """
    children = [_by_parent(link) for link in links]
    asks = np.logical_or.reduce([link.asks for link in links])
    left = rows.copy()
    found = []
    for first in [*np.flatnonzero(rows & ~asks).tolist(), *np.flatnonzero(rows & asks).tolist()]:
        if not left[first]:
            continue
        left[first] = False
        family = [first]
        for row in family:  # which grows meanwhile
            for link, (order, starts) in zip(links, children, strict=True):
                code = link.own[row]
                below = order[starts[code] : starts[code + 1]]
                new = below[left[below]]
                left[new] = False
                family += new.tolist()
        found.append(family)
    return found
