"""The live view as a person uses it, in a browser, against a real server process."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.server.serving import Serving, serving, write_scenario
from tests.web.browsing import WEB, assert_accessible, watched
from tests.web.watching import at_rest, eventually, recorded_run, step, wait_state, wait_step

TOKEN = "a-token-of-enough-characters"


def test_watch_pause_step_and_go_on(server: Serving, browser: Any) -> None:
    server.start(speed=20)
    with watched(browser, reduced_motion="no-preference") as page:
        _watch(server, page)


def _watch(server: Serving, page: Any) -> None:
    page.goto(server.base + "/")  # a browser is sent to the page
    page.locator(".connection", has_text="Live").wait_for()
    wait_step(page, 1)
    page.evaluate("""() => {
        const box = document.querySelector(".transport");
        window.seen = new Set();
        new MutationObserver(() => window.seen.add(box.querySelector(".when").textContent))
          .observe(box, { subtree: true, childList: true, characterData: true });
    }""")
    page.wait_for_function("() => window.seen.size >= 50")  # frames that were shown, not the number of a step
    page.keyboard.press("Space")
    wait_state(page, "paused")
    at = server.get("/api/status")["progress"]["step"]
    wait_step(page, at)
    page.keyboard.press("ArrowRight")
    wait_step(page, at + 1)
    assert server.get("/api/status")["progress"]["step"] == at + 1 == step(page)
    page.get_by_role("button", name="Step").click()
    wait_step(page, at + 2)
    page.get_by_role("button", name="Resume").click()
    wait_state(page, "running")
    wait_step(page, at + 5)


def test_numbers_are_those_of_the_server(server: Serving, page: Any) -> None:
    at = at_rest(server, 13)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    frame = server.get("/api/frame")
    page.wait_for_function("() => document.querySelectorAll('.grid-svg .node').length === 3")
    assert (
        page.locator("[data-tile=generation] .value").inner_text() == f"{frame['metrics']['total_generation_kw']:.1f}"
    )
    assert page.locator("[data-tile=demand] .value").inner_text() == f"{frame['metrics']['total_demand_kw']:.1f}"
    assert page.locator(".stability .value").inner_text() == f"{frame['stability']:.3f}"
    for agent in frame["agents"]:
        card = page.locator(f".agent[data-agent={agent['id']}]")
        # the trade with the utility, as the net power beside it counts what neighbours send too
        words = {"importing": "buying", "exporting": "selling"}
        assert card.locator(".status").inner_text() == words.get(agent["status"], agent["status"])
        assert card.locator(".mini .num").first.inner_text().startswith(f"{100 * agent['energy_level']:.0f}")


def test_select_by_keyboard_is_in_the_link(server: Serving, page: Any) -> None:
    at = at_rest(server)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    page.locator(".node[data-agent=agent_0]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    selected = page.locator(".agent.selected")
    selected.wait_for()
    assert selected.get_attribute("data-agent") == "agent_1"
    assert page.locator(".node.selected").get_attribute("data-agent") == "agent_1"
    assert page.url.endswith("#/live?agent=agent_1")
    page.reload()  # the link shows the same
    page.locator(".agent.selected[data-agent=agent_1] .details").wait_for()
    page.get_by_role("button", name="Table").click()
    row = page.locator(".grid-table tr[aria-selected=true]")
    assert row.locator("th").inner_text() == "p1"
    assert server.get("/api/status")["progress"]["step"] == at  # the arrow moved the focus, not the simulation


def test_tooltips_explain_and_help_opens_by_key(server: Serving, page: Any) -> None:
    at = at_rest(server)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    page.locator(".stability .head").hover()
    assert "S = w₁·voltage" in page.locator(".tooltip").inner_text()
    page.locator(".node[data-agent=agent_2]").hover()
    page.locator(".tooltip strong", has_text="p2").wait_for()
    page.keyboard.press("?")
    page.locator(".help h3", has_text="Stability").wait_for()
    assert "help=1" in page.url
    page.keyboard.press("Escape")
    page.locator(".help").wait_for(state="hidden")


def test_start_another_community_asks_before_it_replaces(server: Serving, page: Any) -> None:
    server.start()
    page.goto(server.base + "/web/")
    form = page.locator("form.setup")
    page.wait_for_function("() => document.querySelector('.setup select[name=policy]')?.options.length > 3")
    assert form.locator("option[value=community-5][disabled]").count() == 1  # of five agents, here are three
    assert "num_agents" in form.locator(".unfit").text_content()
    form.locator("select[name=scenario]").select_option("tiny")
    form.locator("select[name=policy]").select_option("idle")
    form.locator("input[name=seed]").fill("3")
    form.locator("input[name=days]").fill("2")
    form.get_by_role("button", name="Start this community").click()
    page.get_by_role("button", name="Replace it").click()
    page.locator(".grid-card .about", has_text="idle, seed 3").wait_for()
    run = server.get("/api/status")["run"]
    assert (run["policy"], run["seed"], run["days"]) == ("idle", 3, 2)


def test_disturb_weigh_and_speed(server: Serving, page: Any) -> None:
    server.start()
    page.goto(server.base + "/web/")
    page.get_by_role("button", name="Open a branch").click()
    form = page.locator("form.disturb")
    form.locator("select[name=branch]").select_option(index=0)
    form.get_by_role("button", name="Let it happen").click()
    page.locator(".toast", has_text="Open a branch").wait_for()
    page.get_by_role("button", name="Islanding").click()
    form.get_by_role("button", name="Let it happen").click()
    page.locator(".toast", has_text="Islanding").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Step").click()
    page.locator(".grid-card .alert", has_text="utility is cut off").wait_for()
    assert server.get("/api/frame")["branches"]["open"] == [1]
    page.locator(".weights summary").click()
    page.locator("input[name='rewards.cost']").fill("0.5")
    page.wait_for_function(
        "() => document.querySelector('.weights [name=\"rewards.cost\"]').closest('.field')"
        ".querySelector('output').textContent === '0.50'"
    )
    page.locator(".speed input[type=checkbox]").check()
    page.locator(".speed output", has_text="as fast as possible").wait_for()
    status = server.get("/api/status")
    assert status["weights"]["rewards"]["cost"] == 0.5
    assert status["speed"] == "max"


def test_errors_are_said_in_words(server: Serving, page: Any) -> None:
    server.start()
    page.goto(server.base + "/web/")
    wait_state(page, "paused")
    server.post("/api/simulation/stop")
    wait_state(page, "stopped")
    server.start()
    wait_state(page, "paused")
    page.get_by_role("button", name="Price spike").click()
    page.locator(".disturb input[name=hours]").evaluate("(input) => { input.max = 1e9; input.value = 1e6; }")
    page.locator(".disturb").get_by_role("button", name="Let it happen").click()
    assert "100000" in page.locator(".toast.error p").inner_text()


def test_charts_zoom_and_show_all(server: Serving, page: Any) -> None:
    server.start(speed=20)
    page.goto(server.base + "/web/#/live?chart=stability")
    wait_step(page, 20)
    server.post("/api/simulation/pause")
    assert page.get_by_role("tab", name="Stability").get_attribute("aria-selected") == "true"
    over = page.locator(".plot .u-over")
    over.hover(position={"x": 40, "y": 30})  # waits until the chart stays where it is
    page.mouse.down()
    over.hover(position={"x": 120, "y": 30})
    over.hover(position={"x": 200, "y": 30})
    page.mouse.up()
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="Show all").wait_for(state="hidden")
    page.get_by_role("tab", name="Prices").click()
    page.locator(".plot .u-legend", has_text="Export").wait_for()


def test_another_run_is_shown_whole_after_a_zoom(server: Serving, page: Any) -> None:
    at = at_rest(server, 20)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    over = page.locator(".plot .u-over")
    over.hover(position={"x": 40, "y": 30})
    page.mouse.down()
    over.hover(position={"x": 120, "y": 30})
    over.hover(position={"x": 200, "y": 30})
    page.mouse.up()
    page.get_by_role("button", name="Show all").wait_for()
    server.post("/api/simulation/step")
    wait_step(page, at + 1)
    assert page.get_by_role("button", name="Show all").is_visible()  # the same run goes on
    server.post("/api/simulation/reset")
    server.post("/api/simulation/step")
    page.get_by_role("button", name="Show all").wait_for(state="hidden")


def test_what_is_spoken_has_no_number_that_changes_in_every_frame(server: Serving, page: Any) -> None:
    server.start(policy="idle")
    server.post("/api/simulation/perturb", {"kind": "islanding", "steps": 22})
    at = server.post("/api/simulation/step", {"steps": 12})["progress"]["step"]  # batteries are empty by then
    page.goto(server.base + "/web/")
    seen = set()
    for _ in range(4):
        wait_step(page, at)
        page.locator(".grid-card .alert", has_text="kW of demand are not met").wait_for()
        spoken = page.locator(".grid-card [role=status]")
        assert spoken.text_content() == "Islanded: the utility is cut off. Some demand is not met."
        seen.add(page.locator(".grid-card .alert").inner_text())
        at = server.post("/api/simulation/step")["progress"]["step"]
    assert len(seen) == 4
    assert page.locator(".grid-card .alert[role], [role=status] .alert").count() == 0


def test_charts_begin_with_what_was_before_and_go_by_keyboard(server: Serving, page: Any) -> None:
    at = at_rest(server, 20)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    # read from the recording: only one frame came
    spark = "document.querySelector('[data-tile=demand] .spark-line').getAttribute('d')"
    page.wait_for_function(f"() => ({spark} ?? '').split('L').length >= {at - 2}")
    soc = "document.querySelector('.agent .spark-line').getAttribute('d')"
    page.wait_for_function(f"() => ({soc} ?? '').split('L').length >= {at - 2}")
    plot = page.locator(".plot")
    newest = page.locator(".plot .u-value").first.inner_text()
    plot.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("(t) => document.querySelector('.plot .u-value').textContent !== t", arg=newest)
    assert newest != page.locator("#live-region").inner_text()[:5]
    assert "Demand" in page.locator("#live-region").inner_text()  # said, too
    page.keyboard.press("+")
    page.get_by_role("button", name="Show all").wait_for()
    page.keyboard.press("0")
    page.get_by_role("button", name="Show all").wait_for(state="hidden")
    assert server.get("/api/status")["progress"]["step"] == at  # the arrow moved the cursor, not the simulation


def test_charts_of_a_run_that_is_over_show_it(server: Serving, page: Any) -> None:
    server.start(days=1)
    server.post("/api/simulation/step", {"steps": 24})
    eventually(lambda: server.get("/api/status")["state"] == "finished")
    recorded_run(server, 24)
    page.goto(server.base + "/web/")
    wait_state(page, "finished")
    page.locator(".plot:not(.waiting)").wait_for()
    page.locator(".plot").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "() => document.querySelector('.agent .spark-line').getAttribute('d').split('L').length === 24"
    )


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_dots_move_only_where_motion_is_welcome(server: Serving, browser: Any, motion: str) -> None:
    at = at_rest(server, 13)
    server.post("/api/simulation/speed", {"speed": 0.1})
    server.post("/api/simulation/resume")  # running, and for ten seconds no new step
    drawn = "document.querySelectorAll('.stage canvas')[2].toDataURL()"
    with watched(browser, reduced_motion=motion) as page:
        page.goto(server.base + "/web/")
        wait_step(page, at)
        wait_state(page, "running")
        stands = (
            f"async () => {{ const a = {drawn}; await new Promise((r) => setTimeout(r, 800)); return a === {drawn} }}"
        )
        if motion == "reduce":
            page.wait_for_function(stands)  # at the latest between two steps
        else:
            assert [page.evaluate(stands) for _ in range(3)] == [False] * 3


def test_help_follows_the_link(server: Serving, page: Any) -> None:
    page.goto(server.base + "/web/#/live?help=1")
    page.locator(".help h3").first.wait_for()
    page.get_by_role("link", name="Scenarios").click()
    page.locator(".help").wait_for(state="hidden")
    page.go_back()
    page.locator(".help h3").first.wait_for()
    page.get_by_role("button", name="Close help").click()
    page.locator(".help").wait_for(state="hidden")
    assert "help" not in page.url


def test_a_large_community_is_drawn_on_canvas(server: Serving, page: Any) -> None:
    write_scenario(server.data / "scenarios", "crowd", agents=210, buses=220)
    server.start(scenario="crowd", policy="idle")
    at = server.post("/api/simulation/step", {"steps": 3})["progress"]["step"]
    recorded_run(server, at)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    demand = "document.querySelector('[data-tile=demand] .spark-line')?.getAttribute('d')"  # what was before is there
    page.wait_for_function(f"() => ({demand} ?? '').split('L').length === {at}")
    assert page.locator(".grid-svg .node").count() == 0
    page.locator(".grid-svg").focus()
    page.keyboard.press("ArrowRight")
    page.locator(".agent.selected[data-agent=agent_0]").wait_for()
    drawn = page.evaluate(
        "() => { const c = document.querySelectorAll('.stage canvas')[1];"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x) => x > 0); }"
    )
    assert drawn
    page.locator(".agent.selected .head").click()
    page.locator(".agent").wait_for(state="detached")


def test_connection_is_lost_and_comes_back(browser: Any, tmp_path: Path) -> None:
    flags = ["--web-dir", str(WEB)]
    with watched(browser, may_lose_connection=True) as page:
        with serving(tmp_path, *flags) as first:
            first.start(speed=10)
            page.goto(first.base + "/web/#/live?agent=agent_0")
            wait_step(page, 5)
            page.locator(".agent.selected").wait_for()
        page.locator(".connection", has_text="Offline").wait_for()
        assert step(page) >= 5  # the last frame stays, greyed
        assert page.evaluate("document.documentElement.classList.contains('stale')")
        page.locator(".alert", has_text="last values").wait_for()
        assert page.get_by_role("button", name="Pause").is_disabled()
        with serving(tmp_path, *flags, "--port", str(first.port)) as second:
            page.locator(".connection", has_text="Live").wait_for()
            second.start(speed=10)
            wait_step(page, 3)
            assert not page.evaluate("document.documentElement.classList.contains('stale')")
            assert page.locator(".agent.selected").get_attribute("data-agent") == "agent_0"


def test_wrong_token_is_asked_for(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path, "--web-dir", str(WEB), "--token", TOKEN) as server:
        server.headers = {"authorization": f"Bearer {TOKEN}"}
        server.start(speed=1)
        with watched(browser, may_lose_connection=True) as page:
            page.goto(f"{server.base}/web/#token=a-wrong-token-of-characters")
            page.locator("dialog h2", has_text="does not accept this token").wait_for()
            page.keyboard.press("Escape")
            page.locator("dialog").wait_for(state="detached")
            page.locator(".connection", has_text="Token needed").click()  # it is asked for again
            page.locator("dialog input").fill(TOKEN)
            page.get_by_role("button", name="Connect").click()
            page.locator(".connection", has_text="Live").wait_for()
            page.locator("form.setup option[value=tiny]").wait_for(state="attached")
        with watched(browser) as page:
            page.goto(f"{server.base}/web/#token={TOKEN}")
            page.locator(".connection", has_text="Live").wait_for()
            assert TOKEN not in page.url  # it is in no link anybody copies
            page.reload()
            page.locator(".connection", has_text="Live").wait_for()


@pytest.mark.parametrize(("route", "width"), [("live?agent=agent_0&help=1", 390), ("live?as=table", 1440)])
def test_nothing_stands_in_the_way_of_anybody(server: Serving, browser: Any, route: str, width: int) -> None:
    at = at_rest(server, 3)
    with watched(browser, viewport={"width": width, "height": 860}) as page:
        page.goto(f"{server.base}/web/#/{route}")
        wait_step(page, at)
        page.locator(".help h3, .grid-table td").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert_accessible(page)


def test_unit_tests_of_the_page() -> None:
    if shutil.which("node") is None:
        pytest.skip("no Node on this machine: install Node 20 or newer")
    files = sorted(str(path) for path in (WEB / "tests").glob("*.test.js"))
    done = subprocess.run(["node", "--test", *files], cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
