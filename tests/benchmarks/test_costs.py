"""What costs are measured: memory of a process that steps, and of a graph that is kept for the gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import costs, memory

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the process's memory from /proc")
def test_memory_grows_with_the_community() -> None:
    five, thirty = (memory.bytes_per_grid(agents, 32, 4096, False, CPU) for agents in (5, 30))
    assert five is not None
    assert thirty is not None
    assert 2 * 5 * 3 * 4 < five < thirty  # states and actions alone are more than that
    assert 2 < thirty / five < 9  # rows of prosumers six times, rows of buses as before


def test_separate_networks_are_measured_at_every_size() -> None:
    few, many = (costs._networks(agents, CPU, 0.01) for agents in (3, 30))
    assert few["num_grids"] * 3 >= many["num_grids"] * 30  # as many decisions of single prosumers
    assert few["us_per_env_step"] < many["us_per_env_step"]


def test_a_graph_grows_with_its_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "HORIZON_GRIDS", 4)
    one, eight = (costs._horizon(steps, False, CPU, 0.01) for steps in (1, 8))
    assert eight["measured_bytes_per_grid"] == pytest.approx(8 * one["measured_bytes_per_grid"], rel=0.3)
    assert eight["us_per_env_step"] > 0
