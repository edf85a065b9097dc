"""The training benchmark's stacks are set alike and count their steps."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import train
from tests.smartgrid_core.communities import quick_profiles  # noqa: F401 (a fixture)


@pytest.mark.usefixtures("quick_profiles")
def test_stacks_take_the_steps_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "EQUAL", train.Equal(grids=2, horizon=4, epochs=1, minibatches=2, hidden=(8, 8)))
    cases = [train._ours("ours", train._equal_config("cpu")), train._torchrl("cpu")]
    assert [case.iterate() for case in cases] == [8, 8]
    assert [case.iterate() for case in cases] == [8, 8]


def test_ratios_are_to_peers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def case(name: str, peer: bool, steps: int) -> train.Case:
        return train.Case(name, peer, {}, lambda: steps)

    def missing(_: int) -> Any:
        raise ModuleNotFoundError("No module named 'ray'", name="ray")

    monkeypatch.setattr(train, "_ours", lambda name, _: case(name, False, 40))
    monkeypatch.setattr(train, "_torchrl", lambda _: case("peer", True, 10))
    monkeypatch.setattr(train, "_rllib", missing)
    monkeypatch.setattr(train, "_rate", lambda iterate, _: (float(iterate()), 2.0 * iterate()))
    records = train.run(quick=True, threads=1)
    assert [record["ratio_to_peers"]["peer"] for record in records] == [4, 4, 1]
    assert "RLlib left out: ray is not installed" in capsys.readouterr().out
