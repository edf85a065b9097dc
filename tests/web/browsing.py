"""A browser for the page of a real server, which fails a test at any console error or breach of the page's policy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WEB = Path(__file__).resolve().parent.parent.parent / "web"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
GL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # 3D without a GPU
PATIENCE_MS = 60_000
BREACHES = """
window.breaches = [];
document.addEventListener("securitypolicyviolation", (e) =>
  window.breaches.push(`${e.violatedDirective} ${e.blockedURI}`));
"""

UNEXPLAINED = """() => {
  const found = new Set();
  for (const node of document.querySelectorAll("main .num")) {
    if (!node.offsetParent || !/\\d/.test(node.textContent)) continue;
    if (node.closest("[data-explained], .clock, .player-controls, .pick, .tick-group, .chart, label")) continue;
    const cell = node.closest("td, th");
    const head = cell?.closest("table").tHead?.rows[0]?.cells[cell.cellIndex];
    if (head?.querySelector("[data-explained]")) continue;
    found.add(`${node.parentElement.className} > ${node.className}: ${node.textContent.trim()}`);
  }
  return [...found];
}"""


def executable() -> str:
    """Path of a Chromium; skips the test where there is none, or no library for it, or none for the page."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'")
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    if not (WEB / "node_modules" / "d3").is_dir():
        pytest.skip("the page's libraries are not installed: run npm ci in web/")
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """A running browser."""
    path = executable()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def watched(
    browser: Any,
    *,
    may_lose_connection: bool = False,
    may_lack_webgl: bool = False,
    may_lack_libraries: bool = False,
    **options: Any,
) -> Iterator[Any]:
    """A page; nothing may be wrong with it when the block ends.

    Args:
        may_lose_connection: the browser's own words about a server that is gone are no fault.
        may_lack_webgl: nor those about 3D it cannot draw.
        may_lack_libraries: nor those about scripts and styles that are not there.
        options: of the browser context.
    """
    usual = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}  # dots cost most of a slow machine
    context = browser.new_context(**(usual | options))
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.add_init_script(BREACHES)
    try:
        yield page
        breaches = page.evaluate("window.breaches")
    finally:
        context.close()
    if may_lose_connection:
        faults = [
            text for text in faults if "WebSocket connection" not in text and "Failed to load resource" not in text
        ]
    if may_lack_libraries:
        faults = [text for text in faults if "/vendor/" not in text and "Failed to load resource" not in text]
    faults = [text for text in faults if "status of 422" not in text]  # input refused: told on the page
    if may_lack_webgl:
        faults = [text for text in faults if "WebGL" not in text and "GL Driver" not in text]
    assert not faults, faults
    assert not breaches, breaches


def assert_accessible(page: Any) -> None:
    """No serious finding of axe-core in either theme, and every number says on hover what it is.

    Numbers of charts have their legend, those of lists and choices the words beside them.
    """
    axe = WEB / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip("axe-core is not installed: run npm ci in web/")
    unexplained = page.evaluate(UNEXPLAINED)
    assert not unexplained, unexplained
    page.evaluate(axe.read_text())
    for _ in range(2):
        found = page.evaluate(
            "axe.run().then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)))"
        )
        theme = page.evaluate("document.documentElement.dataset.theme")
        assert not found, (theme, [(v["id"], [n["html"][:200] for n in v["nodes"]][:5]) for v in found])
        page.locator("button[aria-label*=theme]").dispatch_event("click")  # wherever help covers it
