"""Indicators against records small enough to work out by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from smartgrid_core.controllers.episode import EpisodeRecord, EpisodeSeries, cost_j, prosumer_cost_j
from smartgrid_core.kpis import KPIS, gini, kpis

STEPS, GRIDS, AGENTS, BUSES, STEP_H = 4, 2, 2, 3, 0.5
PER_GRID = {
    "import_eur_per_kwh",
    "export_eur_per_kwh",
    "co2_g_per_kwh",
    "stability",
    "loss_kw",
    "slack_kw",
    "max_loading",
}
MASKS = {"energised": (AGENTS,), "converged": (), "islanded": ()}


def make_record(**series: np.ndarray) -> EpisodeRecord:
    """A record of two grids of two prosumers over two hours in which nothing happens but `series` [T, ...].

    A series without a batch axis is that of grid 0; in grid 1 nothing happens.
    """
    values: dict[str, np.ndarray] = {}
    for field in fields(EpisodeSeries):
        shape: tuple[int, ...] = (AGENTS,)
        if field.name in PER_GRID:
            shape = ()
        shape = {"transfers_kw": (AGENTS, 1), "stability_parts": (4,), "voltage_pu": (BUSES,)}.get(field.name, shape)
        shape = MASKS.get(field.name, shape)
        idle: float | bool = {
            "voltage_pu": 1.0,
            "stability": 1.0,
            "energised": True,
            "converged": True,
            "islanded": False,
        }.get(field.name, 0.0)
        values[field.name] = np.full((STEPS, GRIDS, *shape), idle)
        if field.name in series:
            values[field.name][:, 0] = series.pop(field.name)
    assert not series, f"unknown series {sorted(series)}"
    some = np.ones((GRIDS, AGENTS))
    return EpisodeRecord(
        controller="test", kind="rule", step_h=STEP_H, capacity_kwh=10 * some, charge_efficiency=0.5 * some,
        soc_start_kwh=2 * some, soc_end_kwh=np.array([[3.0, 2.0], [2.0, 2.0]]),
        cost_eur=np.array([[4.0, 1.0], [0.0, 0.0]]), lowest_import_eur_per_kwh=np.array([0.1, 0.1]),
        start_s=0.001, decision_s=np.full(STEPS, 0.001), series=EpisodeSeries(**values),
    )  # fmt: skip


def column(*values: float) -> np.ndarray:
    """[T, N]: the first prosumer's values, the second's 0."""
    return np.stack([np.array(values, dtype=float), np.zeros(STEPS)], axis=1)


def test_registry_is_complete_and_every_value_has_a_batch() -> None:
    found = kpis(make_record())
    assert list(found) == [kpi.name for kpi in KPIS]
    assert all(values.shape == (GRIDS,) and values.dtype == np.float64 for values in found.values())
    assert all(kpi.better in ("low", "high", "neither") and kpi.description.endswith(".") for kpi in KPIS)


def test_stored_energy_is_worth_the_cheapest_import() -> None:
    record = make_record()
    # 1 kWh gained, replaced at 0.1 EUR/kWh through a charger of 50 %: 0.2 EUR.
    np.testing.assert_allclose(prosumer_cost_j(record), [[3.8, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(cost_j(record), [4.8, 0.0])
    np.testing.assert_allclose(kpis(record)["bill_eur"], [5.0, 0.0])


def test_voltage_violations_count_energised_buses_beyond_ten_percent_and_collapse() -> None:
    voltage = np.ones((STEPS, BUSES))
    voltage[0, 1] = 0.899  # violation
    voltage[1, 2] = 1.1  # at the limit: none
    voltage[2, 0] = 0.0  # not energised: none
    converged = np.array([True, True, True, False])  # no solution: violation
    found = kpis(make_record(voltage_pu=voltage, converged=converged))
    np.testing.assert_allclose(found["voltage_violation_h"], [2 * STEP_H, 0.0])


def test_overload_starts_beyond_the_rating() -> None:
    found = kpis(make_record(max_loading=np.array([0.99, 1.0, 1.001, 3.0])))
    np.testing.assert_allclose(found["overload_h"], [2 * STEP_H, 0.0])


def test_peak_ramping_and_carbon_follow_the_slack_power() -> None:
    slack = np.array([2.0, -1.0, 4.0, 9.0])
    record = make_record(
        slack_kw=slack, islanded=np.array([False, False, False, True]), co2_g_per_kwh=np.full(STEPS, 500.0),
        loss_kw=np.full(STEPS, 0.25),
    )  # fmt: skip
    found = kpis(record)
    np.testing.assert_allclose(found["peak_kw"], [4.0, 0.0])  # what an island's own unit gives is no import
    np.testing.assert_allclose(found["ramping_kw"], [(3 + 5 + 4) / 3, 0.0])
    np.testing.assert_allclose(found["co2_kg"], [(2 + 4) * STEP_H * 0.5, 0.0])
    np.testing.assert_allclose(found["losses_kwh"], [STEPS * 0.25 * STEP_H, 0.0])


def test_energy_sent_counts_once() -> None:
    sent, received = column(2.0, 0.0, 1.0, 0.0), column(0.0, 0.0, 0.0, 0.0)
    received[:, 1] = sent[:, 0]
    found = kpis(make_record(sent_kw=sent, received_kw=received))
    np.testing.assert_allclose(found["transferred_kwh"], [3 * STEP_H, 0.0])


def test_meters_replace_the_slack_power_where_the_power_flow_has_no_solution() -> None:
    found = kpis(
        make_record(
            slack_kw=np.array([1.0, 1e6, 1.0, 1.0]),
            converged=np.array([True, False, True, True]),
            bought_kw=column(0, 3, 0, 0),
        )
    )
    np.testing.assert_allclose(found["peak_kw"], [3.0, 0.0])


def test_self_consumption_and_self_sufficiency_net_the_community() -> None:
    generation, demand = column(4, 4, 0, 0), column(2, 2, 2, 2)
    # The neighbour buys 1 kW of the 2 kW that the first sells: only 1 kW leaves the community.
    bought = np.array([[0, 1], [0, 0], [2, 0], [1, 0]], dtype=float)
    record = make_record(
        generation_kw=generation, demand_kw=demand, sold_kw=column(2, 1, 0, 0), bought_kw=bought,
        curtailed_kw=column(0, 1, 0, 0), unserved_kw=column(0, 0, 0, 1),
    )  # fmt: skip
    found = kpis(record)
    np.testing.assert_allclose(found["self_consumption"][0], (8 - 2 - 1) / 8)
    np.testing.assert_allclose(found["self_sufficiency"][0], (8 - 3 - 1) / 8)
    np.testing.assert_allclose(found["unserved_kwh"], [1 * STEP_H, 0.0])


def test_shares_without_a_denominator_are_not_available_and_never_negative() -> None:
    found = kpis(make_record(generation_kw=column(1, 0, 0, 0), sold_kw=column(3, 0, 0, 0)))
    assert found["self_consumption"][0] == 0.0  # the battery sold more than was ever generated
    assert np.isnan(found["self_consumption"][1])
    assert np.isnan(found["self_sufficiency"]).all()


def test_gini_of_benefit() -> None:
    record = make_record()
    assert np.isnan(kpis(record)["gini_benefit"]).all()  # nothing to compare with
    even = prosumer_cost_j(record) + np.array([[2.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(kpis(record, even)["gini_benefit"], [0.0, np.nan])
    one = prosumer_cost_j(record) + np.array([[2.0, 0.0], [1.0, 3.0]])
    np.testing.assert_allclose(kpis(record, one)["gini_benefit"], [1.0, 0.5])


def test_gini_of_many_and_of_losers() -> None:
    # Σ|xᵢ − xⱼ| over ordered pairs of 1, 2, 3 is 8; 2 · 2 · 6 = 24.
    np.testing.assert_allclose(gini(np.array([1.0, 2.0, 3.0])), 8 / 24)
    np.testing.assert_allclose(gini(np.array([-1.0, 1.0])), 1.0)
    assert np.isnan(gini(np.array([5.0])))
    values = np.random.default_rng(0).normal(size=(1000, 6))
    assert ((gini(values) >= 0) & (gini(values) <= 1)).all()


def test_decision_time_is_per_community_and_counts_the_preparation() -> None:
    np.testing.assert_allclose(kpis(make_record())["decision_us"], 1e6 * 0.005 / (STEPS * GRIDS))


def test_a_record_without_series_is_refused() -> None:
    record = make_record()
    bare = EpisodeRecord(**{**vars(record), "series": None})
    with pytest.raises(ValueError, match="keep_series"):
        kpis(bare)
