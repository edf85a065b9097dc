"""Recordings, comparisons, scenarios, uploads and training over REST, on a real server."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from server.comparisons.models import ComparisonResult, ScalabilityResult
from server.recordings.models import FramePage
from server.wire import Frame
from tests.server.serving import Serving

DAY = "\n".join(
    ["timestamp,agent,demand_kw,generation_kw"]
    + [f"2025-06-{day:02d}T{hour:02d}:00,{who},1.{hour},0.5" for day in (2, 3) for hour in range(24) for who in "ab"]
)


def wait(condition: Callable[[], Any], seconds: float = 180.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)
    return found


def refused(server: Serving, status: int, method: str, path: str, **options: Any) -> dict[str, Any]:
    response = server.http(method, path, **options)
    assert response.status_code == status, f"{response.status_code} {response.text}"
    assert "Traceback" not in response.text
    assert str(server.data) not in response.text
    return response.json()


@pytest.fixture(scope="module")
def recording(server: Serving) -> str:
    """A complete recording of two simulated days with a perturbation."""
    server.start(seed=5, days=2)
    name = server.get("/api/recording")["recording"]
    server.post("/api/simulation/perturb", {"kind": "islanding", "steps": 3})
    server.post("/api/simulation/step", {"steps": 10})
    server.post("/api/simulation/speed", {"speed": "max"})
    server.post("/api/simulation/resume")
    wait(lambda: server.get(f"/api/recordings/{name}")["state"] == "complete")
    return name


def test_a_run_is_recorded_from_its_first_step(server: Serving, recording: str) -> None:
    about = server.get(f"/api/recordings/{recording}")
    assert (about["scenario"], about["policy"], about["seed"], about["frames"]) == ("tiny", "self-consumption", 5, 48)
    assert about["end_reason"] == "finished"
    assert len(about["about"]["hello"]["agents"]) == 3
    assert str(server.data) not in json.dumps(about)
    page = server.get(f"/api/recordings/{recording}/frames?first=40&limit=5")
    FramePage.model_validate(page)
    assert [Frame.model_validate(frame).step for frame in page["frames"]] == [41, 42, 43, 44, 45]
    assert page["next"] == 45
    sought = server.get(f"/api/recordings/{recording}/seek?step=30")
    assert sought["frame"] == 29
    assert server.get("/api/recordings")["recordings"][0]["id"] == recording


def test_what_happened_is_in_the_index(server: Serving, recording: str) -> None:
    events = server.get(f"/api/recordings/{recording}/events")["events"]
    kinds = {event["kind"]: event for event in events}
    assert {"outage", "perturbation"} <= set(kinds)
    assert kinds["outage"]["until"] - kinds["outage"]["frame"] == 3
    assert server.get(f"/api/recordings/{recording}/events?kind=perturbation")["total"] == 1


def test_streams_and_exports(server: Serving, recording: str) -> None:
    lines = server.http("GET", f"/api/recordings/{recording}/stream?speed=max").text.splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 49))
    paced = server.http("GET", f"/api/recordings/{recording}/stream?first=10&end=14&speed=1000").text.splitlines()
    assert [json.loads(line)["step"] for line in paced] == [11, 12, 13, 14]
    response = server.http("GET", f"/api/recordings/{recording}/export?format=csv")
    assert response.headers["content-disposition"] == f'attachment; filename="{recording}-agents.csv"'
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert len(rows) == 48 * 3
    assert float(rows[0]["demand_kw"]) >= 0
    bills = [float(row["cost_eur"]) for row in rows if row["id"] == rows[-1]["id"]]
    assert float(rows[-1]["cost_eur_total"]) == pytest.approx(sum(bills), abs=1e-4)
    assert len(server.get(f"/api/recordings/{recording}/export?format=json&first=40")["frames"]) == 8
    parquet = server.http("GET", f"/api/recordings/{recording}/export?format=parquet&table=metrics")
    if parquet.status_code == 501:
        assert "pip install" in parquet.json()["error"]["message"]
    else:
        assert parquet.content[:4] == parquet.content[-4:] == b"PAR1"


def test_recordings_are_changed_and_deleted(server: Serving, recording: str) -> None:
    changed = server.http("PATCH", f"/api/recordings/{recording}", json={"name": "my day", "pinned": True}).json()
    assert (changed["name"], changed["pinned"]) == ("my day", True)
    server.start(seed=6)
    live = server.get("/api/recording")["recording"]
    wait(lambda: server.http("GET", f"/api/recordings/{live}").status_code == 200)
    assert "stop the run first" in refused(server, 409, "DELETE", f"/api/recordings/{live}")["error"]["message"]
    server.post("/api/simulation/stop")
    wait(lambda: server.get(f"/api/recordings/{live}")["state"] == "complete")
    assert server.http("DELETE", f"/api/recordings/{live}").status_code == 204
    refused(server, 404, "GET", f"/api/recordings/{live}")
    refused(server, 422, "GET", "/api/recordings/...etc")
    refused(server, 422, "GET", f"/api/recordings/{recording}/seek?step=one")
    refused(server, 404, "GET", f"/api/recordings/{recording}/seek?step=100000")


def test_a_comparison_from_request_to_file(server: Serving) -> None:
    body = {"policies": ["idle", "self-consumption"], "scenarios": ["tiny"], "episodes": 2}
    job = server.post("/api/comparisons", body, expect=202)
    assert job["state"] in ("queued", "running")
    refused(server, 409, "GET", f"/api/comparisons/{job['id']}/result")
    cancelled = server.post("/api/comparisons", body, expect=202)["id"]
    assert server.post(f"/api/comparisons/{cancelled}/cancel")["state"] == "cancelled"
    over = wait(lambda: (j := server.get(f"/api/comparisons/{job['id']}"))["ended"] and j)
    assert over["state"] == "done", over["error"]
    result = ComparisonResult.model_validate(server.get(f"/api/comparisons/{job['id']}/result"))
    assert list(result.scenarios[0].costs) == ["idle", "self-consumption"]
    text = server.http("GET", f"/api/comparisons/{job['id']}/export?table=daily").text
    assert len(text.splitlines()) == 1 + 2 * 3
    exported = server.http("GET", f"/api/comparisons/{job['id']}/export?format=json")
    assert exported.headers["content-disposition"] == f'attachment; filename="comparison-{job["id"]}.json"'
    assert ComparisonResult.model_validate_json(exported.text) == result
    assert server.http("DELETE", f"/api/comparisons/{job['id']}").status_code == 204
    assert [j["id"] for j in server.get("/api/comparisons")["jobs"]] == [cancelled]


def test_scalability_from_request_to_file(server: Serving) -> None:
    job = server.post("/api/scalability", {"sizes": [3, 5], "days": 0.25, "episodes": 1}, expect=202)["id"]
    refused(server, 409, "GET", f"/api/scalability/{job}/export")
    over = wait(lambda: (j := server.get(f"/api/scalability/{job}"))["ended"] and j)
    assert over["state"] == "done", over["error"]
    result = ScalabilityResult.model_validate(server.get(f"/api/scalability/{job}/result"))
    exported = server.http("GET", f"/api/scalability/{job}/export?format=json")
    assert ScalabilityResult.model_validate_json(exported.text) == result
    rows = list(csv.DictReader(io.StringIO(server.http("GET", f"/api/scalability/{job}/export").text)))
    assert [int(row["num_agents"]) for row in rows] == [row.num_agents for row in result.rows] == [3, 5]
    assert [float(row["step_ms"]) for row in rows] == [row.step_ms for row in result.rows]
    refused(server, 404, "GET", f"/api/comparisons/{job}/export")  # of the other kind
    assert server.http("DELETE", f"/api/scalability/{job}").status_code == 204


def test_comparisons_that_cannot_be_made_are_refused(server: Serving) -> None:
    wrong = {"policies": ["community-5"], "scenarios": ["tiny"]}
    error = refused(server, 422, "POST", "/api/comparisons", json=wrong)["error"]
    assert (error["code"], error["field"]) == ("does_not_fit", "policies")
    refused(server, 404, "POST", "/api/comparisons", json={"policies": ["idle"], "scenarios": ["nowhere"]})
    refused(server, 422, "POST", "/api/scalability", json={"policy": "optimum"})
    refused(server, 422, "POST", "/api/scalability", json={"days": 0.1})  # 9.6 steps
    refused(server, 404, "GET", "/api/scalability/20260101-000000-00000000/result")


def test_scenarios_are_checked_saved_run_and_deleted(server: Serving) -> None:
    draft = {"scenario": {"base": "tiny", "episode_days": 2, "tariff": {"import_eur_per_kwh": 0.3}}}
    checked = server.post("/api/scenarios/validate", draft)
    assert checked["valid"], checked["faults"]
    assert (checked["sizes"]["num_agents"], checked["sizes"]["episode_steps"]) == (3, 48)
    saved = server.post("/api/scenarios/save", {"name": "mine", **draft}, expect=201)
    assert 'base = "tiny.toml"' in saved["toml"]
    assert server.get("/api/scenarios/mine/source")["toml"].endswith(saved["toml"])
    assert "mine" in [entry["name"] for entry in server.get("/api/scenarios")]
    assert server.start(scenario="mine")["run"]["scenario"] == "mine"
    again = refused(server, 409, "POST", "/api/scenarios/save", json={"name": "mine", **draft})
    assert "replace" in again["error"]["message"]
    server.post("/api/scenarios/save", {"name": "mine", "replace": True, **draft}, expect=201)
    refused(server, 409, "POST", "/api/scenarios/save", json={"name": "community-5", "replace": True, **draft})
    assert "base of mine" in refused(server, 409, "DELETE", "/api/scenarios/tiny")["error"]["message"]
    refused(server, 409, "DELETE", "/api/scenarios/outage")
    assert server.http("DELETE", "/api/scenarios/mine").status_code == 204


def test_every_fault_of_a_scenario_is_said_by_field(server: Serving) -> None:
    draft = {"scenario": {"base": "tiny", "episode_days": -1, "nonsense": 1, "links": {"topology": "star"}}}
    faults = {f["field"]: f["message"] for f in server.post("/api/scenarios/validate", draft)["faults"]}
    assert {"episode_days", "nonsense", "links"} <= {field.split(".")[0] for field in faults}
    body = refused(server, 422, "POST", "/api/scenarios/save", json={"name": "bad", **draft})
    assert len(body["details"]["faults"]) == len(faults)
    for scenario in (
        {"base": "../../etc/passwd"},
        {"base": "tiny", "profiles": {"path": "/etc/passwd"}},
        {"base": "tiny", "override": {"profiles.path": "/etc/passwd"}},
        {"base": "tiny", "network": {"feeder": "/etc/passwd"}},
        {"base": "tiny", "override": {"network.feeder": "/etc/hosts.csv"}},
        {"base": "tiny", "override": 3},
        {"prosumers": 3, "profiles": [], "network": "x"},
    ):
        checked = server.post("/api/scenarios/validate", {"scenario": scenario})
        assert not checked["valid"], scenario
        assert "root:" not in json.dumps(checked)
    assert not server.post("/api/scenarios/validate", {"toml": "a = = 3"})["valid"]
    assert server.post("/api/scenarios/validate", {})["faults"][0]["field"] == "scenario"


def upload(server: Serving, text: str, **query: Any) -> Any:
    return server.http(
        "POST", "/api/data/upload", content=text.encode(), params=query, headers={"content-type": "text/csv"}
    )


def test_an_uploaded_file_becomes_a_scenario(server: Serving) -> None:
    about = upload(server, DAY, name="mydata", step_minutes=60, time_zone="Europe/Berlin").json()
    assert (about["agents"], about["days"], about["hold_out"]) == (["a", "b"], 1.0, False)
    assert upload(server, DAY, name="mydata", step_minutes=60).status_code == 409
    assert [file["name"] for file in server.get("/api/data")] == ["mydata"]
    draft = {
        "step_minutes": 60, "episode_days": 0.5, "prosumers": [{"name": "a"}, {"name": "b"}],
        "forecast": {"kind": "none", "window_edges_h": [1]},
        "profiles": {"source": "csv", "path": "mydata", "time_zone": "UTC", "hold_out": False},
    }  # fmt: skip
    saved = server.post("/api/scenarios/save", {"name": "measured", "scenario": draft}, expect=201)
    assert saved["config"]["profiles"]["path"] == "mydata"
    assert server.start(scenario="measured")["run"]["scenario"] == "measured"
    assert "measured" in refused(server, 409, "DELETE", "/api/data/mydata")["error"]["message"]
    server.http("DELETE", "/api/scenarios/measured")
    assert server.http("DELETE", "/api/data/mydata").status_code == 204


def test_faulty_files_are_told_by_row_and_column(server: Serving) -> None:
    lines = DAY.splitlines()
    lines[7] = lines[7].replace("1.3", "-1.3")
    body = refused(
        server,
        422,
        "POST",
        "/api/data/upload?name=bad&step_minutes=60",
        content="\n".join(lines).encode(),
        headers={"content-type": "text/csv"},
    )
    assert body["details"] == {"row": 8, "column": "demand_kw"}
    assert body["error"]["message"].startswith("bad.csv, row 8, column demand_kw, value '-1.3': is negative")
    for text, match in (
        ("", "empty"),
        ("a,b\n1,2\n", "column timestamp is missing"),
        (DAY.replace(",", ";"), "semicolons"),
        (DAY + "\n2025-06-04T00:00,a,1", "3 fields"),
        ("\x00\ufffd", "missing"),
    ):
        assert (
            match
            in refused(
                server,
                422,
                "POST",
                "/api/data/upload?name=bad&step_minutes=60",
                content=text.encode(),
                headers={"content-type": "text/csv"},
            )["error"]["message"]
        )
    refused(server, 415, "POST", "/api/data/upload?name=bad", files={"file": DAY})
    refused(server, 422, "POST", "/api/data/upload?name=../bad", content=b"x")
    assert server.get("/api/data") == []
    prices = "timestamp,import_eur_per_kwh,export_eur_per_kwh\n2025-06-02T00:00,0.2,0.3\n2025-06-02T01:00,0.2,0.1\n"
    assert upload(server, prices, name="p", kind="prices").json()["details"]["column"] == "export_eur_per_kwh"
    feeder = "from_bus,to_bus,r_ohm,x_ohm,rating_a\na,b,0.1,0.1,100\nb,c,-1,0.1,100\n"
    assert upload(server, feeder, name="f", kind="feeder").json()["details"] == {"row": 3, "column": "r_ohm"}


def test_training_answers_without_one(server: Serving) -> None:
    assert server.get("/api/training")["state"] == "idle"
    refused(server, 409, "DELETE", "/api/training")
    assert "learning_rate" in server.get("/api/training/schema")["properties"]
    error = refused(server, 422, "POST", "/api/training", json={"config": {"gamma": 7}})["error"]
    assert error["field"] == "config.gamma"
    assert "none" not in [run["name"] for run in server.get("/api/runs")]
    refused(server, 404, "GET", "/api/runs/none/metrics")


def test_the_openapi_has_every_answer(server: Serving) -> None:
    paths = server.get("/api/openapi.json")["paths"]
    for path in ("recordings", "comparisons", "scalability", "training", "runs", "data", "scenarios/save"):
        operations = [o for p, item in paths.items() if p.startswith(f"/api/{path}") for o in item.values()]
        assert operations
        for operation in operations:
            assert operation.get("description"), operation["operationId"]
            for code, answer in operation["responses"].items():
                assert code in ("204",) or answer.get("content"), operation["operationId"]
