"""One community at one moment, as a table of text and as a picture of its feeder."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from smartgrid_core.extras import require
from smartgrid_core.power_flow import Feeder
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import State, StepResult

IDLE_KW = 0.01  # powers below count as none


class Snapshot(NamedTuple):
    """What a viewer sees of one grid, on the host."""

    scenario: str
    time: np.datetime64  # start of the step shown, local standard time
    step: int  # steps taken in this episode
    episode_steps: int
    names: tuple[str, ...]  # N
    status: tuple[str, ...]  # N, see `agent_status`
    soc: np.ndarray  # [N] fraction of capacity
    capacity_kwh: np.ndarray  # [N] kWh, 0 without a battery
    demand_kw: np.ndarray  # [N] kW
    generation_kw: np.ndarray  # [N] kW
    battery_kw: np.ndarray  # [N] kW, positive charges
    trade_kw: np.ndarray  # [N] kW, positive buys
    voltage_pu: np.ndarray  # [N] p.u.
    pairs: np.ndarray  # [L, 2] int, agents at the ends of each link
    link_kw: np.ndarray  # [L] kW, positive from pairs[:, 0] to pairs[:, 1]
    loading: np.ndarray  # [M] fraction of rating
    parent: np.ndarray  # [n] int, the bus that feeds each bus, −1 at the slack
    parent_branch: np.ndarray  # [n] int, the branch that feeds each bus, −1 at the slack
    agent_bus: np.ndarray  # [N] int
    stability: float
    stability_parts: dict[str, float]
    import_eur_per_kwh: float
    export_eur_per_kwh: float
    islanded: bool


def agent_status(trade_kw: float, battery_kw: float, unserved_kw: float, islanded: bool, energised: bool = True) -> str:
    """One word for what a prosumer does; powers below 10 W count as none."""
    if unserved_kw > IDLE_KW:
        return "unserved"
    if islanded or not energised:
        return "islanded"
    for power, positive, negative in (
        (trade_kw, "importing", "exporting"),
        (battery_kw, "charging", "discharging"),
    ):
        if abs(power) > IDLE_KW:
            return positive if power > 0 else negative
    return "balanced"


def snapshot(simulator: Simulator, state: State, result: StepResult | None = None, grid: int = 0) -> Snapshot:
    """The community `grid` after a step, or (without a result) before the first.

    Args:
        state: the state the step returned; result: its result.
        grid: number of the community within the batch.
    """
    config, feeder, table = simulator.config, simulator.feeder, simulator.table
    n, count = config.num_agents, len(simulator.links.pairs)
    nothing = np.zeros(n)
    capacity = _agents(simulator.params.capacity_kwh.T, grid)
    taken, row = int(state.step[grid]), int(state.row[grid])
    if result is None:
        demand, generation, soc = (_agents(x, grid) for x in (state.demand_kw, state.generation_kw, state.soc_kwh))
        battery = trade = unserved = nothing
        flows, loading = np.zeros(count), np.zeros(len(feeder.branch_names))
        parts: dict[str, float] = {}
        seen = state
    else:
        ledger = {name: _agents(x, grid) for name, x in result.ledger._asdict().items()}
        demand, generation, unserved = ledger["demand_kw"], ledger["generation_kw"], ledger["unserved_kw"]
        battery = ledger["charge_kw"] - ledger["discharge_kw"]
        trade = ledger["bought_kw"] - ledger["sold_kw"]
        soc = _agents(result.soc_kwh, grid)
        flows, loading = _link_flows(simulator, result, grid), _agents(result.network.loading, grid)
        parts = {name: float(x[grid]) for name, x in result.stability_parts._asdict().items()}
        seen, row = result, row - 1
    islanded, energised = bool(seen.islanded[grid]), _agents(seen.energised, grid)
    return Snapshot(
        scenario=config.name, time=table.profiles.start + row * np.timedelta64(config.step_minutes, "m"),
        step=taken, episode_steps=config.episode_steps, names=tuple(simulator.agent_names),
        status=tuple(
            agent_status(*values, islanded=islanded, energised=bool(on))
            for *values, on in zip(trade, battery, unserved, energised, strict=True)
        ),
        soc=np.where(capacity > 0, soc / np.maximum(capacity, 1e-6), 0.0), capacity_kwh=capacity,
        demand_kw=demand, generation_kw=generation, battery_kw=battery, trade_kw=trade,
        voltage_pu=_agents(state.voltage_pu, grid), pairs=simulator.links.pairs, link_kw=flows,
        loading=loading, parent=feeding_bus(feeder), parent_branch=np.asarray(feeder.parent_branch),
        agent_bus=simulator.agent_bus,
        stability=float(state.stability[grid]), stability_parts=parts,
        import_eur_per_kwh=float(seen.import_eur_per_kwh[grid]),
        export_eur_per_kwh=float(seen.export_eur_per_kwh[grid]), islanded=islanded,
    )  # fmt: skip


def _agents(x, grid: int) -> np.ndarray:
    """Row `grid` of a [B|1, …] tensor on the host; parameters alike in all grids have one row."""
    return x[min(grid, x.shape[0] - 1)].detach().cpu().numpy()


def _link_flows(simulator: Simulator, result: StepResult, grid: int) -> np.ndarray:
    """Transfer over every link, [L] kW, positive from its first to its second agent."""
    links, flow = simulator.links, _agents(result.transfers_kw, grid)
    slot = {(i, int(links.neighbour[k, i])): k for k, i in zip(*np.nonzero(links.used), strict=True)}
    return np.array([flow[j, slot[j, i]] for i, j in links.pairs.tolist()])


def as_text(s: Snapshot) -> str:
    """A table: who has how much, does what, and how the grid is; plain text without escape codes."""
    bar = "█" * round(10 * s.stability)
    parts = "  ".join(f"{name} {value:.2f}" for name, value in s.stability_parts.items())
    when = str(s.time).replace("T", " ")
    lines = [
        f"{s.scenario}  {when}  step {s.step} of {s.episode_steps}{'  ISLANDED' if s.islanded else ''}",
        f"stability {bar:·<10} {s.stability:.2f}  {parts}".rstrip(),
        f"price     import {s.import_eur_per_kwh:.3f}  export {s.export_eur_per_kwh:.3f} EUR/kWh",
        "",
        f"{'agent':<9} {'name':<12} {'SoC':<15} {'demand':>7} {'solar':>7} {'battery':>8} {'links':>7} "
        f"{'trade':>7} {'voltage':>8}  status",
    ]
    received = np.zeros(len(s.names))
    np.add.at(received, s.pairs[:, 1], s.link_kw)
    np.add.at(received, s.pairs[:, 0], -s.link_kw)
    for i, name in enumerate(s.names):
        full = "█" * round(10 * s.soc[i])
        soc = f"{full:·<10} {s.soc[i]:>4.0%}" if s.capacity_kwh[i] > 0 else "no battery"
        lines.append(
            f"agent_{i:<3} {name[:12]:<12} {soc:<15} {s.demand_kw[i]:>7.2f} {s.generation_kw[i]:>7.2f} "
            f"{s.battery_kw[i]:>+8.2f} {received[i]:>+7.2f} {s.trade_kw[i]:>+7.2f} {s.voltage_pu[i]:>8.4f}  "
            f"{s.status[i]}"
        )
    lines += ["", "kW; + charges the battery, receives over links, buys from the utility; voltage in p.u."]
    return "\n".join(lines)


def as_picture(s: Snapshot, width: int = 1000, height: int = 600) -> np.ndarray:
    """The feeder as a tree from the utility grid on the left, prosumers coloured by state of charge.

    Returns:
        uint8 [height, width, 3].

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", extra="envs")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.06, 0.72, 0.83))
    side = figure.add_axes((0.84, 0.46, 0.13, 0.38))
    scale = figure.add_axes((0.84, 0.12, 0.018, 0.24))
    figure.text(0.03, 0.93, s.scenario, size=15, weight="bold", color=_INK)
    when = str(s.time).replace("T", " ")
    price = f"import {s.import_eur_per_kwh:.2f}, export {s.export_eur_per_kwh:.2f} EUR/kWh"
    heading = f"{when}   step {s.step} of {s.episode_steps}   {price}"
    figure.text(0.97, 0.935, heading, size=10, ha="right", color=_INK)
    places = agent_places(s.parent, s.agent_bus)
    _draw_feeder(axes, s)
    _draw_links(axes, s, places)
    _draw_agents(axes, s, places)
    _draw_stability(side, s)
    _draw_scale(figure, scale)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


