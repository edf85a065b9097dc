"""Random communities for property tests: everything varies but the profiles, which are built once per size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import smartgrid_core.simulator as simulator_module
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.profiles.load import LoadedProfiles, load_profiles

ARCHETYPES = ("residential", "commercial", "mixed")


def prosumer(i: int, **fields: Any) -> dict[str, Any]:
    """Plain data of prosumer i; the sunny half of the community has solar."""
    base = {"name": f"p{i}", "archetype": ARCHETYPES[i % 3], "annual_demand_kwh": 4000 + 2000 * i}
    return base | {"solar": {"capacity_kwp": 5 + i} if i % 2 == 0 else None} | fields


@lru_cache(maxsize=8)
def profiles(n: int) -> LoadedProfiles:
    """Eight weeks of n prosumers as `prosumer` describes them."""
    whole = load_profiles(GridConfig.model_validate({"prosumers": [prosumer(i) for i in range(n)]})).profiles
    steps = 8 * 7 * 96
    cut = {name: getattr(whole, name)[..., :steps] for name in ("demand", "generation", "block", "split_of_step")}
    return LoadedProfiles(replace(whole, **cut), (None,) * n)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch computes on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def quick_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulators take the profiles of as many standard prosumers, whatever else is configured."""
    monkeypatch.setattr(simulator_module, "load_profiles", lambda config: profiles(config.num_agents))


def community(n: int = 2, prosumers: dict[str, Any] | None = None, **fields: Any) -> GridConfig:
    """n standard prosumers with the given fields of each and of the whole."""
    data = {"episode_days": 1, "network": {"buses": 8, "power_flow": False}}
    data |= {"prosumers": [prosumer(i, **(prosumers or {})) for i in range(n)]}
    return GridConfig.model_validate(data | fields)


def set_world(sim: Simulator, state: Any, **values: Any) -> Any:
    """A state with other exogenous values or contents, broadcast to its shapes."""
    changed = {}
    for name, value in values.items():
        old = getattr(state, name)
        changed[name] = torch.as_tensor(np.asarray(value), dtype=old.dtype).expand_as(old).clone()
    return state._replace(**changed)


def quantity(low: float, high: float) -> st.SearchStrategy[Any]:
    """A number or a range, rounded so that shrunk examples read well."""
    number = st.floats(low, high).map(lambda x: round(x, 3))
    return number | st.tuples(number, number).map(lambda pair: [min(pair), max(pair)])


BATTERIES = st.builds(
    lambda capacity, charge, discharge, eta_in, eta_out, ends, start: {
        "capacity_kwh": capacity, "charge_kw": charge, "discharge_kw": discharge, "charge_efficiency": eta_in,
        "discharge_efficiency": eta_out, "soc_min": ends[0], "soc_max": ends[1],
        "initial_soc": [round(ends[0] + start * (ends[1] - ends[0]), 6), ends[1]],
    },
    st.just(0) | quantity(0.0, 12.0), quantity(0.0, 7.0), quantity(0.0, 7.0), quantity(0.5, 1.0), quantity(0.5, 1.0),
    st.tuples(st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.5, 0.9, 1.0])), st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip

EVENT = st.builds(
    lambda kind, hour, duration, branch, adder, factor: {
        "kind": kind, "hour": [hour, hour + 4], "duration_h": duration, "branch": branch if "branch" in kind else None,
        "import_adder_eur_per_kwh": adder if kind == "price_spike" else 0.0,
        "factor": factor if kind in ("demand_surge", "cloud") else 1.0,
    },
    st.sampled_from(["islanding", "branch_outage", "price_spike", "demand_surge", "cloud"]), st.integers(0, 20),
    st.sampled_from([0.5, 6, 30]), st.sampled_from([None, 1, 3]), st.sampled_from([0.0, 0.8]), st.floats(0, 1),
)  # fmt: skip


def _tariff(buy: float, gap: float, penalty: float, level: Any) -> dict[str, Any]:
    bands = [{"from_hour": 6, "to_hour": 12, "import_eur_per_kwh": buy + 0.2}]
    return {
        "import_eur_per_kwh": buy, "export_eur_per_kwh": buy - gap, "bands": bands, "level": level,
        "imbalance_penalty_eur_per_kwh": penalty,
    }  # fmt: skip


TARIFFS = st.builds(
    _tariff, st.sampled_from([-0.2, 0.0, 0.25, 1.5]), st.sampled_from([0.0, 0.1, 0.4]),
    st.sampled_from([0.001, 0.05, 1.0]), quantity(0.5, 2.0),
)  # fmt: skip


@st.composite
def configs(draw: st.DrawFn) -> GridConfig:
    """Any community of one to six prosumers."""
    n = draw(st.integers(1, 6))
    pairs = st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] < p[1]), max_size=8)
    topologies = st.sampled_from(["ring", "complete", "none", "nearest:1", "nearest:2"])
    topology = draw(topologies | (pairs.map(sorted) if n > 1 else st.just([])))
    prosumers = [
        prosumer(i, battery=draw(BATTERIES), trade_kw=draw(quantity(0.0, 10.0)), demand_scale=draw(quantity(0.5, 3.0)))
        for i in range(n)
    ]
    return GridConfig.model_validate(
        {
            "episode_days": 1, "prosumers": prosumers, "events": draw(st.lists(EVENT, max_size=3)),
            "links": {"topology": topology, "rating_kw": draw(st.sampled_from([0.5, 4.0, 20.0]))},
            "trade_mode": draw(st.sampled_from(["around_balance", "absolute"])),
            "transfer_rule": draw(st.sampled_from(["consent", "average"])), "tariff": draw(TARIFFS),
            "network": {
                "buses": draw(st.sampled_from([5, 9])), "power_flow": draw(st.booleans()),
                "impedance_scale": draw(quantity(0.5, 3.0)),
            },
            "profiles": {"demand_jitter": draw(st.sampled_from([0.0, 0.3]))},
            "forecast": {"kind": draw(st.sampled_from(["none", "noisy"]))},
        }
    )  # fmt: skip
