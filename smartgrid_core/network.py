"""From prosumers' injections to voltages, loading and losses (feature-major)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from smartgrid_core.config import NetworkConfig
from smartgrid_core.errors import ConfigError
from smartgrid_core.power_flow import Feeder, PowerFlow
from smartgrid_core.types import NetworkResult


class NetworkState(NamedTuple):
    """Power flow of a step with what the rest of the step needs of it."""

    result: NetworkResult  # fields feature-major: [n, B], [M, B], [B]
    agent_voltage_pu: Tensor  # [N, B]
    bus_energised: Tensor | None  # [n, B] bool, None where nothing can be cut off


def load_feeder(config: NetworkConfig) -> Feeder:
    """The feeder a configuration names."""
    feeder = _named(config)
    return feeder if config.v0_pu is None else replace(feeder, v0_pu=config.v0_pu)


def _named(config: NetworkConfig) -> Feeder:
    if config.feeder == "radial":
        section_m = 40.0 if config.section_m is None else config.section_m
        return Feeder.radial(buses=config.buses, transformer_kva=config.transformer_kva, section_m=section_m)
    if config.feeder.startswith("simbench:"):
        return Feeder.simbench(config.feeder.removeprefix("simbench:"))
    if not Path(config.feeder).is_file():
        raise ConfigError(
            f"network.feeder = {config.feeder!r}: expected radial, simbench:CODE, or the path of a CSV of branches"
        )
    return Feeder.from_csv(config.feeder)


def require_island_unit(config: NetworkConfig, feeder: Feeder) -> None:
    """Refuse islanding where nothing could hold all of the community's voltage.

    An island's grid-forming unit stands at the low-voltage busbar, behind the branch at the slack bus that opens. With
    several branches at the slack bus the others would be dead, while their prosumers went on trading.

    Raises:
        ConfigError: which feeder, and what to add.
    """
    at_slack = int(((feeder.from_bus == feeder.slack) | (feeder.to_bus == feeder.slack)).sum())
    if config.power_flow and at_slack > 1:
        raise ConfigError(
            f"islanding on feeder {feeder.name}: {at_slack} branches leave its slack bus "
            f"{feeder.bus_names[feeder.slack]}, and an island is what lies behind one; add the transformer as the one "
            "branch between the slack bus and the busbar that the others leave from"
        )


def place_agents(feeder: Feeder, wanted: Sequence[str | int | None]) -> np.ndarray:
    """Bus index of every agent; those without a wish are spread evenly over the load buses.

    Behind a transformer these are all but its busbar, without one all but the slack and the first bus.

    Raises:
        ConfigError: a bus that the feeder does not have, or the slack bus.
    """
    names = list(feeder.bus_names)
    busbar = int(feeder.to_bus[0])  # behind the transformer, wherever a file lists it
    behind = np.asarray(feeder.path)[0] > 0 if feeder.kind[0] == "transformer" else np.ones(len(names), bool)
    free = [i for i in range(len(names)) if behind[i] and i not in (feeder.slack, busbar)] or [busbar]
    spread = np.linspace(0, len(free) - 1, num=len(wanted)).round().astype(int)
    buses = []
    for k, bus in enumerate(wanted):
        if bus is None:
            index = free[spread[k]]
        elif str(bus) in names:
            index = names.index(str(bus))
        elif isinstance(bus, int) and 0 <= bus < len(names):
            index = bus
        else:
            raise ConfigError(
                f"prosumer {k}: bus = {bus!r} is not on the feeder; its buses are {', '.join(names[:12])}, …"
            )
        if index == feeder.slack:
            raise ConfigError(f"prosumer {k}: bus = {bus!r} is the slack bus; choose a bus behind the transformer")
        buses.append(index)
    return np.array(buses, dtype=np.int64)


def electrical_distance(feeder: Feeder, buses: np.ndarray) -> np.ndarray:
    """Series resistance on the way between each two buses, [N, N] p.u.: R_ii + R_jj − 2 R_ij."""
    paths = np.asarray(feeder.path)[:, buses]
    shared = paths.T @ (np.asarray(feeder.r_pu)[:, None] * paths)
    own = np.diag(shared)
    return own[:, None] + own[None, :] - 2 * shared


class Network(nn.Module):
    """The feeder with the prosumers on it."""

    residents: Tensor
    agent_bus: Tensor
    ways: Tensor  # [n, M] 1 where a branch lies between a bus and the slack; without power flow alone

    def __init__(self, config: NetworkConfig, feeder: Feeder, agent_bus: np.ndarray):
        super().__init__()
        self.config, self.feeder = config, feeder
        injection_buses, position = np.unique(agent_bus, return_inverse=True)
        counts = np.bincount(position.reshape(-1), minlength=len(injection_buses))
        self.most_residents = int(counts.max())
        self.power_flow = PowerFlow(feeder, injection_buses=injection_buses.tolist(), iterations=config.iterations)
        self.reactive_ratio = math.tan(math.acos(config.power_factor))
        self.num_injections = len(injection_buses)
        self.any_empty_place = bool((counts < self.most_residents).any())
        residents = np.full((len(injection_buses), self.most_residents), len(agent_bus))  # that row is zeros
        for bus, count in enumerate(counts):
            residents[bus, :count] = np.flatnonzero(position.reshape(-1) == bus)
        self.register_buffer("residents", torch.from_numpy(residents.T.reshape(-1)).int())
        if not config.power_flow:
            self.register_buffer("ways", torch.from_numpy(np.asarray(feeder.path).T.copy()).to(torch.float32))
        self.register_buffer("agent_bus", torch.from_numpy(agent_bus).int())

    def forward(
        self, injection_kw: Tensor, served_kw: Tensor, impedance_scale: Tensor | None,
        branch_open: Tensor | None, islanded: Tensor | None,
    ) -> NetworkState:  # fmt: skip
        """Solve one step.

        Args:
            injection_kw: [N, B], positive from the prosumer into the network.
            served_kw: [N, B] demand that is met; it draws reactive power at the power factor.
            impedance_scale: [1] or [B] or None; branch_open: [M, B] bool or None; islanded: [B] bool or None.
        """
        if not self.config.power_flow:
            return self._copper_plate(injection_kw, branch_open)
        p = self._to_buses(-injection_kw)
        q = self._to_buses(served_kw * self.reactive_ratio)
        if impedance_scale is not None:
            impedance_scale = impedance_scale.expand(injection_kw.shape[1])
        flow = self.power_flow.solve(p, q, impedance_scale=impedance_scale, branch_open=branch_open, islanded=islanded)
        loss = torch.minimum(flow.loss_kw, injection_kw.abs().sum(0)).where(~flow.converged, flow.loss_kw)
        result = NetworkResult(flow.voltage_pu, flow.loading, loss, flow.slack_kw, flow.converged)
        agent_voltage = flow.voltage_pu.index_select(0, self.agent_bus)
        all_live = branch_open is None and islanded is None
        return NetworkState(result, agent_voltage, None if all_live else flow.energised)

    def _to_buses(self, x: Tensor) -> Tensor:
        """Sum agents' powers [N, B] onto the injection buses [k, B].

        Gathered and added in order; scattered additions come in any order on a GPU.
        """
        if self.any_empty_place:
            x = torch.cat((x, torch.zeros_like(x[:1])))
        places = x.index_select(0, self.residents)
        if self.most_residents == 1:
            return places
        return places.view(self.most_residents, self.num_injections, x.shape[1]).sum(0)

    def _copper_plate(self, injection_kw: Tensor, branch_open: Tensor | None) -> NetworkState:
        """No losses, and nominal voltage but where open branches cut the way to the transformer."""
        n, b = injection_kw.shape
        ones, zero = injection_kw.new_ones(1, b), injection_kw.new_zeros(b)
        voltage = ones.expand(len(self.feeder.bus_names), b)
        loading = zero.expand(len(self.feeder.branch_names), b)
        agent_voltage, energised = ones.expand(n, b), None
        if branch_open is not None:
            energised = (self.ways @ branch_open.to(ones.dtype)) == 0
            voltage = energised.to(ones.dtype)
            agent_voltage = voltage.index_select(0, self.agent_bus)
        result = NetworkResult(voltage, loading, zero, -injection_kw.sum(0), ones[0] > 0)
        return NetworkState(result, agent_voltage, energised)
