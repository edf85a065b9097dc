"""Plain values as TOML, which Python reads and does not write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def to_toml(data: Mapping[str, Any]) -> str:
    """A document with tables and arrays of tables at the top, inline ones below. Entries that are None are left out.

    Args:
        data: text, finite numbers, booleans, lists and mappings with text keys.

    Raises:
        ValueError: another kind of value.
    """
    plain = [f"{_key(k)} = {_value(v)}" for k, v in data.items() if v is not None and not _is_table(v)]
    blocks = ["\n".join(plain)] if plain else []
    for key, value in data.items():
        if isinstance(value, Mapping):
            blocks.append("\n".join([f"[{_key(key)}]", *_lines(value)]))
        elif _is_table(value):
            blocks += ["\n".join([f"[[{_key(key)}]]", *_lines(item)]) for item in value]
    return "\n\n".join(blocks) + "\n"


def _is_table(value: Any) -> bool:
    many = isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping) or many


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) or (isinstance(value, float) and value - value == 0):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_lines(value)) + " }" if value else "{}"
    raise ValueError(f"{value!r} cannot be written as TOML: expected text, finite numbers, true, false, lists, tables")


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
