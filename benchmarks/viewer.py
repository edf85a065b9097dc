"""What the page costs a browser: frames a second, script a frame, time until it is ready, memory over minutes.

A headless Chromium, drawing in software, opens the page of a real server process and watches communities of 5, 100 and
1,000 prosumers at ten steps a second, animations on. Frames are those the browser really drew (requestAnimationFrame);
script and layout are CPU time of the page's thread by its own clocks (`Performance.getMetrics`).
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import wide
from benchmarks.serve import HZ, server
from smartgrid_core import GridConfig
from smartgrid_core.errors import UserError

WEB = Path(__file__).parent.parent / "web"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
SIZE = {"width": 1440, "height": 900}
HUNDRED = "suburb-100"
CASES = (("community-5", 5), (HUNDRED, 100), ("town-1000", 1000))
AIMS = {5: {"fps": 58.0}, 100: {"fps": 58.0}, 1000: {"fps": 30.0, "script_ms_per_frame": 4.0}}
READY_S = 1.5
WARM_UP_S = 3.0
SAMPLE_S = 15.0  # between two looks at the heap
FULL = 0.2  # of the minutes, in which histories and caches fill
READY = """() => {
  const shown = document.querySelector("[data-tile=demand] .value")?.textContent;
  return shown && shown !== "–" && document.querySelector(".grid-svg") ? performance.now() / 1000 : 0;
}"""
COUNT = """(seconds) => new Promise((done) => {
  const times = [];
  const begin = performance.now();
  const tick = (now) => {
    times.push(now);
    if (now - begin < seconds * 1000) requestAnimationFrame(tick);
    else done(times);
  };
  requestAnimationFrame(tick);
})"""


def run(quick: bool = False, minutes: float = 10.0) -> list[dict[str, Any]]:
    """Measure all; prints a table and returns one record a case.

    Args:
        quick: short windows, and half a minute for the memory.
        minutes: of watching the memory of a page, live.

    Raises:
        UserError: no Chromium, no Playwright, or the page's libraries are not installed.
    """
    rounds, seconds, minutes = (2, 3.0, 0.4) if quick else (3, 10.0, minutes)
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, _chromium() as browser, server(Path(folder)) as ours:
        base = f"http://127.0.0.1:{ours.port}"
        _save_hundred(base)
        for scenario, agents in CASES:
            _start(base, scenario)
            ready = [_ready(browser, base) for _ in range(rounds)]
            records.append(_watch(browser, base, agents, rounds, seconds) | {"scenario": scenario, "ready_s": ready})
        _start(base, CASES[0][0])
        records.append(_memory(browser, base, minutes))
    _print(records)
    return records


@contextmanager
def _chromium() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("playwright is not installed; expected it for the browser: pip install playwright") from None
    path = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
    if path is None:
        raise UserError("no chromium, chromium-browser or google-chrome on the path: apt-get install chromium")
    if not (WEB / "node_modules" / "d3").is_dir():
        raise UserError(f"the page's libraries are not installed in {WEB}: make web")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def _save_hundred(base: str) -> None:
    """The suburb with 100 prosumers in place of 40, on a feeder that grew with it."""
    suburb = GridConfig.load("suburb-40")
    prosumers = suburb.model_dump(mode="json", include={"prosumers"}, exclude_none=True)["prosumers"]
    for kind in prosumers:
        kind["count"] = round(kind["count"] * 2.5)
    body = {"base": "suburb-40", "prosumers": prosumers, "network": {"buses": 150}}
    httpx.post(f"{base}/api/scenarios/save", json={"name": HUNDRED, "scenario": body}, timeout=60).raise_for_status()


def _start(base: str, scenario: str) -> None:
    body = {"scenario": scenario, "policy": "self-consumption", "speed": HZ, "replace": True}
    httpx.post(f"{base}/api/simulation/start", json=body, timeout=600).raise_for_status()


@contextmanager
def _page(browser: Any, base: str) -> Iterator[tuple[Any, float]]:
    """A page in a browser context of its own, so that nothing is cached, and when it was ready, s."""
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.goto(f"{base}/web/", wait_until="commit")
    ready = page.wait_for_function(READY, polling=10, timeout=120_000).json_value()
    try:
        yield page, ready
    finally:
        context.close()


def _ready(browser: Any, base: str) -> float:
    with _page(browser, base) as (_, ready):
        return ready


def _watch(browser: Any, base: str, agents: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Frames and what each takes, over several windows."""
    with _page(browser, base) as (page, _):
        tool = page.context.new_cdp_session(page)
        tool.send("Performance.enable", {"timeDomain": "threadTicks"})
        time.sleep(WARM_UP_S)
        windows = []
        for _ in range(rounds):
            before, step = _clocks(tool), _step(base)
            times = page.evaluate(COUNT, seconds)
            after = _clocks(tool)
            gaps = np.diff(times)
            frames = len(gaps)
            windows.append({
                "fps": 1000.0 * frames / (times[-1] - times[0]), "p95_frame_ms": float(np.percentile(gaps, 95)),
                **{f"{name}_ms_per_frame": 1000.0 * (after[name] - before[name]) / frames for name in before},
                "steps_per_s": (_step(base) - step) / seconds,
            })  # fmt: skip
    median = sorted(windows, key=lambda window: window["fps"])[len(windows) // 2]
    return {"case": "frames", "agents": agents, "windows": windows, "aims": AIMS[agents]} | median


def _clocks(tool: Any) -> dict[str, float]:
    """CPU seconds the page's thread spent so far, by kind."""
    found = {metric["name"]: metric["value"] for metric in tool.send("Performance.getMetrics")["metrics"]}
    return {
        "script": found["ScriptDuration"], "layout": found["LayoutDuration"] + found["RecalcStyleDuration"],
        "task": found["TaskDuration"],
    }  # fmt: skip


def _step(base: str) -> int:
    return httpx.get(f"{base}/api/status", timeout=60).json()["progress"]["step"]


def _memory(browser: Any, base: str, minutes: float) -> dict[str, Any]:
    """Heap and elements after collections of garbage; how they grow once histories are full."""
    samples: list[tuple[float, float, int]] = []
    with _page(browser, base) as (page, _):
        tool = page.context.new_cdp_session(page)
        tool.send("Performance.enable")
        begin = time.monotonic()
        while (now := time.monotonic() - begin) <= 60 * minutes:
            tool.send("HeapProfiler.collectGarbage")
            found = {metric["name"]: metric["value"] for metric in tool.send("Performance.getMetrics")["metrics"]}
            samples.append((now, found["JSHeapUsedSize"] / 2**20, int(found["Nodes"])))
            time.sleep(min(SAMPLE_S, 6 * minutes))
    full = [sample for sample in samples if sample[0] >= 60 * minutes * FULL] or samples
    times, heap = np.array([s[0] for s in full]), np.array([s[1] for s in full])
    slope = float(np.polyfit(times, heap, 1)[0]) * 600 if len(full) > 1 else 0.0
    return {
        "case": "memory", "agents": 5, "minutes": minutes, "heap_mib": [round(s[1], 3) for s in samples],
        "nodes": [s[2] for s in samples], "heap_full_mib": statistics.mean(heap), "growth_mib_per_10_min": slope,
    }  # fmt: skip


def _print(records: list[dict[str, Any]]) -> None:
    table = Table(title="The page in headless Chromium, drawing in software")
    for column in ("prosumers", "frames/s", "aim", "95 % of frames, ms", "script ms/frame", "layout", "all tasks"):
        table.add_column(column, justify="right")
    table.add_column("steps/s", justify="right")
    table.add_column(f"ready, s (aim {READY_S:g})", justify="right")
    for one in (record for record in records if record["case"] == "frames"):
        aim = f"≥ {one['aims']['fps']:g}" + (", ≤ 4 ms script" if "script_ms_per_frame" in one["aims"] else "")
        table.add_row(
            str(one["agents"]), f"{one['fps']:.1f}", aim, f"{one['p95_frame_ms']:.1f}",
            f"{one['script_ms_per_frame']:.2f}", f"{one['layout_ms_per_frame']:.2f}", f"{one['task_ms_per_frame']:.2f}",
            f"{one['steps_per_s']:.1f}", f"{statistics.median(one['ready_s']):.2f}",
        )  # fmt: skip
    console: Console = wide()
    console.print(table)
    for one in (record for record in records if record["case"] == "memory"):
        console.print(
            f"heap over {one['minutes']:g} minutes live: {one['heap_full_mib']:.1f} MiB once full, "
            f"{one['growth_mib_per_10_min']:+.2f} MiB in ten minutes; "
            f"{one['nodes'][-1]} nodes, {one['nodes'][0]} at first"
        )
