"""Sections on speed: environment stepping, power flow, training, serving, the page."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.report.markdown import Case, at_median, fixed, number, spread, table, times, yes


def env(cases: list[Case]) -> list[str]:
    """Environment stepping: the simulator, its peers, the machine's limits, what a step costs at other sizes."""
    steps = [c for c in cases if c.get("case", "step") == "step"]
    columns = ("what", "grids", "power flow", "compiled", "µs a call", "agent-steps/s", "to parallel_env")
    lines = table(columns, (
        (c["name"], f"{c['num_grids']:,}", yes(c["power_flow"]), yes(c["compiled"]),
         spread(c["us_per_call"], c["us_low"], c["us_high"]), number(c["agent_steps_per_s"]),
         times(c["ratio_to_parallel_env"]))
        for c in steps
    ))  # fmt: skip
    return lines + _peers(cases) + _limits(cases) + _costs(cases)


def _peers(cases: list[Case]) -> list[str]:
    peers = [c for c in cases if c.get("case") == "peer"]
    if not peers:
        return []
    lines = ["### Beside other environments", ""]
    lines += [
        "Each in a process of its own, one thread, by CPU time, in turns within the same run. *Ours* is",
        "`Simulator.step` of a community with as many prosumers, everything included, compiled, on one and on a batch;",
        "beside environments written for PettingZoo it is `parallel_env`, compiled, power flow and all infos included.",
        "",
    ]
    columns = ("environment", "agents", "at once", "agent-steps/CPU-s", "ours, at once", "agent-steps/CPU-s",
               "ours / theirs")  # fmt: skip
    lines += table(columns, (
        (_named(c), f"{c['agents']:,}", f"{c['num_grids']:,}",
         spread(c["agent_steps_per_cpu_s"], c["agent_steps_per_cpu_s_low"], c["agent_steps_per_cpu_s_high"]),
         f"{o['num_grids']:,}{_through(o)}", number(o["agent_steps_per_cpu_s"]), times(o["ratio"]))
        for c in peers for o in c["ours"]
    ))  # fmt: skip
    return [*lines, "What each models in a step:", "", *(f"- **{c['name']}**: {c['models']}" for c in peers), ""]


def _through(ours: Case) -> str:
    through = ours.get("through", "Simulator.step")
    return "" if through == "Simulator.step" else f", {through}"


def _named(case: Case) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in case["versions"].items())
    return f"{case['name']} ({versions})" if versions else case["name"]


def _limits(cases: list[Case]) -> list[str]:
    limits = next((c for c in cases if c.get("case") == "limits"), None)
    if limits is None:
        return []
    lines = ["### Limits of the machine", ""]
    lines += [
        f"On {limits['threads']} of torch's threads it copies {number(limits['copy_gb_per_s'])} GB/s, both ways, "
        f"and multiplies matrices at {number(limits['gemm_gflop_per_s'])} GFLOP/s in float32. A step of one community "
        f"must read {limits['bytes_read']:,} bytes and write {limits['bytes_written']:,}, and does "
        f"{limits['flop_per_env_step']:,} operations in its eager form.",
        "",
    ]
    columns = ("what", "grids", "ns an env-step", "GB/s", "of copying", "GFLOP/s", "of multiplying")
    return lines + table(columns, (
        (r["name"], f"{r['num_grids']:,}", number(r["ns_per_env_step"]), number(r["gb_per_s"]),
         f"{r['fraction']:.0%}", number(r["gflop_per_s"]), f"{r['fraction_of_gemm']:.0%}")
        for r in limits["achieved"]
    ))  # fmt: skip


def _costs(cases: list[Case]) -> list[str]:
    costs = [c for c in cases if c.get("case") == "cost"]
    if not costs:
        return []
    columns = ("against", "prosumers", "buses", "grids", "horizon", "compiled", "µs an env-step", "ns an agent-step",
               "KiB a grid, estimated", "measured")  # fmt: skip
    return ["### What a step costs at other sizes", "", *table(columns, (
        (c["axis"], f"{c['agents']:,}", f"{c['buses']:,}" if c["buses"] else "–", f"{c['num_grids']:,}",
         str(c.get("steps", "–")), yes(c["compiled"]), spread(c["us_per_env_step"], c["us_low"], c["us_high"]),
         number(c["us_per_env_step"] / c["agents"] * 1e3),
         *(number(c[key] / 1024) if c.get(key) else "–" for key in ("bytes_per_grid", "measured_bytes_per_grid")))
        for c in costs
    ))]  # fmt: skip


