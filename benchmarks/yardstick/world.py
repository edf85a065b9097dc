"""The constants of community-5 and the state of a batch as plain arrays, for steps written without the simulator.

What a simulator drew by lot is taken from it; formulas are not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.power_flow.reduction import reduce_feeder
from smartgrid_core.types import State

Arrays = dict[str, np.ndarray]
FLOATS = (  # Params by the names they have here, [N]
    ("capacity", "capacity_kwh"), ("charge", "charge_kw"), ("discharge", "discharge_kw"), ("shift", "shift_kw"),
    ("charge_efficiency", "charge_efficiency"), ("discharge_efficiency", "discharge_efficiency"),
    ("soc_min", "soc_min_kwh"), ("soc_max", "soc_max_kwh"), ("soc_low", "initial_soc_low"),
    ("soc_high", "initial_soc_high"), ("trade", "trade_kw"), ("demand_scale", "demand_scale"),
    ("generation_scale", "generation_scale"),
)  # fmt: skip


def sizes(sim: Simulator) -> dict[str, int]:
    """Letters of the step: N, K, W, BUSES, BRANCHES, NODES, SERIES, ITERATIONS."""
    reduction = reduce_feeder(sim.feeder)
    return {
        "N": sim.num_agents, "K": sim.num_slots, "W": sim.table.windows, "BUSES": sim.feeder.num_buses,
        "BRANCHES": sim.feeder.num_branches, "NODES": reduction.nodes, "SERIES": reduction.series,
        "ITERATIONS": sim.config.network.iterations,
    }  # fmt: skip


def constants(sim: Simulator) -> Arrays:
    """Everything that does not change while episodes run, float32 and int32.

    Raises:
        ConfigError: a scenario the yardsticks do not cover: quantities drawn per grid, events, prosumers without a
            battery or sharing a bus, another trade mode or transfer rule, a stopped power flow.
    """
    _check(sim)
    config, params, table, links = sim.config, sim.params, sim.table, sim.links
    out: Arrays = {name: getattr(params, field).numpy()[:, 0] for name, field in FLOATS}
    out |= {
        "link": links.rating_kw, "partner": links.partner, "neighbour": links.neighbour, "used": links.used,
        "bus": sim.agent_bus, "demand_rows": table.demand_rows.numpy(), "time_rows": table.time_rows.numpy(),
        "generation_rows": table.generation_rows.numpy(), "starts": table.starts.numpy(),
        "demand_pool": table.demand_pool.numpy(), "generation_pool": table.generation_pool.numpy(),
        "group": table.profiles.groups,
        "reward_weights": params.reward_weights.numpy(), "stability_weights": params.stability_weights.numpy(),
    }  # fmt: skip
    red = reduce_feeder(sim.feeder)
    z_out = red.z_out[:, sim.agent_bus]
    complex_parts = {"w": red.w_out[sim.agent_bus], "z": z_out[sim.agent_bus], "w_out": red.w_out, "z_out": z_out}
    for name, value in complex_parts.items():
        out[f"{name}_re"], out[f"{name}_im"] = value.real, value.imag
    out["loss_weight"] = np.concatenate([red.y.real, red.z.real])
    out["per_rating"] = red.per_rating
    out["first_row"], out["second_row"] = red.loading_row
    flow, tariff = sim.community.network.power_flow, config.tariff
    out["scalars"] = np.array([
        config.step_h, config.network.voltage_band_pu, tariff.imbalance_penalty_eur_per_kwh,
        tariff.lost_load_eur_per_kwh, table.price_scale, float(params.price_level[0]),
        math.tan(math.acos(config.network.power_factor)), flow.v_floor_pu, flow.tolerance, sim.feeder.v0_pu,
        config.profiles.demand_jitter, config.profiles.generation_jitter,
    ])  # fmt: skip
    out["counts"] = np.array([
        config.episode_steps, table.length, table.demand_rows.shape[0] // _columns(sim), len(out["starts"]),
        len(out["demand_pool"]), len(out["generation_pool"]),
    ])  # fmt: skip
    return {name: _plain(value) for name, value in out.items()}


def begin(sim: Simulator, state: State) -> Arrays:
    """The state of `Simulator.reset` and what its episodes drew, feature-major [N, B] and [B]."""
    plan = sim.episodes.plan(sim.params, state.key, state.episode)
    out: dict[str, Any] = {
        "soc": state.soc_kwh, "demand": state.demand_kw, "generation": state.generation_kw,
        "import_price": state.import_eur_per_kwh, "export_price": state.export_eur_per_kwh,
        "co2": state.co2_g_per_kwh, "stability": state.stability, "voltage": state.voltage_pu, "step": state.step,
        "episode": state.episode, "row": state.row, "key": state.key, "clamped": state.clamped,
        "nonfinite": state.nonfinite,
    }  # fmt: skip
    out = {name: value.numpy().T for name, value in out.items()}
    out |= {
        "demand_column": plan.demand_column.numpy(), "generation_column": plan.generation_column.numpy(),
        "demand_factor": (sim.params.demand_scale * plan.demand_jitter).numpy(),
        "generation_factor": (sim.params.generation_scale * plan.generation_jitter).numpy(),
    }  # fmt: skip
    return {name: _plain(value).copy() for name, value in out.items()}


def _columns(sim: Simulator) -> int:
    return sim.table.profiles.demand.shape[0]


def _plain(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value, dtype=np.float32 if np.issubdtype(value.dtype, np.floating) else np.int32)


def _check(sim: Simulator) -> None:
    config, params = sim.config, sim.params
    covered = {
        "quantities drawn per grid": any(x.shape[-1] != 1 for x in params[:-2]),
        "events": bool(config.events), "a stopped power flow": not config.network.power_flow,
        "prosumers that share a bus": len(set(sim.agent_bus.tolist())) < sim.num_agents,
        "prosumers without a battery": bool((params.capacity_kwh <= 0).any()),
        "an impedance scale": config.network.impedance_scale != (1.0, 1.0),
        "charging currents of lines": len(reduce_feeder(sim.feeder).terminal_series) > 0,
        f"trade_mode {config.trade_mode}": config.trade_mode != "around_balance",
        f"transfer_rule {config.transfer_rule}": config.transfer_rule != "consent",
        "no links": sim.num_slots == 0, "a device other than the CPU": sim.device.type != "cpu",
    }  # fmt: skip
    if found := [what for what, there in covered.items() if there]:
        raise ConfigError(f"scenario {config.name!r} has {', '.join(found)}, which the yardsticks do not have")


def save(path: Path, sim: Simulator, state: State) -> None:
    """Sizes, constants and state as one .npz, for a step that runs in another interpreter."""
    parts = {"size": sizes(sim), "world": constants(sim), "state": begin(sim, state)}
    content: dict[str, Any] = {f"{part}.{name}": x for part, values in parts.items() for name, x in values.items()}
    np.savez(path, **content)
