"""TorchRL environment: a batch of communities as one `EnvBase` with the keys of VMAS and BenchMARL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smartgrid_core.adapters import agent_ids, fresh_seed, resolve
from smartgrid_core.config import GridConfig
from smartgrid_core.extras import require
from smartgrid_core.shaping import ShapedReward
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import RewardParts, State

require("torchrl", extra="envs")

from tensordict import TensorDict, TensorDictBase  # noqa: E402
from torchrl.data import Bounded, Categorical, Composite, Unbounded  # noqa: E402
from torchrl.envs import EnvBase  # noqa: E402

GROUP = "agents"


class SmartGridEnv(EnvBase):
    """B communities stepped together; batch_size [B].

    Keys: ("agents", "observation") [B, N, O], ("agents", "action") [B, N, A] in [-1, 1], ("agents", "reward")
    [B, N, 1] in EUR-equivalents; "done", "terminated", "truncated" [B, 1], one per community. The time limit
    truncates and never terminates: value estimators bootstrap through it. Actions outside [-1, 1] are clamped
    and non-finite entries count as 0. A step records no gradients; to differentiate, use `Simulator`.

    Args:
        scenario: name or path of a scenario, or a GridConfig.
        num_grids: B.
        device: torch device.
        seed: seed of the run; grid k's episodes depend on (seed, k) alone. None: a random one, so that the environments
            of parallel workers differ. See also `set_seed`.
        split: weeks of the data the episodes come from: train, validation, test or all.
        compile: compile the step, in a few seconds when the first is taken.
        info: also return the reward components, ("agents", "reward_parts", name) [B, N, 1], each unweighted.
        shaped_reward: rewards that are easier to learn from (`ShapedReward`), as the trainer's algorithms see them.
        overrides: fields of the scenario, e.g. `episode_days=1`; dotted keys reach inside.

    Raises:
        MissingExtraError: (on import of the module) torchrl is not installed.
        ConfigError: the scenario or an argument cannot be used.
    """

    def __init__(
        self,
        scenario: str | Path | GridConfig = "community-5",
        num_grids: int = 1,
        device: str | torch.device = "cpu",
        seed: int | None = None,
        split: str = "train",
        compile: bool = False,
        info: bool = False,
        shaped_reward: bool = False,
        **overrides: Any,
    ):
        config = resolve(scenario, overrides)
        seed = fresh_seed() if seed is None else seed
        self.simulator = Simulator(config, num_grids, device, seed, split=split, compile=compile)
        super().__init__(device=self.simulator.device, batch_size=torch.Size([num_grids]))
        self.info, self._shaped = info, ShapedReward(self.simulator) if shaped_reward else None
        self.agent_names = agent_ids(self.simulator.num_agents)
        self.group_map = {GROUP: self.agent_names}
        self._state: State | None = None
        self._restart = torch.zeros(num_grids, dtype=torch.bool, device=self.simulator.device)  # seeded since its reset
        self._make_specs()

    @property
    def num_agents(self) -> int:
        """N, prosumers per community."""
        return self.simulator.num_agents

    def _make_specs(self) -> None:
        sim, device = self.simulator, self.device
        agents = torch.Size([*self.batch_size, sim.num_agents])
        each = torch.Size([*agents, 1])
        entries = sim.observation_entries
        low = torch.tensor([e.low for e in entries], device=device).expand(*agents, -1)
        high = torch.tensor([e.high for e in entries], device=device).expand(*agents, -1)
        observed: dict[str, Any] = {"observation": Bounded(low, high, device=device, dtype=torch.float32)}
        if self.info:
            parts = {name: Unbounded(each, device=device) for name in RewardParts._fields}
            observed["reward_parts"] = Composite(parts, shape=agents, device=device)
        action = Bounded(-1.0, 1.0, shape=torch.Size([*agents, sim.action_dim]), device=device, dtype=torch.float32)
        reward = Unbounded(each, device=device)
        self.observation_spec = self._grouped(observed)
        self.action_spec = self._grouped({"action": action})
        self.reward_spec = self._grouped({"reward": reward})
        self.done_spec = Composite(
            {
                name: Categorical(2, shape=torch.Size([*self.batch_size, 1]), device=device, dtype=torch.bool)
                for name in ("done", "terminated", "truncated")
            },
            shape=self.batch_size,
            device=device,
        )

    def _grouped(self, specs: dict[str, Any]) -> Composite:
        group = Composite(specs, shape=(*self.batch_size, self.simulator.num_agents), device=self.device)
        return Composite({GROUP: group}, shape=self.batch_size, device=self.device)

    def _set_seed(self, seed: int | None) -> None:
        """Key the grids anew: every grid's next reset starts its episode 0 under this seed."""
        if seed is None:
            raise ValueError("set_seed(None): give a whole number, every episode is a function of it")
        self.simulator.seed_grids(seed)
        self._restart = torch.ones_like(self._restart)

    @torch.no_grad()
    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        given = None if tensordict is None else tensordict.get("_reset", None)
        mask = torch.ones_like(self._restart) if given is None else given.reshape(self.batch_size)
        if self._state is None:
            self._state, obs = self.simulator.reset()
        else:  # a grid seeded anew has had no episode; the others go on to their next
            episode = torch.where(mask & self._restart, -1, self._state.episode)
            self._state, obs = self.simulator.reset(mask=mask, state=self._state._replace(episode=episode))
        self._restart = self._restart & ~mask
        agents: dict[str, Any] = {"observation": obs}
        if self.info:
            nothing = obs.new_zeros(*obs.shape[:2], 1)
            agents["reward_parts"] = dict.fromkeys(RewardParts._fields, nothing)
        running = torch.zeros(self.batch_size, dtype=torch.bool, device=self.device)
        return self._packed(agents, running, running)

    @torch.no_grad()
    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        if self._state is None:
            raise RuntimeError("step before reset: call reset() first")
        action = tensordict.get((GROUP, "action"))
        before = self._state
        self._state, out = self.simulator.step(before, action)
        reward = out.reward if self._shaped is None else self._shaped(before, out)
        agents: dict[str, Any] = {"observation": out.obs, "reward": reward[..., None]}
        if self.info:
            agents["reward_parts"] = {k: v[..., None] for k, v in out.reward_parts._asdict().items()}
        return self._packed(agents, out.terminated, out.truncated)

    def _packed(self, agents: dict[str, Any], terminated: Tensor, truncated: Tensor) -> TensorDict:
        ends = {"done": terminated | truncated, "terminated": terminated, "truncated": truncated}
        return TensorDict(
            {
                GROUP: TensorDict(agents, batch_size=(*self.batch_size, self.num_agents), device=self.device),
                **{name: flag[:, None].clone() for name, flag in ends.items()},
            },
            batch_size=self.batch_size,
            device=self.device,
        )
