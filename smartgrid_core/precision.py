"""What torch is set to compute in, and what that means for a step."""

from __future__ import annotations

import warnings

import torch

from smartgrid_core.errors import ConfigError


def check_precision(power_flow: bool) -> None:
    """Warn where products of matrices are rounded to less than 32 bits, which a power flow suffers from.

    Raises:
        ConfigError: torch's default dtype is not float32.
    """
    if torch.get_default_dtype() != torch.float32:
        raise ConfigError(
            f"torch's default dtype is {torch.get_default_dtype()}, but a step is computed in 32 bits: call "
            "torch.set_default_dtype(torch.float32) before, and give other tensors their dtype where they are made"
        )
    if power_flow and (precision := torch.get_float32_matmul_precision()) != "highest":
        warnings.warn(
            f"torch.get_float32_matmul_precision() is {precision!r}: where hardware follows it, products are rounded "
            "to 10 bits or fewer, and currents and losses of the power flow are good to 1e-3 instead of 1e-5. "
            "torch.set_float32_matmul_precision('highest') keeps them exact",
            stacklevel=3,
        )
