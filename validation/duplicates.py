"""Stage records, the last check of it: rows with one key."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.model import Stage
from validation.batch import Batch
from validation.key_values import key_of


def reject_duplicates(batch: Batch, *, among: np.ndarray | None = None, owners: np.ndarray | None = None) -> None:
    """Of the good rows with one key the first stays. Runs last: a bad first row doesn't cost a good second one.

    Only rows `among` (boolean, one a row) are looked at. Of rows of several files, `owners` has the file of each:
    those of one file are each other's duplicates. Where newer rows replace older ones, rows of one key that differ
    in `newer_by` are no duplicates of each other.
    """
    key = batch.spec.schema.primary_key
    if key.is_row:
        return
    good = np.flatnonzero(batch.good if among is None else batch.good & among)
    codes = key_codes(batch, good, owners)
    if len(codes) == 0 or codes.max() + 1 == len(codes):  # all distinct
        return
    _, firsts = np.unique(codes, return_index=True)
    mask = np.zeros(len(batch.chunk.numbers), dtype=bool)
    mask[np.delete(good, firsts)] = True
    batch.reject(mask, Stage.RECORDS, "duplicate", str(key))


def readmit_duplicates(
    batch: Batch, refused: np.ndarray, *, among: np.ndarray | None = None, owners: np.ndarray | None = None
) -> np.ndarray:
    """Of the duplicates of rows that were `refused` after all, the first is good again; which ones, boolean."""
    codes = key_codes(batch, owners=owners)
    duplicates = batch.held("duplicate") if among is None else batch.held("duplicate") & among
    rows = np.flatnonzero(np.isin(codes, codes[refused]) & duplicates)
    readmitted = np.zeros(len(refused), dtype=bool)
    readmitted[rows[np.unique(codes[rows], return_index=True)[1]]] = True
    batch.withdraw(readmitted, "duplicate")
    return readmitted


def key_codes(
    batch: Batch,
    positions: np.ndarray | None = None,
    owners: np.ndarray | None = None,
    *,
    of_versions: bool = True,
) -> np.ndarray:
    """A number from 0 on for each row, or those at `positions`: each other's duplicates have the same.

    They have one key, one owner, if there are `owners`, and, `of_versions`, one value of `newer_by` where newer
    rows replace older ones.
    """

    def codes_of(values: pa.Array) -> np.ndarray:
        values = values if positions is None else values.take(pa.array(positions))
        codes: np.ndarray = pc.dictionary_encode(values, null_encoding="encode").indices.to_numpy()
        return codes

    codes = codes_of(key_of(batch))
    if batch.spec.version_by and of_versions and len(codes):
        codes = _paired(codes, codes_of(batch.output[batch.spec.version_by]))
    if owners is not None and len(codes):
        of_rows = owners if positions is None else owners[positions]
        codes = _paired(codes, np.unique(of_rows, return_inverse=True)[1])
    return codes


def _paired(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A number from 0 on for each pair."""
    pairs = one.astype(np.int64) * (int(other.max()) + 1) + other
    codes: np.ndarray = np.unique(pairs, return_inverse=True)[1]
    return codes
