"""Where the first episodes start: at whole hours, and at whole holds of the actions to come."""

from __future__ import annotations

import pytest

from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("quick_profiles")


@pytest.mark.parametrize(("hold", "unit"), [(1, 4), (2, 4), (3, 12), (4, 4), (6, 12), (8, 8), (48, 48)])
def test_first_episodes_start_between_holds(hold: int, unit: int) -> None:
    state, _ = Simulator(community(2), 200, stagger=True, hold_steps=hold).reset()
    assert set(state.step.tolist()) == set(range(0, 96, unit))


def test_a_hold_as_long_as_the_episode_leaves_one_start() -> None:
    state, _ = Simulator(community(2), 20, stagger=True, hold_steps=96).reset()
    assert set(state.step.tolist()) == {0}


def test_holds_are_whole_steps() -> None:
    with pytest.raises(ConfigError, match="hold_steps = 0"):
        Simulator(community(2), hold_steps=0)
