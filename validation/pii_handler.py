"""Sensitive values → hashes, before anything leaves the reader: loaded rows and refused ones alike."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import pyarrow as pa

from config.model import FileSpec, PiiKind
from validation.conversions import PLACEHOLDERS, clean

MALFORMED = "_malformed"  # the text of a record that could not be split, in Rejection.raw
_DATE_LIKE = re.compile(r"\d{4}-\d\d-\d\d([ T][\d:.]{5,18}(Z|[+-][\d:]{2,5})?)?")
_SEPARATORS = re.compile(r"[ .()-]")
_LONG_NUMBER = re.compile(r"\d{9}")
_KEPT_CHARS = 100_000  # of such a text


def malformed_raw(text: str, line: int) -> dict[str, Any]:
    """Rejection.raw of a record that could not be split into columns: its text and its line in the file."""
    return {MALFORMED: text[:_KEPT_CHARS], "_line": line}


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

    def hash_value(self, text: str, kind: PiiKind) -> str:
        """The hash of a value in its canonical form, so that one person hashes the same in every export."""
        return self.hash_text(canonical(text, kind))

    def mask(self, spec: FileSpec, rows: pa.Table) -> pa.Table:
        """`rows` with the sensitive columns hashed; nulls stay null."""
        for column in spec.schema.columns:
            if column.pii is not None:
                hashed = self._mask_array(rows.column(column.name), column.pii)
                rows = rows.set_column(rows.schema.get_field_index(column.name), column.name, hashed)
        return rows

    def _mask_array(self, values: pa.ChunkedArray, kind: PiiKind) -> pa.Array:
        texts = clean(values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)).to_pylist()
        return pa.array([None if t is None else self.hash_value(t, kind) for t in texts], pa.string())

    def mask_raw(self, spec: FileSpec, raw: dict[str, Any], *, strays: bool = True) -> dict[str, Any]:
        """A refused row's text, fit to be kept: sensitive columns hashed as `mask` does, placeholders as they are.

        In a record that could not be split, or under a name that the schema doesn't have, nothing tells what is
        sensitive: where the file has sensitive columns at all, such text is hashed whole. So is a value in any
        other column that looks like an e-mail or a long number: in a bad row, values stray. Without `strays` it is
        left: an orphan is good but for its parent, and is loaded from this text as it would have been at once.
        """
        if not spec.has_pii:
            return raw
        return {self._masked_name(spec, k): self._masked_item(spec, k, v, strays) for k, v in raw.items()}

    def _masked_name(self, spec: FileSpec, name: str) -> str:
        known = name in spec.schema.by_name or name.startswith("_")
        return name if known else f"_unexpected_{self.hash_text(name)[:8]}"

    def _masked_item(self, spec: FileSpec, name: str, value: Any, strays: bool) -> Any:
        if not isinstance(value, str):
            return value
        column = spec.schema.by_name.get(name)
        if column is None:
            return f"sha256:{self.hash_text(value)}"
        if value.strip().lower() in PLACEHOLDERS:
            return value
        if column.pii is None:
            return f"sha256:{self.hash_text(value)}" if strays and looks_personal(value) else value
        return self.hash_value(value, column.pii)


def looks_personal(text: str) -> bool:
    """Might it be an e-mail address, a phone number or a national id, that strayed into another column?"""
    if _DATE_LIKE.fullmatch(text.strip()):
        return False
    return "@" in text or _LONG_NUMBER.search(_SEPARATORS.sub("", text)) is not None


def canonical(text: str, kind: PiiKind) -> str:
    """The one way to write a value: trimmed; e-mail in lower case; a mobile number as 11 digits."""
    text = text.strip()
    if kind is PiiKind.EMAIL:
        return text.lower()
    if kind is PiiKind.PHONE:
        number = re.sub(r"\.0+$", "", text)
        return f"0{number}" if re.fullmatch(r"1\d{9}", number) else number
    return text
