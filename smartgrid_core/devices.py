"""Devices by name, checked before anything is put there."""

from __future__ import annotations

import torch

from smartgrid_core.errors import ConfigError


def device_of(name: str | torch.device, remedy: str = "use cpu") -> torch.device:
    """The torch device of a name; `remedy` is what to do where there is no GPU.

    Raises:
        ConfigError: torch knows no such device, or a GPU is asked for that is not there.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device = {name!r}: torch knows no such device; {remedy}, cuda or cuda:1") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device = {str(name)!r}: torch sees no CUDA GPU here; {remedy}")
    if device.type == "cuda" and (device.index or 0) >= (gpus := torch.cuda.device_count()):
        raise ConfigError(f"device = {str(name)!r}: torch sees {gpus} CUDA GPUs here, cuda:0 to cuda:{gpus - 1}")
    return device
