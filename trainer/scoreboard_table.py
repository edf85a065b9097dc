"""The scoreboard as people see it in a terminal: best first, policies in bold, what a number means below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainer.scoreboard import MORE_OVERLOAD, MORE_VIOLATIONS, Row, Scoreboard

NOT_AVAILABLE = "n/a"
STYLES = {"policy": "bold bright_green", "mpc": "cyan", "optimum": "yellow", "rule": ""}
SIGNS = {MORE_OVERLOAD: "▲", MORE_VIOLATIONS: "▼"}
BAR_CELLS = 12
INTERVAL_WIDTH = 15
EIGHTHS = " ▏▎▍▌▋▊▉█"


class Column(NamedTuple):
    """A column of the table; narrow terminals drop the last ones first."""

    header: str
    width: int
    text: Callable[[Row], str]
    justify: Literal["left", "right"] = "right"


def _kpi(name: str, digits: int, factor: float = 1.0) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = row.kpis.get(name)
        return NOT_AVAILABLE if value is None else f"{value * factor:,.{digits}f}"

    return text


def _score(row: Row) -> str:
    return NOT_AVAILABLE if row.score is None else f"{row.score:z.3f}"


def _interval(row: Row) -> str:
    """With two decimals; three where the ends would read the same, fewer where there is no room."""
    if row.score_ci is None:
        return ""
    low, high = row.score_ci
    same = low != high and f"{low:z.2f}" == f"{high:z.2f}"
    texts = [f"{low:z.{digits}f} … {high:z.{digits}f}" for digits in ((3, 2, 1, 0) if same else (2, 1, 0))]
    return next((text for text in texts if len(text) <= INTERVAL_WIDTH), texts[-1])


def bar(value: float | None, cells: int = BAR_CELLS) -> str:
    """A bar of `cells` characters for 0 … 1, in eighths; a score below 0 shows an arrow to the left."""
    if value is None:
        return ""
    if value < -0.5 / (8 * cells):
        return "◀"
    eighths = round(min(max(value, 0.0), 1.0) * cells * 8)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


COLUMNS = (
    Column("controller", 21, lambda row: row.name, "left"),
    Column("score", 6, _score),
    Column("95 % interval", INTERVAL_WIDTH, _interval),
    Column("cost\nEUR", 8, lambda row: f"{row.cost_eur:,.2f}"),
    Column("forecast", 11, lambda row: row.forecast or "–", "left"),
    Column("", BAR_CELLS, lambda row: bar(row.score), "left"),
    Column("bill\nEUR", 8, _kpi("bill_eur", 2)),
    Column("stabi-\nlity", 6, _kpi("stability", 3)),
    Column("overload\nh", 8, _kpi("overload_h", 1)),
    Column("voltage\nviol. h", 7, _kpi("voltage_violation_h", 1)),
    Column("unserved\nkWh", 8, _kpi("unserved_kwh", 1)),
    Column("peak\nkW", 6, _kpi("peak_kw", 1)),
    Column("self-suf-\nficient %", 9, _kpi("self_sufficiency", 0, 100)),
    Column("CO₂\nkg", 7, _kpi("co2_kg", 0)),
    Column("self-con-\nsumed %", 9, _kpi("self_consumption", 0, 100)),
    Column("ramping\nkW", 7, _kpi("ramping_kw", 2)),
    Column("trans-\nferred\nkWh", 7, _kpi("transferred_kwh", 0)),
    Column("losses\nkWh", 7, _kpi("losses_kwh", 1)),
    Column("Gini", 5, _kpi("gini_benefit", 2)),
    Column("µs per\ndecision", 8, _kpi("decision_us", 0)),
)


def render(board: Scoreboard, width: int) -> Group:
    """The table with its footnotes, as wide as `width` characters allow."""
    shown = columns_for(width)
    table = Table(box=box.SIMPLE_HEAD, title=_title(board), title_justify="left", title_style="bold")
    for column in shown:
        table.add_column(column.header, justify=column.justify, width=column.width, no_wrap=True)
    for row in board.rows:
        style = STYLES.get(row.kind, "")
        cells = [Text(column.text(row)) for column in shown]
        cells[0] = _name(row, board.episodes)
        table.add_row(*cells, style=style)
    return Group(table, *(Text(f"  {note}", style="dim") for note in footnotes(board)))


def columns_for(width: int) -> list[Column]:
    """The columns that fit, in the order of their importance."""
    shown, used = [], 2  # the frame
    for column in COLUMNS:
        used += column.width + 3  # a blank on either side and the divider
        if used > width and len(shown) >= 3:
            break
        shown.append(column)
    return shown


def _title(board: Scoreboard) -> str:
    return f"{board.scenario} · {board.episodes} test episode{'' if board.episodes == 1 else 's'}"


def _name(row: Row, episodes: int) -> Text:
    name = Text(f"★ {row.name}" if row.kind == "policy" else f"  {row.name}")
    if row.marks:
        name.append(" " + "".join(SIGNS[mark] for mark in row.marks), style="bold red")
    if row.episodes < episodes:
        name.append(" †")
    return name


def footnotes(board: Scoreboard) -> list[str]:
    """What a reader needs in order not to misread the table."""
    reference = (
        f"score: share of the possible saving; 0 = grid_only ({board.grid_only_eur:,.2f} EUR: no battery, no "
        f"transfers), 1 = perfect foresight with the core losses alone ({board.optimum_eur:,.2f} EUR)."
        if board.optimum_eur is not None
        else f"score n/a: too many prosumers to plan the optimum; grid_only costs {board.grid_only_eur:,.2f} EUR."
    )
    notes = [
        reference,
        "cost: the bill, mean per episode, less the worth of the energy the batteries gained. "
        "Compare controllers with equal forecasts only.",
    ]
    if board.optimum_eur is not None and any(row.score is None for row in board.rows):
        notes.append("score n/a: even the optimum saves less than 1 % of what grid_only costs.")
    fewer = sorted({row.episodes for row in board.rows if row.episodes < board.episodes})
    if fewer:
        counts = " or ".join(str(count) for count in fewer)
        notes.append(f"†: on the first {counts} episodes, scored against the references on these same ones.")
    if any(row.score_ci is not None for row in board.rows):
        notes.append("95 % interval: by Student's t over the weeks of the data that episodes lie in, wide where few.")
    marks = {mark for row in board.rows for mark in row.marks}
    if MORE_OVERLOAD in marks:
        notes.append(f"{SIGNS[MORE_OVERLOAD]}: more overload hours than grid_only.")
    if MORE_VIOLATIONS in marks:
        notes.append(f"{SIGNS[MORE_VIOLATIONS]}: more voltage-violation hours than grid_only.")
    return notes
