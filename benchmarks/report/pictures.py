"""Pictures of results: throughput against the batch and beside others, cost curves, power flow against buses, cost
against stability."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.learning_plot import plot_learning
from benchmarks.report.markdown import Case
from trainer.plots import BLUE, GREEN, GREY, INK, KIND_COLOURS, ORANGE, PURPLE, SKY, STYLE, VERMILION, save_figure

Drawn = list[tuple[str, Path]]
GROWING = ("prosumers", "networks")  # dotted: what a step would take if all of them took as much


def env(cases: list[Case], stem: Path) -> Drawn:
    """Throughput against the batch beside peers and the one-grid ways; cost curves where they were measured."""
    drawn: Drawn = [("Agent-steps a second against the batch", _throughput(cases, stem.with_suffix(".png")))]
    if any(c.get("case") == "cost" for c in cases):
        path = stem.with_name(f"{stem.name}-cost.png")
        drawn.append(("Cost of a step against batch, prosumers and buses", _cost_curves(cases, path)))
    return drawn


def _throughput(cases: list[Case], path: Path) -> Path:
    """Ours against the batch, on the clock; beside it others and ours in turns on one core, by CPU time."""
    steps = [c for c in cases if c.get("case", "step") == "step"]
    peers = sorted((c for c in cases if c.get("case") == "peer"), key=lambda c: _beside(c)["ratio"])
    with rc_context(STYLE):
        figure = Figure(figsize=(11.5, 4.8), layout="constrained")
        batch, beside = figure.subplots(1, 2, width_ratios=(1.0, 1.1)) if peers else (figure.subplots(), None)
        _against_batch(batch, steps)
        if beside is not None:
            _beside_others(beside, peers)
        return save_figure(figure, path)


def _against_batch(axes: Axes, steps: list[Case]) -> None:
    for name, compiled, power_flow in dict.fromkeys((c["name"], c["compiled"], c["power_flow"]) for c in steps):
        line = sorted((c["num_grids"], c["agent_steps_per_s"]) for c in steps
                      if (c["name"], c["compiled"], c["power_flow"]) == (name, compiled, power_flow))  # fmt: skip
        ours, colour = name == "Simulator.step", GREEN if compiled else BLUE
        label = f"{name}, {'compiled' if compiled else 'eager'}" + ("" if power_flow else ", no power flow")
        style = {"linestyle": "-" if power_flow else "--", "marker": "o" if ours else "D", "markersize": 5}
        if len(line) == 1:  # a point: a dash in the legend would promise a line
            style["linestyle"] = "none"
        inside = colour if power_flow else "white"
        axes.plot(*zip(*line, strict=True), color=colour, markerfacecolor=inside, label=label, **style)
    _log(axes, "grids stepped at once", "agent-steps a second")
    axes.legend(fontsize=8)


def _beside(peer: Case) -> Case:
    """Ours as that peer is used: through the same interface, with as many grids where it has many, else with many."""
    return max(peer["ours"], key=lambda o: o["num_grids"])


def _beside_others(axes: Axes, peers: list[Case]) -> None:
    """A row for each: theirs, ours, and what lies between."""
    for row, peer in enumerate(peers):
        ours, theirs = _beside(peer), peer["agent_steps_per_cpu_s"]
        rate = ours["agent_steps_per_cpu_s"]
        axes.plot([theirs, rate], [row, row], color=GREY, linewidth=1, zorder=1)
        axes.plot(theirs, row, "s", color=ORANGE, markersize=6, label="theirs" if row == 0 else None)
        form = "D" if ours["through"] == "parallel_env" else "o"
        label = {"D": "parallel_env, one grid", "o": "Simulator.step, many grids"}[form]
        known = axes.get_legend_handles_labels()[1]
        axes.plot(rate, row, form, color=GREEN, markersize=6, label=None if label in known else label)
        ratio = ours["ratio"]
        axes.annotate(f"{ratio:.3g}×" if ratio < 1000 else f"{ratio:,.0f}×", (max(theirs, rate), row), (8, 0),
                      textcoords="offset points", va="center", fontsize=8, color=INK)  # fmt: skip
    names = [f"{p['name']} ({p['agents']} agent{'s' if p['agents'] > 1 else ''})" for p in peers]
    axes.set(xscale="log", xlabel="agent-steps a CPU-second, one core")
    axes.set_yticks(range(len(peers)), names, fontsize=8)
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 8)  # room for what is written there
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8, loc="lower left")


def _cost_curves(cases: list[Case], path: Path) -> Path:
    """Time a step against what it grows with, and where a guide says so, what it would be if it grew as that does."""
    costs = [c for c in cases if c.get("case") == "cost"]
    axes_of = {"grids": "num_grids", "prosumers": "agents", "buses": "buses", "horizon": "steps", "networks": "agents"}
    shown = [axis for axis in axes_of if any(c["axis"] == axis for c in costs)]
    columns = min(3, len(shown))
    with rc_context(STYLE):
        figure = Figure(figsize=(3.7 * columns, 3.2 * -(-len(shown) // columns)), layout="constrained")
        panels = list(figure.subplots(-(-len(shown) // columns), columns, squeeze=False).flat)
        for axes, axis in zip(panels, shown, strict=False):
            for compiled, colour in ((False, BLUE), (True, GREEN)):
                line = sorted((c[axes_of[axis]], c["us_per_env_step"]) for c in costs
                              if c["axis"] == axis and c["compiled"] == compiled)  # fmt: skip
                if not line:
                    continue
                label = "compiled" if compiled else "eager"
                axes.plot(*zip(*line, strict=True), "o-", markersize=4, color=colour, label=label)
                if axis in GROWING:
                    guide = [(x, line[-1][1] * x / line[-1][0]) for x, _ in line]
                    axes.plot(*zip(*guide, strict=True), ":", color=colour, linewidth=1)
            _log(axes, "prosumers, a network each" if axis == "networks" else axis, "µs an env-step")
            low, high = axes.get_ylim()
            if high / low < 30:  # within a decade or so few round numbers lie
                axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.legend(fontsize=8)
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        return save_figure(figure, path)


def power_flow(cases: list[Case], stem: Path) -> Drawn:
    """µs a solve against the buses, at the largest batch of each size."""
    largest = {c["buses"]: c for c in sorted(cases, key=lambda c: c["batch"]) if not c["near_limit"]}
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


NEAR = 1.4  # times the cheapest: what is shown again, larger


def _cost_and_stability(cases: list[Case], path: Path) -> Path:
    """Every seed a point: its colour tells the algorithm, its form the variant; at the right those that cost little."""
    panels = list(dict.fromkeys(c["scenario"] for c in cases))
    forms = dict(zip(dict.fromkeys(c["variant"] for c in cases), "o^vP*Xd" * len(cases), strict=False))
    with rc_context(STYLE):
        figure = Figure(figsize=(11.5, 3.9 * len(panels)), layout="constrained")
        rows = figure.subplots(len(panels), 2, squeeze=False, width_ratios=(1.0, 1.6))
        for (whole, near), scenario in zip(rows, panels, strict=True):
            group = [c for c in cases if c["scenario"] == scenario]
            rules = _baselines(group[0])
            seeds = [(run["cost_eur"], run["stability"]) for case in group for run in case["runs"]]
            least = min(cost for cost, _ in [*seeds, *((r["cost_eur"], 0) for r in rules)])
            for axes, most in ((whole, float("inf")), (near, NEAR * least)):
                _baseline_points(
                    axes, [r for r in rules if r["cost_eur"] <= most], unless_below=0 if axes is near else NEAR * least
                )
                _learners(axes, group, forms, most)
                axes.set(xlabel="cost of an episode, EUR")
                axes.margins(x=0.1, y=0.1)
            low, high = whole.get_xlim()
            whole.set_xlim(low, high + 0.2 * (high - low))  # room for names
            front = _front([*seeds, *((r["cost_eur"], r["stability"]) for r in rules)])
            near.plot(*zip(*front, strict=True), color=GREY, linewidth=1, zorder=1, drawstyle="steps-post")
            near.set_xlim(0.97 * least, NEAR * least)
            whole.set(title=scenario, ylabel="mean stability")
            near.set(title="near the cheapest; nothing is cheaper and calmer than the line")
            near.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return save_figure(figure, path)


def _learners(axes: Axes, cases: list[Case], forms: dict[str, str], most: float) -> None:
    told: set[str] = set()
    for case in cases:
        points = [(run["cost_eur"], run["stability"]) for run in case["runs"] if run["cost_eur"] <= most]
        label = f"{case['algorithm']}, {case['variant']}"
        if points:
            colour = ALGORITHM_COLOURS.get(case["algorithm"], INK)
            axes.plot(*zip(*points, strict=True), forms[case["variant"]], color=colour, alpha=0.8, markersize=6,
                      label=None if label in told else label)  # fmt: skip
            told.add(label)


def _front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that none is both cheaper and calmer than, cheapest first."""
    front: list[tuple[float, float]] = []
    for cost, stability in sorted(points):
        if not front or stability > front[-1][1]:
            front.append((cost, stability))
    return front


def _baselines(case: Case) -> list[Case]:
    """Those that saw all episodes and cost no more than the grid alone."""
    rows = [b for b in case["baselines"] if b["episodes"] == case["episodes"] and b["stability"] is not None]
    most = next((b["cost_eur"] for b in rows if b["name"] == "grid_only"), float("inf"))
    return [row for row in rows if row["cost_eur"] <= most and row["name"] != "idle"]


def _baseline_points(axes: Axes, rows: list[Case], unless_below: float) -> None:
    """Named but where they are so cheap that another picture has them larger."""
    for row in rows:
        axes.plot(row["cost_eur"], row["stability"], "s", color=KIND_COLOURS[row["kind"]], markersize=5)
        if row["cost_eur"] < unless_below:
            continue
        axes.annotate(row["name"], (row["cost_eur"], row["stability"]), xytext=(5, -10), color=INK,
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
