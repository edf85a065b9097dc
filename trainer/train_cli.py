"""`python -m trainer train`: from a scenario's name to a trained policy and its scoreboard."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.resuming import Settings

INTERRUPTED = 130  # exit code after Ctrl-C or SIGTERM
SCENARIO = "community-5"

EPILOG = """Every field of the training configuration is an option (--learning_rate 1e-3, --num_grids 512, --ppo.epochs
2; --help-all lists them with their values and meanings), and so is every field of the scenario by its path
(--tariff.export_eur_per_kwh 0.05, --prosumers.*.battery.capacity_kwh 5). On K processes or GPUs, each with num_grids
communities of its own: torchrun --standalone --nproc-per-node=K --max-restarts=3 -m trainer train ...; after the death
of a process all start again and go on from the last checkpoint. --resume goes on with the settings of the run in the
folder; of options given with it, those of time, step sizes and effort change it, any other that differs is refused.
Ctrl-C and SIGTERM end a run after the iteration it is in, saved."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer train", description="Train one policy per prosumer.", epilog=EPILOG,
        allow_abbrev=False,  # --seed is a field, and no short form of --seeds
    )  # fmt: skip
    parser.add_argument("--scenario", help=f"name or path of a scenario (default: {SCENARIO})")
    parser.add_argument("--algorithm", help="ippo, mappo, qmix or shac (default: ippo)")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/SCENARIO)")
    parser.add_argument(
        "--seeds", type=int, metavar="K", help="train K seeds, from --seed on, and report them together"
    )
    parser.add_argument("--jobs", type=int, metavar="J", help="of --seeds, J side by side (default: 1)")
    parser.add_argument("--resume", action="store_true", help="continue the run in the folder")
    parser.add_argument("--warm-start", metavar="RUN", help="begin with the actors of a run, checkpoint or policy")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--help-all", action="store_true", help="list every field of training, and end")
    parser.add_argument("--no-evaluate", action="store_true", help="skip the scoreboard at the end")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(list(argv))
    from smartgrid_core.errors import UserError  # after parsing: --help needs no torch
    from trainer.overrides import listing, parse_overrides, refuse_unknown

    try:
        if arguments.help_all:
            print(listing(arguments.algorithm or "ippo"), end="")
            return 0
        overrides = parse_overrides(rest)
        refuse_unknown(overrides, parser, trains=True)
        return _train(arguments, overrides)
    except (UserError, OSError) as error:
        rank = os.environ.get("RANK", "0")  # of torchrun's processes
        print(f"error: {error}" if rank == "0" else f"rank {rank}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as end:
        print(str(end) or "interrupted before training began: nothing to save", file=sys.stderr)
        return INTERRUPTED


@contextmanager
def _trained(folder: Path) -> Iterator[None]:
    """After training, Ctrl-C costs pictures and scoreboards only, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        said = f"interrupted: what was trained is saved in {folder}; python -m trainer evaluate makes a scoreboard"
        raise KeyboardInterrupt(said) from None


def _train(arguments: argparse.Namespace, overrides: dict[str, Any]) -> int:
    from smartgrid_core.errors import ConfigError
    from trainer import distributed
    from trainer.config import TrainConfig
    from trainer.train import Training

    if arguments.out is not None and not str(arguments.out).strip("."):
        raise ConfigError("--out is empty, or the folder you are in: name a folder of the run's own, e.g. runs/NAME")
    if arguments.jobs is not None and arguments.seeds is None:
        raise ConfigError(f"--jobs {arguments.jobs} is of several seeds: give --seeds K too, or leave it out")
    if arguments.warm_start is not None:
        overrides = {"warm_start": arguments.warm_start} | overrides
    named = {key: getattr(arguments, key) for key in ("algorithm", "device") if getattr(arguments, key) is not None}
    own = named | {k: v for k, v in overrides.items() if k.split(".")[0] in TrainConfig.model_fields}
    of_scenario = {k: v for k, v in overrides.items() if k not in own}
    if arguments.seeds is not None:
        return _train_seeds(arguments, overrides, own, of_scenario)
    if arguments.resume:
        folder = _folder(arguments)
        config, scenario = _resumed(folder, arguments, own, of_scenario)
    else:
        config, scenario = _begun(arguments, own, of_scenario)
        folder = arguments.out or Path("runs") / scenario.name
    with distributed.ranks(config.device) as own_device:
        config, first = config.model_copy(update={"device": own_device}), distributed.is_first()
        training = Training(config, scenario, folder, arguments.resume)
        if first:
            _announce(training, distributed.world_size())
        refused = False
        try:
            training.run()
        except ConfigError:  # what is there, another run's, stays as it is
            refused = True
            raise
        finally:  # also of a run that a NaN, Ctrl-C or a full disk ended
            drawn = bool(training.over) and (folder / "learning.png").is_file()
            if first and not (refused or drawn):
                with _trained(folder):
                    _draw(folder)
    if training.interrupted:
        return INTERRUPTED
    if first and not arguments.no_evaluate and _can_be_scored(scenario):
        with _trained(folder):
            return _evaluate(scenario, config.device, folder, [folder])
    return 0


def _folder(arguments: argparse.Namespace) -> Path:
    """The run folder as far as the options tell."""
    from smartgrid_core import GridConfig

    return arguments.out or Path("runs") / GridConfig.load(arguments.scenario or SCENARIO).name


def _begun(arguments: argparse.Namespace, own: dict[str, Any], of_scenario: dict[str, Any]) -> Settings:
    """Settings of a new run: the scenario, and the preset of its algorithm on its device, under the options given."""
    from smartgrid_core import GridConfig
    from trainer.config import load_train_config, scaled_to
    from trainer.overrides import refuse_of_others
    from trainer.resuming import Settings
    from trainer.train import resolve_device

    refuse_of_others(own, own.get("algorithm", "ippo"))
    device = str(resolve_device(own.get("device", "auto")))
    scenario = GridConfig.load(arguments.scenario or SCENARIO, **of_scenario)
    config = load_train_config(device, own | {"device": device})
    return Settings(scaled_to(config, scenario.num_agents, own), scenario)


def _resumed(folder: Path, arguments: argparse.Namespace, own: dict[str, Any], of_scenario: dict[str, Any]) -> Settings:
    """Settings of a run that goes on: those it has, under the options given."""
    from trainer.overrides import refuse_of_others
    from trainer.resuming import check, laid_over, stored
    from trainer.train import resolve_device

    before = stored(folder)
    refuse_of_others(own, before.train.algorithm)
    now = laid_over(before, own, arguments.scenario, of_scenario)
    check(folder, before, now)
    device = str(resolve_device(now.train.device))
    return now._replace(train=now.train.model_copy(update={"device": device}))


def _train_seeds(
    arguments: argparse.Namespace, overrides: dict[str, Any], own: dict[str, Any], of_scenario: dict[str, Any]
) -> int:
    """Train, report and evaluate several seeds."""
    from rich.console import Console

    from trainer import seeds, seeds_report

    folder = _folder(arguments)
    config, scenario = _settings_of_seeds(folder, arguments, own, of_scenario)
    scored = _can_be_scored(scenario)
    population, jobs = (
        seeds.Population(folder, config, arguments.seeds),
        1 if arguments.jobs is None else arguments.jobs,
    )
    seeds.check(population, arguments.resume, jobs)
    if jobs > 1:  # each its share of the cores
        overrides = {"threads": max(1, (os.cpu_count() or 1) // jobs)} | overrides
    named = {key: getattr(arguments, key) for key in ("scenario", "algorithm", "device")}
    options = [text for key, value in named.items() if value is not None for text in (f"--{key}", value)]
    options += [f"--{key}={json.dumps(value)}" for key, value in overrides.items() if key != "seed"]
    failed, interrupted = seeds.train(population, options, jobs)
    with _trained(folder):
        content = seeds_report.report(population, None, failed)
        seeds_report.write(folder, content)
        _draw_seeds(population)
        if content["runs"] and scored and not (interrupted or arguments.no_evaluate):
            from trainer.scoreboard import Scoreboard

            runs = [folder / run["folder"] for run in content["runs"]]
            if code := _evaluate(scenario, config.device, folder, runs):
                return code
            board = json.loads((folder / "evaluation" / "scoreboard.json").read_text(encoding="utf-8"))
            content = seeds_report.report(population, Scoreboard.from_dict(board), failed)
            seeds_report.write(folder, content)
        if content["runs"]:
            Console().print(seeds_report.table(content))
    return INTERRUPTED if interrupted else 2 if failed else 0


def _settings_of_seeds(
    folder: Path, arguments: argparse.Namespace, own: dict[str, Any], of_scenario: dict[str, Any]
) -> Settings:
    """Settings of the first seed; where runs are there to go on, theirs under the options given.

    Raises:
        ConfigError: seeds that have not begun would be trained otherwise than those that have.
    """
    from smartgrid_core.errors import ConfigError
    from trainer.resuming import check, stored
    from trainer.runs import RunFolder

    there = [p for p in folder.glob("seed-*") if RunFolder(p).can_resume()]
    there.sort(key=lambda p: (len(p.name), p.name))
    if not (arguments.resume and there):
        return _begun(arguments, own, of_scenario)
    now = _resumed(there[0], arguments, own | {"seed": stored(there[0]).train.seed}, of_scenario)
    first = own.get("seed", 0)
    if any(folder / f"seed-{seed}" not in there for seed in range(first, first + arguments.seeds)):
        same = {"seed": now.train.seed, "threads": now.train.threads}  # each has its own, or what --jobs leaves it
        new = _begun(arguments, own | same, of_scenario)
        try:
            unequal = check(there[0], now, new)
        except ConfigError as error:
            unequal = [str(error)]
        if unequal:
            raise ConfigError(
                f"{folder}: not every seed has begun, and these options would train the others otherwise: give those "
                f"the first began with ({unequal[0]})"
            )
    return now._replace(train=now.train.model_copy(update={"seed": first}))


def _can_be_scored(scenario: Any) -> bool:
    """Whether the scoreboard's optimum can be planned; says so where not."""
    from trainer.validation import is_planned

    if not is_planned(scenario):
        print(
            f"{scenario.name} has {scenario.num_agents} prosumers: too many to plan the optimum, so validation scores "
            "are the share of grid_only's bill that was saved, and no scoreboard follows"
        )
    return is_planned(scenario)


def _evaluate(scenario: Any, device: str, folder: Path, runs: list[Path]) -> int:
    """The scoreboard of one run with pictures, or of several without."""
    from trainer.evaluate_cli import main as evaluate

    report = folder / "evaluation"
    options = ["--device", device, *(text for run in runs for text in ("--checkpoint", str(run)))]
    options += ["--json", str(report / "scoreboard.json"), "--csv", str(report / "scoreboard.csv")]
    return evaluate([*options, *(["--plots", str(report)] if runs == [folder] else [])], scenario)


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
    parts["references"] = training.validation.reference_bytes  # made before the first iteration
    memory = ", ".join(f"{name} {size / 2**20:,.0f}" for name, size in parts.items())
    shared = " with shared parameters" if c.share_parameters else ""
    grids = f"{sim.num_grids:,} grids" + (f" in each of {ranks} processes" if ranks > 1 else "")
    Console().print(
        f"[bold]{c.algorithm}[/]{shared} on [bold]{sim.config.name}[/]: {sim.num_agents} prosumers, "
        f"{grids} on {sim.device}, {sim.observation_dim} observations, {sim.action_dim} actions, "
        f"{training.learner.size:,} weights\n"
        f"an iteration: {c.horizon} decisions of {c.hold_h:g} h = {training.steps_per_iteration:,} steps; "
        + (f"ends after {c.max_minutes:g} min, or " if c.max_minutes else "ends after ")
        + f"{c.iterations:,} iterations"
        + f"\nmemory: about {sum(parts.values()) / 2**20:,.0f} MiB beside Python and torch ({memory})"
        + f"\nrun folder {training.folder.path}"
    )
