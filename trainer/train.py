"""A training run: collect, update, log, validate, checkpoint, until iterations, time or the user ends it."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smartgrid_core import GridConfig, Simulator, State
from smartgrid_core.compiled import MOST_WRITTEN_OUT
from smartgrid_core.errors import UserError
from smartgrid_core.types import RewardParts
from trainer import distributed
from trainer.config import TrainConfig
from trainer.learner import Collected, make_learner
from trainer.metrics import listed, write_scalars
from trainer.policy import PolicyController
from trainer.progress import TrainingProgress
from trainer.runs import RunFolder
from trainer.validation import Validation
from trainer.warm_start import warm_start

PARTS = ("env", "collect", "update")  # of an iteration's time; env is within collect


class TrainingError(UserError, RuntimeError):
    """Training cannot go on; the last good checkpoint is kept and the message says what to change."""


class Training:
    """One run: everything it needs to start, go on, and continue after an interruption."""

    def __init__(self, config: TrainConfig, scenario: GridConfig, folder: Path, resume: bool):
        self.config, self.scenario, self.resume = config, scenario, resume
        self.folder = RunFolder(folder)
        self.iteration, self.seconds, self.env_steps = 0, 0.0, 0
        self.clock = {"wall": time.perf_counter, "cpu": time.process_time}[config.clock]
        self.validated, self.best = 0, float("-inf")
        self.stale = 0  # validations since the best one
        self.interrupted = False  # by Ctrl-C
        self.news: list[str] = []  # lines to tell when the run begins
        distributed.by_first(self._refuse_repetition)
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
        self.learner.watch.clock = self.clock
        if config.warm_start is not None and not resume:
            self.news.append(warm_start(self.learner.actor, self._about(), config.warm_start))
        distributed.broadcast(self.learner.state_dict())
        distributed.seed_rank(config.seed)
        small = scenario.num_agents <= MOST_WRITTEN_OUT
        self.validation = Validation(
            scenario, config.validation_episodes, self.device, compile=config.compile and small
        )
        self.state, self.obs = self.sim.reset()

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps (one grid, one step) an iteration takes, on all ranks together."""
        return self.config.horizon * self.config.num_grids * self.learner.hold * distributed.world_size()

    @property
    def progress(self) -> float:
        """Fraction of the run done, by iterations or by time, whichever is further."""
        return self.config.progress(self.iteration, self.seconds)

    @property
    def on_plateau(self) -> bool:
        """Whether the last `patience` validations brought no better score."""
        return self.config.on_plateau(self.stale)

    def run(self) -> None:
        """Train to the end, or to a plateau. Ctrl-C saves `last` and returns.

        Raises:
            TrainingError: the loss stopped being finite, or the disk is full.
        """
        try:
            self._run()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise TrainingError(
                f"{error.strerror} at iteration {self.iteration}: free space for {self.folder.path} and --resume from "
                "the last good checkpoint; fewer --keep_checkpoints take less"
            ) from error

    def _run(self) -> None:
        saved = distributed.dealt(self._open)
        if saved is not None:
            self.news = self._restore(saved)
        with self._tensorboard() as board, TrainingProgress(self) as bar, distributed.Interruption() as interruption:
            for line in self.news:
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
        world, job = distributed.world_size(), distributed.job()
        again = distributed.restarted() and self.folder.is_of(job)  # a rank died: torchrun started all of them anew
        saved: list[dict[str, Any] | None] = [None] * world
        if self.resume or (again and self.folder.can_resume()):
            first = self.folder.load_training()  # before anything is written: a refusal must leave nothing behind
            self._refuse_other_shapes(first)
            left = first.get("world_size", 1)
            saved = [self.folder.load_training(rank=r % left) if r % left else first for r in range(world)]
        self.folder.create(self._settings(), self.resume or again, job)
        self.folder.truncate_metrics(saved[0]["iteration"] if saved[0] else 0)
        return saved

    def _settings(self) -> dict[str, Any]:
        """What config.json keeps."""
        return {"train": self.config.model_dump(mode="json"), "scenario": self.scenario.model_dump(mode="json")}

    def _refuse_repetition(self) -> None:
        """A process torchrun began in place of one that stopped for good would come to the same end."""
        if distributed.restarted() and self.folder.is_of(distributed.job()):
            reason = self.folder.why_stopped(self._settings())
            if reason is not None:
                raise TrainingError(f"not started again, as the same would happen: {reason}")

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
        """Compile the step and take validation's references before the clock starts."""
        if self.progress >= 1.0 or self.on_plateau:
            return
        distributed.by_first(self.validation.prepare)
        if self.config.compile:
            start = time.perf_counter()
            bar.message("compiling the step (the next run finds it in the cache) …")
            self.learner.warm_up(self.state)
            bar.message(f"compiled in {time.perf_counter() - start:.0f} s")

    def _iterate(self, board: Any, bar: TrainingProgress) -> None:
        start, watch = self.clock(), self.learner.watch
        with watch("collect"):
            collected = self.learner.collect(self.state, self.obs, self.progress)
        self.state, self.obs = collected.state, collected.obs
        with watch("update"):
            logs = self.learner.update(self.progress)
        parts = watch.take()
        times = [parts[name] for name in PARTS] + [self.clock() - start]
        *times, elapsed = distributed.mean_over_ranks(torch.tensor(times, dtype=torch.float64)).tolist()
        self.iteration += 1
        self.env_steps += self.steps_per_iteration
        self.seconds += elapsed
        record = distributed.averaged(self._record(collected, logs, dict(zip(PARTS, times, strict=True)), elapsed))
        self._stop_if_broken(record)
        due = self.progress * self.config.validations >= self.validated + 1 or self.progress >= 1.0
        if due:
            record |= self._validate()
        if distributed.is_first():
            self.folder.append_metrics(record)  # before it is saved: lines a checkpoint does not know are dropped
            write_scalars(board, record, self.env_steps)
        if due:
            self._checkpoint()
        bar.update(record)

    def _stop_if_broken(self, record: dict[str, Any]) -> None:
        """End the run where a loss is not finite; what was saved before stays."""
        for key, value in record.items():
            if key.startswith("loss") and not math.isfinite(value):
                reason = (
                    f"{key} became {value} at iteration {self.iteration}: last good checkpoint: "
                    f"{self.folder.checkpoints / 'last'}; lower --learning_rate ({self.config.learning_rate}) and "
                    "--resume"
                )
                distributed.by_first(partial(self.folder.mark_stopped, reason))
                raise TrainingError(reason)

    def _record(
        self, collected: Collected, logs: dict[str, Any], parts_s: dict[str, float], elapsed: float
    ) -> dict[str, Any]:
        """One line of metrics.jsonl; per-agent values as lists, of many prosumers the means of groups."""
        parts = dict(zip(RewardParts._fields, collected.reward_parts, strict=True))
        agent_steps = self.steps_per_iteration * self.sim.num_agents
        return {
            "iteration": self.iteration, "env_steps": self.env_steps, "seconds": self.seconds,
            "progress": self.progress, "world_size": distributed.world_size(),
            "agent_steps_per_s": agent_steps / elapsed, **{f"{name}_s": s for name, s in parts_s.items()},
            "inference_s": parts_s["collect"] - parts_s["env"],
            **{f"reward_{name}": listed(value) for name, value in parts.items()},
            "learning_reward": listed(collected.learning_reward),
            **{k: listed(v) if isinstance(v, Tensor) else v for k, v in logs.items()},
            "clamped": float(self.state.clamped.float().mean()),
        }  # fmt: skip

    def _validate(self) -> dict[str, Any]:
        """Score on validation weeks."""
        start = self.clock()
        result = distributed.by_first(lambda: self.validation.run(self.controller()))
        better = result["score"] > self.best
        self.best, self.stale = (result["score"], 0) if better else (self.best, self.stale + 1)
        self.seconds += distributed.by_first(lambda: self.clock() - start)
        self.validated = int(self.progress * self.config.validations)
        return {f"validation_{k}": v for k, v in result.items()}

    def _checkpoint(self) -> None:
        """Save `last`, a numbered checkpoint, and `best` where the validation before was the best."""
        start = self.clock()
        if self.stale == 0:
            self.save("best", resumable=False)
        self.save("last")
        if self.config.keep_checkpoints:
            self.save(f"{self.iteration:06d}", resumable=False)
            distributed.by_first(lambda: self.folder.prune(self.config.keep_checkpoints))
        self.seconds += distributed.by_first(lambda: self.clock() - start)

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
            "validation_score": self.best, "stale": self.stale,
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
        TrainingError: cuda is asked for and not there, or torch knows no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(f"device = {name!r}: torch sees no CUDA GPU here; use --device cpu, or auto")
    try:
        return torch.device(name)
    except RuntimeError:
        raise TrainingError(f"device = {name!r}: torch knows no such device; use auto, cpu, cuda or cuda:1") from None


def _rng_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
