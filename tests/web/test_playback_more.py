"""Playback of a community that still runs, the way from event to event, and every file one can take along."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tests.server.serving import Serving
from tests.web.browsing import watched
from tests.web.watching import at_rest, exported, open_view, recorded_run, wait_place, wait_step, wait_text

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def recording(server: Serving) -> str:
    """A run that is over, with two outages and a price spike apart from each other."""
    at = at_rest(server, 3)
    for body in (
        {"kind": "islanding", "steps": 2},
        {"kind": "price_spike", "steps": 3},
        {"kind": "islanding", "steps": 2},
    ):
        server.post("/api/simulation/perturb", body)
        server.post("/api/simulation/step", {"steps": 6})
    server.post("/api/simulation/stop")
    return recorded_run(server, at + 18)[0]


def frames(server: Serving, recording: str) -> list[dict[str, Any]]:
    return server.get(f"/api/recordings/{recording}/frames?limit=1000")["frames"]


def test_a_running_community_is_so_many_steps_ahead(server: Serving, page: Any) -> None:
    at = at_rest(server, 12)
    name, stored = recorded_run(server, at)
    open_view(page, server, f"playback?recording={name}&frame=4")
    wait_place(page, 4)
    shown = stored[4]["step"]
    wait_text(page, ".behind", f"{at - shown} steps behind live · go live")
    server.post("/api/simulation/step", {"steps": 3})
    wait_text(page, ".behind", f"{at + 3 - shown} steps behind live · go live")
    page.wait_for_function("(last) => document.querySelector('.scrub').max === String(last)", arg=at + 2)
    page.keyboard.press("End")
    wait_place(page, at + 2)
    wait_text(page, ".behind", "live")
    page.keyboard.press("ArrowLeft")
    wait_text(page, ".behind", "1 step behind live · go live")
    page.locator(".behind").click()
    page.locator(".transport").wait_for()
    wait_step(page, at + 3)
    assert "#/live" in page.url
    server.start()  # another community runs: nothing to be behind of
    page.go_back()
    wait_place(page, at + 1)
    page.locator(".behind").wait_for(state="hidden")


def test_nothing_is_behind_a_run_that_is_over(server: Serving, page: Any) -> None:
    server.start(days=1)
    server.post("/api/simulation/step", {"steps": 24})
    name, _ = recorded_run(server, 24)
    open_view(page, server, f"playback?recording={name}&frame=4")
    wait_place(page, 4)
    assert page.locator(".behind").is_hidden()


def test_a_recording_that_is_gone_is_said_in_words(server: Serving, browser: Any, recording: str) -> None:
    with watched(browser, may_lose_connection=True) as page:  # a browser tells of the answer 404 itself
        open_view(page, server, "playback?recording=20200101-000000-00000000")
        page.get_by_text("There is no such recording").wait_for()
        page.get_by_role("link", name="Show the newest one").click()
        wait_place(page, 0)


def test_n_and_p_go_from_event_to_event(server: Serving, page: Any, recording: str) -> None:
    events = server.get(f"/api/recordings/{recording}/events")["events"]
    assert {event["kind"] for event in events} >= {"outage", "perturbation"}
    stops = sorted({event["frame"] for event in events})
    assert len(stops) >= 3
    open_view(page, server, f"playback?recording={recording}&frame=0")
    wait_place(page, 0)
    page.locator(".events .event").first.wait_for()
    ahead = [frame for frame in stops if frame > 0]
    for frame in ahead:
        page.keyboard.press("n")
        wait_place(page, frame)
        here = [event for event in events if event["frame"] == frame]
        told = page.locator(".now-events").inner_text()
        assert told, "what happens is said; a wish and what came of it in one sentence"
        assert all(event["detail"] in told for event in here if event["kind"] != "perturbation")
        assert page.locator(".events .event[aria-current]").count() >= 1
    page.keyboard.press("n")
    page.locator(".toast", has_text="No event after this step.").wait_for()
    for frame in reversed(stops[:-1]):
        page.keyboard.press("p")
        wait_place(page, frame)
    page.keyboard.press("p")
    page.locator(".toast", has_text="No event before this step.").wait_for()
    page.get_by_role("button", name="Next event").click()  # the same by button
    wait_place(page, stops[1])


def test_everything_as_json_is_what_the_api_has(server: Serving, page: Any, recording: str, tmp_path: Path) -> None:
    open_view(page, server, f"playback?recording={recording}")
    wait_place(page, 0)
    data = json.loads(exported(page, "everything, JSON", tmp_path).read_bytes())
    assert data["frames"] == frames(server, recording)
    assert data["events"] == server.get(f"/api/recordings/{recording}/events")["events"]
    assert data["recording"] == server.get(f"/api/recordings/{recording}")


def _lines(table: str, frame: dict[str, Any]) -> list[dict[str, Any]]:
    if table == "metrics":
        return [{"stability": frame["stability"]} | frame["metrics"]]
    return frame["agents" if table == "agents" else "energy_flows"]


def _same(cell: str, value: Any) -> bool:
    return cell == str(value) if isinstance(value, str | bool) else float(cell) == value


@pytest.mark.parametrize("table", ["agents", "flows", "metrics"])
def test_tables_have_a_line_for_each_of_the_api_s(
    server: Serving, page: Any, recording: str, tmp_path: Path, table: str
) -> None:
    open_view(page, server, f"playback?recording={recording}")
    wait_place(page, 0)
    path = exported(page, f"{table}, CSV", tmp_path)
    assert path.name == f"{recording}-{table}.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    expected = [
        {"frame": k, "timestamp": frame["timestamp"], "sim_time": frame["sim_time"], "step": frame["step"]} | line
        for k, frame in enumerate(frames(server, recording))
        for line in _lines(table, frame)
    ]
    assert len(rows) == len(expected) > 0
    for row, line in zip(rows, expected, strict=True):
        assert row.keys() == line.keys()
        assert all(_same(row[key], value) for key, value in line.items()), (row, line)
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install -e '.[parquet]'")
    found = parquet.read_table(exported(page, f"{table}, Parquet", tmp_path)).to_pylist()
    assert [{key: line[key] for key in expected[0]} for line in found] == expected


def test_pictures_are_whole_files_of_what_is_drawn(server: Serving, page: Any, recording: str, tmp_path: Path) -> None:
    open_view(page, server, f"playback?recording={recording}&frame=6")
    wait_place(page, 6)
    page.locator(".playback-grid .node").nth(2).wait_for()
    drawing = exported(page, "picture, SVG", tmp_path)
    assert drawing.name == f"{recording}-6.svg"
    root = ElementTree.parse(drawing).getroot()
    assert root.tag == f"{SVG}svg"
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    assert min(width, height) > 200
    texts = " ".join(root.itertext())
    for name in ("p0", "p1", "p2", "utility"):
        assert name in texts
    layers = [image.attrib["href"] for image in root.iter(f"{SVG}image")]
    assert layers
    for layer in layers:  # nothing of it lies elsewhere
        head, _, data = layer.partition(",")
        assert head == "data:image/png;base64"
        assert imread(io.BytesIO(b64decode(data))).size
    pixels = imread(exported(page, "picture, PNG", tmp_path))
    assert pixels.shape[:2] == (int(2 * height), int(2 * width))
    colours = np.unique((pixels[..., :3] * 255).astype(np.uint8).reshape(-1, 3), axis=0)
    assert len(colours) > 100
