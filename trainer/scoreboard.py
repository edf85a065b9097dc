"""The scoreboard: how good a policy is on a scale from doing nothing to the best that was possible.

`score` and `Scoreboard` are arithmetic and presentation; `trainer.evaluate` runs the controllers.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from trainer.intervals import Estimate, mean_interval, ratio_interval

MIN_DENOMINATOR = 0.01  # of |J of grid_only|: below it there is nothing to win, and the score is noise
MORE_OVERLOAD, MORE_VIOLATIONS = "overload", "voltage"


def score(
    policy: np.ndarray, grid_only: np.ndarray, optimum: np.ndarray, week: np.ndarray | None = None
) -> Estimate | None:
    """(mean J_grid_only − mean J_policy) / (mean J_grid_only − mean J_optimum), a ratio of means.

    The share of the possible saving that was made: 0 = grid_only, 1 = the optimum; unclipped, with its interval.

    Args:
        policy, grid_only, optimum: [E] EUR, J of the same episodes in the same order.
        week: [E] of the data, as in `trainer.intervals`.

    Returns:
        The score, or None where the denominator is below 1 % of |mean J_grid_only| (nothing to win).
    """
    policy, grid_only, optimum = (np.asarray(x, dtype=np.float64) for x in (policy, grid_only, optimum))
    possible = grid_only.mean() - optimum.mean()
    if not possible >= MIN_DENOMINATOR * abs(grid_only.mean()) or possible <= 0:
        return None
    return ratio_interval(grid_only - policy, grid_only - optimum, week)


@dataclass(frozen=True)
class Outcome:
    """What one controller did, episode by episode; a run on E' < E episodes holds the first E'."""

    name: str
    kind: str  # "policy", "rule", "mpc" or "optimum"
    forecast: str | None  # what it knew of the hours ahead; None: it looked at none
    prosumer_j: np.ndarray  # [E, N] EUR, bill less the worth of the energy the battery gained
    kpis: dict[str, np.ndarray]  # name -> [E]
    bound_j: np.ndarray | None = None  # [E] EUR, of the optimum: the program's value, which nothing beats
    week: np.ndarray | None = None  # [E] of the data, as in `trainer.intervals`; None: of each its own

    @property
    def cost_j(self) -> np.ndarray:
        """J of the community, [E] EUR."""
        return self.prosumer_j.sum(axis=1)


@dataclass(frozen=True)
class Row:
    """One controller's line."""

    name: str
    kind: str
    forecast: str | None
    episodes: int
    score: float | None  # None: n/a
    score_ci: tuple[float, float] | None
    cost_eur: float  # mean J per episode
    cost_ci: tuple[float, float] | None
    kpis: dict[str, float | None]  # mean per episode; None: n/a
    kpi_ci: dict[str, tuple[float, float] | None]
    marks: tuple[str, ...] = ()  # "overload", "voltage": more hours of it than grid_only


