"""The work of a comparison: evaluate policies on each scenario, compare them in pairs, keep days and series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from server.errors import ApiError
from server.policies import Policies, misfit
from server.scenarios import Scenarios
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.controllers import Controller
from smartgrid_core.controllers.episode import EpisodeRecord
from smartgrid_core.errors import UserError
from trainer.evaluate import GRID_ONLY, Evaluation, Watch, baseline_names, evaluate_in_detail
from trainer.interface import interface_of
from trainer.significance import paired

Tell = Callable[[float, str], None]
LEDGER = ("demand_kw", "generation_kw", "bought_kw", "sold_kw", "received_kw", "sent_kw", "charge_kw", "discharge_kw")
LEDGER += ("unserved_kw", "curtailed_kw")


def compare(work: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Do a `ComparisonRequest`.

    Args:
        work: its fields, and "runs", "operator", "scenarios_dir": where policies and scenarios lie.
        tell: part done and what is going on.

    Returns:
        fields of `ComparisonResult`.

    Raises:
        ApiError: nothing can be compared.
    """
    torch.set_num_threads(1)
    policies = Policies(Path(work["runs"]), work["operator"])
    scenarios = Scenarios(Path(work["scenarios_dir"]))
    results = []
    for number, name in enumerate(work["scenarios"]):
        config = _config(scenarios, name, work["days"])
        listener = _Listener(config, lambda part, doing, n=number, s=name: tell(
            (n + part) / len(work["scenarios"]), f"{doing} on {s}"
        ))  # fmt: skip
        results.append(_scenario(config, work, policies, listener))
    if not any(result["costs"] for result in results):
        reasons = [f"{s['policy']}: {s['reason']}" for result in results for s in result["skipped"]]
        raise ApiError(422, "does_not_fit", "nothing to compare: " + "; ".join(reasons)[:2000], "policies")
    return {"scenarios": results}


def _config(scenarios: Scenarios, name: str, days: float | None) -> GridConfig:
    """The scenario, of other length where that is asked for."""
    if days is None:
        return scenarios.load(name)
    return GridConfig.load(str(scenarios.path(name)), name=name, episode_days=days)


def episode_seeds(config: GridConfig, seeds: list[int] | None, episodes: int) -> list[int]:
    """The seeds asked for, or so many of the scenario's."""
    return config.evaluation.first(episodes) if seeds is None else seeds


def _scenario(config: GridConfig, work: Mapping[str, Any], policies: Policies, listener: _Listener) -> dict[str, Any]:
    """Fields of `ScenarioResult`."""
    seeds = episode_seeds(config, work["seeds"], work["episodes"])
    sim = Simulator(config, 1, split="test")
    state, _ = sim.reset(seed=seeds[:1])
    start = sim.table.profiles.start + np.timedelta64(int(state.row) * config.step_minutes, "m")
    controllers, baselines, skipped = _choose(config, sim, work["policies"], policies)
    result: dict[str, Any] = {
        "scenario": config.name, "seeds": seeds, "days": config.episode_days, "skipped": skipped,
        "scoreboard": {}, "costs": {}, "pairs": [], "daily": [],
    }  # fmt: skip
    if controllers or baselines:
        evaluation = evaluate_in_detail(
            config, controllers, against=baselines, seeds=seeds, mpc_episodes=len(seeds), watch=listener
        )
        result |= _numbers(evaluation, [name for name in work["policies"] if name in evaluation.outcomes])
        result["daily"] = [row for name in result["costs"] for row in listener.daily[name]]
    series = {name: listener.series[name] for name in result["costs"]}
    about = {"seed": seeds[0], "start": str(start.astype("datetime64[s]")), "step_minutes": config.step_minutes}
    return result | {"series": about | {"policies": series}}


def _choose(
    config: GridConfig, sim: Simulator, names: list[str], policies: Policies
) -> tuple[list[Controller], list[str], list[dict[str, str]]]:
    """Trained policies to evaluate, baselines to list, and what cannot run this scenario."""
    there = interface_of(sim)
    controllers: list[Controller] = []
    baselines: list[str] = []
    skipped: list[dict[str, str]] = []
    for name in names:
        try:
            if name == GRID_ONLY or policies.entry(name).source == "controller":
                if name != GRID_ONLY and (reason := misfit(policies.entry(name), config, there)):
                    raise ApiError(422, "does_not_fit", reason)
                baselines += baseline_names(config, [name])
                continue
            if reason := misfit(policies.entry(name), config, there):
                raise ApiError(422, "does_not_fit", reason)
            controller = policies.load(name)
            controller.name = name  # rows are found by the name asked for
            controllers.append(controller)
        except (ApiError, UserError) as error:
            skipped.append({"policy": name, "reason": str(error)})
    return controllers, baselines, skipped


