"""Pictures of results: throughput against the batch, cost curves, power flow against buses, cost against stability."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.learning_plot import plot_learning
from benchmarks.report.markdown import Case
from trainer.plots import BLUE, GREEN, GREY, INK, KIND_COLOURS, ORANGE, PURPLE, SKY, STYLE, VERMILION, save_figure

Drawn = list[tuple[str, Path]]
ONE_GRID = {"parallel_env.step": ("D", VERMILION)}  # marker and colour
PEER_COLOURS = (VERMILION, PURPLE, ORANGE, SKY, BLUE, GREY)


def env(cases: list[Case], stem: Path) -> Drawn:
    """Throughput against the batch beside peers and the one-grid ways; cost curves where they were measured."""
    drawn: Drawn = [("Agent-steps a second against the batch", _throughput(cases, stem.with_suffix(".png")))]
    if any(c.get("case") == "cost" for c in cases):
        path = stem.with_name(f"{stem.name}-cost.png")
        drawn.append(("Cost of a step against batch, prosumers and buses", _cost_curves(cases, path)))
    return drawn


def _throughput(cases: list[Case], path: Path) -> Path:
    steps = [c for c in cases if c.get("case", "step") == "step"]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.5, 4.8), layout="constrained")
        axes = figure.subplots()
        kinds = dict.fromkeys((c["name"], c["compiled"], c["power_flow"]) for c in steps)
        for name, compiled, power_flow in kinds:
            line = sorted((c["num_grids"], c["agent_steps_per_s"]) for c in steps
                          if (c["name"], c["compiled"], c["power_flow"]) == (name, compiled, power_flow))  # fmt: skip
            ours = name == "Simulator.step"
            marker, colour = ("o", GREEN if compiled else BLUE) if ours else ONE_GRID.get(name, ("^", GREY))
            label = f"{name}, {'compiled' if compiled else 'eager'}" if ours else name
            label += "" if power_flow else ", no power flow"
            style = {"linestyle": "-" if power_flow else "--", "marker": marker, "markersize": 5 if power_flow else 6}
            if len(line) == 1:  # a point: a dash in the legend would promise a line
                style["linestyle"] = "none"
            inside = colour if power_flow else "white"
            axes.plot(*zip(*line, strict=True), color=colour, markerfacecolor=inside, label=label, **style)
        peers = [c for c in cases if c.get("case") == "peer"]
        for peer, colour, marker in zip(peers, PEER_COLOURS * 3, "s^vP*Xdph<>" * 3, strict=False):
            place = [peer["num_grids"]], [peer["agent_steps_per_cpu_s"]]
            label = f"{peer['name']} (per CPU-s; agents: {peer['agents']})"
            axes.plot(*place, marker, markersize=7, color=colour, label=label)
        _log(axes, "grids stepped at once", "agent-steps a second")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
        return save_figure(figure, path)


def _cost_curves(cases: list[Case], path: Path) -> Path:
    costs = [c for c in cases if c.get("case") == "cost"]
    axes_of = {"grids": "num_grids", "prosumers": "agents", "buses": "buses", "horizon": "steps", "networks": "agents"}
    shown = [axis for axis in axes_of if any(c["axis"] == axis for c in costs)]
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6 * len(shown), 3.4), layout="constrained")
        for axes, axis in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            for compiled, colour in ((False, BLUE), (True, GREEN)):
                line = sorted((c[axes_of[axis]], c["us_per_env_step"]) for c in costs
                              if c["axis"] == axis and c["compiled"] == compiled)  # fmt: skip
                if line:
                    label = "compiled" if compiled else "eager"
                    axes.plot(*zip(*line, strict=True), "o-", markersize=4, color=colour, label=label)
            _log(axes, "prosumers, a network each" if axis == "networks" else axis, "µs an env-step")
            axes.legend(fontsize=8)
        return save_figure(figure, path)


def power_flow(cases: list[Case], stem: Path) -> Drawn:
    """µs a solve against the buses, at the largest batch of each size."""
    largest = {c["buses"]: c for c in sorted(cases, key=lambda c: c["batch"])}
    lines = (("pandapower_us", "pandapower, one at a time", GREY), ("power_grid_model_us", "power-grid-model", ORANGE),
             ("lightsim2grid_us", "lightsim2grid", PURPLE),
             ("eager_us", "PowerFlow, eager", BLUE), ("compiled_us", "PowerFlow(compile=True)", GREEN))  # fmt: skip
    with rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.2), layout="constrained")
        axes = figure.subplots()
        for field, label, colour in lines:
            if points := [(buses, c[field]) for buses, c in sorted(largest.items()) if c.get(field) is not None]:
                axes.plot(*zip(*points, strict=True), "o-", markersize=4, color=colour, label=label)
        _log(axes, "buses", "µs a solve, largest batch")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
        return [("Microseconds a solve against buses", save_figure(figure, stem.with_suffix(".png")))]


def train(cases: list[Case], stem: Path) -> Drawn:
    """How every stack's score rises with the CPU time it trains, where that was measured."""
    scored = [c for c in cases if c.get("to_score")]
    if not scored:
        return []
    with rc_context(STYLE):
        figure = Figure(figsize=(8.5, 4.2), layout="constrained")
        axes = figure.subplots()
        for case, colour in zip(scored, (GREEN, BLUE, SKY, ORANGE, VERMILION, PURPLE, INK, GREY) * 2, strict=False):
            points = [(point["cpu_s"], point["score"]) for point in case["to_score"]["curve"]]
            line = "o-" if case["name"].startswith("own loop") else "s--"
            axes.plot(*zip(*points, strict=True), line, markersize=3, color=colour, label=case["name"])
        axes.axhline(scored[0]["to_score"]["target"], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlabel="CPU-seconds of training", ylabel="score on validation weeks")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
        return [("Score against the CPU time of training", save_figure(figure, stem.with_suffix(".png")))]


