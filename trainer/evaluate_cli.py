"""`python -m trainer evaluate`: policies and baselines on a scenario's test episodes, as a scoreboard."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smartgrid_core.config import GridConfig
    from smartgrid_core.controllers import Controller
    from trainer.scoreboard import Scoreboard

EPILOG = """Every field of the scenario is an option by its path, e.g. --episode_days 1.

examples:
  python -m trainer evaluate --scenario rural-lv                                       the baselines
  python -m trainer evaluate --checkpoint runs/a --checkpoint runs/b --against mpc     two policies beside MPC
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer evaluate",
        description="Score policies and baselines on the same test episodes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--checkpoint",
        action="append",
        default=[],
        metavar="RUN",
        help="run, checkpoint or export (.onnx, .pt2); repeatable",
    )
    add("--scenario", default="community-5", help="name or path of a scenario (default: community-5)")
    add("--against", default="all", help="all, none, or a list of rules, mpc, optimum, NAME (default: all)")
    add("--episodes", type=_positive, help="test episodes (default: the scenario's)")
    add("--mpc-episodes", type=_positive, help="episodes of model predictive control (default: 6)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")
    add("--json", type=Path, metavar="FILE", help="write the scoreboard as JSON")
    add("--csv", type=Path, metavar="FILE", help="write the scoreboard as CSV")
    add("--plots", type=Path, metavar="FOLDER", help="write pictures: scoreboard, a day, learning curves")
    add("--no-cache", action="store_true", help="run the baselines anew, and keep no results")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number ≥ 1")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0, or 2 after a user's mistake, said in one line on standard error.
    """
    try:
        arguments, rest = _parser().parse_known_args(sys.argv[1:] if argv is None else list(argv))
    except SystemExit as end:  # argparse has said what was wrong, or shown the help
        return end.code if isinstance(end.code, int) else 2
    from smartgrid_core.errors import UserError  # after parsing: --help needs no torch
    from trainer.overrides import parse_overrides

    try:
        return _evaluate(arguments, parse_overrides(rest))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _evaluate(arguments: argparse.Namespace, overrides: dict[str, Any]) -> int:
    from rich.console import Console

    from smartgrid_core.config import GridConfig
    from trainer.evaluate import MPC_EPISODES, evaluate
    from trainer.train import resolve_device

    _check_outputs(arguments)
    config = GridConfig.load(arguments.scenario, **overrides)
    device = resolve_device(arguments.device)
    policies = _policies(arguments.checkpoint)
    seeds = _seeds(config, arguments.episodes)
    board = evaluate(
        config,
        policies,
        against=arguments.against,
        seeds=seeds,
        mpc_episodes=arguments.mpc_episodes or MPC_EPISODES,
        device=device,
        cache=not arguments.no_cache,
        progress=sys.stderr.isatty(),
    )
    console = Console()
    console.print(board)
    for path in _write(arguments, board, config, policies, seeds[0]):
        console.print(f"wrote {path}", highlight=False)
    return 0


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse paths that cannot be written before minutes are spent."""
    from smartgrid_core.registry import ConfigError

    for option, path in (("--json", arguments.json), ("--csv", arguments.csv)):
        if path is not None and path.is_dir():
            raise ConfigError(f"{option} {path} is a folder: give the name of a file")
    if arguments.plots is not None and arguments.plots.exists() and not arguments.plots.is_dir():
        raise ConfigError(f"--plots {arguments.plots} is a file: give the name of a folder")


def _policies(checkpoints: Sequence[str]) -> list[Controller]:
    if not checkpoints:
        return []
    from trainer.policy import load_policy

    return [load_policy(path) for path in checkpoints]


def _seeds(config: GridConfig, episodes: int | None) -> list[int]:
    """The scenario's seeds, cut or continued to the number of episodes asked for."""
    seeds = list(config.evaluation.seeds)
    if episodes is None:
        return seeds
    return [*seeds, *range(max(seeds, default=0) + 1, max(seeds, default=0) + 1 + episodes)][:episodes]


def _write(
    arguments: argparse.Namespace, board: Scoreboard, config: GridConfig, policies: Sequence[Controller], seed: int
) -> list[Path]:
    from trainer.runs import write_atomically

    written = []
    for path, text in ((arguments.json, board.to_json), (arguments.csv, board.to_csv)):
        if path is not None:
            write_atomically(path, text().encode())
            written.append(path)
    if arguments.plots is not None:
        written += _draw(arguments.plots, board, config, policies, seed, arguments.checkpoint)
    return written


def _draw(
    folder: Path,
    board: Scoreboard,
    config: GridConfig,
    policies: Sequence[Controller],
    seed: int,
    checkpoints: Sequence[str],
) -> list[Path]:
    """The scoreboard, a day of every policy (or of time-of-use), the learning curve of every run folder."""
    from smartgrid_core.controllers import make_controller
    from trainer import plots
    from trainer.evaluate import record_episode
    from trainer.learning_plot import plot_learning

    written = [plots.plot_scoreboard(board, folder / "scoreboard.png")]
    day = 1 if config.episode_days >= 2 else 0  # the second day: batteries have forgotten where they began
    days: set[str] = set()
    curves: set[str] = set()
    for controller in policies or [make_controller("time-of-use")]:
        name = _file_name(controller.name, days)
        record = record_episode(config, controller, seed)
        written.append(plots.plot_day(record, config, folder / f"day-{name}.png", day=day))
    for checkpoint in checkpoints:
        metrics = Path(checkpoint).expanduser() / "metrics.jsonl"
        if metrics.is_file() and metrics.stat().st_size:
            name = _file_name(metrics.resolve().parent.name, curves)
            written.append(plot_learning(metrics, folder / f"learning-{name}.png"))
    return written


def _file_name(name: str, used: set[str]) -> str:
    """A name as part of a file name, numbered where it was used before."""
    plain = "-".join("".join(c if c.isalnum() or c in "-_." else " " for c in name).split())
    unique, count = plain, 2
    while unique in used:
        unique, count = f"{plain}-{count}", count + 1
    used.add(unique)
    return unique
