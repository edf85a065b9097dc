"""Trained policies as controllers like any other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smartgrid_core import GridConfig, Simulator, State
from smartgrid_core.errors import ConfigError
from trainer import dense
from trainer.actors import Actor, build_actor, load_weights
from trainer.exported import SUFFIXES, load_exported
from trainer.files import damage_told
from trainer.interface import interface_of, misfit
from trainer.runs import find_checkpoint, load_checkpoint


class PolicyController:
    """A trained policy acting without exploration, holding each action as it did in training."""

    kind = "policy"

    def __init__(self, actor: Actor, about: Mapping[str, Any], name: str):
        self.actor, self.about, self.name = actor.eval(), about, name
        self._held: Tensor | None = None
        self._hold, self._clock = 1, 0

    def start(self, sim: Simulator, state: State) -> None:
        """Check that the policy fits the scenario, and begin at a decision."""
        difference = misfit(self.about, sim.config.name, interface_of(sim))
        if difference is not None:
            raise ConfigError(
                f"policy {self.name} {difference}: evaluate it on a scenario whose prosumers see and do the same"
            )
        self.actor.to(sim.device)
        hold = held_steps(self.about["hold_h"], sim.config)
        if hold is None:
            fitting = math.gcd(round(60 * self.about["hold_h"]), 60)  # a step divides an hour
            raise ConfigError(
                f"policy {self.name} holds its actions for hold_h = {self.about['hold_h']:g} h, which is no multiple "
                f"of a step, {sim.config.step_h:.4g} h in {sim.config.name}: add --step_minutes {fitting}, "
                f"or give the scenario step_minutes = {fitting}"
            )
        self._hold, self._held, self._clock = hold, None, 0
        if sim.device.type == "cpu":
            dense.prepare()

    @torch.no_grad()
    def act(self, state: State, obs: Tensor) -> Tensor:
        """Action, renewed every hold, [B, N, A]."""
        held = self._held
        if held is None or self._clock % self._hold == 0:
            held = self._held = self.actor.decide(obs)
        self._clock += 1
        return held


def held_steps(hold_h: float, config: GridConfig) -> int | None:
    """Steps an action lasts, one at least; None where the hold is no multiple of a step."""
    held = hold_h / config.step_h
    steps = max(1, round(held))
    return steps if held <= 1 or math.isclose(held, steps, rel_tol=1e-3) else None


def load_actor(path: str | Path) -> tuple[Actor, dict[str, Any]]:
    """The actor of a checkpoint, and its about.json.

    Raises:
        ConfigError: no checkpoint there, a damaged one, weights that about.json does not describe, or another format.
    """
    weights, about = load_checkpoint(path)
    file = find_checkpoint(path) / "weights.safetensors"
    remedy = "its about.json describes another policy; give another checkpoint of the run"
    with damage_told(file, remedy):
        actor = build_actor(about)
    load_weights(actor, weights, str(file), remedy)
    return actor, about


def load_policy(path: str | Path) -> PolicyController:
    """Policy of a run folder (its best), of one checkpoint folder, or of an exported file (.onnx, .pt2).

    Raises:
        ConfigError: no checkpoint there, a damaged one, or one of another format.
        MissingExtraError: an .onnx file, and onnxruntime is not installed.
    """
    if Path(path).suffix in SUFFIXES.values() and not Path(path).expanduser().is_dir():
        exported, about = load_exported(path)
        return PolicyController(exported, about, name=f"{about['algorithm']} ({about['run']}, {exported.format})")
    actor, about = load_actor(path)
    return PolicyController(actor, about, name=f"{about['algorithm']} ({about['run']})")
