"""From a traced graph of tensor operations to the arithmetic of one grid.

A tensor becomes an array of values, in which the dimension that counts grids has one entry: every grid does the same.
Views, gathers by constant indices, stacking and expanding are then arrangements of numbers and cost nothing at run
time; sums and products are written out.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from smartgrid_core.fused.program import BOOL, FLOAT, INT, Program

Array = np.ndarray  # of numbers of values
MAX_VALUES = 60_000  # of a program: a minute of compilation
KINDS = {torch.float32: FLOAT, torch.int32: INT, torch.bool: BOOL, torch.int64: INT}  # 64 bits within a step only
aten = torch.ops.aten


class NotLoweredError(Exception):
    """The graph has something that has no form for one grid; the message says what."""


class Lowering:
    """Interprets a graph of aten operations over arrays of values."""

    def __init__(self, program: Program, batch: int):
        self.program, self.batch = program, batch

    def run(self, module: fx.GraphModule, inputs: Sequence[Array | None]) -> Any:
        """The graph's outputs, nested as it returns them, tensors as arrays.

        Raises:
            NotLoweredError: an operation, or a type, without a form here.
        """
        known: dict[fx.Node, Any] = {}
        given = iter(inputs)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                known[node] = next(given)
            elif node.op == "get_attr":
                known[node] = self.constants(getattr(module, node.target))
            elif node.op == "output":
                return map_arg(node.args[0], lambda n: known[n])
            else:
                args, kwargs = (map_arg(x, lambda n: known[n]) for x in (node.args, node.kwargs))
                known[node] = self._call(node, args, kwargs)
                if len(self.program.nodes) > MAX_VALUES:
                    raise NotLoweredError(f"more than {MAX_VALUES} values, too many to be written out")
        raise NotLoweredError("a graph without output")

    def _call(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        if node.target is operator.getitem:
            return args[0][args[1]]
        form = FORMS.get(node.target)
        if form is None:
            raise NotLoweredError(f"{node.target}")
        return form(self, *args, **kwargs)

    # Arrays ---------------------------------------------------------------------------------------------

    def constants(self, tensor: Tensor) -> Array:
        """A tensor known now."""
        kind = FLOAT if tensor.is_floating_point() else BOOL if tensor.dtype == torch.bool else INT
        values = [self.program.constant(v, kind) for v in tensor.reshape(-1).tolist()]
        return np.array(values, dtype=np.int64).reshape(tensor.shape)

    def filled(self, shape: Sequence[int], value: Any, kind: str) -> Array:
        """The same constant everywhere."""
        return np.full(self.sizes(shape), self.program.constant(value, kind), dtype=np.int64)

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A shape in which grids count as one."""
        if any(s > self.batch and s % self.batch == 0 for s in shape):
            raise NotLoweredError(f"shape {tuple(shape)} mixes grids with something else")
        return tuple(1 if s == self.batch else s for s in shape)

    def kind(self, x: Array) -> str:
        """FLOAT, INT or BOOL."""
        return self.program.nodes[int(x.flat[0])].kind if x.size else FLOAT

    def as_array(self, x: Any, kind: str) -> Array:
        """An array, or a Python number as one."""
        return x if isinstance(x, np.ndarray) else np.array(self.program.constant(x, kind))

    def each(self, op: str, *args: Array) -> Array:
        """An operation on every entry, broadcast."""
        arrays = np.broadcast_arrays(*args)
        entries = zip(*(a.reshape(-1).tolist() for a in arrays), strict=True)
        return np.array([self.program.make(op, *e) for e in entries], dtype=np.int64).reshape(arrays[0].shape)

    def binary(self, op: str, a: Any, b: Any) -> Array:
        """Arithmetic on tensors and numbers; mixed kinds meet at the higher one."""
        order = (BOOL, INT, FLOAT)
        kinds = [self.kind(x) if isinstance(x, np.ndarray) else _number_kind(x) for x in (a, b)]
        kind = max(kinds, key=order.index)
        a, b = self.convert(self.as_array(a, kind), kind), self.convert(self.as_array(b, kind), kind)
        if kind == BOOL:
            op = {"mul": "and", "min": "and", "max": "or"}.get(op, op)
        return self.each(op, a, b)

    def convert(self, x: Array, kind: str) -> Array:
        """Entries as another kind."""
        own = self.kind(x)
        if own == kind or not x.size:
            return x
        if kind == BOOL:
            return self.each("not", self.each("eq", x, self.as_array(0, own)))
        return self.each(f"to_{kind}", x)

    def reduce(
        self, op: str, x: Array, dims: Sequence[int] | int | None, keepdim: bool = False, nothing: Array | None = None
    ) -> Array:
        """Fold dimensions by an operation, in order; of nothing it makes `nothing`."""
        axes = tuple(range(x.ndim)) if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
        axes = tuple(a % x.ndim for a in axes)
        moved = np.moveaxis(x, axes, range(len(axes))).reshape(-1, *(s for i, s in enumerate(x.shape) if i not in axes))
        if not len(moved):
            if nothing is None:
                raise NotLoweredError(f"{op} of nothing")
            moved = np.broadcast_to(nothing, (1, *moved.shape[1:]))
        total = moved[0]
        for part in moved[1:]:
            total = self.each(op, total, part)
        return np.expand_dims(total, axes) if keepdim else total


