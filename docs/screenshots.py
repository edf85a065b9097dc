"""Pictures of the page for the documentation: `python docs/screenshots.py` writes docs/images/*.png.

Starts a server of its own, lets a community run until its afternoon, and pauses it, so that every picture shows the
same moment.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).resolve().parent / "images"
PICTURES = [  # file, theme, size, hash
    ("live-dark", "dark", (1440, 900), "#/live?agent=agent_1"),
    ("live-light", "light", (1440, 900), "#/live?chart=stability"),
    ("live-phone", "dark", (390, 844), "#/live"),
]
STEPS, HOUR = 100, "13"  # a day of history at least, and the sun shining


def main() -> int:
    """Take every picture; returns the exit code."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "server", "--port", "0", "--data-dir", data, "--speed", "20", "--seed", "3"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        base = server.stdout.readline().split(": ", 1)[1].split("/web/")[0]
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"),
                    args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
                )
                _take(browser, base)
        finally:
            server.terminate()
            server.wait(30)
    return 0


def _take(browser: Any, base: str) -> None:
    pages = []
    for name, theme, (width, height), fragment in PICTURES:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce",
            device_scale_factor=2 if width < 600 else 1,
        )  # fmt: skip
        page = context.new_page()
        page.goto(f"{base}/web/{fragment}")
        page.locator(".connection", has_text="Live").wait_for(timeout=60_000)
        pages.append((name, page))
    while True:
        now = _ask(f"{base}/api/status")["progress"]
        if now["step"] >= STEPS and now["sim_time"][11:13] == HOUR:
            break
        time.sleep(0.05)
    step = _ask(f"{base}/api/simulation/pause", "POST")["progress"]["step"]
    for name, page in pages:
        page.locator(".transport .when", has_text=f"step {step:,}").wait_for()
        path = IMAGES / f"{name}.png"
        page.screenshot(path=path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB")


def _ask(url: str, method: str = "GET") -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
