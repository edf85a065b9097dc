"""What a run needs, by part, from its configuration alone."""

from __future__ import annotations

from collections.abc import Sequence

from smartgrid_core import Simulator
from trainer.learner import Learner

OPTIMISED = 4  # numbers a trained one takes: itself, its gradient, Adam's two moments


def estimate(learner: Learner, sims: Sequence[Simulator]) -> dict[str, int]:
    """Bytes a run takes at its peak beside Python, torch and, where it compiles, the compiler.

    A test holds the peak of every algorithm to between half and one and a half times the sum.

    Args:
        sims: of training and validation.
    """
    return {
        "profiles": sum(_table_bytes(sim) for sim in sims),
        "simulator": sum(sim.num_grids * sim.bytes_per_grid for sim in sims),
        "experience": learner.experience_bytes,
        "networks": 4 * OPTIMISED * learner.size,
        "activations": learner.activation_bytes,
    }


def _table_bytes(sim: Simulator) -> int:
    """Profiles resident on the device."""
    return sum(x.nbytes for x in sim.table.buffers())