def _numbers(evaluation: Evaluation, names: list[str]) -> dict[str, Any]:
    """Scoreboard, costs and pairs, in the order asked for."""
    outcomes = [evaluation.outcomes[name] for name in names]
    pairs = paired(outcomes, evaluation.grid_only, evaluation.optimum)
    return {
        "scoreboard": evaluation.scoreboard.to_dict(),
        "costs": {outcome.name: outcome.cost_j.tolist() for outcome in outcomes},
        "pairs": [asdict(pair) for pair in pairs],
    }


class _Listener(Watch):
    """Tells how far the evaluation is, and keeps days and series of every policy asked for."""

    records = True

    def __init__(self, config: GridConfig, tell: Tell):
        self._config, self._tell = config, tell
        self._total = self._runs = self._done = self._of_run = 0
        self._steps_per_run, self._name = 1, ""
        self.daily: dict[str, list[dict[str, Any]]] = {}
        self.series: dict[str, dict[str, list[float]]] = {}

    def plan(self, runs: int, steps_per_run: int) -> None:
        self._runs, self._steps_per_run = runs, steps_per_run

    def begin(self, name: str) -> None:
        self._name, self._of_run = name, 0
        self._say()

    def advance(self) -> None:
        self._of_run += 1
        self._say()

    def end(self) -> None:
        self._done, self._of_run = self._done + 1, 0

    def record(self, name: str, record: EpisodeRecord) -> None:
        self.daily[name] = [{"policy": name, **row} for row in daily_rows(record, self._config)]
        self.series[name] = series_columns(record)

    def _say(self) -> None:
        self._tell((self._done + self._of_run / self._steps_per_run) / max(self._runs, 1), self._name)


def daily_rows(record: EpisodeRecord, config: GridConfig) -> list[dict[str, Any]]:
    """Each prosumer's energy by day of the episode, kWh, mean over the episodes; fields of `DailyRow`.

    Solar used is generation less what was sold or curtailed in the same step, floored at 0 (as in self-consumption,
    Luthander et al. 2015): what a battery sells later counts as used.
    """
    s = record.series
    assert s is not None
    columns = {
        "demand_kwh": s.demand_kw, "demand_met_kwh": s.demand_kw - s.unserved_kw, "solar_kwh": s.generation_kw,
        "solar_used_kwh": np.maximum(s.generation_kw - s.sold_kw - s.curtailed_kw, 0), "bought_kwh": s.bought_kw,
        "sold_kwh": s.sold_kw, "received_kwh": s.received_kw, "sent_kwh": s.sent_kw,
    }  # fmt: skip
    first_steps = np.arange(0, len(s.demand_kw), config.steps_per_day)
    days = {
        name: np.add.reduceat(power, first_steps, axis=0).mean(axis=1) * record.step_h
        for name, power in columns.items()
    }
    names = [agent.name for agent in config.agents]
    return [
        {"day": day, "agent": f"agent_{k}", "name": name, **{c: round(float(v[day, k]), 4) for c, v in days.items()}}
        for day in range(len(first_steps))
        for k, name in enumerate(names)
    ]


def series_columns(record: EpisodeRecord) -> dict[str, list[float]]:
    """The community in the first episode, one value a step."""
    s = record.series
    assert s is not None
    columns = {name: getattr(s, name)[:, 0].sum(axis=1) for name in LEDGER}
    columns["soc_kwh"] = s.soc_kwh[:, 0].sum(axis=1)
    columns["cost_eur"] = s.cost_eur[:, 0].sum(axis=1)
    columns["reward"] = s.reward[:, 0].mean(axis=1)
    for name in ("stability", "loss_kw", "slack_kw", "max_loading", "import_eur_per_kwh", "export_eur_per_kwh"):
        columns[name] = getattr(s, name)[:, 0]
    voltage = s.voltage_pu[:, 0]
    columns["min_voltage_pu"] = np.where(voltage > 0, voltage, np.inf).min(axis=1)
    columns["min_voltage_pu"] = np.where(np.isfinite(columns["min_voltage_pu"]), columns["min_voltage_pu"], 0.0)
    return {name: [round(float(x), 6) for x in values] for name, values in columns.items()}