def _number_kind(x: Any) -> str:
    return BOOL if isinstance(x, bool) else INT if isinstance(x, int) else FLOAT


# Forms of operations ------------------------------------------------------------------------------------

Form = Callable[..., Any]


def _binary(op: str) -> Form:
    return lambda low, a, b: low.binary(op, a, b)


def _sum_of(low: Lowering, a: Array, b: Any, alpha: float = 1) -> Array:
    return low.binary("add", a, b if alpha == 1 else low.binary("mul", b, alpha))


def _difference(low: Lowering, a: Array, b: Any, alpha: float = 1) -> Array:
    return low.binary("sub", a, b if alpha == 1 else low.binary("mul", b, alpha))


def _add_in_place(low: Lowering, a: Array, b: Any, alpha: float = 1) -> Array:
    a[...] = _sum_of(low, a, b, alpha)  # arrays of views share their numbers, as tensors share memory
    return a


def _clamp(low: Lowering, x: Array, least: Any = None, most: Any = None) -> Array:
    x = x if least is None else low.binary("max", x, least)
    return x if most is None else low.binary("min", x, most)


def _clamp_in_place(low: Lowering, x: Array, least: Any = None, most: Any = None) -> Array:
    x[...] = _clamp(low, x, least, most)
    return x


def _interpolate(low: Lowering, a: Array, b: Array, weight: Any) -> Array:
    return low.binary("add", a, low.binary("mul", weight, low.binary("sub", b, a)))


def _integral(op: str) -> Form:
    return lambda low, a, b: low.each(op, low.as_array(a, INT), low.as_array(b, INT))


def _both(low: Lowering, a: Any, b: Any) -> Array:
    bools = low.kind(a if isinstance(a, np.ndarray) else b) == BOOL
    return low.each("and", a, b) if bools else _integral("bits_and")(low, a, b)


def _any(low: Lowering, x: Array, dims: Any = None, keepdim: bool = False) -> Array:
    return low.reduce("or", low.convert(x, BOOL), dims, keepdim, low.as_array(False, BOOL))


def _range(low: Lowering, *bounds: int, dtype: torch.dtype | None = None, **_: Any) -> Array:
    return low.constants(torch.arange(*bounds, dtype=dtype))


def _where(low: Lowering, mask: Array, a: Any, b: Any) -> Array:
    kind = low.kind(a) if isinstance(a, np.ndarray) else low.kind(b)
    return low.each("where", mask, low.as_array(a, kind), low.as_array(b, kind))


def _divide(low: Lowering, a: Any, b: Any) -> Array:
    a, b = (low.convert(low.as_array(x, FLOAT), FLOAT) for x in (a, b))
    if b.size == 1 and low.program.value(int(b.flat[0])):  # as torch does for a number: by its reciprocal
        inverse = 1.0 / np.float32(low.program.value(int(b.flat[0])))
        return low.each("mul", a, low.as_array(float(inverse), FLOAT))
    return low.each("div", a, b)


def _total(low: Lowering, x: Array, dims: Any = None, keepdim: bool = False, dtype: Any = None) -> Array:
    kind = KINDS[dtype] if dtype else INT if low.kind(x) == BOOL else low.kind(x)
    return low.reduce("add", low.convert(x, kind), dims or None, keepdim, low.as_array(0, kind))


def _mean(low: Lowering, x: Array, dims: Any = None, keepdim: bool = False) -> Array:
    total = low.reduce("add", x, dims or None, keepdim)
    return _divide(low, total, float(x.size // max(total.size, 1)))


def _product(low: Lowering, a: Array, b: Array) -> Array:
    """[…, i, k] × […, k, j], terms with a constant 0 left out."""
    if a.size * b.shape[-1] > MAX_VALUES:
        raise NotLoweredError(f"a product of {a.shape} and {b.shape}, too large to be written out")
    out = np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), dtype=np.int64)
    for index in np.ndindex(*out.shape):
        *lead, i, j = index
        total: Any = low.program.constant(0.0, FLOAT)
        for x, y in zip(a[(*lead, i)].tolist(), b[(*lead, slice(None), j)].tolist(), strict=True):
            total = low.program.make("add", total, low.program.make("mul", x, y))
        out[index] = total
    return out


