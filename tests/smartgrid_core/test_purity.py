"""A step is a pure function: no host sync, a grid is the same wherever it is, differentiable, compilable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from smartgrid_core import GridConfig, Simulator, list_scenarios
from smartgrid_core.errors import ConfigError
from smartgrid_core.types import State
from tests.host_and_device import HostSyncs, OneDevice
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("quick_profiles")
RANGES = {
    "battery": {"capacity_kwh": [4, 12], "charge_efficiency": [0.8, 1.0]}, "trade_kw": [3, 9],
    "demand_scale": [0.5, 1.5],
}  # fmt: skip
EVENTS = [
    {"kind": "islanding", "hour": [0, 23], "duration_h": 3},
    {"kind": "branch_outage", "hour": [0, 23], "duration_h": 3},
    {"kind": "price_spike", "hour": [0, 23], "duration_h": 3, "import_adder_eur_per_kwh": 0.5},
    {"kind": "demand_surge", "hour": [0, 23], "duration_h": 3, "factor": 2},
    {"kind": "cloud", "hour": [0, 23], "duration_h": 3, "factor": 0.2},
]


def wild(n: int = 3, **fields: Any) -> GridConfig:
    """Ranges, events, jitter and the network all at once."""
    network = {"buses": 8, "power_flow": True, "impedance_scale": [0.5, 2]}
    more = {"events": EVENTS, "profiles": {"demand_jitter": 0.2}, "tariff": {"level": [0.5, 2]}, "network": network}
    return community(n, RANGES, **(more | fields))


def random_actions(sim: Simulator, steps: int, seed: int = 0) -> torch.Tensor:
    """The same for every grid, so that grids can be compared wherever they stand."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(steps, 1, sim.num_agents, sim.action_dim, generator=generator) * 2 - 1
    return a.expand(-1, sim.num_grids, -1, -1)


def scenario(name: str) -> GridConfig:
    config = GridConfig.load(name)
    if config.profiles.source == "simbench":
        pytest.importorskip("simbench")
    return config


# Host synchronisation -----------------------------------------------------------------------------------


SCENARIOS = [pytest.param(n, marks=pytest.mark.slow) if n == "town-1000" else n for n in [*list_scenarios(), "wild"]]


