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
        detail = f"{metrics['overloads']} branches above their rating, the worst at {metrics['max_loading']:.0%}"
        found["overload"] = Event("overload", detail)
    if not metrics["converged"]:
        found["voltage_violation"] = Event("voltage_violation", "voltage collapse: the power flow has no solution")
    elif metrics["violations"]:
        span = f"{metrics['min_voltage_pu']:.3f} to {metrics['max_voltage_pu']:.3f} p.u."
        detail = f"{metrics['violations']} buses outside the voltage band, {span}"
        found["voltage_violation"] = Event("voltage_violation", detail)
    for item in frame["perturbations"]:
        branch, magnitude = item.get("branch"), item.get("magnitude")
        detail = item["kind"] + (f" of branch {branch}" if branch is not None else "")
        key = f"perturbation {detail}"
        found[key] = Event("perturbation", detail + (f", magnitude {magnitude:g}" if magnitude is not None else ""))
    return found


def _named(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
