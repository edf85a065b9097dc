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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

from smartgrid_core.fused import build
from smartgrid_core.fused.cpp import HEADER

Layers = Sequence[tuple[Tensor, Tensor]]  # weight [N, in, out], bias [N, 1, out]
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


def applies(x: Tensor, layers: Layers) -> bool:
    """Whether inputs like these can be evaluated here: no tracer, transform or wider network than gains by it."""
    return (
        not torch.compiler.is_compiling()
        and not _PLAIN.get()
        and x.numel() > 0
        and all(_is_plain(t) and t.shape[-1] <= WIDEST for t in (x, *(p for layer in layers for p in layer)))
        and _get_current_dispatch_mode() is None
        and peek_interpreter_stack() is None
        and torch._C._get_tracing_state() is None
        and forward_ad._current_level < 0
        and _library() is not None
    )


def _is_plain(x: Tensor) -> bool:
    return type(x) in (Tensor, nn.Parameter) and x.device.type == "cpu" and x.dtype is torch.float32


def evaluate(x: Tensor, layers: Layers, units: Units | None, decisions_first: bool = False) -> Tensor:
    """Outputs [N, M, O] of N networks with SiLU between their layers.

    Args:
        x: [N, M, I], or [1, M, I] where all networks read the same; any strides.
        layers: weight [N, in, out] and bias [N, 1, out] of each.
        units: mean and inverse spread, [N, I] or [1, I], of inputs that are still to be standardised.
        decisions_first: whether the outputs lie in memory as [M, N, O].

    Raises:
        ValueError: inputs or units of other shapes than the networks read.
        RuntimeError: not enough memory; in the backward pass too, and there where second derivatives are asked for.
    """
    agents, width = layers[0][0].shape[:2]
    if x.dim() != 3 or x.shape[0] not in (1, agents) or x.shape[2] != width:
        raise ValueError(
            f"inputs have shape {list(x.shape)}: expected [{agents} agents, or 1 for all, decisions, {width} entries]"
        )
    if units is not None and any(u.shape not in ((1, width), (agents, width)) for u in units):
        raise ValueError(f"units have shapes {[list(u.shape) for u in units]}: expected [{agents} or 1, {width}]")
    parameters = [p.contiguous() for layer in layers for p in layer]
    mean, inverse = (None, None) if units is None else (u.contiguous() for u in units)
    x = x if x.stride(-1) == 1 else x.contiguous()
    if torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in parameters)):
        return _Pass.apply(x, mean, inverse, decisions_first, *parameters)  # pyright: ignore[reportReturnType]
    return _forward(x, mean, inverse, decisions_first, parameters, [])


class _Pass(torch.autograd.Function):
    """Forward and backward pass of all networks."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mean: Tensor | None, inverse: Tensor | None, decisions_first: bool, *parameters: Tensor
    ) -> Tensor:
        lane = _lane()
        kept = [x.new_empty(len(w), x.shape[1], -(-w.shape[2] // lane) * lane) for w in parameters[:-2:2]]
        ctx.save_for_backward(x, mean, inverse, *parameters, *kept)
        return _forward(x, mean, inverse, decisions_first, parameters, kept)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if torch.is_grad_enabled():
            raise RuntimeError(
                "networks in one pass have no second derivatives: take them in trainer.dense.operation_by_operation()"
            )
        by_inputs, _, _, _, *by_parameters = ctx.needs_input_grad
        x, mean, inverse, *rest = ctx.saved_tensors
        parameters, kept = rest[: len(by_parameters)], rest[len(by_parameters) :]
        dy = grad_outputs[0] if grad_outputs[0].stride(-1) == 1 else grad_outputs[0].contiguous()
        dx = x.new_empty(len(parameters[0]), *x.shape[1:]) if by_inputs else None
        call, library = _call(x, mean, inverse, parameters, kept), _library()
        gradients, sums = [], None
        if any(by_parameters):
            gradients = [torch.empty_like(p) for p in parameters]
            sums = x.new_empty(library.sums_size(ctypes.byref(call)))
        _done(library.backward(
            ctypes.byref(call), dy.data_ptr(), dy.stride(0), dy.stride(1), _address(dx), _address(sums),
            _addresses(*(g.data_ptr() for g in gradients[::2])), _addresses(*(g.data_ptr() for g in gradients[1::2])),
        ))  # fmt: skip
        if dx is not None and len(x) < len(dx):
            dx = dx.sum(0, keepdim=True)
        return dx, None, None, None, *(gradients or [None] * len(parameters))


def _forward(
    x: Tensor, mean: Tensor | None, inverse: Tensor | None, decisions_first: bool, parameters: Sequence[Tensor],
    kept: Sequence[Tensor],
) -> Tensor:  # fmt: skip
    """Outputs, and what a backward pass needs in `kept`."""
    agents, rows, outputs = len(parameters[0]), x.shape[1], parameters[-1].shape[2]
    y = x.new_empty(rows, agents, outputs).transpose(0, 1) if decisions_first else x.new_empty(agents, rows, outputs)
    call = _call(x, mean, inverse, parameters, kept)
    _done(_library().forward(ctypes.byref(call), y.data_ptr(), y.stride(0), y.stride(1)))
    return y


def _done(enough: bool) -> None:
    if not enough:
        raise RuntimeError("not enough memory for a pass through the networks")


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
    x: Tensor, mean: Tensor | None, inverse: Tensor | None, parameters: Sequence[Tensor], kept: Sequence[Tensor]
) -> _Call:
    """The arguments of a pass; the tensors must live as long."""
    widths = _widths(x.shape[2], *(b.shape[2] for b in parameters[1::2]))
    weights, biases = (_addresses(*(p.data_ptr() for p in parameters[k::2])) for k in (0, 1))
    z = _addresses(*(k.data_ptr() for k in kept))
    apart = mean is not None and len(mean) > 1
    call = _Call(
        len(parameters[0]), x.shape[1], len(parameters) // 2, torch.get_num_threads(), ctypes.addressof(widths),
        ctypes.addressof(weights), ctypes.addressof(biases), x.data_ptr(), x.stride(0) if len(x) > 1 else 0,
        x.stride(1), _address(mean), _address(inverse), x.shape[2] if apart else 0,
        ctypes.addressof(z) if kept else None,
    )  # fmt: skip
    call.alive = widths, weights, biases, z
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
    library.backward.argtypes = [pointer, pointer, long, long, *[pointer] * 4]
    library.forward.restype = library.backward.restype = ctypes.c_bool
    library.lane.restype = library.sums_size.restype = long
    return library


@cache
def _lane() -> int:
    """Numbers in a vector register, to which kept rows are padded."""
    return _library().lane()
