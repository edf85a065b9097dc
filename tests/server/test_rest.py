"""REST: what each endpoint answers, and the one shape of every error."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from server import logs
from server.__main__ import main
from server.requests import COMMANDS
from server.settings import Settings
from tests.server.serving import Serving


def fault(server: Serving, status: int, method: str, path: str, **options: Any) -> dict[str, Any]:
    """The error of a request that must be refused, in its shape."""
    response = server.http(method, path, **options)
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body["error"]) == {"code", "message", "field"}
    assert "/home/" not in response.text
    assert "Traceback" not in response.text
    return body["error"]


def test_a_run_from_start_to_stop(server: Serving) -> None:
    status = server.start(seed=7, days=2)
    assert status["state"] == "paused"
    run = status["run"]
    assert (run["scenario"], run["policy"], run["seed"], run["days"], run["steps"]) == (
        "tiny", "self-consumption", 7, 2, 48
    )  # fmt: skip
    before = status["progress"]["step"]
    assert server.post("/api/simulation/step", {"steps": 3})["progress"]["step"] == before + 3
    assert server.post("/api/simulation/speed", {"speed": "max"})["speed"] == "max"
    weights = server.post("/api/simulation/weights", {"rewards": {"cost": 3}, "stability": {"voltage": 3}})["weights"]
    assert weights["rewards"]["cost"] == 3
    assert sum(weights["stability"].values()) == pytest.approx(1, abs=1e-5)
    lasting = server.post("/api/simulation/perturb", {"kind": "cloud", "steps": 2})["perturbations"]
    assert lasting == [{"kind": "cloud", "magnitude": 0.2, "branch": None, "steps_left": 2}]
    again = server.post("/api/simulation/reset")
    assert (again["state"], again["progress"]["step"], again["perturbations"]) == ("paused", 0, [])
    assert again["run"]["id"] > run["id"]
    assert again["weights"]["rewards"]["cost"] == 3, "what was set by hand outlives a reset"
    assert server.post("/api/simulation/resume")["state"] in ("running", "finished")
    assert server.post("/api/simulation/stop")["state"] == "stopped"
    assert server.post("/api/simulation/stop")["state"] == "stopped", "stopping twice does no harm"
    assert server.get("/api/status")["run"]["id"] == again["run"]["id"]


def test_start_while_something_runs_says_what(server: Serving) -> None:
    server.start(seed=3)
    response = server.http("POST", "/api/simulation/start", json={"scenario": "tiny"})
    assert response.status_code == 409
    body = response.json()
    assert body["error"]["code"] == "conflict"
    assert "tiny with self-consumption is paused" in body["error"]["message"]
    for wrong in ({"scenario": "tinny"}, {"policy": "mpc-noisi"}):
        error = fault(server, 404, "POST", "/api/simulation/start", json=wrong)
        assert error["field"] == next(iter(wrong)), "a wrong name, before what runs is said to be in the way"
    assert body["details"]["run"]["seed"] == 3
    assert server.get("/api/status")["run"]["seed"] == 3


def test_what_cannot_start_is_refused_and_the_run_goes_on(server: Serving) -> None:
    run = server.start()["run"]["id"]
    for status, code, field, body in (
        (404, "not_found", "scenario", {"scenario": "tinny"}),
        (404, "not_found", "policy", {"scenario": "tiny", "policy": "self-consumtion"}),
        (404, "not_found", "policy", {"scenario": "tiny", "policy": "community-5@best"}),
        (422, "does_not_fit", "policy", {"scenario": "tiny", "policy": "community-5"}),
        (422, "invalid", "scenario", {"scenario": "../../etc/passwd"}),
        (422, "invalid", "seed", {"seed": True}),
        (422, "invalid", "seed", {"seed": -1}),
        (422, "invalid", "days", {"days": 0}),
        (422, "invalid", "speed", {"speed": 1000}),
        (422, "invalid", "sped", {"sped": 10}),
    ):
        error = fault(server, status, "POST", "/api/simulation/start", json=body | {"replace": True})
        assert (error["code"], error["field"]) == (code, field), error
    assert "did you mean 'tiny'" in fault(
        server, 404, "POST", "/api/simulation/start", json={"scenario": "tinny", "replace": True}
    )["message"]  # fmt: skip
    reason = fault(
        server, 422, "POST", "/api/simulation/start",
        json={"scenario": "tiny", "policy": "community-5", "replace": True},
    )["message"]  # fmt: skip
    assert "num_agents = 5; tiny has 3" in reason
    assert server.get("/api/status")["run"]["id"] == run


def test_commands_out_of_place_are_refused(server: Serving) -> None:
    server.start()
    assert "expected running" in fault(server, 409, "POST", "/api/simulation/pause")["message"]
    error = fault(server, 404, "POST", "/api/simulation/perturb", json={"kind": "branch_outage", "branch": 99})
    assert (error["field"], error["message"]) == (
        "branch", "branch = 99: the feeder has branches 1 … 4 that can open"
    )  # fmt: skip
    for body in (
        {"kind": "earthquake"}, {"kind": "cloud", "steps": 0}, {"kind": "cloud", "magnitude": 2},
        {"kind": "islanding", "magnitude": 1}, {"kind": "branch_outage"}, {"kind": "cloud", "branch": 1},
    ):  # fmt: skip
        error = fault(server, 422, "POST", "/api/simulation/perturb", json=body)
        assert (error["code"], error["field"]) == (
            "invalid",
            "kind"
            if "earthquake" in body.values()
            else next(field for field in ("steps", "magnitude", "branch") if field in body or field == "branch"),
        )
    nothing = {"stability": dict.fromkeys(("voltage", "loading", "balance", "reserve"), 0)}
    assert fault(server, 409, "POST", "/api/simulation/weights", json=nothing)["field"] == "stability"
    server.post("/api/simulation/stop")
    for name in ("pause", "resume", "step", "reset"):
        assert "is stopped" in fault(server, 409, "POST", f"/api/simulation/{name}")["message"]
    assert fault(server, 409, "POST", "/api/simulation/perturb", json={"kind": "cloud"})["code"] == "conflict"


def test_bodies_that_are_no_json_and_paths_that_are_not_there(server: Serving) -> None:
    json_type = {"content-type": "application/json"}
    assert fault(server, 400, "POST", "/api/simulation/start", content="{", headers=json_type)["code"] == "malformed"
    assert fault(server, 404, "GET", "/api/nothing")["code"] == "not_found"
    assert fault(server, 405, "GET", "/api/simulation/start")["code"] == "method_not_allowed"
    form = {"content-type": "application/x-www-form-urlencoded"}  # curl -d
    for headers, said in ((form, "content-type = 'application/x-www-form-urlencoded'"), ({}, "has no content-type")):
        error = fault(server, 415, "POST", "/api/simulation/speed", content='{"speed": 5}', headers=headers)
        assert (error["code"], error["field"]) == ("unsupported_media_type", "content-type")
        assert said in error["message"]
        assert error["message"].endswith("content-type: application/json")
    error = fault(server, 422, "POST", "/api/simulation/speed", headers=json_type)
    assert error["code"] == "invalid", "no body at all"
    error = fault(server, 422, "POST", "/api/simulation/speed", json={"speed": -1})
    assert error["message"] == 'speed = -1: expected steps a second, from 0.1 to 100, or "max"'
    large = "x" * (1 << 20) + "yz"
    assert fault(server, 413, "POST", "/api/simulation/start", content=large, headers=json_type)["code"] == "too_large"
    chunks = (b"x" * 65536 for _ in range(17))
    assert fault(server, 413, "POST", "/api/simulation/start", content=chunks, headers=json_type)["code"] == "too_large"


def test_agents_and_the_newest_frame(server: Serving) -> None:
    server.start()
    server.post("/api/simulation/step")
    agents, frame = server.get("/api/agents"), server.get("/api/frame")
    assert [a["id"] for a in agents] == ["agent_0", "agent_1", "agent_2"]
    assert [a["now"] for a in agents] == frame["agents"]
    assert agents[0]["archetype"] == "residential"


def test_policies_say_whether_they_fit(server: Serving) -> None:
    policies = {p["name"]: p for p in server.get("/api/policies?scenario=tiny")}
    assert policies["community-5"]["fits"] is False
    assert "num_agents = 5; tiny has 3" in policies["community-5"]["reason"]
    assert policies["mpc-perfect"]["fits"] is True
    assert {p["fits"] for p in server.get("/api/policies")} == {None}
    fitting = {p["name"]: p["fits"] for p in server.get("/api/policies?scenario=price-spike")}
    assert fitting["community-5"] is True
    assert fault(server, 404, "GET", "/api/policies?scenario=nothing")["field"] == "scenario"


def test_scenarios_their_configuration_and_its_schema(server: Serving) -> None:
    scenarios = {s["name"]: s for s in server.get("/api/scenarios")}
    assert scenarios["community-5"]["source"] == "shipped"
    assert (scenarios["tiny"]["source"], scenarios["tiny"]["num_agents"]) == ("saved", 3)
    detail = server.get("/api/scenarios/tiny")
    assert detail["config"]["profiles"]["path"] == "tiny.csv", "no folder of this machine"
    assert "prosumers" in server.get("/api/scenarios/schema")["properties"]
    assert fault(server, 404, "GET", "/api/scenarios/tinny")["field"] == "scenario"


def test_the_root_answers_programs_and_sends_browsers_to_the_page(server: Serving) -> None:
    assert server.get("/")["status"]["version"] == server.get("/healthz")["version"]
    response = server.http("GET", "/", headers={"accept": "text/html,*/*"})
    assert (response.status_code, response.headers["location"]) == (307, "/web/")
    page = server.http("GET", "/web/")
    assert page.status_code == 404
    assert "<h1>" in page.text
    assert "--web-dir" in page.text


def test_the_page_its_libraries_and_nothing_else(server: Serving) -> None:
    web = server.data.parent / "web"
    modules = web / "node_modules" / "d3" / "dist"
    modules.mkdir(parents=True)
    (modules / "d3.min.js").write_text("d3")
    for name in ("index.html", "main.js", ".env", "notes.py"):
        (web / name).write_text(name)
    (server.data.parent / "secret.html").write_text("secret")
    try:
        assert server.http("GET", "/web/").text == "index.html"
        script = server.http("GET", "/web/main.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "default-src 'none'" in script.headers["content-security-policy"]
        assert script.headers["x-content-type-options"] == "nosniff"
        assert server.http("GET", "/vendor/d3.min.js").text == "d3"
        for path in (
            "/web/.env", "/web/notes.py", "/web/node_modules/d3/dist/d3.min.js", "/web/..%2fsecret.html",
            "/vendor/uPlot.min.css", "/vendor/..%2f..%2fx", "/web/nothing.js",
        ):  # fmt: skip
            assert fault(server, 404, "GET", path)["code"] == "not_found"
    finally:
        (web / "index.html").unlink()


def test_meters(server: Serving) -> None:
    server.start()
    server.post("/api/simulation/step")
    text = server.http("GET", "/metrics").text
    for name in ("smartgrid_viewers", "smartgrid_frames_dropped_total", "smartgrid_step_seconds_bucket",
                 "smartgrid_broadcast_seconds_bucket"):  # fmt: skip
        assert f"\n{name}" in text


def test_openapi_lists_every_command(server: Serving) -> None:
    paths = server.get("/api/openapi.json")["paths"]
    for name in COMMANDS:
        assert name in ("status", "ping") or f"/api/simulation/{name}" in paths


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "server", "--port", str(port)], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "--port" in done.stderr


def test_flags_that_cannot_be(folder) -> None:
    run = lambda *flags: subprocess.run(  # noqa: E731
        [sys.executable, "-m", "server", *flags], capture_output=True, text=True, timeout=60
    )
    done = run("--port", "99999", "--token", "short")
    assert done.returncode == 2
    assert "port = '99999'" in done.stderr
    assert "at least 16 characters" in done.stderr
    assert "short" not in done.stderr
    for flags, said in (
        (("--speed", "fast"), "speed = 'fast': expected steps a second, from 0.1 to 100, or \"max\""),
        (("--rest-limit", "often"), "rest-limit = 'often': expected a rate such as 1200/minute"),
        (("--ssl-certfile", "nowhere.pem", "--ssl-keyfile", __file__), "ssl-certfile = 'nowhere.pem'"),
        (("--ssl-certfile", __file__, "--ssl-keyfile", __file__), "are no certificate and key"),
        (("--data-dir", f"{__file__}/below"), "cannot be made (Not a directory)"),
        (("--host", "no.such.host.invalid", "--data-dir", str(folder)), "cannot listen on no.such.host.invalid"),
    ):
        done = run("--port", "0", "--no-autostart", *flags)
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert "Unknown error" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--scenario", "nope"), "--scenario: unknown scenario 'nope': known are community-5,"),
        (("--policy", "mpc-noisi"), "--policy: unknown policy 'mpc-noisi': did you mean 'mpc-noisy'?"),
        (("--policy", "mpc-noisy", "--scenario", "town-1000"), "--policy: mpc-noisy plans for at most 100 prosumers"),
    ],
)
def test_what_an_operator_named_and_cannot_run_ends_the_server(
    folder: Path, flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    assert main(["--port", "0", "--data-dir", str(folder), *flags]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert "smartgrid-marl: " not in told.out, "it never says where it listens"


def test_help_names_the_folders_there_are_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Undefined" not in said
    assert f"(default: {Settings().data_dir})" in said.replace("- ", "-")
