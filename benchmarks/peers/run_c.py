"""The yardstick: our own step written in C (benchmarks/yardstick/step.c), one thread.

Arguments: communities stepped at once; "learner" leaves out what only people and tests look at.
"""

from __future__ import annotations

import subprocess
import sys

from protocol import serve

MODELS = {
    False: "the same step, all its results, compiled for this machine with -O3",
    True: "the same, of its results observations, rewards and ends of episodes alone",
}


def main(num_grids: int, learner_only: bool) -> None:
    """Step with random actions drawn beforehand; episodes end at different times and begin anew within the step."""
    import numpy as np

    from benchmarks.communities import community
    from benchmarks.yardstick.native import NativeStep, compiler
    from smartgrid_core import Simulator

    sim = Simulator(community(5), num_grids, auto_reset=True, stagger=True)
    native = NativeStep(sim, sim.reset()[0], learner_only)
    drawn = np.random.default_rng(0).uniform(-1, 1, (16, num_grids, 5, 3)).astype(np.float32)
    calls = 0

    def step() -> None:
        nonlocal calls
        native.step(drawn[calls % 16])
        calls += 1

    said = subprocess.run([str(compiler()), "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    serve({"agents": 5, "num_grids": num_grids, "versions": {"cc": said}, "models": MODELS[learner_only]}, step)


main(int(sys.argv[1]), "learner" in sys.argv[2:])
