"""What is expected for step t: the series that learners and controllers both read.

A forecast series has the shape of the actual one; a controller at step k reads its entries k + 1, k + 2, …, a
learner reads `window_means` of it. Nothing here ever reads another block's future: data of test weeks cannot
reach training.
"""

from __future__ import annotations

import numpy as np

from smartgrid_core.profiles.splits import runs
from smartgrid_core.profiles.types import ProfileError

FORECAST_KINDS = ("none", "persistence", "noisy", "perfect")
_CORRELATION_STEPS_PER_DAY = 96  # `correlation` is stated for steps of 15 min
_TRUNCATION = 1e-8  # relative weight below which an AR(1) process has forgotten its past


def forecast_series(
    actual: np.ndarray,
    kind: str,
    *,
    sigma: float = 0.2,
    correlation: float = 0.98,
    seed: int = 0,
    steps_per_day: int = 96,
    block: np.ndarray,
    split_of_step: np.ndarray | None = None,
) -> np.ndarray:
    """Expected value of every step, [C, T] float32 in the unit of `actual`.

    Args:
        actual: [C, T].
        kind: "none": zeros; "perfect": `actual`; "persistence": the value 24 h earlier; "noisy": `actual ·
            max(0, 1 + sigma · z)` with z a stationary AR(1) process of unit variance, independent for each
            column. z depends on `seed`, the column's number and the step only, never on values or on how many
            columns there are.
        sigma: relative standard deviation of "noisy".
        correlation: of z over 15 minutes, in [0, 1); other steps take the power that keeps the decay per
            hour.
        seed: of z. Give demand and generation different ones.
        steps_per_day: steps of a day.
        block: [T] as in `Profiles`. Persistence does not leave the block: the first day of a block expects
            its own values, which is why an episode's look-back should cover a day.
        split_of_step: [T] as in `Profiles`. Where given, the first day of validation and test blocks expects
            the day before although it belongs to an earlier split (train before validation before test): the
            past, known to whoever forecasts, so that evaluation has no day with perfect foresight.

    Raises:
        ProfileError: unknown kind, or a parameter out of range.
    """
    if kind not in FORECAST_KINDS:
        raise ProfileError(f"forecast kind = {kind!r}: expected one of {', '.join(FORECAST_KINDS)}")
    if actual.ndim != 2 or block.shape != (actual.shape[1],):
        raise ProfileError(f"actual {actual.shape} and block {block.shape}: expected [C, T] and [T]")
    if kind == "none":
        return np.zeros(actual.shape, np.float32)
    if kind == "perfect":
        return actual.astype(np.float32)
    if kind == "persistence":
        return actual[:, _day_before(block, split_of_step, steps_per_day)].astype(np.float32)
    if not (np.isfinite(sigma) and sigma >= 0 and 0 <= correlation < 1):
        raise ProfileError(f"sigma = {sigma}, correlation = {correlation}: expected sigma >= 0, 0 <= correlation < 1")
    step_correlation = correlation ** (_CORRELATION_STEPS_PER_DAY / steps_per_day)
    columns, steps = actual.shape
    out = np.empty(actual.shape, np.float32)
    for column in range(columns):  # one at a time bounds the memory of large tables
        z = ar1(np.random.default_rng([seed, column]), 1, steps, step_correlation)[0]
        out[column] = actual[column] * np.maximum(0.0, 1.0 + sigma * z)
    return out


def ar1(generator: np.random.Generator, rows: int, steps: int, correlation: float) -> np.ndarray:
    """Stationary AR(1) processes of zero mean and unit variance with the given lag-1 correlation, [rows,
    steps].

    Computed by recursive doubling (y ← y + ρ^s · shift(y, s), s = 1, 2, 4, …: Hillis and Steele 1986), which
    needs log2 of the memory length in passes over the array instead of a loop over steps. What lies further
    back than ρ^s = 1e-8 is left out; the process starts that long before step 0.
    """
    if correlation <= 0:
        return generator.standard_normal((rows, steps))
    memory = int(np.ceil(np.log(_TRUNCATION) / np.log(correlation)))
    y = generator.standard_normal((rows, memory + steps)) * np.sqrt(1.0 - correlation**2)
    shift, weight = 1, correlation
    while shift < memory:
        y[:, shift:] += weight * y[:, :-shift]
        shift, weight = 2 * shift, weight * weight
    return y[:, memory:]


def _day_before(block: np.ndarray, split_of_step: np.ndarray | None, steps_per_day: int) -> np.ndarray:
    steps = np.arange(block.size)
    before = np.maximum(steps - steps_per_day, 0)
    allowed = block[before] == block
    if split_of_step is not None:
        allowed |= (split_of_step[before] >= 0) & (split_of_step[before] < split_of_step)
    return np.where(allowed & (steps >= steps_per_day), before, steps)


def window_means(
    series: np.ndarray, edges_steps: tuple[int, ...], block: np.ndarray, steps_per_day: int = 96
) -> np.ndarray:
    """Means of a series over the windows (t + edge[w-1], t + edge[w]], edge[-1] = 0, as [C, T, W] float32.

    Where t + h lies beyond t's block, the value at the same time of day on the block's last day stands for
    it: no window reads another block, and sums never mix blocks, so changed values elsewhere leave the means
    bit-identical.

    Args:
        series: [C, T], usually from `forecast_series`.
        edges_steps: W ascending window ends in steps, e.g. (4, 12, 24, 48, 96) at 15 min: 0–1 h, 1–3 h, …
            12–24 h.
        block: [T] as in `Profiles`.
        steps_per_day: steps of a day.

    Raises:
        ProfileError: edges that do not ascend from above 0, or shapes that do not match.
    """
    edges = np.concatenate([[0], np.asarray(edges_steps, np.int64)])
    if edges.size < 2 or (np.diff(edges) <= 0).any():
        raise ProfileError(f"edges_steps = {edges_steps}: expected ascending numbers of steps, the first above 0")
    if series.ndim != 2 or block.shape != (series.shape[1],):
        raise ProfileError(f"series {series.shape} and block {block.shape}: expected [C, T] and [T]")
    out = np.empty((*series.shape, edges.size - 1), np.float32)
    for first, end in runs(block):
        beyond = np.arange(end, end + edges[-1])
        # A block shorter than a day (possible only in data made by hand) repeats as a whole.
        period = min(steps_per_day, end - first)
        beyond = end - period + (beyond - end) % period
        values = series[:, np.concatenate([np.arange(first, end), beyond])]
        sums = np.zeros((series.shape[0], values.shape[1] + 1))
        np.cumsum(values, axis=1, dtype=np.float64, out=sums[:, 1:])
        now = np.arange(end - first)[:, None] + 1  # sums[:, now] counts step t itself
        upper, lower = sums[:, now + edges[1:]], sums[:, now + edges[:-1]]
        out[:, first:end] = (upper - lower) / np.diff(edges)
    return out
