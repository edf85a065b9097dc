"""Weeks, episode starts, forecasts: nothing of a test week reaches training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartgrid_core.profiles.forecast import ar1, forecast_series, window_means
from smartgrid_core.profiles.splits import assign_splits, episode_starts, runs
from smartgrid_core.profiles.types import SPLITS, ProfileError

DAY, WEEK = 96, 672
YEAR = 366 * DAY


def test_weeks_cycle_through_the_splits():
    block, split_of_step = assign_splits(YEAR, 15)
    week = np.arange(YEAR) // WEEK
    used = week < 52
    np.testing.assert_array_equal(split_of_step[used], np.array([0, 0, 1, 2])[week[used] % 4])
    assert (block[~used] == -1).all()
    assert (split_of_step[~used] == -1).all()
    assert block[used].max() == 3 * 13 - 1
    lengths = np.diff(runs(block[used]), axis=1).ravel() // WEEK
    np.testing.assert_array_equal(lengths, [2, 1, 1] * 13)


def test_a_training_episode_with_its_windows_reads_training_weeks_only():
    block, split_of_step = assign_splits(YEAR, 15)
    starts = episode_starts(block, split_of_step, "train", episode_steps=WEEK, lookback_steps=96, lookahead_steps=120)
    assert starts.size == 13 * (2 * WEEK - WEEK - 96 - 120 + 1)
    assert starts.dtype == np.int64
    for offset in (-96, 0, WEEK - 1, WEEK + 120 - 1):
        assert (split_of_step[starts + offset] == 0).all()
        np.testing.assert_array_equal(block[starts + offset], block[starts])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_episodes_start_at_midnight_inside_their_week(split: str):
    block, split_of_step = assign_splits(YEAR, 15)
    week = episode_starts(block, split_of_step, split, episode_steps=WEEK, lookback_steps=96, lookahead_steps=96)
    assert week.size == 13
    assert (week % WEEK == 0).all()
    day = episode_starts(block, split_of_step, split, episode_steps=DAY)
    assert day.size == 13 * 7
    assert (day % DAY == 0).all()
    assert (split_of_step[day] == SPLITS.index(split)).all()


def test_all_takes_the_data_as_one_block():
    block, split_of_step = assign_splits(10 * DAY, 15, split="all")
    assert episode_starts(block, split_of_step, "all", episode_steps=9 * DAY).size == DAY + 1
    split_into_weeks = assign_splits(YEAR, 15)
    assert episode_starts(*split_into_weeks, "all", episode_steps=52 * WEEK).size == 1


def test_an_episode_that_does_not_fit_is_told_with_what_would():
    block, split_of_step = assign_splits(YEAR, 15)
    with pytest.raises(ProfileError, match=r"768 steps \(8 days\).*test block of 672 steps \(7 days\).*up to 672"):
        episode_starts(block, split_of_step, "test", episode_steps=8 * DAY)
    with pytest.raises(ProfileError, match=r"look-back.*look-ahead"):
        episode_starts(block, split_of_step, "train", episode_steps=2 * WEEK, lookback_steps=96, lookahead_steps=96)
    with pytest.raises(ProfileError, match=r"have no train weeks, only: all"):
        episode_starts(*assign_splits(10 * DAY, 15, split="all"), "train", episode_steps=DAY)
    with pytest.raises(ProfileError, match=r"train, validation, test, all"):
        episode_starts(block, split_of_step, "holdout", episode_steps=DAY)


def test_short_data_say_how_much_is_needed():
    with pytest.raises(ProfileError, match=r"mine.csv: 14 whole days.*at least 28 days.*hold_out = false.*at most 12$"):
        assign_splits(2 * WEEK, 15, source="mine.csv", margin_steps=2 * DAY)
    with pytest.raises(ProfileError, match=r"2 whole days.*give more data: what observations look.*takes 2 days$"):
        assign_splits(2 * DAY, 15, margin_steps=2 * DAY)
    with pytest.raises(ProfileError, match=r"does not fit into the data of 960 steps.*episode_days to at most 8$"):
        episode_starts(
            *assign_splits(10 * DAY, 15, split="all"), "all", episode_steps=9 * DAY, lookback_steps=DAY,
            lookahead_steps=DAY,
        )  # fmt: skip


# ---- Forecast series -------------------------------------------------------------------------------------


def _series(columns: int = 3, weeks: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 0.3, (columns, weeks * WEEK)).astype(np.float32)


@pytest.mark.parametrize("kind", ["none", "persistence", "noisy", "perfect"])
@pytest.mark.parametrize("corruption", [1e6, np.nan])
def test_corrupt_test_weeks_leave_training_bit_identical(kind: str, corruption: float):
    actual = _series()
    block, split_of_step = assign_splits(actual.shape[1], 15)
    corrupt = np.where(split_of_step == 2, np.float32(corruption), actual)

    def expected(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        series = forecast_series(values, kind, seed=5, block=block, split_of_step=split_of_step)
        return series, window_means(series, (4, 12, 24, 96, 200), block)

    train = split_of_step < 2  # validation does not see test weeks either
    for clean, dirty in zip(expected(actual), expected(corrupt), strict=True):
        assert clean.dtype == np.float32
        assert clean[:, train].tobytes() == dirty[:, train].tobytes()


def test_perfect_and_none():
    actual = _series()
    block = np.zeros(actual.shape[1], np.int32)
    np.testing.assert_array_equal(forecast_series(actual, "perfect", block=block), actual)
    assert not forecast_series(actual, "none", block=block).any()


def test_persistence_is_the_day_before_and_stays_inside_the_block():
    actual = _series()
    block, split_of_step = assign_splits(actual.shape[1], 15)
    alone = forecast_series(actual, "persistence", block=block)
    first_day = slice(2 * WEEK, 2 * WEEK + DAY)  # of the first validation week
    np.testing.assert_array_equal(alone[:, DAY : 2 * WEEK], actual[:, : 2 * WEEK - DAY])
    np.testing.assert_array_equal(alone[:, first_day], actual[:, first_day])
    known = forecast_series(actual, "persistence", block=block, split_of_step=split_of_step)
    np.testing.assert_array_equal(known[:, first_day], actual[:, 2 * WEEK - DAY : 2 * WEEK])
    # the second training block follows a test week, which it must not read
    training = slice(4 * WEEK, 4 * WEEK + DAY)
    np.testing.assert_array_equal(known[:, training], actual[:, training])


def test_noise_has_the_asked_spread_and_memory_at_any_step():
    for steps_per_day, lag in ((96, 4), (24, 1), (288, 12)):  # one hour
        steps = 366 * steps_per_day
        ones = np.ones((20, steps), np.float32)
        block = np.zeros(steps, np.int32)
        options = {"sigma": 0.1, "correlation": 0.98, "steps_per_day": steps_per_day, "block": block}
        z = (forecast_series(ones, "noisy", seed=1, **options).astype(np.float64) - 1) / 0.1
        assert abs(z.mean()) < 0.05
        assert abs(z.std() - 1) < 0.03
        assert abs(np.mean(z[:, lag:] * z[:, :-lag]) - 0.98**4) < 0.02
        assert abs(z[:, :4].std() - 1) < 0.35  # stationary from the first step on
        assert abs(np.corrcoef(z[0], z[1])[0, 1]) < 0.1


def test_noise_does_not_depend_on_values_or_other_columns():
    actual = _series(columns=4)
    block = np.zeros(actual.shape[1], np.int32)
    four = forecast_series(actual, "noisy", seed=3, block=block)
    two = forecast_series(actual[:2], "noisy", seed=3, block=block)
    assert four[:2].tobytes() == two.tobytes()
    doubled = forecast_series(2 * actual, "noisy", seed=3, block=block)
    np.testing.assert_allclose(doubled, 2 * four, rtol=1e-6)
    assert (four >= 0).all()
    assert not np.array_equal(four, forecast_series(actual, "noisy", seed=4, block=block))


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9, 0.999])
def test_ar1_is_the_recursion(correlation: float):
    y = ar1(np.random.default_rng(0), 1, 3000, correlation)[0]
    innovation = y[1:] - correlation * y[:-1]
    assert abs(innovation.std() - np.sqrt(1 - correlation**2)) < 0.05 * np.sqrt(1 - correlation**2)
    assert abs(np.corrcoef(innovation[1:], innovation[:-1])[0, 1]) < 0.06


def test_unknown_kinds_and_parameters_are_refused():
    actual, block = np.ones((1, DAY), np.float32), np.zeros(DAY, np.int32)
    with pytest.raises(ProfileError, match=r"persistence"):
        forecast_series(actual, "oracle", block=block)
    with pytest.raises(ProfileError, match=r"correlation = 1"):
        forecast_series(actual, "noisy", correlation=1.0, block=block)
    with pytest.raises(ProfileError, match=r"ascending"):
        window_means(actual, (4, 4), block)


# ---- Window means ----------------------------------------------------------------------------------------


def _window_means_by_hand(
    series: np.ndarray, edges: tuple[int, ...], block: np.ndarray, steps_per_day: int
) -> np.ndarray:
    columns, steps = series.shape
    out = np.zeros((columns, steps, len(edges)))
    for t in range(steps):
        end = t
        while end < steps and block[end] == block[t]:
            end += 1
        for w, (low, high) in enumerate(zip((0, *edges), edges, strict=False)):
            at = np.arange(t + low + 1, t + high + 1)
            while (at >= end).any():
                at = np.where(at >= end, at - steps_per_day, at)
            out[:, t, w] = series[:, at].astype(np.float64).mean(axis=1)
    return out


@settings(max_examples=30, deadline=None)
@given(
    days=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_window_means_are_those_by_hand(days: list[int], widths: list[int], seed: int):
    steps_per_day = 8
    block = np.repeat(np.arange(len(days)), np.array(days) * steps_per_day)
    edges = tuple(int(edge) for edge in np.cumsum(widths))
    series = np.random.default_rng(seed).random((2, block.size)).astype(np.float32)
    got = window_means(series, edges, block, steps_per_day=steps_per_day)
    np.testing.assert_allclose(got, _window_means_by_hand(series, edges, block, steps_per_day), rtol=1e-6)


def test_window_means_of_a_year_are_exact_far_from_its_start():
    series = np.full((1, YEAR), 0.1, np.float32)
    means = window_means(series, (1, 96), np.zeros(YEAR, np.int32))
    np.testing.assert_allclose(means, np.float32(0.1), rtol=1e-7)
