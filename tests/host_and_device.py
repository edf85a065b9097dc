"""Modes that watch what a function asks of the device its tensors are on, without having such a device."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_MOVING = ("_to_copy", "copy_", "lift_fresh")  # may have tensors of two devices


class HostSyncs(TorchDispatchMode):
    """Records operations that make the host wait for the device."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal.default", "unique", "item")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        forbidden = any(word in name for word in self.FORBIDDEN)
        if "aten.index" in name and "index_" not in name:
            forbidden |= any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1])
        if forbidden:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of several devices, as a GPU does; one number on the CPU may be among them.

    torch's meta device, whose tensors have no values, can so stand for a GPU: whatever looked at one raises.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not any(word in str(func) for word in _MOVING):
            tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
            devices = {x.device for x in tensors if x.dim() or x.device.type != "cpu"}
            if len(devices) > 1:
                raise RuntimeError(f"{func} of tensors on {', '.join(sorted(map(str, devices)))}")
        return func(*args, **(kwargs or {}))
