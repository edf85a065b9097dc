"""In C++: memory moved into the layout a step works in: windows of profiles read, actions turned."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from smartgrid_core.fused import build
from smartgrid_core.fused.cpp import HEADER

Reader = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], None]


TYPES = (torch.int32, torch.int32, torch.int32, torch.float32, torch.float32)


@cache
def reader() -> Reader | None:
    """What fills windows, compiled when first asked for; None where there is no working compiler."""
    library = _library()
    if library is None:
        return None
    run = library.run
    run.argtypes = [ctypes.c_void_p] * 7 + [ctypes.c_long] * 4 + [ctypes.c_int]
    run.restype = None

    def read(
        out: Tensor, table: Tensor, first: Tensor, then: Tensor, switch: Tensor, scale: Tensor, scale_then: Tensor
    ) -> None:
        for x, dtype in zip((first, then, switch, scale, scale_then), TYPES, strict=True):
            if x.dtype is not dtype:
                raise ValueError(f"read_windows was given {x.dtype} where it takes {dtype}")
        dense = [x.contiguous() for x in (first, then, switch, scale, scale_then)]
        pointers = [x.data_ptr() for x in (out, table, *dense)]
        run(*pointers, out.shape[0], table.shape[1], *first.shape, torch.get_num_threads())

    return read


def turned(action: Tensor, out: Tensor) -> Tensor:
    """Actions [B, N, A] written to `out` [A, N, B], dense float32 like it."""
    library, (grids, agents, width) = _library(), action.shape
    if library is None or action.dtype is not torch.float32 or not action.is_contiguous():
        return out.copy_(action.permute(2, 1, 0))
    library.turn(out.data_ptr(), action.data_ptr(), agents, width, grids, torch.get_num_threads())
    return out


@cache
def _library() -> ctypes.CDLL | None:
    """`layout.cpp`, compiled when first asked for; None where there is no working compiler."""
    source = (Path(__file__).parent / "layout.cpp").read_text(encoding="utf-8")
    try:
        library = build.load(source.replace('#include "vector.h"', HEADER))
    except build.BuildError:
        return None
    library.turn.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 3 + [ctypes.c_int]
    library.turn.restype = None
    return library
