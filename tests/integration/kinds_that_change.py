"""Kinds of files whose rows change, as the YAML declares them."""

from __future__ import annotations

from typing import Any

Given = dict[str, Any]
PLAIN: Given = {"key": "id", "columns": {"id": "int", "v": "str"}}
TIMED: Given = {"key": "id", "columns": {"id": "int", "v": "str", "u": "datetime"}, "newer_by": "u"}
PAIRS: Given = {
    "key": ["id", "part"],
    "columns": {"id": "int", "v": "str", "part": "str", "u": "datetime"},
    "newer_by": "u",
}
TRACKED: Given = {"key": "id", "columns": {"id": "int", "v": "str", "seen": "int"}, "track": ["v"]}
SNAPSHOT: Given = {**PLAIN, "rows": "snapshot", "gone_at_most_pct": 100}
OPERATIONS: Given = {
    **TIMED,
    "columns": {"op": "str", **TIMED["columns"]},
    "operation": {"column": "op", "delete": ["D"]},
}
BY_FILE: Given = {"columns": {"op": "str", **PLAIN["columns"]}, "newer_by": None}
PARTITIONED: Given = {
    **TIMED,
    "columns": {**TIMED["columns"], "u": {"dtype": "datetime", "nullable": False}},
    "partition_by": {"column": "u", "interval": "day", "since": "2026-01-01"},
}
KINDS: dict[str, Given] = {
    "first": PLAIN,
    "latest": {**TIMED, "keep": "latest"},
    "latest_pairs": {**PAIRS, "keep": "latest"},
    "latest_fact": {**TIMED, "keep": "latest", "table": "fact_latest"},
    "latest_by_file": {**PLAIN, "keep": "latest"},
    "latest_parts": {**PARTITIONED, "keep": "latest", "table": "fact_latest_parts"},
    "history": {**TIMED, "keep": "history"},
    "history_fact": {**TIMED, "keep": "history", "table": "fact_history"},
    "history_parts": {**PARTITIONED, "keep": "history", "table": "fact_history_parts"},
    "history_pairs": {**PAIRS, "keep": "history"},
    "history_by_file": {**PLAIN, "keep": "history"},
    "history_tracked": {**TRACKED, "keep": "history"},
    "history_tracked_by_time": {**TRACKED, "keep": "history", "columns": {**TRACKED["columns"], "u": "datetime"}}
    | {"newer_by": "u"},
    "snapshot_kept": {**SNAPSHOT, "keep": "latest"},
    "snapshot_deletes": {**SNAPSHOT, "keep": "latest", "gone": "delete"},
    "snapshot_marks": {**SNAPSHOT, "keep": "latest", "gone": "mark"},
    "snapshot_history_kept": {**SNAPSHOT, "keep": "history"},
    "snapshot_history_deletes": {**SNAPSHOT, "keep": "history", "gone": "delete"},
    "snapshot_history_marks": {**SNAPSHOT, "keep": "history", "gone": "mark"},
    "snapshot_history_by_time": {**TIMED, "keep": "history", "rows": "snapshot", "gone": "mark"}
    | {"gone_at_most_pct": 100},
    "snapshot_refusals": {
        **SNAPSHOT,
        "columns": {**PLAIN["columns"], "n": "int"},
        "keep": "history",
        "gone": "mark",
    },
    "snapshot_guarded": {**SNAPSHOT, "keep": "history", "gone": "delete", "gone_at_most_pct": 50},
    "snapshot_pairs": {**SNAPSHOT, "key": ["id", "part"], "columns": {"id": "int", "v": "str", "part": "str"}}
    | {"keep": "history", "gone": "mark"},
    "snapshot_parts": {**SNAPSHOT, **PARTITIONED, "keep": "history", "gone": "delete", "newer_by": None}
    | {"table": "fact_snapshot_parts"},
    "operations_latest": {**OPERATIONS, "keep": "latest"},
    "operations_history": {**OPERATIONS, "keep": "history"},
    "operations_by_file": {**OPERATIONS, **BY_FILE, "keep": "latest"},
    "operations_history_by_file": {**OPERATIONS, **BY_FILE, "keep": "history", "gone": "mark"},
    "operations_marks": {**OPERATIONS, "keep": "history", "gone": "mark"},
}
