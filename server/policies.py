"""Policies by name: controllers, the trained ones that ship, and the runs of one folder.

A client names a policy and never a path; weights are read as safetensors, never unpickled. `NAME@last` is another
checkpoint of a run than its best.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from server.errors import ApiError, scrub
from server.requests import NAME
from smartgrid_core import GridConfig
from smartgrid_core.controllers import CONTROLLERS, Controller, make_controller
from smartgrid_core.errors import UserError
from smartgrid_core.faults import nearest
from trainer import interface
from trainer.interface import Interface
from trainer.policy import held_steps, load_policy
from trainer.runs import FORMAT, find_checkpoint, shipped_policies

KINDS = {"mpc-persistence": "mpc", "mpc-noisy": "mpc", "mpc-perfect": "mpc", "optimum": "optimum"}
MOST_AGENTS = {"mpc": 100, "optimum": 50}  # beyond, a plan takes longer than a person waits


class PolicyEntry(BaseModel):
    """A policy one can start, and what it was trained for."""

    name: str = Field(description="Name to start it by.")
    kind: str = Field(description="policy, rule, mpc or optimum.")
    source: str = Field(description="controller, shipped, run, or operator (given when the server was started).")
    title: str = Field(description="For people.")
    scenario: str | None = Field(default=None, description="The scenario it was trained on.")
    score: float | None = Field(default=None, description="Score on the validation episodes.")
    algorithm: str | None = None
    checkpoints: list[str] = Field(default=[], description="Of a run: NAME@CHECKPOINT starts another than the best.")
    num_agents: int | None = None
    observation_dim: int | None = None
    action_dim: int | None = None
    hold_h: float | None = Field(default=None, description="Hours an action lasts.")
    fits: bool | None = Field(default=None, description="Whether it fits the scenario asked about; null: none was.")
    reason: str | None = Field(default=None, description="Why it does not fit.")
    about: dict[str, Any] = Field(default={}, exclude=True)  # what its checkpoint says


class Policies:
    """Finds policies by name.

    Args:
        runs: the folder of training runs; it need not exist.
        operator: checkpoint given when the server was started: any path or shipped name.

    Raises:
        ConfigError: there is no checkpoint at `operator`.
    """

    def __init__(self, runs: Path, operator: str | None = None):
        self.runs, self._asked_for = runs, operator is not None
        self._operator: tuple[str, Path] | None = None
        if operator is not None and operator not in shipped_policies():
            path = Path(operator).expanduser()
            folder = path if path.suffix in (".onnx", ".pt2") else find_checkpoint(path)
            self.default = path.resolve().name
            if path.resolve().parent != runs.resolve() or self._paths().get(self.default, ("", path))[0] != "run":
                name = re.sub(r"[^A-Za-z0-9._-]", "-", self.default).lstrip("-._")[:100] or "policy"
                self.default = name if name not in CONTROLLERS else f"{name}-policy"
                self._operator = (self.default, folder)
        else:
            self.default = operator or next(iter(shipped_policies()), "self-consumption")

    def _paths(self) -> dict[str, tuple[str, Path]]:
        """(source, path) of every trained policy by name; of equal names the operator's, then a run, goes first."""
        found = {} if self._operator is None else {self._operator[0]: ("operator", self._operator[1])}
        if self.runs.is_dir():
            for folder in sorted(self.runs.iterdir()):
                taken = folder.name in found or folder.name in CONTROLLERS or "@" in folder.name
                if not taken and re.match(NAME, folder.name) and _holds_some(folder):
                    found[folder.name] = ("run", folder)
        for name, path in shipped_policies().items():
            found.setdefault(name, ("shipped", path))
        return found

    def list(self) -> list[PolicyEntry]:
        """Every policy, trained ones first."""
        entries = [_trained(name, source, path) for name, (source, path) in self._paths().items()]
        rules = [
            PolicyEntry(name=name, kind=KINDS.get(name, "rule"), source="controller", title=name)
            for name in CONTROLLERS
        ]
        return [*entries, *rules]

    def entry(self, name: str) -> PolicyEntry:
        """One of them, a single checkpoint (`NAME@last`) too.

        Raises:
            ApiError: 404, there is none of this name; the message offers the nearest.
        """
        entries, (run, _, checkpoint) = {e.name: e for e in self.list()}, name.partition("@")
        entry = entries.get(run)
        if entry is None or (checkpoint and checkpoint not in entry.checkpoints):
            known = [*entries, *(f"{run}@{c}" for c in (entry.checkpoints if entry else ()))]
            near = nearest(name, known)
            hint = f"did you mean {near!r}? " if near else ""
            raise ApiError(404, "not_found", f"unknown policy {name!r}: {hint}known are {', '.join(known)}", "policy")
        if checkpoint:
            entry = _trained(name, entry.source, self._paths()[run][1] / "checkpoints" / checkpoint)
        return entry

    def weights(self, name: str) -> Path:
        """Where the weights of a trained policy lie.

        Raises:
            ApiError: 404, there is none of this name; 422, it is a rule or a plan, which has none.
        """
        if name in CONTROLLERS:
            known = ", ".join(self._paths()) or "none yet"
            raise ApiError(422, "invalid", f"{name!r} is not a trained policy: there are {known}", "policy")
        self.entry(name)  # there is one
        run, _, checkpoint = name.partition("@")
        path = self._paths()[run][1]
        return path / "checkpoints" / checkpoint if checkpoint else path

    def default_for(self, config: GridConfig, there: Interface) -> PolicyEntry:
        """The policy for who names none: the default, one trained on this scenario, any that fits, or a rule."""
        trained = [e for e in self.list() if e.source != "controller"]
        asked_for = self.default if self._asked_for else None
        trained.sort(key=lambda e: (e.name != asked_for, e.scenario != config.name, e.name != self.default))
        return next((e for e in trained if misfit(e, config, there) is None), self.entry("time-of-use"))

    def load(self, name: str) -> Controller:
        """A new controller of this name.

        Raises:
            ApiError: 404, there is none; 422, its files cannot be read.
        """
        if name in CONTROLLERS:
            return make_controller(name)
        path = self.weights(name)
        try:
            return load_policy(path)
        except Exception as error:  # whatever a damaged file makes its reader raise
            raise ApiError(422, "invalid", f"policy {name!r} cannot be read: {scrub(str(error))}", "policy") from error


