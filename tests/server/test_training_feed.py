"""`/ws/training`: a run's metrics as they are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.errors import ApiError
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
