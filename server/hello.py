"""The hello message: what does not change while a community runs, laid out for drawing."""

from __future__ import annotations

from typing import Any

import numpy as np

from server import __version__
from server.frames import COLUMNS
from server.requests import COMMANDS, PERTURBATIONS
from server.settings import Settings
from server.wire import (
    SCHEMA,
    STATUSES,
    BinaryLayout,
    Hello,
    HelloAgent,
    HelloBranches,
    HelloBuses,
    HelloFeeder,
    HelloLink,
    HelloPolicy,
    HelloScenario,
    Limits,
    RunInfo,
)
from smartgrid_core import Simulator
from smartgrid_core.config import middle
from smartgrid_core.render import agent_places, bus_places, feeding_bus


def limits(settings: Settings) -> Limits:
    """What this server allows its viewers."""
    return Limits(
        max_viewers=settings.max_viewers, max_message_bytes=settings.max_message_bytes, frame_hz=settings.frame_hz,
        heartbeat_s=settings.heartbeat_s, speed_min=0.1, speed_max=100.0,
    )  # fmt: skip


def hello(
    settings: Settings, sim: Simulator | None = None, run: RunInfo | None = None, policy: HelloPolicy | None = None
) -> dict[str, Any]:
    """The message as plain values; without a simulator, that nothing ran yet."""
    known: dict[str, Any] = {"scenario": None, "agents": [], "links": [], "feeder": None, "binary": None}
    if sim is not None:
        config = sim.config
        known = {
            "scenario": HelloScenario(
                name=config.name, description=config.description, step_minutes=config.step_minutes,
                episode_steps=config.episode_steps, source=config.profiles.source,
            ),
            "agents": _agents(sim),
            "links": [
                HelloLink(source=f"agent_{i}", target=f"agent_{j}", rating_kw=config.links.rating_kw)
                for i, j in sim.links.pairs.tolist()
            ],
            "feeder": _feeder(sim),
            "binary": BinaryLayout(
                agents=[*COLUMNS, "status"], statuses=list(STATUSES), links=len(sim.links.pairs),
                branches=sim.feeder.num_branches, buses=sim.feeder.num_buses,
            ),
        }  # fmt: skip
    message = Hello(
        type="hello", schema_version=SCHEMA, server_version=__version__, run=run, policy=policy,
        num_agents=len(known["agents"]), commands=list(COMMANDS), perturbations=list(PERTURBATIONS),
        limits=limits(settings), **known,
    )  # fmt: skip
    return message.model_dump()


def _agents(sim: Simulator) -> list[HelloAgent]:
    places = _for_screens(agent_places(feeding_bus(sim.feeder), sim.agent_bus))
    p, source = sim.params, sim.config.profiles.source
    of_middle = _relative_solar(sim)
    capacity, charge, trade = (x[:, 0].tolist() for x in (p.capacity_kwh, p.charge_kw, p.trade_kw))
    agents = []
    for i, agent in enumerate(sim.config.agents):
        kwp = 0.0 if source == "synthetic" else None  # of a CSV, data decide
        if agent.solar and source != "csv":
            kwp = round(middle(agent.solar.capacity_kwp) * of_middle[i], 4)
        agents.append(
            HelloAgent(
                id=f"agent_{i}",
                name=agent.name,
                archetype=agent.archetype,
                bus=int(sim.agent_bus[i]),
                x=places[i, 0],
                y=places[i, 1],
                capacity_kwh=round(capacity[i], 4),
                battery_kw=round(charge[i], 4),
                pv_kwp=kwp,
                trade_kw=round(trade[i], 4),
            )
        )
    return agents


def _relative_solar(sim: Simulator) -> list[float]:
    """What the run's seed drew of every prosumer's solar, as a multiple of the middle of its range."""
    drawn, middles = sim.params.generation_scale[:, 0].tolist(), sim.table.profiles.generation_scale.tolist()
    return [a / b if b else 1.0 for a, b in zip(drawn, middles, strict=True)]


def _feeder(sim: Simulator) -> HelloFeeder:
    feeder, network = sim.feeder, sim.config.network
    places = _for_screens(bus_places(feeding_bus(feeder)))
    return HelloFeeder(
        name=feeder.name, slack=int(feeder.slack),
        transformer=feeder.kind.index("transformer") if "transformer" in feeder.kind else None,
        voltage_band_pu=(1 - network.voltage_band_pu, 1 + network.voltage_band_pu), power_flow=network.power_flow,
        buses=HelloBuses(
            name=list(feeder.bus_names), x=places[:, 0].tolist(), y=places[:, 1].tolist(), vn_kv=feeder.vn_kv.tolist()
        ),
        branches=HelloBranches.model_validate(
            {
                "name": list(feeder.branch_names), "source": feeder.from_bus.tolist(),
                "target": feeder.to_bus.tolist(), "kind": list(feeder.kind),
                "rating_kva": [x if np.isfinite(x) else None for x in feeder.rating_to_kva.tolist()],
            }
        ),
    )  # fmt: skip


def _for_screens(places: np.ndarray) -> np.ndarray:
    """The core's y points up, a screen's down."""
    flipped = np.stack([places[:, 0], 1 - places[:, 1]], axis=1)
    return flipped.clip(0, 1).round(5)
