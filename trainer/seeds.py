"""`--seeds K`: one command trains K seeds, each as the command for one seed does, and reports them together.

Every seed is a process and a run folder of its own, OUT/seed-S: its results, checkpoints and errors are exactly those
of the run with that `--seed` alone. One process after the other by default, `jobs` side by side if asked for.
benchmarks/NOTES.md has what one batch for all seeds would have gained.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from smartgrid_core.errors import ConfigError
from trainer.config import TrainConfig
from trainer.progress import SeedsProgress
from trainer.runs import RunFolder, last_metrics

INTERRUPTED = 130  # exit code of a run that Ctrl-C stopped
POLL_S = 0.2


@dataclass(frozen=True)
class Population:
    """Runs of one configuration that differ by their seed, side by side in a folder."""

    folder: Path
    config: TrainConfig  # of the first seed
    count: int  # K

    @property
    def seeds(self) -> range:
        """`--seed` and the K − 1 numbers after it."""
        return range(self.config.seed, self.config.seed + self.count)

    def run_folder(self, seed: int) -> Path:
        """Where a seed's run lies."""
        return self.folder / f"seed-{seed}"

    def about(self, seed: int, checkpoint: str) -> dict[str, Any] | None:
        """about.json of a seed's checkpoint, None where there is none yet."""
        path = self.run_folder(seed) / "checkpoints" / checkpoint / "about.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def is_complete(self, seed: int) -> bool:
        """Whether a seed's run has come to its end as the configuration now sets it."""
        about = self.about(seed, "last")
        return about is not None and self.config.is_over(about["iteration"], about["seconds"], about.get("stale", 0))

    def progress(self, seed: int) -> float:
        """Fraction of a seed's run done, from what it logged last."""
        if (line := last_metrics(self.run_folder(seed) / "metrics.jsonl")) is None:
            return 0.0
        return self.config.progress(line["iteration"], line["seconds"])


def check(population: Population, resume: bool, jobs: int) -> None:
    """Refuse what cannot work before anything is started.

    Raises:
        ConfigError: a number below 1, a folder with other runs or with what is no run's, a seed whose training state
            is gone while its weights are there, or several processes that torchrun started.
    """
    for option, value in (("--seeds", population.count), ("--jobs", jobs)):
        if value < 1:
            raise ConfigError(f"{option} {value}: expected a whole number ≥ 1")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--seeds under torchrun: train seeds with plain python, --jobs of them side by side")
    folder = population.folder
    if (folder / "config.json").exists():
        raise ConfigError(f"{folder} holds the run of a single seed: give another folder with --out")
    if not resume and any(folder.glob("seed-*/config.json")):
        raise ConfigError(
            f"{folder} already holds runs of seeds: add --resume to continue them, or give another folder with --out"
        )
    for seed in population.seeds:
        if not population.is_complete(seed):
            _refuse_to_lose(population.run_folder(seed))


def _refuse_to_lose(folder: Path) -> None:
    """Raise where beginning a seed's run anew would cost what is in its folder."""
    if not folder.exists() or RunFolder(folder).can_resume():
        return
    reason = None
    if (folder / "config.json").is_file():
        saved = [path.parent for path in folder.glob("checkpoints/*/weights.safetensors")]
        if any(
            path.suffix == ".old" or not path.name.startswith(".") for path in saved
        ):  # others a kill left half done
            reason = "holds trained weights and nothing to resume them from"
    elif not folder.is_dir() or any(not (p.is_dir() or p.name.startswith(".config.")) for p in folder.rglob("*")):
        reason = "is no run's folder"
    if reason is not None:
        raise ConfigError(f"{folder} {reason}: move it away to begin this seed anew, or give another folder with --out")


def train(population: Population, options: Sequence[str], jobs: int) -> tuple[dict[int, str], bool]:
    """Train every seed that is not complete; Ctrl-C stops all, each saved.

    Args:
        options: of `python -m trainer train`, without seed, folder and --resume.
        jobs: runs side by side; with more than one, each writes what it says into seed-S.log.

    Returns:
        what went wrong by seed, and whether Ctrl-C ended the training.
    """
    waiting = [seed for seed in population.seeds if not population.is_complete(seed)]
    done = [seed for seed in population.seeds if seed not in waiting]
    running: dict[int, subprocess.Popen[bytes]] = {}
    failed: dict[int, str] = {}
    population.folder.mkdir(parents=True, exist_ok=True)
    with SeedsProgress(population.seeds, quiet=jobs == 1) as bars, _terminated_as_interrupted():
        for seed in done:
            bars.message(f"seed {seed} is complete")
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    seed = waiting.pop(0)
                    bars.message(f"seed {seed}: {population.run_folder(seed)}")
                    running[seed] = _start(population, seed, options, silent=jobs > 1)
                time.sleep(POLL_S)
                for seed in running:
                    bars.update(seed, population.progress(seed))
                for seed in [s for s, process in running.items() if process.poll() is not None]:
                    code = running.pop(seed).returncode
                    if code == INTERRUPTED:
                        raise KeyboardInterrupt
                    if code:
                        failed[seed] = _reason(population, seed, code, kept=jobs > 1)
                        bars.message(f"seed {seed} failed: {failed[seed]}")
                        if population.about(seed, "last") is None:
                            waiting.clear()  # it never came to a checkpoint: the others would fail alike
        except KeyboardInterrupt:
            _stop(running.values(), signal.SIGINT)
            bars.message("interrupted: every seed begun is saved; continue with --resume")
            return failed, True
        finally:
            _stop(running.values(), signal.SIGKILL)
    return failed, False


def _start(population: Population, seed: int, options: Sequence[str], silent: bool) -> subprocess.Popen[bytes]:
    """The run of one seed, in a process group of its own so that Ctrl-C reaches it once, through `train`."""
    folder = RunFolder(population.run_folder(seed))
    again = folder.can_resume()
    if folder.path.exists() and not again:
        _refuse_to_lose(folder.path)
        shutil.rmtree(folder.path)  # killed before its first checkpoint: nothing in it can be continued
    command = [sys.executable, "-m", "trainer", "train", *options, f"--seed={seed}", f"--out={folder.path}"]
    command += ["--no-evaluate", *(["--resume"] if again else [])]
    with _log(population, seed).open("ab") if silent else nullcontext() as log, _interruptible():
        return subprocess.Popen(command, process_group=0, stdout=log, stderr=subprocess.STDOUT if silent else None)


def _log(population: Population, seed: int) -> Path:
    return population.folder / f"seed-{seed}.log"


def _reason(population: Population, seed: int, code: int, kept: bool) -> str:
    """The last line a failed run said, where it was kept: a log of earlier runs may lie there where it was not."""
    said = _log(population, seed).read_text(errors="replace").strip().splitlines() if kept else []
    return said[-1] if said else f"exit code {code}, see above"


def _stop(processes: Sequence[subprocess.Popen[bytes]] | Any, with_signal: signal.Signals) -> None:
    """Signal those that still run and wait for them."""
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        process.send_signal(with_signal)
    for process in alive:
        process.wait()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Processes begun inside heed Ctrl-C, also where a shell began this one in the background, deaf to it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A polite request to end (SIGTERM) is taken like Ctrl-C: no run is left behind without its parent."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
