"""Pictures of every view for the documentation: `python docs/screenshots.py` writes docs/images/*.png.

Starts a server of its own and does what a person would: lets a community run until its afternoon, records one with
things happening to it, compares policies, measures sizes, trains for some minutes; then takes each view in the dark and
in the light, on a desktop and on a phone. `--keep DIR` keeps what was made, so that a second run only takes pictures.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

IMAGES = Path(__file__).resolve().parent / "images"
WEB = Path(__file__).resolve().parent.parent / "web"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
GL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
DEVICES = {"": (1440, 900), "-phone": (390, 844)}
COMPARISON = {
    "policies": ["community-5", "time-of-use", "self-consumption", "mpc-noisy", "optimum"],
    "scenarios": ["community-5", "outage", "price-spike"],
    "episodes": 4,
}
MEASUREMENT = {"sizes": [3, 5, 10, 50, 200, 1000], "days": 0.5}
STEPS, HOUR = 100, "13"  # a day of history at least, and the sun shining
PATIENCE_S = 1800
LARGE = 120_000  # bytes
DISTURBANCES = [  # at step, what
    (40, {"kind": "cloud", "steps": 6}),
    (64, {"kind": "price_spike", "steps": 8}),
    (120, {"kind": "islanding", "steps": 10}),
]
FAULTY_CSV = "timestamp,agent,demand_kw,generation_kw\n" + "".join(
    f"2025-06-02T{k // 4:02}:{k % 4 * 15:02},home,{-5 if k == 7 else 1},0\n" for k in range(96)
)


class Picture(NamedTuple):
    """One view: its name, route, what has to be there, and what is done before the picture."""

    name: str
    route: str
    ready: str
    act: Callable[[Any], None] = lambda page: None
    tall: int = 0  # height on a desktop; 0: the usual one


def main() -> int:
    """Take every picture; returns the exit code."""
    parser = argparse.ArgumentParser(description="Pictures of every view, into docs/images.")
    parser.add_argument("--keep", type=Path, help="a folder for data and runs that is kept and used again")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training for its picture")
    parser.add_argument("--only", default="", help="names of views, separated by commas")
    parser.add_argument("--out", type=Path, default=IMAGES, help="where the pictures go")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        given.out.mkdir(parents=True, exist_ok=True)
        with _server(folder) as base:
            prepared = _prepare(base, folder / "prepared.json", given.minutes)
            _live(base)
            _take(base, _pictures(prepared), set(filter(None, given.only.split(","))), given.out)
    return 0


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "server", "--port", "0", "--no-autostart", "--rest-limit", ""]
    command += ["--data-dir", str(folder / "data"), "--runs-dir", str(folder / "runs")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    base = ""
    while not base:
        line = server.stdout.readline()
        assert line, "the server ended; its words are above"
        base = line.split(": ", 1)[1].split("/web/")[0] if line.startswith("smartgrid-marl: ") else ""
    try:
        yield base
    finally:
        server.terminate()
        server.wait(60)


def _prepare(base: str, notes: Path, minutes: float) -> dict[str, str]:
    """What the pictures show: names of a run and ids of what was compared, measured and recorded; kept in `notes`."""
    made: dict[str, str] = json.loads(notes.read_text()) if notes.is_file() else {}
    makers = {
        "run": lambda: _train(base, minutes),
        "comparison": lambda: _job(base, "comparisons", COMPARISON),
        "scalability": lambda: _job(base, "scalability", MEASUREMENT),
        "recording": lambda: _record(base),
    }
    for what, make in makers.items():
        if what not in made:
            made[what] = make()
            notes.write_text(json.dumps(made))
    return made


def _train(base: str, minutes: float) -> str:
    name = "evening-run"
    _ask(f"{base}/api/training", {"name": name, "config": {"max_minutes": minutes}})
    _wait(f"{base}/api/training", lambda it: it["state"] not in ("running", "stopping"), "training")
    return name


def _job(base: str, kind: str, body: dict[str, Any]) -> str:
    name = _ask(f"{base}/api/{kind}", body)["id"]
    _wait(f"{base}/api/{kind}/{name}", lambda it: it["state"] == "done", kind)
    return name


def _record(base: str) -> str:
    """Two days with a cloud, a price spike and an island in them; returns the recording's id."""
    _ask(f"{base}/api/simulation/start", {"seed": 11, "days": 2, "replace": True})
    at = _ask(f"{base}/api/simulation/pause", {})["progress"]["step"]
    for step, what in DISTURBANCES:
        at = _ask(f"{base}/api/simulation/step", {"steps": step - at})["progress"]["step"]
        _ask(f"{base}/api/simulation/perturb", what)
    _ask(f"{base}/api/simulation/step", {"steps": 190 - at})
    _ask(f"{base}/api/simulation/stop", {})
    found = f"{base}/api/recordings"
    _wait(found, lambda it: it["recordings"] and it["recordings"][0]["state"] == "complete", "recording")
    name = _ask(found)["recordings"][0]["id"]
    _ask(f"{found}/{name}", {"name": "Two days with an outage", "pinned": True}, "PATCH")
    return name


