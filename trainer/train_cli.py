"""`python -m trainer train`: from a scenario's name to a trained policy and its scoreboard."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INTERRUPTED = 130  # exit code after Ctrl-C

EPILOG = """Every field of the training configuration is an option (--learning_rate 1e-3, --num_grids 512,
--ppo.epochs 2), and so is every field of the scenario by its path (--tariff.export_eur_per_kwh 0.05,
--prosumers.*.battery.capacity_kwh 5). On K processes or GPUs, each with num_grids communities of its own:
torchrun --standalone --nproc-per-node=K --max-restarts=3 -m trainer train ...; after the death of a process all
start again and go on from the last checkpoint."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer train", description="Train one policy per prosumer.", epilog=EPILOG,
        allow_abbrev=False,  # --seed is a field, and no short form of --seeds
    )  # fmt: skip
    parser.add_argument("--scenario", default="community-5", help="name or path of a scenario (default: community-5)")
    parser.add_argument("--algorithm", default="ippo", help="ippo, mappo, qmix or shac (default: ippo)")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/SCENARIO)")
    parser.add_argument(
        "--seeds", type=int, metavar="K", help="train K seeds, from --seed on, and report them together"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="of --seeds, J side by side (default: 1)")
    parser.add_argument("--resume", action="store_true", help="continue the run in the folder")
    parser.add_argument("--warm-start", metavar="RUN", help="begin with the actors of a run, checkpoint or policy")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--no-evaluate", action="store_true", help="skip the scoreboard at the end")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    arguments, rest = _parser().parse_known_args(list(argv))
    from smartgrid_core.errors import UserError  # after parsing: --help needs no torch
    from trainer.overrides import parse_overrides

    try:
        return _train(arguments, parse_overrides(rest))
    except (UserError, OSError) as error:
        rank = os.environ.get("RANK", "0")  # of torchrun's processes
        print(f"error: {error}" if rank == "0" else f"rank {rank}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted before training began: nothing to save", file=sys.stderr)
        return INTERRUPTED


def _train(arguments: argparse.Namespace, overrides: dict[str, Any]) -> int:
    from smartgrid_core import GridConfig
    from trainer import distributed
    from trainer.config import TrainConfig, load_train_config, scaled_to
    from trainer.train import Training, resolve_device

    device = str(resolve_device(arguments.device))
    if arguments.warm_start is not None:
        overrides = {"warm_start": arguments.warm_start} | overrides
    own = {k: v for k, v in overrides.items() if k.split(".")[0] in TrainConfig.model_fields}
    of_scenario = {k: v for k, v in overrides.items() if k not in own}
    scenario = GridConfig.load(arguments.scenario, **of_scenario)
    config = load_train_config(device, {"algorithm": arguments.algorithm, **own})
    config = scaled_to(config, scenario.num_agents, own)
    folder = arguments.out or Path("runs") / scenario.name
    if arguments.seeds is not None:
        return _train_seeds(arguments, overrides, of_scenario, config, folder, _can_be_scored(scenario))
    with distributed.ranks(device) as own_device:
        config, first = config.model_copy(update={"device": own_device}), distributed.is_first()
        training = Training(config, scenario, folder, arguments.resume)
        if first:
            _announce(training, distributed.world_size())
        try:
            training.run()
        finally:  # also of a run that a NaN, Ctrl-C or a full disk ended
            if first:
                _draw(folder)
    if training.interrupted:
        return INTERRUPTED
    if first and not arguments.no_evaluate and _can_be_scored(scenario):
        return _evaluate(arguments, of_scenario, folder, [folder])
    return 0


