"""PPO's estimates and losses as functions of tensors. They equal TorchRL's, as a test shows, without its overhead."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.distributed import moments

PACE = 1.5  # by which a step size changes from one iteration to the next


class Batch(NamedTuple):
    """M decisions of all agents, agents first: as networks multiply them, and rows of an agent lie side by side."""

    seen: Tensor  # [N, M, O] by the actors, as `StackedMLP.read` gives it
    valued: Tensor  # [N, M, I] by the critics; [1, M, I] where they read the same; `seen` itself where that is equal
    action: Tensor  # [N, M, A]
    log_prob: Tensor  # [N, M] when the action was taken
    advantage: Tensor  # [N, M] standardised per agent
    target: Tensor  # [N, M] of the value

    def take(self, rows: Tensor) -> Batch:
        """The decisions of these numbers."""
        seen, valued, *rest = self
        seen = seen.index_select(1, rows)
        valued = seen if self.valued is self.seen else valued.index_select(1, rows)
        return Batch(seen, valued, *(x.index_select(1, rows) for x in rest))


class Losses(NamedTuple):
    """Of each agent, means over decisions."""

    objective: Tensor  # [N] clipped surrogate, to descend on
    critic: Tensor  # [N] smooth L1
    entropy: Tensor  # [N], or [1] where exploration is shared
    kl: Tensor  # [N] approximate KL divergence from the policy that acted, ≥ 0
    clip_fraction: Tensor  # [N]


def advantages(
    reward: Tensor, value: Tensor, next_value: Tensor, truncated: Tensor, gamma: float, lmbda: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimate (Schulman et al. 2016, arXiv:1506.02438, eq. 16) and value target.

    The time limit is no end: where an episode was cut the sum stops and the value of what would have followed stands.

    Args:
        reward, value, next_value: [T, B, N]; truncated: [T, B] bool.
        gamma, lmbda: per decision.

    Returns:
        advantage, target, each [T, B, N].
    """
    surprise = reward + gamma * next_value - value
    decay = gamma * lmbda * (~truncated[..., None]).to(reward.dtype)
    estimate, following = torch.empty_like(reward), torch.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        following = estimate[t] = surprise[t] + decay[t] * following
    return estimate, estimate + value


def standardised(x: Tensor) -> Tensor:
    """x [T, B, N] with mean 0 and spread 1 for each agent, over all ranks."""
    mean, spread = moments(x, (0, 1))
    return (x - mean) / spread.clamp_min(1e-4)


def credited(credit: str, pairs: np.ndarray, num_agents: int) -> Tensor:
    """Whose advantages make up whose credit, [N, N] of 0 and 1: `own`, with linked `neighbours`, or of the `team`.

    Args:
        pairs: [L, 2] linked agents, each link once.
    """
    if credit == "team":
        return torch.ones(num_agents, num_agents)
    whose = torch.eye(num_agents)
    if credit == "neighbours":
        i, j = torch.from_numpy(pairs).T
        whose[i, j] = whose[j, i] = 1.0
    return whose


def followed(pace: Tensor, kl: Tensor, target_kl: float) -> Tensor:
    """Factors on learners' step sizes after an iteration in which they diverged by `kl`: shorter beyond the limit,
    longer below half of it, never above 1 (as Rudin et al. 2022, arXiv:2109.11978, adapt their learning rate).

    Args:
        pace, kl: one for each learner.
    """
    longer = torch.where(kl < target_kl / 2, (pace * PACE).clamp_max(1.0), pace)
    return torch.where(kl > target_kl, pace / PACE, longer)


def normal_log_prob(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log-density of independent normals, summed over the last dimension; std may be one for many x."""
    return -0.5 * ((x - mean) / std).square().sum(-1) - (std.log() + 0.5 * math.log(2 * math.pi)).sum(-1)


def ppo_losses(mean: Tensor, std: Tensor, value: Tensor, batch: Batch, clip_epsilon: float) -> Losses:
    """Clipped surrogate (Schulman et al. 2017, arXiv:1707.06347, eq. 7) and value loss.

    The divergence is estimated as the mean of r − 1 − ln r, r the likelihood ratio: unbiased, never negative, and less
    noisy than that of −ln r (Schulman 2020, joschu.net/blog/kl-approx.html).

    Args:
        mean, std: [N, M, A] of the policy now, std may be [N, 1, A]; value: [N, M] now; batch: what was done.
        clip_epsilon: range of the likelihood ratio around 1.
    """
    log_ratio = normal_log_prob(batch.action, mean, std) - batch.log_prob
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_epsilon, 1 + clip_epsilon)
    objective = -torch.minimum(ratio * batch.advantage, clipped * batch.advantage).mean(1)
    entropy = (std.log() + 0.5 * math.log(2 * math.pi * math.e)).sum(-1).mean(1)
    with torch.no_grad():
        kl, clip_fraction = (ratio - 1 - log_ratio).mean(1), (clipped != ratio).to(ratio.dtype).mean(1)
    critic = F.smooth_l1_loss(value, batch.target, reduction="none").mean(1)
    return Losses(objective, critic, entropy, kl, clip_fraction)
