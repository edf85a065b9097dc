"""What a step makes, and how state and result are put together of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from smartgrid_core.prefetch import Prefetch
from smartgrid_core.types import Ledger, State, StepResult

if TYPE_CHECKING:
    from smartgrid_core.fused.kernel import Fused


class Outcome(NamedTuple):
    """What a step makes new; what stays as it was is left out, as a compiled step returns it at a price."""

    moved: dict[str, Tensor]  # fields of State
    result: dict[str, Any]  # fields of StepResult
    ledger: dict[str, Tensor]  # fields of Ledger


class OnePass(NamedTuple):
    """A step that is one call of a function in C++, which makes an `Outcome`."""

    fused: Fused
    arguments: tuple[Any, ...]  # parameters, state, action and what is read ahead
    prefetch: Prefetch


OF_STATE = ("generation_kw", "demand_kw")  # fields of Ledger that are the state's


def unfold(state: State, outcome: Outcome) -> tuple[State, StepResult]:
    """Next state and result of a step from `state`."""
    ledger = Ledger(state.generation_kw, state.demand_kw, **outcome.ledger)
    result = StepResult(
        **outcome.result, ledger=ledger, islanded=state.islanded, energised=state.energised,
        import_eur_per_kwh=state.import_eur_per_kwh, export_eur_per_kwh=state.export_eur_per_kwh,
        co2_g_per_kwh=state.co2_g_per_kwh, final=_unknown,
    )  # fmt: skip
    return state._replace(**outcome.moved), result


def _unknown() -> Tensor:
    raise RuntimeError("final_obs is known to the result of Simulator.step alone")
