"""Batched AC power flow of one radial feeder: the Z-bus fixed point in real arithmetic, feature-major.

Method: V ← w − Z·conj(S/V) (Z-bus Gauss, Chen et al. 1991, doi:10.1109/61.103762; on a radial network the
same iterates as backward/forward sweeps). It is a contraction, and its solution unique, while the loads stay
below a bound on |Z|·|S|/|V|² (Bolognani & Zampieri 2016, doi:10.1109/TPWRS.2015.2395452; Wang et al. 2018,
doi:10.1109/TPWRS.2017.2751967). Beyond it a grid has collapsed: below ``v_floor_pu`` consumers act as
constant impedances, which bounds every current, so such a grid stays finite and is flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from smartgrid_core.fused import one_pass, writing_out

from .feeder import Feeder
from .networks import BranchNetwork, FoldedNetwork, Solution, register
from .reduction import reduce_feeder

_SQUARE_EPS = 1e-12  # p.u.² and kW²: gives the root a gradient at zero current and adds 1e-6 kW at most


class PowerFlowResult(NamedTuple):
    """What each grid does under its consumption. Batch-first from ``forward``; ``solve`` puts B last."""

    voltage_pu: Tensor  # [B, n] p.u. of each bus' nominal voltage; 0 where not energised
    loading: Tensor  # [B, M] the larger of the two ends' current / rating; a fraction
    loss_kw: Tensor  # [B] kW in lines and transformers, no-load losses included
    slack_kw: Tensor  # [B] kW drawn from the reference: the slack, or the unit at the busbar of an island
    converged: Tensor  # [B] bool
    residual_pu: Tensor  # [B] p.u., the reported voltages less those they were computed from
    energised: Tensor  # [B, n] bool


class PowerFlow(nn.Module):
    """Power flow of B loadings of one feeder at once; see ``forward`` for rows of data, ``solve`` for
    simulators.

    ``injection_buses``: indices of the buses that may consume or inject (default: all but the slack). The
    others are eliminated exactly (Kron reduction), so few consumers on a large feeder are cheap.
    ``iterations`` is fixed, from flat start; evaluating the outputs adds one more. 4 suffice for loaded
    low-voltage feeders, 50 with ``dtype=torch.float64`` are exact. ``tolerance`` is the residual in p.u. up
    to which a grid counts as converged, ``v_floor_pu`` the voltage below which consumers become constant
    impedances and the grid counts as collapsed. ``compile`` makes ``forward`` on a CPU, in float32 and without
    gradients, one pass over the grids in C++ whose work grows with the buses instead of their square: seconds
    when the first batch is solved, kept from run to run.
    """

    injection_index: Tensor
    from_bus: Tensor
    to_bus: Tensor
    first_row: Tensor
    second_row: Tensor
    per_rating: Tensor
    all_on: Tensor

    def __init__(
        self,
        feeder: Feeder,
        *,
        injection_buses: Sequence[int] | np.ndarray | Tensor | None = None,
        iterations: int = 4,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
        v_floor_pu: float = 0.7,
        tolerance: float = 1e-4,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if iterations < 1:
            raise ValueError(f"iterations = {iterations}, expected at least 1")
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype = {dtype}, expected torch.float32 or torch.float64")
        if not (0 < v_floor_pu < 1 and tolerance > 0):
            raise ValueError(f"v_floor_pu = {v_floor_pu}, expected 0 to 1; tolerance = {tolerance}, expected > 0")
        injections = _checked_injections(feeder, injection_buses)
        self.feeder, self.dtype = feeder, dtype
        self.iterations, self.tolerance, self.v_floor_pu = iterations, tolerance, v_floor_pu
        self.injection_buses: tuple[int, ...] = tuple(injections.tolist())
        self._all_buses = injection_buses is None
        self._compile = compile
        self._passes: dict[tuple[bool, ...], Any] = {}  # by which of the optional inputs are there
        red = reduce_feeder(feeder)
        self._single_rows = bool((red.loading_row[1] == np.arange(feeder.num_branches)).all())
        self.folded = FoldedNetwork(red, injections, feeder.v0_pu, dtype)
        self.branchwise = BranchNetwork(red, injections, feeder.slack, feeder.v0_pu, dtype)
        buffers = {
            "injection_index": injections,
            "from_bus": feeder.from_bus.copy(),
            "to_bus": feeder.to_bus.copy(),
            "first_row": red.loading_row[0],
            "second_row": red.loading_row[1],
            "per_rating": red.per_rating[:, None],
            "all_on": np.ones((feeder.num_buses, 1), dtype=bool),
        }
        register(self, buffers, dtype)
        self.to(device)

    def forward(
        self,
        p_kw: Tensor,
        q_kvar: Tensor,
        *,
        impedance_scale: Tensor | None = None,
        branch_open: Tensor | None = None,
        islanded: Tensor | None = None,
    ) -> PowerFlowResult:
        """Consumption (positive: the bus draws) per grid and bus, batch-first.

        ``p_kw``, ``q_kvar`` [B, n] in the order of ``feeder.bus_names``, the slack's column ignored; with
        ``injection_buses`` given, [B, k] in their order. ``impedance_scale`` [B] or [B, M] multiplies the
        series impedances, ``branch_open`` [B, M] bool opens branches, ``islanded`` [B] bool cuts branch 0 and
        makes its far bus the reference at v0. Large batches are solved in blocks that stay in the cache.
        Raises ValueError on shapes.
        """
        B = self._check_rows(p_kw, q_kvar, impedance_scale, branch_open, islanded)
        if self._compile:
            optional = (_last(impedance_scale), _last(branch_open), islanded)
            result = self._in_one_pass(self._columns(p_kw), self._columns(q_kvar), *optional)
            if result is not None:
                return PowerFlowResult(*(_swapped(t) for t in result))
        block = self._block_size() if p_kw.device.type == "cpu" and not torch.compiler.is_compiling() else B
        parts = []
        for start in range(0, B, block) if block < B else (0,):
            rows = slice(start, start + block)
            p, q = (self._columns(t[rows]) for t in (p_kw, q_kvar))
            scale = None if impedance_scale is None else _swapped(impedance_scale[rows])
            opened = None if branch_open is None else branch_open[rows].T
            island = None if islanded is None else islanded[rows]
            parts.append(self.solve(p, q, scale, opened, island))
        return PowerFlowResult(*(torch.cat([_swapped(t) for t in field]) for field in zip(*parts, strict=True)))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_passes": {}}  # made again where a copy solves

    def _in_one_pass(self, *given: Tensor | None) -> PowerFlowResult | None:
        """The kernel's results by the pass in C++; None where there is none for such input."""
        tensors = [t for t in given if t is not None]
        floats = all(t.dtype == self.dtype for t in tensors if t.is_floating_point())
        records = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        if tensors[0].device.type != "cpu" or self.dtype != torch.float32 or not floats or records:
            return None
        key = tuple(t is None or t.dim() == 1 for t in given[2:]) + tuple(t is None for t in given[2:])
        if key not in self._passes:
            self._passes[key] = one_pass(self.solve, given, [-1] * len(tensors))
        fused = self._passes[key]
        return None if fused is None else fused(tensors, tensors[0].shape[-1])

    def solve(
        self,
        p_kw: Tensor,
        q_kvar: Tensor,
        impedance_scale: Tensor | None = None,
        branch_open: Tensor | None = None,
        islanded: Tensor | None = None,
    ) -> PowerFlowResult:
        """The kernel, feature-major: p, q [k, B] kW and kvar drawn at ``injection_buses``; results [n, B],
        [M, B], [B].

        ``impedance_scale`` [B] or [M, B], ``branch_open`` [M, B] bool, ``islanded`` [B] bool. What is None
        costs nothing. No host synchronisation, no branch on a value: fit for
        ``torch.compile(fullgraph=True)``, CUDA graphs and gradients.

        Behind an open branch nothing is energised: consumption there counts as 0. An island's reference is
        the far bus of branch 0; what lies elsewhere is dead. Raises ValueError on shapes.
        """
        self._check_kernel(p_kw, q_kvar, impedance_scale, branch_open, islanded)
        p, q, floor = p_kw.to(self.dtype), q_kvar.to(self.dtype), self.v_floor_pu**2
        if impedance_scale is None and branch_open is None and not writing_out():
            return self._result(self.folded(p, q, islanded, self.iterations, floor))
        solution = self.branchwise(p, q, impedance_scale, branch_open, islanded, self.iterations, floor)
        return self._result(solution)

    def _result(self, solution: Solution) -> PowerFlowResult:
        n, M = self.feeder.num_buses, self.feeder.num_branches
        voltage = torch.sqrt(solution.voltage_squared[:n] + _SQUARE_EPS)
        loading = torch.sqrt(solution.current_squared + _SQUARE_EPS) * self.per_rating
        if self._single_rows:
            loading = loading[:M]
        else:
            first, second = loading.index_select(0, self.first_row), loading.index_select(0, self.second_row)
            loading = torch.maximum(first, second)
        if solution.alive is None:
            lowest, energised = voltage.amin(0), self.all_on.expand(n, voltage.shape[1])
        else:
            alive = solution.alive[:n]
            energised = alive > 0.5
            lowest = torch.where(energised, voltage, 1.0).amin(0)
            voltage = voltage * alive
            loading = loading * alive.index_select(0, self.from_bus) * alive.index_select(0, self.to_bus)
        converged = (solution.residual_pu < self.tolerance) & (lowest > self.v_floor_pu)
        return PowerFlowResult(
            voltage, loading, solution.loss_kw, solution.slack_kw, converged, solution.residual_pu, energised
        )

    def _columns(self, rows: Tensor) -> Tensor:
        """[B, n] or [B, k] → [k, B]."""
        columns = rows.T
        return columns.index_select(0, self.injection_index) if self._all_buses else columns.contiguous()

    def _block_size(self) -> int:
        """Grids a block: what keeps the working set of an iteration within a core's cache."""
        k = len(self.injection_buses)
        return 4096 if k <= 8 else 2048 if k <= 40 else 512 if k <= 80 else 256

    def _check_rows(
        self,
        p_kw: Tensor,
        q_kvar: Tensor,
        impedance_scale: Tensor | None,
        branch_open: Tensor | None,
        islanded: Tensor | None,
    ) -> int:
        columns = self.feeder.num_buses if self._all_buses else len(self.injection_buses)
        what = "bus (feeder.bus_names)" if self._all_buses else "injection bus"
        for name, t in (("p_kw", p_kw), ("q_kvar", q_kvar)):
            _check_tensor(name, t)
            if t.dim() != 2 or t.shape[1] != columns or t.shape[0] < 1:
                raise ValueError(f"{name} has shape {tuple(t.shape)}, expected [B, {columns}]: one column a {what}")
        B, M = p_kw.shape[0], self.feeder.num_branches
        if q_kvar.shape[0] != B:
            raise ValueError(f"p_kw has {B} rows, q_kvar {q_kvar.shape[0]}; expected as many")
        _check_shape("impedance_scale", impedance_scale, (B,), (B, M))
        _check_shape("branch_open", branch_open, (B, M))
        _check_shape("islanded", islanded, (B,))
        return B

    def _check_kernel(
        self,
        p_kw: Tensor,
        q_kvar: Tensor,
        impedance_scale: Tensor | None,
        branch_open: Tensor | None,
        islanded: Tensor | None,
    ) -> None:
        _check_tensor("p_kw", p_kw)
        _check_tensor("q_kvar", q_kvar)
        k, M = len(self.injection_buses), self.feeder.num_branches
        if p_kw.dim() != 2 or p_kw.shape[0] != k:
            raise ValueError(f"p_kw has shape {tuple(p_kw.shape)}, expected [{k}, B]: one row an injection bus")
        B = p_kw.shape[1]
        _check_shape("q_kvar", q_kvar, (k, B))
        _check_shape("impedance_scale", impedance_scale, (B,), (M, B))
        _check_shape("branch_open", branch_open, (M, B))
        _check_shape("islanded", islanded, (B,))