def _affine(low: Lowering, x: Array, a: Array, b: Array, beta: float = 1, alpha: float = 1) -> Array:
    x = x if beta == 1 else low.binary("mul", x, beta)
    return _sum_of(low, x, _product(low, a, b), alpha)


def _indices(low: Lowering, index: Array) -> Array:
    known = [low.program.value(int(i)) for i in index.flat]
    if any(k is None for k in known):
        raise NotLoweredError("a gather whose indices or table are not constant")
    return np.array(known, dtype=np.int64).reshape(index.shape)


def _index_select(low: Lowering, x: Array, dim: int, index: Array) -> Array:
    if x.ndim == 1 and any(low.program.value(int(i)) is None for i in index.flat):
        table = _indices(low, x)
        return np.array([low.program.look_up(table, i) for i in index.tolist()], dtype=np.int64)
    return np.take(x, _indices(low, index), axis=dim)


def _index_add(low: Lowering, x: Array, dim: int, index: Array, source: Array) -> Array:
    out = np.moveaxis(x.copy(), dim, 0)
    for k, row in zip(_indices(low, index).tolist(), np.moveaxis(source, dim, 0), strict=True):
        out[k] = low.binary("add", out[k], row)
    return np.moveaxis(out, 0, dim)


def _slice(low: Lowering, x: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1):
    cut: list[Any] = [slice(None)] * x.ndim
    cut[dim] = slice(start, None if end is not None and end >= 2**62 else end, step)
    return x[tuple(cut)]


def _expand(low: Lowering, x: Array, sizes: Sequence[int]) -> Array:
    sizes = low.sizes(sizes)
    own = (1,) * (len(sizes) - x.ndim) + x.shape
    return np.broadcast_to(x, [o if s == -1 else s for s, o in zip(sizes, own, strict=True)])


def _to_copy(low: Lowering, x: Array, dtype: torch.dtype | None = None, **_: Any) -> Array:
    if dtype is not None and dtype not in KINDS:
        raise NotLoweredError(f"{dtype}")
    return x.copy() if dtype is None else low.convert(x, KINDS[dtype]).copy()


def _like(value: float) -> Form:
    return lambda low, x, dtype=None, **_: low.filled(x.shape, value, KINDS[dtype] if dtype else low.kind(x))


def _full(low: Lowering, sizes: Sequence[int], value: Any, dtype: torch.dtype | None = None, **_: Any) -> Array:
    return low.filled(sizes, value, KINDS[dtype] if dtype else _number_kind(value))


def _new(value: float) -> Form:
    return lambda low, x, sizes, dtype=None, **_: low.filled(sizes, value, KINDS[dtype] if dtype else low.kind(x))


def _scalar(low: Lowering, value: Any, dtype: torch.dtype = torch.float32, **_: Any) -> Array:
    return np.array(low.program.constant(value, KINDS[dtype]))


def _swapped(op: str) -> Form:
    return lambda low, a, b: low.binary(op, b, a)


def _inverted(op: str) -> Form:
    return lambda low, a, b: low.each("not", low.binary(op, a, b))


