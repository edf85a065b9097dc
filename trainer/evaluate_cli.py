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

INTERRUPTED = 130  # exit code after Ctrl-C
SCENARIO = "community-5"
EPILOG = """Every field of the scenario is an option by its path, e.g. --episode_days 1.

examples:
  python -m trainer evaluate --scenario rural-lv                                       the baselines
  python -m trainer evaluate --checkpoint runs/a --checkpoint runs/b --against mpc     two policies beside MPC
  python -m trainer evaluate --checkpoint runs/a/checkpoints/last --split validation   what its run logged of it
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
    add("--scenario", help=f"name or path of a scenario (default: {SCENARIO})")
    add(
        "--split", choices=("test", "validation"), default="test",
        help="test episodes, or those on which a checkpoint's own run was validated (default: test)",
    )  # fmt: skip
    add("--against", help="all, none, or a list of rules, mpc, optimum, NAME (default: all)")
    add("--episodes", type=_positive, help="test episodes (default: the scenario's)")
    add("--mpc-episodes", type=_positive, help="episodes of model predictive control (default: 6)")
    add("--device", help="auto, cpu, cuda, cuda:1 (default: auto; of --split validation, the run's)")
    add("--json", type=Path, metavar="FILE", help="write the scoreboard as JSON")
    add("--csv", type=Path, metavar="FILE", help="write the scoreboard as CSV")
    add("--plots", type=Path, metavar="FOLDER", help="write pictures: scoreboard, a day, learning curves")
    add("--no-cache", action="store_true", help="run the baselines anew, and keep no results")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number ≥ 1")
    return int(text)


def main(argv: Sequence[str] | None = None, scenario: GridConfig | None = None) -> int:
    """Run the command.

    Args:
        scenario: takes the place of the one that options name.

    Returns:
        0; 2 after a user's mistake, said in one line on standard error; 130 after Ctrl-C.
    """
    try:
        parser = _parser()
        arguments, rest = parser.parse_known_args(sys.argv[1:] if argv is None else list(argv))
    except SystemExit as end:  # argparse has said what was wrong, or shown the help
        return end.code if isinstance(end.code, int) else 2
    from smartgrid_core.errors import UserError  # after parsing: --help needs no torch
    from trainer.overrides import parse_overrides, refuse_unknown

    try:
        overrides = parse_overrides(rest)
        refuse_unknown(overrides, parser, trains=False)
        if arguments.split == "validation":
            return _revalidate(arguments, overrides)
        return _evaluate(arguments, overrides, scenario)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: no scoreboard was made", file=sys.stderr)
        return INTERRUPTED


def _revalidate(arguments: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Checkpoints on the validation episodes of their runs."""
    import json

    from rich.console import Console

    from smartgrid_core.errors import ConfigError
    from trainer.files import write_atomically
    from trainer.revalidate import revalidate
    from trainer.train import resolve_device

    _check_outputs(arguments)
    if not arguments.checkpoint:
        raise ConfigError("--split validation: give a --checkpoint, the run it belongs to says which episodes")
    for name in ("scenario", "against", "episodes", "mpc_episodes", "csv", "plots", "no_cache"):
        if getattr(arguments, name) not in (None, False):
            overrides = {name.replace("_", "-"): None} | overrides
    if overrides:
        raise ConfigError(f"--{next(iter(overrides))}: --split validation takes the run as it was; leave this out")
    device = None if arguments.device is None else str(resolve_device(arguments.device))
    console, done = Console(), []
    for path in arguments.checkpoint:
        done.append(found := revalidate(path, device))
        logged = "not logged" if found.logged is None else f"logged {found.logged:.6f}"
        rules = ", ".join(f"{name} {score:.3f}" for name, score in found.baselines.items())
        console.print(
            f"[bold]{found.name}[/] {found.checkpoint.name}: score {found.score:.6f} ({logged}) on {found.episodes} "
            f"validation episodes of {found.scenario}; {rules}", highlight=False,
        )  # fmt: skip
    if arguments.json is not None:
        text = json.dumps([found.plain() for found in done], indent=2, allow_nan=False) + "\n"
        write_atomically(arguments.json, text.encode())
        console.print(f"wrote {arguments.json}", highlight=False)
    return 0


def _evaluate(arguments: argparse.Namespace, overrides: dict[str, Any], scenario: GridConfig | None) -> int:
    from rich.console import Console

    from smartgrid_core.config import GridConfig
    from trainer.evaluate import MPC_EPISODES, evaluate
    from trainer.train import resolve_device

    _check_outputs(arguments)
    config = scenario or GridConfig.load(arguments.scenario or SCENARIO, **overrides)
    device = resolve_device(arguments.device or "auto")
    policies = _policies(arguments.checkpoint)
    listed = config.evaluation
    seeds = list(listed.seeds) if arguments.episodes is None else listed.first(arguments.episodes)
    board = evaluate(
        config,
        policies,
        against=arguments.against or "all",
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
    from trainer.files import refuse_unwritable

    for option, path in (("--json", arguments.json), ("--csv", arguments.csv)):
        if path is not None and path.is_dir():
            raise ConfigError(f"{option} {path} is a folder: give the name of a file")
        if path is not None:
            refuse_unwritable(option, path.absolute().parent, "give another name")
    if arguments.plots is not None and arguments.plots.exists() and not arguments.plots.is_dir():
        raise ConfigError(f"--plots {arguments.plots} is a file: give the name of a folder")


def _policies(checkpoints: Sequence[str]) -> list[Controller]:
    if not checkpoints:
        return []
    from trainer.policy import load_policy

    return [load_policy(path) for path in checkpoints]


def _write(
    arguments: argparse.Namespace, board: Scoreboard, config: GridConfig, policies: Sequence[Controller], seed: int
) -> list[Path]:
    from trainer.files import write_atomically

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
