"""The community in numbers: nothing is cut off, and every number says its unit and means what it says elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.server.serving import Serving
from tests.web.browsing import watched
from tests.web.watching import at_rest, wait_step, wait_text

CUT = """() => {
  const found = [];
  const band = document.querySelector(".metrics").getBoundingClientRect();
  for (const tile of document.querySelectorAll(".metrics .tile")) {
    const { left, right, bottom } = tile.getBoundingClientRect();
    for (const node of tile.querySelectorAll(".label, .value, .unit, .note, .part .num, .part .weight")) {
      const range = document.createRange();
      range.selectNodeContents(node);
      const box = range.getBoundingClientRect();
      const least = Math.min(bottom, band.bottom);
      if (box.right > right - 4 || box.left < left || box.bottom > least) found.push(node.textContent);
      if (node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflow !== "visible") found.push(node.textContent);
    }
  }
  return found;
}"""  # noqa: E501


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 800), (390, 844)])
def test_no_number_of_the_community_is_cut_off(server: Serving, browser: Any, width: int, height: int) -> None:
    at = at_rest(server, 13)
    with watched(browser, viewport={"width": width, "height": height}) as page:
        page.goto(server.base + "/web/")
        wait_step(page, at)
        assert page.evaluate(CUT) == []
        page.goto(server.base + "/web/#/playback")
        page.locator(".playback-stage .reward .weight", has_text="×").first.wait_for()
        assert page.evaluate(CUT) == []


def test_numbers_have_units_and_agree_with_the_chart(server: Serving, page: Any) -> None:
    at = at_rest(server, 13)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    notes = {
        tile: page.locator(f"[data-tile={tile}] .note").inner_text().replace("\u202f", " ")
        for tile in ("import", "export", "cost", "co2", "price")
    }
    units = {"import": "EUR/kWh", "export": "EUR/kWh", "cost": "EUR/h", "co2": "kg/h", "price": "EUR/kWh"}
    assert {tile: note.split(" ")[-1] for tile, note in notes.items()} == units
    exported = page.locator("[data-tile=export] .value").inner_text()
    row = page.locator(".plot .u-series", has_text="Export")
    wait_text(page, ".plot .u-series:nth-child(5) .u-value", exported)
    assert "downwards" in row.inner_text()


def test_the_parts_of_the_reward_times_their_weights_are_the_reward(server: Serving, page: Any) -> None:
    at = at_rest(server, 13)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    page.locator(".reward .weight", has_text="×").first.wait_for()

    def number(text: str) -> float:
        return float(re.sub("[×\u202f ]", "", text).replace("\u2212", "-"))

    rows = page.locator(".reward .part")
    parts = [number(text) for text in rows.locator(".num").all_inner_texts()]
    weights = [number(text) for text in rows.locator(".weight").all_inner_texts()]
    total = number(page.locator(".reward .value").inner_text())
    assert len(parts) == 4
    assert sum(p * w for p, w in zip(parts, weights, strict=True)) == pytest.approx(total, abs=0.002)
