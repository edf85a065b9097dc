"""The batched simulator against the slow scalar reference, step by step, on every scenario."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator, list_scenarios
from smartgrid_core.types import State, StepResult
from tests.smartgrid_core import world
from tests.smartgrid_core.reference import Community, Outcome, step

torch.set_num_threads(1)
GRIDS = 2
SHORT = {"suburb-40": 60, "rural-lv": 200}  # steps in the normal run; a week in the slow one
NAMES = list_scenarios()


def simulator(name: str, **overrides: object) -> Simulator:
    config = GridConfig.load(name, **overrides)  # pyright: ignore[reportArgumentType]
    if config.profiles.source == "simbench":
        pytest.importorskip("simbench")
    return Simulator(config, num_grids=GRIDS, seed=7)


def actions(sim: Simulator, generator: torch.Generator, t: int) -> torch.Tensor:
    """Random, some beyond ±1, some not a number; every third step neighbours tend to agree."""
    a = torch.rand(GRIDS, sim.num_agents, sim.action_dim, generator=generator) * 2.4 - 1.2
    if t % 3 == 0 and sim.num_slots:
        towards = torch.tensor(np.sign(sim.links.neighbour.T - np.arange(sim.num_agents)[:, None]))
        a[..., :-1] = a[..., :-1].abs() * towards
    if t % 5 == 0:
        a[0, t % sim.num_agents, t % sim.action_dim] = (float("nan"), float("inf"), -float("inf"))[t % 3]
    return a


def assert_close(what: str, found: object, expected: object, tolerance: float = 2e-4) -> None:
    x = np.asarray(found.detach() if isinstance(found, torch.Tensor) else found, dtype=np.float64)
    y = np.asarray(expected, dtype=np.float64)
    assert x.shape == y.shape, f"{what}: shape {x.shape}, expected {y.shape}"
    error = np.abs(x - y) - tolerance * np.maximum(1.0, np.abs(y))
    assert np.isfinite(x).all(), f"{what} is not finite: {x}"
    assert (error <= 0).all(), f"{what}: {x} differs from the reference {y} by {np.abs(x - y).max():.2e}"


def compare(out: StepResult, ref: Outcome, g: int, where: str) -> None:
    """Every field of a step's result in one grid."""
    for name, values in ref.ledger.items():
        assert_close(f"{where} {name}_kw", getattr(out.ledger, f"{name}_kw")[g], values)
    pairs = {
        "transfers_kw": ref.transfers_kw, "imbalance_kw": ref.imbalance_kw, "soc_kwh": ref.soc_kwh,
        "cost_eur": ref.cost_eur, "transfer_cost_eur": ref.transfer_cost_eur, "loss_share_kw": ref.loss_share_kw,
        "energised": ref.energised, "reward": ref.reward,
    }  # fmt: skip
    for name, values in pairs.items():
        assert_close(f"{where} {name}", getattr(out, name)[g], values)
    assert bool(out.network.converged[g]) == ref.flow.solved, f"{where}: converged"
    if ref.flow.solved:
        assert_close(f"{where} voltage_pu", out.network.voltage_pu[g], ref.flow.voltage_pu, 1e-4)
        assert_close(f"{where} loading", out.network.loading[g], ref.flow.loading)
        assert_close(f"{where} slack_kw", out.network.slack_kw[g], ref.flow.slack_kw, 1e-3)
        assert abs(ref.flow.slack_kw - ref.flow.sum_kw) < 1e-6
    assert_close(f"{where} loss_kw", out.network.loss_kw[g], ref.loss_kw)
    assert_close(f"{where} stability", out.stability[g], ref.stability, 5e-4)
    for name, value in ref.stability_parts.items():
        assert_close(f"{where} stability.{name}", getattr(out.stability_parts, name)[g], value, 5e-4)
    for name, values in ref.rewards.items():
        assert_close(f"{where} reward.{name}", getattr(out.reward_parts, name)[g], values, 5e-4)


def check_observation(sim: Simulator, obs: torch.Tensor, state: State, g: int, ref: Outcome | None, where: str) -> None:
    c = world.community(sim, g)
    stability = 1.0 if ref is None else ref.stability
    voltage = [1.0] * sim.num_agents if ref is None else [float(ref.flow.voltage_pu[p.bus]) for p in c.prosumers]
    dead = world_energised(c, sim, state, g)
    expected = world.observation(sim, state, g, stability, voltage, dead)
    for i, entries in enumerate(expected):
        assert set(entries) == set(sim.observation_names)
        values = [entries[name] for name in sim.observation_names]
        for name, x, y in zip(sim.observation_names, obs[g, i].tolist(), values, strict=True):
            assert abs(x - y) <= 2e-3, f"{where} prosumer {i} observes {name} = {x}, expected {y}"


