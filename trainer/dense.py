"""Many small networks at once on a CPU: all layers of a block of decisions while it lies in a core's caches.

Operation by operation, what is between two layers goes through memory, and calls take a third of a minibatch's time.
Here a forward and a backward pass are one call each (`dense.cpp`): standardised inputs, products of matrices and
activations. They are what the operations of `networks.py` compute, to rounding, as a test shows. Those operations run
instead on other devices, in other types, of wide layers, while torch traces or transforms them, and, with a notice,
without a compiler. Hooks of single layers are not called.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

from smartgrid_core.fused import build
from smartgrid_core.fused.cpp import HEADER

Units = tuple[Tensor, Tensor]  # mean, inverse spread
WIDEST = 512  # what a layer reads or gives at most, where tiles of whole columns still fit the caches
_PLAIN = ContextVar("plain", default=False)


@contextmanager
def operation_by_operation() -> Iterator[None]:
    """In here networks run as torch's operations, which it can count and trace."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def prepare() -> None:
    """Compile `dense.cpp`, once a machine, while nobody waits for a decision or counts the time."""
    _library()


def applies(x: Tensor, weights: Tensor, widths: Sequence[int]) -> bool:
    """Whether inputs like these can be evaluated here: no tracer, transform or wider network than gains by it."""
    return (
        not torch.compiler.is_compiling()
        and not _PLAIN.get()
        and x.numel() > 0
        and max(widths) <= WIDEST
        and _is_plain(x)
        and _is_plain(weights)
        and _get_current_dispatch_mode() is None
        and peek_interpreter_stack() is None
        and torch._C._get_tracing_state() is None
        and forward_ad._current_level < 0
        and _library() is not None
    )


def _is_plain(x: Tensor) -> bool:
    return type(x) in (Tensor, nn.Parameter) and x.device.type == "cpu" and x.dtype is torch.float32


def evaluate(
    x: Tensor, weights: Tensor, widths: Sequence[int], units: Units | None = None, decisions_first: bool = False
) -> Tensor:
    """Outputs [N, M, O] of N networks with SiLU between their layers.

    Args:
        x: [N, M, I], or [1, M, I] where all networks read the same; any strides.
        weights: [N, P]: of each network weight [in, out] and bias [out], layer by layer.
        widths: I, of the hidden layers, O.
        units: mean and inverse spread, [N, I] or [1, I], of inputs that are still to be standardised.
        decisions_first: whether the outputs lie in memory as [M, N, O].

    Raises:
        ValueError: inputs or units of other shapes than the networks read.
        RuntimeError: not enough memory; in the backward pass too, and there where second derivatives are asked for.
    """
    agents, width = len(weights), widths[0]
    if weights.shape != (agents, sum((a + 1) * b for a, b in pairwise(widths))):
        raise ValueError(f"weights have shape {list(weights.shape)}: expected one row of networks of {list(widths)}")
    if x.dim() != 3 or x.shape[0] not in (1, agents) or x.shape[2] != width:
        raise ValueError(
            f"inputs have shape {list(x.shape)}: expected [{agents} agents, or 1 for all, decisions, {width} entries]"
        )
    if units is not None and any(u.shape not in ((1, width), (agents, width)) for u in units):
        raise ValueError(f"units have shapes {[list(u.shape) for u in units]}: expected [{agents} or 1, {width}]")
    weights = weights.contiguous()
    mean, inverse = (None, None) if units is None else (u.contiguous() for u in units)
    x = x if x.stride(-1) == 1 else x.contiguous()
    if torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad):
        return _Pass.apply(x, weights, tuple(widths), mean, inverse, decisions_first)  # pyright: ignore[reportReturnType]
    return _forward(x, weights, widths, mean, inverse, decisions_first, [])


