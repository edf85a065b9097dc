"""Runs controllers and baselines on the same test episodes and scores them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from smartgrid_core.compiled import MOST_WRITTEN_OUT
from smartgrid_core.config import GridConfig
from smartgrid_core.controllers import Controller, OptimumController, make_controller, run_episode
from smartgrid_core.controllers.episode import EpisodeRecord, prosumer_cost_j
from smartgrid_core.controllers.rules import IdleController, grid_only_config
from smartgrid_core.errors import ConfigError
from smartgrid_core.faults import nearest
from smartgrid_core.kpis import kpis
from smartgrid_core.profiles.splits import DAYS_PER_WEEK
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State
from trainer import evaluation_cache
from trainer.scoreboard import Outcome, Scoreboard, build
from trainer.validation import MAX_PLANNED, is_planned

GRID_ONLY, OPTIMUM = "grid_only", "optimum"
RULES = (GRID_ONLY, "random", "idle", "self-consumption", "time-of-use")
MPC_EPISODES = 6  # planning takes 100 times as long as a rule; more would take the default board past 90 s
GROUPS = ("all", "none", "rules", "mpc", OPTIMUM)

Against = str | Sequence[str] | None


def evaluate(
    config: GridConfig | str | Path,
    controllers: Sequence[Controller] = (),
    *,
    against: Against = "all",
    seeds: Sequence[int] | None = None,
    mpc_episodes: int = MPC_EPISODES,
    device: str | torch.device = "cpu",
    cache: bool = True,
    progress: bool = False,
) -> Scoreboard:
    """Score controllers and baselines on the test episodes of a scenario.

    Everybody meets the same episodes: one grid a seed. `grid_only` and the optimum are always run, because
    the score is made of them; they are listed only where `against` asks for it. A community too large to be planned
    (`is_planned`) has neither optimum nor model predictive control: its board holds costs and no scores.

    Args:
        config: a GridConfig, or the name or path of a scenario.
        controllers: policies, or any other `Controller`.
        against: baselines: "all", "none" or None, or some of "rules", "mpc", "optimum" and single names, as a
            sequence or separated by commas.
        seeds: one test episode each; None: those of the scenario.
        mpc_episodes: model predictive control runs on the first so many, and is compared on these.
        device: where the simulator runs.
        cache: keep baselines' results in the user's cache folder, and use those kept.
        progress: one line on standard error.

    Raises:
        ConfigError: an argument or the scenario cannot be used.
        ImportError: HiGHS is not installed.
    """
    config = config if isinstance(config, GridConfig) else GridConfig.load(config)
    seeds = _checked_seeds(config.evaluation.seeds if seeds is None else seeds)
    with _Line(progress) as line:
        return evaluate_in_detail(
            config, controllers, against=against, seeds=seeds, mpc_episodes=mpc_episodes, device=device, cache=cache,
            watch=line,
        ).scoreboard  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """A scoreboard with the episodes it is made of."""

    scoreboard: Scoreboard
    outcomes: dict[str, Outcome]  # by the name of the row
    grid_only: Outcome
    optimum: Outcome | None  # None: too many prosumers to plan it


class Watch:
    """What `evaluate_in_detail` tells while it works; by default nothing listens."""

    records = False  # whether `record` wants every controller listed: none is then read from the cache

    def plan(self, runs: int, steps_per_run: int) -> None:
        """How much there is to do."""

    def begin(self, name: str) -> None:
        """A run begins."""

    def advance(self) -> None:
        """It took a step."""

    def end(self) -> None:
        """It is over, or was read from the cache without a step."""

    def record(self, name: str, record: EpisodeRecord) -> None:
        """What a controller did, with all its series."""


def evaluate_in_detail(
    config: GridConfig,
    controllers: Sequence[Controller] = (),
    *,
    against: Against,
    seeds: Sequence[int],
    mpc_episodes: int = MPC_EPISODES,
    device: str | torch.device = "cpu",
    cache: bool = True,
    watch: Watch | None = None,
) -> Evaluation:
    """As `evaluate`, told by `watch`, with every controller's outcome episode by episode."""
    watch, seeds = watch or Watch(), _checked_seeds(seeds)
    if mpc_episodes < 1:
        raise ConfigError(f"mpc_episodes = {mpc_episodes}: expected a whole number ≥ 1")
    names = baseline_names(config, against)
    if not names and not controllers:
        raise ConfigError("nothing to evaluate: give a policy, or baselines to list (against = 'all')")
    references = [GRID_ONLY, OPTIMUM] if is_planned(config) else [GRID_ONLY]
    needed = list(dict.fromkeys([*references, *names]))
    watch.plan(len(needed) + len(controllers), config.episode_steps)
    runner = _Runner(config, seeds, torch.device(device), watch)
    runner.refuse_misfits(controllers)
    baselines: dict[str, Outcome] = {}
    for name in needed:
        episodes = seeds[:mpc_episodes] if name.startswith("mpc-") else seeds
        baselines[name] = runner.baseline(name, episodes, cache, anew=watch.records and name in names)
    scored = [runner.controller(controller) for controller in controllers]
    outcomes = _unique_names([*scored, *(baselines[name] for name in names)])
    optimum = baselines.get(OPTIMUM)
    board = build(config.name, seeds, outcomes, baselines[GRID_ONLY], optimum)
    return Evaluation(board, {o.name: o for o in outcomes}, baselines[GRID_ONLY], optimum)


