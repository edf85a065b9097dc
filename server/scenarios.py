"""Scenarios by name: those that ship, and those users saved in the data folder."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from server.errors import ApiError, scrub
from server.requests import NAME
from smartgrid_core import GridConfig, Simulator, list_scenarios
from smartgrid_core.errors import UserError
from smartgrid_core.faults import nearest
from smartgrid_core.links import build_links
from smartgrid_core.registry import scenario_path
from trainer.interface import Interface, interface_from

KEPT = 64  # interfaces; the oldest goes first


class Scenarios:
    """Finds scenarios by name; a saved one cannot take a shipped one's name.

    Args:
        folder: saved scenarios, NAME.toml; it need not exist.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._interfaces: dict[tuple[str, tuple[int, int] | None], Interface] = {}
        self._building = threading.Lock()

    def names(self) -> dict[str, str]:
        """`shipped` or `saved` by name, shipped first."""
        shipped = dict.fromkeys(list_scenarios(), "shipped")
        found = sorted(p.stem for p in self.folder.glob("*.toml") if re.match(NAME, p.stem))
        return shipped | {name: "saved" for name in found if name not in shipped}

    def path(self, name: str) -> Path:
        """The file of a scenario.

        Raises:
            ApiError: 404, there is none of this name; the message offers the nearest.
        """
        names = self.names()
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean {near!r}? " if near else ""
            raise ApiError(
                404, "not_found", f"unknown scenario {name!r}: {hint}known are {', '.join(names)}", "scenario"
            )
        return scenario_path(name) if names[name] == "shipped" else self.folder / f"{name}.toml"

    def load(self, name: str) -> GridConfig:
        """Its configuration.

        Raises:
            ApiError: 404, there is none of this name; 422, its file is faulty.
        """
        path = self.path(name)
        try:
            return GridConfig.load(str(path), name=name)
        except (UserError, OSError) as error:
            raise ApiError(422, "invalid", f"scenario {name!r}: {scrub(str(error))}", "scenario") from error

    def interface(self, name: str) -> Interface:
        """What a policy must fit; builds it where its links depend on its feeder, once for what its files say.

        Raises:
            ApiError: as `load`; 422, it cannot be built.
        """
        config = self.load(name)
        key = (config.model_dump_json(), _stamp(Path(config.network.feeder)))
        found = self._interfaces.get(key)
        if found is not None:
            return found
        try:
            with self._building:
                found = self._interfaces.get(key) or _interface(config)
                self._interfaces[key] = found
                if len(self._interfaces) > KEPT:
                    del self._interfaces[next(iter(self._interfaces))]
        except (UserError, ImportError, OSError) as error:
            raise ApiError(422, "invalid", f"scenario {name!r}: {scrub(str(error))}", "scenario") from error
        return found

    def summaries(self) -> list[dict[str, Any]]:
        """Name, source and a few facts of each; a faulty file has `fault` instead of facts."""
        out = []
        for name, source in self.names().items():
            try:
                config = self.load(name)
            except ApiError as error:
                out.append({"name": name, "source": source, "fault": error.message})
                continue
            out.append(
                {
                    "name": name, "source": source, "fault": None, "description": config.description,
                    "num_agents": config.num_agents, "episode_days": config.episode_days,
                    "step_minutes": config.step_minutes, "data": config.profiles.source,
                    "feeder": config.network.feeder, "links": _topology(config),
                    "events": list(dict.fromkeys(event.kind for event in config.events)),
                }
            )  # fmt: skip
        return out


def _topology(config: GridConfig) -> str:
    topology = config.links.topology
    return topology if isinstance(topology, str) else f"{len(topology)} pairs"


def _stamp(file: Path) -> tuple[int, int] | None:
    """What tells a changed file; None where there is none, as for a feeder that is no file."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _interface(config: GridConfig) -> Interface:
    if str(config.links.topology).startswith("nearest"):
        return interface_from(config, Simulator(config, 1).num_slots)
    import numpy as np

    n = config.num_agents
    slots = build_links(config.links, n, np.zeros((n, n))).used.shape[0]
    return interface_from(config, slots)
