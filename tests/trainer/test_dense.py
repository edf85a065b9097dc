"""Networks evaluated in one pass in C++, against the operations they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from smartgrid_core.fused import build
from smartgrid_core.fused.cpp import HEADER
from trainer import dense
from trainer.actors import GaussianActor
from trainer.networks import CentralCritic, StackedMLP
from trainer.ppo import Ppo

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")

WITHOUT_AVX = "#undef __AVX512F__\n#undef __AVX__\n" + HEADER
HEADERS = {
    "this machine's": HEADER,
    "4 numbers": WITHOUT_AVX,
    "16 numbers": WITHOUT_AVX.replace("#else\n#define W 4", "#else\n#define W 16"),
}


@pytest.fixture(params=list(HEADERS))
def vectors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Registers of every width, wherever the tests run."""
    monkeypatch.setattr(dense, "HEADER", HEADERS[request.param])
    _forget()
    assert dense._lane() == {"4 numbers": 4, "16 numbers": 16}.get(request.param, dense._lane())
    yield request.param
    _forget()


def _forget() -> None:
    dense._library.cache_clear()
    dense._lane.cache_clear()


def plain(x: Tensor, weights: Tensor, widths: Sequence[int], units: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """The same by torch's operations."""
    if units is not None:
        x = ((x.transpose(0, 1) - units[0]) * units[1]).clamp(-5, 5).transpose(0, 1)
    y, at = x.expand(len(weights), -1, -1), 0
    for a, b in pairwise(widths):
        weight, bias = weights[:, at : at + a * b].view(-1, a, b), weights[:, None, at + a * b : at + (a + 1) * b]
        y = torch.baddbmm(bias, F.silu(y) if at else y, weight)
        at += (a + 1) * b
    return y


def networks(agents: int, *widths: int) -> Tensor:
    layers = [torch.cat([torch.randn(agents, a * b) / a**0.5, torch.randn(agents, b)], 1) for a, b in pairwise(widths)]
    return torch.cat(layers, 1).requires_grad_()


@pytest.mark.parametrize(
    ("agents", "rows", "widths"),
    [
        (5, 512, (41, 64, 64, 3)),
        (3, 1, (13, 20, 1)),
        (2, 97, (7, 5)),
        (4, 200, (33, 48, 31, 16, 8)),
        (1, 13, (1, 1, 1)),
    ],
)
@pytest.mark.parametrize("alike", [False, True], ids=["own inputs", "common inputs"])
@pytest.mark.parametrize("standardised", [False, True], ids=["as they are", "standardised"])
def test_outputs_and_gradients_equal_the_operations(
    vectors: str, agents: int, rows: int, widths: tuple[int, ...], alike: bool, standardised: bool
) -> None:
    torch.manual_seed(0)
    weights, read = networks(agents, *widths), 1 if alike else agents
    x = (3 * torch.randn(rows, read, widths[0])).requires_grad_()  # decisions first: agents lie apart
    units = (torch.randn(read, widths[0]), 0.5 + 2 * torch.rand(read, widths[0])) if standardised else None
    ours = dense.evaluate(x.transpose(0, 1), weights, widths, units, decisions_first=rows % 2 == 0)
    theirs = plain(x.transpose(0, 1), weights, widths, units)
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    along = torch.randn_like(theirs)
    for a, b in zip(*(torch.autograd.grad(y, (x, weights), along) for y in (ours, theirs)), strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 3e-6 * (1 + b.abs().max())
    with torch.no_grad():
        assert torch.equal(dense.evaluate(x.transpose(0, 1), weights, widths, units), ours)


def test_extreme_values_pass_as_they_would() -> None:
    weights = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    sizes = torch.tensor([0.0, 1e-30, 1.0, 20.0, 87.0, 88.5, 200.0, 3e38])
    x = torch.cat([sizes, -sizes, torch.tensor([-torch.inf, torch.inf, torch.nan])]).view(1, -1, 1).requires_grad_()
    y = dense.evaluate(x, weights, (1, 1, 1))
    torch.testing.assert_close(y, F.silu(x), rtol=1e-6, atol=1e-35, equal_nan=True)
    y.sum().backward()
    slope = torch.autograd.grad(F.silu(x).sum(), x)[0]
    assert x.grad is not None
    torch.testing.assert_close(x.grad[:, :-3], slope[:, :-3], rtol=1e-6, atol=1e-35)
    nothing = dense.evaluate(x.detach(), weights, (1, 1, 1), (torch.zeros(1, 1), torch.ones(1, 1)))
    assert nothing[0, -1].isnan()  # no bound hides it


def test_at_the_bound_of_inputs_the_gradient_passes_and_beyond_it_does_not() -> None:
    x = torch.tensor([-5.0, 5.0, 5.5, -5.5, 4.5]).view(1, -1, 1).requires_grad_()
    y = dense.evaluate(x, torch.tensor([[1.0, 0.0]]), (1, 1), (torch.zeros(1, 1), torch.ones(1, 1)))
    gradient = torch.autograd.grad(y.sum(), x)[0]
    assert gradient.flatten().tolist() == [1, 1, 0, 0, 1]


def test_what_would_be_read_beyond_its_end_is_refused() -> None:
    widths = (41, 8, 3)
    weights = networks(5, *widths)
    for shape in ((5, 4, 40), (3, 4, 41), (5, 41)):
        with pytest.raises(ValueError, match=r"expected \[5 agents, or 1 for all, decisions, 41 entries\]"):
            dense.evaluate(torch.zeros(shape), weights, widths)
    with pytest.raises(ValueError, match="units have shapes"):
        dense.evaluate(torch.zeros(5, 4, 41), weights, widths, (torch.zeros(5, 40), torch.zeros(5, 40)))
    with pytest.raises(
        ValueError, match=r"weights have shape \[5, 362\]: expected one row of networks of \[41, 8, 3\]"
    ):
        dense.evaluate(torch.zeros(5, 4, 41), weights[:, 1:], widths)


def test_second_derivatives_are_refused_and_transforms_go_by_operations() -> None:
    network, x = StackedMLP(2, 3, 1, (4,), final_gain=1.0), torch.randn(5, 2, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="operation_by_operation"):
        torch.autograd.grad(network(x).sum(), x, create_graph=True)
    with dense.operation_by_operation():
        first = torch.autograd.grad(network(x).square().sum(), x, create_graph=True)[0]
    assert torch.autograd.grad(first.square().sum(), x)[0].abs().max() > 0
    there = x.detach()
    tangent = torch.func.jvp(network, (there,), (torch.ones_like(there),))[1]
    assert tangent.abs().max() > 0
    traced = make_fx(lambda z: network(z))(there)
    torch.testing.assert_close(traced(there + 1), network(there + 1), rtol=1e-5, atol=1e-6)
    with forward_ad.dual_level():
        dual = network(forward_ad.make_dual(there, torch.ones_like(there)))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, tangent)


def test_a_decision_depends_on_nothing_beside_it() -> None:
    """Not on the batch it is made in nor on the number of threads, to the last bit; nor do gradients on threads."""
    torch.manual_seed(0)
    widths, x, threads = (41, 64, 3), torch.randn(3, 1000, 41), torch.get_num_threads()
    weights = networks(3, *widths)

    def results(count: int) -> list[Tensor]:
        torch.set_num_threads(count)
        y = dense.evaluate(x, weights, widths)
        return [y, *torch.autograd.grad(y.square().sum(), weights)]

    try:
        one, two = results(1), results(2)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    for part in (slice(0, 1), slice(3, 100), slice(517, 1000)):
        assert torch.equal(dense.evaluate(x[:, part], weights, widths), one[0][:, part])


def test_arrangements_of_memory() -> None:
    """Columns apart, gradients of a sum, which lie nowhere, and weights that are views."""
    torch.manual_seed(0)
    widths = (6, 9, 4)
    weights = networks(2, *widths).detach().T.contiguous().T.requires_grad_()
    x = torch.randn(2, 6, 50).transpose(1, 2)
    ours, theirs = (torch.autograd.grad(f(x, weights, widths).sum(), weights)[0] for f in (dense.evaluate, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["own", "central"])
def test_networks_are_the_same_either_way(kind: str) -> None:
    torch.manual_seed(0)
    network = StackedMLP(4, 11, 2, (16, 16), final_gain=1.0) if kind == "own" else CentralCritic(4, 11, (16, 16))
    data = torch.randn(3, 40, 4, 11) * 4 + 1
    network.standardise(data)
    obs = data.clone().requires_grad_()
    y = network(obs)
    gradient = torch.autograd.grad(y.square().sum(), obs)[0]
    with dense.operation_by_operation():
        assert not dense.applies(obs, networks(4, 11, 2), (11, 2))
        z = network(obs)
        torch.testing.assert_close(y, z, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(gradient, torch.autograd.grad(z.square().sum(), obs)[0], rtol=1e-4, atol=1e-4)
        read = network.evaluate(network.read(obs))
    torch.testing.assert_close(network.evaluate(network.read(obs)), read, rtol=1e-5, atol=1e-5)


def test_where_it_does_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other numbers, devices that are not there, nothing at all, and machines without a compiler."""
    network, x = StackedMLP(2, 3, 1, (4,), final_gain=1.0), torch.randn(5, 2, 3)
    own, widths = network.weights, network.widths
    assert dense.applies(x, own, widths)
    assert not dense.applies(x.double(), own, widths)
    assert not dense.applies(x.to("meta"), own, widths)
    assert not dense.applies(x, own.double(), widths)
    assert not dense.applies(x, own, [3, dense.WIDEST + 1, 1])
    assert network(x[:0]).shape == (0, 2, 1)
    expected = network(x)

    def failing(source: str) -> None:
        raise build.BuildError("no C++ compiler found")

    monkeypatch.setattr(build, "load", failing)
    _forget()
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler found; networks run operation by operation"):
        assert not dense.applies(x, own, widths)
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-6)
    _forget()


def test_exploration_is_the_same_either_way() -> None:
    """A seed's run is one run, with a compiler and without, as far as rounding lets it."""
    actor, obs = GaussianActor(3, 5, 2, (8,)), torch.randn(7, 3, 5)
    learner = type("Learner", (), {"actor": actor})()
    torch.manual_seed(1)
    action, _ = Ppo.act(learner, obs)
    torch.manual_seed(1)
    with dense.operation_by_operation():
        torch.testing.assert_close(Ppo.act(learner, obs)[0], action, rtol=1e-5, atol=1e-6)