def baseline_names(config: GridConfig, against: Against) -> list[str]:
    """Names of the baselines that `against` asks for, in the order of the design, without repetition.

    Raises:
        ConfigError: a name that is neither a group nor a baseline of this scenario; offers the nearest.
    """
    kinds = dict.fromkeys(["persistence", config.forecast.kind, "perfect"])
    mpc = [f"mpc-{kind}" for kind in kinds if kind != "none"]
    groups = {"rules": list(RULES), "mpc": mpc, OPTIMUM: [OPTIMUM], "none": []}
    groups["all"] = [*groups["rules"], *mpc, OPTIMUM]
    planned = ["mpc", *mpc, OPTIMUM]
    wanted = against.split(",") if isinstance(against, str) else list(against or [])
    asked: set[str] = set()
    for word in (text.strip() for text in wanted):
        if word not in groups and word not in groups["all"]:
            known = list(dict.fromkeys([*GROUPS, *groups["all"]]))
            near = nearest(word, known)
            hint = f"did you mean {near!r}? " if near else ""
            raise ConfigError(f"against = {word!r}: {hint}known are {', '.join(known)}")
        if word in planned and not is_planned(config):
            raise ConfigError(
                f"against = {word!r}: {config.name} has {config.num_agents:,} prosumers, planning takes at most "
                f"{MAX_PLANNED}; compare with rules"
            )
        asked.update(groups.get(word, [word]))
    return [name for name in groups["all"] if name in asked and (is_planned(config) or name not in planned)]


def record_episode(
    config: GridConfig, controller: Controller, seed: int, device: str | torch.device = "cpu"
) -> EpisodeRecord:
    """One test episode with all its series, for plots; [T, 1, …]."""
    return run_episode(Simulator(config, 1, device, split="test"), controller, seed=[seed])


def _checked_seeds(seeds: Sequence[int]) -> list[int]:
    seeds = [int(seed) for seed in seeds]
    if not seeds:
        raise ConfigError("no seeds: the scoreboard needs at least one test episode")
    if len(set(seeds)) < len(seeds):
        repeated = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise ConfigError(f"seed {repeated} is listed twice: an episode counts once")
    return seeds


