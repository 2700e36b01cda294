"""Sensitive values → hashes, before anything leaves the reader: loaded rows and refused ones alike."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from typing import Any

import pyarrow as pa

from config.file_spec import FileSpec
from config.model import PiiKind
from config.schema import EXTRA
from validation.canonical import canonical
from validation.extra import masked
from validation.phones import PhoneForm, form_of
from validation.strays import HIDDEN, is_hidden, is_stray, looks_personal_anywhere

MALFORMED, LINE = (
    "_malformed",
    "_line",
)  # of a record that could not be split, in Rejection.raw: its text, its place
_KEPT_CHARS = 100_000  # of such a text


def malformed_raw(text: str, line: int) -> dict[str, Any]:
    """Rejection.raw of a record that could not be split into columns: its text and its line in the file."""
    return {MALFORMED: text[:_KEPT_CHARS], LINE: line}


class PiiHandler:
    """Hashes with HMAC-SHA-256 under `key`, or with plain SHA-256 without one. Hashes are 64 hex digits."""

    def __init__(self, key: str | None) -> None:
        self._key = key.encode() if key else None

    @property
    def key_id(self) -> str | None:
        """A short name of the key that doesn't reveal it; None without a key."""
        return hashlib.sha256(b"pii key id:" + self._key).hexdigest()[:8] if self._key else None

    def hash_text(self, text: str) -> str:
        """The hash of `text` as it is."""
        data = text.encode("utf-8", "surrogatepass")
        if self._key is None:
            return hashlib.sha256(data).hexdigest()
        return hmac.digest(self._key, data, "sha256").hex()

    def hash_value(self, text: str, kind: PiiKind, form: PhoneForm | None = None) -> str:
        """The hash of a value in its canonical form, so that one person hashes the same in every export."""
        return self.hash_text(canonical(text, kind, form))

    def mask(self, spec: FileSpec, rows: pa.Table) -> pa.Table:
        """`rows` with the sensitive columns hashed, and what looks so in new ones; nulls stay null."""
        for column in spec.schema.columns:
            if column.pii is not None:
                hashed = self._mask_array(rows.column(column.name), column.pii, form_of(column))
                rows = rows.set_column(rows.schema.get_field_index(column.name), column.name, hashed)
        if spec.hides_extra:
            extras = pa.array([self.mask_extra(spec, e) for e in rows.column(EXTRA).to_pylist()], pa.string())
            rows = rows.set_column(rows.schema.get_field_index(EXTRA), EXTRA, extras)
        return rows

    def mask_extra(self, spec: FileSpec, extra: str | None) -> str | None:
        """Values of new columns, hidden where they look personal, or a sensitive column has their name by now."""

        def of_column(name: str, text: str) -> str | None:
            column = spec.schema.by_source.get(name)
            if column is None or column.pii is None or is_hidden(text):
                return None
            means_null = text.strip().lower() in spec.read_as(column).words
            return None if means_null else f"{HIDDEN}{self.hash_value(text, column.pii, form_of(column))}"

        return masked(extra, self.hidden, of_column)

    def hidden(self, text: str) -> str | None:
        """What stands for a value of a column that the schema doesn't have; None where it may stay as it is."""
        return f"sha256:{self.hash_text(text)}" if looks_personal_anywhere(text) else None

    def _mask_array(self, values: pa.ChunkedArray, kind: PiiKind, form: PhoneForm | None) -> pa.Array:
        texts = values.to_pylist()
        return pa.array([None if t is None else self.hash_value(t, kind, form) for t in texts], pa.string())

    def mask_raw(
        self, spec: FileSpec, raw: dict[str, Any], *, strays: bool = True, unfit: Collection[str] = ()
    ) -> dict[str, Any]:
        """A refused row's text, fit to be kept: sensitive columns hashed as `mask` does, but words for null.

        In a record that could not be split, or under a name that the schema doesn't have, nothing tells what is
        sensitive: where the file has sensitive columns at all, such text is hashed whole. So is a value in any
        other column that looks like an e-mail or a long number and does not fit that column, as in the columns
        `unfit` none does: in a bad row, values stray. Without `strays` it is left: an orphan is good but for its
        parent, and is loaded from this text as it would have been at once.
        """
        if spec.hides_extra and isinstance(extra := raw.get(EXTRA), str):
            raw = {**raw, EXTRA: self.mask_extra(spec, extra)}
        if not spec.has_pii:
            return raw
        raw = spec.schema.in_todays_names(raw)

        def masked(name: str, value: Any) -> Any:
            if not isinstance(value, str):
                return value
            column = spec.schema.by_name.get(name)
            if column is None:
                return f"sha256:{self.hash_text(value)}"
            if name == EXTRA:
                return value  # it was masked value by value
            if column.is_said_by_file:
                return value  # what the file's path or the YAML says is no secret
            if column.pii is not None:
                means_null = value.strip().lower() in spec.read_as(column).words
                return value if means_null else self.hash_value(value, column.pii, form_of(column))
            stray = strays and is_stray(spec, column, value, fits=name not in unfit)
            return f"sha256:{self.hash_text(value)}" if stray else value

        return {self._masked_name(spec, name): masked(name, value) for name, value in raw.items()}

    def _masked_name(self, spec: FileSpec, name: str) -> str:
        known = name in spec.schema.by_name or name in {MALFORMED, LINE}
        return name if known else f"_unexpected_{self.hash_text(name)[:8]}"
