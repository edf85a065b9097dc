"""The two ways a loading meets the network: constants folded into one matrix, or branch by branch.

Both take consumption p, q [k, B] in kW and kvar and return a :class:`Solution`. Voltages and currents inside
are real tensors [2, rows, B]: real parts, then imaginary parts. Nodes, series branches and terminals: see
``reduction``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from smartgrid_core.fused import writing_out

from .feeder import Array, ComplexArray
from .reduction import Reduction
from .tree import Tree


class Solution(NamedTuple):
    """Squares instead of magnitudes: the caller takes the root where it needs one."""

    voltage_squared: Tensor  # [N, B] p.u.²
    current_squared: Tensor  # [E + C, B] kW² per p.u.²
    loss_kw: Tensor  # [B]
    slack_kw: Tensor  # [B]
    residual_pu: Tensor  # [B]
    alive: Tensor | None  # [N, B] 1 where energised, else 0; None: everything is


def load_current(p: Tensor, q: Tensor, v: Tensor, floor_squared: float) -> Tensor:
    """I = conj(S / V) [2, k, B]; below the floor the impedance that draws S at the floor."""
    vr, vi = v.unbind(0)
    per_square = torch.addcmul(vr * vr, vi, vi).clamp_min(floor_squared).reciprocal()
    a, b = p * per_square, q * per_square
    return torch.stack((torch.addcmul(a * vr, b, vi), torch.addcmul(a * vi, b, vr, value=-1.0)))


def _affine(offset: Tensor, matrix: Tensor, x: Tensor) -> Tensor:
    """offset [R, 1] + matrix [R, K] @ x [K, B]; addmm would first copy the offset to every column."""
    return (matrix @ x).add_(offset)


class FoldedNetwork(nn.Module):
    """The feeder's own impedances: voltages and all outputs are constant affine maps of the consumers'
    currents.

    An island is a rank-one change of those maps: an ideal source forced at the busbar, which parts the
    network exactly.
    """

    z_iterate: Tensor  # [2k, 2k]
    w_iterate: Tensor  # [2k, 1]
    h_iterate: Tensor  # [2k, 2]
    z_first: Tensor  # [2k, 2k]
    z_busbar: Tensor  # [2, 2k]
    z_busbar_first: Tensor  # [2, 2k]
    w_busbar: Tensor  # [2, 1]
    source_pu: Tensor  # [2, 1]
    z_output: Tensor  # [2R, 2k]
    w_output: Tensor  # [2R, 1]
    h_output: Tensor  # [2R, 2]
    loss_weight: Tensor  # [2, N + E] grid, island
    behind: Tensor  # [N, 1]
    injection_node: Tensor  # [k]

    def __init__(self, reduction: Reduction, injections: np.ndarray, v0_pu: float, dtype: torch.dtype) -> None:
        super().__init__()
        red, busbar = reduction, reduction.busbar
        self.nodes, self.series, self.terminals = red.nodes, red.series, len(red.terminal_series)
        self.v0_pu = v0_pu
        z_out = red.z_out[:, injections]
        whole = np.concatenate([red.y.real, red.z.real])
        buffers = {
            "z_iterate": _stacked(-z_out[injections]),
            "w_iterate": _stacked(red.w_out[injections][:, None])[:, :1],
            "h_iterate": _stacked(red.h_out[injections][:, None]),
            "z_first": _of_conjugate(-z_out[injections] / red.w_out[injections].conj()),
            "z_busbar": _stacked(-z_out[[busbar]]),
            "z_busbar_first": _of_conjugate(-z_out[[busbar]] / red.w_out[injections].conj()),
            "w_busbar": _stacked(red.w_out[[busbar]][:, None])[:, :1],
            "source_pu": np.array([[v0_pu], [0.0]]),
            "z_output": _stacked(-z_out),
            "w_output": _stacked(red.w_out[:, None])[:, :1],
            "h_output": _stacked(red.h_out[:, None]),
            "loss_weight": np.stack([whole, whole * np.concatenate([red.behind, red.inside])]),
            "behind": red.behind[:, None].astype(float),
            "injection_node": injections,
        }
        register(self, buffers, dtype)
        self.injections: list[int] = injections.tolist()
        self.contiguous = self.injections == list(range(self.injections[0], self.injections[-1] + 1))
        self.all_behind = bool(red.behind[injections].all())

    def forward(self, p: Tensor, q: Tensor, islanded: Tensor | None, iterations: int, floor_squared: float) -> Solution:
        """``islanded`` [B] bool or None."""
        B = p.shape[1]
        island = None if islanded is None else islanded.to(p.dtype)[None]
        if island is not None and not self.all_behind:
            lost = 1.0 - self.behind.index_select(0, self.injection_node)
            p, q = p - p * lost * island, q - q * lost * island
        # at the flat start the currents are linear in p and q, so the first iteration is one product
        power = torch.cat((p, q))
        v = _affine(self.w_iterate, self.z_first, power)
        if island is not None:
            busbar = _affine(self.w_busbar, self.z_busbar_first, power)
            v = torch.addmm(v, self.h_iterate, (self.source_pu - busbar) * island)
        for _ in range(iterations - 1):
            current, source = self._currents(p, q, v, island, floor_squared)
            v = _affine(self.w_iterate, self.z_iterate, current)
            if source is not None:
                v = torch.addmm(v, self.h_iterate, source)
        current, source = self._currents(p, q, v, island, floor_squared)
        outputs = _affine(self.w_output, self.z_output, current)
        if source is not None:
            outputs = torch.addmm(outputs, self.h_output, source)
        outputs = outputs.view(2, -1, B)
        if self.contiguous:
            reported = outputs[:, self.injections[0] : self.injections[-1] + 1]
        else:
            reported = outputs.index_select(1, self.injection_node)
        residual = (reported - v.reshape(2, -1, B)).abs().amax((0, 1))
        return self._solution(outputs, residual, island)

    def _currents(
        self, p: Tensor, q: Tensor, v: Tensor, island: Tensor | None, floor_squared: float
    ) -> tuple[Tensor, Tensor | None]:
        """The consumers' currents [2k, B], and what an island's source adds to the busbar voltage [2, B]."""
        k, B = p.shape
        current = load_current(p, q, v.reshape(2, k, B), floor_squared).view(2 * k, B)
        if island is None:
            return current, None
        busbar = _affine(self.w_busbar, self.z_busbar, current)
        return current, (self.source_pu - busbar) * island

    def _solution(self, outputs: Tensor, residual: Tensor, island: Tensor | None) -> Solution:
        real, imag = outputs.unbind(0)
        rows = self.nodes + self.series + self.terminals
        square = torch.addcmul(real[:rows] * real[:rows], imag[:rows], imag[:rows])
        loss = self.loss_weight @ square[: self.nodes + self.series]
        slack = self.v0_pu * real[rows:]
        alive = None
        if island is None:
            loss_kw, slack_kw = loss[0], slack[0]
        else:
            loss_kw, slack_kw = (
                torch.lerp(loss[0], loss[1], island[0]),
                torch.lerp(slack[0], slack[1], island[0]),
            )
            alive = 1.0 - (1.0 - self.behind) * island
        return Solution(square[: self.nodes], square[self.nodes :], loss_kw, slack_kw, residual, alive)


class BranchNetwork(nn.Module):
    """Impedances that differ from grid to grid, and open branches: currents added along the paths, drop by
    drop.

    Shunts are part of the fixed point here, at the voltage of their node, so they are exact for any impedance
    too.
    """

    path: Tensor  # [E, K] K nodes that draw current: injections, then other nodes with a shunt
    path_all: Tensor  # [E, N]
    open_path: Tensor  # [N, E]
    r: Tensor  # [E, 1]
    x: Tensor  # [E, 1]
    scale: Tensor  # [N, 1]
    g: Tensor  # [N, 1]
    shunt: Tensor  # [2, K, 1]
    terminal: Tensor  # [2, C, 1]
    behind: Tensor  # [N, 1]
    from_busbar: Tensor  # [E, 1] 1 where the series branch belongs to branch 0
    branch_of_series: Tensor  # [E]
    drawing: Tensor  # [K]
    terminal_series: Tensor  # [C]
    terminal_node: Tensor  # [C]

    def __init__(
        self, reduction: Reduction, injections: np.ndarray, slack: int, v0_pu: float, dtype: torch.dtype
    ) -> None:
        super().__init__()
        red = reduction
        others = [i for i in np.flatnonzero(red.y).tolist() if i != slack and i not in set(injections.tolist())]
        drawing = np.concatenate([injections, np.array(others, dtype=np.int64)])
        self.injections, self.others, self.busbar = len(injections), len(others), red.busbar
        self.tree, self.drawing_nodes = Tree(red.open_path), drawing.tolist()
        self.node_scale: list[float] = red.scale.tolist()
        self.has_shunts = bool((red.y[drawing] != 0).any())
        self.v0_pu, self.busbar_scale = v0_pu, float(red.scale[red.busbar])
        self.slack_shunt_kw = float(red.y[slack].real * v0_pu**2)
        buffers = {
            "path": red.weighted_path[:, drawing],
            "path_all": red.weighted_path,
            "open_path": red.open_path.T,
            "r": red.z.real[:, None],
            "x": red.z.imag[:, None],
            "scale": red.scale[:, None],
            "g": red.y.real[:, None],
            "shunt": np.stack([red.y.real[drawing], red.y.imag[drawing]])[:, :, None],
            "terminal": np.stack([red.terminal_y.real, red.terminal_y.imag])[:, :, None],
            "behind": red.behind[:, None].astype(float),
            "from_busbar": (red.branch_of_series == 0).astype(float)[:, None],
            "branch_of_series": red.branch_of_series,
            "drawing": drawing,
            "terminal_series": red.terminal_series,
            "terminal_node": red.terminal_node,
        }
        register(self, buffers, dtype)

    def forward(
        self,
        p: Tensor,
        q: Tensor,
        impedance_scale: Tensor | None,
        branch_open: Tensor | None,
        islanded: Tensor | None,
        iterations: int,
        floor_squared: float,
    ) -> Solution:
        """``impedance_scale`` [B] or [M, B], ``branch_open`` [M, B] bool, ``islanded`` [B] bool; or None."""
        island = None if islanded is None else islanded.to(p.dtype)[None]
        alive = self._alive(branch_open, island)
        alive_drawing = None if alive is None else alive.index_select(0, self.drawing)
        r, x = self._impedances(impedance_scale, island)
        # the reference's voltage, referred to the slack side [1, B] or a number
        reference = self.v0_pu if island is None else self.v0_pu * (1.0 + (1.0 / self.busbar_scale - 1.0) * island)
        flat = (self.scale * reference).index_select(0, self.drawing)
        flat = torch.stack((flat, torch.zeros_like(flat)))
        v = flat.expand(2, -1, p.shape[1])
        for _ in range(iterations):
            branch = self._below(self._currents(p, q, v, alive_drawing, floor_squared))
            v = flat - self._along(_times(r, x, branch), self.path, self.drawing_nodes)
        current = self._currents(p, q, v, alive_drawing, floor_squared)
        branch = self._below(current)
        drop_r, drop_i = self._along(_times(r, x, branch), self.path_all, range(self.tree.nodes)).unbind(0)
        v_all = torch.stack((self.scale * reference - drop_r, -drop_i))
        residual = (v_all.index_select(1, self.drawing) - v).abs().amax((0, 1))
        return self._solution(v_all, current, branch, r, reference, residual, alive, island)

    def _below(self, current: Tensor) -> Tensor:
        """Currents of the series branches [2, E, B] from those of the drawing nodes [2, K, B]."""
        if not writing_out():
            return torch.matmul(self.path, current)
        drawn: list[Tensor | None] = [None] * self.tree.nodes
        for k, node in enumerate(self.drawing_nodes):
            drawn[node] = current[:, k] * self.node_scale[node]
        nothing = torch.zeros_like(current[:, 0])
        return torch.stack([nothing if row is None else row for row in self.tree.below(drawn)], 1)

    def _along(self, drop: Tensor, path: Tensor, nodes: Iterable[int]) -> Tensor:
        """Drops [2, E, B] added up on the way to nodes [2, K, B], those of the columns of `path`."""
        if not writing_out():
            return torch.matmul(path.T, drop)
        sums, nothing = self.tree.along(drop.unbind(1)), torch.zeros_like(drop[:, 0])
        rows = ((sums[node], self.node_scale[node]) for node in nodes)
        return torch.stack([nothing if row is None else row * scale for row, scale in rows], 1)

    def _alive(self, branch_open: Tensor | None, island: Tensor | None) -> Tensor | None:
        """[N, B] 1 where the node is energised; None where nothing can be cut off."""
        alive = None
        if branch_open is not None:
            is_open = branch_open.to(self.r.dtype).index_select(0, self.branch_of_series)
            if island is not None:  # the cut comes first: branch 0 no longer feeds anything
                is_open = is_open * (1.0 - self.from_busbar * island)
            alive = (self.open_path @ is_open < 0.5).to(self.r.dtype)
        if island is not None:
            kept = 1.0 - (1.0 - self.behind) * island
            alive = kept if alive is None else alive * kept
        return alive

    def _impedances(self, impedance_scale: Tensor | None, island: Tensor | None) -> tuple[Tensor, Tensor]:
        """r, x [E, 1 or B]; nothing drops upstream of an island's busbar."""
        r, x = self.r, self.x
        if impedance_scale is not None:
            factor = impedance_scale.to(r.dtype)
            factor = factor[None] if factor.dim() == 1 else factor.index_select(0, self.branch_of_series)
            r, x = r * factor, x * factor
        if island is not None:
            upstream = self.open_path[self.busbar][:, None]
            connected = 1.0 - upstream * island
            r, x = r * connected, x * connected
        return r, x

    def _currents(self, p: Tensor, q: Tensor, v: Tensor, alive: Tensor | None, floor_squared: float) -> Tensor:
        """[2, K, B] of consumers and shunts."""
        current = load_current(p, q, v[:, : self.injections], floor_squared)
        if self.others:
            current = torch.cat((current, torch.zeros_like(v[:, self.injections :])), 1)
        if self.has_shunts:
            current = current + _times(self.shunt[0], self.shunt[1], v)
        return current if alive is None else current * alive

    def _solution(
        self,
        v: Tensor,
        current: Tensor,
        branch: Tensor,
        r: Tensor,
        reference: Tensor | float,
        residual: Tensor,
        alive: Tensor | None,
        island: Tensor | None,
    ) -> Solution:
        ends = branch
        if self.terminal_series.numel():
            at_end = _times(self.terminal[0], self.terminal[1], v.index_select(1, self.terminal_node))
            ends = torch.cat((branch, branch.index_select(1, self.terminal_series) + at_end), 1)
        v_square, i_square = (torch.addcmul(t[0] * t[0], t[1], t[1]) for t in (v, ends))
        alive_square = v_square if alive is None else v_square * alive
        loss = (r * i_square[: r.shape[0]]).sum(0) + (self.g * alive_square).sum(0)
        drawn = (self.scale.index_select(0, self.drawing) * current[0]).sum(0)
        slack_shunt = self.slack_shunt_kw if island is None else self.slack_shunt_kw * (1.0 - island)
        slack = (reference * drawn + slack_shunt).reshape(-1)
        return Solution(v_square, i_square, loss, slack, residual, alive)


def _times(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """(a + jb) v for v [2, …] of real and imaginary parts."""
    return torch.stack((a * v[0] - b * v[1], torch.addcmul(a * v[1], b, v[0])))


def _stacked(matrix: ComplexArray) -> Array:
    """A complex matrix as the real one that acts on stacked real and imaginary parts."""
    return np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])


def _of_conjugate(matrix: ComplexArray) -> Array:
    """A complex matrix as the real one that takes stacked p and q to the product with p − jq."""
    return np.block([[matrix.real, matrix.imag], [matrix.imag, -matrix.real]])


def register(module: nn.Module, arrays: dict[str, np.ndarray], dtype: torch.dtype) -> None:
    """Arrays as buffers that move with the module; floats in ``dtype``."""
    for name, array in arrays.items():
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        module.register_buffer(name, tensor.to(dtype) if tensor.is_floating_point() else tensor, persistent=False)