def _unique_names(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, a repeated name numbered: rows are found by name."""
    seen: dict[str, int] = {}
    unique = []
    for outcome in outcomes:
        seen[outcome.name] = seen.get(outcome.name, 0) + 1
        count = seen[outcome.name]
        unique.append(outcome if count == 1 else replace(outcome, name=f"{outcome.name} ({count})"))
    return unique


def forecast_label(config: GridConfig, kind: str) -> str | None:
    """A forecast kind for people; None where nothing is forecast."""
    if kind == "noisy":
        return f"noisy {config.forecast.sigma:.0%}".replace("%", " %")
    return None if kind == "none" else kind


class _Runner:
    """Runs one controller after the other on the test episodes of a scenario."""

    def __init__(self, config: GridConfig, seeds: list[int], device: torch.device, watch: Watch):
        self.config, self.seeds, self.device, self.watch = config, seeds, device, watch
        self.sim = self._simulator(config, len(seeds))
        self.week = _weeks(self.sim, seeds)
        self.grid_only: Outcome | None = None
        self._fewer: Simulator | None = None

    def refuse_misfits(self, controllers: Sequence[Controller]) -> None:
        """Begin with every policy once: one that does not fit is refused before minutes go into baselines."""
        policies = [c for c in controllers if c.kind == "policy"]
        state = self.sim.reset(seed=self.seeds)[0] if policies else None
        for policy in policies:
            policy.start(self.sim, state)  # pyright: ignore[reportArgumentType]

    def baseline(self, name: str, seeds: list[int], cache: bool, anew: bool = False) -> Outcome:
        """A baseline's outcome, from the cache where it is there and not to be made anew."""
        self.watch.begin(name)
        path = evaluation_cache.path_for(self.sim, name, seeds) if cache else None
        outcome = evaluation_cache.load(path) if path and not anew else None
        if outcome is None:
            outcome = self._run_baseline(name, seeds)
            if path:
                evaluation_cache.save(path, outcome)
        if name == GRID_ONLY:
            self.grid_only = outcome
        self.watch.end()
        return outcome

    def controller(self, controller: Controller) -> Outcome:
        """The outcome of a policy, or of any controller given."""
        self.watch.begin(controller.name)
        observes = controller.kind == "policy"
        forecast = forecast_label(self.config, self.config.forecast.kind) if observes else None
        outcome = self._outcome(controller.name, controller, self.sim, self.seeds, forecast)
        self.watch.end()
        return outcome

    def _run_baseline(self, name: str, seeds: list[int]) -> Outcome:
        if name == GRID_ONLY:
            sim = self._simulator(grid_only_config(self.config), len(seeds))
            return self._outcome(name, IdleController(), sim, seeds, None)
        if name == OPTIMUM:
            # Absolute orders reach every set-point of the plan; the physics is the same in both modes.
            reachable = self.config.model_copy(update={"trade_mode": "absolute"})
            sim = self._simulator(reachable, len(seeds))
            controller = OptimumController()
            outcome = self._outcome(name, controller, sim, seeds, "the truth")
            return replace(outcome, bound_j=controller.bound_eur)
        sim = self.sim if len(seeds) == len(self.seeds) else self._planning_sim(len(seeds))
        forecast = forecast_label(self.config, name.removeprefix("mpc-")) if name.startswith("mpc-") else None
        return self._outcome(name, make_controller(name), sim, seeds, forecast)

    def _planning_sim(self, num_grids: int) -> Simulator:
        """The simulator of the fewer episodes of model predictive control, built once for all its kinds."""
        if self._fewer is None:
            self._fewer = self._simulator(self.config, num_grids)
        return self._fewer

    def _simulator(self, config: GridConfig, num_grids: int) -> Simulator:
        """Compiled where that takes seconds and is kept from run to run."""
        compile = self.device.type == "cpu" and config.num_agents <= MOST_WRITTEN_OUT
        return Simulator(config, num_grids, self.device, split="test", compile=compile)

    def _outcome(
        self, name: str, controller: Controller, sim: Simulator, seeds: list[int], forecast: str | None
    ) -> Outcome:
        record = run_episode(sim, _Watched(controller, self.watch.advance), seed=seeds)
        self.watch.record(name, record)
        grid_only_j = None if self.grid_only is None else self.grid_only.prosumer_j[: len(seeds)]
        costs, week = prosumer_cost_j(record), self.week[: len(seeds)]
        return Outcome(name, controller.kind, forecast, costs, kpis(record, grid_only_j), week=week)


def _weeks(sim: Simulator, seeds: list[int]) -> np.ndarray:
    """The weeks of the data, numbered, that the episodes of `seeds` begin in, [E]."""
    state, _ = sim.reset(seed=seeds)
    return state.row.cpu().numpy() // (DAYS_PER_WEEK * sim.config.steps_per_day)


class _Watched:
    """A controller that tells how far it is."""

    def __init__(self, controller: Controller, advance: Callable[[], None]):
        self.name, self.kind = controller.name, controller.kind
        self._controller, self._advance = controller, advance

    def start(self, sim: Simulator, state: State) -> None:
        self._controller.start(sim, state)

    def act(self, state: State, obs: torch.Tensor) -> torch.Tensor:
        self._advance()
        return self._controller.act(state, obs)


class _Line(Watch):
    """One line of progress on standard error, or none."""

    def __init__(self, shown: bool):
        self._progress = Progress(
            SpinnerColumn(), TextColumn("evaluating {task.description:<18}"), BarColumn(),
            MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn(),
            console=Console(stderr=True), transient=True, disable=not shown,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None)
        self._steps_per_run, self._done = 0, 0

    def __enter__(self) -> _Line:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def plan(self, runs: int, steps_per_run: int) -> None:
        self._progress.update(self._task, total=runs * steps_per_run)
        self._steps_per_run = steps_per_run

    def begin(self, name: str) -> None:
        self._progress.update(self._task, description=name)

    def advance(self) -> None:
        self._progress.advance(self._task)

    def end(self) -> None:
        """A baseline from the cache takes no steps: catch up with its share."""
        self._done += 1
        self._progress.update(self._task, completed=self._done * self._steps_per_run)
