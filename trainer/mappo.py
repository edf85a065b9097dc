"""Multi-agent PPO (Yu et al. 2022, arXiv:2103.01955): own actors, critics that see the whole community."""

from __future__ import annotations

from trainer.networks import CentralCritic
from trainer.ppo import Ppo


class Mappo(Ppo):
    """PPO whose critics see what all prosumers see; each values its own prosumer's rewards."""

    def _make_critic(self, num_agents: int, inputs: int) -> CentralCritic:
        return CentralCritic(num_agents, inputs, self.config.hidden, self.config.share_parameters)
