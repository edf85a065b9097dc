"""What a run needs, by part, from its configuration alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.memory import available_bytes
from trainer.config import PRESET_AGENTS, TrainConfig

if TYPE_CHECKING:
    from trainer.learner import Learner

OPTIMISED = 4  # numbers a trained one takes: itself, its gradient, Adam's two moments
SAVED = 3  # numbers of it a checkpoint holds: all but its gradient
MIB = 1 << 20


def estimate(learner: Learner, sims: Sequence[Simulator]) -> dict[str, int]:
    """Bytes a run takes at its peak beside Python, torch and, where it compiles, the compiler.

    A test holds the peak of every algorithm to between half and twice the sum. A checkpoint is put
    together in the machine's memory before it is written, wherever the rest lies.

    Args:
        sims: of training and validation.
    """
    return {
        "profiles": sum(_table_bytes(sim) for sim in sims),
        "simulator": sum(sim.num_grids * sim.bytes_per_grid for sim in sims),
        "experience": learner.experience_bytes,
        "networks": 4 * OPTIMISED * learner.size,
        "activations": learner.activation_bytes,
        "checkpoint": 4 * SAVED * learner.size + learner.kept_bytes,
    }


def outline(kind: Callable[[TrainConfig, Simulator], Learner], config: TrainConfig, sim: Simulator) -> Learner:
    """A learner with the sizes it would have and no memory behind them."""
    with torch.device("meta"):
        return kind(config, cast(Simulator, _Elsewhere(sim)))


class _Elsewhere:
    """A simulator on a device that has no memory, for those that only ask for its sizes."""

    def __init__(self, sim: Simulator):
        self._sim, self.device = sim, torch.device("meta")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sim, name)


def require_memory(outlined: Learner, config: TrainConfig, sim: Simulator) -> None:
    """Refuse what cannot fit, before it is allocated: on a CPU the kernel would end the process without a word.

    Args:
        outlined: the learner's `outline`; sim: its simulator, whose profiles are there already.

    Raises:
        ConfigError: more is needed than is free, with the parts and what to change.
    """
    free = available_bytes(sim.device)
    parts = {name: size for name, size in estimate(outlined, [sim]).items() if name != "profiles"}
    if sim.device.type != "cpu":
        del parts["checkpoint"]
    needed = sum(parts.values())
    if free is None or needed <= free:
        return
    remedies = [f"lower --num_grids ({config.num_grids:,}) or --horizon ({config.horizon:,})"]
    if config.algorithm == "qmix":
        remedies[0] = f"lower --qmix.replay ({config.qmix.replay:,}) or --num_grids ({config.num_grids:,})"
        if parts["activations"] > needed / 2:
            remedies.insert(0, f"lower --qmix.batch ({config.qmix.batch:,})")
    if not config.share_parameters and sim.num_agents > PRESET_AGENTS:
        remedies.insert(0, "add --share_parameters true")
    elif 4 * (OPTIMISED + SAVED) * outlined.size > needed / 2:
        remedies.insert(0, f"lower --hidden ({list(config.hidden)})")
    shown = ", ".join(f"{name} {size / MIB:,.0f}" for name, size in parts.items())
    raise ConfigError(
        f"{config.algorithm} on {sim.config.name} with {sim.num_agents:,} prosumers needs about {needed / MIB:,.0f} "
        f"MiB ({shown}), {free / MIB:,.0f} MiB are free on {sim.device}: {'; or '.join(remedies)}"
    )


def _table_bytes(sim: Simulator) -> int:
    """Profiles resident on the device."""
    return sum(x.nbytes for x in sim.table.buffers())
