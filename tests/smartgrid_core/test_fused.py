"""The pass over the grids in C++ against the tensor operations it is made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from smartgrid_core import Simulator, list_scenarios
from smartgrid_core.compiled import Compiled, graph_of
from smartgrid_core.fused import build
from smartgrid_core.fused.kernel import Fused
from smartgrid_core.fused.layout import reader, turned
from smartgrid_core.fused.lowering import NotLoweredError
from smartgrid_core.power_flow import Feeder, PowerFlow
from smartgrid_core.profiles import table
from tests.smartgrid_core.communities import community

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")

A = torch.tensor([[1.5, 0.0, -2.0], [0.25, 1.0, 3.0]])
PICK = torch.tensor([2, 0, 1, 1], dtype=torch.int32)
TABLE = torch.tensor([7, -3, 11, 5], dtype=torch.int32)

# Of x [3, B] float, y [3, B] float, k [3, B] int32, m [3, B] bool and s [3, 1], the same for all grids.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "arithmetic": lambda x, y, k, m, s: (x * y + s / 3 - y / (x.abs() + 0.5), 2 - x, -x * s, x.reciprocal()),
    "roots and bounds": lambda x, y, k, m, s: (x.abs().sqrt(), x.clamp(-0.3, 0.4), torch.maximum(x, s), x.clamp_min(y)),
    "choices": lambda x, y, k, m, s: (torch.where(m, x, y), torch.where(x > y, 1.0, x), m & (x <= s), ~m | (x == y)),
    "sums": lambda x, y, k, m, s: (x.sum(0), y.mean(0), x.amax(0), x.amin(0), m.sum(0, dtype=torch.int32), m.any(0)),
    "nothing": lambda x, y, k, m, s: (x[:0].sum(0), m[:0].sum(0, dtype=torch.int32), m[:0].any(0), x[:0].T),
    "products": lambda x, y, k, m, s: (A @ x, torch.addmm(s[:2], A, y), A @ A.T @ x[:2]),
    "arrangements": lambda x, y, k, m, s: (
        torch.cat([x[1:], y[:1], s.expand_as(x)]), torch.stack([x, y])[1, 2], x.index_select(0, PICK),
        x.unsqueeze(0).expand(2, 3, -1).reshape(6, -1), x.split([1, 2])[1],
    ),
    "whole numbers": lambda x, y, k, m, s: (
        (k ^ (k >> 3)) * 2146121005, k % 7, (k & 0xFFFF).float(), (x * 4).int(), TABLE.index_select(0, (k & 3)[0]),
    ),
    "rounding": lambda x, y, k, m, s: ((x * 4).floor(), (x * 4).round(), m.to(x.dtype) * y, torch.lerp(x, y, s[0])),
    "in place": lambda x, y, k, m, s: (x.clone().add_(y), (A @ x).add_(1.0).clamp_(max=0.5)),
    "constants": lambda x, y, k, m, s: (
        torch.zeros_like(x), torch.full_like(k[0], 3), torch.where(s > 9, x, x * 0 + 1), x.new_ones(2, x.shape[1]),
    ),
}  # fmt: skip


def arguments(grids: int) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(grids)
    x, y = (torch.rand(3, grids, generator=g) * 4 - 2 for _ in range(2))
    k = torch.randint(-(2**31), 2**31 - 1, (3, grids), generator=g).int()
    return x, y, k, torch.rand(3, grids, generator=g) < 0.5, torch.tensor([[0.5], [-1.0], [2.0]])


@pytest.mark.parametrize(
    ("device", "which", "told"), [("cpu", "compiler", r"C\+\+.*g\+\+"), ("cuda", "c_compiler", "C .*gcc")]
)
def test_without_a_compiler_the_step_is_eager_and_says_so(
    device: str, which: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's kernels too are launched through what a compiler on the host made."""
    monkeypatch.setattr(build, which, lambda: None)
    with pytest.warns(UserWarning, match=f"no {told}"):
        assert graph_of(torch.sin, torch.device(device)) is torch.sin


@pytest.mark.parametrize("name", FUNCTIONS)
def test_equals_the_tensor_operations(name: str) -> None:
    """On fewer grids than a vector holds, on as many, and on many with some left over."""
    function = FUNCTIONS[name]
    fused = Fused(function, arguments(4), [-1, -1, -1, -1, None])
    for grids in (1, 4, 16, 37, 2048):
        given = arguments(grids)
        expected, got = function(*given), fused(given, grids)
        for a, b in zip(expected, got, strict=True):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert torch.allclose(a.float(), b.float(), atol=2e-6, rtol=2e-6)


