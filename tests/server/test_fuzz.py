"""Nonsense of every kind kills nothing: random requests from the OpenAPI, random bytes on the WebSocket."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import FlakyStrategyDefinition, Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance
from websockets.exceptions import ConnectionClosed

from tests.server.serving import Serving, command, serving, until
from tests.server.test_slow_viewers import deaf_viewer

LONG = ("POST /api/training", "POST /api/scalability")  # the empty body begins work of minutes
FREE = (
    "POST /api/data/upload",
    "POST /api/scenarios/save",
    "POST /api/comparisons",
)  # what is right in them no schema can say


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_as_the_openapi_says(server: Serving, mode: GenerationMode) -> None:
    server.post("/api/simulation/stop")
    schema = schemathesis.openapi.from_url(f"{server.base}/api/openapi.json")
    faults: list[str] = []

    def check(operation: Any) -> None:
        free = operation.label in FREE

        @settings(
            max_examples=6, deadline=None, derandomize=True, phases=[Phase.generate], database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(mode))
        def all_checks(case: Any) -> None:
            excluded = [positive_data_acceptance] if free else []
            case.call_and_validate(timeout=60, excluded_checks=excluded)

        all_checks()

    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        if operation.label in LONG:
            continue
        try:
            check(operation)
        except Unsatisfiable:  # nothing can be wrong in a request without a body or a parameter
            assert mode is GenerationMode.NEGATIVE
        except (Exception, FailureGroup) as error:  # one report of all of them
            faults.append(f"{operation.label}: {error}")
    assert not faults, "\n\n".join(faults)
    assert len(operations) > 15
    assert server.get("/healthz")["status"] == "ok"


@pytest.fixture
def of_its_own(tmp_path: Path) -> Iterator[Serving]:
    """A server that may lose what it has: sequences of requests find what there is, and delete it."""
    with serving(tmp_path) as it:
        yield it


def test_sequences_of_requests_are_answered_as_the_openapi_says(of_its_own: Serving) -> None:
    """What one answer names, the next request asks for: jobs, recordings, scenarios, uploads, begun and forgotten."""
    server = of_its_own
    server.start()
    server.post("/api/simulation/step", {"steps": 3})
    server.post("/api/simulation/stop")
    for path, body in (
        ("comparisons", {"policies": ["idle"], "scenarios": ["tiny"], "episodes": 1}),
        ("scalability", {"sizes": [3], "days": 0.25, "episodes": 1}),
    ):
        job = server.post(f"/api/{path}", body, expect=202)["id"]
        server.post(f"/api/{path}/{job}/cancel")
    schema = schemathesis.openapi.from_url(f"{server.base}/api/openapi.json")
    usual: Any = schema.as_state_machine()
    followed: list[str] = []
    faults: list[str] = []  # kept here: hypothesis would try a failure again on a server that is no longer the same

    class Sequences(usual):
        def call(self, case: Any, **options: Any) -> Any:
            if case.operation.label in LONG:
                case.body = {"sizes": [3], "days": -1}  # refused: it would take minutes
            return case.call(timeout=60, **options)

        def after_call(self, response: Any, case: Any) -> None:
            followed.append(f"{case.operation.label} {response.status_code}")

        def validate_response(self, response: Any, case: Any, **options: Any) -> None:
            try:
                case.validate_response(response, excluded_checks=[positive_data_acceptance])
            except (Exception, FailureGroup) as error:
                faults.append(f"{case.operation.label}: {error}")

    of_runs = settings(
        max_examples=25, stateful_step_count=8, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    for _ in range(5):
        # A job that goes on or ends meanwhile answers the same beginning otherwise, of which hypothesis makes no more.
        with suppress(FlakyStrategyDefinition):
            Sequences.run(settings=of_runs)
        if len(followed) >= 100:
            break
    assert not faults, "\n\n".join(faults)
    assert len(followed) >= 100
    assert any("_id} 2" in step for step in followed), "an id that an answer named was asked for"
    assert server.get("/healthz")["status"] == "ok"


def anything(rng: random.Random, depth: int = 0) -> Any:
    """A random JSON value, often near a command."""
    pick = rng.randrange(9 if depth < 3 else 6)
    if pick == 0:
        return rng.choice([None, True, False, 0, -1, 1e308, 2**70, 0.5])
    if pick <= 3:
        return rng.choice(["", "command", "start", "speed", "auth", "max", "tiny", "../..", "\x00", "é" * 40])
    if pick <= 5:
        return rng.randrange(-10, 1000)
    if pick == 6:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = ("type", "id", "command", "arguments", "speed", "steps", "kind", "token", "scenario")
    return {rng.choice(keys): anything(rng, depth + 1) for _ in range(rng.randrange(6))}


def test_random_messages_and_connections_kill_nothing(server: Serving) -> None:
    run, rng = server.start()["run"]["id"], random.Random(0)
    with server.connect() as witness:
        for _ in range(12):
            with server.connect() as viewer:
                try:
                    for _ in range(25):
                        message = anything(rng)
                        viewer.send(json.dumps(message) if rng.random() < 0.8 else rng.randbytes(rng.randrange(300)))
                except ConnectionClosed:
                    pass
        for _ in range(30):
            raw = deaf_viewer(server)
            raw.sendall(rng.randbytes(rng.randrange(1, 400)))
            raw.close()
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", server.port)) as half:
                half.sendall(b"GET /ws/grid HTTP/1.1\r\nHost: local" if rng.random() < 0.5 else rng.randbytes(200))
        status = command(witness, "status")["status"]
        assert status["run"]["id"] == run
        assert server.get("/healthz")["status"] == "ok"


def held(server: Serving) -> tuple[int, float]:
    """Open files, and memory in MiB, of the server's process."""
    process = Path(f"/proc/{server.process.pid}")
    rss = re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
    assert rss is not None
    return len(list((process / "fd").iterdir())), int(rss[1]) / 1024


def come_and_go(server: Serving, times: int, rng: random.Random) -> None:
    """Connections that are greeted and left, reset, or never say what they want."""
    for _ in range(times):
        kind = rng.randrange(4)
        if kind == 0:
            with socket.create_connection(("127.0.0.1", server.port)) as half:
                half.sendall(b"GET /ws/grid HTTP/1.1\r\nHost: local"[: rng.randrange(38)])
        else:
            viewer = deaf_viewer(server)
            if kind == 1:  # reset instead of closed
                viewer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            viewer.close()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory and open files are read from /proc")
def test_ten_thousand_connections_leave_nothing_behind(tmp_path: Path) -> None:
    rng = random.Random(1)
    with serving(tmp_path, "--handshake-limit", "") as server:
        run = server.start(speed=20)["run"]["id"]
        with server.connect() as witness:
            come_and_go(server, 1_000, rng)  # what is allocated once
            files, mib = held(server)
            for _ in range(9):
                come_and_go(server, 1_000, rng)
                until(witness, "frame")
            status = until(witness, "status", viewers=1)  # once the last of them is noticed
            assert status["run"]["id"] == run
            after = held(server)
        assert after[0] <= files + 5
        assert after[1] <= mib + 20
