"""Key performance indicators of recorded episodes: one number per episode, each with its formula and source.

Powers are means over a step, so energies are powers times the step length. "Community" means the connection
to the utility grid: what the prosumers exchange among each other does not cross it. Indicators whose
denominator does not exist (self-consumption without solar, for example) are NaN: not available.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from smartgrid_core.controllers.episode import EpisodeRecord, EpisodeSeries, prosumer_cost_j

VOLTAGE_BAND_PU = 0.1  # EN 50160:2010, 4.2.2: supply voltage within ±10 % of nominal
FLOAT32_PU = 1e-6  # a voltage on the limit may round to beyond it
RATED_LOADING = 1.0  # IEC 60287 (cables) and IEC 60076-7 (transformers) rate continuous current: 1 = rated


class Kpi(NamedTuple):
    """What a number means and which way is better."""

    name: str
    unit: str  # "" for ratios and indices
    better: Literal["low", "high", "neither"]
    description: str  # for people: formula and source


class _Context(NamedTuple):
    """What formulas share, computed once."""

    record: EpisodeRecord
    series: EpisodeSeries
    grid_only_j: np.ndarray | None  # [B, N] EUR
    grid_kw: np.ndarray  # [T, B] drawn from the utility at the slack bus, losses included; 0 when islanded
    meters_kw: np.ndarray  # [T, B] sum of the prosumers' orders with the utility, bought − sold

    def kwh(self, power_kw: np.ndarray) -> np.ndarray:
        """Energy of a power [T, B] or [T, B, N] over the episode, [B]."""
        axes = (0,) if power_kw.ndim == 2 else (0, 2)
        return power_kw.sum(axis=axes) * self.record.step_h

    def hours(self, condition: np.ndarray) -> np.ndarray:
        """Hours in which a condition [T, B] holds, [B]."""
        return condition.sum(axis=0) * self.record.step_h


def kpis(record: EpisodeRecord, grid_only_j: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Every indicator of `KPIS`, each [B] float64, one value per episode.

    Args:
        record: what happened, with its series.
        grid_only_j: [B, N] EUR, `prosumer_cost_j` of the same episodes without batteries and transfers; None
            leaves `gini_benefit` NaN.

    Raises:
        ValueError: the record was made without series.
    """
    series = record.series
    if series is None:
        raise ValueError("the record has no series: run the episode with keep_series=True")
    meters = (series.bought_kw - series.sold_kw).sum(axis=2)
    # Without a power-flow solution the slack power means nothing; the meters still do.
    grid = np.where(series.islanded, 0.0, np.where(series.converged, series.slack_kw, meters))
    context = _Context(record, series, grid_only_j, grid, meters)
    return {kpi.name: np.asarray(formula(context), dtype=np.float64) for kpi, formula in _FORMULAS}


def _voltage_violation_h(c: _Context) -> np.ndarray:
    voltage = c.series.voltage_pu
    energised = voltage > 0  # a bus behind an open branch has voltage 0 and is no violation
    outside = (energised & (np.abs(voltage - 1) > VOLTAGE_BAND_PU + FLOAT32_PU)).any(axis=2)
    return c.hours(outside | ~c.series.converged)


def _overload_h(c: _Context) -> np.ndarray:
    return c.hours(c.series.max_loading > RATED_LOADING)


def _peak_kw(c: _Context) -> np.ndarray:
    return np.maximum(c.grid_kw, 0).max(axis=0)


def _ramping_kw(c: _Context) -> np.ndarray:
    if len(c.grid_kw) < 2:
        return np.full(c.grid_kw.shape[1], np.nan)
    return np.abs(np.diff(c.grid_kw, axis=0)).mean(axis=0)


def _self_consumption(c: _Context) -> np.ndarray:
    generation = c.kwh(c.series.generation_kw)
    lost = c.kwh(np.maximum(-c.meters_kw, 0)) + c.kwh(c.series.curtailed_kw)
    return _ratio(np.maximum(generation - lost, 0), generation)


def _self_sufficiency(c: _Context) -> np.ndarray:
    demand = c.kwh(c.series.demand_kw)
    missing = c.kwh(np.maximum(c.meters_kw, 0)) + c.kwh(c.series.unserved_kw)
    return _ratio(np.maximum(demand - missing, 0), demand)


def _decision_us(c: _Context) -> np.ndarray:
    steps, grids = c.grid_kw.shape
    return np.full(grids, 1e6 * (c.record.start_s + c.record.decision_s.sum()) / (steps * grids))


def _gini_benefit(c: _Context) -> np.ndarray:
    if c.grid_only_j is None:
        return np.full(c.grid_kw.shape[1], np.nan)
    return gini(c.grid_only_j - prosumer_cost_j(c.record))


