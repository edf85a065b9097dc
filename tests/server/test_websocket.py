"""`/ws/grid`: every message against its published schema, every command, and what a frame must add up to."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from server.wire import STATUSES
from tests.server.serving import Serving, close_code, command, receive, until, valid


def test_a_viewer_is_greeted_and_sees_the_newest_frame_at_once(server: Serving) -> None:
    server.start(seed=1)
    server.post("/api/simulation/step", {"steps": 2})
    for _ in range(2):  # the second viewer comes while nothing moves, and the community outlived the first
        with server.connect() as socket:
            hello, status, frame = (valid(receive(socket)) for _ in range(3))
            assert [hello["type"], status["type"], frame["type"]] == ["hello", "status", "frame"]
            assert frame == server.get("/api/frame")
            assert frame["run"] == hello["run"]["id"]
            assert status["state"] == "paused"
            assert [a["id"] for a in hello["agents"]] == [a["id"] for a in frame["agents"]]
            assert len(hello["feeder"]["branches"]["name"]) == len(frame["branches"]["loading"])
            assert len(hello["feeder"]["buses"]["name"]) == len(frame["buses"]["voltage_pu"])
            assert all(0 <= place[axis] <= 1 for place in hello["agents"] for axis in "xy")
            assert hello["limits"]["frame_hz"] == 100


def test_frames_add_up(server: Serving) -> None:
    server.start(seed=2, policy="random")
    total, before = 0.0, None
    paid = dict.fromkeys(("agent_0", "agent_1", "agent_2"), 0.0)
    with server.connect() as socket:
        command(socket, "reset")
        for k in range(1, 6):
            command(socket, "step")
            frame = valid(server.get("/api/frame"))
            now = datetime.fromisoformat(frame["sim_time"])
            assert (frame["step"], frame["episode_step"]) == (k, k)
            assert before is None or now - before == timedelta(hours=1)
            before = now
            m, agents = frame["metrics"], frame["agents"]
            for a in agents:
                brought = a["generation_kw"] + a["bought_kw"] + a["received_kw"] + a["discharge_kw"] + a["unserved_kw"]
                taken = a["demand_kw"] + a["sold_kw"] + a["sent_kw"] + a["charge_kw"] + a["curtailed_kw"]
                assert brought == pytest.approx(taken, abs=1e-3)
                assert a["trade_kw"] == pytest.approx(a["bought_kw"] - a["sold_kw"], abs=1e-3)
                assert a["energy_level"] * a["capacity_kwh"] == pytest.approx(a["soc_kwh"], abs=1e-2)
                flows = [f for f in frame["energy_flows"] if a["id"] in (f["source"], f["target"])]
                net = sum(f["power_kw"] * (1 if f["target"] == a["id"] else -1) for f in flows)
                expected = a["trade_kw"] + a["received_kw"] - a["sent_kw"]
                assert net == pytest.approx(expected, abs=0.05), "flows below 10 W are left out"
            total += m["cost_eur"]
            assert m["cost_eur"] == pytest.approx(sum(a["cost_eur"] for a in agents), abs=1e-4)
            assert m["cost_eur_total"] == pytest.approx(total, abs=1e-4)
            paid = {a["id"]: paid[a["id"]] + a["cost_eur"] for a in agents}
            assert {a["id"]: a["cost_eur_total"] for a in agents} == pytest.approx(paid, abs=1e-5)
            assert m["cost_eur_total"] == pytest.approx(sum(a["cost_eur_total"] for a in agents), abs=1e-5)
            assert m["import_kw"] == pytest.approx(sum(a["bought_kw"] for a in agents), abs=1e-3)
            assert m["slack_kw"] == pytest.approx(m["import_kw"] - m["export_kw"] + m["loss_kw"], abs=0.05)
            assert m["mean_reward"] == pytest.approx(np.mean([a["reward"] for a in agents]), abs=1e-5)
            assert m["max_loading"] == max(frame["branches"]["loading"])
        assert any(abs(eur) > 0.01 for eur in paid.values())
        command(socket, "reset")
        command(socket, "step")
        again = server.get("/api/frame")
        assert [a["cost_eur_total"] for a in again["agents"]] == [a["cost_eur"] for a in again["agents"]]


def test_the_same_seed_is_the_same_run(server: Serving) -> None:
    seen = []
    for _ in range(2):
        server.start(seed=11, policy="random")
        server.post("/api/simulation/reset")
        server.post("/api/simulation/step", {"steps": 4})
        frame = server.get("/api/frame")
        seen.append((frame["step"], frame["agents"]))
    assert seen[0] == seen[1]


def test_every_command_is_answered(server: Serving) -> None:
    server.start()
    with server.connect(subprotocols=["grid.v1"]) as socket:
        assert socket.subprotocol == "grid.v1"
        assert until(socket, "hello")["schema_version"] == "grid.v1"
        assert valid(command(socket, "ping"))["status"]["state"] == "paused"
        assert valid(command(socket, "resume"))["status"]["state"] == "running"
        assert command(socket, "resume")["error"]["code"] == "conflict"
        assert valid(command(socket, "speed", speed=100))["status"]["speed"] == 100
        first = valid(until(socket, "frame"))
        second = valid(until(socket, "frame"))
        assert second["seq"] > first["seq"]
        assert command(socket, "pause")["status"]["state"] == "paused"
        assert valid(command(socket, "perturb", kind="demand_surge", steps=2, magnitude=4))["type"] == "ack"
        assert command(socket, "weights", rewards={"cost": 0.5})["status"]["weights"]["rewards"]["cost"] == 0.5
        assert command(socket, "reset")["status"]["progress"]["step"] == 0
        error = valid(command(socket, "start", scenario="tiny"))
        assert (error["error"]["code"], error["details"]["state"]) == ("conflict", "paused")
        again = valid(command(socket, "start", scenario="tiny", policy="idle", replace=True))
        assert again["status"]["run"]["policy"] == "idle"
        assert command(socket, "stop")["status"]["state"] == "stopped"


def test_a_new_community_is_announced_to_all_and_a_finished_one_too(server: Serving) -> None:
    server.start()
    with server.connect() as one, server.connect() as other:
        old = until(other, "hello")["run"]["id"]
        until(one, "frame") if server.get("/api/status")["progress"]["step"] else None
        command(one, "start", scenario="tiny", policy="idle", days=1, replace=True, speed="max")
        hello = until(other, "hello")
        while hello["run"]["id"] == old:
            hello = until(other, "hello")
        assert hello["policy"]["name"] == "idle"
        status = until(other, "status", state="finished")
        assert status["progress"]["step"] == 24
        assert server.get("/api/frame")["step"] == 24
        assert command(one, "reset")["status"]["state"] in ("running", "finished")


def test_perturbations_show_in_the_frames_and_end(server: Serving) -> None:
    server.start(seed=4, policy="idle")
    with server.connect() as socket:
        command(socket, "reset")
        command(socket, "perturb", kind="islanding", steps=2)
        command(socket, "perturb", kind="branch_outage", branch=2, steps=1)
        frames = []
        for _ in range(3):
            command(socket, "step")
            frames.append(valid(server.get("/api/frame")))
        assert [f["islanded"] for f in frames] == [True, True, False]
        assert [f["branches"]["open"] for f in frames] == [[2], [], []]
        assert [[p["steps_left"] for p in f["perturbations"]] for f in frames] == [[1, 0], [0], []]
        assert [f["metrics"]["import_kw"] > 0 or f["metrics"]["export_kw"] > 0 for f in frames] == [False, False, True]
        assert {a["status"] for a in frames[0]["agents"]} <= {"islanded", "unserved"}


def test_an_episode_that_ends_goes_on_as_the_next(server: Serving) -> None:
    server.start(seed=5)
    server.post("/api/simulation/reset")
    server.post("/api/simulation/step", {"steps": 25})
    frame = server.get("/api/frame")
    assert (frame["step"], frame["episode"], frame["episode_step"]) == (25, 1, 1)


def test_binary_frames_hold_the_same(server: Serving) -> None:
    server.start(seed=6)
    server.post("/api/simulation/step", {"steps": 8})
    plain = server.get("/api/frame")
    with server.connect(subprotocols=["grid.v1.f32", "grid.v1"]) as socket:
        assert socket.subprotocol == "grid.v1.f32"
        layout = until(socket, "hello")["binary"]
        message = receive(socket)
        while not isinstance(message, bytes):
            message = receive(socket)
    length = int.from_bytes(message[:4], "little")
    head, numbers = json.loads(message[4 : 4 + length]), np.frombuffer(message[4 + length :], dtype="<f4")
    assert head["metrics"] == plain["metrics"]
    assert (head["seq"], head["timestamp"], head["open"]) == (plain["seq"], plain["timestamp"], [])
    n = len(plain["agents"])
    for k, name in enumerate(layout["agents"]):
        column = numbers[k * n : (k + 1) * n]
        if name == "status":
            assert [layout["statuses"][int(x)] for x in column] == [a["status"] for a in plain["agents"]]
            assert layout["statuses"] == list(STATUSES)
        else:
            np.testing.assert_allclose(column, [a[name] for a in plain["agents"]], rtol=1e-6)
    rest = numbers[len(layout["agents"]) * n :]
    assert len(rest) == layout["links"] + layout["branches"] + layout["buses"]
    np.testing.assert_allclose(rest[layout["links"] :][: layout["branches"]], plain["branches"]["loading"], rtol=1e-6)
    np.testing.assert_allclose(rest[-layout["buses"] :], plain["buses"]["voltage_pu"], rtol=1e-6)


MALFORMED: list[tuple[Any, str, str | None]] = [
    ("{", "malformed", None),
    ("[1]", "malformed", None),
    ("null", "malformed", None),
    (b"\x00\xff", "malformed", None),
    ('{"type": "wish"}', "invalid", "type"),
    ('{"type": "command", "command": "pause"}', "invalid", "id"),
    ('{"type": "command", "id": true, "command": "pause"}', "invalid", "id"),
    ('{"type": "command", "id": 1, "command": "explode"}', "invalid", "command"),
    ('{"type": "command", "id": 1, "command": "pause", "arguments": []}', "invalid", "arguments"),
    ('{"type": "command", "id": 1, "command": "pause", "arguments": {"now": 1}}', "invalid", "now"),
    ('{"type": "command", "id": 1, "command": "speed", "arguments": {"speed": true}}', "invalid", "speed"),
    ('{"type": "command", "id": 1, "command": "speed", "arguments": {"speed": 1e999}}', "malformed", None),
    ('{"type": "command", "id": 1, "command": "perturb", "arguments": {"kind": "cloud", "steps": 1.5}}', "invalid",
     "steps"),
    ('{"type": "command", "id": 1, "command": "pause", "more": 1}', "invalid", "more"),
    ("[" * 5000, "malformed", None),
]  # fmt: skip


def test_malformed_messages_get_an_error_and_disturb_nothing(server: Serving) -> None:
    run = server.start()["run"]["id"]
    with server.connect() as socket:
        for message, code, field in MALFORMED:
            socket.send(message)
            error = valid(until(socket, "error"))
            assert (error["error"]["code"], error["error"]["field"]) == (code, field), (message, error)
        socket.send("{}")
        assert until(socket, "error")["error"]["message"] == "type is missing: expected 'command' or 'auth'"
        status = command(socket, "status")["status"]
        assert (status["state"], status["run"]["id"]) == ("paused", run)


def test_a_viewer_that_talks_nonsense_for_long_is_shown_out(server: Serving) -> None:
    with server.connect() as socket:
        for _ in range(50):
            socket.send("nonsense")
        assert close_code(socket) == 4400


def test_a_message_too_large_ends_that_viewer_only(server: Serving) -> None:
    with server.connect() as other, server.connect() as socket:
        socket.send("x" * (70 << 10))
        assert close_code(socket) == 1009
        assert command(other, "ping")["type"] == "ack"


def test_statuses_come_as_a_heartbeat(server: Serving) -> None:
    server.start()
    with server.connect() as socket:
        times = [valid(until(socket, "status"))["timestamp"] for _ in range(3)]
    assert times == sorted(times)
    assert len(set(times)) == 3