def misfit(entry: PolicyEntry, config: GridConfig, there: Interface) -> str | None:
    """Why a policy cannot run a scenario, or None where it can."""
    try:
        difference = interface.misfit(entry.about, config.name, there) if entry.about else None
    except (UserError, ImportError, OSError) as error:  # its profiles, which the units of powers may follow
        return f"{config.name} cannot be built: {scrub(str(error))}"
    if difference is not None:
        return f"{entry.name} {difference}: choose a scenario whose prosumers see and do the same, or train one for it"
    if entry.hold_h is not None and held_steps(entry.hold_h, config) is None:
        return (
            f"{entry.name} holds its actions for {entry.hold_h:g} h, {config.name} has steps of "
            f"{config.step_minutes:g} min: choose a scenario whose steps make up that time, or train one for it"
        )
    most = MOST_AGENTS.get(entry.kind)
    if most is not None and there.num_agents > most:
        return f"{entry.name} plans for at most {most} prosumers here, {config.name} has {there.num_agents}"
    return entry.reason


def _holds_some(folder: Path) -> bool:
    """Whether a folder is a run with checkpoints; one whose may not be looked into is listed, with the reason."""
    try:
        return bool(_checkpoints(folder)) or any(map(_is_checkpoint, (folder / "checkpoints").iterdir()))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _checkpoints(folder: Path) -> list[str]:
    """Names of a run's checkpoints that may be read, best first."""
    root, found = folder / "checkpoints", []
    for path in root.iterdir() if root.is_dir() else ():
        with contextlib.suppress(OSError):  # of another user, say
            found += [path.name] if _is_checkpoint(path) else []
    order = {"best": 0, "last": 1}
    return sorted(found, key=lambda n: (order.get(n, 2), n))


def _is_checkpoint(path: Path) -> bool:
    return not path.name.startswith(".") and (path / "about.json").is_file()


def _trained(name: str, source: str, path: Path) -> PolicyEntry:
    """What about.json says; a faulty one is listed with the reason it cannot run."""
    fields: dict[str, Any] = {"name": name, "kind": "policy", "source": source, "title": name}
    if path.suffix in (".onnx", ".pt2"):
        return PolicyEntry(**fields)
    try:
        text = (find_checkpoint(path) / "about.json").read_text(encoding="utf-8")
        about = json.loads(text)
        if about.get("format") != FORMAT:
            return PolicyEntry(**fields, reason=f"checkpoint format {about.get('format')}, this version reads {FORMAT}")
        fields |= {key: about[key] for key in ("num_agents", "observation_dim", "action_dim", "scenario", "algorithm")}
        fields |= {
            "hold_h": about.get("hold_h"),
            "score": _finite(about.get("validation_score")),
            "title": f"{about['algorithm']} ({name})",
        }
        return PolicyEntry(**fields, checkpoints=_checkpoints(path), about=about)
    except (UserError, OSError, ValueError, KeyError, AttributeError) as error:
        return PolicyEntry(**fields, reason=f"cannot be read: {scrub(str(error))}")


def _finite(score: Any) -> float | None:
    """A score for JSON; older versions wrote −∞ before the first validation."""
    return score if isinstance(score, int | float) and math.isfinite(score) else None
