"""A radial distribution feeder as plain arrays, and the ways to get one.

Everything electrical is in per unit on ``s_base_kva`` and *referred to the slack side*: a transformer whose
turns ratio differs from the ratio of the two nominal voltages (a tap, or 20/0.4 kV windings on a 20/0.38 kV
network) leaves the tree of impedances without ideal transformers in it, and each bus carries
``voltage_scale``, its no-load voltage in per unit of its own nominal voltage for 1 p.u. at the slack. Phase
shifts of transformers do not change magnitudes or powers of a radial network and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartgrid_core.errors import DataFileError

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
ComplexArray = NDArray[np.complex128]

LINE, TRANSFORMER, SWITCH = "line", "transformer", "switch"
KINDS = (LINE, TRANSFORMER, SWITCH)


class FeederError(DataFileError):
    """A network that is no radial feeder, or an impossible value in it; says which and what was expected."""


@dataclass(frozen=True, eq=False, repr=False)
class Feeder:
    """One radial feeder: n buses, M = n − 1 branches, each pointing away from the slack bus. Host side,
    read-only.

    Branch 0 is the transformer where there is one (the one nearest the slack), else a branch at the slack.
    """

    name: str
    bus_names: tuple[str, ...]  # n, unique, in the order of the columns of every input and output
    vn_kv: Array  # [n] kV, nominal line-to-line voltage
    slack: int  # index of the reference bus
    v0_pu: float  # p.u., voltage held at the slack
    s_base_kva: float  # kVA, base of every p.u. impedance and admittance below
    branch_names: tuple[str, ...]  # M, unique
    kind: tuple[str, ...]  # M, "line", "transformer" or "switch" (a closed bus-bus switch: no impedance, no rating)
    from_bus: IntArray  # [M] bus nearer the slack
    to_bus: IntArray  # [M] bus farther from the slack
    r_pu: Array  # [M] p.u., series resistance
    x_pu: Array  # [M] p.u., series reactance
    charging_g_pu: Array  # [M] p.u., shunt conductance of a line at each of its two ends (π model)
    charging_b_pu: Array  # [M] p.u., shunt susceptance of a line at each of its two ends (π model)
    magnetising_g_pu: Array  # [M] p.u., conductance of a transformer's no-load branch, at mid-impedance (T model)
    magnetising_b_pu: Array  # [M] p.u., susceptance of that branch, negative
    rating_from_kva: Array  # [M] kVA, rated current × √3 × nominal voltage of from_bus
    rating_to_kva: Array  # [M] kVA, rated current × √3 × nominal voltage of to_bus
    bus_shunt_g_pu: Array  # [n] p.u., further conductance to earth at the bus, e.g. a line open at its far end
    bus_shunt_b_pu: Array  # [n] p.u.
    voltage_scale: Array  # [n] no-load voltage in p.u. of vn_kv for 1 p.u. at the slack
    xy: Array | None = None  # [n, 2] positions for drawing, any unit, or None
    parent_branch: IntArray = field(init=False)  # [n] branch that feeds the bus, −1 at the slack
    path: Array = field(init=False)  # [M, n] 1 where the branch lies on the way slack → bus, else 0

    def __post_init__(self) -> None:
        _check(self)
        parent, path = _paths(self)
        object.__setattr__(self, "parent_branch", parent)
        object.__setattr__(self, "path", path)
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __repr__(self) -> str:
        lines = self.kind.count(LINE)
        transformers = self.kind.count(TRANSFORMER)
        return (
            f"Feeder({self.name!r}: {self.num_buses} buses, {lines} lines, {transformers} transformers, "
            f"slack {self.bus_names[self.slack]!r} at {self.v0_pu:g} p.u.)"
        )

    @property
    def num_buses(self) -> int:
        """n, the slack included."""
        return len(self.bus_names)

    @property
    def num_branches(self) -> int:
        """M = n − 1."""
        return len(self.branch_names)

    @property
    def no_load_loss_kw(self) -> float:
        """kW, what the transformers' cores lose at 1 p.u. of their no-load voltage."""
        return float(self.magnetising_g_pu.sum() * self.s_base_kva)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What it takes to build the feeder again: arrays, no pickled objects, fit for ``numpy.savez``."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return {key: np.asarray(value) for key, value in values.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Feeder:
        """The inverse of :meth:`to_arrays`. Raises FeederError where a field is missing or does not fit."""
        values: dict[str, Any] = {}
        for item in fields(cls):
            if not item.init or (item.name == "xy" and "xy" not in arrays):
                continue
            if item.name not in arrays:
                raise FeederError(f"feeder data lack {item.name!r}; present: {sorted(arrays)}")
            value = np.asarray(arrays[item.name])
            if item.name in ("bus_names", "branch_names", "kind"):
                values[item.name] = tuple(str(v) for v in value)
            elif item.name == "name":
                values[item.name] = str(value)
            elif value.ndim == 0:
                values[item.name] = int(value) if item.name == "slack" else float(value)
            else:
                values[item.name] = value.astype(np.int64 if item.name.endswith("_bus") else np.float64)
        return cls(**values)

    @classmethod
    def radial(
        cls,
        buses: int = 15,
        *,
        laterals: int | None = None,
        section_m: float = 40.0,
        r_ohm_per_km: float = 0.2067,
        x_ohm_per_km: float = 0.0804,
        c_nf_per_km: float = 0.0,
        ampacity_a: float = 270.0,
        transformer_kva: float | None = None,
        vk_percent: float | None = None,
        vkr_percent: float | None = None,
        no_load_kw: float | None = None,
        no_load_current_percent: float = 0.3,
        v0_pu: float = 1.0,
        mv_kv: float = 20.0,
        lv_kv: float = 0.4,
    ) -> Feeder:
        """A generated European low-voltage feeder; see :func:`.radial.radial_feeder`."""
        from .radial import radial_feeder

        options = {key: value for key, value in locals().items() if key not in ("cls", "radial_feeder")}
        return radial_feeder(**options)

    @classmethod
    def from_pandapower(cls, net: Any) -> Feeder:
        """Any radial pandapower net: lines, two-winding transformers with their tap, switches, one external
        grid.

        Loads, generators and storage in the net are left out: consumption is an input of the power flow.
        ``bus_names`` are the in-service rows of ``net.bus`` in their order. Numbers agree with
        ``pandapower.runpp`` (T model of the transformer, π model of the line). Raises FeederError for loops,
        islands and elements that have no place here.
        """
        from .pandapower_reader import read_pandapower

        return read_pandapower(net)

    @classmethod
    def simbench(cls, code: str, *, refresh: bool = False) -> Feeder:
        """A SimBench low-voltage grid such as ``"1-LV-rural1--0-sw"``; see ``simbench_reader``.

        Extraction takes 5–30 s, once: the result is kept in the user's cache folder (``refresh`` extracts
        anew). Raises ImportError naming the command to install SimBench, FeederError for an unknown or meshed
        grid.
        """
        from .simbench_reader import simbench_feeder

        return simbench_feeder(code, refresh=refresh)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        slack: str | None = None,
        vn_kv: float = 0.4,
        v0_pu: float = 1.0,
        frequency_hz: float = 50.0,
    ) -> Feeder:
        """A CSV file with one row a branch; the columns are listed in ``csv_reader``. Raises FeederError."""
        from .csv_reader import read_csv

        return read_csv(path, slack=slack, vn_kv=vn_kv, v0_pu=v0_pu, frequency_hz=frequency_hz)