def learning(cases: list[Case], stem: Path) -> Drawn:
    """Scores of every seed beside the baselines; cost against stability."""
    scores = plot_learning(cases, stem.with_suffix(".png"))
    pareto = _cost_and_stability(cases, stem.with_name(f"{stem.name}-pareto.png"))
    return [("Scores of every seed beside the baselines", scores), ("Cost against stability", pareto)]


ALGORITHM_COLOURS = {"shac": GREEN, "ippo": BLUE, "mappo": PURPLE, "qmix": VERMILION}


def _cost_and_stability(cases: list[Case], path: Path) -> Path:
    """Every seed a point: its colour tells the algorithm, its form the variant."""
    panels = list(dict.fromkeys(c["scenario"] for c in cases))
    forms = dict(zip(dict.fromkeys(c["variant"] for c in cases), "o^vP*Xd" * len(cases), strict=False))
    with rc_context(STYLE):
        figure = Figure(figsize=(9.0, 4.0 * len(panels)), layout="constrained")
        for axes, scenario in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
            group = [c for c in cases if c["scenario"] == scenario]
            _baseline_points(axes, group[0])
            for case in group:
                points = [(run["cost_eur"], run["stability"]) for run in case["runs"]]
                colour = ALGORITHM_COLOURS.get(case["algorithm"], INK)
                axes.plot(*zip(*points, strict=True), forms[case["variant"]], color=colour, alpha=0.8, markersize=6,
                          label=f"{case['algorithm']}, {case['variant']}")  # fmt: skip
            axes.set(title=scenario, xlabel="cost of an episode, EUR", ylabel="mean stability")
            axes.margins(x=0.12)
            axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return save_figure(figure, path)


def _baseline_points(axes: Axes, case: Case) -> None:
    """Baselines that saw all episodes and cost no more than the grid alone."""
    rows = [b for b in case["baselines"] if b["episodes"] == case["episodes"] and b["stability"] is not None]
    most = next((b["cost_eur"] for b in rows if b["name"] == "grid_only"), float("inf"))
    for row in rows:
        if row["cost_eur"] <= most and row["name"] != "idle":
            axes.plot(row["cost_eur"], row["stability"], "s", color=KIND_COLOURS[row["kind"]], markersize=5)
            axes.annotate(row["name"], (row["cost_eur"], row["stability"]), xytext=(5, 3), color=INK,
                          textcoords="offset points", fontsize=8)  # fmt: skip


def _log(axes: Axes, x: str, y: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    plain = FuncFormatter(_plain)
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plain(value: float, _: object = None) -> str:
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g} {unit}"
    return f"{value:g}"