_INK, _FAINT, _OVERLOAD = "#263238", "#b0bec5", "#e65100"
_BUY, _SELL, _SHARE = "#c62828", "#1565c0", "#6a1b9a"
_SOC_COLOURS = "RdYlGn"
_ROOMY = 15  # prosumers up to which the picture has room for their labels


def feeding_bus(feeder: Feeder) -> np.ndarray:
    """The bus that feeds each bus, [n] int, −1 at the slack."""
    parent = np.full(feeder.num_buses, -1)
    parent[feeder.to_bus] = feeder.from_bus
    return parent


def tree_layout(parent: np.ndarray) -> np.ndarray:
    """Places of a tree's nodes, [n, 2]: x the distance from the root, y spreads the leaves over rows 0, 1, …

    parent: [n] int, −1 at the root.
    """
    children: list[list[int]] = [[] for _ in parent]
    for node, above in enumerate(parent.tolist()):
        if above >= 0:
            children[above].append(node)
    root = int(np.flatnonzero(parent < 0)[0])
    place, order, leaves = np.zeros((len(parent), 2)), [root], 0
    for node in order:
        for child in children[node]:
            place[child, 0] = place[node, 0] + 1
            order.append(child)
    stack = [root]
    while stack:
        node = stack.pop()
        stack += reversed(children[node])
        if not children[node]:
            place[node, 1] = leaves
            leaves += 1
    for node in reversed(order):
        if children[node]:
            place[node, 1] = np.mean([place[child, 1] for child in children[node]])
    return place


