"""A view that was left does nothing more: answers that come later change neither the address nor what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.serving import Serving
from tests.web.stored import store_job, write_run
from tests.web.test_more_views import REQUEST, row
from tests.web.test_views import recorded
from tests.web.watching import Held, at_rest, open_view, wait_place

WHILE_MS = 1_000  # in which a late answer does what it does
COUNTED = """
window.watched = new Set();
const { observe, disconnect } = ResizeObserver.prototype;
ResizeObserver.prototype.observe = function (...more) { window.watched.add(this); return observe.apply(this, more); };
ResizeObserver.prototype.disconnect = function () { window.watched.delete(this); return disconnect.apply(this); };
"""


def leave(page: Any) -> None:
    """To the live view by the link of the header."""
    page.get_by_role("link", name="Live", exact=True).click()
    page.locator(".transport").wait_for()


@pytest.fixture(scope="module")
def recording(server: Serving) -> str:
    return recorded(server)


@pytest.fixture(scope="module")
def job(server: Serving) -> str:
    """A measurement that is done."""
    result = {"policy": "self-consumption", "days": 0.25, "episodes": 1, "steps": 6, "threads": 1}
    return store_job(server, "scalability", REQUEST, result | {"rows": [row(size) for size in REQUEST["sizes"]]})


@pytest.mark.parametrize(
    ("route", "pattern"),
    [
        ("playback?recording={recording}", r"/api/recordings/{recording}$"),
        ("playback?recording={recording}", r"/api/recordings\?limit=200$"),
        ("training", r"/api/runs$"),
        ("comparison?kind=scalability", r"/api/scalability\?"),
        ("comparison?kind=scalability&job={job}", r"/api/scalability/{job}/result$"),
        ("editor?base=outage", r"/api/scenarios$"),
        ("editor?base=outage", r"/api/scenarios/outage$"),
    ],
)
def test_an_answer_that_comes_after_the_view_was_left_changes_nothing(
    server: Serving, page: Any, recording: str, job: str, route: str, pattern: str
) -> None:
    if not (server.data.parent / "runs" / "a-run").exists():
        write_run(server, "a-run", 3)
    page.add_init_script(COUNTED)
    names = {"recording": recording, "job": job}
    held = Held(page, pattern.format(**names))
    open_view(page, server, route.format(**names))
    held.wait()
    leave(page)
    page.wait_for_timeout(WHILE_MS)
    observers = page.evaluate("window.watched.size")
    held.let_go()
    page.wait_for_timeout(WHILE_MS)
    assert page.url.endswith("#/live")
    assert page.evaluate("window.watched.size") == observers
    page.locator(".transport").wait_for()
    assert page.locator(".toast, dialog").count() == 0


def test_leaving_while_a_recording_plays_does_not_change_the_next_view_s_address(
    server: Serving, page: Any, recording: str
) -> None:
    open_view(page, server, f"playback?recording={recording}&frame=0")
    wait_place(page, 0)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("() => Number(document.querySelector('.scrub').value) >= 1")
    leave(page)
    page.wait_for_timeout(WHILE_MS)
    assert page.url.endswith("#/live")


def test_another_recording_chosen_while_one_plays_is_the_one_that_is_shown(
    server: Serving, page: Any, recording: str
) -> None:
    at = at_rest(server, 3)
    server.post("/api/simulation/stop")
    open_view(page, server, f"playback?recording={recording}&frame=0")
    wait_place(page, 0)
    other = page.locator(".recordings .pick:not([aria-current])", has_text=f"{at} step").first
    other.wait_for()
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("() => Number(document.querySelector('.scrub').value) >= 1")
    name = other.get_attribute("data-recording")
    other.click()
    wait_place(page, 0)
    assert name in page.url
    page.wait_for_timeout(WHILE_MS)
    assert name in page.url
    assert page.locator(".recordings [aria-current]").get_attribute("data-recording") == name


@pytest.mark.parametrize(("name", "prosumers"), [("tiny", 3), ("community-5", 5)])
def test_the_editor_shows_what_was_chosen_last(server: Serving, page: Any, name: str, prosumers: int) -> None:
    open_view(page, server, "editor?base=community-5")
    page.locator(".verdict-box", has_text="5 prosumers").wait_for()
    held = Held(page, r"/api/scenarios/outage$")
    base = page.get_by_label("Based on")
    base.select_option("outage")
    held.wait()
    base.select_option(name)  # another, or the one that is still open
    page.locator(".verdict-box", has_text=f"{prosumers} prosumers").wait_for()
    held.let_go()
    page.wait_for_timeout(WHILE_MS)
    assert base.input_value() == name
    assert page.url.endswith(f"base={name}")
    assert f'base = "{name}' in page.locator(".log").text_content()
    page.locator(".verdict-box", has_text=f"{prosumers} prosumers").wait_for()
