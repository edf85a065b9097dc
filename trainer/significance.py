"""Whether one controller is better than another: paired comparisons of what both did on the same episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from trainer.intervals import clustered_error, mean_interval
from trainer.scoreboard import Outcome, score

CLEAR = 0.05  # of p after Holm's correction


@dataclass(frozen=True)
class Pair:
    """Controller `a` against controller `b` on the episodes both ran; n/a is None."""

    a: str
    b: str
    episodes: int
    cost_difference_eur: float  # mean of J_a − J_b per episode; negative: a is cheaper
    cost_ci: tuple[float, float] | None  # 95 %, paired, as `trainer.intervals` makes them
    score_difference: float | None  # score_a − score_b
    score_ci: tuple[float, float] | None  # 95 %, paired, as `trainer.intervals` makes them
    t: float | None  # paired t statistic of J_a − J_b over weeks
    p: float | None  # two-sided
    p_holm: float | None  # corrected for the number of pairs (Holm 1979, Scand. J. Statistics 6)
    better: str | None  # the cheaper one where p_holm < 0.05


def paired(outcomes: Sequence[Outcome], grid_only: Outcome, optimum: Outcome | None) -> list[Pair]:
    """Every two outcomes compared, in their order.

    Args:
        outcomes: on the same episodes, or on the first so many.
        grid_only, optimum: the references of the score; the optimum carries its bound. None: there is no score.
    """
    pairs = [_pair(a, b, grid_only, optimum) for a, b in combinations(outcomes, 2)]
    corrected = holm([pair["p"] for pair in pairs])
    return [Pair(**pair, p_holm=p, better=_better(pair, p)) for pair, p in zip(pairs, corrected, strict=True)]


def _pair(a: Outcome, b: Outcome, grid_only: Outcome, optimum: Outcome | None) -> dict:
    episodes = min(len(a.cost_j), len(b.cost_j))
    difference = a.cost_j[:episodes] - b.cost_j[:episodes]
    week = None if a.week is None else a.week[:episodes]
    mean, *interval = mean_interval(difference, week)
    reference, bound = grid_only.cost_j[:episodes], None if optimum is None else optimum.bound_j
    points = None
    if bound is not None:  # a controller that costs `difference` more than grid_only scores score_a − score_b
        points = score(reference + difference, reference, bound[:episodes], week)
    t, p = paired_t_test(difference, week)
    return {
        "a": a.name, "b": b.name, "episodes": episodes, "cost_difference_eur": mean, "cost_ci": _finite(interval),
        "score_difference": None if points is None else points.value,
        "score_ci": None if points is None else _finite(points[1:]), "t": t, "p": p,
    }  # fmt: skip


def paired_t_test(difference: np.ndarray, week: np.ndarray | None = None) -> tuple[float | None, float | None]:
    """Student's t statistic and two-sided p of a mean difference of 0; None from fewer than two weeks.

    Where all differ by the same amount there is no spread: p is 1 where they are equal, else 0, and t is n/a.

    Args:
        difference: [E] of episodes; week: [E] of the data, as in `trainer.intervals`.
    """
    from scipy.special import stdtr  # with HiGHS, in the extra `control`

    mean = float(difference.mean())
    error, freedom = clustered_error(difference - mean, week)
    if not freedom:
        return None, None
    if error <= 1e-12 * max(1.0, abs(mean)):
        return None, 1.0 if abs(mean) <= 1e-12 else 0.0
    return mean / error, float(2 * stdtr(freedom, -abs(mean / error)))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values corrected so that the chance of any wrong claim among them stays what it was for one."""
    order = sorted((p, k) for k, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    floor = 0.0
    for rank, (p, k) in enumerate(order):
        floor = max(floor, min(1.0, (len(order) - rank) * p))
        corrected[k] = floor
    return corrected


def _better(pair: dict, p_holm: float | None) -> str | None:
    if p_holm is None or p_holm >= CLEAR or pair["cost_difference_eur"] == 0:
        return None
    return pair["a"] if pair["cost_difference_eur"] < 0 else pair["b"]


def _finite(values: Sequence[float]) -> tuple[float, float] | None:
    low, high = values
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