def power_flow(cases: list[Case]) -> list[str]:
    """AC power flow: µs a solve."""
    columns = ("buses", "loadings", "transformer", "ours, eager µs", "ours, compiled µs", "power-grid-model µs",
               "its method", "lightsim2grid µs", "pandapower µs", "eager", "compiled")  # fmt: skip

    def taken(case: Case, name: str) -> str:
        us = case[f"{name}_us"]
        return "–" if us is None else spread(us, *case["spread_us"][name])

    lines = table(columns, (
        (str(c["buses"]), f"{c['batch']:,}", f"{100 * c['transformer_loading']:.0f} %", taken(c, "eager"),
         taken(c, "compiled"), taken(c, "power_grid_model"), c["power_grid_model_method"].replace("_", " "),
         taken(c, "lightsim2grid"), taken(c, "pandapower"), times(c["speedup"]["eager"]),
         times(c["speedup"]["compiled"]))
        for c in cases
    ))  # fmt: skip
    peers = dict.fromkeys(name for c in cases for name in c["differences_pu"])
    kinds = {near: [c for c in cases if c["near_limit"] == near] for near in (False, True)}

    def furthest(of: list[Case], peer: str) -> str:
        found = [c["differences_pu"][peer] for c in of if peer in c["differences_pu"]]
        return f"{max(found):.1e}" if found else "–"

    lines += ["Voltages, the largest difference between a peer's and ours (four iterations in 32 bits), p.u.:", ""]
    lines += table(("transformer", "lowest voltage", *peers), (
        (f"{100 * of[0]['transformer_loading']:.0f} %" if near else "usual",
         f"{min(c['voltage_least_pu'] for c in of):.3f}", *(furthest(of, peer) for peer in peers))
        for near, of in kinds.items() if of
    ))  # fmt: skip
    version = next((c["lightsim2grid_version"] for c in cases if c["lightsim2grid_version"]), None)
    if version is not None:
        lines += [
            f"lightsim2grid {version} in its own environment; it puts a transformer's no-load branch elsewhere, which "
            "is the difference of its voltages.",
            "",
        ]
    return lines


def train(cases: list[Case]) -> list[str]:
    """Training speed with updates, what of it is multiplying, how long it takes to begin, and to a score."""
    beside, cases = [c for c in cases if "case" in c], [c for c in cases if "case" not in c]
    peers = [c["name"] for c in cases if c["peer"]]
    columns = ("what", "env-steps/s", "env-steps/CPU-s", "agent-steps/CPU-s", *(f"to {p}" for p in peers))
    lines = table(columns, (
        (c["name"], number(c["env_steps_per_s"]),
         spread(c["env_steps_per_cpu_s"], c["env_steps_per_cpu_s_low"], c["env_steps_per_cpu_s_high"]),
         number(c["agent_steps_per_cpu_s"]), *(times(c["ratio_to_peers"].get(p)) for p in peers))
        for c in cases
    ))  # fmt: skip
    lines += [line for c in beside for line in (_beside_training(c), "")]
    scored = [c for c in cases if "to_score" in c]
    if not scored:
        return lines
    target = scored[0]["to_score"]["target"]
    rules = ", ".join(f"{name} {fixed(score)}" for name, score in scored[0]["to_score"]["baselines"].items())
    lines += [
        "### To a score",
        "",
        f"Scores on validation episodes, on which rules have {rules}; one seed a stack. What is equal are grids "
        "(RLlib, which steps PettingZoo environments one at a time, has one, or copies of it), horizon, epochs, "
        "minibatches, networks, step sizes, the compiled step and the shaped rewards (`shaped_reward=True`). The rest "
        "is every stack's own affair: ours takes the units of its inputs from data and credits linked neighbours; the "
        "CleanRL-style loop keeps running scales of rewards and observations; the libraries are as they come. At the "
        "end is the median of the last points of the time.",
        "",
    ]
    columns = ("what", f"CPU-s to {target:g}", "env-steps to it", "where not: at the end", "at best", "after CPU-s")
    return lines + table(columns, (_to_score(c["name"], c["to_score"]) for c in scored))