def world_energised(c: Community, sim: Simulator, state: State, g: int) -> list[bool]:
    quiet = np.zeros((sim.num_agents, sim.action_dim))
    return step(c, [0.0] * sim.num_agents, quiet, world.moment(sim, state, g)).energised


def follow(sim: Simulator, steps: int, observe_every: int) -> None:
    generator = torch.Generator().manual_seed(3)
    communities = [world.community(sim, g) for g in range(GRIDS)]
    state, obs = sim.reset()
    for g in range(GRIDS):
        check_observation(sim, obs, state, g, None, f"{sim.config.name} reset grid {g}")
    for t in range(steps):
        action = actions(sim, generator, t)
        before = state
        state, out = sim.step(state, action)
        for g in range(GRIDS):
            where = f"{sim.config.name} step {t} grid {g}"
            now = world.moment(sim, before, g)
            assert bool(out.islanded[g]) == now.islanded
            assert_close(f"{where} prices", [out.import_eur_per_kwh[g], out.export_eur_per_kwh[g]],
                         [now.import_price, now.export_price], 1e-6)  # fmt: skip
            ref = step(communities[g], before.soc_kwh[g].double().tolist(), action[g].double().numpy(), now)
            compare(out, ref, g, where)
            assert bool(out.truncated[g]) == (t + 1 == sim.config.episode_steps)
            assert not out.terminated[g]
            if t % observe_every == 0:
                check_observation(sim, out.obs, state, g, ref, where)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_agrees_with_the_reference(name: str) -> None:
    follow(simulator(name), SHORT.get(name, 672), observe_every=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SHORT))
def test_a_week_of_a_large_community_agrees(name: str) -> None:
    follow(simulator(name), 672, observe_every=48)


VARIANTS = {
    "absolute average": {"trade_mode": "absolute", "transfer_rule": "average"},
    "absolute, no network": {"trade_mode": "absolute", "network.power_flow": False},
    "complete, hourly, price level": {
        "links.topology": "complete", "step_minutes": 60, "tariff.level": [0.5, 2.0], "links.rating_kw": 1.5,
        "forecast.kind": "persistence",
    },
    "no links, weak cables": {"links.topology": "none", "network.impedance_scale": [3, 4], "forecast.kind": "none"},
    "tight batteries, negative prices": {
        "prosumers.*.battery": {
            "capacity_kwh": [1, 6], "charge_kw": 2, "discharge_kw": 7, "charge_efficiency": 0.8,
            "discharge_efficiency": [0.7, 0.9], "soc_min": 0.2, "soc_max": 0.7, "initial_soc": [0.2, 0.7],
        },
        "tariff.import_eur_per_kwh": -0.2, "tariff.export_eur_per_kwh": -0.3, "tariff.bands": [],
        "profiles.demand_jitter": 0.2, "profiles.generation_jitter": 0.2, "forecast.kind": "perfect",
    },
    "everything at once": {
        "network.impedance_scale": [0.5, 2.0],
        "events": [
            {"kind": kind, "day": 0, "hour": [2 * k, 2 * k + 8], "duration_h": 9, **more}
            for k, (kind, more) in enumerate(
                [
                    ("islanding", {}), ("branch_outage", {}), ("branch_outage", {"branch": 2}),
                    ("price_spike", {"import_adder_eur_per_kwh": 0.7}), ("demand_surge", {"factor": 2.5}),
                    ("cloud", {"factor": 0.1}),
                ]
            )
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("base", ["community-5", "outage"])
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_variants_agree_with_the_reference(base: str, variant: str) -> None:
    follow(simulator(base, **VARIANTS[variant]), 144, observe_every=8)


def test_free_running_state_of_charge_drifts_less_than_a_watt_hour() -> None:
    sim = simulator("community-5")
    generator = torch.Generator().manual_seed(5)
    state, _ = sim.reset()
    communities = [world.community(sim, g) for g in range(GRIDS)]
    soc = [state.soc_kwh[g].double().tolist() for g in range(GRIDS)]
    for t in range(96):
        action = actions(sim, generator, t)
        for g in range(GRIDS):
            soc[g] = step(communities[g], soc[g], action[g].double().numpy(), world.moment(sim, state, g)).soc_kwh
        state, _ = sim.step(state, action)
        assert np.abs(state.soc_kwh.numpy() - np.array(soc)).max() <= 1e-3
