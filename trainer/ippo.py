"""Independent PPO (de Witt et al. 2020, arXiv:2011.09533): every prosumer has its own actor and critic."""

from __future__ import annotations

from trainer.networks import StackedMLP
from trainer.ppo import Ppo


class Ippo(Ppo):
    """PPO whose critics see what their prosumer sees."""

    def _make_critic(self, num_agents: int, inputs: int) -> StackedMLP:
        return StackedMLP(
            num_agents, inputs, 1, self.config.hidden, final_gain=1.0, shared=self.config.share_parameters
        )
