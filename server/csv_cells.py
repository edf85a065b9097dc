"""Cells of the CSV files that users open in a spreadsheet."""

from __future__ import annotations

from typing import Any

import orjson


def cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula: names come from scenarios anybody may have written."""
    if isinstance(value, str):
        return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else value
