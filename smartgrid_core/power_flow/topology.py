"""From buses and branches in any direction to a :class:`Feeder`: orientation, order, referral."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .feeder import SWITCH, TRANSFORMER, ComplexArray, Feeder, FeederError


@dataclass
class Bus:
    """A bus as a reader finds it."""

    name: str
    vn_kv: float
    xy: tuple[float, float] | None = None
    shunt_pu: complex = 0j  # p.u. of the bus' nominal voltage


@dataclass
class Branch:
    """A branch as a reader finds it; p.u. values on the common base and the nominal voltage of ``to_bus``."""

    name: str
    kind: str
    from_bus: int
    to_bus: int
    z_pu: complex
    rating_from_kva: float
    rating_to_kva: float
    ratio: float = 1.0  # no-load voltage at from_bus over that at to_bus, each in p.u. of its nominal voltage
    charging_pu: complex = 0j  # at each end
    magnetising_pu: complex = 0j  # at mid-impedance


def assemble(
    name: str,
    buses: Sequence[Bus],
    branches: Sequence[Branch],
    *,
    slack: int,
    v0_pu: float,
    s_base_kva: float,
) -> Feeder:
    """Orient the branches away from the slack and refer every impedance to it.

    Raises FeederError naming the branch that closes a loop, or a bus that no branch connects.
    """
    _raise_on_loop(buses, branches)
    depth, from_bus, to_bus = _orient(buses, branches, slack)
    order = _branch_order(branches, depth)
    ordered = [branches[e] for e in order]
    scale = _voltage_scale(len(buses), branches, from_bus, to_bus, depth)
    # the z of a branch is in p.u. of its original to_bus; 1 p.u. there is 1/scale p.u. at the slack side
    to_scale = np.array([scale[b.to_bus] for b in ordered])
    flipped = np.array([from_bus[e] != branches[e].from_bus for e in order], dtype=bool)
    ratings = np.array([(b.rating_from_kva, b.rating_to_kva) for b in ordered]).reshape(-1, 2)
    z: ComplexArray = np.array([b.z_pu for b in ordered], dtype=np.complex128) / to_scale**2
    charging: ComplexArray = np.array([b.charging_pu for b in ordered], dtype=np.complex128) * to_scale**2
    magnetising: ComplexArray = np.array([b.magnetising_pu for b in ordered], dtype=np.complex128) * to_scale**2
    shunt: ComplexArray = np.array([b.shunt_pu for b in buses], dtype=np.complex128) * scale**2
    points = [b.xy for b in buses if b.xy is not None]
    return Feeder(
        name=name,
        bus_names=tuple(b.name for b in buses),
        vn_kv=np.array([b.vn_kv for b in buses], dtype=float),
        slack=slack,
        v0_pu=float(v0_pu),
        s_base_kva=float(s_base_kva),
        branch_names=tuple(b.name for b in ordered),
        kind=tuple(b.kind for b in ordered),
        from_bus=from_bus[order],
        to_bus=to_bus[order],
        r_pu=z.real.copy(),
        x_pu=z.imag.copy(),
        charging_g_pu=charging.real.copy(),
        charging_b_pu=charging.imag.copy(),
        magnetising_g_pu=magnetising.real.copy(),
        magnetising_b_pu=magnetising.imag.copy(),
        rating_from_kva=np.where(flipped, ratings[:, 1], ratings[:, 0]),
        rating_to_kva=np.where(flipped, ratings[:, 0], ratings[:, 1]),
        bus_shunt_g_pu=shunt.real.copy(),
        bus_shunt_b_pu=shunt.imag.copy(),
        voltage_scale=scale,
        xy=np.array(points, dtype=float) if len(points) == len(buses) else None,
    )


def _raise_on_loop(buses: Sequence[Bus], branches: Sequence[Branch]) -> None:
    root = list(range(len(buses)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for branch in branches:
        a, b = find(branch.from_bus), find(branch.to_bus)
        if a == b:
            ends = f"{buses[branch.from_bus].name!r} – {buses[branch.to_bus].name!r}"
            raise FeederError(
                f"{branch.kind} {branch.name!r} ({ends}) closes a loop; the feeder must be radial: "
                "open a switch on that loop or take one branch of it out of service"
            )
        root[a] = b


def _orient(buses: Sequence[Bus], branches: Sequence[Branch], slack: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Branches between a branch's near end and the slack [M], and its near and far bus [M]."""
    at_bus: dict[int, list[int]] = {}
    for e, branch in enumerate(branches):
        at_bus.setdefault(branch.from_bus, []).append(e)
        at_bus.setdefault(branch.to_bus, []).append(e)
    depth = np.full(len(branches), -1, dtype=np.int64)
    from_bus, to_bus = np.zeros((2, len(branches)), dtype=np.int64)
    reached, queue = {slack}, [(slack, 0)]
    for bus, level in queue:
        for e in at_bus.get(bus, ()):
            if depth[e] >= 0:
                continue
            far = branches[e].to_bus if branches[e].from_bus == bus else branches[e].from_bus
            depth[e], from_bus[e], to_bus[e] = level, bus, far
            reached.add(far)
            queue.append((far, level + 1))
    for i, bus in enumerate(buses):
        if i not in reached:
            raise FeederError(
                f"bus {bus.name!r} is not connected to the slack bus {buses[slack].name!r}: an island "
                f"({len(buses) - len(reached)} of {len(buses)} buses are cut off); connect it or take it out"
            )
    return depth, from_bus, to_bus


def _branch_order(branches: Sequence[Branch], depth: np.ndarray) -> np.ndarray:
    """Transformers first, nearest the slack before others; else a branch at the slack. Rest as given."""
    transformers = [e for e, b in enumerate(branches) if b.kind == TRANSFORMER]
    transformers.sort(key=lambda e: depth[e])
    rest = [e for e, b in enumerate(branches) if b.kind != TRANSFORMER]
    if not transformers:
        at_slack = [e for e in rest if depth[e] == 0]
        first = next((e for e in at_slack if branches[e].kind != SWITCH), at_slack[0])
        rest.remove(first)
        rest.insert(0, first)
    return np.array(transformers + rest, dtype=np.int64)


def _voltage_scale(
    n: int, branches: Sequence[Branch], from_bus: np.ndarray, to_bus: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    scale = np.ones(n)
    for e in np.argsort(depth, kind="stable"):
        ratio = branches[e].ratio
        forward = from_bus[e] == branches[e].from_bus
        scale[to_bus[e]] = scale[from_bus[e]] / ratio if forward else scale[from_bus[e]] * ratio
    return scale


def unique_names(names: Sequence[object], prefix: str, indices: Sequence[object]) -> list[str]:
    """The given names where they are text and occur once; else ``prefix index`` or ``name (index)``."""
    texts = [n.strip() if isinstance(n, str) else "" for n in names]
    count: dict[str, int] = {}
    for text in texts:
        count[text] = count.get(text, 0) + 1
    return [
        f"{prefix} {i}" if not text else (text if count[text] == 1 else f"{text} ({i})")
        for text, i in zip(texts, indices, strict=True)
    ]