def _to_score(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    if found["reached_cpu_s"] is None:
        ends = [fixed(found[key]) for key in ("last", "best")]
        return name, "not reached", "", *ends, number(found["curve"][-1]["cpu_s"])
    return name, number(found["reached_cpu_s"]), f"{found['reached_steps']:,}", "", "", ""


def _beside_training(c: Case) -> str:
    if c["case"] == "update":
        return (
            f"The {c['name']}: {number(c['flop'] / 1e9)} GFLOP of matrix products, {number(c['gflop_per_s'])} GFLOP/s "
            f"over its whole time where products of large matrices alone reach {number(c['gemm_gflop_per_s'])}, "
            f"{c['fraction']:.0%} ({c['fraction_low']:.0%}–{c['fraction_high']:.0%})."
        )
    low, high = fixed(c["seconds_low"], 2), fixed(c["seconds_high"], 2)
    return f"`{c['name']}`: {fixed(c['seconds'], 2)} s ({low}–{high})."


def serve(cases: list[Case]) -> list[str]:
    """What a viewer costs the server."""
    columns = ("server", "scenario", "viewers", "bytes a message", "CPU µs a message", "of a core with no viewer",
               "latency p99 ms", "worst gap s", "least of all frames got", "ack p99 ms", "REST p99 ms")  # fmt: skip
    lines = table(columns, (
        (c["name"], c["scenario"], f"{c['viewers']:,}", number(c["windows"][-1]["bytes_per_message"], 4),
         spread(c["cpu_us_per_message"], c["cpu_us_low"], c["cpu_us_high"]),
         f"{c['idle_cpu_share']:.1%}" if "idle_cpu_share" in c else "–", spread(c["latency_p99_ms"], *_p99s(c)),
         fixed(c["worst_gap_s"], 2), f"{c['least_share']:.1%}",
         *(number(c["asked"][key]["p99"]) if "asked" in c else "–" for key in ("ack_ms", "rest_ms")))
        for c in cases if c["case"] == "broadcast"
    ))  # fmt: skip
    lines += ["CPU time is that of the whole process: simulation, recording and serialisation too, which take the "
              "share of a core told with no viewer at all. Latencies are the median of several windows, and the range "
              "of them.", ""]  # fmt: skip
    for c in cases:
        if c["case"] == "deaf":
            lines += [f"With {c['deaf']} viewers that never read beside {c['viewers']} that do ({c['scenario']}), "
                      f"{c['cut_off']:.0f} are cut off after {c['dropped_frames']:,.0f} dropped frames; the worst gap "
                      f"the others see is {fixed(c['worst_gap_s'], 2)} s; memory {_mib(c['memory_mib'])} MiB before, "
                      "during, after.", ""]  # fmt: skip
        if c["case"] == "soak":
            kept = c["memory_every_30_s_mib"]
            lines += [f"{c['viewers']:,} viewers for {c['minutes']:g} minutes: memory {_mib([kept[0], kept[-1]])} MiB "
                      f"at the beginning and the end, {max(kept):.0f} at most; latency p99 "
                      f"{c['latency_ms']['p99']:.0f} ms.", ""]  # fmt: skip
    return lines


def _p99s(case: Case) -> tuple[float, float]:
    """The lowest and highest of the windows."""
    values = [w["latency_ms"]["p99"] for w in case["windows"] if w["latency_ms"]]
    return min(values), max(values)


def viewer(cases: list[Case]) -> list[str]:
    """What the page costs a browser."""
    columns = ("prosumers", "frames/s", "aim", "95 % of frames ms", "script ms a frame", "layout", "all tasks",
               "steps/s", "ready s")  # fmt: skip
    lines = table(columns, (
        (f"{c['agents']:,}", fixed(c["fps"], 1), number(c["aims"]["fps"]), fixed(c["p95_frame_ms"], 1),
         *(fixed(c[f"{kind}_ms_per_frame"], 2) for kind in ("script", "layout", "task")), fixed(c["steps_per_s"], 1),
         fixed(statistics.median(c["ready_s"]), 2))
        for c in map(at_median, cases) if c["case"] == "frames"
    ))  # fmt: skip
    for c in cases:
        if c["case"] == "memory":
            lines += [f"Heap over {c['minutes']:g} minutes live, histories full: {c['heap_full_mib']:.1f} MiB, "
                      f"{c['growth_mib_per_10_min']:+.2f} MiB in ten minutes.", ""]  # fmt: skip
    return lines


def _mib(values: list[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in values)
