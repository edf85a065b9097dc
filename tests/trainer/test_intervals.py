"""How sure a mean over episodes is, where several lie in one week of the data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from smartgrid_core import GridConfig, Simulator
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)
from trainer.evaluate import evaluate_in_detail
from trainer.intervals import clustered_error, mean_interval
from trainer.scoreboard import score
from trainer.significance import paired_t_test


@pytest.mark.parametrize("episodes", [3, 6, 12, 32])
def test_intervals_cover_the_truth(episodes: int) -> None:
    rng = np.random.default_rng(7)
    trials, covered, of_means = 400, 0, 0
    for _ in range(trials):
        grid_only = rng.normal(140, 20, episodes)
        optimum = 0.6 * grid_only + rng.normal(0, 2, episodes)
        policy = grid_only - 0.8 * (grid_only - optimum) + rng.normal(0, 6, episodes)
        found, (_, low, high) = score(policy, grid_only, optimum), mean_interval(grid_only)
        assert found is not None
        covered += found.low <= 0.8 <= found.high
        of_means += low <= 140 <= high
    assert 0.91 <= covered / trials <= 0.99
    assert 0.91 <= of_means / trials <= 0.99


def test_intervals_cover_the_truth_where_episodes_share_weeks() -> None:
    """32 episodes of 13 weeks whose weather differs; taken for independent they covered it in six of ten."""
    rng = np.random.default_rng(7)
    trials, by_week, by_episode = 400, 0, 0
    for _ in range(trials):
        week = rng.integers(13, size=32)
        values = rng.normal(0, 2, 13)[week] + rng.normal(0, 1, 32)
        for_all = mean_interval(values)
        _, low, high = mean_interval(values, week)
        by_week += low <= 0 <= high
        by_episode += for_all.low <= 0 <= for_all.high
    assert 0.9 <= by_week / trials <= 0.98
    assert by_episode / trials < 0.8


def test_an_episode_a_week_is_students_t() -> None:
    values = np.array([1.0, 4.0, 2.0, 7.0])
    for week in (None, np.array([9, 2, 5, 7])):
        error, freedom = clustered_error(values - values.mean(), week)
        assert (error, freedom) == (pytest.approx(values.std(ddof=1) / 2), 3)
        expected = ttest_1samp(values, 0.0)
        assert paired_t_test(values, week) == pytest.approx(tuple(expected))
    assert mean_interval(np.array([1.0, 3.0])) == pytest.approx((2, 2 - 12.706, 2 + 12.706), abs=1e-3)


def test_copies_of_an_episode_tell_nothing_new() -> None:
    values, week = np.array([1.0, 4.0, 2.0]), np.array([0, 1, 2])
    assert mean_interval(np.repeat(values, 5), np.repeat(week, 5)) == pytest.approx(mean_interval(values))
    assert paired_t_test(np.repeat(values, 5), np.repeat(week, 5)) == pytest.approx(paired_t_test(values))


def test_what_is_not_available_is_left_out_and_one_week_has_no_interval() -> None:
    assert mean_interval(np.array([1.0, np.nan, 3.0]), np.array([0, 1, 2])).value == 2.0
    assert np.isnan(mean_interval(np.array([np.nan]))).all()
    value, low, high = mean_interval(np.array([1.0, 3.0]), np.array([4, 4]))
    assert value == 2.0
    assert np.isnan([low, high]).all()
    assert paired_t_test(np.array([1.0, 3.0]), np.array([4, 4])) == (None, None)


@pytest.mark.usefixtures("quick_profiles")
@pytest.mark.parametrize("hold_out", [True, False])
def test_an_evaluation_tells_which_weeks_its_episodes_begin_in(hold_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.evaluate.MOST_WRITTEN_OUT", 0)  # nothing compiled for so few steps
    seeds = list(range(8))
    config = GridConfig.load("community-5", episode_days=0.25, **{"profiles.hold_out": hold_out})
    first = Simulator(config, len(seeds), split="test").reset(seed=seeds)[0].row.numpy() // (7 * 96)
    outcomes = evaluate_in_detail(config, against="idle", seeds=seeds, cache=False).outcomes
    np.testing.assert_array_equal(outcomes["idle"].week, first)
    assert 1 < len(set(first)) < len(seeds)
