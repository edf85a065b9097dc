"""Training started, watched and stopped from the page, against a real server and a real training process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.serving import Serving, serving
from tests.web.browsing import WEB, assert_accessible
from tests.web.stored import metrics_line, write_run, write_scoreboard
from tests.web.watching import eventually, open_view, wait_text

SCORE = ".curves .chart-plot"  # the first chart


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Without a C++ compiler to be found, so that a training begins at once: what it takes to compile is no test's."""
    folder = tmp_path_factory.mktemp("web")
    with serving(folder, "--web-dir", str(WEB), "--heartbeat-s", "1", env={"PATH": "", "CXX": ""}) as it:
        yield it


def fact(page: Any, label: str) -> Any:
    return page.locator(".facts > div").filter(has=page.get_by_text(label, exact=True)).locator("dd")


def iteration(page: Any) -> int:
    """The iteration the page shows; −1 before the first."""
    found = re.match(r"[\d,]+", fact(page, "Iteration").inner_text())
    return int(found[0].replace(",", "")) if found else -1


def wait_iteration(page: Any, least: int) -> None:
    eventually(lambda: iteration(page) >= least)


def test_train_from_the_page_watch_it_learn_and_stop_it(server: Serving, page: Any) -> None:
    write_run(server, "earlier", 10)
    write_scoreboard(server, "earlier")
    open_view(page, server, "training")
    form = page.locator("form.stack-form")
    form.locator("option[value=tiny]").wait_for(state="attached")
    weight = form.locator("[data-field=rewards] .field", has_text="cost")
    weight.locator("output", has_text="1.00").wait_for()
    weight.locator("input").fill("0.3")
    page.get_by_label("Scenario").select_option("tiny")
    weight.locator("output", has_text="1.00").wait_for()  # its own weights
    weight.locator("input").fill("0.5")
    assert weight.locator("output").inner_text() == "0.50"
    page.get_by_label("Iterations").fill("1000")
    page.get_by_label("Communities at once").fill("4")
    page.get_by_text("More settings").click()
    above, below = (page.locator(f"[data-field={name}]").bounding_box() for name in ("name", "share_parameters"))
    assert above["y"] + above["height"] + 8 <= below["y"]
    for label, text in {
        "Name of the run": "from-the-page", "Horizon": "8", "Hidden": "8, 8", "Validations": "250",
        "Validation episodes": "2",
    }.items():  # fmt: skip
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_label("Scoreboard at the end").uncheck()
    page.get_by_role("button", name="Train", exact=True).click()

    page.wait_for_function("() => location.hash.includes('run=from-the-page')")
    wait_iteration(page, 5)
    assert fact(page, "State").inner_text() == "running"
    assert re.fullmatch(r"[\d.,]+ k", fact(page, "Agent-steps/s").inner_text())  # with the unit in its name
    assert re.fullmatch(r"[\d,]+", fact(page, "Env-steps").inner_text())
    assert re.search(r"\d", fact(page, "Still to go").inner_text())
    assert page.get_by_role("progressbar", name="Progress of the training").is_visible()
    rate = page.locator(".curves .chart", has_text="Throughput").locator(".chart-plot")
    seen = rate.get_attribute("aria-label")
    assert re.search(r"Last values: agent-steps/s \d", seen)
    eventually(lambda: rate.get_attribute("aria-label") != seen)  # it grows
    assert re.search(r"Last values: score −?\d", page.locator(SCORE).first.get_attribute("aria-label"))
    for line in ("time-of-use 0.625", "mpc-noisy 0.875", "optimum 1.000"):  # of the same scenario, other weights
        assert line in page.locator(SCORE).first.get_attribute("aria-label")
    assert page.locator(".curves .chart", has_text="Reward: cost").locator(".chart-legend li").count() == 3
    mine = page.locator(".pick[data-run=from-the-page]")
    mine.locator(".badge", has_text="training").wait_for()
    assert mine.get_attribute("aria-current") == "true"

    at = iteration(page)
    page.reload()  # the link shows the same run, from its first iteration on
    wait_iteration(page, at + 1)
    assert page.get_by_role("heading", name="from-the-page").is_visible()
    assert fact(page, "State").inner_text() == "running"

    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    eventually(lambda: fact(page, "State").inner_text() == "stopped")
    assert page.get_by_role("button", name="Stop", exact=True).is_hidden()
    assert fact(page, "Still to go").inner_text() == "–"
    mine.locator(".badge .num").wait_for()
    assert server.get("/api/training")["state"] == "stopped"
    run = server.get("/api/runs/from-the-page")
    assert "last" in run["checkpoints"]
    assert run["config"]["scenario"]["rewards"]["cost"] == 0.5
    assert run["config"]["train"]["hidden"] == [8, 8]
    assert run["scenario"].startswith("tiny-")  # saved beside it, with its own weights
    assert server.get("/api/scenarios/tiny")["config"]["rewards"]["cost"] == 1.0


def test_a_fault_stands_at_its_field_even_where_that_is_folded_away(server: Serving, page: Any) -> None:
    open_view(page, server, "training")
    page.locator("[data-field='ppo.epochs']").wait_for(state="attached")
    page.get_by_text("More settings").click()
    page.get_by_label("Epochs").fill("0")
    page.get_by_label("Hidden").fill("8, -1")
    page.get_by_text("More settings").click()  # folded again
    page.get_by_label("Epochs").wait_for(state="hidden")
    page.get_by_role("button", name="Train", exact=True).click()
    fault = page.locator(".stack-form .fault")
    fault.wait_for()  # visible
    field = page.locator(".field.invalid")
    first = field.get_attribute("data-field")
    assert first in ("ppo.epochs", "hidden")
    assert "greater than" in fault.inner_text()
    assert field.locator("input").get_attribute("aria-invalid") == "true"
    field.locator("input").fill("")
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_function(
        "(first) => { const f = document.querySelector('.field.invalid'); return f && f.dataset.field !== first }",
        arg=first,
    )
    page.get_by_label("Epochs").fill("")
    page.get_by_label("Hidden").fill("")
    page.get_by_label("Name of the run").fill("no spaces, please")
    page.get_by_role("button", name="Train", exact=True).click()
    page.locator("[data-field=name] .fault").wait_for()
    page.get_by_label("Algorithm").select_option("shac")  # another table of settings
    page.locator("[data-field='shac.critic_batch']").wait_for(state="attached")
    assert page.locator("[data-field='ppo.epochs']").count() == 0


def test_reference_lines_come_with_the_first_validation_and_with_the_scoreboard(server: Serving, page: Any) -> None:
    path = write_run(server, "later", 4)
    config = path.with_name("config.json")
    config.write_text(config.read_text().replace('"tiny"', '"elsewhere"'))  # of which there is no scoreboard
    open_view(page, server, "training?run=later")
    wait_iteration(page, 4)
    assert "Lines across" not in page.locator(SCORE).first.get_attribute("aria-label")
    with path.open("a") as file:
        file.write(metrics_line(5, validation_baselines={"self-consumption": 0.25, "time-of-use": 0.75}))
    page.locator(f"{SCORE}[aria-label*='Lines across: time-of-use 0.750 in validation.']").wait_for()
    write_scoreboard(server, "later")  # as at the end of a training
    page.locator(f"{SCORE}[aria-label*='time-of-use 0.625; mpc-noisy 0.875; optimum 1.000.']").wait_for()
    wait_text(page, ".facts dd", "finished")
    assert_accessible(page)
