"""Playback, comparison, training, scenario editor and 3D as a person uses them, against a real server process."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tests.server.serving import PATIENCE_S, Serving
from tests.web.browsing import FLAGS, GL, assert_accessible, executable, watched
from tests.web.stored import metrics_line, write_run
from tests.web.watching import open_view, wait_place

PHONE = {"viewport": {"width": 390, "height": 844}}


def recorded(server: Serving) -> str:
    """A short run with an outage in it, recorded and over; returns the recording's id."""
    server.start()
    at = server.post("/api/simulation/step", {"steps": 6})["progress"]["step"]
    server.post("/api/simulation/perturb", {"kind": "islanding", "steps": 4})
    server.post("/api/simulation/step", {"steps": 20})
    run = server.post("/api/simulation/stop")["run"]["id"]
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for item in server.get("/api/recordings")["recordings"]:
            about = server.get(f"/api/recordings/{item['id']}")["about"]
            if about["run"]["id"] == run and item["state"] == "complete" and item["frames"] >= at + 20:
                return item["id"]
    raise TimeoutError("the run was not recorded")


@pytest.fixture(scope="module")
def recording(server: Serving) -> str:
    return recorded(server)


def test_replay_step_by_arrow_keys_jump_and_follow_a_link(server: Serving, page: Any, recording: str) -> None:
    open_view(page, server, f"playback?recording={recording}&frame=3")  # as a link of somebody else
    wait_place(page, 3)
    page.locator(".events .event").first.wait_for()
    page.keyboard.press("ArrowRight")
    wait_place(page, 4)
    page.keyboard.press("ArrowLeft")
    wait_place(page, 3)
    outage = next(
        e["frame"] for e in server.get(f"/api/recordings/{recording}/events")["events"] if e["kind"] == "outage"
    )
    page.keyboard.press("n")  # whichever event is next, the outage is among the first two
    page.wait_for_function("() => document.querySelector('.events .event[aria-current]')")
    page.locator(".events .event", has_text="Outage").click()
    wait_place(page, outage)
    assert "Islanded: the utility was cut off (4 steps)" in page.locator(".now-events").inner_text()
    page.locator(".playback-grid .utility.off").wait_for()
    spark = "document.querySelector('[data-tile=demand] .spark-line').getAttribute('d')"
    assert len(page.evaluate(spark).split("L")) == outage + 1  # the steps before, though it was jumped to
    page.get_by_role("button", name="To the beginning").click()
    wait_place(page, 0)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("() => Number(document.querySelector('.scrub').value) >= 3")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).wait_for()


