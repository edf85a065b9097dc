"""The pictures exist, show something, and refuse what they cannot show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from smartgrid_core.config import GridConfig
from smartgrid_core.controllers import EpisodeRecord, make_controller
from smartgrid_core.types import RewardParts
from trainer import plots
from trainer.evaluate import record_episode
from trainer.learning_plot import plot_learning
from trainer.scoreboard import Row, Scoreboard


@pytest.fixture(scope="module")
def config() -> GridConfig:
    return GridConfig.load("outage", episode_days=2, **{"forecast.window_edges_h": [1.0]})


@pytest.fixture(scope="module")
def record(config: GridConfig) -> EpisodeRecord:
    torch.set_num_threads(1)
    return record_episode(config, make_controller("random"), seed=1000)


def picture(path: Path) -> np.ndarray:
    """Every second pixel [height, width, RGB] of a PNG that is legible in size and shows several colours."""
    pixels = imread(path)[..., :3]
    assert min(pixels.shape[:2]) >= 400
    pixels = pixels[::2, ::2]
    shades = np.unique((pixels * 31).astype(np.int32) @ np.array([1, 32, 1024]))
    assert len(shades) > 20
    assert 0.02 < (pixels.min(-1) < 0.9).mean() < 0.7  # neither blank nor full
    return pixels


def has(pixels: np.ndarray, colour: str) -> bool:
    """Whether a colour, or one close to it, covers some area."""
    wanted = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return int((np.abs(pixels - wanted).max(-1) < 0.12).sum()) > 40


def test_day(record: EpisodeRecord, config: GridConfig, tmp_path: Path) -> None:
    pixels = picture(plots.plot_day(record, config, tmp_path / "new" / "day.png", day=1))
    for colour in (plots.ORANGE, plots.GREEN, plots.BLUE, plots.SKY, plots.PURPLE, plots.VERMILION, plots.INK):
        assert has(pixels, colour)


def test_day_of_an_outage_in_a_large_community(tmp_path: Path) -> None:
    config = GridConfig.load(
        "suburb-40",
        **{"forecast.window_edges_h": [1.0]},
        episode_days=0.5,
        events=[{"kind": "islanding", "hour": 2, "duration_h": 6}, {"kind": "branch_outage", "hour": 1, "branch": 3}],
    )
    record = record_episode(config, make_controller("self-consumption"), seed=1000)
    picture(plots.plot_day(record, config, tmp_path / "day.png"))


@pytest.mark.parametrize(("grid", "day"), [(1, 0), (-1, 0), (0, 2), (0, -1)])
def test_day_that_the_record_does_not_have(record: EpisodeRecord, config: GridConfig, grid: int, day: int) -> None:
    with pytest.raises(ValueError, match="the record has 1 grids of 2 days"):
        plots.plot_day(record, config, "never.png", grid=grid, day=day)


def test_day_without_series(record: EpisodeRecord, config: GridConfig) -> None:
    with pytest.raises(ValueError, match="keep_series"):
        plots.plot_day(replace(record, series=None), config, "never.png")


def row(name: str, kind: str, score: float | None) -> Row:
    ci = None if score is None else (score - 0.05, score + 0.05)
    return Row(name, kind, "noisy 20 %", 8, score, ci, 50.0, None, {}, {})


def test_scoreboard(tmp_path: Path) -> None:
    rows = (row("optimum", "optimum", 0.99), row("mpc-noisy", "mpc", 0.9), row("ippo (run)", "policy", 0.8))
    rows += (row("time-of-use", "rule", 0.5), row("random", "rule", -2.0))
    pixels = picture(plots.plot_scoreboard(Scoreboard("example", 32, rows, 100.0, 60.0), tmp_path / "board.png"))
    for colour in (plots.KIND_COLOURS[kind] for kind in ("policy", "mpc", "optimum", "rule")):
        assert has(pixels, colour)


def test_scoreboard_without_any_score(tmp_path: Path) -> None:
    board = Scoreboard("example", 32, (row("idle", "rule", None),), 100.0, 100.0)
    assert plots.plot_scoreboard(board, tmp_path / "board.png").stat().st_size > 1000


@pytest.mark.parametrize("validated", [True, False])
def test_learning_curve(validated: bool, tmp_path: Path) -> None:
    lines = []
    for k in range(1, 60):
        line: dict[str, object] = {"iteration": k, "env_steps": 10_000 * k, "seconds": 2.0 * k, "collect_s": 1.0}
        line |= {"update_s": 1.0, "agent_steps_per_s": 5e4, "learning_reward": [k / 60, k / 30]}
        line |= {f"reward_{part}": [-1 / k, -2 / k] for part in RewardParts._fields}
        if validated and k % 10 == 0:
            line |= {"validation_score": 1 - 1 / k, "validation_cost_eur": 100 / k}
        lines.append(json.dumps(line))
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("\n".join(lines) + '\n{"iteration": 60, "env_', encoding="utf-8")  # killed while writing
    pixels = picture(plot_learning(metrics, tmp_path / "learning.png"))
    assert has(pixels, plots.BLUE)
    assert has(pixels, plots.GREEN) is validated


def test_learning_curve_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(ValueError, match="nothing was logged"):
        plot_learning(tmp_path / "metrics.jsonl", tmp_path / "never.png")