def test_the_counter_counts() -> None:
    x = torch.arange(4.0)
    with HostSyncs() as syncs:
        x.sum().item()
        x[x > 1]
        if x.any():
            x.nonzero()
    assert len(syncs.found) >= 4


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_step_and_a_reset_never_wait_for_the_device(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "wild":
        monkeypatch.undo()  # scenarios use their own profiles
    sim = Simulator(wild() if name == "wild" else scenario(name), num_grids=2, auto_reset=True, stagger=True)
    action, mask = random_actions(sim, 1)[0].clone(), torch.tensor([True, False])
    with HostSyncs() as syncs:
        state, _ = sim.reset()
        state, _ = sim.step(state, action)
        state, _ = sim.reset(mask=mask, state=state)
        sim.step(state, action)
    assert not syncs.found


def test_shapes_alone_are_enough_for_a_step() -> None:
    """Under FakeTensorMode there are no values: anything that looked at one would raise."""
    sim = Simulator(wild(), num_grids=4, auto_reset=True)
    state, _ = sim.reset()
    action = random_actions(sim, 1)[0].clone()
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        ghost = State(*(fake.from_tensor(t) for t in state))
        after, out = sim.step(ghost, fake.from_tensor(action))
        sim.reset(mask=torch.ones(4, dtype=torch.bool), state=after)
    assert out.obs.shape == (4, 3, sim.observation_dim)
    assert out.reward.shape == (4, 3)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_step_stays_on_its_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's meta device stands for a GPU: what is made elsewhere by mistake does not mix with what is there."""
    if name != "wild":
        monkeypatch.undo()  # scenarios use their own profiles
    sim = Simulator(wild() if name == "wild" else scenario(name), 3, "meta", auto_reset=True, stagger=True)
    with OneDevice():
        state, obs = sim.reset()
        action = torch.zeros(3, sim.num_agents, sim.action_dim, device="meta")
        for _ in range(2):
            state, out = sim.step(state, action)
        sim.reset(mask=torch.ones(3, dtype=torch.bool, device="meta"), state=state)
        sim.seed_grids(7)
    tensors = [x for x in tree_leaves((state, obs, out)) if isinstance(x, torch.Tensor)]
    assert {x.device.type for x in tensors} == {"meta"}


def test_devices_do_not_mix() -> None:
    with OneDevice(), pytest.raises(RuntimeError, match="cpu, meta"):
        torch.zeros(2, device="meta") @ torch.zeros(2)


def test_a_step_leaves_its_arguments_alone() -> None:
    sim = Simulator(wild(), num_grids=3, auto_reset=True)
    state, _ = sim.reset()
    action = random_actions(sim, 1)[0] * 3
    before = [t.clone() for t in (*state, action)]
    first = sim.step(state, action)
    second = sim.step(state, action)
    assert all(torch.equal(a, b) for a, b in zip(before, (*state, action), strict=True))
    assert torch.equal(first[1].obs, second[1].obs)
    assert torch.equal(first[1].reward, second[1].reward)
    assert (first[0].clamped > 0).all()


# Compiled -----------------------------------------------------------------------------------------------


SMALL = {"network": {"buses": 5, "power_flow": True}, "forecast": {"window_edges_h": [1]}, "episode_days": 0.25}


@pytest.mark.parametrize("config", [community(2, **SMALL), wild(episode_days=0.25)], ids=["small", "wild"])
def test_the_compiled_step_equals_the_eager_one_and_hears_new_weights(config: GridConfig) -> None:
    eager, fast = (Simulator(config, num_grids=3, seed=1, auto_reset=True, compile=c) for c in (False, True))
    (a, _), (b, _) = eager.reset(), fast.reset()
    for action in random_actions(eager, 27):
        a, out = eager.step(a, action)
        b, compiled = fast.step(b, action)
        assert (out.reward - compiled.reward).abs().max() < 1e-4
        assert (out.obs - compiled.obs).abs().max() < 1e-3
        assert torch.equal(out.truncated, compiled.truncated)
        assert torch.equal(a.row, b.row)
    assert (b.episode == 1).all()
    for sim in (eager, fast):
        sim.set_reward_weights(cost=0.0, stability=0.0, efficiency=0.0, cooperation=0.0)
    assert (fast.step(b, action)[1].reward == 0).all()  # pyright: ignore[reportPossiblyUnboundVariable]


# Gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("soc", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("events", [[], EVENTS[:1], EVENTS[1:2]], ids=["calm", "island", "outage"])
def test_gradients_are_finite_at_every_kink(soc: float, events: list[Any]) -> None:
    """Empty and full batteries, idle actions, zero currents, islands and dead lines, several steps deep."""
    always = [e | {"hour": 0, "duration_h": 48} for e in events]
    for values in ({}, {"demand_kw": 0.0, "generation_kw": 0.0}):
        sim = Simulator(wild(3, events=always), num_grids=3)
        state, _ = sim.reset()
        state = state._replace(soc_kwh=(sim.params.capacity_kwh.T * soc).contiguous())
        state = state._replace(**{name: getattr(state, name) * value for name, value in values.items()})
        for start in (torch.zeros(4, 3, 3, sim.action_dim), random_actions(sim, 4).clone()):
            actions, now, cost = start.requires_grad_(), state, torch.zeros(())
            for action in actions:
                now, out = sim.step(now, action)
                cost = cost + out.cost_eur.sum() + out.stability.sum() + out.reward.sum() + out.obs.sum()
            cost.backward()
            assert actions.grad is not None
            assert torch.isfinite(actions.grad).all()


def as_double(sim: Simulator) -> None:
    """The whole simulator in float64, for finite differences."""
    sim.community.double()
    sim.episodes.double()
    sim.community.events.float()  # its paths meet masks, not quantities
    sim.community.network.power_flow.dtype = torch.float64
    sim._prefetch = None  # its memory is float32
    sim.params = type(sim.params)(*(t.double() for t in sim.params))


def test_gradients_match_finite_differences() -> None:
    sim = Simulator(wild(3), num_grids=4, seed=2)
    as_double(sim)
    state, _ = sim.reset()
    state = State(*(t.double() if t.is_floating_point() else t for t in state))
    actions = 0.9 * random_actions(sim, 3, seed=4).double()

    def total(a: torch.Tensor) -> torch.Tensor:
        now, cost = state, torch.zeros((), dtype=torch.float64)
        for action in a:
            now, out = sim.step(now, action)
            assert out.cost_eur.dtype == torch.float64
            cost = cost + (out.cost_eur - 0.3 * out.stability[:, None] - out.reward_parts.cooperation).sum()
        return cost

    leaf = actions.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(leaf), leaf)
    assert gradient.abs().max() > 1e-3
    generator, agree, step = torch.Generator().manual_seed(0), 0, 1e-6
    picks = torch.randint(actions.numel(), (60,), generator=generator).tolist()
    for at in picks:
        bump = torch.zeros_like(actions).view(-1)
        bump[at] = step
        bump = bump.view_as(actions)
        ahead, here, behind = (float(total(actions + k * bump)) for k in (1, 0, -1))
        left, right = (here - behind) / step, (ahead - here) / step
        found = float(gradient.reshape(-1)[at])
        low, high = min(left, right), max(left, right)
        agree += low - 1e-5 - 1e-4 * abs(low) <= found <= high + 1e-5 + 1e-4 * abs(high)
    assert agree == len(picks)