def _train_seeds(
    arguments: argparse.Namespace,
    overrides: dict[str, Any],
    of_scenario: dict[str, Any],
    config: Any,
    folder: Path,
    scored: bool,
) -> int:
    """Train, report and evaluate several seeds."""
    from rich.console import Console

    from trainer import seeds, seeds_report

    population = seeds.Population(folder, config, arguments.seeds)
    seeds.check(population, arguments.resume, arguments.jobs)
    if arguments.jobs > 1:  # each its share of the cores
        overrides = {"threads": max(1, (os.cpu_count() or 1) // arguments.jobs)} | overrides
    options = ["--scenario", arguments.scenario, "--algorithm", arguments.algorithm, "--device", arguments.device]
    options += [f"--{key}={json.dumps(value)}" for key, value in overrides.items() if key != "seed"]
    failed, interrupted = seeds.train(population, options, arguments.jobs)
    content = seeds_report.report(population, None, failed)
    seeds_report.write(folder, content)
    _draw_seeds(population)
    if content["runs"] and scored and not (interrupted or arguments.no_evaluate):
        from trainer.scoreboard import Scoreboard

        runs = [folder / run["folder"] for run in content["runs"]]
        if code := _evaluate(arguments, of_scenario, folder, runs):
            return code
        board = json.loads((folder / "evaluation" / "scoreboard.json").read_text(encoding="utf-8"))
        content = seeds_report.report(population, Scoreboard.from_dict(board), failed)
        seeds_report.write(folder, content)
    if content["runs"]:
        Console().print(seeds_report.table(content))
    return INTERRUPTED if interrupted else 2 if failed else 0


def _can_be_scored(scenario: Any) -> bool:
    """Whether the scoreboard's optimum can be planned; says so where not."""
    from trainer.validation import is_planned

    if not is_planned(scenario):
        print(
            f"{scenario.name} has {scenario.num_agents} prosumers: too many to plan the optimum, so validation scores "
            "are the share of grid_only's bill that was saved, and no scoreboard follows"
        )
    return is_planned(scenario)


def _evaluate(arguments: argparse.Namespace, of_scenario: dict[str, Any], folder: Path, runs: list[Path]) -> int:
    """The scoreboard of one run with pictures, or of several without."""
    from trainer.evaluate_cli import main as evaluate

    report = folder / "evaluation"
    options = [f"--{key}={json.dumps(value)}" for key, value in of_scenario.items()]
    options += ["--scenario", arguments.scenario, "--device", arguments.device]
    options += [text for run in runs for text in ("--checkpoint", str(run))]
    options += ["--json", str(report / "scoreboard.json"), "--csv", str(report / "scoreboard.csv")]
    return evaluate([*options, *(["--plots", str(report)] if runs == [folder] else [])])


def _draw(folder: Path) -> None:
    """learning.png beside the metrics it shows."""
    metrics = folder / "metrics.jsonl"
    if metrics.exists() and metrics.stat().st_size:
        from trainer.learning_plot import plot_learning

        try:
            print(f"wrote {plot_learning(metrics, folder / 'learning.png')}")
        except OSError as error:  # a full disk: what ended the run is still to be said
            print(f"learning.png not drawn: {error}", file=sys.stderr)


def _draw_seeds(population: Any) -> None:
    """learning.png of all seeds together."""
    from trainer.seeds_plot import plot_seeds

    metrics = {str(seed): population.run_folder(seed) / "metrics.jsonl" for seed in population.seeds}
    if any(path.is_file() and path.stat().st_size for path in metrics.values()):
        print(f"wrote {plot_seeds(metrics, population.folder / 'learning.png')}")


def _announce(training: Any, ranks: int) -> None:
    """What the configuration implies, before it costs anything."""
    from rich.console import Console

    from trainer.memory import estimate

    c, sim = training.config, training.sim
    parts = estimate(training.learner, (sim, training.validation.sim))
    memory = ", ".join(f"{name} {size / 2**20:,.0f}" for name, size in parts.items())
    shared = " with shared parameters" if c.share_parameters else ""
    grids = f"{sim.num_grids:,} grids" + (f" in each of {ranks} processes" if ranks > 1 else "")
    Console().print(
        f"[bold]{c.algorithm}[/]{shared} on [bold]{sim.config.name}[/]: {sim.num_agents} prosumers, "
        f"{grids} on {sim.device}, {sim.observation_dim} observations, {sim.action_dim} actions, "
        f"{training.learner.size:,} weights\n"
        f"an iteration: {c.horizon} decisions of {c.hold_h:g} h = {training.steps_per_iteration:,} steps; "
        + (f"ends after {c.max_minutes:g} min" if c.max_minutes else f"{c.iterations} iterations")
        + f"\nmemory: about {sum(parts.values()) / 2**20:,.0f} MiB beside Python and torch ({memory})"
        + f"\nrun folder {training.folder.path}"
    )
