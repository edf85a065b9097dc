"""Configuration fields as command-line options."""

from __future__ import annotations

import json
from typing import Any

from smartgrid_core.errors import ConfigError


def parse_overrides(rest: list[str]) -> dict[str, Any]:
    """`--a.b VALUE` and `--a.b=VALUE` pairs; values as JSON where they are JSON, else text."""
    out: dict[str, Any] = {}
    queue = list(rest)
    while queue:
        key = queue.pop(0)
        if not key.startswith("--"):
            raise ConfigError(f"unexpected argument {key!r}: options are --field VALUE")
        key, equals, value = key[2:].partition("=")
        if not equals:
            if not queue:
                raise ConfigError(f"--{key} needs a value")
            value = queue.pop(0)
        try:
            out[key] = json.loads(value)
        except json.JSONDecodeError:
            out[key] = value
    return out