class _Pass(torch.autograd.Function):
    """Forward and backward pass of all networks."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: Tensor, widths: tuple[int, ...], mean: Tensor | None, inverse: Tensor | None,
        decisions_first: bool,
    ) -> Tensor:  # fmt: skip
        lane = _lane()
        kept = [x.new_empty(len(weights), x.shape[1], -(-width // lane) * lane) for width in widths[1:-1]]
        ctx.save_for_backward(x, weights, mean, inverse, *kept)
        ctx.widths = widths
        return _forward(x, weights, widths, mean, inverse, decisions_first, kept)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if torch.is_grad_enabled():
            raise RuntimeError(
                "networks in one pass have no second derivatives: take them in trainer.dense.operation_by_operation()"
            )
        by_inputs, by_weights, *_ = ctx.needs_input_grad
        x, weights, mean, inverse, *kept = ctx.saved_tensors
        dy = grad_outputs[0] if grad_outputs[0].stride(-1) == 1 else grad_outputs[0].contiguous()
        dx = x.new_empty(len(weights), *x.shape[1:]) if by_inputs else None
        call, library = _call(x, weights, ctx.widths, mean, inverse, kept), _library()
        gradient, sums = None, None
        if by_weights:
            gradient, sums = torch.empty_like(weights), x.new_empty(library.sums_size(ctypes.byref(call)))
        _done(library.backward(
            ctypes.byref(call), dy.data_ptr(), dy.stride(0), dy.stride(1), _address(dx), _address(sums),
            _address(gradient),
        ))  # fmt: skip
        if dx is not None and len(x) < len(dx):
            dx = dx.sum(0, keepdim=True)
        return dx, gradient, None, None, None, None


def _forward(
    x: Tensor, weights: Tensor, widths: Sequence[int], mean: Tensor | None, inverse: Tensor | None,
    decisions_first: bool, kept: Sequence[Tensor],
) -> Tensor:  # fmt: skip
    """Outputs, and what a backward pass needs in `kept`."""
    agents, rows, outputs = len(weights), x.shape[1], widths[-1]
    y = x.new_empty(rows, agents, outputs).transpose(0, 1) if decisions_first else x.new_empty(agents, rows, outputs)
    call = _call(x, weights, widths, mean, inverse, kept)
    _done(_library().forward(ctypes.byref(call), y.data_ptr(), y.stride(0), y.stride(1)))
    return y


def _done(enough: bool) -> None:
    if not enough:
        raise RuntimeError("not enough memory for a pass through the networks")


class _Call(ctypes.Structure):
    """`Call` of dense.cpp."""

    _fields_ = (
        *((name, ctypes.c_long) for name in ("agents", "rows", "layers", "threads")),
        *((name, ctypes.c_void_p) for name in ("widths", "weights", "x")),
        *((name, ctypes.c_long) for name in ("x_agent", "x_row")),
        *((name, ctypes.c_void_p) for name in ("mean", "inverse")),
        ("mean_agent", ctypes.c_long),
        ("z", ctypes.c_void_p),
    )


def _call(
    x: Tensor, weights: Tensor, widths: Sequence[int], mean: Tensor | None, inverse: Tensor | None,
    kept: Sequence[Tensor],
) -> _Call:  # fmt: skip
    """The arguments of a pass; the tensors must live as long."""
    numbers, z = _widths(*widths), _addresses(*(k.data_ptr() for k in kept))
    apart = mean is not None and len(mean) > 1
    call = _Call(
        len(weights), x.shape[1], len(widths) - 1, torch.get_num_threads(), ctypes.addressof(numbers),
        weights.data_ptr(), x.data_ptr(), x.stride(0) if len(x) > 1 else 0, x.stride(1), _address(mean),
        _address(inverse), x.shape[2] if apart else 0, ctypes.addressof(z) if kept else None,
    )  # fmt: skip
    call.alive = numbers, z
    return call


def _address(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


@lru_cache(maxsize=1024)
def _widths(*widths: int) -> Any:
    return (ctypes.c_long * len(widths))(*widths)


@lru_cache(maxsize=1024)
def _addresses(*addresses: int) -> Any:
    return (ctypes.c_void_p * len(addresses))(*addresses) if addresses else None


@cache
def _library() -> Any:
    """`dense.cpp`, compiled when first asked for; None where there is no working compiler."""
    source = (Path(__file__).parent / "dense.cpp").read_text(encoding="utf-8")
    try:
        library = build.load(source.replace('#include "vector.h"', HEADER))
    except build.BuildError as error:
        warnings.warn(f"{error}; networks run operation by operation instead", stacklevel=4)
        return None
    pointer, long = ctypes.c_void_p, ctypes.c_long
    library.forward.argtypes = [pointer, pointer, long, long]
    library.backward.argtypes = [pointer, pointer, long, long, *[pointer] * 3]
    library.forward.restype = library.backward.restype = ctypes.c_bool
    library.lane.restype = library.sums_size.restype = long
    return library


@cache
def _lane() -> int:
    """Numbers in a vector register, to which kept rows are padded."""
    return _library().lane()
