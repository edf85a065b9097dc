"""The page of the WebSocket messages names every field, command and close code there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from server import sessions
from server.requests import COMMANDS
from server.wire import schemas

PAGE = (Path(__file__).parents[2] / "docs" / "websocket.md").read_text(encoding="utf-8")


def test_every_field_is_on_the_page() -> None:
    def fields(schema: dict[str, Any]) -> set[str]:
        return set(schema.get("properties", ())).union(*map(fields, schema.get("$defs", {}).values()))

    for kind, schema in schemas().items():
        assert f"### `{kind}`" in PAGE
        missing = {name for name in fields(schema) if f"| `{name}` |" not in PAGE} - {"type"}
        assert not missing, f"{kind}: docs/websocket.md lacks {sorted(missing)}"


def test_every_command_and_close_code_is_on_the_page() -> None:
    codes = (sessions.MALFORMED, sessions.UNAUTHORIZED, sessions.NO_SUCH_RUN, sessions.TOO_MANY)
    for word in (*COMMANDS, *map(str, (*codes, sessions.GOING_AWAY, sessions.TRY_LATER))):
        assert word in PAGE
