"""A prosumer's cost so far is the server's, whichever way one comes to the step."""

from __future__ import annotations

import json
from typing import Any

from tests.server.serving import Serving
from tests.web.test_views import recorded
from tests.web.watching import at_rest, open_view, wait_place, wait_step

COST = ".agent[data-agent={}] .mini:last-child .num"


def wait_costs(page: Any, frame: dict[str, Any]) -> None:
    """Until every card shows the cost so far of this frame."""
    for agent in frame["agents"]:
        text = f"{agent['cost_eur_total']:,.2f}".replace("-", "−") if abs(agent["cost_eur_total"]) >= 0.005 else "0.00"
        page.locator(COST.format(agent["id"]), has_text=text).wait_for()


def test_a_page_opened_late_shows_all_bills_since_the_run_began(server: Serving, page: Any) -> None:
    at = at_rest(server, 30)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    frame = server.get("/api/frame")
    assert len({agent["cost_eur_total"] for agent in frame["agents"]}) == 3
    wait_costs(page, frame)
    disc = page.locator(
        ".node[data-agent=agent_1] .disc"
    ).bounding_box()  # the node's middle may lie beside, by its name
    page.mouse.move(disc["x"] + disc["width"] / 2, disc["y"] + disc["height"] / 2)
    page.locator(".tooltip dt", has_text="Cost so far").wait_for()
    server.post("/api/simulation/reset")
    server.post("/api/simulation/step")
    wait_costs(page, server.get("/api/frame"))


def test_a_jump_in_a_recording_shows_the_cost_of_its_frame(server: Serving, page: Any) -> None:
    name = recorded(server)
    for number in (20, 3):
        open_view(page, server, f"playback?recording={name}&frame={number}")
        wait_place(page, number)
        (frame,) = server.get(f"/api/recordings/{name}/frames?first={number}&limit=1")["frames"]
        wait_costs(page, frame)


def test_an_older_recording_that_tells_no_cost_so_far_shows_a_dash(server: Serving, page: Any) -> None:
    name = recorded(server)

    def as_before(route: Any) -> None:
        answer = route.fetch()
        body = answer.json()
        for frame in body["frames"]:
            for agent in frame["agents"]:
                del agent["cost_eur_total"]
        route.fulfill(response=answer, body=json.dumps(body))

    page.route("**/frames?*", as_before)
    open_view(page, server, f"playback?recording={name}&frame=5")
    wait_place(page, 5)
    page.locator(COST.format("agent_0"), has_text="–").wait_for()
    assert "kW" in page.locator(".agent[data-agent=agent_0] .mini .num").nth(1).inner_text()
