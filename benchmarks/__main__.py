"""`python -m benchmarks env|power-flow|train|learning|serve|viewer|all|report|peers`"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from benchmarks.machine import write_results
from smartgrid_core.errors import UserError

Json = Annotated[Path | None, tyro.conf.arg(help="Write the results to this file.")]
Quick = Annotated[bool, tyro.conf.arg(help="Under a minute, smaller sweep.")]
Threads = Annotated[int, tyro.conf.arg(help="Of torch.")]
Device = Annotated[str, tyro.conf.arg(help="Torch device.")]
RESULTS = Path("benchmarks/results")


def _checked(device: str) -> str:
    """The device by its full name; a UserError where there is none."""
    from trainer.train import resolve_device

    return str(resolve_device(device))


def env(json: Json = None, quick: Quick = False, threads: Threads = 2, device: Device = "cpu") -> None:
    """Steps a second of the simulator, over batch sizes, beside one community at a time."""
    from benchmarks import env as suite

    device = _checked(device)
    cases = suite.run(quick, threads, device)
    if json:
        write_results(json, "env", cases, torch.device(device))


def power_flow(json: Json = None, quick: Quick = False, threads: Threads = 1) -> None:
    """Solutions of the AC power flow a second, beside power-grid-model and pandapower."""
    from benchmarks import power_flow as suite

    cases = suite.run(quick=quick, threads=threads)["cases"]
    if json:
        write_results(json, "power-flow", cases)


def train(
    json: Json = None,
    quick: Quick = False,
    threads: Threads = 1,
    device: Device = "cpu",
    score_minutes: float | None = None,
) -> None:
    """Speed of training and time to a score, beside TorchRL and, where the extra bench is installed, RLlib.

    Args:
        score_minutes: of CPU time that every stack trains for a score; 0: none does; by default 4, quick 0.1.
    """
    from benchmarks import train as suite

    device = _checked(device)
    cases = suite.run(quick, threads, device, score_minutes)
    if json:
        write_results(json, "train", cases, torch.device(device))


def learning(
    algorithms: tuple[str, ...] = ("shac", "ippo", "mappo", "qmix"),
    scenarios: tuple[str, ...] = ("community-5", "rural-lv"),
    variants: tuple[str, ...] = ("default",),
    seeds: int = 5,
    jobs: int = 1,
    minutes: float | None = None,
    device: Device = "cpu",
    out: Path = Path("runs/learning"),
    json: Annotated[
        Path | None, tyro.conf.arg(help="Write the results to this file; cases it has and that are not asked for stay.")
    ] = None,
    plot: Path | None = None,
    quick: Annotated[bool, tyro.conf.arg(help="Seconds of one case, whatever else is asked for.")] = False,
) -> None:
    """Scores after minutes of training, over seeds, beside every baseline; goes on where it was interrupted.

    Args:
        algorithms: to train.
        scenarios: to train on.
        variants: of scenario or training: default, cost-only, no-cooperation, cooperation-heavy, stability-heavy,
            no-links, perfect-forecast, own-credit, team-credit, shared.
        seeds: runs of each.
        jobs: of them side by side, one thread each.
        minutes: of training a seed; by default 4 for shac and 5 for the others.
        out: folder of the runs.
        plot: draw the scores into this file.
    """
    from benchmarks import learning as suite

    device = _checked(device)
    if quick:
        cases = suite.quick(device)
    else:
        cases = suite.merged(json, suite.run(algorithms, scenarios, variants, seeds, jobs, minutes, device, out))
    if json:
        write_results(json, "learning", cases, torch.device(device))
    if plot:
        from benchmarks.learning_plot import plot_learning

        print(f"wrote {plot_learning(cases, plot)}")


def serve(json: Json = None, quick: Quick = False, soak_minutes: float | None = None) -> None:
    """CPU time and latency of the live server's frames, beside Node's ws and websockets.broadcast.

    Args:
        soak_minutes: watch the server's memory for so long under a thousand viewers; by default 5, quick 0.
    """
    from benchmarks import serve as suite

    cases = suite.run(quick, (0.0 if quick else 5.0) if soak_minutes is None else soak_minutes)
    if json:
        write_results(json, "serve", cases, programs=("node",))


def viewer(json: Json = None, quick: Quick = False, minutes: float = 10.0) -> None:
    """Frames a second, script a frame, time to ready and memory of the page, in headless Chromium.

    Args:
        minutes: of watching the memory of a page, live.
    """
    from benchmarks import viewer as suite

    cases = suite.run(quick, minutes)
    if json:
        write_results(json, "viewer", cases, programs=("chromium",))


SUITES = {
    "env": env,
    "power-flow": power_flow,
    "train": train,
    "learning": learning,
    "serve": serve,
    "viewer": viewer,
}


def everything(
    suites: tuple[str, ...] = (), quick: Quick = False, device: Device = "cpu", out: Path | None = None
) -> None:
    """Every suite one after the other; a failing one does not stop the others.

    Args:
        suites: to run; none: all.
        out: folder of the results; by default benchmarks/results, and with --quick, whose figures nobody should quote,
            runs/benchmarks.
    """
    from benchmarks.everything import run_all

    folder = out or (Path("runs/benchmarks") if quick else RESULTS)
    failed = [o.name for o in run_all(COMMANDS, suites, quick, _checked(device), folder) if o.code]
    if failed:
        raise UserError(
            f"{', '.join(failed)} failed or cannot be had, see above; the results of the others are written"
        )


def report(results: Path = RESULTS, out: Path = Path("docs/benchmarks.md"), images: Path | None = None) -> None:
    """Render the results as a page with tables and pictures.

    Args:
        results: folder of the JSON files.
        out: the page.
        images: folder of its pictures; None: images beside the page.
    """
    from benchmarks.report import render

    for path in render(results, out, images or out.parent / "images"):
        print(f"wrote {path}")


def peers(
    action: tyro.conf.Positional[Literal["list", "install"]], names: tyro.conf.Positional[tuple[str, ...]] = ()
) -> None:
    """Virtual environments of other packages that `env` and `train` measure beside ours.

    Args:
        action: list what is there, or install.
        names: of those to install; none: all.
    """
    from benchmarks import peer_environments

    if action == "list":
        peer_environments.show()
    elif failed := peer_environments.install(names):
        raise UserError(f"{', '.join(failed)} could not be installed, see above; the benchmarks leave them out")


COMMANDS = SUITES | {"all": everything, "report": report, "peers": peers}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one suite; returns the exit code."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="python -m benchmarks", description="Measure against peers in the same run.", args=argv
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
