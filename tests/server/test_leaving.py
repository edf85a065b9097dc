"""What a viewer that leaves holds is given back at once, not when Python looks for cycles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.serving import write_scenario

COME_AND_GO = """
import gc, json, sys, threading, time
from pathlib import Path
import httpx, uvicorn
from websockets.sync.client import connect
from server.app import create_app
from server.protocol import websocket_class
from server.settings import Settings

folder, path = Path(sys.argv[1]), sys.argv[2]
app = create_app(Settings(data_dir=folder / "data", runs_dir=folder / "runs", autostart=False))
config = uvicorn.Config(app, port=0, ws=websocket_class(), ws_per_message_deflate=False, log_level="error")
server = uvicorn.Server(config)
running = threading.Thread(target=server.run)
running.start()
while not server.started:
    time.sleep(0.01)
port = server.servers[0].sockets[0].getsockname()[1]
body = {"scenario": "tiny", "policy": "self-consumption", "speed": 50}
httpx.post(f"http://127.0.0.1:{port}/api/simulation/start", json=body, timeout=60, trust_env=False).raise_for_status()


def visit():
    with connect(f"ws://127.0.0.1:{port}{path}", compression=None, proxy=None) as viewer:
        for _ in range(3):
            viewer.recv(30)


def connections():
    return sum(type(x).__name__ == "GridWebSocket" for x in gc.get_objects())


visit()
gc.collect()
gc.disable()
for _ in range(20):
    visit()
end = time.monotonic() + 10
while connections() > 2 and time.monotonic() < end:  # the last ones are just being closed
    time.sleep(0.05)
print(connections())
server.should_exit = True
running.join()
"""


@pytest.mark.parametrize("path", ["/ws/grid", "/ws/training"])
def test_a_viewer_that_left_leaves_nothing(tmp_path: Path, path: str) -> None:
    write_scenario(tmp_path / "data" / "scenarios")
    run = tmp_path / "runs" / "some-run"
    run.mkdir(parents=True)
    (run / "config.json").write_text('{"train": {}, "scenario": {"path": "/home/somebody/secret/load.csv"}}')
    (run / "metrics.jsonl").write_text('{"iteration": 1}\n' * 600)  # two messages after the hello
    command = [sys.executable, "-c", COME_AND_GO, str(tmp_path), path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 2, f"{done.stdout.strip()} connections of 20 are still held"
