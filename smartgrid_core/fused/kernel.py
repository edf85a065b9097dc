"""A function of tensors as one pass over the grids in C++, made from the function's own trace."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable, Sequence
from copy import copy
from itertools import accumulate, count
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from smartgrid_core.fused import build, cpp, written_out
from smartgrid_core.fused.lowering import KINDS, Array, Lowering, NotLoweredError
from smartgrid_core.fused.memory import Layout, ResultMemory
from smartgrid_core.fused.program import BOOL, FLOAT, INT, Program

GRIDS = 8191  # of the trace: a prime that is the size of nothing else
DTYPES = {FLOAT: torch.float32, INT: torch.int32, BOOL: torch.bool}


class Argument(NamedTuple):
    """A tensor the function takes."""

    dtype: torch.dtype
    axis: int | None  # that counts grids: 0, -1, or None where all share one value
    rows: tuple[int, ...]  # its shape without the grids, as it lies in memory

    def layout(self, grids: int) -> tuple[torch.Size, tuple[int, ...]]:
        """Shape, and strides where dense."""
        if self.axis is None:
            return torch.Size(self.rows), _strides(self.rows)
        shape, stride = (*self.rows, grids), _strides((*self.rows, grids))
        return (torch.Size(shape[::-1]), stride[::-1]) if self.axis == 0 else (torch.Size(shape), stride)


class Result(NamedTuple):
    """A tensor the function returns."""

    dtype: torch.dtype
    stored: tuple[int, ...]  # shape in memory, without the grids, which are last
    rows: tuple[int, ...]  # shape where rows that are alike stand for many
    axis: int  # that counts grids: 0 or -1

    def layout(self, grids: int) -> Layout:
        """Its memory, and what is returned."""
        shape, stride, public = (*self.stored, grids), _strides((*self.stored, grids)), (*self.rows, grids)
        if self.axis == 0:
            shape, stride, public = shape[::-1], stride[::-1], (grids, *self.rows[::-1])
        return Layout(shape, stride, self.dtype, public)


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Of a dense tensor."""
    return tuple(accumulate(reversed((*shape[1:], 1)), operator.mul))[::-1] if shape else ()


class Fused:
    """A compiled function.

    Args:
        function: takes nested tensors, returns nested tensors; free of host synchronisation and autograd.
        example: arguments of a call.
        axes: for every tensor of `example`, which dimension counts grids: 0, -1, or None for what all share.

    Raises:
        NotLoweredError: the function does something that has no form for one grid, or is too large to be written out.
        BuildError: no working C++ compiler.
    """

    def __init__(self, function: Callable[..., Any], example: Sequence[Any], axes: Sequence[int | None]):
        leaves, structure = pytree.tree_flatten(tuple(example))
        tensors = [x for x in leaves if x is not None]
        self.arguments = [
            Argument(x.dtype, axis, _without_grids(x.shape, axis)) for x, axis in zip(tensors, axes, strict=True)
        ]
        for argument in self.arguments:
            if argument.dtype not in DTYPES.values():
                raise NotLoweredError(f"an argument of {argument.dtype}")
        traced = [_stand_in(a) for a in self.arguments]

        self.nest: Callable[[Sequence[Tensor]], Any] = list  # what was returned; until the trace tells how

        def flat_function(*flat: Tensor) -> list[Tensor]:
            returned = function(*pytree.tree_unflatten(_filled(leaves, flat), structure))
            self.nest = _nesting(returned)
            return [x for x in pytree.tree_leaves(returned) if x is not None]

        with torch.no_grad(), written_out():
            graph = make_fx(flat_function, tracing_mode="fake", _allow_non_fake_inputs=True)(*traced)
        program = Program()
        arrays = [_rows(program, k, a) for k, a in enumerate(self.arguments)]
        outputs = Lowering(program, GRIDS).run(graph, arrays)
        self.results, written = [], []
        for values, node in zip(outputs, _returned(graph), strict=True):
            result, rows = _stored(program, values, node.meta["val"])
            self.results.append(result)
            written.append(rows)
        self.used, text = cpp.source(program, written)
        self._run = build.load(text).run
        self._run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_int]
        self._run.restype = None
        self._by_grids: dict[int, tuple[list[Any], ResultMemory]] = {}

    def __call__(self, tensors: Sequence[Tensor], grids: int) -> Any:
        """The function's value; `tensors` are those of `example`, in order.

        Raises:
            ValueError: a tensor of another shape or type than the example had.
        """
        if grids not in self._by_grids:
            expected = [(k, *self.arguments[k].layout(grids), self.arguments[k].dtype) for k in self.used]
            self._by_grids[grids] = expected, ResultMemory([r.layout(grids) for r in self.results])
        expected, memory = self._by_grids[grids]
        inputs = [
            x if (x := tensors[k]).stride() == stride and x.shape == shape and x.dtype is dtype
            else self._dense(x, k, shape)
            for k, shape, stride, dtype in expected
        ]  # fmt: skip
        outputs, targets = memory.take()
        sources = (ctypes.c_void_p * len(inputs))(*[x.data_ptr() for x in inputs])
        self._run(sources, targets, grids, torch.get_num_threads())
        return self.nest(outputs)

    def apart(self) -> Fused:
        """The same code, with memory of its own for results."""
        other = copy(self)
        other._by_grids = {}
        return other

    def placed(self, tensors: Sequence[Tensor], results: Sequence[Tensor]) -> Placed | None:
        """Calls of one grid with these arguments and results, which keep their places; None where one is not dense.

        Raises:
            ValueError: an argument of another shape or type than the example had.
        """
        sources = {k: tensors[k].data_ptr() for k in self.used}
        for k, address in sources.items():
            if self._dense(tensors[k], k, self.arguments[k].layout(1)[0]).data_ptr() != address:
                return None  # it cannot be read where it lies
        return Placed(self._run, sources, results)

    def _dense(self, x: Tensor, k: int, shape: torch.Size) -> Tensor:
        """Argument k with the grids last and dense, checked."""
        argument = self.arguments[k]
        if x.shape != shape or x.dtype is not argument.dtype:
            raise ValueError(
                f"argument {k} is {x.dtype} {tuple(x.shape)}: this kernel was made for {argument.dtype} {tuple(shape)}"
            )
        return (x.permute(*reversed(range(x.dim()))) if argument.axis == 0 else x).contiguous()