def gini(values: np.ndarray) -> np.ndarray:
    """Gini index along the last axis, in [0, 1] also where some values are negative.

    Σᵢ Σⱼ |xᵢ − xⱼ| / (2 (N − 1) Σᵢ |xᵢ|), after Raffinetti, Siletti and Vernizzi 2015, "On the Gini
    coefficient normalization when attributes with negative values are considered",
    doi:10.1007/s10260-014-0293-4.

    Args:
        values: [..., N].

    Returns:
        [...], NaN for a single value or where all are 0: there is nothing to share.
    """
    count = values.shape[-1]
    spread = np.abs(values[..., :, None] - values[..., None, :]).sum(axis=(-2, -1))
    return _ratio(spread, 2 * (count - 1) * np.abs(values).sum(axis=-1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    exists = denominator > 1e-9
    return np.where(exists, numerator / np.where(exists, denominator, 1.0), np.nan)


_FORMULAS: tuple[tuple[Kpi, Callable[[_Context], np.ndarray]], ...] = (
    (
        Kpi("stability", "", "high", "Stability index S, mean over the episode; weights of the scenario."),
        lambda c: c.series.stability.mean(axis=0),
    ),
    (
        Kpi(
            "voltage_violation_h", "h", "low",
            "Time in which any energised bus is outside ±10 % of nominal voltage (EN 50160:2010, 4.2.2, "
            "applied to step means and all of the time), or the power flow found no solution in network.iterations: "
            "a collapse, or a feeder so weak that it takes more.",
        ),
        _voltage_violation_h,
    ),
    (
        Kpi(
            "overload_h", "h", "low",
            "Time in which any branch carries more than its rated current (IEC 60287, IEC 60076-7).",
        ),
        _overload_h,
    ),
    (
        Kpi(
            "unserved_kwh", "kWh", "low",
            "Energy not supplied: Σ unserved demand (ENS; Billinton and Allan 1996, Reliability Evaluation "
            "of Power Systems).",
        ),
        lambda c: c.kwh(c.series.unserved_kw),
    ),
    (
        Kpi(
            "peak_kw", "kW", "low",
            "Largest import of the community over a step, network losses included, at the slack bus "
            "(CityLearn all_time_peak_average, here per episode and in kW).",
        ),
        _peak_kw,
    ),
    (
        Kpi(
            "ramping_kw", "kW", "low",
            "Mean |change of the community's net import from step to step| (CityLearn ramping_average, here "
            "in kW). NaN: a single step.",
        ),
        _ramping_kw,
    ),
    (
        Kpi(
            "self_consumption", "", "high",
            "(generation − exported − curtailed) / generation, of the community, floored at 0 (Luthander et "
            "al. 2015, doi:10.1016/j.apenergy.2014.12.028). NaN: no generation.",
        ),
        _self_consumption,
    ),
    (
        Kpi(
            "self_sufficiency", "", "high",
            "(demand − imported − unserved) / demand, of the community, floored at 0 (Luthander et al. "
            "2015). NaN: no demand.",
        ),
        _self_sufficiency,
    ),
    (
        Kpi(
            "co2_kg", "kg", "low",
            "Σ import × carbon intensity of the hour; exports earn no credit (CityLearn "
            "carbon_emissions_total).",
        ),
        lambda c: c.kwh(np.maximum(c.grid_kw, 0) * c.series.co2_g_per_kwh) / 1000,
    ),
    (
        Kpi(
            "gini_benefit", "", "low",
            "Gini index of the prosumers' savings against grid_only: 0 = equal, 1 = one has all (Raffinetti "
            "et al. 2015, for values of either sign). NaN: one prosumer, or nothing saved or lost.",
        ),
        _gini_benefit,
    ),
    (
        Kpi("transferred_kwh", "kWh", "neither", "Energy that prosumers sent each other: Σ sent, before losses."),
        lambda c: c.kwh(c.series.sent_kw),
    ),
    (
        Kpi("losses_kwh", "kWh", "low", "Network losses: Σ R·I² and the transformer's no-load loss."),
        lambda c: c.kwh(c.series.loss_kw),
    ),
    (
        Kpi("bill_eur", "EUR", "low", "What the community pays, batteries' content not valued."),
        lambda c: c.record.cost_eur.sum(axis=1),
    ),
    (
        Kpi(
            "decision_us", "µs", "low",
            "Mean wall time of one community's decision, preparation included; grids decide together.",
        ),
        _decision_us,
    ),
)  # fmt: skip

KPIS: tuple[Kpi, ...] = tuple(kpi for kpi, _ in _FORMULAS)
"""The registry: every indicator, in the order of tables and files."""
