"""The frame's shortcuts against the rules they stand for."""

from __future__ import annotations

import itertools

import numpy as np

from server.frames import _statuses
from server.wire import STATUSES
from smartgrid_core.render import agent_status


def test_statuses_of_all_at_once_are_those_of_each() -> None:
    values = (-1.0, -0.01, 0.0, 0.005, 0.02)
    cases = list(itertools.product(values, values, (0.0, 0.5), (True, False)))
    trade, battery, unserved, off = (np.array(column) for column in zip(*cases, strict=True))
    found = [STATUSES[k] for k in _statuses(trade, battery, unserved, off)]
    assert found == [agent_status(t, b, u, islanded) for t, b, u, islanded in cases]
