"""PettingZoo environments of one community: parallel (all act at once) and agent-environment cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smartgrid_core.adapters import agent_ids, fresh_seed, observation_bounds, require_finite, resolve
from smartgrid_core.config import GridConfig
from smartgrid_core.extras import require
from smartgrid_core.in_place import InPlace, Numbers, Wanted, numbers
from smartgrid_core.shaping import ShapedReward
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import Ledger, RewardParts, State, StepResult

require("gymnasium", extra="envs")
require("pettingzoo", extra="envs")

from gymnasium import logger, spaces  # noqa: E402
from pettingzoo import AECEnv, ParallelEnv  # noqa: E402
from pettingzoo.utils import OrderEnforcingWrapper  # noqa: E402
from pettingzoo.utils.conversions import parallel_to_aec_wrapper  # noqa: E402

_PARTS, _LEDGER = RewardParts._fields, Ledger._fields
_SCALARS = ("cost_eur", "soc_kwh", "voltage_pu", "imbalance_kw")
_ROW = ("reward", *_PARTS, *_LEDGER, *_SCALARS)
_SOC, _DEMAND, _GENERATION = (_ROW.index(name) for name in ("soc_kwh", "demand_kw", "generation_kw"))


def _wanted(state: State, out: StepResult) -> Wanted:
    """What an environment tells of a step; rewards first."""
    scalars = (out.cost_eur, out.soc_kwh, state.voltage_pu, out.imbalance_kw)
    flags = (out.network.converged, out.terminated, out.truncated)
    prices = (out.import_eur_per_kwh, out.export_eur_per_kwh)
    return Wanted((out.reward, *out.reward_parts, *out.ledger, *scalars), (out.stability, *prices), flags)


def _writer_of_infos() -> Callable[[list[float], dict[str, float]], dict[str, Any]]:
    """What makes an agent's info of its row: one expression, as it stands in every step's way."""
    numbers = count(1)

    def text(names: Iterable[str]) -> str:
        return ", ".join(f"{name!r}: r[{next(numbers)}]" for name in names)

    parts, ledger, scalars = text(_PARTS), text(_LEDGER), text(_SCALARS)
    return eval(f"lambda r, shared: {{'reward_parts': {{{parts}}}, 'ledger': {{{ledger}}}, {scalars}, **shared}}")


_info = _writer_of_infos()


def parallel_env(
    scenario: str | Path | GridConfig = "community-5",
    render_mode: str | None = None,
    *,
    split: str = "train",
    compile: bool = False,
    shaped_reward: bool = False,
    **overrides: Any,
) -> SmartGridParallelEnv:
    """One community as a PettingZoo parallel environment; arguments as for `SmartGridParallelEnv`."""
    options: dict[str, Any] = {"split": split, "compile": compile, "shaped_reward": shaped_reward}
    return SmartGridParallelEnv(scenario, render_mode, **options, **overrides)


def aec_env(
    scenario: str | Path | GridConfig = "community-5",
    render_mode: str | None = None,
    *,
    split: str = "train",
    compile: bool = False,
    shaped_reward: bool = False,
    **overrides: Any,
) -> AECEnv:
    """The same community with the prosumers asked one after the other; the step is taken after the last."""
    options: dict[str, Any] = {"split": split, "compile": compile, "shaped_reward": shaped_reward}
    env = parallel_env(scenario, render_mode, **options, **overrides)
    return OrderEnforcingWrapper(_CheckedAecEnv(env))


class _CheckedAecEnv(parallel_to_aec_wrapper[str, np.ndarray, Any]):
    """PettingZoo's conversion, but an action that cannot be is refused at the agent's own turn, which stays."""

    env: SmartGridParallelEnv

    def step(self, action: Any) -> None:
        agent = self.agent_selection
        if not (self.terminations[agent] or self.truncations[agent]):
            self.env.check_action(agent, action)
        super().step(action)


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
        compile: compile the step: a few seconds at the first one, then thirty times as fast.
        shaped_reward: rewards that are easier to learn from (`ShapedReward`), as the trainer's algorithms see them.
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
        shaped_reward: bool = False,
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
        self._in_place = InPlace(self.simulator, _wanted)
        self._is_in_place = False  # then the state is there
        self._obs = np.zeros((count, low.shape[0]), dtype=np.float32)
        self._shaped = ShapedReward(self.simulator) if shaped_reward else None
        self._soc_kwh = [0.0] * count  # before the next step

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
        self._come_back()
        if seed is None and self._state is None:
            seed = fresh_seed()
        self._state, obs = self.simulator.reset(seed=seed, state=None if seed is not None else self._state)
        self._result = None
        self.agents = self.possible_agents[:]
        self._obs, self._soc_kwh = np.array(obs[0].numpy(), order="C"), self._state.soc_kwh[0].tolist()
        return self._observations(), {agent: {} for agent in self.agents}

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
        if not isinstance(actions, Mapping):
            raise ValueError(
                f"actions is a {type(actions).__name__}: expected a dict with an action for each of "
                f"{', '.join(self.possible_agents)}"
            )
        if not self.agents:
            if actions:
                raise RuntimeError("the episode has ended: call reset() before the next step")
            return {}, {}, {}, {}, {}
        told = self._take(self._joint_action(actions))
        agents, (converged, terminated, truncated), self._obs = self.agents, told.flags, told.obs
        rewards = {agent: row[0] for agent, row in zip(agents, told.of_agents, strict=True)}
        if self._shaped is not None:
            rewards = dict(zip(agents, self._worth(self._shaped, told), strict=True))
        infos = self._infos(told.of_agents, {"stability": told.shared[0], "converged": float(converged)})
        if truncated:
            self.agents = []
        terminations, truncations = dict.fromkeys(agents, terminated), dict.fromkeys(agents, truncated)
        return self._observations(), rewards, terminations, truncations, infos

    def _take(self, action: np.ndarray) -> Numbers:
        """A step with an action [N, A]: in place where that can be, from an episode's first on."""
        assert self._state is not None  # `step` sees to it
        if self._result is None and not self._is_in_place:
            self._is_in_place = self._in_place.begin(self._state)
        if self._is_in_place:
            told = self._in_place.step(action)
            if told is not None:
                return told
            self._come_back()
        self._state, self._result = self.simulator.step(self._state, torch.from_numpy(action)[None])
        return numbers(self._state, self._result, _wanted)

    def _worth(self, shaped: ShapedReward, told: Numbers) -> list[float]:
        """Rewards of the step as `ShapedReward` has them, from the numbers it was told in."""
        rows, (_, buy, sell) = told.of_agents, told.shared
        rewards, need_kw = [row[0] for row in rows], [row[_DEMAND] - row[_GENERATION] for row in rows]
        before, self._soc_kwh = self._soc_kwh, [row[_SOC] for row in rows]
        return shaped.of_numbers(rewards, need_kw, buy, sell, before, self._soc_kwh)

    def _come_back(self) -> None:
        """State and result as tensors, however the last step was taken."""
        if self._is_in_place:
            self._state, self._result, self._is_in_place = self._in_place.state, self._in_place.result, False

    def render(self) -> str | np.ndarray | None:
        """The community after the last step: a table (str) or a picture (uint8 [height, width, 3])."""
        from smartgrid_core import render

        if self.render_mode is None:
            logger.warn("render() needs a render_mode: parallel_env(render_mode='ansi') or 'rgb_array'")
            return None
        if self._state is None:
            raise RuntimeError("render before reset: call reset() first")
        state, result = self._state, self._result
        if self._is_in_place:
            state, result = self._in_place.state, self._in_place.result
        shown = render.snapshot(self.simulator, state, result)
        return render.as_text(shown) if self.render_mode == "ansi" else render.as_picture(shown)

    def _joint_action(self, actions: Mapping[str, Any]) -> np.ndarray:
        """Checked actions as [N, A]."""
        agents = self.possible_agents
        if actions.keys() != self.action_spaces.keys():
            missing = [a for a in agents if a not in actions]
            unknown = [a for a in actions if a not in agents]
            raise ValueError(f"actions: missing {missing}, unknown {unknown}; expected one each for {agents}")
        shape = (self.simulator.action_dim,)
        joint = np.empty((len(agents), *shape), dtype=np.float32)
        for i, agent in enumerate(agents):
            row = np.asarray(actions[agent], dtype=np.float32)
            if row.shape != shape:
                raise self._misshapen(agent, row)
            joint[i] = row
        if not np.isfinite(joint).all():
            require_finite(joint, agents, self.simulator.action_names)
        return joint

    def check_action(self, agent: str, action: Any) -> None:
        """Refuse an agent's action that `step` would refuse; raises ValueError."""
        row = np.asarray(action, dtype=np.float32)
        if row.shape != (self.simulator.action_dim,):
            raise self._misshapen(agent, row)
        require_finite(row[None], [agent], self.simulator.action_names)

    def _misshapen(self, agent: str, row: np.ndarray) -> ValueError:
        names, shape = ", ".join(self.simulator.action_names), (self.simulator.action_dim,)
        return ValueError(f"action of {agent} has shape {row.shape}: expected {shape}, {names}")

    def _observations(self) -> dict[str, np.ndarray]:
        return dict(zip(self.possible_agents, self._obs.copy(), strict=True))

    def _infos(self, rows: list[list[float]], shared: dict[str, float]) -> dict[str, dict[str, Any]]:
        return {agent: _info(row, shared) for agent, row in zip(self.possible_agents, rows, strict=True)}