def test_rename_pin_and_take_along_a_recording(server: Serving, page: Any, recording: str, tmp_path: Path) -> None:
    open_view(page, server, f"playback?recording={recording}")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("an evening")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="an evening").wait_for()
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Pinned", exact=True).wait_for()
    page.locator(".scrub").wait_for()
    wait_place(page, 0)
    for label, begin in (("agents, CSV", b"frame,"), ("picture, SVG", b"<svg"), ("picture, PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_label("Export").select_option(label=label)
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.read_bytes().startswith(begin), label


def test_delete_asks_first(server: Serving, page: Any) -> None:
    name = recorded(server)
    open_view(page, server, f"playback?recording={name}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert server.http("GET", f"/api/recordings/{name}").status_code == 200
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.locator(f'[data-recording="{name}"]').wait_for(state="detached")
    assert server.http("GET", f"/api/recordings/{name}").status_code == 404


def test_run_a_tiny_comparison_and_read_its_tables(server: Serving, page: Any) -> None:
    open_view(page, server, "comparison")
    policies = page.locator("fieldset", has_text="Policies")
    policies.locator("label").first.wait_for()
    for box in policies.get_by_role("checkbox").all():
        box.set_checked(box.get_attribute("value") in ("idle", "self-consumption", "optimum"))
    for box in page.locator("fieldset", has_text="Scenarios").get_by_role("checkbox").all():
        box.set_checked(box.get_attribute("value") == "tiny")
    page.get_by_label("Episodes").fill("0")
    page.get_by_role("button", name="Compare").click()
    page.locator('[data-field="episodes"] .fault').wait_for()  # the server's word at its field
    page.get_by_label("Episodes").fill("3")
    page.get_by_role("button", name="Compare").click()
    page.locator(".matrix .score").first.wait_for()
    assert page.locator(".matrix .score").count() == 3
    board = page.locator(".scoreboard")
    assert board.locator("tbody tr").count() == 3
    assert board.locator("tbody tr").first.get_attribute("data-policy") == "optimum"
    assert "job=" in page.url  # the newest was shown, and a link of it shows the same tomorrow
    board.get_by_role("button", name="Score").click()
    page.wait_for_function(
        "() => document.querySelector('.scoreboard tbody tr:last-child').dataset.policy === 'optimum'"
    )
    assert board.locator('th[aria-sort="ascending"]').count() == 1
    day = page.locator(".daily .twist").first
    assert day.get_attribute("aria-expanded") == "true"
    assert page.locator(".daily .part:visible").count() == 3  # its prosumers
    day.click()
    assert page.locator(".daily .part:visible").count() == 0
    page.locator(".series-panel canvas").first.wait_for()
    page.locator(".radar .shape").first.wait_for()
    page.locator(".series-panel").get_by_role("button", name="Losses").click()
    page.locator(".radar").get_by_role("button", name="idle").click()
    page.reload()  # the link has the order, the quantities, the wheel and the days
    page.locator(".radar .shape").first.wait_for()
    assert board.locator('th[aria-sort="ascending"]').count() == 1
    assert page.locator(".daily .part:visible").count() == 0
    assert page.locator(".series-panel").get_by_role("button", name="Losses").get_attribute("aria-pressed") == "true"
    assert page.locator(".radar").get_by_role("button", name="idle").get_attribute("aria-pressed") == "true"
    assert_accessible(page)
    with page.expect_download() as download:
        page.get_by_label("Export").select_option(label="Scoreboard, CSV")
    assert download.value.suggested_filename.endswith("-scoreboard.csv")


@pytest.mark.slow
def test_measure_what_size_costs(server: Serving, page: Any) -> None:
    open_view(page, server, "comparison?kind=scalability")
    page.get_by_label("Numbers of prosumers").fill("2, 3")
    page.get_by_label("Days each").fill("0.25")
    page.get_by_role("button", name="Measure").click()
    page.locator(".chart-grid canvas").first.wait_for(timeout=240_000)
    assert page.locator(".results .table tbody tr").count() == 2


def test_a_run_s_curves_and_what_is_added_to_them(server: Serving, page: Any) -> None:
    path = write_run(server, "a-run", 10)
    open_view(page, server, "training?run=a-run")
    fact = page.locator(".facts > div", has_text="Iteration").locator("dd")
    page.wait_for_function("() => document.querySelector('.facts')?.textContent.includes('10 of 100')")
    assert fact.inner_text() == "10 of 100"
    page.locator(".curves canvas").first.wait_for()
    assert "0.900" in page.locator(".curves .chart-plot").first.get_attribute("aria-label")
    with path.open("a") as file:  # as the trainer does
        file.writelines(metrics_line(k) for k in range(11, 21))
    page.wait_for_function("() => document.querySelector('.facts').textContent.includes('20 of 100')")
    assert "0.950" in page.locator(".curves .chart-plot").first.get_attribute("aria-label")
    assert page.locator(".curves .chart", has_text="Reward: cost").locator(".chart-legend li").count() == 3


def test_a_faulty_training_is_refused_at_its_field(server: Serving, page: Any) -> None:
    open_view(page, server, "training")
    page.get_by_label("Iterations").fill("-1")
    page.get_by_role("button", name="Train", exact=True).click()
    page.locator('[data-field="iterations"] .fault').wait_for()
    assert server.get("/api/training")["state"] == "idle"


def test_a_fault_in_the_editor_stands_at_its_field_and_a_sound_scenario_is_saved(server: Serving, page: Any) -> None:
    open_view(page, server, "editor?base=community-5")
    export = page.locator('[data-path="tariff.export_eur_per_kwh"]')
    export.get_by_role("textbox").fill("9")
    export.locator(".fault").wait_for()
    assert "exceeds" in export.locator(".fault").inner_text()
    assert page.get_by_role("button", name="Save").is_disabled()
    export.get_by_role("textbox").fill("0.05")
    export.locator(".fault").wait_for(state="detached")
    page.get_by_label("Count").first.fill("3")
    page.locator(".verdict-box", has_text="7 prosumers").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download TOML").click()
    text = Path(download.value.path()).read_text()
    assert 'base = "community-5"' in text
    assert "export_eur_per_kwh = 0.05" in text
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Give it a name first").wait_for()
    page.get_by_label("Save as").fill("seven")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Delete this scenario").wait_for()
    assert server.get("/api/scenarios/seven")["config"]["prosumers"][0]["count"] == 3


def test_a_faulty_csv_is_shown_with_the_row_that_is_wrong(server: Serving, page: Any, tmp_path: Path) -> None:
    path = tmp_path / "street.csv"
    lines = [f"2025-06-02T{k // 4:02}:{k % 4 * 15:02},a,{-5 if k == 7 else 1},0" for k in range(96)]
    path.write_text("timestamp,agent,demand_kw,generation_kw\n" + "\n".join(lines) + "\n")
    open_view(page, server, "editor")
    page.get_by_label("CSV file").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    page.locator(".upload-fault .fault").wait_for()
    assert page.locator(".excerpt .cell-wrong").inner_text() == "-5"
    assert page.locator(".excerpt tr.wrong th").inner_text() == "9"  # row 1 is the header
    path.write_text(path.read_text().replace(",-5,", ",1,"))
    page.get_by_label("CSV file").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    page.locator(".file-list", has_text="street").wait_for()


def test_files_are_uploaded_one_after_another_each_under_its_own_name(
    server: Serving, page: Any, tmp_path: Path
) -> None:
    lines = "".join(f"2025-06-{2 + k // 24:02}T{k % 24:02}:00,a,1,0\n" for k in range(96))
    files = [tmp_path / f"{name}.csv" for name in ("first", "second", "third")]
    for path in files:
        path.write_text("timestamp,agent,demand_kw,generation_kw\n" + lines)
    open_view(page, server, "editor")
    page.locator(".verdict-box .badge", has_text="valid").wait_for()
    chosen, name = page.get_by_label("CSV file"), page.locator("form").get_by_label("Name", exact=True).last
    page.get_by_label("Step, min").fill("60")
    chosen.set_input_files(files[1])
    chosen.set_input_files(files[0])  # another than the one chosen by mistake
    assert name.input_value() == "first"
    page.get_by_role("button", name="Upload").click()
    page.locator(".file-list", has_text="first").wait_for()
    assert name.input_value() == ""
    chosen.set_input_files(files[1])
    page.get_by_role("button", name="Upload").click()  # with the time zone and the step of the first
    page.locator(".file-list", has_text="second").wait_for()
    name.fill("mine")
    chosen.set_input_files(files[2])
    assert name.input_value() == "mine"
    page.get_by_role("button", name="Upload").click()
    page.locator(".file-list", has_text="mine").wait_for()
    assert {item["name"]: item["step_minutes"] for item in server.get("/api/data")}.items() >= {
        "first": 60, "second": 60, "mine": 60
    }.items()  # fmt: skip


def test_the_town_is_drawn_turned_and_selected_in(server: Serving, browser: Any) -> None:
    server.start()
    server.post("/api/simulation/step", {"steps": 2})
    flags = [flag for flag in FLAGS if flag != "--disable-gpu"] + GL
    drawing = browser.browser_type.launch(executable_path=executable(), args=flags)
    try:
        with watched(drawing, reduced_motion="reduce") as page:
            open_view(page, server, "scene3d")
            page.locator(".town-labels span").nth(3).wait_for()  # three prosumers and the utility
            page.locator(".town-info", has_text="Stability").wait_for()
            canvas = page.locator(".town-canvas")
            first = canvas.screenshot()
            assert len(np.unique(imread(io.BytesIO(first))[..., :3].reshape(-1, 3), axis=0)) > 200, "nothing is drawn"
            canvas.focus()
            page.keyboard.press("ArrowLeft")
            page.wait_for_timeout(200)
            turned = canvas.screenshot()
            assert turned != first
            label = page.locator(".town-labels span").first.bounding_box()
            x, below = label["x"] + label["width"] / 2, label["y"] + label["height"]
            for y in (below + 8 * k for k in range(1, 20)):  # the house stands somewhere under its name
                page.mouse.click(x, y)
                page.wait_for_timeout(100)
                if "agent=" in page.url:
                    break
            assert "agent=" in page.url
            page.mouse.click(x, y)
            page.wait_for_function("() => !location.hash.includes('agent=')")
            page.mouse.down()
            page.mouse.move(x + 60, y, steps=5)
            page.mouse.move(x, y, steps=5)
            page.mouse.up()
            page.wait_for_timeout(300)
            assert "agent=" not in page.url, "turning the camera there and back selects nobody"
    finally:
        drawing.close()


def test_without_webgl_the_town_says_so_and_shows_the_way(server: Serving, browser: Any) -> None:
    server.start()
    with watched(browser, may_lack_webgl=True) as page:
        page.add_init_script("""
            const get = HTMLCanvasElement.prototype.getContext;
            HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
              return kind.startsWith("webgl") ? null : get.call(this, kind, ...more);
            };""")
        open_view(page, server, "scene3d")
        page.locator(".notice", has_text="No 3D here").wait_for()
        page.locator(".notice").get_by_role("link", name="live view").click()
        page.locator(".transport").wait_for()


DRAWN_LAST = {"playback": ".scrub", "comparison": ".card", "training": ".facts dd", "editor": ".verdict-box .badge"}


@pytest.mark.parametrize("route", DRAWN_LAST)
def test_a_phone_scrolls_one_way_and_nothing_stands_in_the_way(
    server: Serving, browser: Any, recording: str, route: str
) -> None:
    if not (server.data.parent / "runs" / "seen").is_dir():
        path = write_run(server, "seen", 10)
        path.write_text(path.read_text() + metrics_line(4000))  # its numbers are as wide as a real run's
        (config := path.with_name("config.json")).write_text(config.read_text().replace(" 100,", " 5000,"))
    with watched(browser, **PHONE) as page:
        open_view(page, server, f"playback?recording={recording}" if route == "playback" else route)
        page.locator(DRAWN_LAST[route]).first.wait_for()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        wide = "(all) => all.filter((dd) => dd.scrollWidth > dd.clientWidth).map((dd) => dd.innerText)"
        assert page.locator(".facts dd").evaluate_all(wide) == []
        assert_accessible(page)
