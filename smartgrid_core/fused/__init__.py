"""A step as one pass over the grids in C++, made from the step's own trace.

function of tensors → `kernel` traces it → `lowering` writes it out as arithmetic of one grid (`program`) → `cpp` prints
that for as many grids as a vector register holds → `build` compiles and keeps it. The tensor operations stay the only
source: what they say is what runs, with intermediates in registers instead of memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

_WRITING = ContextVar("writing", default=False)


def writing_out() -> bool:
    """Whether the operations under way are traced to be written out: scalar work counts then, calls do not."""
    return not torch.compiler.is_dynamo_compiling() and _WRITING.get()


@contextmanager
def written_out() -> Iterator[None]:
    """Trace in here what is to be written out."""
    token = _WRITING.set(True)
    try:
        yield
    finally:
        _WRITING.reset(token)


def one_pass(function: Callable[..., Any], example: Sequence[Any], axes: Sequence[int | None]) -> Any:
    """`kernel.Fused` of a function, or None, with a notice where that is for want of a working compiler."""
    from smartgrid_core.fused.build import BuildError
    from smartgrid_core.fused.kernel import Fused
    from smartgrid_core.fused.lowering import NotLoweredError

    try:
        return Fused(function, example, axes)
    except NotLoweredError:
        return None
    except BuildError as error:
        warnings.warn(f"{error}; the operations run one by one, or by torch.compile, instead", stacklevel=5)
        return None
