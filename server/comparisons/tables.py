"""Results of comparisons and scalability jobs as CSV tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from server.csv_cells import cell
from trainer.scoreboard import Scoreboard

Table = Literal["scoreboard", "costs", "pairs", "daily", "series"]


def comparison_csv(result: Mapping[str, Any], table: Table) -> str:
    """One table of a `ComparisonResult`, all scenarios below each other; n/a is an empty cell."""
    if table == "scoreboard":
        boards = [Scoreboard.from_dict(s["scoreboard"]).to_csv() for s in result["scenarios"] if s["scoreboard"]]
        return "".join([*boards[:1], *(text.partition("\n")[2] for text in boards[1:])])
    return _csv(row for scenario in result["scenarios"] for row in _ROWS[table](scenario))


def scalability_csv(result: Mapping[str, Any]) -> str:
    """Rows of a `ScalabilityResult`."""
    return _csv(result["rows"])


def _costs(scenario: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for policy, costs in scenario["costs"].items():
        for seed, cost in zip(scenario["seeds"], costs, strict=False):
            yield {"scenario": scenario["scenario"], "policy": policy, "seed": seed, "cost_eur": cost}


def _pairs(scenario: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for pair in scenario["pairs"]:
        row: dict[str, Any] = {"scenario": scenario["scenario"]}
        for name, value in pair.items():
            if name.endswith("_ci"):
                low, high = value or (None, None)
                row |= {f"{name.removesuffix('_ci')}_low": low, f"{name.removesuffix('_ci')}_high": high}
            else:
                row[name] = value
        yield row


def _daily(scenario: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return ({"scenario": scenario["scenario"], **row} for row in scenario["daily"])


def _series(scenario: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    series = scenario["series"]
    start, step = datetime.fromisoformat(series["start"]), timedelta(minutes=series["step_minutes"])
    for policy, columns in series["policies"].items():
        for k, values in enumerate(zip(*columns.values(), strict=True)):
            head = {"scenario": scenario["scenario"], "policy": policy, "seed": series["seed"], "step": k}
            yield head | {"time": (start + k * step).isoformat()} | dict(zip(columns, values, strict=True))


_ROWS = {"costs": _costs, "pairs": _pairs, "daily": _daily, "series": _series}


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Lines under the columns of the first row."""
    text = io.StringIO()
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({key: cell(value) for key, value in row.items()})
    return text.getvalue()
