"""The batched simulator against the slow scalar reference, step by step, on every scenario."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from smartgrid_core import GridConfig, Simulator, list_scenarios
from smartgrid_core.types import State, StepResult
from tests.smartgrid_core import world
from tests.smartgrid_core.reference import Community, Outcome, step

torch.set_num_threads(1)
GRIDS = 2
Row = tuple[str, object, object, float]  # name, found, expected, tolerance relative to max(1, |expected|)
WEEK = ("community-5", "outage")  # followed for a week in the normal run; the others in the slow one
LARGE = {"suburb-40": 30, "rural-lv": 96}  # steps in the normal run
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


def assert_close(where: str, rows: Sequence[Row]) -> None:
    """Every row's numbers agree within its tolerance."""
    x = [np.asarray(found, dtype=np.float64).reshape(-1) for _, found, _, _ in rows]
    y = [np.asarray(expected, dtype=np.float64).reshape(-1) for _, _, expected, _ in rows]
    assert [v.shape for v in x] == [v.shape for v in y], where
    allowed = np.repeat([tolerance for *_, tolerance in rows], [v.size for v in x])
    found, expected = np.concatenate(x), np.concatenate(y)
    if (np.abs(found - expected) <= allowed * np.maximum(1.0, np.abs(expected))).all():
        return
    for (name, *_, tolerance), a, b in zip(rows, x, y, strict=True):
        assert np.isfinite(a).all(), f"{where}: {name} is not finite: {a}"
        assert (np.abs(a - b) <= tolerance * np.maximum(1.0, np.abs(b))).all(), f"{where}: {name} = {a}, expected {b}"


def compare(out: StepResult, ref: Outcome, g: int, where: str) -> None:
    """Every field of a step's result in one grid."""
    rows: list[Row] = [
        (f"{name}_kw", getattr(out.ledger, f"{name}_kw")[g], values, 2e-4) for name, values in ref.ledger.items()
    ]
    for name in ("transfers_kw", "imbalance_kw", "soc_kwh", "cost_eur", "transfer_cost_eur", "loss_share_kw"):
        rows.append((name, getattr(out, name)[g], getattr(ref, name), 2e-4))
    rows += [("energised", out.energised[g], ref.energised, 0.0), ("reward", out.reward[g], ref.reward, 2e-4)]
    rows += [("converged", out.network.converged[g], ref.flow.solved, 0.0)]
    rows += [("loss_kw", out.network.loss_kw[g], ref.loss_kw, 2e-4)]
    rows += [("stability", out.stability[g], ref.stability, 5e-4)]
    if ref.flow.solved:
        rows.append(("voltage_pu", out.network.voltage_pu[g], ref.flow.voltage_pu, 1e-4))
        rows.append(("loading", out.network.loading[g], ref.flow.loading, 2e-4))
        rows.append(("slack_kw", out.network.slack_kw[g], ref.flow.slack_kw, 5e-4))
        assert abs(ref.flow.slack_kw - ref.flow.sum_kw) < 1e-6
    rows += [(n, getattr(out.stability_parts, n)[g], value, 5e-4) for n, value in ref.stability_parts.items()]
    rows += [(f"reward_parts.{n}", getattr(out.reward_parts, n)[g], v, 5e-4) for n, v in ref.rewards.items()]
    assert_close(where, rows)


def check_observation(
    sim: Simulator, c: Community, obs: torch.Tensor, state: State, g: int, ref: Outcome | None, where: str
) -> None:
    stability = 1.0 if ref is None else ref.stability
    voltage = [1.0 if ref is None else float(ref.flow.voltage_pu[p.bus]) for p in c.prosumers]
    quiet = np.zeros((sim.num_agents, sim.action_dim))
    live = step(c, [0.0] * sim.num_agents, quiet, world.moment(sim, state, g)).energised
    for i, entries in enumerate(world.observation(sim, c, state, g, stability, voltage, live)):
        assert set(entries) == set(sim.observation_names)
        rows = [(name, x, entries[name], 2e-3) for name, x in zip(sim.observation_names, obs[g, i], strict=True)]
        assert_close(f"{where}: observation of {i}", rows)


def follow(sim: Simulator, steps: int, observe_every: int) -> None:
    generator = torch.Generator().manual_seed(3)
    communities = [world.community(sim, g) for g in range(GRIDS)]
    state, obs = sim.reset()
    for g, c in enumerate(communities):
        check_observation(sim, c, obs, state, g, None, f"{sim.config.name} reset grid {g}")
    for t in range(steps):
        action = actions(sim, generator, t)
        before = state
        state, out = sim.step(state, action)
        for g, c in enumerate(communities):
            where = f"{sim.config.name} step {t} grid {g}"
            now = world.moment(sim, before, g)
            prices = [("import", out.import_eur_per_kwh[g], now.import_price, 1e-6)]
            prices += [("export", out.export_eur_per_kwh[g], now.export_price, 1e-6)]
            assert_close(where, [*prices, ("islanded", out.islanded[g], now.islanded, 0.0)])
            ref = step(c, before.soc_kwh[g].double().tolist(), action[g].double().numpy(), now)
            compare(out, ref, g, where)
            assert bool(out.truncated[g]) == (t + 1 == sim.config.episode_steps)
            assert not out.terminated[g]
            if t % observe_every == 0:
                check_observation(sim, c, out.obs, state, g, ref, where)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == "town-1000" else n for n in NAMES],  # minutes, in scalars
)
def test_every_field_agrees_with_the_reference(name: str) -> None:
    follow(simulator(name), 672 if name in WEEK else LARGE.get(name, 192), observe_every=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in WEEK])
def test_a_week_of_every_other_scenario_agrees(name: str) -> None:
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
    follow(simulator(base, **VARIANTS[variant]), 56, observe_every=8)


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
