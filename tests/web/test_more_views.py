"""Scalability from a stored job, 3D and scalability for everybody, and the page without its libraries."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.serving import Serving, serving
from tests.web.browsing import FLAGS, GL, WEB, assert_accessible, executable, watched
from tests.web.stored import store_job
from tests.web.watching import at_rest, exported, open_view, wait_step

REQUEST = {
    "sizes": [3, 10, 50], "policy": "self-consumption", "episodes": 1, "days": 0.25, "neighbours": 3, "seed": 0
}  # fmt: skip


def row(size: int) -> dict[str, Any]:
    return {
        "num_agents": size, "buses": max(15, size * 3 // 2), "links": 2 * size, "build_s": 0.25,
        "step_ms": 1.5 + size / 100, "step_p95_ms": 2.5 + size / 100, "decision_ms": 0.125, "episode_s": 0.5,
        "agent_steps_per_s": 600.0 * size, "reward": -0.01 * size, "reward_std": None, "cost_eur": 1.5,
        "stability": 0.875, "converged": 1.0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def libraries(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The node_modules of a copy of the page, each library of which can be taken away."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(WEB, folder, ignore=shutil.ignore_patterns("node_modules", "tests"), dirs_exist_ok=True)
    (folder / "node_modules").mkdir()
    for name in ("d3", "uplot", "three"):
        (folder / "node_modules" / name).symlink_to((WEB / "node_modules" / name).resolve())
    return folder / "node_modules"


@pytest.fixture(scope="module")
def server(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("web"), "--web-dir", str(libraries.parent), "--heartbeat-s", "1") as it:
        yield it


@pytest.mark.parametrize("library", ["d3", "uplot"])
def test_without_a_library_the_page_says_what_to_run(
    server: Serving, browser: Any, libraries: Path, library: str
) -> None:
    at = at_rest(server)
    link = libraries / library
    target = link.readlink()
    link.unlink()
    try:
        with watched(browser, may_lack_libraries=True) as page:  # it says what could not be loaded, and nothing else
            open_view(page, server, "live")
            notice = page.get_by_role("alert")
            notice.wait_for()
            assert "npm ci" in notice.inner_text()
            assert "web/" in notice.inner_text()
            assert page.locator(".transport, .toast").count() == 0
    finally:
        link.symlink_to(target)
    with watched(browser) as page:
        open_view(page, server, "live")  # as the notice says
        wait_step(page, at)


def test_without_three_only_the_town_is_missing(server: Serving, browser: Any, libraries: Path) -> None:
    at = at_rest(server)
    link = libraries / "three"
    target = link.readlink()
    link.unlink()
    try:
        with watched(browser, may_lack_libraries=True) as page:
            open_view(page, server, "scene3d")
            notice = page.locator(".notice", has_text="No 3D here")
            notice.wait_for()
            assert "npm ci" in notice.inner_text()
            notice.get_by_role("link", name="live view").click()
            wait_step(page, at)
    finally:
        link.symlink_to(target)


def test_the_town_stands_in_nobody_s_way_and_its_numbers_explain_themselves(server: Serving, browser: Any) -> None:
    at_rest(server, 13)
    flags = [flag for flag in FLAGS if flag != "--disable-gpu"] + GL
    drawing = browser.browser_type.launch(executable_path=executable(), args=flags)
    try:
        with watched(drawing, viewport={"width": 900, "height": 640}) as page:
            open_view(page, server, "scene3d")
            page.locator(".town-info", has_text="Stability").wait_for()
            page.locator(".town-info dd", has_text="kW").first.hover()
            page.locator(".tooltip", has_text="Generation").wait_for()
            assert_accessible(page)
            open_view(page, server, "scene3d?agent=agent_1")
            page.locator(".town-info strong", has_text="p1").wait_for()
            assert_accessible(page)
    finally:
        drawing.close()


def test_what_size_cost_is_shown_explained_and_taken_along(server: Serving, page: Any, tmp_path: Path) -> None:
    result = {"policy": "self-consumption", "days": 0.25, "episodes": 1, "steps": 24, "threads": 1}
    rows = [row(size) for size in REQUEST["sizes"]]
    job = store_job(server, "scalability", REQUEST, result | {"rows": rows})
    open_view(page, server, "comparison?kind=scalability")
    page.locator(".pick", has_text="3, 10, 50 prosumers").wait_for()
    page.locator(".chart-grid canvas").nth(3).wait_for()
    assert f"job={job}" in page.url  # so that a link shows this one tomorrow
    cells = [line.locator("td").all_inner_texts() for line in page.locator(".results .table tbody tr").all()]
    assert [line[0] for line in cells] == ["3", "10", "50"]
    assert [line[4] for line in cells] == ["1.53", "1.60", "2.00"]
    assert [line[9].replace("−", "-") for line in cells] == ["-0.0300", "-0.1000", "-0.5000"]
    time_of_a_step = page.locator(".chart-grid .chart-plot").first
    assert "median 2" in time_of_a_step.get_attribute("aria-label")
    page.locator(".results thead th [data-explained]", has_text="Decision").hover()
    page.locator(".tooltip", has_text="decides for all prosumers").wait_for()
    assert_accessible(page)
    lines = list(csv.DictReader(io.StringIO(exported(page, "CSV", tmp_path).read_text())))
    assert [{key: float(line[key]) for key in line if line[key]} for line in lines] == [
        {key: value for key, value in line.items() if value is not None} for line in rows
    ]
    assert json.loads(exported(page, "JSON", tmp_path).read_bytes())["rows"] == rows
    with watched(page.context.browser, viewport={"width": 390, "height": 844}) as phone:
        open_view(phone, server, f"comparison?kind=scalability&job={job}")
        phone.locator(".chart-grid canvas").nth(3).wait_for()
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.get_by_label("Numbers of prosumers").fill("3, 0")
    page.get_by_role("button", name="Measure").click()
    page.locator('[data-field="sizes"] .fault').wait_for()
    page.get_by_role("button", name="Delete this result").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.locator(".notice", has_text="Nothing measured yet").wait_for()
    assert server.get("/api/scalability")["total"] == 0
