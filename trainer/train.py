"""A training run: collect, update, log, validate, checkpoint, until iterations, time or the user ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smartgrid_core import GridConfig, Simulator, State
from smartgrid_core.errors import UserError
from smartgrid_core.types import RewardParts
from trainer import distributed
from trainer.config import TrainConfig
from trainer.learner import Collected, make_learner
from trainer.policy import PolicyController
from trainer.progress import TrainingProgress
from trainer.runs import RunFolder
from trainer.validation import Validation


class TrainingError(UserError, RuntimeError):
    """Training cannot go on; the last good checkpoint is kept and the message says what to change."""


class Training:
    """One run: everything it needs to start, go on, and continue after an interruption."""

    def __init__(self, config: TrainConfig, scenario: GridConfig, folder: Path, resume: bool):
        self.config, self.scenario, self.resume = config, scenario, resume
        self.device = resolve_device(config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.sim = Simulator(
            scenario,
            config.num_grids,
            self.device,
            config.seed,
            auto_reset=True,
            first_grid=distributed.rank() * config.num_grids,
            stagger=True,
            compile=config.compile,
        )
        self.learner = make_learner(config, self.sim)
        distributed.broadcast(self.learner.state_dict())
        distributed.seed_rank(config.seed)
        self.validation = Validation(scenario, config.validation_episodes, self.device, compile=config.compile)
        self.folder = RunFolder(folder)
        self.iteration, self.seconds, self.env_steps = 0, 0.0, 0
        self.validated, self.best = 0, float("-inf")
        self.stale = 0  # validations since the best one
        self.interrupted = False  # by Ctrl-C
        self.state, self.obs = self.sim.reset()

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps (one grid, one step) an iteration takes, on all ranks together."""
        return self.config.horizon * self.config.num_grids * self.learner.hold * distributed.world_size()

    @property
    def progress(self) -> float:
        """Fraction of the run done, by iterations or by time, whichever is further."""
        by_time = self.seconds / (60 * self.config.max_minutes) if self.config.max_minutes else 0.0
        return min(1.0, max(self.iteration / self.config.iterations, by_time))

    @property
    def on_plateau(self) -> bool:
        """Whether the last `patience` validations brought no better score."""
        return 0 < self.config.patience <= self.stale

    def run(self) -> None:
        """Train to the end, or to a plateau. Ctrl-C saves `last` and returns.

        Raises:
            TrainingError: the loss stopped being finite.
        """
        saved = distributed.dealt(self._open)
        news = [] if saved is None else self._restore(saved)
        with self._tensorboard() as board, TrainingProgress(self) as bar, distributed.Interruption() as interruption:
            for line in news:
                bar.message(line)
            try:
                self._warm_up(bar)
                while self.progress < 1.0 and not self.on_plateau:
                    self._iterate(board, bar)
                    interruption.check()
                if self.on_plateau:
                    bar.message(
                        f"stopped: no better score than {self.best:.3f} in {self.stale} validations (patience = "
                        f"{self.config.patience}); --resume with a larger --patience, or 0, goes on"
                    )
            except KeyboardInterrupt:
                self.interrupted = True
                bar.message("interrupted: saved; continue with --resume")
            self.save("last")

    def _open(self) -> list[dict[str, Any] | None]:
        """Make or open the run folder; what each rank resumes from, None where the run begins."""
        settings = {
            "train": self.config.model_dump(mode="json"),
            "scenario": self.scenario.model_dump(mode="json"),
        }
        world, job = distributed.world_size(), distributed.job()
        again = distributed.restarted() and self.folder.is_of(job)  # a rank died: torchrun started all of them anew
        saved: list[dict[str, Any] | None] = [None] * world
        if self.resume or (again and self.folder.can_resume()):
            first = self.folder.load_training()  # before anything is written: a refusal must leave nothing behind
            self._refuse_other_shapes(first)
            left = first.get("world_size", 1)
            saved = [self.folder.load_training(rank=r % left) if r % left else first for r in range(world)]
        self.folder.create(settings, self.resume or again, job)
        self.folder.truncate_metrics(saved[0]["iteration"] if saved[0] else 0)
        return saved

    def _refuse_other_shapes(self, saved: dict[str, Any]) -> None:
        """What is resumed must have the networks and the grids of what was saved."""
        shape = self._shape()
        for name, before in saved.get("shape", {"format": "an older one"}).items():
            if shape.get(name) != before:
                raise TrainingError(
                    f"{self.folder.path} holds a run with {name} = {before}, these settings give {shape.get(name)}: "
                    "resume with the scenario and the settings it began with, or start anew with another --out"
                )

    def _shape(self) -> dict[str, Any]:
        """Settings that a checkpoint's tensors depend on."""
        c = self.config
        return {
            "algorithm": c.algorithm, "share_parameters": c.share_parameters, "hidden": list(c.hidden),
            "num_grids": c.num_grids, "obs [grids, prosumers, entries]": list(self.obs.shape),
        }  # fmt: skip

    def _warm_up(self, bar: TrainingProgress) -> None:
        """Compile the step before the clock starts; its result is dropped."""
        if self.config.compile:
            start = time.perf_counter()
            bar.message("compiling the step (the next run finds it in the cache) …")
            self.learner.warm_up(self.state)
            bar.message(f"compiled in {time.perf_counter() - start:.0f} s")

    def _iterate(self, board: Any, bar: TrainingProgress) -> None:
        start = time.perf_counter()
        collected = self.learner.collect(self.state, self.obs, self.progress)
        self.state, self.obs = collected.state, collected.obs
        middle = time.perf_counter()
        logs = self.learner.update(self.progress)
        times = torch.tensor([middle - start, time.perf_counter() - middle], dtype=torch.float64)
        collect_s, update_s = distributed.mean_over_ranks(times).tolist()
        self.iteration += 1
        self.env_steps += self.steps_per_iteration
        self.seconds += collect_s + update_s
        record = distributed.averaged(self._record(collected, logs, collect_s, update_s))
        broken = {key: value for key, value in record.items() if key.startswith("loss") and not np.isfinite(value)}
        for key, value in broken.items():
            raise TrainingError(
                f"{key} became {value} at iteration {self.iteration}: last good checkpoint: "
                f"{self.folder.checkpoints / 'last'}; lower --learning_rate ({self.config.learning_rate}) and --resume"
            )
        if self.progress * self.config.validations >= self.validated + 1 or self.progress >= 1.0:
            record |= self._validate()
        if distributed.is_first():
            self.folder.append_metrics(record)
            _to_tensorboard(board, record, self.env_steps)
        bar.update(record)

    def _record(self, collected: Collected, logs: dict[str, Any], collect_s: float, update_s: float) -> dict[str, Any]:
        """One line of metrics.jsonl; per-agent values as lists."""
        parts = dict(zip(RewardParts._fields, collected.reward_parts, strict=True))
        agent_steps = self.steps_per_iteration * self.sim.num_agents
        return {
            "iteration": self.iteration, "env_steps": self.env_steps, "seconds": self.seconds,
            "world_size": distributed.world_size(),
            "agent_steps_per_s": agent_steps / (collect_s + update_s), "collect_s": collect_s, "update_s": update_s,
            **{f"reward_{name}": value.tolist() for name, value in parts.items()},
            "learning_reward": collected.learning_reward.tolist(),
            **{k: v.tolist() if isinstance(v, Tensor) else v for k, v in logs.items()},
            "clamped": float(self.state.clamped.float().mean()),
        }  # fmt: skip

    def _validate(self) -> dict[str, float]:
        """Score on validation weeks; saves `last`, a numbered checkpoint, and `best` where it is one."""
        start = time.perf_counter()
        result = distributed.by_first(lambda: self.validation.run(self.controller()))
        self.stale += 1
        if result["score"] > self.best:
            self.best, self.stale = result["score"], 0
            self.save("best", resumable=False)
        self.save("last")
        if self.config.keep_checkpoints:
            self.save(f"{self.iteration:06d}", resumable=False)
            distributed.by_first(lambda: self.folder.prune(self.config.keep_checkpoints))
        self.seconds += distributed.by_first(lambda: time.perf_counter() - start)
        self.validated = int(self.progress * self.config.validations)
        return {f"validation_{k}": v for k, v in result.items()}

    def controller(self) -> PolicyController:
        """The policy as it stands."""
        return PolicyController(self.learner.actor, self._about(), self.config.algorithm)

    def _about(self) -> dict[str, Any]:
        return {
            "algorithm": self.config.algorithm, "share_parameters": self.config.share_parameters,
            "transfer_level": self.config.qmix.transfer_level, "scenario": self.scenario.name,
            "run": self.folder.path.name,
            "num_agents": self.sim.num_agents, "observation_dim": self.sim.observation_dim,
            "action_dim": self.sim.action_dim, "hidden": list(self.config.hidden), "hold_h": self.config.hold_h,
            "observation_names": self.sim.observation_names, "action_names": self.sim.action_names,
            "iteration": self.iteration, "env_steps": self.env_steps, "seconds": self.seconds,
            "validation_score": self.best,
        }  # fmt: skip

    def save(self, name: str, resumable: bool = True) -> None:
        """Write a checkpoint; a resumable one holds all that the next iteration depends on."""
        ranks = None
        if resumable:
            training = {
                "world_size": distributed.world_size(), "shape": self._shape(), "learner": self.learner.state_dict(),
                "state": dict(self.state._asdict()), "obs": self.obs, "rng": _rng_state(self.device),
                "iteration": self.iteration, "seconds": self.seconds, "env_steps": self.env_steps,
                "best": self.best, "validated": self.validated, "stale": self.stale,
            }  # fmt: skip
            ranks = distributed.gathered(training)
        distributed.by_first(lambda: self.folder.save(name, self.learner.actor.state_dict(), ranks, self._about()))

    def _restore(self, saved: dict[str, Any]) -> list[str]:
        """Take over what was saved; returns what to tell."""
        self.learner.load_state_dict(saved["learner"])
        self.iteration, self.seconds = saved["iteration"], saved["seconds"]
        self.env_steps, self.best, self.validated = saved["env_steps"], saved["best"], saved["validated"]
        self.stale = saved.get("stale", 0)  # absent in runs begun before it was counted
        before, now = saved.get("world_size", 1), distributed.world_size()
        if before != now:
            distributed.seed_rank(self.config.seed + self.iteration)
            return [f"resumed with {now} processes a run of {before}: weights go on, grids start afresh"]
        self.state = State(**{k: v.to(self.device) for k, v in saved["state"].items()})
        self.obs = saved["obs"].to(self.device)
        _set_rng_state(saved["rng"], self.device)
        return [f"resumed at iteration {self.iteration}"]

    @contextmanager
    def _tensorboard(self) -> Iterator[Any]:
        if not distributed.is_first():
            yield None
            return
        from torch.utils.tensorboard.writer import SummaryWriter

        writer = SummaryWriter(str(self.folder.path), purge_step=self.env_steps or None)
        try:
            yield writer
        finally:
            writer.close()


def resolve_device(name: str) -> torch.device:
    """The torch device a configuration names; `auto` takes cuda where there is one.

    Raises:
        TrainingError: cuda is asked for and not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(f"device = {name!r}: torch sees no CUDA GPU here; use --device cpu, or auto")
    return torch.device(name)


def _rng_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def _to_tensorboard(board: Any, record: dict[str, Any], step: int) -> None:
    """Scalars by name; per-agent lists as their mean and one curve an agent."""
    for key, value in record.items():
        if key in ("iteration", "env_steps"):
            continue
        group = "validation" if key.startswith("validation_") else "reward" if "reward" in key else "train"
        if isinstance(value, list):
            board.add_scalar(f"{group}/{key}/mean", float(np.mean(value)), step)
            for i, v in enumerate(value):
                board.add_scalar(f"{group}/{key}/agent_{i}", v, step)
        else:
            board.add_scalar(f"{group}/{key}", value, step)
