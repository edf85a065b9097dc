"""A real server in a process of its own, and what tests say to it over real sockets."""

from __future__ import annotations

import itertools
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from server.wire import schemas
from tests.server.tls_tunnel import tls_tunnel

PATIENCE_S = 60.0


def write_scenario(folder: Path, name: str = "tiny", agents: int = 3, days: int = 6, buses: int = 6) -> None:
    """A saved scenario of hourly CSV data: built in milliseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    start = np.datetime64("2025-06-02T00:00")
    lines = ["timestamp,agent,demand_kw,generation_kw"]
    for hour, i in itertools.product(range(24 * days), range(agents)):
        sun = max(0.0, np.sin((hour % 24 - 6) / 12 * np.pi)) * 4 * (i % 2 == 0)
        lines.append(f"{start + np.timedelta64(hour, 'h')},p{i},{rng.uniform(0.2, 2):.3f},{sun:.3f}")
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    prosumers = "".join(f'[[prosumers]]\nname = "p{i}"\n' for i in range(agents))
    (folder / f"{name}.toml").write_text(
        f'description = "for tests"\nstep_minutes = 60\nepisode_days = 1\n{prosumers}[network]\nbuses = {buses}\n'
        f'[forecast]\nkind = "perfect"\nwindow_edges_h = [1, 4]\n'
        f'[profiles]\nsource = "csv"\npath = "{name}.csv"\nhold_out = false\n'
    )


class Serving:
    """One running server.

    Args:
        folder: for its data.
        flags: of the command line.
    """

    def __init__(self, folder: Path, *flags: str, env: dict[str, str] | None = None):
        self.data = folder / "data"
        write_scenario(self.data / "scenarios")
        command = [sys.executable, "-m", "server", "--port", "0", "--data-dir", str(self.data)]
        command += ["--runs-dir", str(folder / "runs"), "--web-dir", str(folder / "web"), "--rest-limit", ""]
        if "--autostart" not in flags:
            command.append("--no-autostart")
        self.log = folder / "log.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *flags], stdout=subprocess.PIPE, stderr=log, text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"} | (env or {}),
            )  # fmt: skip
        assert self.process.stdout is not None
        self.said = ""
        while "smartgrid-marl: " not in self.said:  # it listens from here on; requests wait until it answers
            line = self.process.stdout.readline()
            assert line, f"the server ended: {self.said}{self.log.read_text()}"
            self.said += line
        self.base = self.said.rsplit("smartgrid-marl: ", 1)[1].split("/web/")[0]
        self.port = int(self.base.rsplit(":", 1)[1])
        self.verify: Any = False
        self.client: httpx.Client | None = None
        self.headers: dict[str, str] = {}
        self.context: ssl.SSLContext | None = None

    def http(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = self.headers | options.pop("headers", {})
        if self.client is None:  # one for all requests, as a new one reads every certificate there is
            self.client = httpx.Client(verify=self.verify, timeout=PATIENCE_S, trust_env=False)
        return self.client.request(method, self.base + path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        response = self.http("GET", path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: Any = None, expect: int = 200) -> Any:
        response = self.http("POST", path, **({} if body is None else {"json": body}))
        assert response.status_code == expect, f"{response.status_code} {response.text}"
        return response.json()

    def start(self, **body: Any) -> Any:
        """A tiny community instead of whatever runs; paused where speed is not said, so that nothing moves."""
        arguments = {"scenario": "tiny", "policy": "self-consumption", "replace": True, **body}
        status = self.post("/api/simulation/start", arguments)
        return status if "speed" in body else self.post("/api/simulation/pause")

    def connect(self, path: str = "/ws/grid", **options: Any) -> ClientConnection:
        base = self.base.replace("http", "ws", 1)
        options = {
            "compression": None,
            "max_size": None,
            "max_queue": None,
            "open_timeout": PATIENCE_S,
            "proxy": None,
            **options,
        }
        if self.context is not None:
            base = base.replace("wss", "ws", 1)
            options["sock"] = tls_tunnel("localhost", self.port, self.context)
        return connect(base + path, **options)

    def end(self, with_signal: int = signal.SIGTERM) -> int:
        """Stop it as an operator would; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(PATIENCE_S)


@contextmanager
def serving(folder: Path, *flags: str, env: dict[str, str] | None = None) -> Iterator[Serving]:
    """A server for the length of a block; its log must not show an error nobody expected."""
    server = Serving(folder, *flags, env=env)
    try:
        yield server
    finally:
        server.end()
    log = server.log.read_text()
    assert "Traceback" not in log, log


def receive(socket: ClientConnection) -> Any:
    """The next message: JSON as values, binary as bytes."""
    message = socket.recv(PATIENCE_S)
    return message if isinstance(message, bytes) else json.loads(message)


@cache
def validator(kind: str) -> Any:
    return jsonschema.Draft202012Validator(schemas()[kind])


def valid(message: Any) -> Any:
    """The message, which must be as published."""
    validator(message["type"]).validate(message)
    return message


def until(socket: ClientConnection, kind: str | tuple[str, ...], **fields: Any) -> Any:
    """The next message of a type, or of one of several, with these fields; others are passed over."""
    deadline = time.monotonic() + PATIENCE_S  # heartbeats come for ever
    while time.monotonic() < deadline:
        message = receive(socket)
        if isinstance(message, bytes) or message["type"] not in ((kind,) if isinstance(kind, str) else kind):
            continue
        if all(message.get(name) == value for name, value in fields.items()):
            return message
    raise TimeoutError(f"no {kind} with {fields}")


def close_code(socket: ClientConnection) -> int | None:
    """The code the server closes with, after whatever it still says; None where the connection just ended."""
    try:
        while True:
            receive(socket)
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code


_numbers = itertools.count(1)


def command(socket: ClientConnection, name: str, **arguments: Any) -> Any:
    """Send a command and wait for its answer, ack or error."""
    id = next(_numbers)
    socket.send(json.dumps({"type": "command", "id": id, "command": name, "arguments": arguments}))
    return until(socket, ("ack", "error"), id=id)
