"""What drives a live community: stop, reset, speed, disturbances, weights, each seen in what the server then sends."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.server.serving import Serving
from tests.web.watching import at_rest, eventually, recorded_run, step, wait_state, wait_step, wait_text

DEMAND, GENERATION, STABILITY = (
    f"{tile} .value" for tile in ("[data-tile=demand]", "[data-tile=generation]", ".stability")
)


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_stop_and_start_the_same_again(server: Serving, page: Any) -> None:
    server.start(seed=3, days=2)
    at = server.post("/api/simulation/step", {"steps": 4})["progress"]["step"]
    page.goto(server.base + "/web/")
    wait_step(page, at)
    press(page, "Stop")
    wait_state(page, "stopped")
    assert step(page) == at  # the last frame stays
    for name in ("Stop", "Reset", "Step"):
        assert page.get_by_role("button", name=name, exact=True).is_disabled()
    first = server.get("/api/status")["run"]
    press(page, "Start")
    wait_state(page, "running")
    again = server.get("/api/status")["run"]
    assert again["id"] != first["id"]
    for field in ("scenario", "policy", "seed", "days"):
        assert again[field] == first[field], field


def test_the_form_shows_what_somebody_else_started(server: Serving, page: Any) -> None:
    server.start(policy="self-consumption")
    page.goto(server.base + "/web/")
    shown = "([policy, seed]) => document.querySelector('.setup select:has(optgroup)')?.value === policy"
    shown += " && document.querySelector('.setup input[type=number]')?.value === seed"
    page.wait_for_function(shown, arg=["self-consumption", "0"])
    server.start(policy="time-of-use", seed=7)
    page.wait_for_function(shown, arg=["time-of-use", "7"])


def test_reset_begins_again_with_the_same_numbers(server: Serving, page: Any) -> None:
    at = at_rest(server, 8)
    first = recorded_run(server, at)[1][0]
    page.goto(server.base + "/web/")
    wait_step(page, at)
    press(page, "Reset")
    page.locator(".transport .when", has_text="no step yet").wait_for()
    for selector in (DEMAND, GENERATION, STABILITY):
        wait_text(page, selector, "–")  # nothing of the run before
    wait_text(page, ".agent .mini .num", "")
    wait_state(page, "paused")
    press(page, "Step")
    wait_step(page, 1)
    again = server.get("/api/frame")
    assert again["run"] != first["run"]
    for part in ("step", "episode", "sim_time", "stability", "agents", "energy_flows", "buses", "branches"):
        assert again[part] == first[part], part
    wait_text(page, DEMAND, f"{first['metrics']['total_demand_kw']:.1f}")
    wait_text(page, STABILITY, f"{first['stability']:.3f}")


def test_reset_of_a_running_community_goes_on_from_its_first_step(server: Serving, page: Any) -> None:
    server.start(speed=20)
    page.goto(server.base + "/web/")
    wait_step(page, 12)
    page.evaluate("""() => {
        const when = document.querySelector(".transport .when");
        const step = () => Number(when.textContent.match(/step ([\\d,]+)/)?.[1].replaceAll(",", "") ?? -1);
        let last = step();
        new MutationObserver(() => {
          const now = step();
          if (now >= 0 && now < last) window.fell = now;
          if (now >= 0) last = now;
        }).observe(when, { subtree: true, childList: true, characterData: true });
    }""")
    run = server.get("/api/status")["run"]["id"]
    press(page, "Reset")
    page.wait_for_function("() => window.fell !== undefined")
    wait_step(page, page.evaluate("window.fell") + 5)
    wait_state(page, "running")
    assert server.get("/api/status")["run"]["id"] != run


def test_speed_by_slider_by_keys_and_as_fast_as_possible(server: Serving, page: Any) -> None:
    def reached(speed: float | str) -> None:
        eventually(lambda: server.get("/api/status")["speed"] == speed)

    server.start(speed=0.1)
    page.goto(server.base + "/web/")
    wait_text(page, ".speed output", "0.1 steps/s")
    slider = page.get_by_label("Speed, steps a second")
    slider.fill("200")
    wait_text(page, ".speed output", "10 steps/s")
    reached(10)
    wait_step(page, step(page) + 6)  # it took one every ten seconds
    slider.press("PageUp")
    wait_text(page, ".speed output", "20 steps/s")
    reached(20)
    slider.fill("0")
    reached(0.1)
    most = page.get_by_label("as fast as possible")
    most.check()
    wait_text(page, ".speed output", "as fast as possible")
    reached("max")
    assert slider.is_disabled()
    wait_step(page, step(page) + 200)
    most.uncheck()
    wait_text(page, ".speed output", "10 steps/s")
    reached(10)
    assert slider.is_enabled()


def test_clouds_surges_and_price_spikes_do_what_they_say_for_as_long(server: Serving, page: Any) -> None:
    server.start()
    server.post("/api/simulation/reset")
    server.post("/api/simulation/step", {"steps": 24})
    calm = recorded_run(server, 24)[1]
    noon = max(range(2, 21), key=lambda k: calm[k]["metrics"]["total_generation_kw"])
    server.post("/api/simulation/reset")
    server.post("/api/simulation/step", {"steps": noon})
    page.goto(server.base + "/web/")
    wait_step(page, noon)
    form = page.locator("form.disturb")
    for kind, magnitude in (("Cloud", "0.5"), ("Price spike", "2"), ("Demand surge", "3")):
        press(page, kind)
        assert page.get_by_role("button", name=kind, exact=True).get_attribute("aria-pressed") == "true"
        form.locator("input[name=hours]").fill("2")
        form.locator("input[name=magnitude]").fill(magnitude)
        form.get_by_role("button", name="Let it happen").click()
        page.locator(".toast", has_text=kind).wait_for()
    press(page, "Step")
    wait_step(page, noon + 1)
    now, then = server.get("/api/frame")["metrics"], calm[noon]["metrics"]
    assert now["total_generation_kw"] == pytest.approx(0.5 * then["total_generation_kw"], abs=1e-3)
    assert now["total_demand_kw"] == pytest.approx(3 * then["total_demand_kw"], abs=1e-3)
    assert now["import_price"] == pytest.approx(2 + then["import_price"], abs=1e-5)
    wait_text(page, DEMAND, f"{now['total_demand_kw']:.1f}")
    wait_text(page, GENERATION, f"{now['total_generation_kw']:.1f}")
    active = page.locator(".disturb .active li")
    assert [re.sub(r"\s", " ", text) for text in active.all_inner_texts()] == [
        "Cloud: 1 h left", "Price spike: 1 h left", "Demand surge: 1 h left"
    ]  # fmt: skip
    press(page, "Step")
    wait_step(page, noon + 2)
    assert active.all_inner_texts() == ["Cloud: last step", "Price spike: last step", "Demand surge: last step"]
    press(page, "Step")
    wait_step(page, noon + 3)
    active.first.wait_for(state="detached")
    now, then = server.get("/api/frame")["metrics"], calm[noon + 2]["metrics"]
    for key in ("total_generation_kw", "total_demand_kw", "import_price"):
        assert now[key] == then[key], key


def test_weights_change_the_reward_and_the_index(server: Serving, page: Any) -> None:
    at = at_rest(server, 13)
    page.goto(server.base + "/web/")
    wait_step(page, at)
    page.locator(".weights summary").click()
    wanted = {"stability": 0.0, "efficiency": 0.0, "cost": 1.5, "cooperation": 0.2}
    for name, value in wanted.items():
        page.locator(f"input[name='rewards.{name}']").fill(f"{value:g}")
    eventually(lambda: server.get("/api/status")["weights"]["rewards"] == wanted)
    press(page, "Step")
    wait_step(page, at + 1)
    frame = server.get("/api/frame")["metrics"]
    expected = 1.5 * frame["reward_cost"] + 0.2 * frame["reward_cooperation"]
    assert frame["mean_reward"] == pytest.approx(expected, abs=1e-4)
    assert page.locator(".reward .value").inner_text() == f"{frame['mean_reward']:+.3f}".replace("-", "−")

    def shown(name: str, value: float) -> None:
        page.wait_for_function(
            "([name, text]) => document.querySelector(`.weights [name='stability.${name}']`).closest('.field')"
            ".querySelector('output').textContent === text", arg=[name, f"{value:.2f}"],
        )  # fmt: skip

    reserve = page.locator("input[name='stability.reserve']")
    reserve.fill("1")
    weights = eventually(lambda: (w := server.get("/api/status")["weights"]["stability"])["reserve"] > 0.2 and w)
    assert sum(weights.values()) == pytest.approx(1, abs=1e-5)
    shown("voltage", weights["voltage"])
    shown("reserve", 1)  # it does not move under the hand that holds it
    reserve.blur()
    for name, value in weights.items():  # what the server made of them
        shown(name, value)
    press(page, "Step")
    wait_step(page, at + 2)
    frame = server.get("/api/frame")["metrics"]
    index = sum(value * frame[f"stability_{name}"] for name, value in weights.items())
    assert frame["stability"] == pytest.approx(index, abs=1e-4)
    wait_text(page, STABILITY, f"{frame['stability']:.3f}")


def test_the_form_proposes_the_policy_trained_for_the_scenario_and_never_a_random_one(
    server: Serving, page: Any
) -> None:
    server.start(policy="random")
    page.goto(server.base + "/web/")
    form = page.locator("form.setup")
    scenario, policy = form.locator("select[name=scenario]"), form.locator("select[name=policy]")
    start = form.get_by_role("button", name="Start this community")

    def proposed(name: str) -> str:
        scenario.select_option(name)
        page.wait_for_function("() => !document.querySelector('.setup button[type=submit]').disabled")
        return str(policy.input_value())

    page.wait_for_function("() => document.querySelector('.setup select[name=policy]')?.value === 'random'")
    assert proposed("town-1000") == "time-of-use"  # none was trained on it
    assert proposed("community-5") == "community-5"
    assert proposed("rural-lv") == "rural-lv"
    assert proposed("tiny") == "random"  # it runs

    with page.expect_request("**/api/policies?scenario=community-5"):
        page.route(
            "**/api/policies?scenario=community-5", lambda route: (page.wait_for_timeout(300), route.continue_())
        )
        scenario.select_option("community-5")
        assert start.is_disabled()  # the list is still the other scenario's
    assert proposed("community-5") == "community-5"
    policy.select_option("self-consumption")
    assert proposed("rural-lv") == "self-consumption"  # the user's own choice


def test_why_a_community_did_not_start_stays_until_something_is_changed(server: Serving, page: Any) -> None:
    server.start()
    page.goto(server.base + "/web/")
    form = page.locator("form.setup")
    page.wait_for_function("() => document.querySelector('.setup select[name=policy]')?.value === 'self-consumption'")
    server.post("/api/simulation/stop")
    wait_state(page, "stopped")
    seed = form.locator("input[name=seed]")
    seed.evaluate("(input) => { input.type = 'text'; input.value = '-1'; }")
    form.get_by_role("button", name="Start this community").click()
    form.locator(".fault").wait_for()
    assert "seed" in form.locator(".fault").inner_text()
    assert page.locator(".toast.error").count() == 0
    seed.fill("1")
    form.locator(".fault").wait_for(state="detached")
