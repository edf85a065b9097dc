"""How sure a mean over test episodes is.

Episodes that begin in one week of the data share its season, weather and prices, however different their prosumers are:
not episodes are independent, but weeks. So what each episode adds to an estimate, to first order, is summed by week,
and the spread of these sums makes the interval (clustered errors: Cameron and Miller 2015, doi:10.3368/jhr.50.2.317),
by Student's t with one degree of freedom less than there are weeks, as they are few.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A value with its 95 % confidence interval; the ends are NaN where there is but one week."""

    value: float
    low: float
    high: float


def mean_interval(values: np.ndarray, week: np.ndarray | None = None) -> Estimate:
    """Mean of [E] values over the episodes that have one, NaN where none has; `week` as of `clustered_error`."""
    values = np.asarray(values, dtype=np.float64)
    there = np.isfinite(values)
    if not there.any():
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(values[there].mean())
    return around(mean, values[there] - mean, None if week is None else week[there])


def ratio_interval(numerator: np.ndarray, denominator: np.ndarray, week: np.ndarray | None = None) -> Estimate:
    """Ratio of the means of [E] values, its spread to first order (Cochran 1977, Sampling Techniques, ch. 6)."""
    value = float(numerator.mean() / denominator.mean())
    return around(value, (numerator - value * denominator) / denominator.mean(), week)


def around(value: float, residual: np.ndarray, week: np.ndarray | None) -> Estimate:
    """The interval of an estimate from which episodes are `residual` [E] away, to first order."""
    from scipy.special import stdtrit  # with HiGHS, in the extra `control`

    error, freedom = clustered_error(residual, week)
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * error) if freedom else math.nan
    return Estimate(value, value - reach, value + reach)


def clustered_error(residual: np.ndarray, week: np.ndarray | None = None) -> tuple[float, int]:
    """Standard error of a mean, and its degrees of freedom.

    Args:
        residual: [E] distance of every episode from the mean.
        week: [E] number of the week of the data an episode lies in; None: each in its own.
    """
    number = np.arange(len(residual)) if week is None else np.unique(week, return_inverse=True)[1]
    sums = np.bincount(number, residual)
    weeks = len(sums)
    if weeks < 2:
        return math.nan, 0
    return math.sqrt(weeks / (weeks - 1) * np.square(sums).sum()) / len(residual), weeks - 1
