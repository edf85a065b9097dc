"""A user's own measurements: `timestamp, agent, demand_kw, generation_kw`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smartgrid_core.profiles.csv_table import (
    CsvTable,
    check_uniform,
    open_time_zone,
    read_csv_table,
    stamp_text,
    standard_minutes,
)
from smartgrid_core.profiles.splits import assign_splits
from smartgrid_core.profiles.types import SPLITS, ProfileError, Profiles

LOAD_COLUMNS = ("timestamp", "agent", "demand_kw", "generation_kw")
# Beyond these a column is in another unit: a low-voltage connection carries at most some hundred kW, and the
# smallest household uses more than 10 W at some moment of a day.
HIGHEST_KW = 2_000.0
LOWEST_PEAK_KW = 0.01


def csv_profiles(
    path: str | Path,
    *,
    time_zone: str | None = None,
    step_minutes: int = 15,
    agents: Sequence[str] | None = None,
    split: str = "weeks",
    margin_steps: int = 0,
) -> Profiles:
    """Profiles from csv files; every fault in them is a `ProfileError` naming file, row, column, value and
    remedy.

    Stamps are ISO 8601 and mark the beginning of a step. Without offset they are on the clock of `time_zone`;
    the result is on its standard time all year, so a summer day's stamps move back by an hour. Data begin at
    the first and end at the last midnight of standard time; what lies outside is left out.

    Args:
        path: file with the columns timestamp, agent, demand_kw, generation_kw; every agent in every step,
            each agent's rows in order; generation_kw is 0 where there is none. Further columns are passed
            over.
        time_zone: IANA name, e.g. Europe/Berlin, of the clock that days and tariffs follow; None: UTC, and stamps with
            another offset are refused.
        step_minutes: of the load file.
        agents: names in the order wanted; None for the order in the file. A file all of whose agents are ids,
            agent_0, agent_1, …, means these names in their order.
        split: "weeks" for train, validation and test weeks (at least four weeks of data), "all" to use every
            day for everything.
        margin_steps: what observations read before and after an episode; for advice where the data are short.

    Returns:
        One demand and one generation column per agent, in kW, with scales of 1.
    """
    table = read_csv_table(path, LOAD_COLUMNS)
    if step_minutes <= 0 or 1440 % step_minutes:
        raise ProfileError(f"step_minutes = {step_minutes}: expected a positive divisor of 1440")
    zone = open_time_zone(time_zone)
    owners = _by_name([text.strip() for text in table.columns["agent"]], agents)
    names = _agent_names(table, owners, agents)
    minutes = standard_minutes(table, zone, owners)
    lines = _lines_by_agent(table, owners, names, minutes, step_minutes)
    start, end = _whole_days(table, minutes[lines[0]], step_minutes)
    kept = slice((start - minutes[lines[0, 0]]) // step_minutes, (end - minutes[lines[0, 0]]) // step_minutes)
    demand, generation = (_power(table, column, lines)[:, kept] for column in LOAD_COLUMNS[2:])

    num_steps = demand.shape[1]
    block, split_of_step = assign_splits(
        num_steps, step_minutes, split=split, source=str(path), margin_steps=margin_steps
    )
    pool = np.arange(len(names), dtype=np.int64)[None, :]
    names_of_splits = SPLITS if split == "weeks" else ("all",)
    return Profiles(
        demand=demand,
        generation=generation,
        demand_scale=np.ones(len(names), np.float32),
        generation_scale=np.ones(len(names), np.float32),
        demand_pool=dict.fromkeys(names_of_splits, pool),
        generation_pool=dict.fromkeys(names_of_splits, pool),
        start=np.datetime64(int(start), "m"),
        step_minutes=step_minutes,
        block=block,
        split_of_step=split_of_step,
        agent_names=tuple(names),
    )


def _by_name(owners: list[str], agents: Sequence[str] | None) -> list[str]:
    """Owners of rows by their prosumers' names, also where the file calls them by their ids."""
    names, found = {f"agent_{index}": name for index, name in enumerate(agents or ())}, set(owners)
    return [names[owner] for owner in owners] if found == set(names) and found != set(agents or ()) else owners


