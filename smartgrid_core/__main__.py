"""Command line: `python -m smartgrid_core scenarios | describe NAME | validate FILE`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from smartgrid_core.config import EventConfig, GridConfig, ProsumerConfig
from smartgrid_core.params import trade_limits_kw
from smartgrid_core.power_flow import FeederError
from smartgrid_core.profiles.load import TYPICAL_ANNUAL_KWH
from smartgrid_core.profiles.types import ProfileError
from smartgrid_core.registry import ConfigError, list_saved_scenarios, list_scenarios
from smartgrid_core.simulator import Simulator

FAULTS = (ConfigError, ProfileError, FeederError, ImportError, OSError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, or 2 where the scenario cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except FAULTS as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m smartgrid_core", description="Scenarios of prosumer communities.")
    commands = parser.add_subparsers(required=True, metavar="scenarios | describe | validate")
    listing = commands.add_parser("scenarios", help="list the scenarios that ship, and those saved on the page")
    listing.set_defaults(run=_scenarios)
    describe = commands.add_parser("describe", help="what a scenario implies, number by number")
    describe.add_argument("scenario", metavar="NAME", help="name of a scenario, or path of a .toml file")
    describe.add_argument("--observations", action="store_true", help="also list every entry of the observation")
    describe.add_argument("--json", action="store_true", help="everything as JSON on standard output")
    describe.set_defaults(run=_describe)
    validate = commands.add_parser("validate", help="check a scenario file, its feeder, links and data")
    validate.add_argument("file", metavar="FILE", help="path of a .toml file, or name of a scenario")
    validate.set_defaults(run=_validate)
    return parser


def _scenarios(_arguments: argparse.Namespace) -> int:
    table = _table("name", "agents", "days", "source", "links", "events", "description", right=("agents", "days"))
    for name in [*list_scenarios(), *list_saved_scenarios()]:
        try:
            config = GridConfig.load(name)
        except ConfigError as error:  # a saved one may have been edited by hand
            table.add_row(name, "", "", "", "", "", str(error).splitlines()[0])
            continue
        events = ", ".join(dict.fromkeys(e.kind.replace("_", " ") for e in config.events)) or "–"
        table.add_row(
            name, str(config.num_agents), f"{config.episode_days:g}", config.profiles.source,
            _topology(config), events, config.description,
        )  # fmt: skip
    _console().print(table)
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    config = GridConfig.load(arguments.file)
    held_out = ("test", "validation", "train") if config.profiles.hold_out else ("all",)  # the shortest blocks first
    simulator = Simulator(config, split=held_out[0])
    for split in held_out[1:]:
        simulator.table.starts_of(split)
    print(
        f"OK  {arguments.file}: {config.num_agents} prosumers, {len(simulator.links.pairs)} links, "
        f"{len(simulator.feeder.bus_names)} buses, {config.episode_steps} steps of {config.step_minutes} min"
    )
    return 0


def _describe(arguments: argparse.Namespace) -> int:
    facts = describe(Simulator(GridConfig.load(arguments.scenario)))
    if arguments.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print_facts(facts, _console(), arguments.observations)
    return 0


def describe(simulator: Simulator) -> dict[str, Any]:
    """Everything a scenario implies, as plain values; names carry units, a range is [low, high]."""
    config, feeder = simulator.config, simulator.feeder
    limits_kw = trade_limits_kw(config, simulator.table.profiles)
    has_transformer = feeder.kind[0] == "transformer"
    return {
        "name": config.name,
        "description": config.description,
        "sizes": {
            "agents": simulator.num_agents,
            "link_slots": simulator.num_slots,
            "action_entries": simulator.action_dim,
            "observation_entries": simulator.observation_dim,
            "bytes_per_grid": simulator.bytes_per_grid,
            "step_minutes": config.step_minutes,
            "episode_days": config.episode_days,
            "episode_steps": config.episode_steps,
        },
        "feeder": {
            "name": feeder.name,
            "buses": len(feeder.bus_names),
            "branches": len(feeder.branch_names),
            "transformer_kva": float(feeder.rating_to_kva[0]) if has_transformer else None,
            "power_flow": config.network.power_flow,
            "impedance_scale": _plain(config.network.impedance_scale),
        },
        "prosumers": [
            _prosumer(i, agent, config, feeder.bus_names[bus], trade)
            for i, (agent, bus, trade) in enumerate(
                zip(config.agents, simulator.agent_bus.tolist(), limits_kw, strict=True)
            )
        ],
        "links": {
            "topology": _topology(config),
            "rating_kw": config.links.rating_kw,
            "pairs": simulator.links.pairs.tolist(),
        },
        "tariff": _tariff(simulator),
        "profiles": config.profiles.model_dump(mode="json", exclude_none=True),
        "forecast": config.forecast.model_dump(mode="json"),
        "events": [_event(e) for e in config.events],
        "trade_mode": config.trade_mode,
        "transfer_rule": config.transfer_rule,
        "reward_weights": config.rewards.model_dump(),
        "stability_weights": config.stability.model_dump(),
        "actions": simulator.action_names,
        "observations": [entry._asdict() for entry in simulator.observation_entries],
    }


def _prosumer(
    index: int, agent: ProsumerConfig, config: GridConfig, bus: str, trade_kw: tuple[float, float]
) -> dict[str, Any]:
    """One row; None where the data, not the scenario, decide."""
    synthetic, measured = config.profiles.source == "synthetic", config.profiles.source == "csv"
    annual, typical = None if measured else agent.annual_demand_kwh, TYPICAL_ANNUAL_KWH[agent.archetype]
    if annual is None and synthetic:
        annual = (typical, typical)
    solar = agent.solar.capacity_kwp if agent.solar and not measured else (0.0, 0.0) if synthetic else None
    return {
        "id": f"agent_{index}",
        "name": agent.name,
        "archetype": agent.archetype if synthetic else None,
        "annual_demand_kwh": None if annual is None else _plain(annual),
        "demand_scale": _plain(agent.demand_scale),
        "solar_kwp": None if solar is None else _plain(solar),
        "battery_kwh": _plain(agent.battery.capacity_kwh),
        "charge_kw": _plain(agent.battery.charge_kw),
        "discharge_kw": _plain(agent.battery.discharge_kw),
        "trade_kw": _plain(trade_kw),
        "bus": bus,
    }


def _tariff(simulator: Simulator) -> dict[str, Any]:
    """Prices over a day as bands of constant price, or the range of a price file."""
    config, profiles = simulator.config, simulator.table.profiles
    tariff = config.tariff
    facts: dict[str, Any] = {
        "level": _plain(tariff.level),
        "imbalance_penalty_eur_per_kwh": tariff.imbalance_penalty_eur_per_kwh,
        "lost_load_eur_per_kwh": tariff.lost_load_eur_per_kwh,
    }
    if profiles.import_price is not None and profiles.export_price is not None:
        for name, series in (("import", profiles.import_price), ("export", profiles.export_price)):
            facts[f"{name}_eur_per_kwh"] = [float(series.min()), float(series.max())]
        return facts
    prices = list(zip(*tariff.daily_prices(config.steps_per_day), strict=True))
    bands, start = [], 0
    for (buy, sell), steps in groupby(prices):
        end = start + len(list(steps))
        hours = [24 * k / config.steps_per_day for k in (start, end)]
        bands.append({"hours": hours, "import_eur_per_kwh": buy, "export_eur_per_kwh": sell})
        start = end
    return facts | {"day": bands}


def _event(event: EventConfig) -> dict[str, Any]:
    return {"kind": event.kind} | event.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})


def _topology(config: GridConfig) -> str:
    topology = config.links.topology
    return topology if isinstance(topology, str) else f"{len(topology)} pairs"


def _plain(quantity: tuple[float, float]) -> float | list[float]:
    """A quantity as one number, or as a range where it is drawn per grid."""
    return quantity[0] if quantity[0] == quantity[1] else list(quantity)


def _show(value: Any) -> str:
    """A value of the facts as people read it."""
    if value is None:
        return "from data"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " – ".join(_show(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


_PROSUMER_COLUMNS = (  # of the values that `_prosumer` returns, in their order
    *("id", "name", "archetype", "kWh a year", "demand scale", "solar kWp", "battery kWh"),
    *("charge kW", "discharge kW", "trade kW", "bus"),
)


def _console() -> Console:
    """Wide enough for the tables where the output is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=140)