class Nested(NamedTuple):
    one: Tensor
    none: None
    more: dict[str, Tensor]


def test_keeps_the_nesting_and_the_layout() -> None:
    def function(x: Tensor) -> Nested:
        return Nested(x + 1, None, {"first": x[:, 0], "turned": x.T * 2})

    x = torch.rand(3, 40).T  # batch first, grids dense
    got = Fused(function, (x,), [0])([x], 40)
    assert isinstance(got, Nested)
    assert got.none is None
    assert torch.equal(got.one, x + 1)
    assert torch.equal(got.more["first"], x[:, 0])
    assert torch.equal(got.more["turned"], x.T * 2)
    assert got.one.stride() == (1, 40)


def test_a_tensor_laid_out_otherwise_is_understood_and_one_of_another_kind_refused() -> None:
    fused = Fused(lambda x: (x * 2,), (torch.rand(4, 3),), [0])
    x = torch.rand(21, 3)
    assert torch.equal(fused([x], 21)[0], x * 2)
    with pytest.raises(ValueError, match=r"argument 0 is torch\.float64"):
        fused([x.double()], 21)
    with pytest.raises(ValueError, match=r"\(21, 4\).*made for torch\.float32 \(21, 3\)"):
        fused([torch.rand(21, 4)], 21)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.cumsum(0),),
        lambda x: (x.sum(1),),
        lambda x: (x.double(),),
        lambda x: (torch.ones(300, 3) @ x,) * 2 + (torch.rand(300, 300) @ (torch.ones(300, 3) @ x),),
    ],
    ids=["an operation", "over grids", "a type", "a size"],
)
def test_says_what_has_no_form_for_one_grid(function: Any) -> None:
    with pytest.raises(NotLoweredError):
        Fused(function, (torch.rand(3, 4),), [-1])


# The simulator ------------------------------------------------------------------------------------------


def compiled_and_eager(name: str, grids: int) -> tuple[Simulator, Simulator]:
    eager, fast = (Simulator(name, grids, seed=3, auto_reset=True, stagger=True, compile=c) for c in (False, True))
    return eager, fast


def assert_same_steps(eager: Simulator, fast: Simulator, steps: int) -> None:
    (a, _), (b, _) = eager.reset(), fast.reset()
    generator = torch.Generator().manual_seed(0)
    for k in range(steps):
        action = torch.rand(eager.num_grids, eager.num_agents, eager.action_dim, generator=generator) * 3 - 1.5
        if k % 7 == 3:
            action[0, 0, 0] = (float("nan"), float("inf"))[k % 2]
        (a, out), (b, got) = eager.step(a, action), fast.step(b, action)
        for x, y in ((out.obs, got.obs), (out.final_obs, got.final_obs), (out.reward, got.reward)):
            assert torch.allclose(x, y, atol=1e-4)
        for x, y in zip((*a, *out.ledger, *out.network), (*b, *got.ledger, *got.network), strict=True):
            assert torch.allclose(x.float(), y.float(), atol=2e-4, rtol=1e-4)


def test_a_community_without_links_and_without_network() -> None:
    eager, fast = (
        Simulator(
            community(2, links={"topology": "none"}, network={"power_flow": False}), 5, auto_reset=True, compile=c
        )
        for c in (False, True)
    )
    assert_same_steps(eager, fast, 5)
    assert isinstance(fast._advance._fused, Fused)  # pyright: ignore[reportFunctionMemberAccess]


SMALL = ["community-5", "islanded", "outage", "price-spike", "high-solar", "high-demand"]


@pytest.mark.parametrize(
    "name", SMALL + [pytest.param(n, marks=pytest.mark.slow) for n in list_scenarios() if n not in SMALL]
)
def test_the_simulator_is_the_same(name: str) -> None:
    """Over windows and ends of episodes; by the pass in C++ where it is small enough, else by torch.compile."""
    eager, fast = compiled_and_eager(name, 21)
    assert_same_steps(eager, fast, 40)
    in_one_pass = name != "town-1000"
    for function in (fast._advance, fast._course):
        assert isinstance(function._fused, Fused) == in_one_pass  # pyright: ignore[reportFunctionMemberAccess]


