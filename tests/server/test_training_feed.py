"""`/ws/training`: a run's metrics as they are written."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from server.app import create_app
from server.errors import ApiError
from server.settings import Settings
from server.training_feed import Feed
from tests.server.serving import Serving, close_code, receive, until, valid


def write_run(runs: Path, name: str, rows: int = 0) -> Path:
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"train": {"algorithm": "ippo"}}')
    if rows:
        add_rows(folder, range(1, rows + 1))
    return folder


def add_rows(folder: Path, iterations: range) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({"iteration": k}) + "\n" for k in iterations)


def iterations(messages: list[dict]) -> list[int]:
    return [row["iteration"] for message in messages for row in message["rows"]]


def test_lines_come_once_and_whole(folder: Path) -> None:
    run = write_run(folder, "a", 1200)
    feed = Feed.find(folder, "a")
    first = feed._new()
    assert iterations(first) == list(range(1, 1201))
    assert max(len(m["rows"]) for m in first) == 500
    assert feed._new() == []
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 12')
    assert feed._new() == [], "half a line is none yet"
    with (run / "metrics.jsonl").open("a") as file:
        file.write("01}\nnot json\n")
    assert iterations(feed._new()) == [1201]


def test_a_resumed_run_is_read_anew(folder: Path) -> None:
    run = write_run(folder, "a", 10)
    feed = Feed.find(folder, "a")
    feed._new()
    fresh = run / "fresh"
    fresh.write_text('{"iteration": 1}\n')
    fresh.replace(run / "metrics.jsonl")
    (message,) = feed._new()
    assert message["restart"] is True
    assert iterations([message]) == [1]


def test_a_configuration_is_told_without_folders(folder: Path) -> None:
    run = write_run(folder, "a")
    (run / "config.json").write_text('{"scenario": {"profiles": {"path": "/home/somebody/secret/load.csv"}}}')
    assert Feed.find(folder, "a")._read_config() == {"scenario": {"profiles": {"path": "load.csv"}}}


def test_runs_are_found_by_name_only(folder: Path) -> None:
    write_run(folder / "runs", "a")
    for name in ("../runs/a", "b", "a/../a", ""):
        with pytest.raises(ApiError):
            Feed.find(folder / "runs", name)
    assert Feed.find(folder / "runs", None).run == "a"
    with pytest.raises(ApiError, match="none yet"):
        Feed.find(folder / "nothing", None)


def test_a_run_that_may_not_be_read_hides_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shut, stat = write_run(folder, "shut"), Path.stat
    write_run(folder, "open")

    def refused(self: Path, **options: Any) -> Any:
        if shut in self.parents:
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", refused)
    assert Feed.find(folder, None).run == "open"
    with pytest.raises(ApiError, match="there are open"):
        Feed.find(folder, "shut")


def test_a_folder_of_runs_that_cannot_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shut(self: Path) -> Any:
        with pytest.raises(RuntimeError):  # it is not read on the event loop
            asyncio.get_running_loop()
        raise PermissionError(13, "Permission denied", str(self))

    app = create_app(Settings(data_dir=folder / "data", runs_dir=folder))  # type: ignore[call-arg]
    monkeypatch.setattr(Path, "iterdir", shut)
    scope = {
        "type": "websocket", "scheme": "ws", "path": "/ws/training", "query_string": b"", "subprotocols": [],
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 9),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def connected() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, connected, send))
    error = valid(json.loads(sent[1]["text"]))["error"]
    assert (error["code"], sent[2]["code"]) == ("no_access", 4404)
    assert str(folder) not in error["message"]


def test_a_viewer_follows_a_run(server: Serving) -> None:
    run = write_run(server.data.parent / "runs", "fresh", 3)
    with server.connect("/ws/training?run=fresh") as socket:
        hello = valid(receive(socket))
        assert (hello["type"], hello["run"], hello["config"]) == (
            "training_hello", "fresh", {"train": {"algorithm": "ippo"}}
        )  # fmt: skip
        assert iterations([valid(until(socket, "training_metrics"))]) == [1, 2, 3]
        add_rows(run, range(4, 6))
        assert iterations([until(socket, "training_metrics")]) == [4, 5]
        assert valid(until(socket, "training_status"))["run"] == "fresh"


def test_a_run_that_is_not_there(server: Serving) -> None:
    with server.connect("/ws/training?run=nothing") as socket:
        assert valid(receive(socket))["error"]["code"] == "not_found"
        assert close_code(socket) == 4404
