"""What a person sees while training runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trainer.distributed import is_first

if TYPE_CHECKING:
    from trainer.train import Training


TIMED = ("env", "inference", "update")  # parts of an iteration's time


class TrainingProgress:
    """A progress bar on a terminal, a line per validation elsewhere."""

    def __init__(self, training: Training):
        self.training, self.console = training, Console(quiet=not is_first())
        self.score: float | None = None
        self.reference = ""  # the best rule's score, in words
        self.bar = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(bar_width=None), TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[figures]}"),
            console=self.console, disable=not self.console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("training", total=1.0, figures="")

    def __enter__(self) -> TrainingProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def update(self, record: dict[str, Any]) -> None:
        """Show one iteration."""
        self.score = record.get("validation_score", self.score)
        if baselines := record.get("validation_baselines"):
            best = max(baselines, key=baselines.__getitem__)
            self.reference = f" ({best} {baselines[best]:.3f})"
        rate, whole = record["agent_steps_per_s"], record["collect_s"] + record["update_s"]
        split = " · ".join(f"{part} {100 * record[f'{part}_s'] / whole:.0f} %" for part in TIMED)
        score = "" if self.score is None else f" · score {self.score:.3f}{self.reference}"
        figures = f"{rate / 1e3:,.1f} k agent-steps/s, {split}{score}"
        self.bar.update(self.task, completed=self.training.progress, figures=figures)
        if "validation_score" in record and not self.console.is_terminal:
            self.console.print(
                f"{100 * self.training.progress:3.0f} %  iteration {record['iteration']}  "
                f"{record['env_steps'] / 1e6:.2f} M steps  {record['seconds']:.0f} s  {figures}"
            )

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text)


def say(text: str) -> None:
    """Print a line, once of all ranks, where there is no bar."""
    Console(quiet=not is_first()).print(text)


class SeedsProgress:
    """A bar for each of several runs on a terminal; elsewhere, and where the runs themselves talk, lines alone."""

    def __init__(self, seeds: Iterable[int], quiet: bool):
        self.console = Console()
        self.bar = Progress(
            TextColumn("[bold]seed {task.description}"), BarColumn(bar_width=None),
            TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=self.console, disable=quiet or not self.console.is_terminal,
        )  # fmt: skip
        self.tasks = {seed: self.bar.add_task(str(seed), total=1.0) for seed in seeds}

    def __enter__(self) -> SeedsProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def update(self, seed: int, progress: float) -> None:
        """Show how far a seed is, in [0, 1]."""
        self.bar.update(self.tasks[seed], completed=progress)

    def message(self, text: str) -> None:
        """Print a line above the bars."""
        self.console.print(text, highlight=False)