def _check_tensor(name: str, given: Any) -> None:
    if not isinstance(given, Tensor):
        raise ValueError(f"{name} is a {type(given).__name__}: expected a tensor; torch.as_tensor(…) makes one")


def _check_shape(name: str, tensor: Tensor | None, *expected: tuple[int, ...]) -> None:
    if tensor is None:
        return
    _check_tensor(name, tensor)
    if tuple(tensor.shape) not in expected:
        wanted = " or ".join(str(list(shape)) for shape in expected)
        raise ValueError(f"{name} has shape {list(tensor.shape)}, expected {wanted}")


def _last(tensor: Tensor | None) -> Tensor | None:
    """[B, M] → [M, B]."""
    return None if tensor is None else _swapped(tensor)


def _swapped(tensor: Tensor) -> Tensor:
    return tensor.T if tensor.dim() == 2 else tensor


def _checked_injections(feeder: Feeder, buses: Sequence[int] | np.ndarray | Tensor | None) -> np.ndarray:
    n = feeder.num_buses
    if buses is None:
        return np.array([i for i in range(n) if i != feeder.slack], dtype=np.int64)
    index = np.asarray(buses, dtype=np.int64).reshape(-1)
    if index.size == 0 or index.min() < 0 or index.max() >= n:
        raise ValueError(f"injection_buses = {index.tolist()}, expected indices 0 to {n - 1}, at least one")
    if len(set(index.tolist())) != index.size:
        raise ValueError(f"injection_buses = {index.tolist()} names a bus twice; add up the consumption of one bus")
    if feeder.slack in index:
        raise ValueError(f"injection_buses contains the slack bus {feeder.slack}, whose consumption loads no branch")
    return index
