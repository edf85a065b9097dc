"""The score's formula, its interval, and what the scoreboard says and shows."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from smartgrid_core.kpis import KPIS
from trainer.scoreboard import Outcome, Scoreboard, build, score
from trainer.scoreboard_table import COLUMNS, bar, columns_for

EPISODES = 8


def outcome(name: str, kind: str = "rule", cost: np.ndarray | float = 100.0, **extra: object) -> Outcome:
    """Two prosumers that share a cost [E] evenly; KPIs 1, overridden by name in `extra`."""
    cost_j = np.broadcast_to(np.asarray(cost, dtype=float), (EPISODES,)) if np.ndim(cost) == 0 else np.asarray(cost)
    values = {kpi.name: np.full(len(cost_j), float(extra.get(kpi.name, 1.0))) for kpi in KPIS}  # type: ignore[arg-type]
    bound = extra.get("bound_j")
    assert bound is None or isinstance(bound, np.ndarray)
    return Outcome(name, kind, None, np.stack([cost_j / 2, cost_j / 2], axis=1), values, bound)


def example() -> Scoreboard:
    base = 100 + np.arange(EPISODES)
    grid_only = outcome("grid_only", cost=base)
    optimum = outcome("optimum", "optimum", cost=base - 38, bound_j=base - 40.0)
    rows = [
        grid_only,
        outcome("random", cost=base + 80, overload_h=2.0, voltage_violation_h=1.5),
        outcome("mpc-perfect", "mpc", cost=(base - 36)[:3]),
        outcome("ippo", "policy", cost=base - 30, overload_h=1.5),
        optimum,
    ]
    return build("example", range(EPISODES), rows, grid_only, optimum)


def test_score_is_a_ratio_of_means_and_unclipped() -> None:
    grid_only, optimum = np.array([100.0, 300.0]), np.array([90.0, 210.0])
    found = score(np.array([95.0, 255.0]), grid_only, optimum)
    assert found is not None
    assert found.value == pytest.approx((200 - 175) / (200 - 150))
    worse, better = score(grid_only + 50, grid_only, optimum), score(optimum - 5, grid_only, optimum)
    assert worse is not None
    assert worse.value == pytest.approx(-1.0)
    assert better is not None
    assert better.value == pytest.approx(1.1)
    ends = [score(x, grid_only, optimum) for x in (grid_only, optimum)]
    assert [end.value for end in ends if end] == [0.0, 1.0]
    assert [(end.low, end.high) for end in ends if end] == [(0.0, 0.0), (1.0, 1.0)]  # paired: no spread at the ends


def test_score_works_where_energy_earns_money() -> None:
    found = score(np.array([-15.0] * 3), np.array([-10.0] * 3), np.array([-20.0] * 3))
    assert found is not None
    assert found.value == pytest.approx(0.5)


@pytest.mark.parametrize("saving", [0.0, 0.99, -1.0])
def test_score_is_not_available_where_nothing_can_be_won(saving: float) -> None:
    cost = np.full(4, 100.0)
    assert score(cost - saving, cost, cost - saving) is None
    assert score(cost, np.zeros(4), np.zeros(4)) is None


def test_single_episode_has_a_score_without_interval() -> None:
    found = score(np.array([5.0]), np.array([10.0]), np.array([0.0]))
    assert found is not None
    assert found.value == 0.5
    assert np.isnan([found.low, found.high]).all()


def test_ends_of_an_interval_read_apart() -> None:
    def text(*ends: float) -> str:
        row = replace(example().rows[0], score_ci=ends)
        return next(column for column in COLUMNS if column.header == "95 % interval").text(row)

    assert text(0.951, 0.954) == "0.951 … 0.954"
    assert text(0.91, 0.954) == "0.91 … 0.95"
    assert text(1.0, 1.0) == "1.00 … 1.00"
    assert text(-0.0541, -0.0511) == "-0.054 … -0.051"
    assert text(-123.456, 125.678) == "-123.5 … 125.7"


def test_rows_are_sorted_and_a_subset_meets_its_own_references() -> None:
    board = example()
    assert [row.name for row in board.rows] == ["optimum", "mpc-perfect", "ippo", "grid_only", "random"]
    assert board.row("mpc-perfect").score == pytest.approx(36 / 40)
    assert board.row("mpc-perfect").episodes == 3
    assert board.row("ippo").score == pytest.approx(0.75)
    assert board.optimum_eur == pytest.approx(board.grid_only_eur - 40)
    with pytest.raises(KeyError, match="no row 'sac'"):
        board.row("sac")


def test_rows_that_strain_the_network_more_are_marked() -> None:
    board = example()
    assert board.row("random").marks == ("overload", "voltage")
    assert board.row("ippo").marks == ("overload",)
    assert board.row("grid_only").marks == board.row("mpc-perfect").marks == ()


def test_json_round_trip_and_schema() -> None:
    base = np.full(EPISODES, 100.0)
    flat = build("flat", [1], [outcome("idle", gini_benefit=np.nan)], outcome("g"), outcome("o", bound_j=base))
    for board in (example(), flat):
        data = json.loads(board.to_json())
        assert Scoreboard.from_dict(data) == board
        assert set(data) >= {"scenario", "episodes", "rows"}
        for row in data["rows"]:
            assert set(row) >= {"name", "kind", "score", "score_ci", "cost_eur", "kpis"}
            assert set(row["kpis"]) == {kpi.name for kpi in KPIS}
    assert flat.rows[0].score is None
    assert flat.rows[0].kpis["gini_benefit"] is None


def test_csv_has_a_line_a_row() -> None:
    lines = list(csv.DictReader(io.StringIO(example().to_csv())))
    assert [line["name"] for line in lines] == [row.name for row in example().rows]
    assert float(lines[0]["cost_eur"]) == example().rows[0].cost_eur
    assert lines[-1]["marks"] == "overload voltage"


def test_references_without_a_bound_or_too_short_are_refused() -> None:
    with pytest.raises(ValueError, match="no bound_j"):
        build("x", [1], [], outcome("g"), outcome("o"))
    short = np.full(3, 100.0)
    with pytest.raises(ValueError, match="ran 8 episodes, the references 3"):
        build("x", [1], [outcome("a")], outcome("g", cost=short), outcome("o", cost=short, bound_j=short))


@pytest.mark.parametrize("width", [60, 80, 120, 240])
def test_table_fits_and_explains_itself(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(example())
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    flowing = " ".join(text.split())
    for words in ("★ ippo ▲", "random ▲▼", "mpc-perfect †", "0.750", "more overload hours", "8 test episodes"):
        assert words in flowing
    assert "…" not in text.replace(" … ", "")  # nothing is cut off


def test_columns_and_bars() -> None:
    assert len(columns_for(10_000)) == len(COLUMNS)
    assert [column.header for column in columns_for(40)][:2] == ["controller", "score"]
    assert [bar(value, 4) for value in (None, -1.0, -1e-9, 0.0, 0.5, 1.0, 1.2)] == [
        "",
        "◀",
        "",
        "",
        "██",
        "████",
        "████",
    ]