@dataclass(frozen=True)
class Scoreboard:
    """Controllers on the same test episodes of one scenario, best first."""

    scenario: str
    episodes: int
    rows: tuple[Row, ...]
    grid_only_eur: float  # mean J at score 0
    optimum_eur: float | None  # mean J at score 1; None: too many prosumers to plan it, no score
    seeds: tuple[int, ...] = field(default=())

    def row(self, name: str) -> Row:
        """The line of a controller; raises KeyError with the names there are."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no row {name!r} in the scoreboard: it has {', '.join(r.name for r in self.rows)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; a value that is not available is None."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Scoreboard:
        """Inverse of `to_dict`."""
        rows = []
        for raw in data["rows"]:
            ci = {k: None if v is None else tuple(v) for k, v in raw["kpi_ci"].items()}
            pairs = {key: None if raw[key] is None else tuple(raw[key]) for key in ("score_ci", "cost_ci")}
            rows.append(Row(**{**raw, **pairs, "kpi_ci": ci, "marks": tuple(raw["marks"])}))
        return cls(**{**data, "rows": tuple(rows), "seeds": tuple(data["seeds"])})

    def to_json(self) -> str:
        """JSON text of `to_dict`: scenario, episodes, rows of name, kind, score, score_ci, kpis, …"""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """One line a controller; n/a is an empty cell."""
        names = list(self.rows[0].kpis) if self.rows else []
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head = ["scenario", "name", "kind", "forecast", "episodes", "score", "score_low", "score_high"]
        head += ["cost_eur", "cost_low", "cost_high", "marks"]
        head += [column for name in names for column in (name, f"{name}_low", f"{name}_high")]
        writer.writerow(head)
        for row in self.rows:
            cells: list[Any] = [self.scenario, row.name, row.kind, row.forecast, row.episodes, row.score]
            cells += [*(row.score_ci or (None, None)), row.cost_eur, *(row.cost_ci or (None, None))]
            cells.append(" ".join(row.marks))
            for name in names:
                cells += [row.kpis[name], *(row.kpi_ci[name] or (None, None))]
            writer.writerow(cells)
        return text.getvalue()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """What `rich.print(scoreboard)` shows."""
        from trainer.scoreboard_table import render

        yield render(self, options.max_width)


def build(
    scenario: str, seeds: Sequence[int], outcomes: Sequence[Outcome], grid_only: Outcome, optimum: Outcome | None
) -> Scoreboard:
    """Score outcomes and sort them, best first.

    Each is compared with `grid_only` and the `optimum` on the episodes it ran, so that a controller too slow
    for all of them is still scored on equal terms. Without an optimum there are costs and no scores.

    Raises:
        ValueError: `optimum` carries no bound, or an outcome has more episodes than the two references.
    """
    if optimum is not None and optimum.bound_j is None:
        raise ValueError(f"{optimum.name} has no bound_j: the score needs the program's value per episode")
    bound = None if optimum is None else optimum.bound_j
    rows = [_row(outcome, grid_only, bound) for outcome in outcomes]
    rows.sort(key=lambda row: (row.score is None, -(row.score or 0.0), row.cost_eur))
    return Scoreboard(
        scenario=scenario, episodes=len(seeds), rows=tuple(rows), seeds=tuple(seeds),
        grid_only_eur=float(grid_only.cost_j.mean()), optimum_eur=None if bound is None else float(bound.mean()),
    )  # fmt: skip


def _row(outcome: Outcome, grid_only: Outcome, bound_j: np.ndarray | None) -> Row:
    episodes = len(outcome.cost_j)
    known = len(grid_only.cost_j) if bound_j is None else min(len(bound_j), len(grid_only.cost_j))
    if episodes > known:
        raise ValueError(f"{outcome.name} ran {episodes} episodes, the references {known}: run them on as many")
    result = None
    if bound_j is not None:
        result = score(outcome.cost_j, grid_only.cost_j[:episodes], bound_j[:episodes], outcome.week)
    cost, *cost_ci = mean_interval(outcome.cost_j, outcome.week)
    kpis = {name: mean_interval(values, outcome.week) for name, values in outcome.kpis.items()}
    return Row(
        name=outcome.name, kind=outcome.kind, forecast=outcome.forecast, episodes=episodes,
        score=None if result is None else result.value,
        score_ci=None if result is None else _pair(result[1:]),
        cost_eur=cost, cost_ci=_pair(cost_ci),
        kpis={name: _number(value[0]) for name, value in kpis.items()},
        kpi_ci={name: _pair(value[1:]) for name, value in kpis.items()},
        marks=_marks(outcome, grid_only, episodes),
    )  # fmt: skip


def _marks(outcome: Outcome, grid_only: Outcome, episodes: int) -> tuple[str, ...]:
    """What the network suffers more of than without batteries and transfers, on the same episodes."""
    found = []
    for mark, kpi in ((MORE_OVERLOAD, "overload_h"), (MORE_VIOLATIONS, "voltage_violation_h")):
        if outcome.kpis[kpi].sum() > grid_only.kpis[kpi][:episodes].sum() + 1e-9:
            found.append(mark)
    return tuple(found)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _pair(values: Sequence[float]) -> tuple[float, float] | None:
    low, high = values
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
