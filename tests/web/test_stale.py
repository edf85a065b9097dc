"""Values are greyed where they may have changed since: live ones without a connection, never those of a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.server.serving import serving
from tests.web.browsing import WEB, watched
from tests.web.test_views import recorded
from tests.web.watching import open_view, wait_place

FILTERS = """() => ['.metrics', '.agents-list', '.grid'].map((part) => {
  const filters = [];
  for (let node = document.querySelector(part); node; node = node.parentElement)
    filters.push(getComputedStyle(node).filter);
  return filters.some((filter) => filter.includes('grayscale'));
})"""


def test_a_recording_is_not_greyed_when_the_connection_is_lost(browser: Any, tmp_path: Path) -> None:
    with watched(browser, may_lose_connection=True) as page:
        with serving(tmp_path, "--web-dir", str(WEB)) as server:
            name = recorded(server)
            open_view(page, server, f"playback?recording={name}&frame=3")
            wait_place(page, 3)
            page.locator(".events .event").first.wait_for()
            page.evaluate("Promise.all(['live.js', 'playback.js'].map((view) => import(`./js/views/${view}`)))")
        page.locator(".connection", has_text="Offline").wait_for()
        assert page.evaluate("document.documentElement.classList.contains('stale')")
        assert page.evaluate(FILTERS) == [False] * 3
        page.keyboard.press("ArrowRight")
        wait_place(page, 4)  # what was read already can still be watched
        page.get_by_role("link", name="Live", exact=True).click()
        page.locator(".view-live .metrics").wait_for()
        assert page.evaluate(FILTERS) == [True] * 3
