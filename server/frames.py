"""Frames: one step of a community as the message viewers get, and the same as float32 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson

from server.wire import STATUSES, AgentStatus
from smartgrid_core import Simulator, StepResult
from smartgrid_core.render import IDLE_KW
from smartgrid_core.types import State

COLUMNS = (
    "energy_level", "soc_kwh", "demand_kw", "generation_kw", "trade_kw", "bought_kw", "sold_kw", "received_kw",
    "sent_kw", "charge_kw", "discharge_kw", "unserved_kw", "curtailed_kw", "voltage_pu", "reward", "cost_eur",
    "cost_eur_total",
)  # fmt: skip
"""Numbers of an agent, in the order of `FrameArrays.agents`; a binary frame adds `status`."""
_LEDGER = COLUMNS[5:13]
_FINE = ("voltage_pu", "reward", "cost_eur", "cost_eur_total")
_DECIMALS = np.array([[6 if name in _FINE else 4] for name in COLUMNS])
_SCALE = 10.0**_DECIMALS
VOLTAGE_ROUNDING_PU = 1e-6  # a voltage on the limit may round to beyond it in float32


class FrameArrays(NamedTuple):
    """What a binary frame is made of."""

    agents: np.ndarray  # [C, N] in the order of COLUMNS
    status: np.ndarray  # [N] int, index into STATUSES
    links_kw: np.ndarray  # [L] from the first to the second agent of the pair
    loading: np.ndarray  # [M]
    voltage_pu: np.ndarray  # [n]


class Totals:
    """What is added up from the beginning of a run.

    Args:
        num_agents: prosumers of the community.
    """

    def __init__(self, num_agents: int) -> None:
        self.steps = 0
        self.cost_eur = np.zeros(num_agents)  # [N] bills
        self.co2_kg = 0.0


def _statuses(trade: np.ndarray, battery: np.ndarray, unserved: np.ndarray, off: np.ndarray) -> np.ndarray:
    """`render.agent_status` of all prosumers at once, as indices into STATUSES; off: islanded or not energised."""
    cases: list[tuple[np.ndarray, AgentStatus]] = [
        (unserved > IDLE_KW, "unserved"), (off, "islanded"), (trade > IDLE_KW, "importing"),
        (trade < -IDLE_KW, "exporting"), (battery > IDLE_KW, "charging"), (battery < -IDLE_KW, "discharging"),
    ]  # fmt: skip
    conditions, words = zip(*cases, strict=True)
    return np.select(conditions, [STATUSES.index(word) for word in words], STATUSES.index("balanced"))


def utc_now() -> str:
    """Wall clock, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FrameBuilder:
    """Makes frames of the one community of a simulator."""

    def __init__(self, sim: Simulator):
        self.sim, config = sim, sim.config
        self.ids = [f"agent_{i}" for i in range(sim.num_agents)]
        self.names = sim.agent_names
        self.capacity = np.broadcast_to(sim.params.capacity_kwh[:, 0].numpy(), (sim.num_agents,)).astype(np.float64)
        self._capacity_list, self.has_battery = self.capacity.round(4).tolist(), self.capacity > 0
        self.pairs = sim.links.pairs
        slots = {(i, int(sim.links.neighbour[k, i])): k for k, i in zip(*np.nonzero(sim.links.used), strict=True)}
        self.link_slot = np.array([slots[j, i] for i, j in self.pairs.tolist()], dtype=np.int64)
        self.step_h, self.band = config.step_h, config.network.voltage_band_pu
        self.start, self.minutes = sim.table.profiles.start, config.step_minutes

    def sim_time(self, row: int) -> str:
        """Start of the step at a row of the profiles, local standard time."""
        return str((self.start + row * np.timedelta64(self.minutes, "m")).astype("datetime64[s]"))

    def build(
        self, before: State, out: StepResult, totals: Totals, about: Mapping[str, Any], step_ms: float
    ) -> tuple[dict[str, Any], FrameArrays]:
        """The frame of a step and its arrays; adds the step to `totals`.

        Args:
            before: the state the step was taken from.
            about: seq, run and perturbations.
            step_ms: wall time of the step.
        """
        totals.steps += 1
        totals.cost_eur += out.cost_eur[0].double().numpy()
        arrays = self._arrays(out, totals.cost_eur)
        metrics = self._metrics(out, arrays, totals, step_ms)
        opened = np.flatnonzero(before.branch_open[0].numpy()).tolist()
        data = {
            "type": "frame", "seq": about["seq"], "run": about["run"], "timestamp": utc_now(),
            "sim_time": self.sim_time(int(before.row)), "step": totals.steps, "episode": int(before.episode),
            "episode_step": int(before.step) + 1, "stability": metrics["stability"], "islanded": bool(out.islanded),
            "agents": self._agents(arrays), "energy_flows": self._flows(arrays), "metrics": metrics,
            "buses": {"voltage_pu": arrays.voltage_pu.tolist()},
            "branches": {"loading": arrays.loading.tolist(), "open": opened},
            "perturbations": about["perturbations"],
        }  # fmt: skip
        return data, arrays

    def _arrays(self, out: StepResult, cost_eur_total: np.ndarray) -> FrameArrays:
        ledger = np.stack([getattr(out.ledger, name)[0].numpy() for name in _LEDGER]).astype(np.float64)
        named = dict(zip(_LEDGER, ledger, strict=True))
        soc, voltage = out.soc_kwh[0].double().numpy(), out.network.voltage_pu[0].double().numpy()
        trade, battery = named["bought_kw"] - named["sold_kw"], named["charge_kw"] - named["discharge_kw"]
        columns = [
            np.where(self.has_battery, soc / np.maximum(self.capacity, 1e-6), 0.0), soc,
            out.ledger.demand_kw[0].numpy(), out.ledger.generation_kw[0].numpy(), trade, *ledger,
            voltage[self.sim.agent_bus], out.reward[0].numpy(), out.cost_eur[0].numpy(), cost_eur_total,
        ]  # fmt: skip
        off = out.islanded.numpy() | ~out.energised[0].numpy()
        status = _statuses(trade, battery, named["unserved_kw"], off)
        links = out.transfers_kw[0].double().numpy()[self.pairs[:, 1], self.link_slot] if len(self.pairs) else _EMPTY
        return FrameArrays(
            np.round(np.stack(columns) * _SCALE) / _SCALE + 0.0, status, links.round(4) + 0.0,
            out.network.loading[0].double().numpy().round(4), voltage.round(6),
        )  # fmt: skip

    def _agents(self, arrays: FrameArrays) -> list[dict[str, Any]]:
        words = [STATUSES[k] for k in arrays.status.tolist()]
        columns = (self.ids, self.names, self._capacity_list, words, *arrays.agents.tolist())
        return [dict(zip(_KEYS, row, strict=True)) for row in zip(*columns, strict=True)]

    def _flows(self, arrays: FrameArrays) -> list[dict[str, Any]]:
        """Between neighbours first, then with the utility."""
        trade = arrays.agents[COLUMNS.index("trade_kw")]
        links, traders = (np.flatnonzero(np.abs(kw) > IDLE_KW) for kw in (arrays.links_kw, trade))
        flows, ids = [], self.ids
        for (i, j), power in zip(self.pairs[links].tolist(), arrays.links_kw[links].tolist(), strict=True):
            source, target = (i, j) if power > 0 else (j, i)
            flows.append({"source": ids[source], "target": ids[target], "power_kw": abs(power)})
        for i, power in zip(traders.tolist(), trade[traders].tolist(), strict=True):
            source, target = ("grid", ids[i]) if power > 0 else (ids[i], "grid")
            flows.append({"source": source, "target": target, "power_kw": abs(power)})
        return flows

    def _metrics(self, out: StepResult, arrays: FrameArrays, totals: Totals, step_ms: float) -> dict[str, Any]:
        sums = dict(zip(COLUMNS, arrays.agents.sum(1).tolist(), strict=True))
        network, cost = out.network, float(out.cost_eur.sum())
        slack, converged = float(network.slack_kw), bool(network.converged)
        meters = sums["bought_kw"] - sums["sold_kw"]
        drawn = 0.0 if bool(out.islanded) else slack if converged else meters
        emitted_g_per_h = max(drawn, 0.0) * float(out.co2_g_per_kwh)
        totals.co2_kg += emitted_g_per_h * self.step_h / 1000
        live = arrays.voltage_pu[arrays.voltage_pu > 0]
        soc = arrays.agents[0][self.has_battery]
        values = {
            "mean_energy": float(soc.mean()) if soc.size else 0.0,
            "total_generation_kw": sums["generation_kw"], "total_demand_kw": sums["demand_kw"],
            "import_kw": sums["bought_kw"], "export_kw": sums["sold_kw"], "transfers_kw": sums["received_kw"],
            "charge_kw": sums["charge_kw"], "discharge_kw": sums["discharge_kw"], "loss_kw": float(network.loss_kw),
            "slack_kw": slack, "unserved_kw": sums["unserved_kw"], "curtailed_kw": sums["curtailed_kw"],
            "cost_eur": cost, "cost_eur_per_h": cost / self.step_h, "cost_eur_total": float(totals.cost_eur.sum()),
            "mean_reward": float(out.reward.mean()),
            **{f"reward_{name}": float(x.mean()) for name, x in out.reward_parts._asdict().items()},
            "stability": float(out.stability),
            **{f"stability_{name}": float(x) for name, x in out.stability_parts._asdict().items()},
            "import_price": float(out.import_eur_per_kwh), "export_price": float(out.export_eur_per_kwh),
            "co2_g_per_h": emitted_g_per_h, "co2_kg_total": totals.co2_kg,
            "max_loading": float(arrays.loading.max(initial=0.0)),
            "min_voltage_pu": float(live.min()) if live.size else 0.0,
            "max_voltage_pu": float(live.max()) if live.size else 0.0, "step_ms": step_ms,
        }  # fmt: skip
        return {
            **{name: round(value, 6) + 0.0 for name, value in values.items()},
            "violations": int((np.abs(live - 1) > self.band + VOLTAGE_ROUNDING_PU).sum()),
            "overloads": int((arrays.loading > 1).sum()), "converged": converged,
        }  # fmt: skip


_EMPTY = np.zeros(0)
_KEYS = ("id", "name", "capacity_kwh", "status", *COLUMNS)
_LISTED = ("agents", "energy_flows", "buses", "branches")  # of a frame, what the columns of a binary one replace


def binary(data: Mapping[str, Any], arrays: FrameArrays) -> bytes:
    """A frame of the subprotocol grid.v1.f32, little-endian.

    uint32 length of the header; the header, JSON of the frame without agents, energy_flows, buses and with the open
    branches as `open`, padded with spaces to a multiple of 4; then float32: each of `hello.binary.agents` [N] (`status`
    as an index into `hello.binary.statuses`), links [L], loading [M], voltage [n].
    """
    head = {name: value for name, value in data.items() if name not in _LISTED} | {"open": data["branches"]["open"]}
    text = orjson.dumps(head)
    text += b" " * (-len(text) % 4)
    columns: Sequence[np.ndarray] = (
        arrays.agents.ravel(),
        arrays.status,
        arrays.links_kw,
        arrays.loading,
        arrays.voltage_pu,
    )
    return len(text).to_bytes(4, "little") + text + np.concatenate(columns).astype("<f4").tobytes()
