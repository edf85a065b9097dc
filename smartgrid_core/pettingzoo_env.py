"""PettingZoo environments of one community: parallel (all act at once) and agent-environment cycle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smartgrid_core.adapters import agent_ids, fresh_seed, observation_bounds, require_finite, resolve
from smartgrid_core.config import GridConfig
from smartgrid_core.extras import require
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import Ledger, RewardParts, State, StepResult

require("gymnasium", extra="envs")
require("pettingzoo", extra="envs")

from gymnasium import logger, spaces  # noqa: E402
from pettingzoo import AECEnv, ParallelEnv  # noqa: E402
from pettingzoo.utils.conversions import parallel_to_aec  # noqa: E402

_PARTS, _LEDGER = RewardParts._fields, Ledger._fields
_SCALARS = ("cost_eur", "soc_kwh", "voltage_pu", "imbalance_kw")


def parallel_env(
    scenario: str | Path | GridConfig = "community-5",
    render_mode: str | None = None,
    *,
    split: str = "train",
    compile: bool = False,
    **overrides: Any,
) -> SmartGridParallelEnv:
    """One community as a PettingZoo parallel environment; arguments as for `SmartGridParallelEnv`."""
    return SmartGridParallelEnv(scenario, render_mode, split=split, compile=compile, **overrides)


def aec_env(
    scenario: str | Path | GridConfig = "community-5",
    render_mode: str | None = None,
    *,
    split: str = "train",
    compile: bool = False,
    **overrides: Any,
) -> AECEnv:
    """The same community with the prosumers asked one after the other; the step is taken after the last."""
    return parallel_to_aec(parallel_env(scenario, render_mode, split=split, compile=compile, **overrides))


class SmartGridParallelEnv(ParallelEnv[str, np.ndarray, "np.ndarray | None"]):
    """One community of N prosumers, agent_0 … agent_{N-1}, in NumPy.

    Observation: float32 [O]; entries, units and ranges in `simulator.observation_entries`. Action: float32
    [A] in [-1, 1], transfers per link slot and the trade with the grid; values outside are clamped. Reward:
    float, EUR-equivalents. The time limit truncates all agents at once; nothing terminates. `infos[agent]`
    holds floats: "reward_parts" {stability, efficiency, cost, cooperation}, "ledger" {demand_kw, …} (mean kW
    over the step), "cost_eur", "soc_kwh", "voltage_pu", "imbalance_kw", and of the community
    "stability" and "converged" (0 or 1). After a reset they are empty.

    For training use `smartgrid_core.torchrl_env` or `Simulator`: they step thousands of communities at once.

    Args:
        scenario: name or path of a scenario, or a GridConfig.
        render_mode: None, "ansi" (a table) or "rgb_array" (a picture; needs matplotlib).
        split: weeks of the data the episodes come from: train, validation, test or all.
        compile: compile the step: a few seconds at the first one, then eight times as fast.
        overrides: fields of the scenario, e.g. `episode_days=1`; dotted keys reach inside.

    Raises:
        MissingExtraError: (on import of the module) pettingzoo or gymnasium is not installed.
        ConfigError: the scenario or an argument cannot be used.
    """

    metadata = {  # noqa: RUF012 - PettingZoo reads this class attribute
        "name": "smartgrid_v0",
        "render_modes": ["ansi", "rgb_array"],
        "is_parallelizable": True,
        "render_fps": 4,
    }

    def __init__(
        self,
        scenario: str | Path | GridConfig = "community-5",
        render_mode: str | None = None,
        *,
        split: str = "train",
        compile: bool = False,
        **overrides: Any,
    ):
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode = {render_mode!r}: expected None, 'ansi' or 'rgb_array'")
        self.render_mode = render_mode
        self.simulator = Simulator(resolve(scenario, overrides), split=split, compile=compile)
        self.possible_agents = agent_ids(self.simulator.num_agents)
        self.agents: list[str] = []
        low, high = observation_bounds(self.simulator)
        one = np.ones(self.simulator.action_dim, dtype=np.float32)
        self.observation_spaces = {agent: spaces.Box(low, high) for agent in self.possible_agents}  # type: ignore
        self.action_spaces = {agent: spaces.Box(-one, one) for agent in self.possible_agents}  # type: ignore
        count = self.simulator.num_agents
        self.state_space = spaces.Box(np.tile(low, count), np.tile(high, count))
        self._state: State | None = None
        self._result: StepResult | None = None
        self._obs = np.zeros((count, low.shape[0]), dtype=np.float32)

    def observation_space(self, agent: str) -> spaces.Space[np.ndarray]:
        """Box [O] of an agent, the same object at each call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[np.ndarray | None]:
        """Box [A] of an agent, the same object at each call."""
        return self.action_spaces[agent]

    def state(self) -> np.ndarray:
        """The whole community for a centralised critic: all observations end to end, float32 [N·O]."""
        return self._obs.reshape(-1).copy()

    @torch.no_grad()
    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Begin an episode.

        Args:
            seed: starts the sequence of episodes that this number stands for. None goes on to the next
                episode of the current sequence; before the first seed a random one is taken.
            options: not used.
        """
        if seed is None and self._state is None:
            seed = fresh_seed()
        self._state, obs = self.simulator.reset(seed=seed, state=None if seed is not None else self._state)
        self._result = None
        self.agents = self.possible_agents[:]
        return self._observations(obs), {agent: {} for agent in self.agents}

    @torch.no_grad()
    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Take one step with an action for every agent.

        Raises:
            ValueError: an agent is missing or unknown, an action has the wrong shape or is not finite.
            RuntimeError: before the first reset, or with actions after the end of the episode.
        """
        if self._state is None:
            raise RuntimeError("step before reset: call reset() first")
        if not self.agents:
            if actions:
                raise RuntimeError("the episode has ended: call reset() before the next step")
            return {}, {}, {}, {}, {}
        self._state, out = self.simulator.step(self._state, self._joint_action(actions))
        self._result = out
        agents, ended = self.agents, bool(out.truncated)
        terminated = dict.fromkeys(agents, bool(out.terminated))
        truncated = dict.fromkeys(agents, ended)
        rewards = dict(zip(agents, out.reward[0].tolist(), strict=True))
        if ended:
            self.agents = []
        infos = self._infos(out, self._state)
        return self._observations(out.final_obs), rewards, terminated, truncated, infos

    def render(self) -> str | np.ndarray | None:
        """The community after the last step: a table (str) or a picture (uint8 [height, width, 3])."""
        from smartgrid_core import render

        if self.render_mode is None:
            logger.warn("render() needs a render_mode: parallel_env(render_mode='ansi') or 'rgb_array'")
            return None
        if self._state is None:
            raise RuntimeError("render before reset: call reset() first")
        shown = render.snapshot(self.simulator, self._state, self._result)
        return render.as_text(shown) if self.render_mode == "ansi" else render.as_picture(shown)

    def _joint_action(self, actions: Mapping[str, Any]) -> Tensor:
        """Checked actions as [1, N, A]."""
        agents = self.possible_agents
        if actions.keys() != set(agents):
            missing = [a for a in agents if a not in actions]
            unknown = [a for a in actions if a not in agents]
            raise ValueError(f"actions: missing {missing}, unknown {unknown}; expected one each for {agents}")
        rows, size = [], self.simulator.action_dim
        for agent in agents:
            row = np.asarray(actions[agent], dtype=np.float32)
            if row.shape != (size,):
                raise ValueError(
                    f"action of {agent} has shape {row.shape}: expected ({size},), "
                    f"{', '.join(self.simulator.action_names)}"
                )
            rows.append(row)
        joint = np.stack(rows)
        require_finite(joint, agents, self.simulator.action_names)
        return torch.from_numpy(joint)[None]

    def _observations(self, obs: Tensor) -> dict[str, np.ndarray]:
        self._obs = np.ascontiguousarray(obs[0].numpy())
        return dict(zip(self.possible_agents, self._obs.copy(), strict=True))

    def _infos(self, out: StepResult, state: State) -> dict[str, dict[str, Any]]:
        """All fields of all agents leave torch in one copy: far cheaper than one by one."""
        scalars = (out.cost_eur, out.soc_kwh, state.voltage_pu, out.imbalance_kw)
        fields = (*out.reward_parts, *out.ledger, *scalars)
        rows = torch.stack([field[0] for field in fields], dim=1).tolist()
        shared = {"stability": float(out.stability), "converged": float(out.network.converged)}
        first, second = len(_PARTS), len(_PARTS) + len(_LEDGER)
        return {
            agent: {
                "reward_parts": dict(zip(_PARTS, row[:first], strict=True)),
                "ledger": dict(zip(_LEDGER, row[first:second], strict=True)),
                **dict(zip(_SCALARS, row[second:], strict=True)),
                **shared,
            }
            for agent, row in zip(self.possible_agents, rows, strict=True)
        }
