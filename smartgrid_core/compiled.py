"""Functions of the simulator without an interpreter between their operations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cached_property
from itertools import count
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from smartgrid_core.fused import build, one_pass
from smartgrid_core.types import Params, State

MOST_WRITTEN_OUT = 64  # prosumers of a community whose step fits into one pass, and compiles in seconds
_counter = count()


class Compiled:
    """A function of the simulator, compiled when first called.

    On a CPU it is one pass over the grids in C++, made from the function's own trace (`smartgrid_core.fused`). Where
    gradients are recorded, on other devices, and where it is too large to be written out, it is torch.compile's.

    What travels by pickle is compiled anew where it arrives; a deep copy has the pass, and memory of its own.

    Args:
        function: a method; takes Params, State and feature-major tensors, nested in tuples.
        num_grids: B.
        device: of its tensors.
    """

    def __init__(self, function: Callable[..., Any], num_grids: int, device: torch.device):
        self._function, self._num_grids, self._device = function, num_grids, device
        self._fused: Any = None
        self._can_fuse = device.type == "cpu" and build.compiler() is not None

    def __call__(self, *arguments: Any) -> Any:
        tensors = collected(arguments)
        fused = self.fused(arguments, tensors)
        return self._graph(*arguments) if fused is None else fused(tensors, self._num_grids)

    def fused(self, arguments: Sequence[Any], tensors: Sequence[Tensor]) -> Any:
        """The pass over the grids that takes these arguments, a `fused.kernel.Fused`; None where there is none.

        Args:
            tensors: those in the arguments, in order.
        """
        if not self._can_fuse or not _plain(tensors):
            return None
        if self._fused is None:
            self._fused = one_pass(self._function, arguments, list(_axes(arguments, self._num_grids)))
            self._can_fuse = self._fused is not None
        return self._fused

    @cached_property
    def _graph(self) -> Callable[..., Any]:
        """What torch.compile makes of the function; made only where it is needed, as it takes a second to load."""
        return graph_of(self._function, self._device)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._function, self._num_grids, self._device

    def __setstate__(self, given: tuple[Any, ...]) -> None:
        Compiled.__init__(self, *given)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        copied = memo[id(self)] = Compiled.__new__(Compiled)  # at once: the function's object holds it in turn
        Compiled.__init__(copied, *deepcopy(self.__getstate__(), memo))
        copied._fused = None if self._fused is None else self._fused.apart()
        return copied


def collected(x: Any) -> list[Tensor]:
    """Tensors of nested tuples, in order."""
    tensors: list[Tensor] = []
    _collect(x, tensors)
    return tensors


def _collect(x: Any, tensors: list[Tensor]) -> None:
    for y in x:
        if isinstance(y, Tensor):
            tensors.append(y)
        elif y is not None:
            _collect(y, tensors)


def _plain(tensors: Sequence[Tensor]) -> bool:
    """Whether all are memory and nothing else: no gradients to record, no stand-ins of a trace."""
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        return False
    return type(tensors[-1]) is Tensor


def _axes(x: Any, num_grids: int) -> Iterator[int | None]:
    """Which dimension of each tensor counts grids: of a state's the first, else the last, if it does."""
    for y in x:
        if isinstance(y, Params):
            yield from (_axis_of_parameter(name, value, num_grids) for name, value in y._asdict().items())
        elif isinstance(y, State):
            yield from (0 for _ in y)
        elif isinstance(y, Tensor):
            yield -1
        elif y is not None:
            yield from _axes(y, num_grids)


def _axis_of_parameter(name: str, x: Tensor, num_grids: int) -> int | None:
    """−1 where it is drawn per grid, None where all grids share it."""
    shared = name.endswith("_weights") or x.shape[-1] == 1 or x.shape[-1] != num_grids
    return None if shared else -1


def graph_of(function: Any, device: torch.device) -> Any:
    """torch.compile, or the function itself with one line of notice where there is no compiler."""
    found, language, command = _compiler_for(device)
    if found is None:
        message = f"no {language} compiler found: the step runs eagerly (install {command} to compile it)"
        warnings.warn(message, stacklevel=3)
        return function
    return Graph(function, device)


class Graph:
    """What torch.compile makes of a method; a copy is compiled anew, as it stands for another object's."""

    def __init__(self, method: Any, device: torch.device):
        self._method, self._device = method, device
        self._run = method if _compiler_for(device)[0] is None else _by_torch(method, device)

    def __call__(self, *arguments: Any) -> Any:
        return self._run(*arguments)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._method, self._device

    def __setstate__(self, given: tuple[Any, ...]) -> None:
        Graph.__init__(self, *given)


def _compiler_for(device: torch.device) -> tuple[str | None, str, str]:
    """The compiler that torch.compile needs, its language and what to install for want of it."""
    if device.type == "cpu":
        return build.compiler(), "C++", "g++"
    return build.c_compiler(), "C", "gcc"  # a GPU's kernels are launched through C that is compiled here


def _by_torch(method: Any, device: torch.device) -> Any:
    options: dict[str, Any] = {"guard_filter_fn": _lasting_guards}
    if device.type == "cpu":  # the call around the kernels in C++, unchecked: half a millisecond a step less
        options |= {"cpp_wrapper": True, "size_asserts": False}
    return torch.compile(_of_its_own(method), fullgraph=True, dynamic=False, options=options)


def _of_its_own(method: Any) -> Any:
    """The method with code no other object has: what is compiled is kept with the code, and constants are unguarded."""
    function = method.__func__
    code = function.__code__.replace(co_name=f"{function.__name__}_{next(_counter)}")
    own = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    return MethodType(own, method.__self__)


def _lasting_guards(guards: Sequence[Any]) -> list[bool]:
    """What to check before every call: arguments and autograd's mode, not the simulator's own constants."""
    return [
        g.guard_type in ("GLOBAL_STATE", "GRAD_MODE", "SHAPE_ENV")
        or (g.guard_type == "TENSOR_MATCH" and not g.is_global and "self" not in g.name)
        for g in guards
    ]
