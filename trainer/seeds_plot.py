"""A picture of several seeds' training: validation score and cost over minutes, mean and 95 % band over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.learning_plot import MUTED, read_metrics, series
from trainer.plots import GREEN, GREY, INK, PURPLE, STYLE, save_figure
from trainer.seeds_report import summary

POINTS = 60  # moments at which the seeds are compared


def plot_seeds(metrics: Mapping[str, Path], out_path: Path) -> Path:
    """Every seed's curve, their mean and its 95 % t-interval where all have been validated.

    Args:
        metrics: metrics.jsonl by the seed's name.
        out_path: of the PNG.

    Raises:
        ValueError: no seed has a line to draw.
    """
    runs = {name: lines for name, path in metrics.items() if path.is_file() and (lines := read_metrics(path))}
    if not runs:
        raise ValueError("nothing was logged yet by any seed")
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 6.5), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1.8, 1))
        for axes, key, colour in ((top, "validation_score", GREEN), (bottom, "validation_cost_eur", PURPLE)):
            _band(axes, {name: series(lines, key) for name, lines in runs.items()}, colour)
        top.set_title("Validation score")
        top.set_ylabel("share of the possible saving")
        bottom.set_title("Community's cost in validation")
        bottom.set_ylabel("EUR per episode")
        bottom.set_xlabel("minutes of training")
        top.legend(loc="lower right")
        figure.suptitle(f"Learning curve · {len(runs)} seeds", x=0.01, ha="left", fontsize=15, fontweight="bold")
        return save_figure(figure, out_path)


def _band(axes: Axes, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], colour: str) -> None:
    curves = {name: (minutes, values[:, 0]) for name, (minutes, values) in curves.items() if len(minutes)}
    for i, (minutes, values) in enumerate(curves.values()):
        axes.plot(minutes, values, color=GREY, linewidth=0.9, alpha=0.7, marker="o", markersize=2.5,
                  label="each seed" if i == 0 else None)  # fmt: skip
    axes.margins(y=0.12)
    if not curves:
        axes.text(0.5, 0.5, "not validated yet", transform=axes.transAxes, ha="center", color=MUTED)
        return
    first, last = max(m[0] for m, _ in curves.values()), min(m[-1] for m, _ in curves.values())
    if len(curves) < 2 or last < first:
        return
    when = np.linspace(first, last, POINTS)
    there = np.array([np.interp(when, minutes, values) for minutes, values in curves.values()])  # [seeds, POINTS]
    ends = np.array([summary(column)["ci95"] for column in there.T])
    axes.fill_between(when, ends[:, 0], ends[:, 1], color=colour, alpha=0.22, linewidth=0, label="95 % interval")
    axes.plot(when, there.mean(0), color=colour, linewidth=2.2, label="mean over seeds")
    if last == first:
        axes.plot(when, there.mean(0), color=INK, marker="o")