def _live(base: str) -> None:
    """A community in its afternoon, paused; recordings of earlier ones are gone."""
    for recording in _ask(f"{base}/api/recordings")["recordings"]:
        if not recording["pinned"]:
            _ask(f"{base}/api/recordings/{recording['id']}", method="DELETE")
    _ask(f"{base}/api/simulation/start", {"seed": 3, "speed": 20, "replace": True})
    while True:
        now = _ask(f"{base}/api/status")["progress"]
        if now["step"] >= STEPS and now["sim_time"][11:13] == HOUR:
            break
        time.sleep(0.05)
    _ask(f"{base}/api/simulation/pause", {})


def _pictures(made: dict[str, str]) -> list[Picture]:
    plots = _when("() => document.querySelectorAll('.chart-plot canvas').length >= 4")
    measured = f"comparison?kind=scalability&job={made['scalability']}"
    return [
        Picture("live", "live?agent=agent_1", ".transport .badge:has-text('paused')"),
        Picture("playback", f"playback?recording={made['recording']}&frame=124", ".events .event"),
        Picture("comparison", f"comparison?job={made['comparison']}", ".radar .shape", plots),
        Picture("scalability", measured, ".results .table", plots),
        Picture("training", f"training?run={made['run']}", ".curves canvas", plots),
        Picture("editor", "editor?base=community-5", ".verdict-box .badge", _mistakes, tall=1130),
        Picture("3d", "scene3d?agent=agent_1", ".town-labels span"),
        Picture("help", "live?help=1", ".help h3"),
    ]  # fmt: skip


def _when(condition: str) -> Callable[[Any], None]:
    return lambda page: page.wait_for_function(condition)


def _mistakes(page: Any) -> None:
    """A tariff that pays more than it asks, and a file with a demand below zero."""
    export = page.locator('[data-path="tariff.export_eur_per_kwh"]')
    export.get_by_role("textbox").fill("0.5")
    export.locator(".fault").wait_for()
    csv = {"name": "street.csv", "mimeType": "text/csv", "buffer": FAULTY_CSV.encode()}
    page.get_by_label("CSV file").set_input_files(csv)
    page.get_by_role("button", name="Upload").click()
    page.locator(".upload-fault .fault").wait_for()
    page.evaluate("""() => {
        document.activeElement.blur();
        const card = document.querySelector(".upload-fault").closest(".card").getBoundingClientRect();
        const bar = document.querySelector(".topbar").getBoundingClientRect();
        if (innerWidth < 760) scrollTo(0, scrollY + card.top - bar.height - 10);  // the card from its top
        else document.querySelector(".main").scrollTop = 0;
    }""")


def _take(base: str, pictures: list[Picture], only: set[str], out: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS + GL)
        for theme in ("dark", "light"):
            for device, (width, height) in DEVICES.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce",
                    device_scale_factor=2 if width < 600 else 1, has_touch=width < 600,
                )  # fmt: skip
                context.set_default_timeout(60_000)
                for picture in pictures:
                    if not only or picture.name in only:
                        _picture(context, base, picture, out / f"{picture.name}{device}-{theme}.png")
                context.close()


def _picture(context: Any, base: str, picture: Picture, path: Path) -> None:
    page = context.new_page()
    if picture.tall and page.viewport_size["width"] > 760:
        page.set_viewport_size({"width": page.viewport_size["width"], "height": picture.tall})
    page.goto(f"{base}/web/#/{picture.route}")
    page.locator(".connection", has_text="Live ·").wait_for()
    page.locator(picture.ready).first.wait_for()
    picture.act(page)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)  # images of canvases and fonts settle
    page.screenshot(path=path)
    page.close()
    _shrink(path)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB", flush=True)


def _shrink(path: Path) -> None:
    """Large ones get a palette of 256 colours: a third of the bytes, and none of the page's colours is lost."""
    from PIL import Image

    css = "".join((WEB / "css" / name).read_text(encoding="utf-8") for name in ("tokens.css", "views.css"))
    kept = [tuple(bytes.fromhex(color)) for color in sorted(set(re.findall(r"#([0-9a-f]{6})\b", css)))]
    with Image.open(path) as image:
        whole = image.convert("RGB")
        whole.save(path, optimize=True)
        if path.stat().st_size < LARGE or path.name.startswith("3d"):  # its shades are more than a palette has
            return
        common = whole.quantize(256 - len(kept), kmeans=1, dither=Image.Dither.NONE).getpalette() or []
        palette = Image.new("P", (1, 1))
        palette.putpalette([*common[: 3 * (256 - len(kept))], *(part for color in kept for part in color)])
        small = whole.quantize(palette=palette, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def _wait(url: str, over: Callable[[Any], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = _ask(url)
        if over(answer):
            print(f"{what}: done", flush=True)
            return
        if answer.get("state") in ("failed", "cancelled") or time.monotonic() > deadline:
            raise RuntimeError(f"{what}: {answer}")
        time.sleep(1.0)


def _ask(url: str, body: Any = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"content-type": "application/json"}, method=method or ("POST" if data else "GET")
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"null")


if __name__ == "__main__":
    sys.exit(main())
