"""Validation scores say how good a policy is also where there is hardly anything to win."""

from __future__ import annotations

import pytest
import torch

from smartgrid_core import GridConfig
from smartgrid_core.controllers import make_controller
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)
from trainer.validation import PROGRAM_BYTES, Validation

pytestmark = pytest.mark.usefixtures("quick_profiles")


def validation_of(scenario: GridConfig) -> Validation:
    return Validation(scenario, 2, torch.device("cpu"))


def test_where_nothing_can_be_saved_the_bill_is_the_measure() -> None:
    """No batteries, no links: all a policy can do is to cost more."""
    validation = validation_of(community(3, {"battery": {"capacity_kwh": 0}}, links={"topology": "none"}))
    references = validation.prepare()
    assert references.note is not None
    assert "even perfect foresight" in references.note
    bill = abs(float(references.grid_only_j.sum(1).mean()))
    assert references.saving == pytest.approx(bill)
    idle, wild = (validation.run(make_controller(name)) for name in ("idle", "random"))
    assert idle["score"] == pytest.approx(0, abs=1e-3)
    assert wild["cost_eur"] >= idle["cost_eur"] - 1e-6
    assert wild["score"] - idle["score"] == pytest.approx((idle["cost_eur"] - wild["cost_eur"]) / bill, abs=1e-6)
    assert all(abs(score) < 10 for score in (wild["score"], *references.baselines.values()))


def test_where_something_can_the_optimum_is() -> None:
    references = validation_of(community(3)).prepare()
    assert references.note is None
    assert references.saving > 0
    assert max(references.baselines.values()) <= 1.0


def test_a_bill_of_nothing_is_no_unit() -> None:
    validation = validation_of(community(2))
    assert validation._saving(1e-5)[0] > 1e-3


def test_memory_of_the_references_counts_the_linear_program_where_there_is_one() -> None:
    planned = validation_of(community(3))
    profiles = sum(x.nbytes for x in planned.sim.table.buffers())
    assert planned.reference_bytes == profiles + PROGRAM_BYTES * 3 * planned.scenario.episode_steps
    planned.scenario = planned.scenario.model_copy(update={"prosumers": planned.scenario.prosumers * 30})
    assert planned.reference_bytes == profiles
