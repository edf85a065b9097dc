"""Frames as a live run makes them, without the run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from server.sinks import LiveFrame

START = datetime(2026, 1, 1, tzinfo=UTC)


def frame(step: int, agents: int = 2, wall: datetime | None = None, **changes: Any) -> LiveFrame:
    """Step `step` of a community in which everything can be told from the step.

    Args:
        wall: time stamp; None: a tenth of a second after the one before.
        changes: "islanded", "overloads", "violations", "converged", "perturbations", "name".
    """
    moment = wall or START + timedelta(seconds=step / 10)
    metrics = {"total_demand_kw": 1.0 * step, "max_loading": 0.5, "min_voltage_pu": 0.9, "max_voltage_pu": 1.0}
    metrics |= {key: changes.get(key, default) for key, default in _CALM.items()}
    return LiveFrame(
        {
            "type": "frame", "seq": step, "timestamp": moment.isoformat(timespec="milliseconds"),
            "sim_time": (datetime(2016, 6, 1) + timedelta(minutes=15 * step)).isoformat(), "step": step,
            "stability": 0.9, "islanded": changes.get("islanded", False),
            "agents": [
                {"id": f"agent_{k}", "name": changes.get("name", f"home {k}"), "status": "balanced"}
                | {"soc_kwh": 1.5 * step}
                for k in range(agents)
            ],
            "energy_flows": [{"source": "agent_0", "target": "grid", "power_kw": 0.25}],
            "metrics": metrics, "perturbations": changes.get("perturbations", []),
        },
        created=0.0,
        make_binary=bytes,
    )  # fmt: skip


_CALM = {"overloads": 0, "violations": 0, "converged": True}
