"""What every part of a configuration shares: strict frozen models and quantities that may be ranges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _as_range(value: Any) -> Any:
    """Accept one number or [low, high]; store (low, high)."""
    if isinstance(value, bool):
        raise ValueError("expected a number or a range [low, high], got a boolean")
    if isinstance(value, int | float):
        return (float(value), float(value))
    numbers = isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(v, int | float) for v in value)
    if numbers and value[0] > value[1]:
        raise ValueError(f"range [{value[0]}, {value[1]}] is crossed: the low end must not exceed the high end")
    return value


Quantity = Annotated[tuple[float, float], BeforeValidator(_as_range)]
"""A number, or a range [low, high] drawn per grid."""


def middle(value: tuple[float, float]) -> float:
    """Centre of a range: profiles are built for it and the drawn value scales them."""
    return 0.5 * (value[0] + value[1])


def within(name: str, value: tuple[float, float], low: float, high: float, open_low: bool = False) -> None:
    too_low = value[0] <= low if open_low else value[0] < low
    if too_low or value[1] > high:
        bracket = "(" if open_low else "["
        raise ValueError(f"{name} = {show(value)} is outside {bracket}{low}, {high}]")


def show(value: tuple[float, float]) -> str:
    return f"{value[0]:g}" if value[0] == value[1] else f"[{value[0]:g}, {value[1]:g}]"


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)
