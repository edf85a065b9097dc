"""Sums over a tree, edge by edge: what a product with a path matrix says, in as many additions as there are edges.

For kernels that hold every row in a register. As tensor operations of their own, a product is faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor


class Tree:
    """The order of a radial network.

    Args:
        open_path: [E, N] 1 where the edge lies on the way to the node.
    """

    def __init__(self, open_path: np.ndarray):
        depth = open_path.sum(0)
        self.nodes = open_path.shape[1]
        self.far = [int(min(np.flatnonzero(row), key=depth.__getitem__)) for row in open_path]  # node of each edge
        edge_of = {node: edge for edge, node in enumerate(self.far)}
        self.parent: list[int | None] = []  # edge before each edge
        for edge, node in enumerate(self.far):
            before = [e for e in np.flatnonzero(open_path[:, node]) if e != edge]
            last = max(before, key=lambda e: depth[self.far[e]], default=None)
            self.parent.append(None if last is None else edge_of[self.far[last]])
        self.outward = sorted(range(len(self.far)), key=lambda e: depth[self.far[e]])

    def below(self, rows: Sequence[Tensor | None]) -> list[Tensor | None]:
        """For every edge the sum over the nodes beyond it; None is nothing."""
        sums = [rows[node] for node in self.far]
        for edge in reversed(self.outward):
            parent = self.parent[edge]
            if parent is not None:
                sums[parent] = _sum(sums[parent], sums[edge])
        return sums

    def along(self, rows: Sequence[Tensor]) -> list[Tensor | None]:
        """For every node the sum over the edges on its way; None at the root."""
        sums: list[Tensor | None] = [None] * self.nodes
        for edge in self.outward:
            parent = self.parent[edge]
            before = None if parent is None else sums[self.far[parent]]
            sums[self.far[edge]] = _sum(before, rows[edge])
        return sums


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return a if b is None else b
    return a + b