def bus_places(parent: np.ndarray) -> np.ndarray:
    """Buses in drawing units, [n, 2]: x and y from 0 to 1 (up), with room for the prosumers above their buses.

    parent: [n] int, the bus that feeds each bus, −1 at the slack.
    """
    place = tree_layout(parent)
    span = np.maximum(place.max(0), 1)
    rows = place[:, 1].max() + 1
    return np.stack([0.05 + 0.9 * place[:, 0] / span[0], 1 - (place[:, 1] + 0.62) / rows], axis=1)


def agent_places(parent: np.ndarray, agent_bus: np.ndarray) -> np.ndarray:
    """Where the prosumers stand in the same units, [N, 2]: above their bus; several on one bus fan out."""
    rows = tree_layout(parent)[:, 1].max() + 1
    out = bus_places(parent)[agent_bus].copy()
    seen: dict[int, int] = {}
    for i, bus in enumerate(agent_bus.tolist()):
        k = seen[bus] = seen.get(bus, -1) + 1
        out[i] += (0.035 * k, 0.36 / rows * (1 + 0.15 * k))
    return out


def _draw_feeder(axes, s: Snapshot) -> None:
    buses = bus_places(s.parent)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    for bus, branch in enumerate(s.parent_branch.tolist()):
        if branch < 0:
            continue
        a, b, load = buses[s.parent[bus]], buses[bus], float(s.loading[branch])
        colour = _OVERLOAD if load > 1 else "#ffa726" if load > 0.8 else "#607d8b"
        axes.plot(
            [a[0], a[0], b[0]], [a[1], b[1], b[1]], color=colour, lw=1.2 + 5 * min(load, 1.2), zorder=1,
            solid_capstyle="round", ls=":" if s.islanded and branch == 0 else "-",
        )  # fmt: skip
    axes.scatter(buses[:, 0], buses[:, 1], s=14, color="#607d8b", zorder=2)
    root = int(np.flatnonzero(s.parent < 0)[0])
    axes.scatter(*buses[root], s=190, marker="s", color=_FAINT if s.islanded else _INK, zorder=3)
    label = "utility\n(cut off)" if s.islanded else "utility"
    axes.annotate(label, buses[root], (0, 14), textcoords="offset points", ha="center", size=9, color=_INK)


