"""A picture of what was learned: every seed a dot, baselines as lines. A PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.plots import GREEN, INK, KIND_COLOURS, STYLE, save_figure

APART = 0.012  # of two names beside each other
LEFT = 0.6  # where the axis begins, unless a learner is worse; baselines before it are left out
SPREAD = 0.5  # of a row's height, over which its seeds are strewn


def plot_learning(cases: Sequence[dict[str, Any]], path: str | Path) -> Path:
    """Scores of test episodes, a panel for every scenario and variant, a row for every algorithm."""
    panels = list(dict.fromkeys((case["scenario"], case["variant"]) for case in cases))
    groups = [[c for c in cases if (c["scenario"], c["variant"]) == panel] for panel in panels]
    with rc_context(STYLE):
        heights = [1.1 + 0.62 * len(group) for group in groups]
        figure = Figure(figsize=(9.5, 0.5 + sum(heights)), layout="constrained")
        all_axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, panel, group in zip(all_axes, panels, groups, strict=True):
            _panel(axes, ", ".join(panel), group)
        all_axes[-1].set_xlabel(
            "score on test episodes: 0 = grid only, 1 = perfect foresight; a dot is a seed, a bar the median"
        )
        return save_figure(figure, path)


def _panel(axes: Axes, title: str, cases: Sequence[dict[str, Any]]) -> None:
    left = min(min(run["score"] for case in cases for run in case["runs"]) - 0.03, LEFT)
    axes.set_xlim(left, 1.02)
    cases = sorted(cases, key=lambda case: case["summary"]["score"]["median"])
    for place, case in enumerate(cases):
        scores = [run["score"] for run in case["runs"]]
        offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(scores)) if len(scores) > 1 else np.zeros(1)
        axes.scatter(scores, place + offsets, s=26, color=GREEN, alpha=0.85, zorder=3)
        median = case["summary"]["score"]["median"]
        axes.plot([median, median], [place - 0.3, place + 0.3], color=INK, linewidth=2, zorder=4)
        axes.annotate(f"{median:.3f}", (median, place + 0.3), xytext=(0, 1), textcoords="offset points", ha="center",
                      va="bottom", fontsize=8.5, fontweight="bold")  # fmt: skip
    shown = [row for row in cases[0]["baselines"] if row["score"] is not None and row["score"] >= left]
    for row in shown:
        line = (0, (4, 3))
        axes.axvline(row["score"], color=KIND_COLOURS[row["kind"]], linewidth=1.2, linestyle=line, zorder=1)
    for names, score, colour in _labels(shown):
        axes.annotate(
            names, (score, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
            rotation=30, ha="left", va="bottom", fontsize=8, color=colour,
        )  # fmt: skip
    axes.set_ylim(-0.6, len(cases) - 0.2)
    names = [f"{case['algorithm']}, {case['minutes']:g} min on a core" for case in cases]
    axes.set_yticks(range(len(cases)), names, color=INK)
    axes.tick_params(length=0)
    axes.grid(visible=False, axis="y")
    axes.set_title(title, fontsize=11, pad=40)


def _labels(rows: Sequence[dict[str, Any]]) -> list[tuple[str, float, str]]:
    """Name, place and colour of every line; lines too near for two names share one."""
    labels: list[tuple[str, float, str]] = []
    for row in sorted(rows, key=lambda row: row["score"]):
        name, colour = row["name"].replace("mpc-", "MPC "), KIND_COLOURS[row["kind"]]
        if labels and row["score"] - labels[-1][1] < APART:
            before, score, _ = labels.pop()
            name, colour = f"{before}, {name}", INK
            labels.append((name, score, colour))
        else:
            labels.append((name, row["score"], colour))
    return labels
