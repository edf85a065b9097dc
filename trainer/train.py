"""A training run: collect, update, log, validate, checkpoint, until iterations, time or the user ends it."""

from __future__ import annotations

import errno
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smartgrid_core import GridConfig, Simulator, State
from smartgrid_core.devices import device_of
from smartgrid_core.errors import ConfigError, UserError
from smartgrid_core.types import RewardParts
from trainer import dense, distributed, resuming, snapshot
from trainer.config import TrainConfig, check_batch
from trainer.interface import interface_of
from trainer.learner import Collected, make_learner
from trainer.learning_reward import steps_of_hold
from trainer.metrics import event_writer, listed, write_scalars
from trainer.policy import PolicyController
from trainer.progress import TrainingProgress, say
from trainer.revalidate import is_compiled
from trainer.runs import RunFolder
from trainer.soundness import broken_number, broken_weights
from trainer.tally import Tally
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
        self.tally = Tally()
        self.clock = {"wall": time.perf_counter, "cpu": time.process_time}[config.clock]
        self.saved_at: int | None = None  # iteration of `last`
        self.saved_s = 0.0  # when that was, in seconds of the tally
        self.interrupted = False  # by Ctrl-C or SIGTERM
        self.over = ""  # why a run that is resumed has nothing left to do
        self.news: list[str] = []  # lines to tell when the run begins
        self.changes: list[str] = []  # of them, settings other than those of the run that is resumed
        self.before: resuming.Settings | None = None  # on the first rank, those of the run that is resumed
        check_batch(config)
        distributed.by_first(self._refuse_repetition)
        distributed.by_first(lambda: self.folder.refuse_other(self.resume or self._began_here()))
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
            hold_steps=steps_of_hold(config, scenario),
            compile=config.compile,
        )
        self.interface = interface_of(self.sim)
        self.learner = make_learner(config, self.sim)
        self.learner.watch.clock = self.clock
        if config.warm_start is not None and not resume:
            self.news.append(warm_start(self.learner.actor, self._about(), config.warm_start))
        distributed.broadcast(self.learner.state_dict())
        distributed.seed_rank(config.seed)
        compile = is_compiled(config, scenario)
        self.validation = Validation(scenario, config.validation_episodes, self.device, compile=compile)
        self.state, self.obs = self.sim.reset()

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps (one grid, one step) an iteration takes, on all ranks together."""
        return self.config.horizon * self.config.num_grids * self.learner.hold * distributed.world_size()

    @property
    def progress(self) -> float:
        """Fraction of the run done, by iterations or by time, whichever is further."""
        return self.config.progress(self.tally.iteration, self.tally.seconds)

    @property
    def on_plateau(self) -> bool:
        """Whether the last `patience` validations brought no better score."""
        return self.config.on_plateau(self.tally.stale)

    def run(self) -> None:
        """Train to the end, or to a plateau. Ctrl-C and SIGTERM end it after the iteration, save `last` and return.

        Raises:
            ConfigError: there is nothing to resume, or it is damaged or of other settings.
            TrainingError: losses, gradients or weights stopped being finite, or the disk is full.
        """
        try:
            self._run()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            if self.folder.can_resume():
                way_on = f"and --resume from {self.folder.checkpoints / 'last'}; fewer --keep_checkpoints take less"
            else:
                way_on = "and start anew, with another --out: nothing to resume was saved before"
            reason = f"{error.strerror} at iteration {self.tally.iteration}: free space for {self.folder.path} {way_on}"
            raise TrainingError(reason) from error

    def _run(self) -> None:
        saved = distributed.dealt(self._open)
        if saved is not None:
            self.news = [snapshot.put_back(self, saved), *self.changes]
            if self.before is not None:
                self.news += resuming.told_of_progress(self.before.train, self.config, self.tally)
            self.over = self.config.what_is_over(self.tally.iteration, self.tally.seconds, self.tally.stale)
            if self.over:  # the settings of the run stay as well: those given now took no effect
                say(f"nothing left to do: {self.over}")
                return
            distributed.by_first(self._take_over)
        with (
            event_writer(self.folder.path, self.tally.env_steps) as board,
            TrainingProgress(self) as bar,
            distributed.Interruption() as interruption,
        ):
            for line in self.news:
                bar.message(line)
            try:
                self._train(board, bar, interruption)
            except KeyboardInterrupt:  # amid an iteration or a save: half of either is not kept
                self.interrupted = True
                kept = "nothing" if self.saved_at is None else f"iteration {self.saved_at}"
                bar.message(f"ended at once: {kept} is saved")

    def _train(self, board: Any, bar: TrainingProgress, interruption: distributed.Interruption) -> None:
        try:
            self._warm_up(bar)
            interruption.hold()
        except KeyboardInterrupt:  # while compiling: nothing is half done
            self.interrupted = True
        while not (self.interrupted or self.progress >= 1.0 or self.on_plateau):
            self._iterate(board, bar)
            self.interrupted = interruption.came()
        if self.interrupted:
            if self.saved_at != self.tally.iteration:
                self._stop_if_weights_broke()
                self.save("last")
            over = self.progress >= 1.0 or self.on_plateau
            bar.message(f"interrupted: saved; {'the run was over' if over else 'continue with --resume'}")
        elif self.on_plateau:
            bar.message(
                f"stopped: no better score than {self.tally.best:.3f} in {self.tally.stale} validations (patience = "
                f"{self.config.patience}); --resume with a larger --patience, or 0, goes on"
            )

    def _open(self) -> list[dict[str, Any] | None]:
        """Make the run folder; of one to be resumed read what each rank resumes from, and write nothing yet."""
        world, again = distributed.world_size(), self._began_here()
        if self.resume or (again and self.folder.can_resume()):
            first = self.folder.load_training()
            self.before = resuming.stored(self.folder.path)
            self.changes = resuming.check(self.folder.path, self.before, self._settings())
            file = self.folder.training_file()
            assert file is not None  # it was just read
            resuming.check_shape(file, first, snapshot.shape(self), self.folder.way_on(file))
            left = first.get("world_size", 1)
            return [self.folder.load_training(rank=r % left) if r % left else first for r in range(world)]
        self.folder.create(self._settings().plain(), again, distributed.job())
        self.folder.truncate_metrics(0)
        return [None] * world

    def _take_over(self) -> None:
        """Write into the folder of a run that is resumed: its settings as they are now, no later metrics."""
        self.folder.create(self._settings().plain(), True, distributed.job())
        self.folder.truncate_metrics(self.tally.iteration)

    def _began_here(self) -> bool:
        """Whether a rank died, torchrun started all of them anew, and the run in the folder is theirs."""
        return distributed.restarted() and self.folder.is_of(distributed.job())

    def _settings(self) -> resuming.Settings:
        """What config.json keeps."""
        return resuming.Settings(self.config, self.scenario)

    def _refuse_repetition(self) -> None:
        """A process torchrun began in place of one that stopped for good would come to the same end."""
        if self._began_here():
            reason = self.folder.why_stopped(self._settings().plain())
            if reason is not None:
                raise TrainingError(f"not started again, as the same would happen: {reason}")

    def _warm_up(self, bar: TrainingProgress) -> None:
        """Compile the step and take validation's references before the clock starts."""
        if self.progress >= 1.0 or self.on_plateau:
            return
        if note := distributed.by_first(self.validation.prepare).note:
            bar.message(note)
        if self.device.type == "cpu":
            dense.prepare()
        if self.config.compile:
            start = time.perf_counter()
            bar.message("compiling the step (the next run finds it in the cache) …")
            self.learner.warm_up(self.state)
            bar.message(f"compiled in {time.perf_counter() - start:.0f} s")

    def _iterate(self, board: Any, bar: TrainingProgress) -> None:
        start, watch, before = self.clock(), self.learner.watch, self.state
        with watch("collect"):
            collected = self.learner.collect(self.state, self.obs, self.progress)
        self.state, self.obs = collected.state, collected.obs
        with watch("update"):
            logs = self.learner.update(self.progress)
        parts = watch.take()
        times = [parts[name] for name in PARTS] + [self.clock() - start]
        *times, elapsed = distributed.mean_over_ranks(torch.tensor(times, dtype=torch.float64)).tolist()
        self.tally.iterated(self.steps_per_iteration, elapsed)
        record = self._record(collected, logs, dict(zip(PARTS, times, strict=True)), elapsed)
        record = distributed.averaged(record | self._replaced(before))
        self._stop_if(broken_number(record))
        due = self.progress * self.config.validations >= self.tally.validated + 1 or self.progress >= 1.0
        between = not due and self.tally.seconds - self.saved_s >= 60 * self.config.checkpoint_minutes
        if due or between:
            self._stop_if_weights_broke()
        if due:
            record |= self._validate()
        if distributed.is_first():
            self.folder.append_metrics(record)  # before it is saved: lines a checkpoint does not know are dropped
            write_scalars(board, record, self.tally.env_steps)
        if due:
            self._checkpoint()
        elif between:
            self.save("last")  # its time is not counted: it could end the run without a last validation
        bar.update(record)

    def _stop_if_weights_broke(self) -> None:
        """End the run on all ranks where on any of them the learner is not finite."""
        fault = broken_weights(self.learner, self.obs)
        if distributed.mean_over_ranks(torch.tensor(float(fault is not None))) > 0:
            self._stop_if(fault or "the weights of another rank are not finite")

    def _stop_if(self, fault: str | None) -> None:
        """End the run where there is a fault; what was saved before stays."""
        if fault is None:
            return
        rate = f"lower --learning_rate ({self.config.learning_rate})"
        if distributed.by_first(self.folder.can_resume):
            way_on = f"last good checkpoint: {self.folder.checkpoints / 'last'}; {rate} and --resume"
        else:
            way_on = f"nothing was saved before; {rate} and start anew with another --out"
        reason = f"{fault} at iteration {self.tally.iteration}: {way_on}"
        distributed.by_first(partial(self.folder.mark_stopped, reason))
        raise TrainingError(reason)

    def _record(
        self, collected: Collected, logs: dict[str, Any], parts_s: dict[str, float], elapsed: float
    ) -> dict[str, Any]:
        """One line of metrics.jsonl; per-agent values as lists, of many prosumers the means of groups."""
        parts = dict(zip(RewardParts._fields, collected.reward_parts, strict=True))
        agent_steps = self.steps_per_iteration * self.sim.num_agents
        return {
            "iteration": self.tally.iteration, "env_steps": self.tally.env_steps, "seconds": self.tally.seconds,
            "progress": self.progress, "world_size": distributed.world_size(),
            "agent_steps_per_s": agent_steps / elapsed, **{f"{name}_s": s for name, s in parts_s.items()},
            "inference_s": parts_s["collect"] - parts_s["env"],
            "reward": listed(self.sim.params.reward_weights @ collected.reward_parts),
            **{f"reward_{name}": listed(value) for name, value in parts.items()},
            "learning_reward": listed(collected.learning_reward),
            **{k: listed(v) if isinstance(v, Tensor) else v for k, v in logs.items()},
        }  # fmt: skip

    def _replaced(self, before: State) -> dict[str, float]:
        """Shares of an iteration's action entries that the simulator put into [-1, 1], and that were no numbers."""
        entries = self.config.horizon * self.learner.hold * self.sim.num_agents * self.sim.action_dim
        pairs = {name: (getattr(before, name), getattr(self.state, name)) for name in ("clamped", "nonfinite")}
        return {name: float((now - then).float().mean()) / entries for name, (then, now) in pairs.items()}

    def _validate(self) -> dict[str, Any]:
        """Score on validation weeks."""
        start = self.clock()
        result = distributed.by_first(lambda: self.validation.run(self.controller()))
        self.tally.scored(result["score"])
        self.tally.seconds += distributed.by_first(lambda: self.clock() - start)
        self.tally.validated = int(self.progress * self.config.validations)
        return {f"validation_{k}": v for k, v in result.items()}

    def _checkpoint(self) -> None:
        """Save `last`, a numbered checkpoint, and `best` where the validation before was the best."""
        start = self.clock()
        if self.tally.stale == 0:
            self.save("best", resumable=False)
        self.save("last")
        if self.config.keep_checkpoints:
            self.save(f"{self.tally.iteration:06d}", resumable=False)
            distributed.by_first(lambda: self.folder.prune(self.config.keep_checkpoints))
        self.tally.seconds += distributed.by_first(lambda: self.clock() - start)

    def controller(self) -> PolicyController:
        """The policy as it stands."""
        return PolicyController(self.learner.actor, self._about(), self.config.algorithm)

    def _about(self) -> dict[str, Any]:
        return {
            "algorithm": self.config.algorithm, "share_parameters": self.config.share_parameters,
            "levels": self.config.qmix.levels, "scenario": self.scenario.name,
            "run": self.folder.path.name, "hidden": list(self.config.hidden), "hold_h": self.config.hold_h,
            "observation_dim": self.sim.observation_dim, "action_dim": self.sim.action_dim,
            **self.interface.plain(),
            **self.tally.of_log(),
        }  # fmt: skip

    def save(self, name: str, resumable: bool = True) -> None:
        """Write a checkpoint; a resumable one holds all that the next iteration depends on."""
        ranks = distributed.gathered(snapshot.take(self)) if resumable else None
        distributed.by_first(lambda: self.folder.save(name, self.learner.actor.state_dict(), ranks, self._about()))
        if resumable:
            self.saved_at, self.saved_s = self.tally.iteration, self.tally.seconds


def resolve_device(name: str) -> torch.device:
    """The torch device a configuration names; `auto` takes cuda where there is one.

    Raises:
        ConfigError: a GPU is asked for that is not there, or torch knows no such device or cannot use it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = device_of(name, "use --device cpu, or auto")
    if device.type not in ("cpu", "cuda"):
        try:
            torch.zeros(1, device=device).item()
        except (RuntimeError, NotImplementedError, AssertionError):
            raise ConfigError(f"device = {name!r}: torch cannot compute there; use auto, cpu or cuda") from None
    return device