def _agent_names(table: CsvTable, owners: list[str], agents: Sequence[str] | None) -> list[str]:
    found = list(dict.fromkeys(owners))
    if "" in found:
        table.fail(owners.index(""), "agent", "is empty; expected the name of the agent")
    if agents is None:
        return found
    names = list(agents)
    if not names or len(set(names)) != len(names):
        raise ProfileError(f"agents = {names}: expected at least one name, none twice")
    ids = [f"agent_{index}" for index in range(len(names))]
    wanted = ids if set(found) <= set(ids) and not set(found) & set(names) else names  # as the file calls them
    missing = [name for name in wanted if name not in found]
    if missing:
        near = difflib.get_close_matches(missing[0], found, n=1)
        hint = f"; did you mean {near[0]!r}?" if near and wanted is names else ""
        raise ProfileError(
            f"{table.path}, column agent: no row for agent {missing[0]!r}; the file has {', '.join(found)}{hint}"
        )
    unknown = [name for name in found if name not in names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; add it to the agents or remove its rows"
        table.fail(owners.index(unknown[0]), "agent", f"unknown agent; expected one of {', '.join(names)}{hint}")
    return names


def _lines_by_agent(
    table: CsvTable, owners: list[str], names: list[str], minutes: np.ndarray, step_minutes: int
) -> np.ndarray:
    """Lines of the table by agent and step, [N, T]; raises where agents' rows are not uniform or do not
    match."""
    number = {name: index for index, name in enumerate(names)}
    owner = np.array([number[name] for name in owners])
    lines = [np.flatnonzero(owner == index) for index in range(len(names))]
    for name, own in zip(names, lines, strict=True):
        check_uniform(table, own, minutes, step_minutes, f"agent {name!r}")
    spans = [(int(minutes[own[0]]), int(minutes[own[-1]])) for own in lines]
    first, last = max(begin for begin, _ in spans), min(end for _, end in spans)
    for name, own, (begin, end) in zip(names, lines, spans, strict=True):
        if (begin, end) != (first, last):
            line = int(own[0] if begin != first else own[-1])
            table.fail(
                line,
                "timestamp",
                f"agent {name!r} has data from {stamp_text(begin)} to {stamp_text(end)} standard "
                "time, but another only "
                f"from {stamp_text(first)} to {stamp_text(last)}; give all agents the same steps",
            )
    return np.stack(lines)


def _whole_days(table: CsvTable, minutes: np.ndarray, step_minutes: int) -> tuple[int, int]:
    """First midnight and last midnight within the data, in minutes of standard time."""
    start = -(-int(minutes[0]) // 1440) * 1440
    end = (int(minutes[-1]) + step_minutes) // 1440 * 1440
    if end <= start:
        raise ProfileError(
            f"{table.path}, rows {table.rows[0]} to {table.rows[-1]}, column timestamp: "
            f"{stamp_text(int(minutes[0]))} to {stamp_text(int(minutes[-1]))} standard time holds no whole "
            "day from midnight to midnight; give more data"
        )
    return start, end


def _power(table: CsvTable, column: str, lines: np.ndarray) -> np.ndarray:
    """A power column by agent and step, [N, T] float32 kW."""
    values = table.numbers(column, "kW")
    negative = np.flatnonzero(values < 0)
    if negative.size:
        other = "generation_kw" if column == "demand_kw" else "demand_kw"
        table.fail(
            int(negative[0]),
            column,
            "is negative; expected kW >= 0. Take a net value apart: what is used in "
            f"{column}, what is produced in {other}",
        )
    large = np.flatnonzero(values > HIGHEST_KW)
    if large.size:
        table.fail(int(large[0]), column, f"above {HIGHEST_KW:,.0f} kW: is the column in W? Divide it by 1000")
    by_agent = values[lines]
    for row, own in zip(lines, by_agent, strict=True):
        if 0 < own.max() < LOWEST_PEAK_KW:
            agent = table.columns["agent"][row[0]].strip()
            table.fail(
                int(row[own.argmax()]),
                column,
                f"is the highest value of agent {agent!r}, below {LOWEST_PEAK_KW} kW: is "
                "the column in MW? Multiply it by 1000",
            )
    return by_agent.astype(np.float32)