def test_several_prosumers_at_a_bus() -> None:
    """Their powers are summed alike in one pass and in torch.compile's graph, which gradients need."""
    config = community(7, network={"buses": 5}, forecast={"window_edges_h": [1]})
    assert_same_steps(*(Simulator(config, 5, auto_reset=True, compile=c) for c in (False, True)), steps=8)
    gradients = []
    for compile in (False, True):
        sim = Simulator(config, 5, seed=1, compile=compile)
        state, _ = sim.reset()
        action = torch.full((5, 7, sim.action_dim), 0.3, requires_grad=True)
        state, out = sim.step(state, action)
        out.network.loss_kw.sum().backward()
        gradients.append(action.grad)
    assert gradients[0].abs().max() > 0
    assert torch.allclose(*gradients, atol=1e-6)


class Scale:
    """A method whose result depends on its object's constants."""

    def __init__(self, factor: float):
        self.factor = torch.tensor(factor)

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.factor

    def apply(self, x: Tensor) -> Tensor:
        return self(x)


def test_objects_of_one_class_keep_to_their_own_constants_under_torch_compile() -> None:
    """Constants are not checked before a call, so what one object's method compiled to must not serve another."""
    x = torch.rand(8)
    for factor in (2.0, 3.0):
        assert torch.equal(graph_of(Scale(factor).apply, torch.device("cpu"))(x), x * factor)


def test_without_a_working_compiler_torch_compile_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "compiler", lambda: "/bin/false")
    twice = Compiled(Scale(2.0).apply, 4, torch.device("cpu"))
    asked = []
    monkeypatch.setattr(twice, "_graph", lambda x: asked.append(x) or x * 2)
    x = torch.rand(4)
    with pytest.warns(UserWarning, match=r"by torch\.compile"):
        assert torch.equal(twice(x), x * 2)
    assert torch.equal(twice(x), x * 2)  # told once
    assert len(asked) == 2


@pytest.mark.slow
def test_gradients_go_through_torch_compile_and_agree() -> None:
    """The pass in C++ records none, so a step that needs them is not taken by it."""
    config = community(2, network={"power_flow": False}, forecast={"window_edges_h": [1]})
    gradients = []
    for compile in (False, True):
        sim = Simulator(config, 3, seed=1, compile=compile)
        state, _ = sim.reset()
        action = torch.full((3, 2, sim.action_dim), 0.3, requires_grad=True)
        for _ in range(3):
            state, out = sim.step(state, action)
        out.cost_eur.sum().backward()  # pyright: ignore[reportPossiblyUnboundVariable]
        gradients.append(action.grad)
    assert gradients[0].abs().max() > 0
    assert torch.allclose(*gradients, atol=1e-6)


# Power flow ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [(), ("scale",), ("open", "island"), ("scales", "open"), ("island",)], ids="+".join)
def test_power_flow_by_sweeps_equals_the_dense_one(given: tuple[str, ...]) -> None:
    """A transformer with no-load losses, side branches, collapsed grids among the others; every optional input."""
    feeder, grids = Feeder.radial(12), 37
    g = torch.Generator().manual_seed(1)
    p = (torch.rand(grids, 12, generator=g) * 3 - 1) * 2
    p[5] *= 300  # collapses
    branches = feeder.num_branches
    inputs = {
        "scale": {"impedance_scale": torch.rand(grids, generator=g) + 0.5},
        "scales": {"impedance_scale": torch.rand(grids, branches, generator=g) + 0.5},
        "open": {"branch_open": torch.rand(grids, branches, generator=g) < 0.1},
        "island": {"islanded": torch.rand(grids, generator=g) < 0.4},
    }
    optional = {key: value for name in given for key, value in inputs[name].items()}
    plain, fast = PowerFlow(feeder), PowerFlow(feeder, compile=True)
    expected, got = plain(p, 0.3 * p, **optional), fast(p, 0.3 * p, **optional)
    assert all(fast._passes.values())
    assert torch.equal(expected.converged, got.converged)
    assert torch.equal(expected.energised, got.energised)
    assert not got.converged[5] or bool(optional)
    solved = expected.converged
    for name in ("voltage_pu", "loading"):
        assert torch.allclose(getattr(expected, name)[solved], getattr(got, name)[solved], atol=2e-6, rtol=2e-5)
    for name in ("loss_kw", "slack_kw"):
        assert torch.allclose(getattr(expected, name)[solved], getattr(got, name)[solved], atol=2e-5, rtol=2e-5)
    assert torch.isfinite(got.voltage_pu).all()


