"""The batched power flow against pandapower, against itself (identities), and as a tensor program."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from smartgrid_core.power_flow import Feeder, PowerFlow, PowerFlowResult
from tests.host_and_device import HostSyncs
from tests.smartgrid_core.pandapower_reference import (
    NETWORKS,
    SIMBENCH_CODES,
    Reference,
    network,
    own_consumption,
    random_consumption,
    rated_kva,
    solve,
)

F64 = torch.float64
FAST_SIMBENCH = ["1-LV-rural1--0-sw", "1-LV-semiurb4--1-sw"]
SLOW_SIMBENCH = [pytest.param(code, marks=pytest.mark.slow) for code in SIMBENCH_CODES if code not in FAST_SIMBENCH]


def batch(*rows: np.ndarray, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.tensor(np.stack(rows), dtype=dtype)


def exact(feeder: Feeder, **options: Any) -> PowerFlow:
    return PowerFlow(feeder, iterations=60, dtype=F64, tolerance=1e-9, **options)


def community(seed: int = 0, buses: int = 15, grids: int = 8) -> tuple[Feeder, torch.Tensor, torch.Tensor]:
    """A generated feeder and float64 consumption [B, n], generation included."""
    feeder = Feeder.radial(buses=buses)
    rng = np.random.default_rng(seed)
    p = torch.tensor(rng.uniform(-6.0, 8.0, (grids, buses)), dtype=F64)
    return feeder, p, p * torch.tensor(rng.uniform(-0.2, 0.4, (grids, buses)))


def assert_matches(feeder: Feeder, result: PowerFlowResult, row: int, reference: Reference, float64: bool) -> None:
    voltage_tolerance = 1e-8 if float64 else 1e-5
    assert np.abs(result.voltage_pu[row].double().numpy() - reference.voltage_pu).max() <= voltage_tolerance
    for e, name in enumerate(feeder.branch_names):
        if feeder.kind[e] != "switch":
            assert abs(result.loading[row, e].item() - reference.loading[name]) <= 1e-4, name
    assert result.loss_kw[row].item() == pytest.approx(reference.loss_kw, rel=1e-8 if float64 else 1e-4)
    assert result.slack_kw[row].item() == pytest.approx(reference.slack_kw, rel=1e-8 if float64 else 1e-4)
    assert bool(result.converged[row])


@pytest.mark.parametrize("name", [*NETWORKS, *FAST_SIMBENCH, *SLOW_SIMBENCH])
def test_agrees_with_pandapower(name: str) -> None:
    net = network(name)
    feeder = Feeder.from_pandapower(net)
    for seed, share in ((0, 0.5), (1, 0.25)):
        p, q = random_consumption(feeder, rated_kva(net), seed, share)
        reference = solve(net, p, q)
        result = exact(feeder)(batch(p), batch(q))
        assert_matches(feeder, result, 0, reference, float64=True)
        # branch by branch, with its factors at 1, it is the same network
        assert_matches(feeder, exact(feeder)(batch(p), batch(q), impedance_scale=torch.ones(1)), 0, reference, True)
        fast = PowerFlow(feeder)(batch(p, dtype=torch.float32), batch(q, dtype=torch.float32))
        assert_matches(feeder, fast, 0, reference, float64=False)


@pytest.mark.parametrize("name", NETWORKS)
def test_four_iterations_suffice_for_the_load_a_network_comes_with(name: str) -> None:
    """Down to 0.91 p.u. and up to 88 % of rating: voltages within 1e-6 p.u., ten times better than asked."""
    net = network(name)
    feeder = Feeder.from_pandapower(net)
    p, q = own_consumption(name)
    reference = solve(net, p, q)
    fast = PowerFlow(feeder, iterations=4)(batch(p, dtype=torch.float32), batch(q, dtype=torch.float32))
    assert_matches(feeder, fast, 0, reference, float64=False)
    assert np.abs(fast.voltage_pu[0].double().numpy() - reference.voltage_pu).max() <= 1e-6


def test_agrees_with_pandapower_where_cables_are_long() -> None:
    """Charging of a quarter of the rating: currents differ at the two ends of each line."""
    net = network("case33bw")
    net.line["c_nf_per_km"], net.line["g_us_per_km"], net.line["max_i_ka"] = 20_000.0, 30.0, 0.4
    feeder = Feeder.from_pandapower(net)
    p, q = random_consumption(feeder, 4000.0, 3)
    reference = solve(net, p, q)
    for scale in (None, torch.ones(1)):
        assert_matches(feeder, exact(feeder)(batch(p), batch(q), impedance_scale=scale), 0, reference, float64=True)


def test_slack_power_is_consumption_and_losses() -> None:
    feeder, p, q = community()
    result = exact(feeder)(p, q)
    assert result.converged.all()
    torch.testing.assert_close(result.slack_kw, p[:, 1:].sum(1) + result.loss_kw, rtol=0, atol=1e-9)
    fast = PowerFlow(feeder)(p.float(), q.float())
    scale = p.abs().sum(1) + fast.loss_kw
    assert ((fast.slack_kw - p[:, 1:].sum(1) - fast.loss_kw).abs() <= 1e-5 * scale + 1e-5).all()


def test_no_consumption_leaves_the_no_load_loss() -> None:
    feeder = Feeder.radial(15, no_load_kw=0.4)
    result = PowerFlow(feeder)(torch.zeros(2, 15), torch.zeros(2, 15))
    assert result.loss_kw[0].item() == pytest.approx(0.4, rel=1e-3)
    assert result.slack_kw[0].item() == pytest.approx(0.4, rel=1e-3)
    assert result.loading[0, 1:].max().item() < 1e-6


@pytest.mark.parametrize("factor", [30.0, 200.0, 1e6, -200.0])
@pytest.mark.parametrize("scaled", [False, True])
def test_collapse_is_finite_and_flagged(factor: float, scaled: bool) -> None:
    feeder, _, _ = community()
    p = torch.full((4, 15), 3.0)
    p[1] *= factor
    scale = torch.ones(4) if scaled else None
    result = PowerFlow(feeder)(p, 0.3 * p, impedance_scale=scale)
    for field in result:
        assert torch.isfinite(field.double()).all()
    assert result.converged.tolist() == [True, False, True, True]


def test_impedance_scale_equals_a_feeder_of_other_impedances() -> None:
    feeder, p, q = community()
    factors = torch.tensor(np.random.default_rng(5).uniform(0.5, 2.0, (8, 14)))
    by_grid = exact(feeder)(p, q, impedance_scale=factors)
    for b in range(3):
        factor = factors[b].numpy()
        rebuilt = dataclasses.replace(feeder, r_pu=feeder.r_pu * factor, x_pu=feeder.x_pu * factor)
        alone = exact(rebuilt)(p[b : b + 1], q[b : b + 1])
        for ours, theirs in zip(by_grid, alone, strict=True):
            torch.testing.assert_close(ours[b : b + 1], theirs, rtol=1e-9, atol=1e-9)
    uniform = exact(feeder)(p, q, impedance_scale=torch.full((8,), 1.5))
    each = exact(feeder)(p, q, impedance_scale=torch.full((8, 14), 1.5))
    torch.testing.assert_close(uniform.voltage_pu, each.voltage_pu)


def without_branch_0(feeder: Feeder) -> tuple[Feeder, list[int]]:
    """What lies behind branch 0 as a feeder of its own, and the buses it keeps; its busbar is the slack."""
    arrays = feeder.to_arrays()
    for name, value in arrays.items():
        if value.ndim and name != "xy":
            arrays[name] = value[1:]
    arrays["xy"] = arrays["xy"][1:]
    for end in ("from_bus", "to_bus"):
        arrays[end] = arrays[end] - 1
    arrays["slack"] = np.array(0)
    arrays["voltage_scale"] = arrays["voltage_scale"] * 0 + 1.0
    return Feeder.from_arrays(arrays), list(range(1, feeder.num_buses))


@pytest.mark.parametrize("charging", [0.0, 5000.0])
@pytest.mark.parametrize("branchwise", [False, True])
def test_island_is_the_feeder_behind_branch_0(charging: float, branchwise: bool) -> None:
    _, p, q = community()
    feeder = Feeder.radial(15, c_nf_per_km=charging, v0_pu=1.02)
    islanded = torch.arange(8) % 2 == 0
    no_open = torch.zeros(8, 14, dtype=torch.bool) if branchwise else None
    result = exact(feeder)(p, q, islanded=islanded, branch_open=no_open)
    connected = exact(feeder)(p, q)
    alone, kept = without_branch_0(feeder)
    # the busbar's own consumption burdens no branch but is drawn from the unit there
    expected = exact(alone)(p[:, kept], q[:, kept])
    torch.testing.assert_close(result.voltage_pu[islanded][:, 1:], expected.voltage_pu[islanded])
    torch.testing.assert_close(result.loading[islanded][:, 1:], expected.loading[islanded])
    torch.testing.assert_close(result.loss_kw[islanded], expected.loss_kw[islanded])
    torch.testing.assert_close(result.slack_kw[islanded], expected.slack_kw[islanded] + p[islanded, 1])
    torch.testing.assert_close(
        result.slack_kw[islanded], (p[:, 1:].sum(1) + result.loss_kw)[islanded], rtol=0, atol=1e-9
    )
    torch.testing.assert_close(result.voltage_pu[islanded, 1], torch.full((4,), 1.02, dtype=F64))
    assert (result.loading[islanded, 0] == 0).all()
    assert (result.voltage_pu[islanded, 0] == 0).all()
    assert not result.energised[islanded, 0].any()
    assert result.energised[:, 1:].all()
    for ours, theirs in zip(result, connected, strict=True):
        torch.testing.assert_close(ours[~islanded], theirs[~islanded])


def test_island_of_a_network_with_several_transformers_leaves_the_others_dead() -> None:
    feeder = Feeder.from_pandapower(network("create_cigre_network_lv"))
    p, q = random_consumption(feeder, 500.0, 0)
    result = exact(feeder)(batch(p), batch(q), islanded=torch.tensor([True]))
    behind = feeder.path[0] > 0
    assert result.energised[0].tolist() == behind.tolist()
    torch.testing.assert_close(result.slack_kw[0], torch.tensor(p[behind].sum()) + result.loss_kw[0])


def test_open_branch_cuts_off_what_lies_behind() -> None:
    feeder, p, q = community()
    e = 4
    opened = torch.zeros(8, 14, dtype=torch.bool)
    opened[::2, e] = True
    result, whole = exact(feeder)(p, q, branch_open=opened), exact(feeder)(p, q)
    behind = torch.tensor(feeder.path[e] > 0)
    served = torch.where(behind, torch.zeros(()), p)
    expected = exact(feeder)(served, torch.where(behind, torch.zeros(()), q))
    rows = torch.arange(8) % 2 == 0
    dead = torch.tensor([bool(behind[i]) for i in feeder.to_bus])
    assert 0 < int(behind.sum()) < 14
    assert (result.voltage_pu[rows][:, behind] == 0).all()
    assert not result.energised[rows][:, behind].any()
    assert result.energised[rows][:, ~behind].all()
    assert (result.loading[rows][:, dead] == 0).all()
    torch.testing.assert_close(result.voltage_pu[rows][:, ~behind], expected.voltage_pu[rows][:, ~behind])
    torch.testing.assert_close(result.slack_kw[rows], expected.slack_kw[rows])
    torch.testing.assert_close(result.loss_kw[rows], expected.loss_kw[rows])
    for ours, theirs in zip(result, whole, strict=True):
        torch.testing.assert_close(ours[~rows], theirs[~rows])


def test_island_stays_up_when_branch_0_is_open_too() -> None:
    feeder, p, q = community(grids=1)
    opened = torch.zeros(1, 14, dtype=torch.bool)
    opened[0, 0] = True
    dark = exact(feeder)(p, q, branch_open=opened)
    assert dark.energised[0].tolist() == [True] + [False] * 14
    assert dark.slack_kw.item() == pytest.approx(0.0, abs=1e-9)
    island = exact(feeder)(p, q, branch_open=opened, islanded=torch.tensor([True]))
    expected = exact(feeder)(p, q, islanded=torch.tensor([True]))
    for ours, theirs in zip(island, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_few_injections_equal_all_of_them() -> None:
    feeder, p, q = community()
    buses = [3, 12, 7]
    full_p, full_q = torch.zeros_like(p), torch.zeros_like(q)
    full_p[:, buses], full_q[:, buses] = p[:, buses], q[:, buses]
    few = exact(feeder, injection_buses=buses)
    for ours, theirs in zip(few(p[:, buses], q[:, buses]), exact(feeder)(full_p, full_q), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    kernel = few.solve(p[:, buses].T, q[:, buses].T)
    torch.testing.assert_close(kernel.voltage_pu.T, few(p[:, buses], q[:, buses]).voltage_pu)


def test_a_grid_does_not_depend_on_its_batch() -> None:
    feeder, p, q = community(grids=5000)
    flow = PowerFlow(feeder)
    whole, part = flow(p.float(), q.float()), flow(p[4321:4322].float(), q[4321:4322].float())
    for ours, theirs in zip(whole, part, strict=True):
        torch.testing.assert_close(ours[4321:4322].double(), theirs.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ["plain", "island", "scale", "open"])
def test_gradients(case: str) -> None:
    feeder = Feeder.radial(6)
    flow = PowerFlow(feeder, iterations=30, dtype=F64)
    options: dict[str, torch.Tensor] = {}
    if case == "island":
        options["islanded"] = torch.tensor([True, False])
    if case == "scale":
        options["impedance_scale"] = torch.tensor([[1.2, 0.8, 1.0, 1.1, 0.9], [1.0] * 5])
    if case == "open":
        options["branch_open"] = torch.tensor([[False] * 4 + [True], [False] * 5])
    rng = np.random.default_rng(2)
    p, q = (torch.tensor(rng.uniform(1, 5, (2, 6)), dtype=F64, requires_grad=True) for _ in range(2))

    def outputs(p: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return flow(p, q, **options)[:4]

    assert torch.autograd.gradcheck(outputs, (p, q), eps=1e-5, atol=1e-6)
    p, q = (torch.zeros(2, 6, dtype=F64, requires_grad=True) for _ in range(2))
    sum(x.sum() for x in outputs(p, q)).backward()  # type: ignore[union-attr]
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()


def test_gradient_of_the_impedance_scale() -> None:
    flow = PowerFlow(Feeder.radial(6), iterations=30, dtype=F64)
    p = torch.full((2, 6), 4.0, dtype=F64)
    scale = torch.full((2, 5), 1.1, dtype=F64, requires_grad=True)

    def outputs(scale: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return flow(p, 0.2 * p, impedance_scale=scale)[:4]

    assert torch.autograd.gradcheck(outputs, (scale,), eps=1e-5, atol=1e-6)


ALL_OPTIONS = {
    "impedance_scale": torch.full((14, 8), 1.1),
    "branch_open": torch.zeros(14, 8, dtype=torch.bool),
    "islanded": torch.arange(8) % 3 == 0,
}


@pytest.mark.parametrize("options", [(), ("islanded",), ("impedance_scale",), tuple(ALL_OPTIONS)])
def test_solve_never_waits_for_the_device(options: tuple[str, ...]) -> None:
    flow = PowerFlow(Feeder.radial(15, c_nf_per_km=50_000.0), injection_buses=[3, 7, 9])
    p = torch.rand(3, 8)
    with HostSyncs() as mode:
        flow.solve(p, p, **{name: ALL_OPTIONS[name] for name in options})
    assert mode.found == []


def test_runs_on_fake_tensors() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    flow = PowerFlow(Feeder.radial(15))
    with FakeTensorMode(allow_non_fake_inputs=True):
        result = flow.solve(torch.rand(14, 8), torch.rand(14, 8), islanded=torch.zeros(8, dtype=torch.bool))
    assert result.voltage_pu.shape == (15, 8)
    assert result.loading.shape == (14, 8)


@pytest.mark.parametrize("options", [("islanded",), tuple(ALL_OPTIONS)])
def test_compiles_as_one_graph(options: tuple[str, ...]) -> None:
    flow = PowerFlow(Feeder.radial(15))
    # "aot_eager" traces forward and backward as the compiler sees them, without generating code
    compiled = torch.compile(flow.solve, fullgraph=True, backend="aot_eager")
    p = torch.rand(14, 8)
    kwargs = {name: ALL_OPTIONS[name] for name in options}
    for ours, theirs in zip(compiled(p, 0.3 * p, **kwargs), flow.solve(p, 0.3 * p, **kwargs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_wrong_inputs_say_what_was_expected() -> None:
    feeder = Feeder.radial(15)
    flow = PowerFlow(feeder)
    p = torch.zeros(4, 15)
    with pytest.raises(ValueError, match=r"p_kw has shape \(4, 14\), expected \[B, 15\]"):
        flow(p[:, 1:], p)
    with pytest.raises(ValueError, match="p_kw has 4 rows, q_kvar 3"):
        flow(p, p[:3])
    with pytest.raises(ValueError, match=r"islanded has shape \[3\], expected \[4\]"):
        flow(p, p, islanded=torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"p_kw has shape \(15, 4\), expected \[14, B\]"):
        flow.solve(p.T, p.T)
    with pytest.raises(ValueError, match=r"impedance_scale has shape \[4, 14\], expected \[4\] or \[14, 4\]"):
        flow.solve(p.T[1:], p.T[1:], impedance_scale=torch.ones(4, 14))
    for given in ({"p_kw": p.numpy()}, {"q_kvar": None}, {"islanded": np.zeros(4, dtype=bool)}):
        with pytest.raises(ValueError, match=rf"{next(iter(given))} is a \w+: expected a tensor; torch.as_tensor"):
            flow(**({"p_kw": p, "q_kvar": p} | given))
    with pytest.raises(ValueError, match=r"p_kw is a ndarray: expected a tensor; torch.as_tensor"):
        flow.solve(p.T[1:].numpy(), p.T[1:])
    with pytest.raises(ValueError, match="contains the slack bus 0"):
        PowerFlow(feeder, injection_buses=[0, 3])
    with pytest.raises(ValueError, match="names a bus twice"):
        PowerFlow(feeder, injection_buses=[3, 3])
    with pytest.raises(ValueError, match="indices 0 to 14"):
        PowerFlow(feeder, injection_buses=[15])
    with pytest.raises(ValueError, match="iterations = 0"):
        PowerFlow(feeder, iterations=0)
    with pytest.raises(ValueError, match="dtype"):
        PowerFlow(feeder, dtype=torch.float16)
