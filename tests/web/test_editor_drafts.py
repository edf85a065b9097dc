"""What was typed in the scenario editor is not lost by leaving the view, nor by closing the tab without a question."""

from __future__ import annotations

from typing import Any

from tests.server.serving import Serving
from tests.web.watching import open_view

EXPORT = '[data-path="tariff.export_eur_per_kwh"] input'


def edited(server: Serving, page: Any) -> None:
    """The editor with a price that is not saved."""
    open_view(page, server, "editor?base=outage")
    page.locator(".verdict-box", has_text="valid").wait_for()
    assert page.locator(".unsaved").is_hidden()
    page.locator(EXPORT).fill("0.04")
    page.locator(".unsaved", has_text="Your unsaved changes to “outage”").wait_for()


def test_a_draft_is_still_there_when_one_comes_back_and_can_be_dropped(server: Serving, page: Any) -> None:
    edited(server, page)
    page.get_by_label("Save as").fill("cheap")
    page.get_by_role("link", name="Live", exact=True).click()
    page.locator(".transport").wait_for()
    page.get_by_role("link", name="Scenarios").click()
    page.locator(".unsaved", has_text="“outage”").wait_for()
    page.wait_for_function("() => location.hash === '#/editor?base=outage'")
    assert page.locator(EXPORT).input_value() == "0.04"
    assert page.get_by_label("Save as").input_value() == "cheap"
    assert page.get_by_label("Based on").input_value() == "outage"
    page.locator(".verdict-box", has_text="valid").wait_for()
    assert "export_eur_per_kwh = 0.04" in page.locator(".log").text_content()
    page.get_by_role("button", name="Discard them").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert page.locator(EXPORT).input_value() == "0.04"
    page.get_by_role("button", name="Discard them").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard them").click()
    page.locator(".unsaved").wait_for(state="hidden")
    shipped = server.get("/api/scenarios/outage")["config"]["tariff"]["export_eur_per_kwh"]
    assert float(page.locator(EXPORT).input_value()) == shipped != 0.04


def test_another_scenario_is_opened_over_a_draft_only_after_a_question(server: Serving, page: Any) -> None:
    edited(server, page)
    open_view(page, server, "live")
    page.locator(".transport").wait_for()
    open_view(page, server, "editor?base=community-5")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.wait_for_function("() => location.hash === '#/editor?base=outage'")
    assert page.locator(EXPORT).input_value() == "0.04"
    open_view(page, server, "editor?base=community-5")
    page.get_by_role("dialog").get_by_role("button", name="Discard them").click()
    page.locator(".unsaved").wait_for(state="hidden")
    page.wait_for_function("(p) => document.querySelector(p)?.value !== '0.04'", arg=EXPORT)
    assert page.get_by_label("Based on").input_value() == "community-5"


def test_closing_the_tab_asks_while_something_is_not_saved(server: Serving, page: Any) -> None:
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    edited(server, page)
    page.get_by_role("link", name="Live", exact=True).click()
    page.locator(".transport").wait_for()
    page.reload()
    assert asked == ["beforeunload"]
    edited(server, page)
    page.locator(EXPORT).fill(str(server.get("/api/scenarios/outage")["config"]["tariff"]["export_eur_per_kwh"]))
    page.locator(".unsaved").wait_for(state="hidden")
    page.reload()
    assert asked == ["beforeunload"], "nothing is lost"
