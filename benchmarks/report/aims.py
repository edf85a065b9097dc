"""The table at the top: what was aimed at, what was found, and, where it was missed, what bounds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.decisions import times_a_plan
from benchmarks.learning import MINUTES, VARIANTS
from benchmarks.report.markdown import Case, at_median, fixed, number, table, times
from benchmarks.startup import COLD, FIRST_UPDATE, HELP, SHAC_UPDATE

Results = Mapping[str, list[Case]]
"""Cases by suite, those measured on a CPU."""


class Aim(NamedTuple):
    """One figure that was aimed at."""

    what: str
    least: float | None  # of one of these two
    most: float | None
    found: float | None
    shown: Callable[[float], str]
    bounds: str  # said where it is missed

    @property
    def met(self) -> bool | None:
        """None where nothing was measured."""
        if self.found is None:
            return None
        return self.found >= self.least if self.least is not None else self.found <= (self.most or 0.0)

    def row(self) -> tuple[str, str, str, str, str]:
        """Of the table."""
        asked = f"≥ {self.shown(self.least)}" if self.least is not None else f"≤ {self.shown(self.most or 0.0)}"
        found = "–" if self.found is None else self.shown(self.found)
        word = {None: "not measured", True: "yes", False: "no"}[self.met]
        return self.what, asked, found, word, "" if self.met else self.bounds


def aims(results: Results) -> list[str]:
    """The section; empty where nothing was measured."""
    found = [aim for of in (_env, _power_flow, _train, _learning, _serve, _viewer) for aim in of(results)]
    if not any(aim.found is not None for aim in found):
        return []
    columns = ("on two CPU cores", "aim", "found", "met", "what bounds it")
    return ["## What was aimed at", "", *table(columns, (aim.row() for aim in found))]


def _env(results: Results) -> Iterator[Aim]:
    cases = results.get("env", [])
    steps = [c for c in cases if c.get("name") == "Simulator.step" and c["compiled"] and c["power_flow"]]
    fastest = max(steps, key=lambda c: c["agent_steps_per_s"], default=None)
    limits = next((c for c in cases if c.get("case") == "limits"), None)
    bound = "bytes: results leave the caches"
    if limits and fastest:
        agents = fastest["agent_steps_per_s"] * fastest["us_per_call"] / 1e6 / fastest["num_grids"]
        most = limits["copy_gb_per_s"] * 1e9 / limits["bytes_per_env_step"] * agents
        part = fastest["agent_steps_per_s"] / most
        bound = (
            f"bytes, in part: to copy what a step reads and writes allows {_millions(most)} here, {part:.0%} reached"
        )
    rate = None if fastest is None else fastest["agent_steps_per_s"]
    yield Aim("agent-steps a second, 15 buses, power flow, everything included", 40e6, None, rate, _millions, bound)
    rates = {c["name"]: c["agent_steps_per_cpu_s"] for c in cases if c.get("case") == "peer"}
    c, jax = rates.get("this step in C"), rates.get("this step in JAX (jit, vmap)")
    most = f"the step in C, written for this, does {times(c / jax)}" if c and jax else ""
    for name, least, why in (("this step in C", 0.5, ""), ("this step in JAX (jit, vmap)", 5.0, most)):
        yield Aim(f"the step against {name.removeprefix('this step in ')}, a thread each", least, None,
                  _beside(cases, name), times, why)  # fmt: skip
    plain = "a plain PettingZoo env in NumPy, no power flow"
    yield Aim(f"one community through PettingZoo, power flow included, against {plain}", 2.0, None,
              _beside(cases, plain), times, "")  # fmt: skip
    large = next((c for c in steps if c["num_grids"] == 65_536), {})
    taken = large.get("measured_bytes_per_grid")
    yield Aim("memory of 65,536 grids of community-5, GiB", None, 2.0, taken and taken * 65_536 / 2**30, _two, "")


def _beside(cases: list[Case], name: str) -> float | None:
    peer = next((c for c in cases if c.get("case") == "peer" and c["name"] == name), None)
    if peer is None:
        return None
    return max(peer["ours"], key=lambda o: o["num_grids"])["ratio"]


def _power_flow(results: Results) -> Iterator[Aim]:
    cases = results.get("power-flow", [])
    for buses, least in ((15, 20.0), (129, 5.0), (300, 5.0)):
        usual = [c for c in cases if c["buses"] == buses and not c["near_limit"]]
        largest = max(usual, key=lambda c: c["batch"], default=None)
        for form in ("compiled", "eager"):
            found = None if largest is None else largest["speedup"][form]
            what = f"power flow of {buses} buses against power-grid-model, a thread each, {form}"
            yield Aim(what, least, None, found, times, "torch operations one by one" if form == "eager" else "")


def _train(results: Results) -> Iterator[Aim]:
    cases = {c["name"]: c for c in results.get("train", [])}
    ours, equal = cases.get("own loop, default settings"), cases.get("own loop, equal settings")
    rate = None if ours is None else ours["agent_steps_per_cpu_s"]
    held = f", a decision held for {ours['settings']['hold_h']:g} h" if ours else ""
    yield Aim(f"agent-steps a second of training, updates included, one core{held}", 1e5, None, rate, number, "")
    for what, case, least in (
        ("ours by default, an action held for an hour, RLlib's with equal settings", ours, 100.0),
        ("settings equal but that it steps one community and ours 32, both compiled", equal, 10.0),
    ):
        ratios = case["ratio_to_peers"] if case else {}
        found = ratios.get("RLlib PPO on parallel_env, equal settings")
        yield Aim(f"env-steps of training a CPU-second against RLlib, {what}", least, None, found, times, "")
    update = next((c for c in results.get("train", []) if c.get("case") == "update"), None)
    yield Aim("matrix products of an update, of what the machine multiplies", 0.5, None,
              None if update is None else update["fraction"], _percent,
              "passes through networks alone are at 51–57%, SiLU a tenth of it; small operations take a third of the "
              "time (NOTES)")  # fmt: skip
    for name, what, most in (
        (HELP, "the trainer's help, s", 1.0),
        (FIRST_UPDATE, "a run's first update, what was compiled before kept, s", 30.0),
        (FIRST_UPDATE + COLD, "the same with nothing kept, s", 30.0),
        (SHAC_UPDATE + COLD, "the same of shac, s", 30.0),
    ):
        bounds = "torch.compile of the step's gradients" if name == SHAC_UPDATE + COLD else ""
        yield Aim(what, None, most, cases[name]["seconds"] if name in cases else None, _two, bounds)


def _learning(results: Results) -> Iterator[Aim]:
    cases = results.get("learning", [])
    mpc = "model predictive control with the same forecast is at {}; "
    for scenario, algorithm, least in (
        ("community-5", "shac", 0.94), ("community-5", "ippo", 0.85), ("community-5", "mappo", 0.85),
        ("rural-lv", "shac", 0.94), ("rural-lv", "ippo", 0.85), ("rural-lv", "mappo", 0.85),
    ):  # fmt: skip
        wanted = {"scenario": scenario, "variant": "default", "algorithm": algorithm, "minutes": MINUTES[algorithm]}
        case = next((c for c in cases if wanted.items() <= {name: c[name] for name in wanted}.items()), None)
        same = None if case is None else _baseline(case, "mpc-noisy")
        why = (mpc.format(fixed(same)) if same is not None else "") + _instead(cases, case)
        found = None if case is None else case["summary"]["score"]["median"]
        what = f"{algorithm} on {scenario}{_trained(case)}"
        yield Aim(f"score of {what}", least, None, found, fixed, why)
        if case is None:
            continue
        persistence = _baseline(case, "mpc-persistence")
        if algorithm != "shac" and persistence is not None:
            lead = case["summary"]["score"]["median"] - persistence
            yield Aim(f"the same above model predictive control's that takes yesterday for today, {algorithm} on "
                      f"{scenario}", 0.0, None, lead, _signed, "")  # fmt: skip
        behind = case["summary"]["score"]["median"] - case["summary"]["score"]["min"]
        yield Aim(
            f"the last of these seeds behind their median, {algorithm} on {scenario}", None, 0.03, behind, fixed, ""
        )
    long = [c for c in cases if c["algorithm"] == "shac" and c["variant"] == "default" and c["minutes"] >= 20]
    for case in long:
        what = f"score of shac on {case['scenario']}{_trained(case)}, converged"
        yield Aim(what, 0.97, None, case["summary"]["score"]["median"], fixed, _instead(cases, case))
    for scenario in ("community-5", "rural-lv"):
        yield from _beside_planning([c for c in cases if (c["scenario"], c["variant"]) == (scenario, "default")])


def _trained(case: Case | None) -> str:
    """For how long, where and how often."""
    if case is None:
        return ""
    seeds = case["summary"]["score"]["seeds"]
    many = f"{seeds} seeds" if seeds > 1 else "one seed"
    return f", {case['minutes']:g} minutes of one core ({case['trained_on']}), {many}"


def _baseline(case: Case, name: str) -> float | None:
    return next((b["score"] for b in case["baselines"] if b["name"] == name), None)


def _beside_planning(cases: list[Case]) -> Iterator[Aim]:
    """The best learner beside model predictive control that sees the same forecast, and what a decision costs each.

    Of runs of the usual length: a long one of few seeds would flatter it.
    """
    usual = [c for c in cases if c["minutes"] == MINUTES[c["algorithm"]]]
    best = max(usual, key=lambda c: c["summary"]["score"]["median"], default=None)
    same = _baseline(best, "mpc-noisy") if best else None
    if best is None or same is None:
        return
    what = f"{best['algorithm']} on {best['scenario']}, {best['summary']['score']['seeds']} seeds,"
    lead = best["summary"]["score"]["median"] - same
    yield Aim(f"score of {what} above model predictive control's, same forecast", -0.01, None, lead, _signed, "")
    if "decision" in best:
        step = times(best["decision"]["ratio"])
        against = f"a plan of model predictive control (over the same steps: {step})"
        yield Aim(f"a decision of {what} in a batch, against {against}", 1000.0, None, times_a_plan(best), times, "")


def _instead(cases: list[Case], case: Case | None) -> str:
    """What else was tried, and what it came to: what limits a score shows where it moves."""
    learner = case and (case["scenario"], case["algorithm"])
    others = [c for c in cases if c is not case and (c["scenario"], c["algorithm"]) == learner]
    tried = (f"{fixed(c['summary']['score']['median'])} {_changed(c)}" for c in others)
    return "; ".join(tried) or "not known yet: no experiment tells"


def _changed(case: Case) -> str:
    if case["variant"] == "default":
        return f"after {case['minutes']:g} minutes"
    return f"where {VARIANTS[case['variant']].why}"


def _serve(results: Results) -> Iterator[Aim]:
    cases = [c for c in results.get("serve", []) if c["case"] == "broadcast" and c["scenario"] == "community-5"]
    ours, node = (
        next((c for c in cases if not c["peer"]), None),
        next((c for c in cases if c["name"] == "Node ws"), None),
    )
    ratio = None
    if ours and node:
        rate = ours["windows"][-1]["messages"] / ours["windows"][-1]["seconds"]
        beyond = ours["cpu_us_per_message"] - ours["idle_cpu_share"] / rate * 1e6
        ratio = beyond / node["cpu_us_per_message"]
    yield Aim("CPU a message beyond simulation and recording, against Node's ws", None, 1.1, ratio, times,
              "Python's part of a write")  # fmt: skip
    p99 = None if ours is None else ours["latency_p99_ms"]
    yield Aim("latency of frames to 1,000 viewers, p99 ms", None, 50.0, p99, number, _NOISE)
    soak: Any = next((c for c in results.get("serve", []) if c["case"] == "soak"), {})
    if soak:
        what = f"the same over {soak['minutes']:g} minutes, p99 ms"
        yield Aim(what, None, 50.0, soak["latency_ms"]["p99"], number, _NOISE)
    acks = None if ours is None else ours["asked"]["ack_ms"]["p99"]
    yield Aim("command to its answer under that load, p99 ms", None, 50.0, acks, number, _NOISE)
    deaf: Any = next((c for c in results.get("serve", []) if c["case"] == "deaf"), {})
    yield Aim("worst gap of others beside 10 that never read, s", None, 0.3, deaf.get("worst_gap_s"), _two, "")


def _viewer(results: Results) -> Iterator[Aim]:
    for case in (at_median(c) for c in results.get("viewer", []) if c["case"] == "frames"):
        least = 30.0 if case["agents"] >= 1000 else 58.0
        yield Aim(f"frames a second of the page, {case['agents']:,} prosumers", least, None, case["fps"], number, "")


def _millions(value: float) -> str:
    return f"{number(value / 1e6)} M"


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _two(value: float) -> str:
    return fixed(value, 2)


_NOISE = "the machine, which others share: it differs from run to run by more than it lacks"