def _check(feeder: Feeder) -> None:
    """Shapes, names and signs; the tree itself is checked while its paths are followed."""
    n, M = feeder.num_buses, feeder.num_branches
    if n < 2:
        raise FeederError(f"a feeder needs at least 2 buses, got {n}")
    for what, names in (("bus", feeder.bus_names), ("branch", feeder.branch_names)):
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise FeederError(f"{what} name {name!r} occurs twice; names must be unique")
            seen.add(name)
    if not 0 <= feeder.slack < n:
        raise FeederError(f"no slack bus: index {feeder.slack} is not one of the {n} buses")
    for item in fields(feeder):
        if not item.init:
            continue
        value = getattr(feeder, item.name)
        if not isinstance(value, np.ndarray):
            continue
        if item.name == "xy":
            expected: tuple[int, ...] = (n, 2)
        else:
            expected = (n,) if item.name in _BUS_FIELDS else (M,)
        if value.shape != expected:
            raise FeederError(f"{item.name} has shape {value.shape}, expected {expected} (n = {n}, M = {M})")
    _check_values(feeder)


_BUS_FIELDS = ("vn_kv", "bus_shunt_g_pu", "bus_shunt_b_pu", "voltage_scale")


def _check_values(feeder: Feeder) -> None:
    checks = (
        ("vn_kv", feeder.vn_kv, feeder.bus_names, "a nominal voltage in kV > 0", lambda v: v > 0),
        ("voltage_scale", feeder.voltage_scale, feeder.bus_names, "> 0", lambda v: v > 0),
        ("r_pu", feeder.r_pu, feeder.branch_names, "a resistance ≥ 0", lambda v: v >= 0),
        ("x_pu", feeder.x_pu, feeder.branch_names, "a finite reactance", np.isfinite),
        ("rating_from_kva", feeder.rating_from_kva, feeder.branch_names, "a rating > 0", lambda v: v > 0),
        ("rating_to_kva", feeder.rating_to_kva, feeder.branch_names, "a rating > 0", lambda v: v > 0),
    )
    for what, values, names, expected, test in checks:
        bad = np.flatnonzero(~test(values))
        if bad.size:
            i = int(bad[0])
            raise FeederError(f"{what} of {names[i]!r} is {values[i]:g}, expected {expected}")
    for i, kind in enumerate(feeder.kind):
        if kind not in KINDS:
            raise FeederError(f"kind of branch {feeder.branch_names[i]!r} is {kind!r}, expected one of {KINDS}")
    if not (feeder.v0_pu > 0 and feeder.s_base_kva > 0):
        raise FeederError(f"v0_pu = {feeder.v0_pu} and s_base_kva = {feeder.s_base_kva} must both be > 0")


def _paths(feeder: Feeder) -> tuple[IntArray, Array]:
    """The branch that feeds each bus, and the path matrix. Raises FeederError where there is no tree."""
    n, M = feeder.num_buses, feeder.num_branches
    parent = np.full(n, -1, dtype=np.int64)
    children: dict[int, list[int]] = {}
    for e in range(M):
        to = int(feeder.to_bus[e])
        if parent[to] >= 0 or to == feeder.slack:
            raise FeederError(f"branch {feeder.branch_names[e]!r} closes a loop at bus {feeder.bus_names[to]!r}")
        parent[to] = e
        children.setdefault(int(feeder.from_bus[e]), []).append(e)
    path = np.zeros((M, n))
    reached, stack = 1, [feeder.slack]
    while stack:
        bus = stack.pop()
        for e in children.get(bus, ()):
            to = int(feeder.to_bus[e])
            path[:, to] = path[:, bus]
            path[e, to] = 1.0
            reached += 1
            stack.append(to)
    if reached < n:
        lost = next(i for i in range(n) if i != feeder.slack and not path[:, i].any())
        raise FeederError(f"bus {feeder.bus_names[lost]!r} is not connected to the slack bus: an island")
    return parent, path
