"""A scenario of one's own, made field by field on the page, kept, downloaded and run."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tests.server.serving import Serving
from tests.web.watching import open_view, wait_step


def cell(page: Any, path: str) -> Any:
    """The input of a field of the scenario."""
    return page.locator(f'[data-path="{path}"] > .input')


def downloaded(page: Any) -> dict[str, Any]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download TOML").click()
    assert download.value.suggested_filename == "hamlet.toml"
    return tomllib.loads(Path(download.value.path()).read_text())


def test_make_a_community_keep_it_and_run_it(server: Serving, page: Any) -> None:
    open_view(page, server, "editor?base=community-5")
    page.locator(".verdict-box", has_text="5 prosumers").wait_for()
    page.get_by_role("button", name="Add a prosumer").click()
    for field, text in {"name": "cabin", "annual_demand_kwh": "1500 - 2500", "solar.capacity_kwp": ""}.items():
        cell(page, f"prosumers.5.{field}").fill(text)
    cell(page, "prosumers.5.archetype").select_option("suburban")
    page.locator(".verdict-box", has_text="6 prosumers").wait_for()
    page.get_by_role("button", name="Add a prosumer").click()
    page.get_by_role("button", name="Remove row 7").click()
    page.get_by_role("button", name="Remove row 3").click()  # the workshop
    page.locator(".verdict-box", has_text="5 prosumers").wait_for()
    assert cell(page, "prosumers.2.name").input_value() == "flats"
    assert cell(page, "prosumers.4.name").input_value() == "cabin"

    cell(page, "links.topology").fill("0-1, 1-2, 2-3, 3-4")
    cell(page, "links.rating_kw").fill("2.5")
    page.locator(".verdict-box", has_text="4 links").wait_for()
    page.get_by_label("rewards weight: cooperation").fill("0.75")
    page.get_by_label("stability weight: voltage").fill("0.6")
    assert page.locator('[data-path="stability.voltage"] output').inner_text() == "0.60"
    bands = page.locator('[data-path="tariff.bands"] tbody tr').count()
    page.get_by_role("button", name="Add hours with other prices").click()
    for field, text in {"from_hour": "12", "to_hour": "14", "import_eur_per_kwh": "0.02"}.items():
        cell(page, f"tariff.bands.{bands}.{field}").fill(text)
    page.locator(".tariff .fault").first.wait_for()
    assert page.get_by_role("button", name="Save").is_disabled()  # it would pay more for energy than it asks
    cell(page, f"tariff.bands.{bands}.import_eur_per_kwh").fill("0.18")
    page.locator(".verdict-box .badge", has_text="valid").wait_for()
    assert "to 0.45" in page.locator(".price-picture").inner_text()
    page.get_by_label("Save as").fill("hamlet")
    cell(page, "tariff.import_eur_per_kwh").fill("0.5")
    assert "to 0.50" in page.locator(".price-picture").inner_text()
    file = downloaded(page)  # at once: what is in the fields, not what was when they were last checked
    assert file["tariff"]["import_eur_per_kwh"] == 0.5
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Delete this scenario").wait_for()

    assert file == tomllib.loads(server.get("/api/scenarios/hamlet/source")["toml"])
    config = server.get("/api/scenarios/hamlet")["config"]
    assert [prosumer["name"] for prosumer in config["prosumers"]] == ["home", "shop", "flats", "villa", "cabin"]
    cabin = config["prosumers"][4]
    assert (cabin["archetype"], cabin["annual_demand_kwh"], cabin["solar"]) == ("suburban", [1500, 2500], None)
    assert config["links"] == {"topology": [[0, 1], [1, 2], [2, 3], [3, 4]], "rating_kw": 2.5}
    assert config["rewards"] == {"stability": 0.1, "efficiency": 0.1, "cost": 1.0, "cooperation": 0.75}
    assert config["stability"]["voltage"] == 0.6
    assert config["tariff"]["import_eur_per_kwh"] == 0.5
    band = config["tariff"]["bands"][bands]
    assert (band["from_hour"], band["to_hour"], band["import_eur_per_kwh"]) == (12, 14, 0.18)

    page.get_by_role("link", name="Live", exact=True).click()
    form = page.locator("form.setup")
    form.locator("option[value=hamlet]").wait_for(state="attached")
    with page.expect_response("**/api/policies?scenario=hamlet"):
        form.locator("select[name=scenario]").select_option("hamlet")
    form.locator("option[value=self-consumption]").wait_for(state="attached")
    form.locator("select[name=policy]").select_option("self-consumption")
    form.get_by_role("button", name="Start this community").click()
    page.locator(".agent", has_text="cabin").wait_for()
    assert page.locator(".agent").count() == 5
    assert page.locator(".agent", has_text="workshop").count() == 0
    wait_step(page, 1)
    assert server.get("/api/status")["run"]["scenario"] == "hamlet"
    assert server.get("/api/status")["weights"]["rewards"]["cooperation"] == 0.75
    assert len(server.get("/api/frame")["agents"]) == 5
