"""Numbers of branches, buses and links: under the pointer, and in tables for who has none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.serving import Serving, until, write_scenario
from tests.web.browsing import assert_accessible
from tests.web.watching import at_rest, wait_step

PLACES = """async () => {
  const { layout } = await import("./js/grid/layout.js");
  const { width, height, left, top } = document.querySelector(".stage").getBoundingClientRect();
  const hello = await new Promise((done) => {
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws/grid");
    socket.onmessage = (event) => { socket.close(); done(JSON.parse(event.data)); };
  });
  const { buses, branches, agents, links, radius } = layout(hello, width, height);
  const moved = ({ x, y }) => [left + x, top + y];
  const off = (p, points, least) => points.every((q) => Math.hypot(q.x - p.x, q.y - p.y) > least);
  const free = (p) => off(p, agents, radius + 12) && off(p, buses, 9);
  const at = (a, b, t) => ({ x: a.x + t * (b.x - a.x), y: a.y + t * (b.y - a.y) });
  const along = (a, b) => [0.5, 0.35, 0.65, 0.2, 0.8].map((t) => at(a, b, t)).find(free);
  const far = (p) => branches.every((w) => w.every((q, k) => !k || distance(p, w[k - 1], q) > 12));
  const distance = (p, a, b) => {
    const [dx, dy] = [b.x - a.x, b.y - a.y];
    const t = Math.max(0, Math.min(1, ((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy || 1)));
    return Math.hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
  };
  return {
    branches: branches.map((way) => along(...way.slice(-2))).map((p) => p && moved(p)),
    buses: buses.map((b) => off(b, agents, radius + 12) ? moved(b) : null),
    links: hello.links.map(({ source, target }) => links.get(`${source}>${target}`).points)
      .map((points) => points.find((p) => free(p) && far(p))).map((p) => p && moved(p)),
  };
}"""  # where each is drawn, in the window; null where something lies over it


def tip(page: Any, place: list[float]) -> tuple[str, dict[str, str]]:
    """Title and rows of the tooltip at a place."""
    page.mouse.move(place[0] + 40, place[1] + 300)
    page.mouse.move(*place, steps=2)
    page.locator(".tooltip strong").wait_for()
    rows = page.locator(".tooltip dl").evaluate(
        "(dl) => Object.fromEntries([...dl.querySelectorAll('dt')].map((dt) => [dt, dt.nextSibling])"
        ".map((pair) => pair.map((node) => node.textContent)))"
    )
    return page.locator(".tooltip strong").inner_text(), rows


def feeder(server: Serving) -> dict[str, Any]:
    """The hello message, with the constants of the feeder."""
    with server.connect() as socket:
        return until(socket, "hello")


@pytest.mark.parametrize("agents", [3, 210])
def test_branches_buses_and_links_tell_their_numbers_under_the_pointer(server: Serving, page: Any, agents: int) -> None:
    if agents > 3:
        write_scenario(server.data / "scenarios", "wide", agents=agents, buses=12)
        server.start(scenario="wide", policy="idle")
        at = server.post("/api/simulation/step", {"steps": 10})["progress"]["step"]
    else:
        at = at_rest(server, 13)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    page.locator(".grid-svg text").first.wait_for()
    frame, hello = server.get("/api/frame"), feeder(server)
    places = page.evaluate(PLACES)
    names = hello["feeder"]["branches"]["name"]
    k = next(k for k, place in enumerate(places["branches"]) if place and k > 0)
    title, rows = tip(page, places["branches"][k])
    assert title == names[k]
    assert rows["Loading"] == f"{100 * frame['branches']['loading'][k]:.1f}\u202f%"
    i = next(i for i, place in enumerate(places["buses"]) if place and i != hello["feeder"]["slack"])
    title, rows = tip(page, places["buses"][i])
    assert title == hello["feeder"]["buses"]["name"][i]
    assert rows["Voltage"] == f"{frame['buses']['voltage_pu'][i]:.3f}\u202fp.u."
    assert rows["It is"] == "within"
    if agents == 3:
        n = next(n for n, place in enumerate(places["links"]) if place)
        title, rows = tip(page, places["links"][n])
        link = hello["links"][n]
        names = {agent["id"]: agent["name"] for agent in hello["agents"]}
        assert title == f"{names[link['source']]} – {names[link['target']]}"
        assert rows["Largest transfer"] == f"{link['rating_kw']:.2f}\u202fkW"
        page.locator(".node[data-agent=agent_0]").hover()  # a prosumer says its own
        page.locator(".tooltip strong", has_text="p0").wait_for()
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 3)
    page.locator(".tooltip").wait_for(state="hidden")


def test_a_tip_that_stays_open_tells_of_the_newest_step(server: Serving, page: Any) -> None:
    at = at_rest(server, 13)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    page.locator(".node[data-agent=agent_0]").hover()
    told = page.locator(".tooltip dd")
    told.first.wait_for()
    before = told.all_inner_texts()
    server.post("/api/simulation/step", {"steps": 8})
    wait_step(page, at + 8)
    page.wait_for_function(
        "(before) => [...document.querySelectorAll('.tooltip dd')].map((dd) => dd.innerText).join() !== before",
        arg=",".join(before),
    )
    agent = server.get("/api/frame")["agents"][0]
    assert f"{agent['demand_kw']:.2f}\u202fkW" in told.all_inner_texts()


def test_the_feeder_as_tables_shows_the_frame(server: Serving, page: Any) -> None:
    at = at_rest(server, 13)
    page.goto(server.base + "/web/#/live?as=table")
    wait_step(page, at)
    assert page.locator("[data-part]").count() == 0, "rows nobody asked for"
    page.locator(".feeder > summary").press("Enter")
    page.locator("[data-part=branches] tbody td").first.wait_for()
    assert "feeder=1" in page.url
    hello = feeder(server)
    for _ in range(2):
        frame = server.get("/api/frame")
        wait_step(page, frame["step"])
        for part, column, values, digits in (
            ("branches", 0, [100 * x for x in frame["branches"]["loading"]], 1),
            ("buses", 0, frame["buses"]["voltage_pu"], 3),
        ):
            rows = page.locator(f"[data-part={part}] tbody tr").all()
            assert len(rows) == len(hello["feeder"][part]["name"])
            shown = [(row.locator("th").inner_text(), row.locator("td").nth(column).inner_text()) for row in rows]
            rated = hello["feeder"]["branches"]["rating_kva"] if part == "branches" else [1] * len(rows)
            wanted = [f"{v:.{digits}f}" if r else "–" for v, r in zip(values, rated, strict=True)]
            assert shown == list(zip(hello["feeder"][part]["name"], wanted, strict=True))
        server.post("/api/simulation/perturb", {"kind": "branch_outage", "branch": 2, "steps": 3})
        server.post("/api/simulation/step")
    wait_step(page, at + 2)
    assert page.locator("[data-part=branches] tbody tr").nth(2).locator("td").nth(2).inner_text() == "open"
    page.reload()  # the link shows the tables
    page.locator("[data-part=buses] tbody td").first.wait_for()
    assert_accessible(page)


def test_the_table_of_many_prosumers_is_the_frame_where_one_looks_and_soon_everywhere(
    server: Serving, page: Any
) -> None:
    write_scenario(server.data / "scenarios", "wide", agents=210, buses=12)
    server.start(scenario="wide", policy="idle")
    at = server.post("/api/simulation/step", {"steps": 10})["progress"]["step"]
    page.goto(server.base + "/web/#/live?as=table")
    wait_step(page, at)
    rows = page.locator(".grid-table .table.many tbody tr")
    rows.nth(209).wait_for(state="attached")

    def shown(k: int) -> str:
        return rows.nth(k).locator("td").nth(2).inner_text()

    def demand(k: int) -> str:
        return f"{server.get('/api/frame')['agents'][k]['demand_kw']:.2f}"

    step = server.post("/api/simulation/step", {"steps": 8})["progress"]["step"]
    wait_step(page, step)
    assert shown(0) == demand(0), "it is in view"
    rows.nth(150).scroll_into_view_if_needed()
    page.wait_for_function("(text) => document.querySelectorAll('.many tbody tr')[150].cells[3].textContent === text",
                           arg=demand(150))  # fmt: skip
    step = server.post("/api/simulation/step")["progress"]["step"]
    wait_step(page, step)
    page.wait_for_function(  # no further step comes, and all rows are of this one
        "(kw) => [...document.querySelectorAll('.many tbody tr')]"
        ".every((row, k) => Math.abs(Number(row.cells[3].textContent) - kw[k]) < 0.0051)",
        arg=[agent["demand_kw"] for agent in server.get("/api/frame")["agents"]],
    )
