"""The work of a scalability job: the same kind of community at several sizes, timed step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import mean, median, pstdev
from typing import Any

import numpy as np
import torch

from smartgrid_core import GridConfig, Simulator
from smartgrid_core.controllers import Controller, make_controller
from smartgrid_core.registry import validate_config

BUSES_PER_PROSUMER = 1.5  # as suburb-40 has them
WARM_UP = 5  # steps that are not timed: first calls allocate


def community(size: int, days: float, neighbours: int) -> GridConfig:
    """A suburb of `size` prosumers in the proportions of suburb-40, on a radial feeder that grows with it."""
    shares = {"house": 0.6, "villa": 0.2, "flats": 0.125, "shop": 0.075}
    counts = {name: int(share * size) for name, share in shares.items()}
    counts["house"] += size - sum(counts.values())
    base = GridConfig.load("suburb-40").model_dump(mode="json")
    kinds = {kind["name"]: kind for kind in base["prosumers"]}
    return validate_config(
        base
        | {
            "name": f"suburb-{size}", "description": "", "episode_days": days,
            "prosumers": [kinds[name] | {"count": count} for name, count in counts.items() if count],
            "links": base["links"] | {"topology": f"nearest:{min(neighbours, size - 1)}" if size > 1 else "none"},
            "network": base["network"] | {"buses": min(max(15, round(BUSES_PER_PROSUMER * size)), 2000)},
        }
    )  # fmt: skip


def measure(work: Mapping[str, Any], tell: Callable[[float, str], None]) -> dict[str, Any]:
    """Do a `ScalabilityRequest`.

    Args:
        work: its fields.
        tell: part done and what is going on.

    Returns:
        fields of `ScalabilityResult`.
    """
    torch.set_num_threads(1)
    sizes, rows = sorted(work["sizes"]), []
    effort = np.cumsum([0.0, *(size + 20.0 for size in sizes)])  # a step costs something however small the community is
    first = community(sizes[0], min(work["days"], 0.25), work["neighbours"])
    _row(first, make_controller(work["policy"]), [work["seed"]], lambda step: None)  # the first of a process is slow
    for number, size in enumerate(sizes):
        config = community(size, work["days"], work["neighbours"])
        total = config.episode_steps * work["episodes"]

        def advance(step: int, n: int = number, of: int = total, s: int = size) -> None:
            tell((effort[n] + (effort[n + 1] - effort[n]) * step / of) / effort[-1], f"{s} prosumers")

        advance(0)
        seeds = [work["seed"] + episode for episode in range(work["episodes"])]
        rows.append(_row(config, make_controller(work["policy"]), seeds, advance))
    return {
        "policy": work["policy"], "days": work["days"], "episodes": work["episodes"],
        "steps": community(1, work["days"], 1).episode_steps, "threads": torch.get_num_threads(), "rows": rows,
    }  # fmt: skip


def _row(
    config: GridConfig, controller: Controller, seeds: list[int], advance: Callable[[int], None]
) -> dict[str, Any]:
    """Fields of `SizeRow`."""
    began = time.perf_counter()
    sim = Simulator(config, 1, split="test")
    build_s = time.perf_counter() - began
    step_s: list[float] = []
    decision_s: list[float] = []
    with torch.no_grad():  # the first step of a process makes what later ones use: no episode's time
        state, obs = sim.reset(seed=[seeds[0]])
        controller.start(sim, state)
        sim.step(state, controller.act(state, obs))
    episodes = [
        _episode(sim, controller, seed, step_s, decision_s, lambda done, n=n: advance(n * config.episode_steps + done))
        for n, seed in enumerate(seeds)
    ]
    timed = step_s[WARM_UP:] or step_s
    rewards = [episode["reward"] for episode in episodes]
    return {
        "num_agents": sim.num_agents, "buses": len(sim.feeder.bus_names), "links": len(sim.links.pairs),
        "build_s": build_s, "step_ms": 1e3 * median(timed), "step_p95_ms": 1e3 * float(np.percentile(timed, 95)),
        "decision_ms": 1e3 * median(decision_s[WARM_UP:] or decision_s),
        "agent_steps_per_s": sim.num_agents / median(timed),
        "reward_std": pstdev(rewards) if len(rewards) > 1 else None,
        **{key: mean(episode[key] for episode in episodes) for key in episodes[0]},
    }  # fmt: skip


def _episode(
    sim: Simulator,
    controller: Controller,
    seed: int,
    step_s: list[float],
    decision_s: list[float],
    advance: Callable[[int], None],
) -> dict[str, float]:
    """Run one; times are appended to the lists."""
    reward = cost = stability = converged = 0.0
    began = time.perf_counter()
    with torch.no_grad():
        state, obs = sim.reset(seed=[seed])
        controller.start(sim, state)
        for step in range(sim.config.episode_steps):
            start = time.perf_counter()
            action = controller.act(state, obs)
            middle = time.perf_counter()
            state, out = sim.step(state, action)
            obs = out.obs
            step_s.append(time.perf_counter() - middle)
            decision_s.append(middle - start)
            reward += float(out.reward.mean())
            cost += float(out.cost_eur.mean())
            stability += float(out.stability)
            converged += float(out.network.converged)
            advance(step + 1)
    steps = sim.config.episode_steps
    return {
        "episode_s": time.perf_counter() - began, "reward": reward / steps, "cost_eur": cost,
        "stability": stability / steps, "converged": converged / steps,
    }  # fmt: skip
