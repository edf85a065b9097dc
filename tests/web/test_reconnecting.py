"""The page when the server dies and when the network loses what is sent: it says so, waits, and comes back."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

from tests.server.serving import serving
from tests.web.browsing import WEB, watched
from tests.web.cut_wire import wire_to
from tests.web.stored import metrics_line, write_run
from tests.web.watching import at_rest, eventually, open_view, recorded_run, step, wait_place, wait_step

FLAGS = ("--web-dir", str(WEB), "--heartbeat-s", "1")
GREY = "() => getComputedStyle(document.querySelector('.metrics')).filter.includes('grayscale')"


def said(page: Any, text: str) -> None:
    """Until the connection's badge says this."""
    page.locator(".connection", has_text=text).wait_for()


def test_a_killed_server_leaves_its_last_frame_and_the_next_one_s_run_is_shown(browser: Any, tmp_path: Path) -> None:
    with watched(browser, may_lose_connection=True) as page:
        with serving(tmp_path, *FLAGS) as first:
            first.start(speed=20)
            page.goto(first.base + "/web/#/live?agent=agent_1")
            wait_step(page, 20)
            assert not page.evaluate(GREY)
            eventually(lambda: first.get("/api/recording")["written"] >= 10)
            first.end(signal.SIGKILL)
        said(page, "Offline")
        page.wait_for_function(GREY)
        at, demand = step(page), page.locator("[data-tile=demand] .value").inner_text()
        assert at >= 20
        assert float(demand) > 0  # the last frame stays
        page.locator(".grid-card .alert", has_text="last values").wait_for()
        for name in ("Pause", "Stop", "Reset"):
            assert page.get_by_role("button", name=name, exact=True).is_disabled()
        with serving(tmp_path, *FLAGS, "--port", str(first.port)) as second:
            second.start(seed=7, speed=5)
            page.locator(".connection").click()  # rather than wait for the next attempt
            said(page, "Live")
            page.locator(".grid-card .about", has_text="seed 7").wait_for()
            wait_step(page, 3)
            assert not page.evaluate(GREY)
            assert page.locator(".agent.selected").get_attribute("data-agent") == "agent_1"
            open_view(page, second, "playback")  # what the first one did is whole
            cut_short = page.locator(".recordings .pick", has_text="cut short")
            cut_short.click()
            recording = second.get(f"/api/recordings/{cut_short.get_attribute('data-recording')}")
            assert (recording["state"], recording["frames"] >= 10) == ("interrupted", True)
            wait_place(page, 0)
            page.keyboard.press("End")
            wait_place(page, recording["frames"] - 1)


def test_a_network_that_loses_everything_is_noticed_and_comes_back(browser: Any, tmp_path: Path) -> None:
    with (
        serving(tmp_path, *FLAGS) as server,
        wire_to(server.port) as wire,
        watched(browser, may_lose_connection=True) as page,
    ):
        server.start(speed=5)
        metrics = write_run(server, "a-run", 10)
        address = f"http://127.0.0.1:{wire.port}/web/#/"
        page.goto(address + "live")
        wait_step(page, 3)
        training = page.context.new_page()
        training.goto(address + "training?run=a-run")
        iteration = training.locator(".facts", has_text="10 of 100")
        iteration.wait_for()
        said(training, "Live")

        wire.cut()
        lost = re.compile("Offline|Connecting")
        page.locator(".connection", has_text=lost).wait_for()  # nobody told it: the heartbeat did not come
        assert "silent" in page.locator(".connection").get_attribute("title")
        page.wait_for_function(GREY)
        at = step(page)
        training.locator(".connection", has_text=lost).wait_for()
        said(page, "Connecting")  # an attempt that is never answered either
        wire.mend()

        for tab in (page, training):
            said(tab, "Live")
        wait_step(page, at + 10)
        assert not page.evaluate(GREY)
        with metrics.open("a") as file:
            file.writelines(metrics_line(k) for k in range(11, 21))
        training.locator(".facts", has_text="20 of 100").wait_for()  # curves are followed anew
        write_run(server, "another", 5)
        training.locator(".pick", has_text="another").wait_for()  # so is what is asked for by REST


def test_steps_missed_without_a_connection_are_in_the_charts(browser: Any, tmp_path: Path) -> None:
    points = "() => document.querySelector('[data-tile=demand] .spark-line')?.getAttribute('d')?.split('L').length"

    def wait_points(count: int) -> None:
        page.wait_for_function(f"(count) => ({points})() === count", arg=count)

    with (
        serving(tmp_path, *FLAGS) as server,
        wire_to(server.port) as wire,
        watched(browser, may_lose_connection=True) as page,
    ):
        at = at_rest(server, 6)
        recorded_run(server, at)
        page.goto(f"http://127.0.0.1:{wire.port}/web/#/live")
        wait_points(at)
        for missed in (0, 9):
            wire.cut()
            wire.drop()
            page.wait_for_function(GREY)
            if missed:
                server.post("/api/simulation/step", {"steps": missed})
                recorded_run(server, at + missed)
            wire.drop()
            wire.mend()
            said(page, "Live")
            wait_step(page, at + missed)
            wait_points(at + missed)
        server.post("/api/simulation/step")
        wait_points(at + 10)