def test_power_flow_takes_what_the_pass_cannot() -> None:
    """Double precision and gradients go the way they always went."""
    p = torch.rand(4, 5, requires_grad=True)
    fast = PowerFlow(Feeder.radial(5), compile=True)
    fast(p, p).loss_kw.sum().backward()
    assert p.grad is not None
    exact = PowerFlow(Feeder.radial(5), dtype=torch.float64, compile=True)
    assert exact(p.detach(), p.detach()).voltage_pu.dtype == torch.float64
    assert not fast._passes
    assert not exact._passes


# Windows and the build ----------------------------------------------------------------------------------


@pytest.mark.parametrize("grids", [1, 16, 37, 256])
def test_windows_are_read_alike(grids: int) -> None:
    """With switches at every step, and with windows shorter than a vector."""
    g = torch.Generator().manual_seed(grids)
    for steps, width, agents in ((16, 7, 3), (5, 3, 2), (1, 1, 1)):
        rows = torch.rand(500, width, generator=g)
        first, then = (torch.randint(0, 480, (agents, grids), generator=g).int() for _ in range(2))
        switch = torch.randint(0, steps + 1, (grids,), generator=g).int()
        scale, scale_then = torch.rand(2, agents, grids, generator=g)
        expected, got = torch.empty(2, steps, width, agents, grids)
        given = (rows, first, then, switch, scale, scale_then)
        table._read_in_blocks(expected, *given)
        native = reader()
        assert native is not None
        native(got, *given)
        assert torch.equal(expected, got)


@pytest.mark.parametrize("grids", [1, 16, 23, 300])
def test_actions_are_turned_as_torch_would(grids: int) -> None:
    for agents, width in ((1, 1), (5, 3), (13, 4)):
        action = torch.rand(grids, agents, width)
        out, expected = torch.empty(width, agents, grids), action.permute(2, 1, 0)
        assert torch.equal(turned(action, out), expected)
        assert torch.equal(turned(expected.contiguous().permute(2, 1, 0), out.zero_()), expected), "laid out otherwise"
        assert torch.equal(turned(action.double(), out.zero_()), expected)


def test_a_result_does_not_change_with_the_next_action() -> None:
    sim = Simulator(community(3), 70, compile=True)
    with torch.no_grad():
        state, _ = sim.reset(seed=1)
        moved, out = sim.step(state, torch.full((70, 3, sim.action_dim), 0.5))
        before = [x.clone() for x in (out.obs, out.reward, moved.soc_kwh)]
        sim.step(moved, torch.full((70, 3, sim.action_dim), -1.0))
    assert all(torch.equal(a, b) for a, b in zip(before, (out.obs, out.reward, moved.soc_kwh), strict=True))


def test_actions_of_another_kind_than_the_first_are_taken_too() -> None:
    """Their memory, made in inference mode, serves outside of it; on another device they are refused in words."""
    sim = Simulator(community(3), 70, compile=True)
    action = torch.rand(70, 3, sim.action_dim)
    with torch.inference_mode():
        state, _ = sim.reset(seed=1)
        sim.step(state, action)
    with torch.no_grad():
        state, _ = sim.reset(seed=1)
        _, expected = sim.step(state, action)
        _, found = sim.step(state, action.permute(2, 1, 0).contiguous().permute(2, 1, 0))
        assert torch.equal(expected.obs, found.obs)
        with pytest.raises(ValueError, match="action is on meta, the state on cpu"):
            sim.step(state, action.to("meta"))
        sim._actions = None
        with torch.device("meta"):  # torch's default where it says nothing else
            _, found = sim.step(state, action)
        assert torch.equal(expected.obs, found.obs)


def test_what_was_built_is_kept_and_a_failing_compiler_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "user_cache_path", lambda _: tmp_path)
    text = 'extern "C" int answer() { return 42; }'
    assert build.load(text).answer() == 42
    kept = list((tmp_path / "kernels").iterdir())
    assert len(kept) == 1
    monkeypatch.setattr(build.subprocess, "run", None)  # not called again
    assert build.load(text).answer() == 42
    monkeypatch.undo()
    monkeypatch.setattr(build, "user_cache_path", lambda _: tmp_path)
    with pytest.raises(build.BuildError, match="does not name a type"):
        build.load("nonsense;")
    assert list((tmp_path / "kernels").iterdir()) == kept


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(build, "user_cache_path", lambda _: tmp_path / "file")
    with pytest.raises(build.BuildError, match="Not a directory"):
        build.load('extern "C" int other() { return 7; }')
