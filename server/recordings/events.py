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
    cut_off = [agent["name"] for agent in frame["agents"] if agent["status"] in ("islanded", "unserved")]
    if frame["islanded"]:
        found["outage"] = Event("outage", "Islanded: the utility was cut off")
    elif cut_off:
        found["outage"] = Event("outage", f"Cut off from the utility: {_named(cut_off)}")
    if metrics["overloads"]:
        branches = "branch above its rating" if metrics["overloads"] == 1 else "branches above their rating"
        detail = f"{metrics['overloads']} {branches}, the worst at {_percent(metrics['max_loading'])}"
        found["overload"] = Event("overload", detail)
    if not metrics["converged"]:
        found["voltage_violation"] = Event("voltage_violation", "Voltage collapse: the power flow has no solution")
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
    kind, size, branch = item["kind"], item.get("magnitude"), item.get("branch")
    if kind == "branch_outage" and branch is not None:
        return f"Branch {branch} opened"
    if kind == "islanding":
        return "Islanding: the utility cut off"
    said = kind.replace("_", " ").capitalize()
    if size is None:
        return said
    more = {
        "cloud": f"{_percent(size)} of the sun left",
        "price_spike": f"a kWh costs {size:g} EUR more",
        "demand_surge": f"{size:g} times the demand",
    }
    return f"{said}: {more[kind]}" if kind in more else said


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def _named(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