FORMS: dict[Any, Form] = {
    aten.add.Tensor: _sum_of,
    aten.add.Scalar: _sum_of,
    aten.add_.Tensor: _add_in_place,
    aten.sub.Tensor: _difference,
    aten.rsub.Scalar: lambda low, a, b, alpha=1: low.binary("sub", b, a if alpha == 1 else low.binary("mul", a, alpha)),
    aten.mul.Tensor: _binary("mul"),
    aten.mul.Scalar: _binary("mul"),
    aten.div.Tensor: _divide,
    aten.div.Scalar: _divide,
    aten.neg.default: lambda low, x: low.each("neg", x),
    aten.abs.default: lambda low, x: low.each("abs", x),
    aten.sqrt.default: lambda low, x: low.each("sqrt", x),
    aten.reciprocal.default: lambda low, x: low.each("div", low.as_array(1.0, FLOAT), x),
    aten.addcmul.default: lambda low, x, a, b, value=1: _sum_of(low, x, low.binary("mul", a, b), value),
    aten.minimum.default: _binary("min"),
    aten.maximum.default: _binary("max"),
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _binary("max"),
    aten.clamp_min.Tensor: _binary("max"),
    aten.clamp_max.default: _binary("min"),
    aten.clamp_max.Tensor: _binary("min"),
    aten.where.self: _where,
    aten.lt.Scalar: _binary("lt"),
    aten.lt.Tensor: _binary("lt"),
    aten.le.Scalar: _binary("le"),
    aten.le.Tensor: _binary("le"),
    aten.gt.Scalar: _swapped("lt"),
    aten.gt.Tensor: _swapped("lt"),
    aten.ge.Scalar: _swapped("le"),
    aten.ge.Tensor: _swapped("le"),
    aten.eq.Scalar: _binary("eq"),
    aten.eq.Tensor: _binary("eq"),
    aten.ne.Scalar: _inverted("eq"),
    aten.ne.Tensor: _inverted("eq"),
    aten.bitwise_not.default: lambda low, x: low.each("not", x),
    aten.logical_not.default: lambda low, x: low.each("not", x),
    aten.bitwise_and.Tensor: _both,
    aten.bitwise_and.Scalar: _both,
    aten.bitwise_or.Tensor: _binary("or"),
    aten.bitwise_xor.Tensor: _integral("bits_xor"),
    aten.bitwise_xor.Scalar: _integral("bits_xor"),
    aten.__rshift__.Scalar: _integral("shift_right"),
    aten.bitwise_right_shift.Tensor_Scalar: _integral("shift_right"),
    aten.remainder.Scalar: lambda low, a, b: low.each("mod", a, low.as_array(b, INT)),
    aten.floor.default: lambda low, x: low.each("floor", x),
    aten.round.default: lambda low, x: low.each("round", x),
    aten.lerp.Tensor: _interpolate,
    aten.any.dim: _any,
    aten.any.dims: _any,
    aten.any.default: _any,
    aten.arange.default: _range,
    aten.arange.start: _range,
    aten.clamp_.default: _clamp_in_place,
    aten.logical_and.default: _binary("and"),
    aten.sum.dim_IntList: _total,
    aten.mean.dim: _mean,
    aten.amax.default: lambda low, x, dims=None, keepdim=False: low.reduce("max", x, dims or None, keepdim),
    aten.amin.default: lambda low, x, dims=None, keepdim=False: low.reduce("min", x, dims or None, keepdim),
    aten.mm.default: _product,
    aten.bmm.default: _product,
    aten.addmm.default: _affine,
    aten.index_select.default: _index_select,
    aten.index_add.default: _index_add,
    aten.permute.default: lambda low, x, dims: np.transpose(x, dims),
    aten.transpose.int: lambda low, x, a, b: np.swapaxes(x, a, b),
    aten.t.default: lambda low, x: x.T,
    aten.view.default: lambda low, x, sizes: x.reshape(low.sizes(sizes)),
    aten.reshape.default: lambda low, x, sizes: x.reshape(low.sizes(sizes)),
    aten._unsafe_view.default: lambda low, x, sizes: x.reshape(low.sizes(sizes)),
    aten.expand.default: _expand,
    aten.unsqueeze.default: lambda low, x, dim: np.expand_dims(x, dim if dim >= 0 else x.ndim + 1 + dim),
    aten.squeeze.dim: lambda low, x, dim: np.squeeze(x, dim),
    aten.select.int: lambda low, x, dim, index: np.asarray(np.moveaxis(x, dim, 0)[index]),
    aten.slice.Tensor: _slice,
    aten.unbind.int: lambda low, x, dim=0: [np.asarray(y) for y in np.moveaxis(x, dim, 0)],
    aten.split_with_sizes.default: lambda low, x, sizes, dim=0: np.split(x, np.cumsum(sizes)[:-1], axis=dim),
    aten.stack.default: lambda low, xs, dim=0: np.stack(np.broadcast_arrays(*xs), axis=dim),
    aten.cat.default: lambda low, xs, dim=0: np.concatenate(xs, axis=dim),
    aten.clone.default: lambda low, x, **_: x.copy(),
    aten.detach.default: lambda low, x: x,
    aten.alias.default: lambda low, x: x,
    aten._to_copy.default: _to_copy,
    aten.zeros_like.default: _like(0),
    aten.ones_like.default: _like(1),
    aten.full_like.default: lambda low, x, value, **kw: _like(value)(low, x, **kw),
    aten.new_zeros.default: _new(0),
    aten.new_ones.default: _new(1),
    aten.full.default: _full,
    aten.zeros.default: lambda low, sizes, **kw: _full(low, sizes, 0.0, **kw),
    aten.ones.default: lambda low, sizes, **kw: _full(low, sizes, 1.0, **kw),
    aten.scalar_tensor.default: _scalar,
}