def _table(*columns: str, title: str | None = None, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    return table


def _print_facts(facts: dict[str, Any], console: Console, observations: bool) -> None:
    console.print(f"[bold]{facts['name']}[/bold]  {facts['description']}\n", highlight=False)
    for title in ("sizes", "feeder"):
        _print_pairs(console, title, facts[title])
    people = _table(*_PROSUMER_COLUMNS, title="prosumers")
    for row in facts["prosumers"]:
        people.add_row(*map(_show, row.values()))
    console.print(people)
    links = facts["links"]
    pairs = "  ".join(f"{i}–{j}" for i, j in links["pairs"])
    _print_pairs(console, "links", {k: links[k] for k in ("topology", "rating_kw")} | {"pairs": pairs or "none"})
    tariff = dict(facts["tariff"])
    day = _table("from", "to", "import EUR/kWh", "export EUR/kWh", title="prices over the day")
    for band in tariff.pop("day", []):
        hours = (f"{int(h):02d}:{round(60 * (h % 1)):02d}" for h in band["hours"])
        day.add_row(*hours, _show(band["import_eur_per_kwh"]), _show(band["export_eur_per_kwh"]))
    if day.row_count:
        console.print(day)
    _print_pairs(console, "tariff", tariff)
    for title in ("profiles", "forecast", "reward_weights", "stability_weights"):
        _print_pairs(console, title.replace("_", " "), facts[title])
    _print_pairs(console, "rules", {k: facts[k] for k in ("trade_mode", "transfer_rule")})
    for event in facts["events"]:
        _print_pairs(console, f"event: {event['kind']}", {k: v for k, v in event.items() if k != "kind"})
    if observations:
        entries = _table("#", "name", "unit", "divided by", "low", "high", title="observation", right=("#",))
        for k, entry in enumerate(facts["observations"]):
            entries.add_row(str(k), *map(_show, entry.values()))
        console.print(entries)


def _print_pairs(console: Console, title: str, pairs: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column(min_width=22)
    table.add_column()
    for name, value in pairs.items():
        table.add_row(f"  {name}", _show(value))
    console.print(table)
    console.print()


if __name__ == "__main__":
    sys.exit(main())
