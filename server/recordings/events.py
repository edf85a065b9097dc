"""What is worth finding in a recording: outages, overloads, voltage violations, perturbations, as intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

EventKind = Literal["outage", "overload", "voltage_violation", "perturbation"]


class Event(NamedTuple):
    """Something that begins in a frame."""

    kind: EventKind
    detail: str


class Change(NamedTuple):
    """What a frame changes, by the events' keys: which begin in it, which are over."""

    begun: dict[str, Event]
    over: list[str]


class EventDetector:
    """Finds where conditions begin and end, frame by frame."""

    def __init__(self, lasting: frozenset[str] = frozenset()):
        self.lasting = lasting

    def update(self, frame: Mapping[str, Any]) -> Change:
        """Compare a frame (`wire.Frame`) with the one before."""
        found = conditions(frame)
        begun = {key: event for key, event in found.items() if key not in self.lasting}
        over = sorted(self.lasting - found.keys())
        self.lasting = frozenset(found)
        return Change(begun, over)


def conditions(frame: Mapping[str, Any]) -> dict[str, Event]:
    """Which conditions hold in a frame, with a sentence each; keys tell apart events of one kind."""
    found: dict[str, Event] = {}
    metrics = frame["metrics"]
    cut_off = [agent["id"] for agent in frame["agents"] if agent["status"] in ("islanded", "unserved")]
    if frame["islanded"] or cut_off:
        who = "the community" if frame["islanded"] else _named(cut_off)
        found["outage"] = Event("outage", f"without the utility: {who}")
    if metrics["overloads"]:
        branches = "branch above its rating" if metrics["overloads"] == 1 else "branches above their rating"
        detail = f"{metrics['overloads']} {branches}, the worst at {metrics['max_loading']:.0%}"
        found["overload"] = Event("overload", detail)
    if not metrics["converged"]:
        found["voltage_violation"] = Event("voltage_violation", "voltage collapse: the power flow has no solution")
    elif metrics["violations"]:
        span = f"{metrics['min_voltage_pu']:.3f} to {metrics['max_voltage_pu']:.3f} p.u."
        buses = "bus" if metrics["violations"] == 1 else "buses"
        detail = f"{metrics['violations']} {buses} outside the voltage band, {span}"
        found["voltage_violation"] = Event("voltage_violation", detail)
    for item in frame["perturbations"]:
        key = f"perturbation {item['kind']} {item.get('branch')}"
        found[key] = Event("perturbation", _perturbed(item))
    return found


def _perturbed(item: Mapping[str, Any]) -> str:
    kind, magnitude, branch = item["kind"], item.get("magnitude"), item.get("branch")
    said = kind.replace("_", " ") + (f" of branch {branch}" if branch is not None else "")
    sentence = {
        "cloud": "{:.0%} of the sun left", "price_spike": "+{:g} EUR/kWh to import", "demand_surge": "× {:g}",
    }.get(kind)  # fmt: skip
    return f"{said}, {sentence.format(magnitude)}" if sentence and magnitude is not None else said


def _named(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
