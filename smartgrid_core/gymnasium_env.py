"""Gymnasium vector environment: many communities at once, one central agent acting for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smartgrid_core.adapters import agent_ids, fresh_seed, observation_bounds, require_finite, resolve
from smartgrid_core.config import GridConfig
from smartgrid_core.extras import require
from smartgrid_core.shaping import ShapedReward
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State, StepResult

require("gymnasium", extra="envs")

from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AutoresetMode, VectorEnv  # noqa: E402
from gymnasium.vector.utils import batch_space  # noqa: E402


class SmartGridVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """B communities, each run by one central agent; NumPy in and out.

    Observation: all prosumers' observations end to end, float32 [B, N·O]; action likewise [B, N·A] in
    [-1, 1], values outside are clamped; reward: the sum over the prosumers, float64 [B]. The time limit
    truncates and never terminates. Autoreset is SAME_STEP: the step that ends an episode returns the first
    observation of the next, and `infos["final_obs"]` the last of the ended one (an object array, None where
    no episode ended). `infos` also holds "cost_eur" and "reward_<part>", summed over the prosumers, and
    "stability", each [B].

    Args:
        scenario: name or path of a scenario, or a GridConfig.
        num_envs: B.
        device: torch device of the simulation.
        split: weeks of the data the episodes come from: train, validation, test or all.
        compile: compile the step, in a few seconds when the first is taken.
        stagger: first episodes start midway at drawn steps, so that communities do not end together.
        shaped_reward: rewards that are easier to learn from (`ShapedReward`), as the trainer's algorithms see them.
        overrides: fields of the scenario, e.g. `episode_days=1`; dotted keys reach inside.

    Raises:
        MissingExtraError: (on import of the module) gymnasium is not installed.
        ConfigError: the scenario or an argument cannot be used.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium reads it

    def __init__(
        self,
        scenario: str | Path | GridConfig = "community-5",
        num_envs: int = 1,
        device: str | torch.device = "cpu",
        *,
        split: str = "train",
        compile: bool = False,
        stagger: bool = False,
        shaped_reward: bool = False,
        **overrides: Any,
    ):
        config = resolve(scenario, overrides)
        self.simulator = Simulator(
            config, num_envs, device, auto_reset=True, split=split, compile=compile, stagger=stagger
        )
        self.num_envs, self._shaped = num_envs, ShapedReward(self.simulator) if shaped_reward else None
        sim = self.simulator
        low, high = observation_bounds(sim)
        size = sim.num_agents * sim.action_dim
        self.single_observation_space = spaces.Box(np.tile(low, sim.num_agents), np.tile(high, sim.num_agents))
        self.single_action_space = spaces.Box(-1.0, 1.0, shape=(size,), dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._row_names = [f"environment {i}" for i in range(num_envs)]
        self._entry_names = [f"{a} {name}" for a in agent_ids(sim.num_agents) for name in sim.action_names]
        self._state: State | None = None

    @torch.no_grad()
    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every community.

        Args:
            seed: one for the run (communities differ by their number) or one per community. None goes on to
                the next episodes; before the first seed a random one is taken.
            options: not used.
        """
        if seed is None and self._state is None:
            seed = fresh_seed()
        self._state, obs = self.simulator.reset(seed=seed, state=None if seed is not None else self._state)
        return self._flat(obs), {}

    @torch.no_grad()
    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take one step in every community.

        Args:
            actions: [B, N·A] in [-1, 1].

        Raises:
            ValueError: wrong shape, or an entry that is not finite.
            RuntimeError: before the first reset.
        """
        if self._state is None:
            raise RuntimeError("step before reset: call reset() first")
        actions = np.asarray(actions, dtype=np.float32)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"actions have shape {actions.shape}: expected {self.action_space.shape}")
        require_finite(actions, self._row_names, self._entry_names)
        sim = self.simulator
        joint = torch.from_numpy(actions).to(sim.device).view(self.num_envs, sim.num_agents, sim.action_dim)
        before = self._state
        self._state, out = sim.step(before, joint)
        worth = out.reward if self._shaped is None else self._shaped(before, out)
        terminated, truncated = _numpy(out.terminated), _numpy(out.truncated)
        infos = self._infos(out)
        ended = terminated | truncated
        if ended.any():
            infos |= self._final(out, infos, ended)
        reward = _numpy(worth.sum(1, dtype=torch.float64))
        return self._flat(out.obs), reward, terminated, truncated, infos

    def _infos(self, out: StepResult) -> dict[str, Any]:
        parts = {f"reward_{name}": x.sum(1) for name, x in out.reward_parts._asdict().items()}
        values = {"cost_eur": out.cost_eur.sum(1), "stability": out.stability, **parts}
        infos: dict[str, Any] = {name: _numpy(x) for name, x in values.items()}
        return infos | {f"_{name}": np.ones(self.num_envs, dtype=bool) for name in values}

    def _final(self, out: StepResult, infos: dict[str, Any], ended: np.ndarray) -> dict[str, Any]:
        """What Gymnasium hands over of ended episodes under SAME_STEP."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        flat = self._flat(out.final_obs)
        for i in np.flatnonzero(ended):
            final_obs[i] = flat[i]
        final_info = {k: np.where(ended, v, np.zeros_like(v)) for k, v in infos.items()}
        masks = {"_final_obs": ended, "_final_info": ended.copy()}
        return {"final_obs": final_obs, "final_info": final_info, **masks}

    def _flat(self, obs: Tensor) -> np.ndarray:
        """[B, N, O] as float32 [B, N·O]."""
        return _numpy(obs.reshape(self.num_envs, -1))


def _numpy(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.cpu().numpy())
