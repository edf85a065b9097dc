"""What K seeds of one configuration came to: seeds.json, a table, and which of them is the run's policy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table

from trainer.files import write_atomically
from trainer.runs import SEEDS_FILE
from trainer.scoreboard import Scoreboard
from trainer.seeds import Population

CONFIDENCE = 0.95


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean over seeds with Student's t interval (normal deviations, unknown spread), median and extremes.

    The interval is None for a single seed; `values` are K ≥ 1 finite numbers.
    """
    x = np.asarray(values, dtype=np.float64)
    interval = None
    if len(x) > 1:
        from scipy.stats import t

        half = t.ppf((1 + CONFIDENCE) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
        interval = [float(x.mean() - half), float(x.mean() + half)]
    return {
        "mean": float(x.mean()), "ci95": interval, "median": float(np.median(x)), "min": float(x.min()),
        "max": float(x.max()), "seeds": len(x),
    }  # fmt: skip


def report(population: Population, board: Scoreboard | None, failed: Mapping[int, str]) -> dict[str, Any]:
    """Figures of every seed that has a policy and over all of them; the best on validation weeks is the policy.

    Args:
        board: of the seeds' policies, named after their run folders, on test episodes; None: not evaluated.
        failed: what went wrong, by seed.
    """
    runs: list[dict[str, Any]] = []
    for seed in population.seeds:
        if (about := population.about(seed, "best")) is None:
            continue
        last = population.about(seed, "last") or about
        run = {
            "seed": seed, "folder": population.run_folder(seed).name, "complete": population.is_complete(seed),
            "iteration": last["iteration"], "seconds": last["seconds"],
            "figures": {"validation_score": about["validation_score"]},
        }  # fmt: skip
        if board is not None:
            row = board.row(f"{population.config.algorithm} ({run['folder']})")
            run["figures"] |= {"score": row.score, "cost_eur": row.cost_eur, **row.kpis}
        runs.append(run)
    names = runs[0]["figures"] if runs else {}
    found = {name: [r["figures"][name] for r in runs if r["figures"][name] is not None] for name in names}
    best = max(runs, key=lambda r: r["figures"]["validation_score"], default=None)
    return {
        "algorithm": population.config.algorithm, "seeds": list(population.seeds),
        "best": None if best is None else best["folder"], "chosen_by": "validation_score",
        "runs": runs, "failed": {str(seed): reason for seed, reason in failed.items()},
        "summary": {name: summary(values) for name, values in found.items() if values},
    }  # fmt: skip


def write(folder: Path, content: Mapping[str, Any]) -> Path:
    """seeds.json of a population."""
    path = folder / SEEDS_FILE
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())
    return path


def table(content: Mapping[str, Any]) -> Group:
    """The seeds, then every figure over them."""
    own = Table(box=box.SIMPLE_HEAD, title="seeds · ★ the run's policy, best on validation weeks", title_justify="left")
    for name in ("seed", "validation score", "test score", "cost EUR", "iterations", "minutes"):
        own.add_column(name, justify="right")
    for run in content["runs"]:
        figures = run["figures"]
        star = "★ " if run["folder"] == content["best"] else ""
        own.add_row(
            f"{star}{run['seed']}", _text(figures["validation_score"], 3), _text(figures.get("score"), 3),
            _text(figures.get("cost_eur"), 2), f"{run['iteration']:,}" + ("" if run["complete"] else " (not done)"),
            f"{run['seconds'] / 60:.1f}",
        )  # fmt: skip
    overall = Table(box=box.SIMPLE_HEAD, title="over seeds · Student's t interval", title_justify="left")
    for name in ("", "mean", "95 % interval", "median", "min", "max"):
        overall.add_column(name, justify="right" if name else "left")
    for name, s in content["summary"].items():
        digits = _digits(s["mean"])
        interval = "" if s["ci95"] is None else " … ".join(_text(end, digits) for end in s["ci95"])
        rest = (_text(s[key], digits) for key in ("median", "min", "max"))
        overall.add_row(name, _text(s["mean"], digits), interval, *rest)
    return Group(own, overall)


def _digits(value: float) -> int:
    """Decimals that say something about a figure of this size."""
    return 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0


def _text(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:,.{digits}f}"