class Placed:
    """A call that finds everything where it was before."""

    def __init__(self, run: Callable[..., None], sources: dict[int, int], results: Sequence[Tensor]):
        self._run, self.place = run, {k: place for place, k in enumerate(sources)}
        self.sources = (ctypes.c_void_p * len(sources))(*sources.values())
        self._targets = (ctypes.c_void_p * len(results))(*[x.data_ptr() for x in results])

    def __call__(self) -> None:
        """Overwrite the results."""
        self._run(self.sources, self._targets, 1, 1)


def _filled(leaves: Sequence[Any], tensors: Sequence[Tensor]) -> list[Any]:
    """The leaves with other tensors; what is None stays so."""
    given = iter(tensors)
    return [None if x is None else next(given) for x in leaves]


def _nesting(example: Any) -> Callable[[Sequence[Tensor]], Any]:
    """What nests a list of tensors as those of the example are: an expression, as it stands in every step's way."""
    names: dict[str, Any] = {}
    numbers = count()

    def text(x: Any) -> str:
        if x is None or isinstance(x, Tensor):
            return "None" if x is None else f"t[{next(numbers)}]"
        if isinstance(x, dict):
            return "{" + ", ".join(f"{key!r}: {text(value)}" for key, value in x.items()) + "}"
        kind = f"{type(x).__name__}_{len(names)}"
        names[kind] = type(x)
        inner = ", ".join(text(y) for y in x)
        return f"{kind}({inner})" if hasattr(x, "_fields") else f"{kind}(({inner},))"

    return eval(f"lambda t: {text(example)}", names)


def _without_grids(shape: Sequence[int], axis: int | None) -> tuple[int, ...]:
    if axis is None:
        return tuple(shape)
    return tuple(reversed(shape[1:])) if axis == 0 else tuple(shape[:-1])


def _stand_in(argument: Argument) -> Tensor:
    """A tensor of the argument's kind for the trace."""
    if argument.axis is None:
        return torch.empty(argument.rows, dtype=argument.dtype)
    x = torch.empty((*argument.rows, GRIDS), dtype=argument.dtype)
    return x.permute(*reversed(range(x.dim()))) if argument.axis == 0 else x


def _rows(program: Program, index: int, argument: Argument) -> Array:
    """The argument's values, one entry where grids are counted."""
    uniform, kind = argument.axis is None, KINDS[argument.dtype]
    count = int(np.prod(argument.rows))
    values = [program.input(index, row, kind, uniform) for row in range(count)]
    array = np.array(values, dtype=np.int64).reshape(argument.rows)
    if uniform:
        return array
    return array[..., None].T if argument.axis == 0 else array[..., None]


def _returned(graph: fx.GraphModule) -> Any:
    return next(n for n in graph.graph.nodes if n.op == "output").args[0]


def _stored(program: Program, values: Array, traced: Tensor) -> tuple[Result, cpp.Output]:
    """Where and how a returned tensor is kept."""
    shape = tuple(traced.shape)
    if shape.count(GRIDS) != 1 or shape.index(GRIDS) not in (0, len(shape) - 1):
        raise NotLoweredError(f"a result of shape {tuple(shape)}: grids must be its first or last dimension")
    axis = 0 if shape[0] == GRIDS else -1
    rows = values.T[..., 0] if axis == 0 else values[..., 0]
    full = rows.shape
    for d in range(rows.ndim):
        first = rows.take([0], axis=d) if rows.shape[d] else rows
        if rows.shape[d] > 1 and (rows == first).all():
            rows = first
    kind = program.nodes[int(rows.flat[0])].kind if rows.size else KINDS[traced.dtype]
    if traced.dtype != DTYPES[kind]:
        raise NotLoweredError(f"a result of {traced.dtype}, of which the pass makes {DTYPES[kind]}")
    return Result(DTYPES[kind], rows.shape, full, axis), cpp.Output(kind, rows.reshape(-1).tolist())
