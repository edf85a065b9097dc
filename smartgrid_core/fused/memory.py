"""Memory of results, written again when nobody holds what was in it.

A step returns some forty tensors. To make them anew costs more than a small step itself, and the pages of large ones
have to be fetched from the system. Three sets take turns: while one is written, whoever steps still holds the last
results, in which there is the state before them. What is still held, by whatever means (a view, an array, a graph),
stays untouched: holders of its storage are counted, and other memory takes its place.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import NamedTuple

import torch
from torch import Tensor

SETS = 3
_holders: Callable[[int], int] | None = getattr(torch._C, "_storage_Use_Count", None)


class Layout(NamedTuple):
    """One result."""

    shape: tuple[int, ...]  # of its memory
    stride: tuple[int, ...]
    dtype: torch.dtype
    public: tuple[int, ...]  # shape as it is returned: where rows are alike, one in memory stands for many


class ResultMemory:
    """Tensors of the layouts, as often as they are asked for."""

    def __init__(self, layouts: Sequence[Layout]):
        self._layouts = layouts
        self._sets: list[_Set] = []  # the one given away longest ago first

    def take(self) -> tuple[list[Tensor], ctypes.Array[ctypes.c_void_p]]:
        """Tensors whose memory nobody else holds, with anything in it, and where each begins."""
        if len(self._sets) < SETS or _holders is None:
            chosen = _Set(self._layouts)
        else:
            chosen = self._sets.pop(0)
            chosen.exchange()
        if _holders is not None:
            self._sets.append(chosen)
        return [x.data for x in chosen.tensors], chosen.addresses


class _Set:
    """A tensor for every result, of which others see but the data."""

    def __init__(self, layouts: Sequence[Layout]):
        self._layouts = layouts
        self.tensors = [_fresh(layout) for layout in layouts]
        self._remember()

    def _remember(self) -> None:
        """How things stand while nobody else holds anything."""
        self._storages = [x.untyped_storage() for x in self.tensors]
        self._handles = [storage._cdata for storage in self._storages]
        self._alone = self._standing()
        self.addresses = (ctypes.c_void_p * len(self.tensors))(*self._alone[0])

    def _standing(self) -> tuple[list[int], ...]:
        """Of every tensor: where it begins, holders of its storage, and of the object that stands for that."""
        holders = [] if _holders is None else list(map(_holders, self._handles))
        return [x.data_ptr() for x in self.tensors], holders, list(map(getrefcount, self._storages))

    def exchange(self) -> None:
        """Other memory for the results that somebody holds, or has moved."""
        now = self._standing()
        if now != self._alone:
            changed = (a != b for a, b in zip(zip(*now, strict=True), zip(*self._alone, strict=True), strict=True))
            for k in [k for k, other in enumerate(changed) if other]:
                self.tensors[k] = _fresh(self._layouts[k])
            self._remember()


def _fresh(layout: Layout) -> Tensor:
    with torch.inference_mode(False):  # as it may be used again outside of it
        x = torch.empty_strided(layout.shape, layout.stride, dtype=layout.dtype, device="cpu")
        return x if layout.public == layout.shape else x.expand(layout.public)
