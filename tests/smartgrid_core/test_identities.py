"""What holds in every step of every community, whatever anybody does."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.types import State, StepResult
from tests.smartgrid_core.communities import configs, quick_profiles  # noqa: F401

torch.set_num_threads(1)
GRIDS, STEPS = 3, 10


def assert_balanced(what: str, terms: list[Tensor], dim: int | None = None) -> None:
    """The terms add up to nothing: residual ≤ 1e-5 · Σ|terms| + 1e-5."""
    total, size = sum(t.double() for t in terms), sum(t.double().abs() for t in terms)
    assert isinstance(total, Tensor)
    assert isinstance(size, Tensor)
    if dim is not None:
        total, size = total.sum(dim), size.sum(dim)
    assert (total.abs() <= 1e-5 * size + 1e-5).all(), f"{what}: {total}"


def check_energy(sim: Simulator, before: State, out: StepResult) -> None:
    w, p, h = out.ledger, sim.params, sim.config.step_h
    brought = [w.generation_kw, w.bought_kw, w.received_kw, w.discharge_kw, w.unserved_kw]
    taken = [w.demand_kw, w.sold_kw, w.sent_kw, w.charge_kw, w.curtailed_kw]
    assert_balanced("energy of a prosumer", brought + [-t for t in taken])
    for name, value in w._asdict().items():
        assert (value >= 0).all(), f"{name} < 0"
    assert torch.equal(w.demand_kw, before.demand_kw)
    assert torch.equal(w.generation_kw, before.generation_kw)
    assert_balanced("transfers", [out.transfers_kw.sum(2)], dim=1)
    assert_balanced("sent and received", [w.received_kw, -w.sent_kw, -out.transfers_kw.sum(2)])
    stored = w.charge_kw * p.charge_efficiency.T - w.discharge_kw / p.discharge_efficiency.T
    assert_balanced("state of charge", [(out.soc_kwh - before.soc_kwh) / h, -stored])
    assert not ((w.charge_kw > 0) & (w.discharge_kw > 0)).any()
    slack = 1e-6 * (1 + p.capacity_kwh.T)
    assert (out.soc_kwh >= p.soc_min_kwh.T - slack).all()
    assert (out.soc_kwh <= p.soc_max_kwh.T + slack).all()


def check_links(sim: Simulator, out: StepResult) -> None:
    """The same flow at both ends, within the rating; nothing over links that are not there or are dead."""
    for k in range(sim.num_slots):
        for i in range(sim.num_agents):
            if not sim.links.used[k, i]:
                assert (out.transfers_kw[:, i, k] == 0).all()
                continue
            j = int(sim.links.neighbour[k, i])
            back = next(s for s in range(sim.num_slots) if sim.links.used[s, j] and sim.links.neighbour[s, j] == i)
            assert torch.equal(out.transfers_kw[:, i, k], -out.transfers_kw[:, j, back])
    assert (out.transfers_kw.abs() <= sim.config.links.rating_kw * (1 + 1e-6)).all()
    assert (out.transfers_kw[~out.energised] == 0).all()


def check_grid(sim: Simulator, out: StepResult) -> None:
    w, net = out.ledger, out.network
    on_grid = out.energised & ~out.islanded[:, None]
    tolerance = 1e-5 * (1 + w.demand_kw + w.generation_kw + w.received_kw + w.sent_kw)
    assert (w.unserved_kw <= w.demand_kw + tolerance).all()
    assert (w.curtailed_kw <= w.generation_kw + tolerance).all()
    assert (torch.where(on_grid, w.unserved_kw + w.curtailed_kw, w.bought_kw + w.sold_kw) == 0).all()
    drawn = w.bought_kw + w.received_kw - w.sold_kw - w.sent_kw
    assert_balanced("losses charged", [out.loss_share_kw.sum(1), -net.loss_kw])
    converged = net.converged.double()
    balance = [net.slack_kw * converged, -net.loss_kw * converged]
    size = drawn.abs().sum(1) + net.loss_kw.abs()
    residual = sum(balance) - drawn.double().sum(1) * converged
    # four float32 iterations leave up to 1e-6 p.u. of voltage, so as much of the power, on top of rounding
    assert (residual.abs() <= 1e-4 * size + 1e-3).all(), residual
    assert (net.loss_kw >= 0).all()
    assert (out.network.converged | (net.loss_kw <= drawn.abs().sum(1) * (1 + 1e-5) + 1e-5)).all()


def check_money(out: StepResult) -> None:
    assert_balanced("settlement between prosumers", [out.transfer_cost_eur], dim=1)
    for name, value in out.stability_parts._asdict().items():
        assert ((value >= 0) & (value <= 1)).all(), f"stability.{name} = {value}"
    assert ((out.stability >= 0) & (out.stability <= 1)).all(), out.stability
    assert (out.reward_parts.efficiency <= 1e-9).all()
    assert (out.reward_parts.cooperation >= 0).all()
    assert torch.equal(out.reward_parts.cost, -out.cost_eur)


def check_observations(sim: Simulator, obs: Tensor) -> None:
    assert torch.isfinite(obs).all()
    for entry, value in zip(sim.observation_entries, obs.unbind(2), strict=True):
        assert ((value >= entry.low) & (value <= entry.high)).all(), f"{entry.name} = {value}"


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(config=configs(), seed=st.integers(0, 2**31), style=st.sampled_from(["any", "agree", "extreme"]))
def test_identities_hold(quick_profiles: None, config: GridConfig, seed: int, style: str) -> None:  # noqa: F811
    sim = Simulator(config, num_grids=GRIDS, seed=seed, stagger=True)
    generator = torch.Generator().manual_seed(seed)
    state, obs = sim.reset()
    check_observations(sim, obs)
    for _ in range(STEPS):
        action = torch.rand(GRIDS, sim.num_agents, sim.action_dim, generator=generator) * 2 - 1
        if style == "extreme":
            action = action.sign()
        if style == "agree":
            towards = torch.tensor(sim.links.neighbour.T - np.arange(sim.num_agents)[:, None]).sign()
            action[..., :-1] = action[..., :-1].abs() * towards  # of a link's ends one takes and one gives
        before = state
        state, out = sim.step(state, action)
        check_energy(sim, before, out)
        check_links(sim, out)
        check_grid(sim, out)
        check_money(out)
        check_observations(sim, out.obs)
        everything = [out.reward, out.cost_eur, *out.reward_parts, *out.network[:4], *out.ledger, out.final_obs]
        assert all(torch.isfinite(t).all() for t in everything)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(config=configs(), level=st.sampled_from([0.0, 1e-30, 1e4, 1e6]))
def test_extreme_loads_stay_finite_and_conserve_energy(quick_profiles: None, config: GridConfig, level: float) -> None:  # noqa: F811
    sim = Simulator(config, num_grids=2, seed=1)
    state, _ = sim.reset()
    state = state._replace(demand_kw=state.demand_kw * 0 + level, generation_kw=state.generation_kw * level)
    _, out = sim.step(state, torch.ones(2, sim.num_agents, sim.action_dim))
    check_energy(sim, state, out)
    check_money(out)
    check_observations(sim, out.obs)
    assert all(torch.isfinite(t).all() for t in (out.reward, out.cost_eur, *out.network[:4]))
    if config.network.power_flow and level >= 1e4:
        unserved = out.ledger.unserved_kw.sum(1) > 0.5 * out.ledger.demand_kw.sum(1)
        assert (~out.network.converged | unserved).all(), "a collapsed grid must say so"
        parts = out.stability_parts
        assert (torch.where(out.network.converged, 0.0, parts.voltage + parts.loading) == 0).all()
