"""A run that begins with the weights of a checkpoint instead of drawn ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from smartgrid_core.errors import ConfigError
from trainer.actors import Actor, BranchingActor, load_weights
from trainer.interface import other_units
from trainer.runs import load_checkpoint

SAME = {  # what must agree, and what to do where it does not
    "share_parameters": "add --share_parameters {there}",
    "hidden": "add --hidden '{there}'",
    "num_agents": "train on a scenario of the same shape",
    "observation_names": "train on a scenario of the same shape, with the same forecast and price windows",
    "action_names": "train on a scenario of the same shape",
    "trade_mode": "add --trade_mode {there}",
    "transfer_rule": "add --transfer_rule {there}",
}


def warm_start(actor: Actor, own: Mapping[str, Any], path: str) -> str:
    """Give an actor the weights of a checkpoint; critics and optimisers stay new. Returns what to tell.

    ippo, mappo and shac act alike and take each other's weights; the standard deviation of exploration comes along
    between ippo and mappo. qmix, whose networks value levels, takes its own only. The inputs' mean and spread are part
    of what the weights mean, so they are taken over and kept.

    Args:
        actor: of the new run; own: what its checkpoints' about.json would say.
        path: as `load_checkpoint` takes it.

    Raises:
        ConfigError: no checkpoint there, or one whose weights do not fit, with what to change.
    """
    weights, there = load_checkpoint(path)
    about = f"warm_start = {path!r} ({there['algorithm']} on {there['scenario']})"
    _check_fit(actor, own, weights, there, about)
    own_std = {name: x for name, x in actor.state_dict().items() if name == "log_std"}
    taken = {name: x for name, x in weights.items() if name != "log_std" or own_std}
    # Exploration is drawn anew where the checkpoint explores in no or another way.
    load_weights(actor, own_std | taken, about, "give a checkpoint that this program wrote")
    actor.network.keep_units()
    score = there.get("validation_score")  # None: saved between two validations
    scored = "not validated" if score is None else f"score {score:.3f}"
    started = f"starting with the actors of {path} ({there['algorithm']}, {scored})"
    if there["hold_h"] != own["hold_h"]:
        started += (
            f"; they held actions for {there['hold_h']:g} h and now do for {own['hold_h']:g} h, so scores differ "
            f"at first: --hold_h {there['hold_h']:g} keeps theirs"
        )
    if units := other_units(there.get("trade_limits_kw", own["trade_limits_kw"]), own["trade_limits_kw"]):
        started += f"; their powers were in units of {units[0]} kW and now are of {units[1]}, so scores differ at first"
    return started


def _check_fit(
    actor: Actor, own: Mapping[str, Any], weights: Mapping[str, Tensor], there: Mapping[str, Any], about: str
) -> None:
    if (there["algorithm"] == "qmix") != isinstance(actor, BranchingActor):
        raise ConfigError(
            f"{about} does not fit algorithm = {own['algorithm']!r}: qmix values levels of actions, the others act "
            "directly; start qmix from qmix, and ippo, mappo and shac from one another"
        )
    for field, remedy in SAME.items():
        now = own[field]
        before = there.get(field, False if field == "share_parameters" else now)  # absent where an older version saved
        if before != now:
            shown = (len(before), len(now)) if field.endswith("names") else (before, now)
            raise ConfigError(
                f"{about}: it has {field} = {shown[0]}, this run {shown[1]}: "
                f"{remedy.format(there=str(before).lower())}, or give another checkpoint"
            )
    if isinstance(actor, BranchingActor) and there.get("levels") != len(actor.levels):
        raise ConfigError(f"{about}: its entries have other levels: add --qmix.levels {there.get('levels')}")
