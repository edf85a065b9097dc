"""Batched AC power flow of radial low-voltage feeders: thousands of grids in one call, on any device."""

from .feeder import Feeder, FeederError
from .solver import PowerFlow, PowerFlowResult

__all__ = ["Feeder", "FeederError", "PowerFlow", "PowerFlowResult"]
