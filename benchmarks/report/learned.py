"""Sections on what was learned: scores over seeds beside the baselines, scoreboards."""

from __future__ import annotations

from typing import Any

from benchmarks.decisions import times_a_plan
from benchmarks.learning import VARIANTS, changed_since
from benchmarks.report.markdown import Case, fixed, table


def learning(cases: list[Case]) -> list[str]:
    """A table for each scenario and variant: learners by their median over seeds among the baselines."""
    lines = [
        "*First k*: on the first k of the test episodes, scored against the references on the same ones. *Cost* is the "
        "bill less what the energy gained in the batteries is worth, as the score counts it. SHAC decides every step, "
        "the other learners once an hour, as plans are made. Minutes are of one core of the processor told, and those "
        "of an Intel here are worth about two of an AMD: compare learners trained on the same.",
        "",
    ]
    for panel in dict.fromkeys((c["scenario"], c["variant"]) for c in cases):
        group = [c for c in cases if (c["scenario"], c["variant"]) == panel]
        lines += [f"### {panel[0]}, {panel[1]}: {group[0]['episodes']} test episodes", ""]
        rows = [(_median(c, "score"), _learner(c)) for c in group]
        rows += [
            (b["score"], _baseline(b, group[0]["episodes"])) for b in group[0]["baselines"] if b["score"] is not None
        ]
        columns = ("", "score, median", "mean", "95 % interval", "min … max", "minutes on a core", "cost EUR",
                   "stability", "peak kW", "transferred kWh", "Gini")  # fmt: skip
        lines += table(columns, (row for _, row in sorted(rows, key=lambda item: -(item[0] or 0.0))))
        lines += [f"- `{c['command']}` ({_when(c)})" for c in group]
        lines += [_decision(c) for c in group if "decision" in c]
        lines.append("")
    return lines + _differences(cases)


def _when(case: Case) -> str:
    """When it was trained, and which settings have changed since."""
    changed = changed_since(case)
    since = f"; {', '.join(f'`{name}`' for name in changed)} changed since" if changed else ""
    where = f" on {case['trained_on']}" if "trained_on" in case else ""
    return f"trained {case['trained'][:10]}{where}{since}"


def _differences(cases: list[Case]) -> list[str]:
    """What each change does to a learner's score: a table for every scenario and algorithm with more than one case."""
    lines = []
    for learner in dict.fromkeys((c["scenario"], c["algorithm"]) for c in cases):
        group = [c for c in cases if (c["scenario"], c["algorithm"]) == learner]
        if len(group) > 1:
            lines += [f"### What changes the score of {learner[1]} on {learner[0]}", ""]
            rows = (_difference(c) for c in group)
            columns = ("", "", "minutes on a core", "seeds", "score, median", "mpc-noisy", "mpc-perfect")
            lines += [*table(columns, rows), ""]
    return lines


def _difference(case: Case) -> list[str]:
    score, variant = case["summary"]["score"], case["variant"]
    found = [f"**{fixed(score['median'])}**", *(fixed(_of_mpc(case, name)) for name in ("mpc-noisy", "mpc-perfect"))]
    return [variant, VARIANTS[variant].why, f"{case['minutes']:g}", str(score["seeds"]), *found]


def _of_mpc(case: Case, name: str) -> float | None:
    return next((b["score"] for b in case["baselines"] if b["name"] == name), None)


_SHOWN = (("cost_eur", 2), ("stability", 3), ("peak_kw", 1), ("transferred_kwh", 1), ("gini_benefit", 2))


def _median(case: Case, name: str) -> float | None:
    return case["summary"].get(name, {}).get("median")


def _learner(case: Case) -> list[str]:
    score = case["summary"]["score"]
    interval = "–" if score["ci95"] is None else " … ".join(fixed(x) for x in score["ci95"])
    return [f"**{case['algorithm']}**, {score['seeds']} seeds", f"**{fixed(score['median'])}**", fixed(score["mean"]),
            interval, f"{fixed(score['min'])} … {fixed(score['max'])}", f"{case['minutes']:g}{_maker(case)}",
            *(fixed(_median(case, name), digits) for name, digits in _SHOWN)]  # fmt: skip


def _maker(case: Case) -> str:
    """Of the processor it was trained on, as the first word of its name."""
    return f", {case['trained_on'].split()[0].removesuffix('(R)')}" if "trained_on" in case else ""


def _decision(case: Case) -> str:
    d, plans = case["decision"], times_a_plan(case)
    held = "" if plans == d["ratio"] else f"; it decides every step, and a plan of an hour costs {plans:,.0f} decisions"
    return (
        f"- A step's decision of a community takes {case['algorithm']} {d['policy_us']:.2g} µs of a core in a batch "
        f"of {d['grids']:,}, and {d['mpc']} {d['mpc_us']:,.0f} in one of {d.get('planned', 1)}: "
        f"{d['ratio']:,.0f} times as long{held}."
    )


def _baseline(row: dict[str, Any], episodes: int) -> list[str]:
    mark = "" if row["episodes"] == episodes else f" (first {row['episodes']})"
    rest = [fixed(row.get(name), digits) for name, digits in _SHOWN]
    return [row["name"] + mark, fixed(row["score"]), "", "", "", "", *rest]


def scoreboard(content: Case) -> list[str]:
    """Every controller on the same test episodes."""
    columns = ("controller", "score", "95 % interval", "cost EUR", "forecast", "stability", "voltage h", "overload h",
               "peak kW", "CO₂ kg", "Gini", "µs a decision")  # fmt: skip
    shown = (("stability", 3), ("voltage_violation_h", 1), ("overload_h", 1), ("peak_kw", 1), ("co2_kg", 0),
             ("gini_benefit", 2), ("decision_us", 0))  # fmt: skip
    return table(columns, (
        [_baseline(row, content["episodes"])[0], fixed(row["score"]),
         "–" if row["score_ci"] is None else " … ".join(fixed(x, 2) for x in row["score_ci"]),
         fixed(row["cost_eur"], 2), row["forecast"] or "–",
         *(fixed(row["kpis"].get(name), digits) for name, digits in shown)]
        for row in content["rows"]
    ))  # fmt: skip
