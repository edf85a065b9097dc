"""BenchMARL's IPPO on our TorchRL environment, an iteration whenever it is told to; see `training`.

The settings come as the first argument.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from typing import Any

import torch
from benchmarl.algorithms import IppoConfig  # pyright: ignore[reportMissingImports]
from benchmarl.environments.common import TaskClass  # pyright: ignore[reportMissingImports]
from benchmarl.experiment import Callback, Experiment, ExperimentConfig  # pyright: ignore[reportMissingImports]
from benchmarl.models.mlp import MlpConfig  # pyright: ignore[reportMissingImports]
from protocol import answer, versions
from tensordict import TensorDict
from torchrl.envs.utils import ExplorationType, set_exploration_type
from training import decided

from smartgrid_core.torchrl_env import GROUP, SmartGridEnv


class Community(TaskClass):
    """SmartGridEnv as BenchMARL wants to be told of it."""

    def get_env_fun(self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any) -> Any:
        return lambda: SmartGridEnv(
            self.config["scenario"], num_grids=num_envs, seed=seed or 0, device=device, compile=True, shaped_reward=True
        )

    def supports_continuous_actions(self) -> bool:
        return True

    def supports_discrete_actions(self) -> bool:
        return False

    def max_steps(self, env: Any) -> int:
        return env.simulator.config.episode_steps

    def has_render(self, env: Any) -> bool:
        return False

    def group_map(self, env: Any) -> Any:
        return env.group_map

    def observation_spec(self, env: Any) -> Any:
        return env.full_observation_spec_unbatched

    def info_spec(self, env: Any) -> Any:
        return None

    def state_spec(self, env: Any) -> Any:
        return None

    def action_spec(self, env: Any) -> Any:
        return env.full_action_spec_unbatched

    def action_mask_spec(self, env: Any) -> Any:
        return None

    @staticmethod
    def env_name() -> str:
        return "smartgrid"


class Turns(Callback):
    """After every iteration, says what was done and waits for the next word."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps, self.cpu_s, self._begun = steps, 0.0, 0.0

    def on_train_end(self, training_td: Any, group: str) -> None:
        self.cpu_s += time.process_time() - self._begun
        answer({"steps": self.steps, "cpu_s": self.cpu_s})
        self.wait()

    def wait(self) -> None:
        """Decide until an iteration is asked for; ends the process with its input."""
        for line in sys.stdin:
            asked = json.loads(line)
            if "iterate" in asked:
                self._begun = time.process_time()
                return
            decided(asked, self._decide)
        sys.exit(0)

    def _decide(self, obs: torch.Tensor) -> torch.Tensor:
        td = TensorDict({GROUP: TensorDict({"observation": obs}, obs.shape[:2])}, obs.shape[:1])
        with set_exploration_type(ExplorationType.DETERMINISTIC):
            return self.experiment.policy(td)[GROUP, "action"]


def main() -> None:
    """Build the experiment, then iterate as told."""
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    steps = settings["grids"] * settings["horizon"]
    turns = Turns(steps)
    algorithm, model, config = IppoConfig.get_from_yaml(), MlpConfig.get_from_yaml(), ExperimentConfig.get_from_yaml()
    algorithm.share_param_critic, algorithm.lmbda = False, 0.9
    model.num_cells, model.activation_class = settings["hidden"], torch.nn.SiLU
    config.share_policy_params, config.gamma, config.lr = False, 0.99, settings["learning_rate"]
    config.on_policy_n_envs_per_worker, config.on_policy_collected_frames_per_batch = settings["grids"], steps
    config.on_policy_n_minibatch_iters = settings["epochs"]
    config.on_policy_minibatch_size = steps // settings["minibatches"]
    config.max_n_frames, config.max_n_iters = None, 10**6
    config.evaluation, config.render, config.loggers, config.create_json = False, False, [], False
    with tempfile.TemporaryDirectory() as folder:
        config.save_folder = folder
        task = Community("COMMUNITY", {"scenario": settings["scenario"]})
        experiment = Experiment(task, algorithm, model, seed=0, config=config, callbacks=[turns])
        answer({"versions": versions("benchmarl", "torchrl", "torch")})
        turns.wait()
        experiment.run()


if __name__ == "__main__":
    main()
