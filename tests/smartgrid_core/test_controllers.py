"""Rules do what they say, the linear program bounds everything, model predictive control reaches it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator, battery, list_scenarios
from smartgrid_core.controllers import (
    CONTROLLERS,
    IdleController,
    MpcController,
    OptimumController,
    RandomController,
    action_from_setpoints,
    cost_j,
    grid_only_config,
    make_controller,
    run_episode,
)
from smartgrid_core.controllers.mpc import day_blocks
from smartgrid_core.controllers.outlook import forecast, foresight
from smartgrid_core.types import State, kernel, public

SEEDS = [1000, 1001, 1002]
COPPER_PLATE = {"network.power_flow": False}
NEGATIVE_NOON = {
    "from_hour": 11.0, "to_hour": 15.0, "import_eur_per_kwh": -0.1, "export_eur_per_kwh": -0.2
}  # fmt: skip


BUILT: dict[str, Simulator] = {}


def simulator(name: str = "community-5", grids: int = len(SEEDS), **overrides) -> Simulator:
    """One-day test episodes; built once per configuration, because building makes a year of profiles."""
    config = GridConfig.load(name, **{"episode_days": 1, **overrides})
    key = config.model_dump_json() + str(grids)
    if key not in BUILT:
        BUILT[key] = Simulator(config, grids, split="test")
    BUILT[key].seed_grids(SEEDS[:grids])
    return BUILT[key]


def played(sim: Simulator, controller) -> np.ndarray:
    return cost_j(run_episode(sim, controller, keep_series=False))


def bounds(sim: Simulator) -> np.ndarray:
    pytest.importorskip("highspy")
    optimum = OptimumController()
    optimum.start(sim, sim.reset()[0])
    return optimum.bound_eur


def mid_day(sim: Simulator, steps: int = 50) -> State:
    """A state with solar power and batteries that have been used."""
    controller, (state, obs) = make_controller("self-consumption"), sim.reset()
    controller.start(sim, state)
    for _ in range(steps):
        state, out = sim.step(state, controller.act(state, obs))
        obs = out.obs
    return state


def assert_bound_holds(sim: Simulator) -> None:
    """No controller costs less than the bound, whether it plays well, badly or by chance."""
    pytest.importorskip("highspy")
    players = {name: make_controller(name) for name in CONTROLLERS if name not in ("mpc-persistence", "mpc-perfect")}
    j = {name: played(sim, controller) for name, controller in players.items()}
    optimum = players["optimum"]
    assert isinstance(optimum, OptimumController)
    slack = 1e-3 * np.abs(j["idle"] - optimum.bound_eur) + 1e-4  # float32 sums of what lost load costs
    for name, costs in j.items():
        assert (costs >= optimum.bound_eur - slack).all(), name


# Set-points --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["absolute", "around_balance"])
def test_battery_reaches_its_set_point(mode: str) -> None:
    sim = simulator(trade_mode=mode, **{"prosumers.*.trade_kw": 40.0})
    state = mid_day(sim)
    chargeable, dischargeable = (public(x) for x in battery.limits_kw(kernel(state.soc_kwh), sim.params, 0.25))
    surplus = state.generation_kw - state.demand_kw
    follow = torch.minimum(torch.maximum(surplus, -dischargeable), chargeable)
    for shift in (-30.0, -2.0, 0.0, 1.5, 30.0):
        wanted = follow + shift
        reach = sim.params.shift_kw.T if mode == "around_balance" else torch.full_like(wanted, 1e3)
        possible = torch.minimum(
            torch.maximum(follow + wanted.sub(follow).clamp(-reach, reach), -dischargeable), chargeable
        )
        _, out = sim.step(state, action_from_setpoints(sim, state, wanted))
        torch.testing.assert_close(out.ledger.charge_kw - out.ledger.discharge_kw, possible, atol=2e-5, rtol=0)
        torch.testing.assert_close(out.imbalance_kw, torch.zeros_like(wanted), atol=2e-5, rtol=0)


@pytest.mark.parametrize("mode", ["absolute", "around_balance"])
def test_links_carry_their_set_points(mode: str) -> None:
    sim = simulator(trade_mode=mode, **{"prosumers.*.trade_kw": 40.0})
    state = mid_day(sim)
    flow = torch.zeros(sim.num_grids, sim.num_agents, sim.num_slots)
    giver, slot = 0, 0
    taker = int(sim.links.neighbour[slot, giver])
    back = int(np.flatnonzero(sim.links.neighbour[:, taker] == giver)[0])
    flow[:, giver, slot], flow[:, taker, back] = -1.5, 1.5
    _, out = sim.step(state, action_from_setpoints(sim, state, torch.zeros_like(state.soc_kwh), flow))
    torch.testing.assert_close(out.transfers_kw, flow, atol=1e-5, rtol=0)


def test_set_points_beyond_the_limits_cost_no_imbalance() -> None:
    sim = simulator(trade_mode="absolute", **{"prosumers.*.trade_kw": 40.0})
    state = mid_day(sim)
    too_much = torch.full((sim.num_grids, sim.num_agents, sim.num_slots), 100.0)
    action = action_from_setpoints(sim, state, torch.full_like(state.soc_kwh, 100.0))
    _, out = sim.step(state, action)
    assert out.imbalance_kw.abs().max() < 1e-4
    assert action_from_setpoints(sim, state, torch.zeros_like(state.soc_kwh), too_much).abs().max() <= 1


# Rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["absolute", "around_balance"])
def test_self_consumption_trades_only_what_the_battery_cannot(mode: str) -> None:
    series = run_episode(simulator(trade_mode=mode), make_controller("self-consumption")).series
    surplus = series.generation_kw - series.demand_kw
    assert (series.charge_kw <= np.maximum(surplus, 0) + 1e-4).all()
    assert (series.discharge_kw <= np.maximum(-surplus, 0) + 1e-4).all()
    assert series.charge_kw.sum() > 0
    assert series.discharge_kw.sum() > 0
    buying_with_energy_left = (series.bought_kw > 1e-3) & (series.soc_kwh > 0.2) & (series.discharge_kw < 4.9)
    assert not buying_with_energy_left.any()


def test_time_of_use_charges_cheap_and_spends_dear() -> None:
    series = run_episode(simulator(trade_mode="absolute"), make_controller("time-of-use")).series
    surplus = series.generation_kw - series.demand_kw
    cheap, dear = series.import_eur_per_kwh < 0.2, series.import_eur_per_kwh > 0.4
    bought_for_storage = series.charge_kw > np.maximum(surplus, 0) + 1e-3
    assert bought_for_storage.any()
    assert not bought_for_storage[~cheap].any()
    assert not (series.discharge_kw[cheap] > 1e-3).any()
    short = dear[..., None] & (series.bought_kw > 1e-3) & (series.soc_kwh > 0.2)
    assert (series.discharge_kw[short] > 4.9).all()  # buys in the dear hours only beyond the battery's power


def test_time_of_use_is_self_consumption_where_prices_never_change() -> None:
    sim = simulator(**{"tariff.bands": []})
    rule = played(sim, make_controller("self-consumption"))
    np.testing.assert_allclose(played(sim, make_controller("time-of-use")), rule, rtol=1e-6)


def test_idle_never_moves_the_battery() -> None:
    series = run_episode(simulator(), make_controller("idle")).series
    assert max(series.charge_kw.max(), series.discharge_kw.max(), series.received_kw.max()) < 1e-5


def test_random_actions_do_not_depend_on_the_batch() -> None:
    small, large = simulator(grids=1), simulator(grids=3)
    controller, drawn = RandomController(seed=7), []
    for sim in (small, large):
        state, obs = sim.reset()
        controller.start(sim, state)
        drawn.append(controller.act(state, obs))
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert drawn[1].abs().max() <= 1
    assert not torch.equal(drawn[1][0], drawn[1][1])


def test_unknown_controller_offers_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean 'mpc-noisy'"):
        make_controller("mpc-noise")


# The reference cost ------------------------------------------------------------------------------------------


def test_grid_only_sees_the_same_episode() -> None:
    sim = simulator("suburb-40", grids=1, step_minutes=30)  # sizes drawn per grid: their draws must not shift
    alone = Simulator(grid_only_config(sim.config), sim.num_grids, split="test")
    mine, other = (run_episode(s, IdleController(), seed=SEEDS[:1]).series for s in (sim, alone))
    for name in ("demand_kw", "generation_kw", "import_eur_per_kwh", "export_eur_per_kwh"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))


def test_grid_only_cost_is_net_demand_at_the_tariff_and_losses() -> None:
    sim = simulator(step_minutes=30, **{"prosumers.*.trade_kw": 100.0})
    alone = Simulator(grid_only_config(sim.config), sim.num_grids, split="test")
    record = run_episode(alone, IdleController(), seed=SEEDS)
    series, net = record.series, record.series.demand_kw - record.series.generation_kw
    buy, sell = series.import_eur_per_kwh, series.export_eur_per_kwh
    energy = np.maximum(net, 0).sum(2) * buy - np.maximum(-net, 0).sum(2) * sell
    np.testing.assert_allclose(cost_j(record), ((energy + series.loss_kw * buy) * 0.5).sum(0), rtol=1e-5)


# The optimum -------------------------------------------------------------------------------------------------


# A program of a thousand prosumers takes longer than all other tests.
@pytest.mark.parametrize("name", [name for name in list_scenarios() if GridConfig.load(name).num_agents <= 64])
def test_nothing_beats_the_optimum(name: str) -> None:
    measured = GridConfig.load(name).profiles.source == "simbench"
    if measured:
        pytest.importorskip("simbench")
    steps = {} if measured else {"step_minutes": 30}  # made profiles come in any step, and half the steps do
    assert_bound_holds(simulator(name, grids=1 if name in ("suburb-40", "rural-lv") else 3, **steps))


@pytest.mark.parametrize("rule", ["consent", "average"])
def test_nothing_beats_the_optimum_at_negative_prices(rule: str) -> None:
    tariff = {"tariff.bands": [NEGATIVE_NOON], "tariff.import_eur_per_kwh": 0.3}
    assert_bound_holds(simulator(step_minutes=30, trade_mode="absolute", transfer_rule=rule, **tariff))


@pytest.mark.parametrize("name", ["islanded", "outage"])
def test_nothing_beats_the_optimum_off_the_grid_with_orders_in_kw(name: str) -> None:
    assert_bound_holds(simulator(name, step_minutes=30, trade_mode="absolute", transfer_rule="average"))


def test_optimum_is_reached_by_replaying_it() -> None:
    sim = simulator(trade_mode="absolute", **COPPER_PLATE)
    optimum = OptimumController()
    j = played(sim, optimum)
    np.testing.assert_allclose(j, optimum.bound_eur, atol=1e-3 * np.abs(played(sim, IdleController()) - j).max())


# Model predictive control ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "short"), [("absolute", 1e-3), ("around_balance", 5e-3)])
def test_mpc_with_perfect_forecasts_is_the_optimum(mode: str, short: float) -> None:
    """The bound is of all that batteries can do; around the balance an action reaches a little less."""
    sim = simulator(trade_mode=mode, **COPPER_PLATE)
    bound, reference = bounds(sim), played(sim, IdleController())
    j = played(sim, MpcController("perfect", block_steps=(1,) * sim.config.episode_steps))
    assert ((j - bound) <= short * (reference - bound)).all()


def test_better_forecasts_plan_better() -> None:
    pytest.importorskip("highspy")
    sim = simulator(trade_mode="absolute", **COPPER_PLATE)
    noisy, perfect, rule = (
        played(sim, make_controller(n)).mean() for n in ("mpc-noisy", "mpc-perfect", "self-consumption")
    )
    assert perfect < noisy < rule


def test_mpc_in_a_batch_is_mpc_one_by_one_and_repeats() -> None:
    pytest.importorskip("highspy")
    sim, controller = simulator("price-spike", grids=2, step_minutes=30), make_controller("mpc-noisy")
    batch = played(sim, controller)
    np.testing.assert_array_equal(played(sim, controller), batch)
    single = simulator("price-spike", grids=1, step_minutes=30)
    for seed, expected in zip(SEEDS[:2], batch, strict=True):
        single.seed_grids([seed])
        np.testing.assert_allclose(played(single, controller), expected, rtol=1e-4)


def test_outage_makes_a_new_plan_at_once() -> None:
    pytest.importorskip("highspy")
    hourly, surprised = MpcController("perfect"), MpcController("perfect")
    run_episode(simulator(grids=1), hourly, keep_series=False)
    event = {"kind": "islanding", "hour": 18.25, "duration_h": 1.25}  # begins and ends between two plans
    record = run_episode(simulator(grids=1, events=[event]), surprised)
    assert record.series.islanded.any()
    assert hourly.plans == 24 < surprised.plans


def test_blocks_must_be_single_steps_until_the_next_plan() -> None:
    assert sum(day_blocks(GridConfig.load("community-5"))) == 96
    with pytest.raises(ValueError, match="expected 4 single steps"):
        run_episode(simulator(grids=1), MpcController("perfect", block_steps=(2, 4, 4)))


def test_forecasts_of_all_weeks_end_with_the_data_alone() -> None:
    """Without held-out weeks episodes run from week to week, and so does what is known ahead."""
    sim = Simulator("community-5", 64, split="all", seed=5)
    state, _ = sim.reset()
    starts = sim.table.starts_of("all")
    assert len({int(row) // (7 * 96) % 4 for row in starts}) == 4
    perfect, truth = forecast(sim, state, 96, "perfect"), foresight(sim, state, 96)
    np.testing.assert_allclose(perfect.demand_kw, truth.demand_kw, rtol=1e-5, atol=1e-5)
    yesterday = sim.table.forecast("demand", "persistence")
    np.testing.assert_array_equal(yesterday[:, 96 : 364 * 96], sim.table.actual("demand")[:, : 363 * 96])


def test_forecasts_know_the_present_and_published_prices() -> None:
    sim = simulator()
    state = mid_day(sim, 30)
    seen = forecast(sim, state, 24, "noisy")
    np.testing.assert_array_equal(seen.demand_kw[0], state.demand_kw.double().numpy())
    later = mid_day(sim, 40)
    np.testing.assert_array_equal(seen.import_eur_per_kwh[10], later.import_eur_per_kwh.double().numpy())
    assert (seen.demand_kw[10] != later.demand_kw.double().numpy()).any()


# Episodes ----------------------------------------------------------------------------------------------------


def test_record_balances_and_counts_stored_energy() -> None:
    sim = simulator()
    record = run_episode(sim, make_controller("random"))
    s = record.series
    gained = s.generation_kw + s.bought_kw + s.received_kw + s.discharge_kw + s.unserved_kw
    used = s.demand_kw + s.sold_kw + s.sent_kw + s.charge_kw + s.curtailed_kw
    np.testing.assert_allclose(gained, used, atol=1e-4)
    stored = (s.soc_kwh[-1] - record.soc_start_kwh) * 0.12 / 0.95
    np.testing.assert_allclose(cost_j(record), (s.cost_eur.sum(0) - stored).sum(1), rtol=1e-5)
    lean = run_episode(sim, make_controller("random"), keep_series=False)
    assert lean.series is None
    np.testing.assert_array_equal(cost_j(lean), cost_j(record))


def test_simulator_that_resets_itself_is_refused() -> None:
    sim = Simulator(GridConfig.load("community-5", episode_days=1), 1, auto_reset=True)
    with pytest.raises(ValueError, match="auto_reset"):
        run_episode(sim, IdleController())


def test_controllers_do_without_the_solver_until_it_is_needed() -> None:
    code = (
        "import sys; sys.modules['highspy'] = None\n"
        "from smartgrid_core import GridConfig, Simulator\n"
        "from smartgrid_core.controllers import make_controller\n"
        "sim = Simulator(GridConfig.load('community-5', episode_days=1))\n"
        "make_controller('time-of-use').start(sim, sim.reset()[0])\n"
        "try: make_controller('mpc-noisy').start(sim, sim.reset()[0])\n"
        "except ImportError as error: print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'smartgrid-marl[control]'" in out.stdout


def test_the_solver_prints_nothing() -> None:
    code = (
        "from smartgrid_core import GridConfig, Simulator\n"
        "from smartgrid_core.controllers import make_controller\n"
        "sim = Simulator(GridConfig.load('community-5', episode_days=1))\n"
        "state, obs = sim.reset()\n"
        "mpc = make_controller('mpc-noisy')\n"
        "mpc.start(sim, state)\n"
        "mpc.act(state, obs)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout + out.stderr == ""


def test_every_name_makes_its_controller() -> None:
    for name in CONTROLLERS:
        assert make_controller(name).name == name
