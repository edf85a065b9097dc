"""Recording as a whole server does it: killed, started again, and with a file that cannot be used."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.server.serving import Serving, close_code, serving, until


def wait(server: Serving, frames: int) -> str:
    end = time.monotonic() + 60
    while True:
        now = server.get("/api/recording")
        if now["written"] >= frames:
            return now["recording"]
        assert time.monotonic() < end, now
        time.sleep(0.05)


def test_an_operator_ends_a_server_that_trains_and_records(tmp_path: Path) -> None:
    small = {"num_grids": 4, "horizon": 4, "iterations": 100_000, "validations": 1, "validation_episodes": 2}
    with serving(tmp_path, "--max-upload-bytes", "2048") as server:
        content = {"content": b"x" * 4096, "headers": {"content-type": "text/csv"}}
        answer = server.http("POST", "/api/data/upload?name=big", **content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")

        body = {"scenario": "tiny", "name": "one", "device": "cpu", "config": small | {"threads": 1}}
        assert server.post("/api/training", body, expect=202)["state"] == "running"
        assert server.http("POST", "/api/training", json=body).status_code == 409
        end = time.monotonic() + 60
        while not server.get("/api/runs"):  # it writes its configuration when torch is loaded
            assert time.monotonic() < end
            time.sleep(0.05)
        with server.connect("/ws/training?run=one") as follower:
            until(follower, "training_metrics")
            assert server.http("DELETE", "/api/training").json()["state"] == "stopping"
            end = time.monotonic() + 60
            while server.get("/api/training")["state"] != "stopped":
                assert time.monotonic() < end
                time.sleep(0.05)
            assert [run["name"] for run in server.get("/api/runs")] == ["one"]

            server.start(seed=3, speed=20, days=30)
            name = wait(server, 5)
            written = server.get("/api/status")["progress"]["step"]
            assert server.end() in (0, -signal.SIGTERM)
            assert close_code(follower) == 1001
    with serving(tmp_path) as again:
        about = again.get(f"/api/recordings/{name}")
        assert about["state"] != "interrupted"
        assert about["frames"] >= written, "what was recorded is flushed at the end"


@pytest.mark.slow
def test_a_killed_server_leaves_a_recording_and_a_damaged_file_does_not_stop_a_run(tmp_path: Path) -> None:
    first = Serving(tmp_path)
    first.start(seed=3, speed=20, days=30)
    name = wait(first, 40)
    newest = first.get("/api/status")["progress"]["step"]
    first.end(signal.SIGKILL)
    killed = time.time()

    with serving(tmp_path) as second:
        about = second.get(f"/api/recordings/{name}")
        assert (about["state"], about["seed"]) == ("interrupted", 3)
        page = second.get(f"/api/recordings/{name}/frames?first={about['frames'] - 1}")
        last = page["frames"][-1]
        assert last["step"] == about["frames"] >= newest - 20
        assert killed - datetime.fromisoformat(last["timestamp"]).timestamp() < 1.2
        second.start(seed=4, speed=20)
        assert second.get("/api/recordings")["recordings"][1]["id"] == name
        assert second.get("/api/status")["warnings"] == []

    for suffix in ("-wal", "-shm"):
        (tmp_path / "data" / f"recordings.sqlite{suffix}").unlink(missing_ok=True)
    (tmp_path / "data" / "recordings.sqlite").write_bytes(b"SQLite format 3\x00" + b"\xff" * 9000)
    with serving(tmp_path) as third:
        third.start(seed=5, speed=20)
        end = time.monotonic() + 30
        while not third.get("/api/status")["warnings"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        (warning,) = third.get("/api/status")["warnings"]
        assert warning["code"] == "recording"
        assert "damaged" in warning["message"]
        before = third.get("/api/status")["progress"]["step"]
        time.sleep(0.5)
        assert third.get("/api/status")["progress"]["step"] > before, "the run goes on"
        response = third.http("GET", "/api/recordings")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "recordings_unavailable")
