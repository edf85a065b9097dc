"""Pictures of an evaluation: a day of a community, the scoreboard. PNG files.

Colours are those of Okabe and Ito (2008, Color Universal Design), told apart with any colour vision.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from smartgrid_core.config import GridConfig
from smartgrid_core.controllers.episode import EpisodeRecord
from trainer.files import write_atomically
from trainer.scoreboard import Row, Scoreboard

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE, GREY, INK = "#0072B2", "#D55E00", "#CC79A7", "#8A8F98", "#22262B"
KIND_COLOURS = {"policy": GREEN, "mpc": BLUE, "optimum": ORANGE, "rule": GREY}
KIND_NAMES = {
    "policy": "trained policy",
    "mpc": "model predictive control",
    "optimum": "optimum",
    "rule": "rule",
}
MAX_PROSUMERS = 12  # small multiples stay legible
SCORE_FLOOR = -0.25  # where bars of scores below it end
COLUMNS_X = (1.075, 1.185)  # right ends of the columns beside the scoreboard's bars, in widths of the axes
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.edgecolor": "#B8BCC4", "axes.labelcolor": INK, "text.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": "#E8EAED", "grid.linewidth": 0.8, "xtick.color": "#5B616B", "ytick.color": "#5B616B",
    "legend.frameon": False, "savefig.dpi": 130, "figure.facecolor": "white",
}  # fmt: skip


class Layer(NamedTuple):
    """One colour of a stack of powers."""

    label: str
    colour: str
    fields: tuple[str, ...]  # of EpisodeSeries, summed


SOURCES = (
    Layer("solar", ORANGE, ("generation_kw",)),
    Layer("battery discharges", GREEN, ("discharge_kw",)),
    Layer("from neighbours", PURPLE, ("received_kw",)),
    Layer("bought from the grid", BLUE, ("bought_kw",)),
    Layer("unserved", VERMILION, ("unserved_kw",)),
)
USES = (
    Layer("battery charges", "#7FCEB9", ("charge_kw",)),
    Layer("to neighbours", "#E5BCD3", ("sent_kw",)),
    Layer("sold to the grid", SKY, ("sold_kw",)),
    Layer("curtailed", YELLOW, ("curtailed_kw",)),
)


def plot_day(record: EpisodeRecord, config: GridConfig, path: str | Path, *, grid: int = 0, day: int = 0) -> Path:
    """One day of one community: powers, prices, voltages and loading; every prosumer beside it.

    Above zero is where energy comes from, below zero where it goes besides demand (the black line).

    Args:
        record: with its series.
        config: the scenario it was made in.
        path: of the PNG.
        grid: which grid of the batch; day: which day of the episode, from 0.

    Raises:
        ValueError: a record without series, or a grid or day it does not have.
    """
    view = _view(record, config, grid, day)
    shown = np.sort(np.argsort(-view.series["demand_kw"].sum(0), kind="stable")[:MAX_PROSUMERS])
    columns = 1 if len(shown) <= 6 else 2
    rows = -(-len(shown) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(9.5 + 3.4 * columns, 9.2))
        outer = figure.add_gridspec(
            1, 2, width_ratios=(1.75, columns), wspace=0.16, left=0.06, right=0.955, top=0.9, bottom=0.115
        )
        left = outer[0].subgridspec(4, 1, height_ratios=(3.2, 1.05, 1.15, 1.05), hspace=0.42)
        community = [figure.add_subplot(left[row]) for row in range(4)]
        _plot_powers(community[0], view, None)
        _plot_prices(community[1], view)
        _plot_voltages(community[2], view, config.network.voltage_band_pu)
        _plot_loading(community[3], view)
        right = outer[1].subgridspec(rows, columns, hspace=0.42, wspace=0.28)
        for place, agent in enumerate(shown):
            axes = figure.add_subplot(right[place // columns, place % columns])
            _plot_prosumer(axes, view, int(agent), config.agents[agent].name)
            _hours(axes, labelled=place + columns >= len(shown), every=6)
            axes.set_ylabel("kW" if place % columns == 0 else "")
        for axes in figure.axes[:4]:
            _hours(axes, labelled=axes is community[3])
        _title_day(figure, record, config, grid, day, len(shown))
        _day_legend(figure, view)
        return save_figure(figure, path)


class _View(NamedTuple):
    """A day of one grid."""

    series: dict[str, np.ndarray]  # [S, …] of EpisodeSeries
    edges_h: np.ndarray  # [S + 1] hour of the day at which steps begin and end
    capacity_kwh: np.ndarray  # [N]


def _view(record: EpisodeRecord, config: GridConfig, grid: int, day: int) -> _View:
    if record.series is None:
        raise ValueError("the record has no series: run the episode with keep_series=True")
    steps, grids = record.series.stability.shape
    first = day * config.steps_per_day
    if not 0 <= grid < grids or not 0 <= first < steps:
        days = -(-steps // config.steps_per_day)
        raise ValueError(f"grid {grid}, day {day}: the record has {grids} grids of {days} days, counted from 0")
    window = slice(first, min(first + config.steps_per_day, steps))
    series = {name: np.asarray(values)[window, grid] for name, values in vars(record.series).items()}
    edges = np.arange(len(series["stability"]) + 1) * record.step_h
    return _View(series, edges, record.capacity_kwh[grid])


def _power(view: _View, fields: Sequence[str], agent: int | None) -> np.ndarray:
    """Sum of powers over the day, [S]: of a prosumer, or of all."""
    total = np.sum([view.series[name] for name in fields], axis=0)  # [S, N]
    return total.sum(1) if agent is None else total[:, agent]


def _plot_powers(axes: Axes, view: _View, agent: int | None) -> None:
    """Sources above zero, uses below, demand as a line; [S] kW each."""
    for layers, sign in ((SOURCES, 1), (USES, -1)):
        base = np.zeros(len(view.edges_h) - 1)
        for layer in layers:
            if agent is None and layer.fields[0] in ("received_kw", "sent_kw"):
                continue  # nets to zero over the community; drawn as a line of its own
            top = base + sign * _power(view, layer.fields, agent)
            axes.fill_between(
                view.edges_h,
                _held(base),
                _held(top),
                step="post",
                color=layer.colour,
                linewidth=0,
                alpha=0.92,
            )
            base = top
    demand = _power(view, ("demand_kw",), agent)
    axes.stairs(demand, view.edges_h, baseline=None, color=INK, linewidth=1.4 if agent is None else 1.0)
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.use_sticky_edges = False  # else the highest bar touches the frame
    axes.margins(y=0.06)
    axes.yaxis.set_major_locator(MaxNLocator(5 if agent is None else 3, steps=[1, 2, 5, 10]))
    if agent is None:
        exchanged = _power(view, ("received_kw",), None)
        if exchanged.any():
            axes.stairs(exchanged, view.edges_h, baseline=None, color=PURPLE, linewidth=1.4)
        axes.set_title("Community: power")
        axes.set_ylabel("kW")
    _shade_islanded(axes, view)


def _plot_prices(axes: Axes, view: _View) -> None:
    buy, sell = view.series["import_eur_per_kwh"] * 100, view.series["export_eur_per_kwh"] * 100
    axes.stairs(buy, view.edges_h, baseline=None, color=BLUE, linewidth=1.6, label="import")
    axes.stairs(sell, view.edges_h, baseline=None, color=SKY, linewidth=1.6, label="export")
    axes.set_ylim(min(0.0, float(sell.min()) * 1.1), float(max(buy.max(), sell.max())) * 1.15 + 1e-6)
    axes.set_title("Price")
    axes.set_ylabel("ct/kWh")
    _legend_above(axes)


def _plot_voltages(axes: Axes, view: _View, band_pu: float) -> None:
    """Lowest, median and highest voltage of the energised buses with the limits of the band."""
    voltage = np.where(view.series["voltage_pu"] > 0, view.series["voltage_pu"], np.nan)
    alive = ~np.isnan(voltage).all(1)
    low, middle, high = (np.full(len(voltage), np.nan) for _ in range(3))
    low[alive], middle[alive], high[alive] = np.nanquantile(voltage[alive], [0, 0.5, 1], axis=1)
    axes.fill_between(view.edges_h, _held(low), _held(high), step="post", color=SKY, alpha=0.55, linewidth=0,
                      label="all buses")  # fmt: skip
    axes.stairs(middle, view.edges_h, baseline=None, color=BLUE, linewidth=1.3, label="median bus")
    for sign in (-1, 1):
        label = f"limit ±{band_pu * 100:.0f} % (EN 50160)" if sign > 0 else None
        axes.axhline(1 + sign * band_pu, color=VERMILION, linewidth=1.1, linestyle=(0, (5, 3)), label=label)
    reach = max(band_pu, float(np.nanmax(np.abs(voltage - 1), initial=0.0))) * 1.25
    axes.set_ylim(1 - reach, 1 + reach)
    span = f"   {np.nanmin(low):.3f} to {np.nanmax(high):.3f} p.u." if alive.any() else ""
    axes.set_title(f"Voltage{span}")
    axes.set_ylabel("p.u.")
    _legend_above(axes)
    _shade_islanded(axes, view)


def _plot_loading(axes: Axes, view: _View) -> None:
    loading = view.series["max_loading"] * 100
    axes.fill_between(view.edges_h, 0, _held(loading), step="post", color=GREY, alpha=0.35, linewidth=0)
    axes.stairs(loading, view.edges_h, baseline=None, color=INK, linewidth=1.2, label="most loaded branch")
    axes.axhline(100, color=VERMILION, linewidth=1.1, linestyle=(0, (5, 3)), label="rated current")
    axes.set_ylim(0, max(110.0, float(loading.max()) * 1.1))
    axes.set_title(f"Loading   up to {loading.max():.0f} %")
    axes.set_ylabel("%")
    _legend_above(axes)
    _shade_islanded(axes, view)


def _plot_prosumer(axes: Axes, view: _View, agent: int, name: str) -> None:
    _plot_powers(axes, view, agent)
    axes.set_title(name)
    if view.capacity_kwh[agent] > 0:
        charge = axes.twinx()
        soc = 100 * view.series["soc_kwh"][:, agent] / view.capacity_kwh[agent]
        charge.plot(view.edges_h[1:], soc, color=INK, linewidth=1.2, linestyle=(0, (1.2, 1.2)))
        charge.set_ylim(0, 105)
        charge.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"], fontsize=8)
        charge.tick_params(length=0)
        charge.grid(visible=False)
        charge.spines["right"].set_visible(False)


def _hours(axes: Axes, labelled: bool, every: int = 3) -> None:
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, every))
    axes.tick_params(labelbottom=labelled, length=2.5)
    if labelled:
        axes.set_xlabel("hour of the day")


def _held(values: np.ndarray) -> np.ndarray:
    """[S] values with the last repeated, so that the last step is as wide as the others."""
    return np.append(values, values[-1:])


def _shade_islanded(axes: Axes, view: _View) -> None:
    islanded = _held(view.series["islanded"])
    axes.fill_between(view.edges_h, 0, 1, where=islanded, step="post", transform=axes.get_xaxis_transform(),
                      color=INK, alpha=0.07, linewidth=0)  # fmt: skip


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=3, fontsize=8, handlelength=1.6, borderpad=0.2)


def _title_day(figure: Figure, record: EpisodeRecord, config: GridConfig, grid: int, day: int, shown: int) -> None:
    figure.text(0.06, 0.962, f"{config.name} · {record.controller}", fontsize=15, fontweight="bold")
    count = config.num_agents
    beside = f" · {shown} of {count} prosumers, those of largest demand" if shown < count else ""
    about = f"day {day + 1} of the episode, community {grid + 1}{beside}"
    figure.text(0.06, 0.938, about, fontsize=10, color="#5B616B")


def _day_legend(figure: Figure, view: _View) -> None:
    """One legend for all panels of powers, without what does not occur."""
    handles: list[Any] = [Line2D([], [], color=INK, linewidth=1.4, label="demand")]
    for layer in (*SOURCES, *USES):
        if _power(view, layer.fields, None).any():
            handles.append(Rectangle((0, 0), 1, 1, color=layer.colour, label=layer.label))
    if _power(view, ("received_kw",), None).any():
        handles.append(Line2D([], [], color=PURPLE, linewidth=1.4, label="exchanged among neighbours"))
    handles.append(Line2D([], [], color=INK, linestyle=(0, (1.2, 1.2)), linewidth=1.2, label="state of charge (right)"))
    if view.series["islanded"].any():
        handles.append(Rectangle((0, 0), 1, 1, color=INK, alpha=0.1, label="islanded"))
    figure.legend(handles=handles, loc="lower center", ncols=-(-len(handles) // 2), fontsize=8.5, handlelength=1.4,
                  columnspacing=1.6, bbox_to_anchor=(0.5, 0.004))  # fmt: skip


def plot_scoreboard(board: Scoreboard, path: str | Path) -> Path:
    """Scores as horizontal bars with their 95 % intervals, best on top; costs beside them.

    Scores compare a controller with the references on the episodes it ran; costs of one that ran fewer are means over
    other weeks than the others' and marked. A score far below 0 would squeeze all others: such a bar ends at
    `SCORE_FLOOR` with an arrow.
    """
    rows = [row for row in board.rows if row.score is not None][::-1]
    with rc_context(STYLE):
        figure = Figure(figsize=(9.5, 1.8 + 0.4 * max(len(rows), 1)), layout="constrained")
        axes = figure.subplots()
        lowest = min((row.score for row in rows if row.score is not None), default=0.0)
        axes.set_xlim(max(SCORE_FLOOR, min(lowest * 1.1, -0.02)), 1.04)
        axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)
        for place, row in enumerate(rows):
            _score_bar(axes, place, row, fewer=row.episodes < board.episodes)
        axes.set_yticks(range(len(rows)), [_row_name(row, board.episodes) for row in rows], color=INK)
        for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_fontweight("bold" if row.kind == "policy" else "normal")
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.axvline(1, color=ORANGE, linewidth=1.2, linestyle=(0, (5, 3)))
        axes.tick_params(length=0)
        axes.grid(visible=False, axis="y")
        notes = ["score: 0 = grid only, 1 = perfect foresight, core losses only; whiskers: 95 % interval"]
        if any(row.episodes < board.episodes for row in rows):
            notes.append("* mean over fewer episodes: compare its score, not its EUR")
        axes.set_xlabel("\n".join(notes))
        axes.set_title(f"{board.scenario} · {board.episodes} test episodes", fontsize=12, pad=26)
        for x, text in zip(COLUMNS_X, ("score", "EUR"), strict=True):
            axes.text(x, 1.012, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=8.5, color="#5B616B")
        _kind_legend(axes, rows)
        return save_figure(figure, path)


def _row_name(row: Row, episodes: int) -> str:
    name = row.name if row.episodes == episodes else f"{row.name} ({row.episodes} episodes)"
    return f"{name}, {row.forecast}" if row.kind == "policy" and row.forecast else name


def _score_bar(axes: Axes, place: int, row: Row, *, fewer: bool) -> None:
    value = row.score if row.score is not None else 0.0
    left = axes.get_xlim()[0]
    axes.barh(place, max(value, left), height=0.64, color=KIND_COLOURS.get(row.kind, GREY), alpha=0.92)
    if value < left:
        axes.annotate("◀", (left, place), xytext=(4, 0), textcoords="offset points", va="center", color="white")
    elif row.score_ci is not None:
        reach = [[max(value - row.score_ci[0], 0)], [max(row.score_ci[1] - value, 0)]]
        axes.errorbar(value, place, xerr=reach, color=INK, capsize=3, linewidth=1.1)
    weight = "bold" if row.kind == "policy" else "normal"
    for x, text in zip(COLUMNS_X, (f"{value:z.3f}", f"{row.cost_eur:,.2f}"), strict=True):
        aside = fewer and x == COLUMNS_X[1]
        axes.text(x, place, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=9,
                  fontweight=weight, color="#5B616B" if aside else INK)  # fmt: skip
        if aside:
            axes.text(x, place, "*", transform=axes.get_yaxis_transform(), ha="left", va="center", color=INK)


def _kind_legend(axes: Axes, rows: Sequence[Row]) -> None:
    kinds = [kind for kind in KIND_COLOURS if any(row.kind == kind for row in rows)]
    handles = [Rectangle((0, 0), 1, 1, color=KIND_COLOURS[kind], label=KIND_NAMES[kind]) for kind in kinds]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(0.98, 1.0), ncols=4, borderaxespad=0.2,
                fontsize=8.5, handlelength=1.4, columnspacing=1.4)  # fmt: skip


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.2)
    write_atomically(Path(path), buffer.getvalue())
    return Path(path)