def test_gradients_reach_back_beyond_what_is_read_at_once() -> None:
    """Forty steps with a graph, others without in between: what a graph saw is not written over."""
    config = wild(3, episode_days=0.25)
    ahead, alone = (Simulator(config, num_grids=4, seed=2, auto_reset=True) for _ in range(2))
    alone._prefetch = None
    gradients = []
    for sim in (ahead, alone):
        actions = random_actions(sim, 40, seed=4).clone().requires_grad_()
        (state, _), cost = sim.reset(), torch.zeros(())
        for k, action in enumerate(actions):
            if k % 7 == 3:
                with torch.no_grad():
                    sim.step(state, action)
            state, out = sim.step(state, action)
            cost = cost + out.cost_eur.sum() + out.final_obs.square().sum()
        gradients += torch.autograd.grad(cost, actions)
    assert gradients[0].abs().max() > 1e-3
    assert torch.equal(*gradients)


def test_a_step_that_failed_can_be_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted amid a window that was read ahead, the same state leads to the same next one."""
    sim, other = (Simulator(wild(), num_grids=4, seed=2, auto_reset=True) for _ in range(2))
    (state, _), (expected, _) = sim.reset(), other.reset()
    for k, action in enumerate(random_actions(sim, 20)):
        if k % 5 == 2:
            with monkeypatch.context() as patch:
                patch.setattr(sim, "_advance", _interrupted)
                with pytest.raises(KeyboardInterrupt):
                    sim.step(state, action)
        state, out = sim.step(state, action)
        expected, wanted = other.step(expected, action)
        assert torch.equal(state.demand_kw, expected.demand_kw)
        assert torch.equal(out.obs, wanted.obs)


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


# The same grid everywhere -------------------------------------------------------------------------------


def run(sim: Simulator, steps: int) -> list[torch.Tensor]:
    """Exogenous values, then what happened: [T, B, …] each."""
    state, _ = sim.reset()
    trace: list[list[torch.Tensor]] = []
    for action in random_actions(sim, steps):
        before = state
        state, out = sim.step(state, action)
        trace.append(
            [
                before.demand_kw, before.generation_kw, before.import_eur_per_kwh, out.islanded, out.energised,
                out.soc_kwh, out.cost_eur, out.reward, out.obs,
            ]
        )  # fmt: skip
    return [torch.stack(values) for values in zip(*trace, strict=True)]


def assert_same_grid(a: list[torch.Tensor], b: list[torch.Tensor]) -> None:
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        if k < 5:
            assert torch.equal(x, y)
        else:
            assert (x - y).abs().max() <= (1e-4 if k < 8 else 1e-3)


def test_a_grid_is_the_same_in_any_batch_and_chunk() -> None:
    config = wild()
    alone, whole = (run(Simulator(config, num_grids=n, seed=9), 96) for n in (1, 4096))
    assert_same_grid(alone, [x[:, :1] for x in whole])
    chunk = run(Simulator(config, num_grids=7, seed=9, first_grid=4000), 96)
    assert_same_grid(chunk, [x[:, 4000:4007] for x in whole])
    assert whole[0][:, :, 0].unique(dim=1).shape[1] > 1000, "grids differ"


def test_a_seed_gives_the_same_run_bit_by_bit_and_another_seed_another() -> None:
    runs = [run(Simulator(wild(), num_grids=5, seed=s), 20) for s in (3, 3, 4)]
    assert all(torch.equal(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    assert not torch.equal(runs[0][0], runs[2][0])
    sim = Simulator(wild(), num_grids=5, seed=0)
    sim.reset(seed=3)
    assert all(torch.equal(a, b) for a, b in zip(runs[0], run(sim, 20), strict=True))


def test_rounded_products_are_warned_of() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.warns(UserWarning, match=r"'high'.*set_float32_matmul_precision\('highest'\)"):
            Simulator(wild(), num_grids=2)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_torchs_default_of_64_bits_is_refused() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ConfigError, match=r"default dtype is torch.float64.*set_default_dtype\(torch.float32\)"):
            Simulator(wild(), num_grids=5)
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_grid_seed_is_the_same_episode_wherever_it_stands_in_the_list() -> None:
    def episodes(seeds: list[int]) -> list[torch.Tensor]:
        sim = Simulator(wild(), num_grids=len(seeds), first_grid=17 * len(seeds))
        sim.reset(seed=seeds)
        return run(sim, 30)

    many, few = episodes([5, 1000, 77, 1001]), episodes([1001, 77])
    assert_same_grid([x[:, [3, 2]] for x in many], few)


def test_ranges_are_drawn_within_their_limits_and_per_grid() -> None:
    sim, small = Simulator(wild(), num_grids=400, seed=1), Simulator(wild(), num_grids=2, seed=1, first_grid=100)
    limits = {
        "capacity_kwh": (4, 12), "charge_efficiency": (0.8, 1.0), "trade_kw": (3, 9), "price_level": (0.5, 2),
        "impedance_scale": (0.5, 2),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        value = getattr(sim.params, name)
        assert value.shape[-1] == 400
        assert ((value >= low) & (value <= high)).all()
        assert value.min() < low + 0.1 * (high - low)
        assert value.max() > high - 0.1 * (high - low)
        assert torch.equal(value[..., 100:102], getattr(small.params, name)), name
    drawn = torch.stack([sim.params.capacity_kwh[i] / 8 - 1 for i in range(3)] + [sim.params.trade_kw[0] / 6 - 1])
    assert (torch.corrcoef(drawn) - torch.eye(4)).abs().max() < 0.2, "draws are independent"


# Resets -------------------------------------------------------------------------------------------------


def test_a_masked_reset_touches_only_the_masked() -> None:
    sim = Simulator(wild(), num_grids=6, seed=2)
    state, _ = sim.reset()
    for action in random_actions(sim, 5):
        state, out = sim.step(state, action)
    mask = torch.tensor([True, False, True, False, False, True])
    after, obs = sim.reset(mask=mask, state=state)
    for name, a, b in zip(State._fields, state, after, strict=True):
        assert torch.equal(a[~mask], b[~mask]), name
    assert torch.equal(obs[~mask], out.obs[~mask])  # pyright: ignore[reportPossiblyUnboundVariable]
    assert (after.step[mask] == 0).all()
    assert (after.episode[mask] == 1).all()
    assert (after.row[mask] != state.row[mask]).all()


def test_seeding_the_masked_grids_leaves_the_others_as_they_are() -> None:
    sim = Simulator(wild(), num_grids=4, seed=2)
    state, _ = sim.reset()
    before = [t.clone() for t in sim.params]
    mask = torch.tensor([False, True, False, False])
    after, _ = sim.reset(seed=[11, 12, 13, 14], mask=mask, state=state)
    for name, a, b in zip(sim.params._fields, before, sim.params, strict=True):
        same = a if a.dim() == 0 or a.shape[-1] != 4 or "weights" in name else a[..., ~mask]
        assert torch.equal(same, b if same is a else b[..., ~mask]), name
    assert torch.equal(after.key[~mask], state.key[~mask])
    assert after.key[1] != state.key[1]
    alike, _ = Simulator(wild(), num_grids=4, seed=2).reset(seed=[11, 12, 13, 14])
    for name, a, b in zip(State._fields, after, alike, strict=True):
        assert torch.equal(a[1], b[1]), f"{name} is not that of the first episode under the seed"


def test_weights_set_by_hand_outlive_a_new_seed() -> None:
    sim = Simulator(wild(), num_grids=2)
    sim.set_reward_weights(cost=3.0)
    sim.set_stability_weights(reserve=0.0)
    rewards, stability = sim.params.reward_weights.clone(), sim.params.stability_weights.clone()
    sim.reset(seed=5)
    assert torch.equal(sim.params.reward_weights, rewards)
    assert torch.equal(sim.params.stability_weights, stability)
    assert stability.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("stagger", [False, True])
def test_auto_reset_equals_a_reset_by_hand(stagger: bool) -> None:
    config = wild(episode_days=0.25)
    auto = Simulator(config, num_grids=5, seed=3, auto_reset=True, stagger=stagger)
    hand = Simulator(config, num_grids=5, seed=3, stagger=stagger)
    (a, first), (h, _) = auto.reset(), hand.reset()
    boundaries = 0
    assert (len(set(a.step.tolist())) > 1) == stagger
    for action in random_actions(auto, 60):
        a, out = auto.step(a, action)
        h, manual = hand.step(h, action)
        assert torch.equal(out.final_obs, manual.obs)
        assert torch.equal(out.reward, manual.reward)
        assert torch.equal(out.soc_kwh, manual.soc_kwh)
        assert torch.equal(out.truncated, manual.truncated)
        assert not out.terminated.any()
        obs = manual.obs
        if bool(manual.truncated.any()):
            boundaries += 1
            h, obs = hand.reset(mask=manual.truncated, state=h)
        assert torch.equal(out.obs, obs)
        for name, x, y in zip(State._fields, a, h, strict=True):
            assert torch.equal(x, y), name
    assert boundaries >= (3 if stagger else 2)
    assert first.shape == out.obs.shape  # pyright: ignore[reportPossiblyUnboundVariable]


def test_episodes_differ_from_each_other() -> None:
    sim = Simulator(wild(episode_days=0.25), num_grids=1, auto_reset=True)
    state, _ = sim.reset()
    starts = [int(state.row)]
    for action in random_actions(sim, 24 * 6):
        state, out = sim.step(state, action)
        if bool(out.truncated):
            starts.append(int(state.row))
    assert len(starts) == 7
    assert len(set(starts)) == 7


def test_bad_action_entries_are_counted_and_harmless() -> None:
    sim = Simulator(wild(), num_grids=2)
    state, _ = sim.reset()
    action = random_actions(sim, 1)[0].clone()
    clean = action.clone()
    action[0, 0, 0], action[0, 1, 1], clean[0, 0, 0], clean[0, 1, 1] = float("nan"), float("-inf"), 0.0, 0.0
    action[1, 2, 1], clean[1, 2, 1] = 7.0, 1.0
    after, out = sim.step(state, action)
    _, expected = sim.step(state, clean)
    assert torch.equal(out.reward, expected.reward)
    assert torch.equal(out.obs, expected.obs)
    assert after.nonfinite.tolist() == [2, 0]
    assert after.clamped.tolist() == [0, 1]