def _draw_links(axes, s: Snapshot, places: np.ndarray) -> None:
    """Links as faint arcs, transfers as arrows towards the receiver."""
    from matplotlib.patches import FancyArrowPatch

    gap, thick = (13, 0.7) if len(s.names) <= _ROOMY else (8, 0.35)
    for (i, j), power in zip(s.pairs.tolist(), s.link_kw.tolist(), strict=True):
        giver, taker = (i, j) if power >= 0 else (j, i)
        flows = abs(power) > IDLE_KW
        bend = 0.22 if giver < taker else -0.22  # the same arc in both directions
        axes.add_patch(
            FancyArrowPatch(
                tuple(places[giver]), tuple(places[taker]), connectionstyle=f"arc3,rad={bend}",
                arrowstyle="-|>" if flows else "-", mutation_scale=gap, shrinkA=gap, shrinkB=gap,
                color=_SHARE if flows else "#cfd8dc", lw=1 + min(abs(power), 5) * thick if flows else 0.8,
                ls="-" if flows else (0, (2, 3)), zorder=4 if flows else 0, alpha=0.85,
            )
        )  # fmt: skip


def _draw_agents(axes, s: Snapshot, places: np.ndarray) -> None:
    """Discs coloured by state of charge on stubs whose arrows show the trade with the utility."""
    from matplotlib import colormaps

    buses, colours = bus_places(s.parent)[s.agent_bus], colormaps[_SOC_COLOURS]
    roomy = len(s.names) <= _ROOMY
    gap = 15 if roomy else 8
    for i, (bus, place) in enumerate(zip(buses, places, strict=True)):
        trade = float(s.trade_kw[i])
        colour = _FAINT if abs(trade) <= IDLE_KW else _BUY if trade > 0 else _SELL
        ends = (place, bus) if trade >= 0 else (bus, place)
        axes.annotate(
            "", ends[0], ends[1], zorder=3,
            arrowprops={
                "arrowstyle": "-" if colour == _FAINT else "-|>", "color": colour, "shrinkA": 3,
                "shrinkB": (gap if trade >= 0 else 3), "lw": 1.2 + 0.5 * min(abs(trade), 6),
            },
        )  # fmt: skip
        battery = s.capacity_kwh[i] > 0
        axes.scatter(
            *place, s=560 if roomy else 150, color=colours(float(s.soc[i])) if battery else "white",
            edgecolors=_BUY if s.status[i] == "unserved" else _INK, linewidths=1.5, zorder=5,
        )  # fmt: skip
        if roomy:
            inside = f"{s.soc[i]:.0%}" if battery else "–"
            dark = battery and not 0.12 < s.soc[i] < 0.9
            ink = "white" if dark else _INK
            axes.text(*place, inside, ha="center", va="center", size=8, color=ink, zorder=6)
            label = f"{s.names[i]}\n{s.generation_kw[i]:.1f} kW sun, {s.demand_kw[i]:.1f} kW used"
            axes.annotate(
                label, place, (0, 15), textcoords="offset points", ha="center", va="bottom", size=8,
                color=_INK, zorder=6, linespacing=1.3,
            )  # fmt: skip
            if colour != _FAINT:
                axes.annotate(
                    f"{'buys' if trade > 0 else 'sells'} {abs(trade):.1f} kW", (place + bus) / 2, (6, -6),
                    textcoords="offset points", size=8, color=colour, zorder=6,
                )  # fmt: skip


def _draw_stability(axes, s: Snapshot) -> None:
    rows = {"stability": s.stability, **s.stability_parts}
    heights = np.arange(len(rows))[::-1]
    axes.barh(heights, 1, color="#eceff1", height=0.62)
    axes.barh(
        heights, list(rows.values()), height=0.62,
        color=["#2e7d32" if v > 0.9 else "#f9a825" if v > 0.6 else _BUY for v in rows.values()],
    )  # fmt: skip
    for height, (name, value) in zip(heights, rows.items(), strict=True):
        axes.text(-0.05, height, name, ha="right", va="center", size=9, color=_INK)
        axes.text(0.97, height, f"{value:.2f}", ha="right", va="center", size=8, color=_INK)
    axes.set(xlim=(0, 1))
    axes.axis("off")


def _draw_scale(figure, axes) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(cmap=_SOC_COLOURS), cax=axes, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], fontsize=9, color=_INK)
    bar.ax.set_title("state of charge", fontsize=9, color=_INK, loc="left", pad=8)
    bar.outline.set_visible(False)
    notes = (("buys from the utility", _BUY), ("sells to it", _SELL), ("sends to a neighbour", _SHARE))
    for k, (text, colour) in enumerate(notes):
        figure.text(0.03 + 0.17 * k, 0.03, f"→ {text}", size=9, color=colour)
