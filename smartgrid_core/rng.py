"""Counter-based random numbers: a value is a hash of (grid key, counters), never of what was drawn before.

So grid k sees the same numbers whatever batch, chunk or rank holds it, and drawing needs no generator state.
The mixer is the 32-bit "lowbias32" finaliser family (C. Wellons, *Prospecting for Hash Functions*, 2018),
applied once per counter; uniforms use its upper 24 bits, as many as a float32 holds exactly.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

_MASK32 = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9  # 2^32 / φ: spreads consecutive counters
_ROWS_PER_STREAM = 1 << 20


class Stream(IntEnum):
    """What a random number is for; two streams never share a number."""

    PARAMETERS = 1
    START = 2
    DEMAND_COLUMN = 3
    GENERATION_COLUMN = 4
    INITIAL_SOC = 5
    DEMAND_JITTER = 6
    GENERATION_JITTER = 7
    EVENT = 8
    STAGGER = 9
    POLICY = 10


def _signed(value: int) -> int:
    value &= _MASK32
    return value - (1 << 32) if value >= 1 << 31 else value


_MULTIPLIER_1, _MULTIPLIER_2 = _signed(0x7FEB352D), _signed(0x846CA68B)


def _mix(h: Tensor) -> Tensor:
    """Finaliser on int32 tensors; shifts are logical, multiplication wraps."""
    h = h ^ ((h >> 16) & 0xFFFF)
    h = h * _MULTIPLIER_1
    h = h ^ ((h >> 15) & 0x1FFFF)
    h = h * _MULTIPLIER_2
    return h ^ ((h >> 16) & 0xFFFF)


def grid_keys(seeds: Tensor, grid_ids: Tensor) -> Tensor:
    """Key of each grid from its run seed and its global id, both int64 [B] -> int32 [B]."""
    low, high = (seeds & 0x7FFFFFFF).int(), ((seeds >> 31) & 0x7FFFFFFF).int()
    return _mix(_mix(_mix(low + _signed(_GOLDEN)) ^ high) ^ grid_ids.int())


def combine(key: Tensor, counter: Tensor | int) -> Tensor:
    """A new key from a key and a counter (int32, broadcast)."""
    if isinstance(counter, int):
        return _mix(key ^ _signed(counter * _GOLDEN))
    return _mix(key ^ (counter.int() * _signed(_GOLDEN)))


def rows(stream: Stream, count: int) -> Tensor:
    """Row counters of a stream, int32 [count]; rows of several streams may be concatenated into one draw."""
    if count >= _ROWS_PER_STREAM:
        raise ValueError(f"{count} rows exceed the {_ROWS_PER_STREAM} a stream has")
    return torch.arange(count, dtype=torch.int32) + int(stream) * _ROWS_PER_STREAM


def uniform(key: Tensor, rows: Tensor) -> Tensor:
    """Uniform numbers in [0, 1): one per row and grid.

    Args:
        key: int32 [B], the grids' keys (already combined with the episode where that matters).
        rows: int32 [R] from `rows`.

    Returns:
        float32 [R, B].
    """
    h = combine(key[None, :], rows[:, None])
    return ((h >> 8) & 0xFFFFFF).float() * (1.0 / (1 << 24))


def integers(u: Tensor, bound: int) -> Tensor:
    """Whole numbers in [0, bound) from uniforms, int64."""
    return (u * bound).long().clamp_(max=bound - 1) if bound < 1 << 24 else (u.double() * bound).long()


def between(u: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Uniform numbers in [low, high]."""
    return low + u * (high - low)
