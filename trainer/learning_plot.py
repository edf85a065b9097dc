"""A picture of a training run, from its metrics.jsonl alone: score, cost, throughput and reward parts over minutes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from smartgrid_core.types import RewardParts
from trainer.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, STYLE, save_figure

SMOOTHED = 50  # windows of a running mean that a run is divided into, so that long runs are no blur
MUTED = "#5B616B"

Lines = Sequence[dict[str, Any]]


def plot_learning(metrics_path: str | Path, out_path: str | Path) -> Path:
    """Validation score and cost, throughput and the parts of the reward over a run's wall time.

    Args:
        metrics_path: a run's metrics.jsonl; a last line cut short by a kill is left out.
        out_path: of the PNG.

    Raises:
        ValueError: there is no line to draw.
    """
    lines = read_metrics(Path(metrics_path))
    if not lines:
        raise ValueError(f"{metrics_path} is empty: nothing was logged yet")
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 9), layout="constrained")
        places = figure.add_gridspec(3, 4, height_ratios=(1.9, 1.1, 1.0))
        _plot_score(figure.add_subplot(places[0, :]), lines)
        _plot_cost(figure.add_subplot(places[1, :2]), lines)
        _plot_throughput(figure.add_subplot(places[1, 2:]), lines)
        for column, part in enumerate(RewardParts._fields):
            _plot_part(figure.add_subplot(places[2, column]), lines, part)
        handles, labels = figure.axes[-1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize=8.5)
        minutes = lines[-1]["seconds"] / 60
        for axes in figure.axes:
            axes.set_xlim(0, minutes * 1.02)
            axes.set_xlabel("minutes of training")
        steps, updates = lines[-1]["env_steps"], lines[-1]["iteration"]
        figure.suptitle(f"Learning curve · {Path(metrics_path).resolve().parent.name}", x=0.01, ha="left",
                        fontsize=15, fontweight="bold")  # fmt: skip
        figure.axes[0].set_title(
            f"{steps:,} environment steps, {updates:,} iterations, {minutes:.1f} min",
            loc="right", fontweight="normal", color=MUTED,
        )  # fmt: skip
        return save_figure(figure, out_path)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def series(lines: Lines, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Minutes and values [lines with the key, agents or 1]."""
    chosen = [line for line in lines if line.get(key) is not None]
    values = np.array([np.atleast_1d(line[key]) for line in chosen], dtype=float)
    return np.array([line["seconds"] for line in chosen], dtype=float) / 60, values.reshape(
        len(chosen), -1 if chosen else 1
    )


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over a fiftieth of the run; near the ends, over what there is."""
    width = len(values) // SMOOTHED
    if width < 2:
        return values
    sums = np.concatenate([[0.0], np.nancumsum(values)])
    first = np.maximum(np.arange(len(values)) - width // 2, 0)
    last = np.minimum(np.arange(len(values)) + width // 2 + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _plot_score(axes: Axes, lines: Lines) -> None:
    minutes, scores = series(lines, "validation_score")
    axes.set_title("Validation score")
    axes.set_ylabel("share of the possible saving")
    if not len(scores):
        axes.text(0.5, 0.5, "not validated yet", transform=axes.transAxes, ha="center", color=MUTED)
        return
    score = scores[:, 0]
    best = int(np.nanargmax(score))
    axes.plot(minutes, score, color=GREEN, linewidth=2.2, marker="o", markersize=5)
    axes.plot(minutes[best], score[best], marker="*", markersize=17, color=ORANGE, linestyle="none")
    late = minutes[best] > 0.85 * lines[-1]["seconds"] / 60  # keep the words within the frame
    axes.annotate(
        f"best {score[best]:.3f}", (minutes[best], score[best]), xytext=(-6 if late else 0, 11),
        textcoords="offset points", ha="right" if late else "center", fontweight="bold", fontsize=11,
    )  # fmt: skip
    for name, value in next((x["validation_baselines"] for x in lines if "validation_baselines" in x), {}).items():
        axes.axhline(value, color=GREY, linewidth=1, linestyle="--")
        axes.text(0, value, f" {name}", color=MUTED, fontsize=8.5, va="bottom")
    axes.margins(y=0.18)


def _plot_cost(axes: Axes, lines: Lines) -> None:
    minutes, cost = series(lines, "validation_cost_eur")
    if len(cost):
        axes.plot(minutes, cost[:, 0], color=PURPLE, linewidth=1.8, marker="o", markersize=4)
    axes.set_title("Community's cost in validation")
    axes.set_ylabel("EUR per episode")
    axes.margins(y=0.12)


def _plot_throughput(axes: Axes, lines: Lines) -> None:
    """Agent-steps per second, and the share of an iteration that goes into simulating."""
    minutes, rate = series(lines, "agent_steps_per_s")
    axes.set_title("Throughput")
    axes.set_ylabel("agent-steps per second")
    if not len(rate):
        return
    axes.plot(minutes, rate[:, 0], color=GREY, linewidth=0.6, alpha=0.45)
    axes.plot(minutes, _smooth(rate[:, 0]), color=INK, linewidth=1.6)
    axes.set_ylim(0, float(np.quantile(rate, 0.99)) * 1.2)
    axes.yaxis.set_major_formatter(EngFormatter(sep=" "))
    share = np.mean(
        [line["collect_s"] / (line["collect_s"] + line["update_s"]) for line in lines if "update_s" in line]
    )
    said = f"{100 * share:.0f} % acting and simulating, the rest learning"
    axes.set_title(said, loc="right", fontweight="normal", color=MUTED)


def _plot_part(axes: Axes, lines: Lines, part: str) -> None:
    """Mean over prosumers with the span from the lowest to the highest."""
    minutes, rewards = series(lines, f"reward_{part}")
    axes.set_title(f"Reward: {part}")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if part == RewardParts._fields[0]:
        axes.set_ylabel("EUR-equivalent\nper step and prosumer")
    if not len(rewards):
        return
    low, high, mean = (_smooth(values) for values in (rewards.min(1), rewards.max(1), rewards.mean(1)))
    axes.fill_between(
        minutes, low, high, color=SKY, alpha=0.35, linewidth=0, label="reward: lowest to highest of the prosumers"
    )
    axes.plot(minutes, mean, color=BLUE, linewidth=1.5, label="their mean")
