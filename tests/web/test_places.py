"""Where one looks, in the grid and in 3D, is in the link; the town's prosumers are reached by keyboard."""

from __future__ import annotations

from typing import Any

from tests.server.serving import Serving, write_scenario
from tests.web.browsing import FLAGS, GL, assert_accessible, executable, watched
from tests.web.watching import at_rest, open_view, wait_step

ZOOMED = "document.querySelector('.grid-svg > g')?.getAttribute('transform')"
TOWN = "document.querySelector('.town-labels span').style.transform"


def test_a_link_shows_the_same_part_of_the_grid(server: Serving, page: Any) -> None:
    at = at_rest(server)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    page.locator(".grid-svg .node").first.wait_for()
    assert "zoom" not in page.url
    for _ in range(2):
        page.get_by_role("button", name="Zoom in").click()
    page.wait_for_function("() => location.hash.includes('zoom=2.25_0.5_0.5')")
    box = page.locator(".grid-svg").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 12  # where no prosumer is
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y + 30, steps=4)
    assert "zoom=2.25_0.5_0.5" in page.url, "nothing is written while the button is down"
    page.mouse.up()
    page.wait_for_function("() => !location.hash.includes('zoom=2.25_0.5_0.5')")
    link, shown = page.url, page.evaluate(ZOOMED)
    page.reload()
    page.wait_for_function(f"() => {ZOOMED}?.includes('scale(2.25)')")
    assert page.url == link
    now, then = (
        [float(number) for number in text.removeprefix("translate(").split(")")[0].split(",")]
        for text in (page.evaluate(ZOOMED), shown)
    )
    assert all(abs(a - b) < 1.5 for a, b in zip(now, then, strict=True)), (now, then)
    page.get_by_role("button", name="Show everything").click()
    page.wait_for_function("() => !location.hash.includes('zoom')")


def test_help_has_an_address_and_an_unknown_one_is_said_to_be(server: Serving, page: Any) -> None:
    at_rest(server)
    open_view(page, server, "help")
    page.locator(".help h3").first.wait_for()
    page.locator(".transport").wait_for()
    assert "help=1" in page.url
    page.goto("about:blank")
    open_view(page, server, "trainign?run=x")
    page.get_by_text("There is nothing at this address").wait_for()
    page.get_by_role("link", name="live view", exact=True).click()
    page.locator(".transport").wait_for()


def test_the_town_s_camera_is_in_the_link_and_prosumers_are_selected_by_keys(server: Serving, browser: Any) -> None:
    at_rest(server, 2)
    flags = [flag for flag in FLAGS if flag != "--disable-gpu"] + GL
    drawing = browser.browser_type.launch(executable_path=executable(), args=flags)
    try:
        with watched(drawing) as page:
            open_view(page, server, "scene3d")
            page.locator(".town-info", has_text="Stability").wait_for()
            page.wait_for_function(f"() => {TOWN}")
            first = page.evaluate(TOWN)
            page.locator(".town-canvas").focus()
            for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "-"):
                page.keyboard.press(key)
            page.wait_for_function("() => location.hash.includes('camera=0.11_0.7_61.6')")
            turned = page.evaluate(TOWN)
            assert turned != first
            page.reload()
            page.locator(".town-info", has_text="Stability").wait_for()
            page.wait_for_function(f"(turned) => {TOWN} === turned", arg=turned)
            page.get_by_role("button", name="Show everything").click()
            page.wait_for_function("() => !location.hash.includes('camera')")
            assert page.evaluate(TOWN) == first
            page.locator(".town-canvas").focus()
            page.keyboard.press("Tab")
            page.keyboard.press("ArrowRight")
            page.keyboard.press("ArrowRight")
            page.locator(".tooltip strong", has_text="p2").wait_for()
            assert "agent" not in page.url
            page.keyboard.press("Enter")
            page.locator(".town-info strong", has_text="p2").wait_for()
            assert "agent=agent_2" in page.url
            assert page.locator(".town-labels [aria-pressed=true]").inner_text() == "p2"
            page.keyboard.press("ArrowRight")  # round to the first
            page.keyboard.press("Space")
            page.wait_for_function("() => location.hash.includes('agent=agent_0')")
            assert_accessible(page)
            write_scenario(server.data / "scenarios", "many", agents=45, buses=50)
            server.start(scenario="many", policy="idle")
            server.post("/api/simulation/step")
            page.wait_for_function("() => document.querySelectorAll('.town-labels span').length === 1")
            open_view(page, server, "scene3d")
            page.locator(".town-labels").focus()
            page.keyboard.press("ArrowLeft")
            page.wait_for_function("() => location.hash.includes('agent=agent_44')")
            page.keyboard.press("ArrowRight")
            page.wait_for_function("() => location.hash.includes('agent=agent_0')")
    finally:
        drawing.close()
