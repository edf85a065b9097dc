"""What a person sees while training runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trainer.distributed import is_first

if TYPE_CHECKING:
    from trainer.train import Training


class TrainingProgress:
    """A progress bar on a terminal, a line per validation elsewhere."""

    def __init__(self, training: Training):
        self.training, self.console = training, Console(quiet=not is_first())
        self.score: float | None = None
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
        rate = record["agent_steps_per_s"]
        share = 100 * record["collect_s"] / (record["collect_s"] + record["update_s"])
        score = "" if self.score is None else f" · score {self.score:.3f}"
        figures = f"{rate / 1e3:,.0f} k agent-steps/s ({share:.0f} % simulating){score}"
        self.bar.update(self.task, completed=self.training.progress, figures=figures)
        if "validation_score" in record and not self.console.is_terminal:
            self.console.print(
                f"{100 * self.training.progress:3.0f} %  iteration {record['iteration']}  "
                f"{record['env_steps'] / 1e6:.2f} M steps  {record['seconds']:.0f} s  {figures}"
            )

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text)
