"""A step's reward made easier to learn from than the bill alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from smartgrid_core.simulator import Simulator
from smartgrid_core.types import RewardParts, State, StepResult

_COST = RewardParts._fields.index("cost")
SHAPING_EUR_PER_KWH = 0.2  # between what the default tariff gives for a kWh sold and takes for one bought


class ShapedReward:
    """The reward plus a baseline, less variance, plus shaping, less delay.

    The baseline is the bill of a prosumer without battery and neighbours. It does not depend on actions, so it leaves
    the best policy as it is. Shaping adds discount·Φ(next) − Φ(now) for a potential Φ of the stored energy, with the
    content before any reset as next. With the learner's own discount it leaves the best policy as it is (Ng, Harada,
    Russell 1999). With 1 it does not: it is that and a bonus of (1 − γ)·Φ(next) for every decision, so energy kept is
    worth more than the discounted bill says, which makes up for a discount that undervalues what a battery saves hours
    later.

    Args:
        simulator: whose reward weights apply, those changed while it runs too.
        baseline: add the bill of a prosumer without battery and neighbours.
        shaping_eur_per_kwh: of the potential; 0 for none.
        discount: of the next potential, per step.
    """

    def __init__(
        self,
        simulator: Simulator,
        baseline: bool = True,
        shaping_eur_per_kwh: float = SHAPING_EUR_PER_KWH,
        discount: float = 1.0,
    ):
        self.baseline, self.shaping_eur_per_kwh, self.discount = baseline, shaping_eur_per_kwh, discount
        self._step_h, self._simulator = simulator.config.step_h, simulator

    def __call__(self, state: State, out: StepResult) -> Tensor:
        """What a step is worth.

        Args:
            state: before the step; out: what came of it.

        Returns:
            [B, N] EUR-equivalents.
        """
        reward = out.reward
        if self.baseline:
            need = state.demand_kw - state.generation_kw
            price = torch.where(need > 0, state.import_eur_per_kwh[:, None], state.export_eur_per_kwh[:, None])
            reward = reward + self._simulator.params.reward_weights[_COST] * need * price * self._step_h
        if self.shaping_eur_per_kwh:
            reward = reward + self.shaping_eur_per_kwh * (self.discount * out.soc_kwh - state.soc_kwh)
        return reward

    def of_numbers(
        self, reward: Sequence[float], need_kw: Sequence[float], import_eur_per_kwh: float, export_eur_per_kwh: float,
        soc_kwh: Sequence[float], next_soc_kwh: Sequence[float],
    ) -> list[float]:  # fmt: skip
        """The same of one community's prosumers in plain numbers; `need_kw` is demand less generation."""
        scale = self._simulator.params.reward_weights.tolist()[_COST] * self._step_h if self.baseline else 0.0
        buy, sell, worth = scale * import_eur_per_kwh, scale * export_eur_per_kwh, self.shaping_eur_per_kwh
        return [
            r + need * (buy if need > 0 else sell) + worth * (self.discount * after - before)
            for r, need, before, after in zip(reward, need_kw, soc_kwh, next_soc_kwh, strict=True)
        ]
