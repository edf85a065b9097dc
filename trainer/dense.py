"""Many small networks at once on a CPU: all layers of a block of decisions while it lies in a core's caches.

Operation by operation, what is between two layers goes through memory, and calls take a third of a minibatch's time.
Here a forward and a backward pass are one call each (`dense.cpp`): standardised inputs, products of matrices and
activations. They are what the operations of `networks.py` compute, to rounding, as a test shows. On other devices, in
other types, while something traces them or without a compiler, those operations run instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smartgrid_core.fused import build
from smartgrid_core.fused.cpp import HEADER

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


def applies(x: Tensor) -> bool:
    """Whether inputs like these can be evaluated here."""
    return (
        type(x) in (Tensor, nn.Parameter)
        and x.device.type == "cpu"
        and x.dtype is torch.float32
        and x.numel() > 0
        and not torch.compiler.is_compiling()
        and not _PLAIN.get()
        and _library() is not None
    )


def evaluate(
    x: Tensor,
    layers: Sequence[tuple[Tensor, Tensor]],
    units: tuple[Tensor, Tensor] | None,
    decisions_first: bool = False,
) -> Tensor:
    """Outputs [N, M, O] of N networks with SiLU between their layers.

    Args:
        x: [N, M, I], or [1, M, I] where all networks read the same; any strides.
        layers: weight [N, in, out] and bias [N, 1, out] of each.
        units: mean and inverse spread, [N, I] or [1, I], of inputs that are still to be standardised.
        decisions_first: whether the outputs lie in memory as [M, N, O].
    """
    parameters = [p if p.is_contiguous() else p.contiguous() for layer in layers for p in layer]
    x = x if x.stride(-1) == 1 else x.contiguous()
    if torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in parameters)):
        return _Pass.apply(x, units, decisions_first, *parameters)  # pyright: ignore[reportReturnType]
    return _forward(x, units, decisions_first, parameters, [])


class _Pass(torch.autograd.Function):
    """Forward and backward pass of all networks."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, units: tuple[Tensor, Tensor] | None, decisions_first: bool, *parameters: Tensor
    ) -> Tensor:
        lane = _lane()
        kept = [x.new_empty(len(w), x.shape[1], -(-w.shape[2] // lane) * lane) for w in parameters[:-2:2]]
        ctx.save_for_backward(x, *parameters, *kept)
        ctx.units = units
        return _forward(x, units, decisions_first, parameters, kept)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        by_inputs, _, _, *by_parameters = ctx.needs_input_grad
        x, *rest = ctx.saved_tensors
        parameters, kept = rest[: len(by_parameters)], rest[len(by_parameters) :]
        dy = grad_outputs[0] if grad_outputs[0].stride(-1) == 1 else grad_outputs[0].contiguous()
        dx = x.new_empty(len(parameters[0]), *x.shape[1:]) if by_inputs else None
        gradients = [torch.empty_like(p) for p in parameters] if any(by_parameters) else []
        call = _call(x, ctx.units, parameters, kept)
        _library().backward(
            ctypes.byref(call), dy.data_ptr(), dy.stride(0), dy.stride(1), None if dx is None else dx.data_ptr(),
            _addresses(*(g.data_ptr() for g in gradients[::2])), _addresses(*(g.data_ptr() for g in gradients[1::2])),
        )  # fmt: skip
        if dx is not None and len(x) < len(dx):
            dx = dx.sum(0, keepdim=True)
        return dx, None, None, *(gradients or [None] * len(parameters))


def _forward(
    x: Tensor,
    units: tuple[Tensor, Tensor] | None,
    decisions_first: bool,
    parameters: Sequence[Tensor],
    kept: Sequence[Tensor],
) -> Tensor:
    """Outputs, and what a backward pass needs in `kept`."""
    agents, rows, outputs = len(parameters[0]), x.shape[1], parameters[-1].shape[2]
    y = x.new_empty(rows, agents, outputs).transpose(0, 1) if decisions_first else x.new_empty(agents, rows, outputs)
    call = _call(x, units, parameters, kept)
    _library().forward(ctypes.byref(call), y.data_ptr(), y.stride(0), y.stride(1))
    return y


class _Call(ctypes.Structure):
    """`Call` of dense.cpp."""

    _fields_ = (
        *((name, ctypes.c_long) for name in ("agents", "rows", "layers", "threads")),
        *((name, ctypes.c_void_p) for name in ("widths", "weight", "bias", "x")),
        *((name, ctypes.c_long) for name in ("x_agent", "x_row")),
        *((name, ctypes.c_void_p) for name in ("mean", "inverse")),
        ("mean_agent", ctypes.c_long),
        ("z", ctypes.c_void_p),
    )


def _call(
    x: Tensor, units: tuple[Tensor, Tensor] | None, parameters: Sequence[Tensor], kept: Sequence[Tensor]
) -> _Call:
    """The arguments of a pass; the tensors must live as long."""
    widths = _widths(x.shape[2], *(b.shape[2] for b in parameters[1::2]))
    weights, biases = (_addresses(*(p.data_ptr() for p in parameters[k::2])) for k in (0, 1))
    z = _addresses(*(k.data_ptr() for k in kept))
    mean, inverse = (None, None) if units is None else (t.data_ptr() for t in units)
    apart = units is not None and len(units[0]) > 1
    call = _Call(
        len(parameters[0]), x.shape[1], len(parameters) // 2, torch.get_num_threads(), ctypes.addressof(widths),
        ctypes.addressof(weights), ctypes.addressof(biases), x.data_ptr(), x.stride(0) if len(x) > 1 else 0,
        x.stride(1), mean, inverse, x.shape[2] if apart else 0, ctypes.addressof(z) if kept else None,
    )  # fmt: skip
    call.alive = widths, weights, biases, z
    return call


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
    except build.BuildError:
        return None
    pointer, long = ctypes.c_void_p, ctypes.c_long
    library.forward.argtypes = [pointer, pointer, long, long]
    library.backward.argtypes = [pointer, pointer, long, long, pointer, pointer, pointer]
    library.forward.restype = library.backward.restype = None
    library.lane.restype = long
    return library


@cache
def _lane() -> int:
    """Numbers in a vector register, to which kept rows are padded."""
    return _library().lane()
