"""Who may trade with whom: undirected links turned into per-agent slots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from smartgrid_core.config import LinksConfig
from smartgrid_core.errors import ConfigError


class Links(NamedTuple):
    """Slot layout of the links."""

    pairs: np.ndarray  # [L, 2] int, i < j, each link once
    neighbour: np.ndarray  # [K, N] int, the agent at the other end; the agent itself in unused slots
    partner: np.ndarray  # [K, N] int, flat index (slot · N + agent) of the same link seen from the other end
    used: np.ndarray  # [K, N] bool
    rating_kw: np.ndarray  # [K, N] kW, 0 in unused slots


def action_names(slots: int) -> list[str]:
    """Names of an action's entries: a transfer for every link slot, then the trade with the grid."""
    return [f"transfer_{k}" for k in range(slots)] + ["trade"]


def build_links(config: LinksConfig, num_agents: int, distance: np.ndarray) -> Links:
    """Slots of every agent.

    Args:
        config: topology and rating.
        num_agents: N.
        distance: [N, N] electrical distance between the agents' buses (for `nearest:K`).

    Raises:
        ConfigError: a pair links an agent to itself, stands twice, or names an agent that is not there.
    """
    pairs = _pairs(config, num_agents, distance)
    degree = np.zeros(num_agents, dtype=np.int64)
    for i, j in pairs:
        degree[i] += 1
        degree[j] += 1
    slots = int(degree.max(initial=0))
    agents = np.arange(num_agents)
    neighbour = np.tile(agents, (slots, 1))
    partner = np.arange(slots * num_agents).reshape(slots, num_agents)
    used = np.zeros((slots, num_agents), dtype=bool)
    free = np.zeros(num_agents, dtype=np.int64)
    for i, j in pairs:
        at_i, at_j = free[i], free[j]
        neighbour[at_i, i], neighbour[at_j, j] = j, i
        partner[at_i, i], partner[at_j, j] = at_j * num_agents + j, at_i * num_agents + i
        used[at_i, i] = used[at_j, j] = True
        free[i] += 1
        free[j] += 1
    return Links(
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        neighbour,
        partner,
        used,
        np.where(used, config.rating_kw, 0.0),
    )


def _pairs(config: LinksConfig, n: int, distance: np.ndarray) -> list[tuple[int, int]]:
    topology = config.topology
    if isinstance(topology, str):
        if topology == "none" or n == 1:
            return []
        if topology == "complete":
            return [(i, j) for i in range(n) for j in range(i + 1, n)]
        if topology == "ring":
            return sorted({(min(i, (i + 1) % n), max(i, (i + 1) % n)) for i in range(n)})
        count = min(int(topology.partition(":")[2]), n - 1)
        found, agents = set(), np.arange(n)
        for i in range(n):
            # By distance, then by the place in the list; lexsort's last key counts most.
            order = np.lexsort((agents, np.abs(agents - i), np.round(distance[i], 12)))
            nearest = [int(j) for j in order if j != i][:count]
            found |= {(min(i, j), max(i, j)) for j in nearest}
        return sorted(found)
    seen: set[tuple[int, int]] = set()
    for i, j in topology:
        if not (0 <= i < n and 0 <= j < n):
            raise ConfigError(f"links.topology: pair [{i}, {j}] names an agent outside 0 … {n - 1}")
        if i == j:
            raise ConfigError(f"links.topology: pair [{i}, {j}] links agent {i} to itself; remove it")
        pair = (min(i, j), max(i, j))
        if pair in seen:
            raise ConfigError(f"links.topology: the link [{i}, {j}] stands twice; list each link once")
        seen.add(pair)
    return sorted(seen)
