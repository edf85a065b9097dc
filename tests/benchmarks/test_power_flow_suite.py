"""The power-flow suite's peers solve the same networks as ours, and one that is not installed is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import peer_environments, power_flow
from benchmarks.power_flow_peers import HOME, lightsim2grid_solver, pandapower_solver
from smartgrid_core.power_flow import Feeder, PowerFlow

BATCH = 4


def loadings(feeder: Feeder) -> tuple[np.ndarray, np.ndarray]:
    p_kw = np.random.default_rng(1).uniform(-3, 4, (BATCH, feeder.num_buses))
    return p_kw, 0.3 * p_kw


def ours(feeder: Feeder) -> np.ndarray:
    p, q = (torch.tensor(x) for x in loadings(feeder))
    return PowerFlow(feeder, iterations=12, dtype=torch.float64)(p, q).voltage_pu.numpy()


def test_pandapower_solves_one_loading_after_the_other() -> None:
    pytest.importorskip("pandapower")
    feeder = Feeder.radial(9)
    solve = pandapower_solver(feeder, *loadings(feeder))
    for expected in (*ours(feeder), ours(feeder)[0]):
        np.testing.assert_allclose(solve(), expected, atol=1e-7)


@pytest.mark.skipif(not peer_environments.is_installed(HOME), reason=f"needs python -m benchmarks peers install {HOME}")
def test_lightsim2grid_solves_the_batch() -> None:
    feeder = Feeder.radial(9)
    with lightsim2grid_solver(feeder, *loadings(feeder)) as (talk, found):
        np.testing.assert_allclose(found, ours(feeder), atol=1e-4)  # its transformer's no-load branch lies elsewhere
        done = talk.ask(0.01)
    assert done["steps"] >= BATCH
    assert done["steps"] % BATCH == 0


def test_without_lightsim2grid_the_suite_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(power_flow, "is_installed", lambda name: False)
    monkeypatch.setattr(power_flow, "BATCHES", (1,))
    monkeypatch.setattr(power_flow, "TURN_S", 0.0)
    monkeypatch.setattr(power_flow, "NEAR_LIMIT_BATCH", 8)
    usual, near_limit = power_flow.run(quick=True)["cases"]
    assert "peers install grid2op" in capsys.readouterr().out
    for case in (usual, near_limit):
        assert case["lightsim2grid_us"] is None
        for name in ("eager", "compiled", "power_grid_model", "pandapower"):
            low, high = case["spread_us"][name]
            assert 0 < low <= case[f"{name}_us"] <= high
        assert set(case["differences_pu"]) == {"power-grid-model", "pandapower"}
        assert max(case["differences_pu"].values()) < 5e-6, "p.u., of four iterations in 32 bits"
    assert usual["transformer_loading"] < 0.2
    assert near_limit["transformer_loading"] == pytest.approx(0.9)
    assert near_limit["voltage_least_pu"] < usual["voltage_least_pu"] - 0.02


def test_another_network_is_no_peer() -> None:
    feeder = Feeder.radial(6)
    with pytest.raises(RuntimeError, match="not the same network"):
        power_flow._difference("somebody", np.full((1, 6), 1.01), np.ones((2, 6)), feeder)
