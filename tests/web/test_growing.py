"""A recording that is watched while it is written: what is new is read, not all of it again."""

from __future__ import annotations

import json
from typing import Any

from tests.server.serving import Serving
from tests.web.watching import Held, at_rest, open_view, recorded_run, wait_place

POINTS = "() => document.querySelector('.over-stability')?.getAttribute('d').split('L').length"
MANY_MS = 5_000  # in which the page asks more than once


def wait_end(page: Any, frames: int) -> None:
    """Until the page has so many frames, and the picture of the whole all of them."""
    page.wait_for_function("(last) => document.querySelector('.scrub')?.max === String(last)", arg=frames - 1)
    page.wait_for_function(f"(frames) => ({POINTS})() === frames", arg=frames)


def test_only_what_is_new_of_a_recording_is_read(server: Serving, page: Any) -> None:
    at = at_rest(server, 6)
    name, _ = recorded_run(server, at)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if f"recordings/{name}/" in request.url else None)

    def queries(path: str) -> list[str]:
        return [url.split("?")[1] for url in asked if f"/{path}?" in url]

    open_view(page, server, f"playback?recording={name}&frame=1")
    wait_end(page, at)
    page.get_by_text("Nothing happened").wait_for()
    server.post("/api/simulation/step", {"steps": 3})
    wait_end(page, at + 3)
    page.get_by_text(f"step 2 of {at + 3}", exact=True).wait_for()
    begins = [int(query.split("&first=")[1].split("&")[0]) for query in queries("export")]
    assert begins[0] == 0
    assert len(begins) > 1
    assert min(begins[1:]) >= at
    assert len(queries("events")) == 1, "nothing happened"
    server.post("/api/simulation/perturb", {"kind": "islanding", "steps": 2})
    server.post("/api/simulation/step")
    page.locator(".events .event", has_text="Islanded: the utility was cut off (to the end)").wait_for()
    server.post("/api/simulation/step", {"steps": 3})
    page.locator(".events .event", has_text="Islanded: the utility was cut off (2 steps)").wait_for()
    server.post("/api/simulation/step")
    page.locator(".recordings .pick", has_text=f"{at + 8} steps").wait_for()
    wait_end(page, at + 8)
    page.get_by_role("button", name="To the end").click()
    # of a page that was not full when it was read
    page.get_by_text(f"step {at + 8} of {at + 8}", exact=True).wait_for()
    read = len(queries("events"))
    server.post("/api/simulation/step")
    wait_end(page, at + 9)
    assert len(queries("events")) == read, "what happened is over"
    delete = page.get_by_role("button", name="Delete")
    assert delete.is_disabled()
    server.post("/api/simulation/stop")
    page.locator(".page-head button:enabled", has_text="Delete").wait_for()
    assert page.locator(".events .event").count() == len(server.get(f"/api/recordings/{name}/events")["events"])


def test_frames_that_made_room_leave_the_picture_of_the_whole(server: Serving, page: Any) -> None:
    at = at_rest(server, 8)
    name, _ = recorded_run(server, at)
    open_view(page, server, f"playback?recording={name}&frame=6")
    wait_end(page, at)

    def shortened(route: Any) -> None:
        answer = route.fetch()
        body = answer.json()
        route.fulfill(response=answer, body=json.dumps(body | {"first": 3, "frames": body["frames"] - 3}))

    page.route(f"**/api/recordings/{name}", shortened)
    page.wait_for_function("() => document.querySelector('.scrub').min === '3'")
    page.wait_for_function(f"(frames) => ({POINTS})() === frames", arg=at - 3)
    server.post("/api/simulation/step", {"steps": 2})
    page.wait_for_function(f"(frames) => ({POINTS})() === frames", arg=at - 1)


def test_an_answer_is_awaited_before_the_next_is_asked_for(server: Serving, page: Any) -> None:
    at = at_rest(server, 2)
    name, _ = recorded_run(server, at)
    open_view(page, server, f"playback?recording={name}&frame=1")
    wait_place(page, 1)
    held = Held(page, r"/api/recordings\?limit=200$")
    page.wait_for_timeout(MANY_MS)
    assert len(held.routes) == 1
    held.let_go()
    server.post("/api/simulation/step", {"steps": 2})
    wait_end(page, at + 2)


def test_after_the_newest_is_deleted_the_one_before_is_shown(server: Serving, page: Any) -> None:
    names = []
    for _ in range(2):
        at = at_rest(server, 2)
        server.post("/api/simulation/stop")
        names.append(recorded_run(server, at)[0])
    open_view(page, server, f"playback?recording={names[1]}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.locator(f'[data-recording="{names[0]}"][aria-current=true]').wait_for()
    wait_place(page, 0)
    assert names[0] in page.url
