"""Tables and numbers as Markdown; the same input gives the same text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Case = dict[str, Any]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; the first column is set to the left, the others to the right."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [*lines, ""]


def number(value: float | None, figures: int = 3) -> str:
    """A number with so many significant figures, thousands set apart."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (figures - 1):
        return f"{float(f'{value:.{figures}g}'):,.0f}"
    text = f"{value:.{figures}g}"
    return text if "e" not in text else f"{value:.1e}"


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with so many digits behind the point; what rounds to 0 has no sign."""
    return "–" if value is None else f"{round(value, digits) + 0.0:,.{digits}f}"


def spread(middle: float | None, low: float | None, high: float | None) -> str:
    """Median and, behind it, the range."""
    return number(middle) if low is None or high is None else f"{number(middle)} ({number(low)}–{number(high)})"


def times(ratio: float | None) -> str:
    """A ratio."""
    return "–" if ratio is None else f"{number(ratio)}×"


def yes(value: bool) -> str:
    """A flag."""
    return "yes" if value else "no"


def where(machine: Case) -> list[str]:
    """The line that says on what, with what and when a section was measured."""
    cores, threads = machine.get("logical_cores"), machine.get("threads")
    parts = [machine.get("gpu") or machine["cpu"], f"{cores} logical cores", f"threads of torch: {threads}"]
    versions = machine.get("versions", {})
    parts += [f"torch {versions['torch']}"] if versions.get("torch") else []
    parts += [f"commit {machine['commit']}"] if machine.get("commit") else []
    return [f"*Measured {machine['time'][:10]}: {', '.join(parts)}.*", ""]


def scalars(cases: Sequence[Case]) -> list[str]:
    """The plain fields of cases as they are: for suites that have no section of their own."""
    columns = list(dict.fromkeys(k for c in cases for k, v in c.items() if not isinstance(v, (dict, list))))

    def cell(value: Any) -> str:
        if isinstance(value, bool):
            return yes(value)
        return number(value) if isinstance(value, (int, float)) else "–" if value is None else str(value)

    return table(columns, ([cell(case.get(column)) for column in columns] for case in cases)) if columns else []


def at_median(case: Case) -> Case:
    """A case of the page with the figures of its window of median frames a second; others as they are."""
    windows = sorted(case.get("windows", ()), key=lambda window: window["fps"])
    return case | windows[len(windows) // 2] if windows else case
