"""What tests of the page wait for and read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.server.serving import PATIENCE_S, Serving


def at_rest(server: Serving, steps: int = 1) -> int:
    """A paused community after at least so many steps; returns how many (one may go by before the pause)."""
    server.start()
    return server.post("/api/simulation/step", {"steps": steps})["progress"]["step"]


def step(page: Any) -> int:
    """The step the page shows; −1 before the first."""
    found = re.search(r"step ([\d,]+)", page.locator(".transport .when").inner_text())
    return int(found[1].replace(",", "")) if found else -1


def wait_step(page: Any, least: int) -> None:
    """Until the page shows this step or a later one."""
    page.wait_for_function(
        "(least) => { const m = document.querySelector('.transport .when')?.textContent.match(/step ([\\d,]+)/);"
        " return m && Number(m[1].replaceAll(',', '')) >= least; }", arg=least,
    )  # fmt: skip


def wait_state(page: Any, state: str) -> None:
    page.wait_for_function(
        "(state) => document.querySelector('.transport .badge')?.textContent === state", arg=state
    )  # fmt: skip


def wait_text(page: Any, selector: str, text: str) -> None:
    """Until the first element found says exactly this."""
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.textContent === text", arg=[selector, text]
    )  # fmt: skip


def open_view(page: Any, server: Serving, route: str) -> None:
    page.goto(f"{server.base}/web/#/{route}")


def wait_place(page: Any, frame: int) -> None:
    """Until the player shows this frame; it is in the URL too."""
    page.wait_for_function(
        "(n) => document.querySelector('.scrub')?.value === String(n) && location.hash.includes(`frame=${n}`)",
        arg=frame,
    )


def eventually(find: Callable[[], Any]) -> Any:
    """What the call returns, as soon as that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := find()):
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)
    return found


def exported(page: Any, label: str, folder: Path) -> Path:
    """The file that a choice of the view's first export menu saves."""
    with page.expect_download() as download:
        page.get_by_label("Export").first.select_option(label=label)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def recorded_run(server: Serving, least: int) -> tuple[str, list[dict[str, Any]]]:
    """Id and frames of the recording of the newest run, as soon as it has so many."""
    run = server.get("/api/status")["run"]["id"]

    def find() -> tuple[str, list[dict[str, Any]]] | None:
        for item in server.get("/api/recordings?limit=5")["recordings"]:
            if server.get(f"/api/recordings/{item['id']}")["about"]["run"]["id"] == run and item["frames"] >= least:
                return item["id"], server.get(f"/api/recordings/{item['id']}/frames?limit=1000")["frames"]
        return None

    return eventually(find)


class Held:
    """Answers of the server that are kept back until they are let go.

    Args:
        page: that asks.
        pattern: of the addresses, a regular expression.
    """

    def __init__(self, page: Any, pattern: str):
        self.page, self.pattern = page, pattern
        self.routes: list[Any] = []
        self._holds = True
        page.route(re.compile(pattern), self._take)

    def _take(self, route: Any) -> None:
        if self._holds:
            self.routes.append(route)
        else:
            route.continue_()

    def wait(self) -> None:
        """Until something was asked for."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.routes:
            assert time.monotonic() < deadline, f"nothing asked for {self.pattern}"
            self.page.wait_for_timeout(50)

    def let_go(self) -> None:
        """Answer what was asked for, and from now on everything."""
        self._holds = False
        for route in self.routes:
            route.continue_()
