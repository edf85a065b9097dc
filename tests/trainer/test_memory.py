"""What a run needs is printed before it starts, and not exceeded later."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import trainer.memory as memory_module
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.errors import ConfigError
from tests.smartgrid_core.communities import community, quick_profiles  # noqa: F401 (a fixture)
from tests.trainer.learners_small import learner_of
from trainer.config import ALGORITHMS, TrainConfig, load_train_config, scaled_to
from trainer.learner import _kind, make_learner
from trainer.memory import estimate, outline
from trainer.train import Training

MIB = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for peak memory")
@pytest.mark.parametrize(
    "algorithm", ["ippo", "shac", *(pytest.param(a, marks=pytest.mark.slow) for a in ("mappo", "qmix"))]
)
def test_the_estimate_holds_and_memory_stays_flat(algorithm: str) -> None:
    command = [sys.executable, "-m", "tests.trainer.peak_memory", algorithm]
    measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    expected, highest, peaks = measured["expected"], measured["highest"], measured["peaks"]
    assert expected > 20 * MIB
    assert 0.5 * expected < highest < 2 * expected, (highest // MIB, expected // MIB)
    assert peaks[-1] - peaks[1] < 0.1 * expected, [peak // MIB for peak in peaks]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for peak memory")
@pytest.mark.parametrize(("scenario", "options"), [("suburb-40", {}), ("town-1000", {"share_parameters": True})])
def test_a_large_community_trains_within_what_is_printed(
    tmp_path: Path, scenario: str, options: dict[str, Any]
) -> None:
    """Of a whole run: references, iterations, validations and checkpoints."""
    command = [sys.executable, "-m", "tests.trainer.peak_memory", "ippo", scenario, str(tmp_path), json.dumps(options)]
    measured = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    expected, peaks = measured["expected"], measured["peaks"]
    assert 0.3 * expected < measured["highest"] < expected, (measured["highest"] // MIB, expected // MIB)
    late = peaks[len(peaks) // 2]  # a validation behind it
    assert peaks[-1] - late < 0.02 * expected, [peak // MIB for peak in peaks]


@pytest.mark.usefixtures("quick_profiles")
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_sizes_are_known_before_anything_is_allocated(algorithm: str, shared: bool) -> None:
    learner, sim = learner_of(algorithm, share_parameters=shared)
    config = TrainConfig.model_validate(
        {"algorithm": algorithm, "share_parameters": shared, "num_grids": 4, "horizon": 4, "hidden": (16,),
         "ppo": {"minibatches": 2}, "shac": {"critic_batch": 32}, "qmix": {"replay": 256, "batch": 32}}
    )  # fmt: skip
    drawn = torch.get_rng_state()
    outlined = outline(_kind(algorithm), config, sim)
    assert torch.equal(torch.get_rng_state(), drawn), "what is drawn next does not depend on the question"
    assert estimate(outlined, [sim]) == estimate(learner, [sim])
    assert all(x.is_meta for x in outlined.actor.state_dict().values())


@pytest.mark.usefixtures("quick_profiles")
@pytest.mark.parametrize(
    ("algorithm", "fields", "words"),
    [
        ("mappo", {}, "add --share_parameters true; or lower --num_grids"),
        ("mappo", {"share_parameters": True}, r"free on cpu: lower --num_grids \(2\) or --horizon \(400\)"),
        ("qmix", {"share_parameters": True}, r"free on cpu: lower --qmix.replay \(40,000\) or --num_grids"),
        ("qmix", {"share_parameters": True, "qmix": {"batch": 10**6}}, r"lower --qmix.batch \(1,000,000\); or lower"),
        (
            "ippo",
            {"share_parameters": True, "hidden": (900, 900), "horizon": 8},
            r"lower --hidden \(\[900, 900\]\); or",
        ),
    ],
)
def test_what_cannot_fit_is_refused_with_a_remedy_and_not_begun(
    algorithm: str, fields: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_module, "available_bytes", lambda _: 4 * MIB)
    sim = Simulator(community(20), 2)
    config = TrainConfig.model_validate({"algorithm": algorithm, "num_grids": 2, "horizon": 400, **fields})
    weights: list[Any] = []
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda x, *_, **__: weights.append(x.device.type) or x)
    with pytest.raises(ConfigError, match=words):
        make_learner(config, sim)
    assert set(weights) <= {"meta"}


class LiveBytes(TorchDispatchMode):
    """Counts the memory of what operations make, as long as anybody holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for x in pytree.tree_leaves(made):
            if isinstance(x, torch.Tensor) and x.untyped_storage()._cdata not in self._known:
                storage = x.untyped_storage()
                self._count(storage._cdata, storage.nbytes())
                weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())
        return made

    def _count(self, key: int, size: int) -> None:
        self._known.add(key)
        self._now += size
        self.peak = max(self.peak, self._now)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


@pytest.mark.usefixtures("quick_profiles")
def test_qmix_holds_no_observations_beside_those_it_remembers() -> None:
    """A longer iteration takes rewards and little else."""
    peaks = []
    for horizon in (4, 20):
        learner, sim = learner_of("qmix", 64, horizon=horizon, qmix={"replay": 64 * 20, "batch": 32, "updates": 1})
        start = sim.reset()
        with LiveBytes() as live:
            learner.collect(*start, 0.0)
        peaks.append(live.peak)
    observations = 16 * start[1].nbytes  # of the decisions that one has more
    assert peaks[1] - peaks[0] < 0.3 * observations, [round(peak / start[1].nbytes, 1) for peak in peaks]


def test_presets_shrink_with_large_communities_unless_given() -> None:
    preset = load_train_config("cpu", {"algorithm": "qmix", "qmix.batch": 200})
    assert scaled_to(preset, 13, ()) is preset
    town = scaled_to(preset, 1000, ("qmix.batch",))
    assert (town.num_grids, town.qmix.batch, town.qmix.replay) == (4, 200, 640)
    assert town.qmix.mixing == preset.qmix.mixing
    assert scaled_to(preset, 32, ("num_grids",)).num_grids == preset.num_grids


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_town_of_a_thousand_trains(algorithm: str) -> None:
    """Two iterations of every algorithm with shared parameters; weights do not grow with the community."""
    config = TrainConfig.model_validate(
        {"algorithm": algorithm, "share_parameters": True, "num_grids": 2, "horizon": 4, "hidden": (32,),
         "qmix": {"replay": 64, "batch": 4, "updates": 2}, "ppo": {"minibatches": 2, "epochs": 1}}
    )  # fmt: skip
    torch.manual_seed(0)
    sim = Simulator("town-1000", 2, auto_reset=True, stagger=True)
    learner = make_learner(config, sim)
    state, obs = sim.reset()
    for _ in range(2):
        collected = learner.collect(state, obs, 0.0)
        state, obs = collected.state, collected.obs
        logs = learner.update(0.0)
        assert all(torch.isfinite(torch.as_tensor(v)).all() for v in logs.values())


@pytest.mark.slow
def test_a_town_is_validated_without_an_optimum(tmp_path: Path) -> None:
    scenario = GridConfig.load("town-1000", episode_days=1)
    fields = {"share_parameters": True, "num_grids": 2, "horizon": 4, "iterations": 1, "validation_episodes": 1}
    training = Training(TrainConfig.model_validate(fields), scenario, tmp_path / "run", resume=False)
    training.run()
    assert -5 < training.tally.best < 1
