"""Names in the grid view: readable whatever the number of prosumers and the size of the window."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.serving import Serving, write_scenario
from tests.web.browsing import watched
from tests.web.watching import at_rest, wait_step

COVERED = """() => {
  const box = (node) => node.getBoundingClientRect();
  const shown = [...document.querySelectorAll(".grid-svg .name")].filter((n) => getComputedStyle(n).visibility === "visible");
  const others = [...document.querySelectorAll(".grid-svg .disc, .utility rect, .utility text, .zoom-buttons .button")];
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  const found = [];
  shown.forEach((one, k) => {
    for (const other of [...shown.slice(k + 1), ...others]) {
      if (over(box(one), box(other))) found.push(`${one.textContent} / ${other.textContent || other.getAttribute("class")}`);
    }
  });
  const stage = box(document.querySelector(".stage"));
  for (const one of shown) if (box(one).left < stage.left || box(one).right > stage.right) found.push(`${one.textContent} is cut`);
  return { shown: shown.length, found };
}"""  # noqa: E501


def write_street(server: Serving, agents: int) -> None:
    """A community whose names are all alike and long."""
    folder = server.data / "scenarios"
    write_scenario(folder, "street", agents=agents, buses=agents + 2)
    for path, before in ((folder / "street.toml", 'name = "'), (folder / "street.csv", ",")):
        path.write_text(path.read_text().replace(f"{before}p", f"{before}connection "))


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 800), (400, 860)])
def test_no_name_stands_over_another_over_a_prosumer_or_under_a_button(
    server: Serving, browser: Any, width: int, height: int
) -> None:
    write_street(server, 13)
    server.start(scenario="street")
    at = server.post("/api/simulation/step", {"steps": 3})["progress"]["step"]
    with watched(browser, viewport={"width": width, "height": height}) as page:
        page.goto(server.base + "/web/")
        wait_step(page, at)
        page.wait_for_function("() => document.querySelectorAll('.grid-svg .node').length === 13")
        found = page.evaluate(COVERED)
        assert found["found"] == []
        assert found["shown"] >= 8
        for k in range(13):  # where somebody points, the name is there whether it has room or not
            page.locator(f".node[data-agent=agent_{k}] .disc").hover(force=True)
            name = page.locator(f".name[data-of=agent_{k}]")
            assert name.evaluate("(node) => getComputedStyle(node).visibility") == "visible"


def test_a_few_prosumers_have_their_whole_names_and_powers(server: Serving, page: Any) -> None:
    at = at_rest(server, 3)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    page.locator(".grid-svg .name").first.wait_for()
    texts = page.locator(".grid-svg .name").all_text_contents()
    assert len(texts) == 3
    assert all("kW" in text for text in texts)
