"""A user's own prices: `timestamp, import_eur_per_kwh, export_eur_per_kwh`, instead of the tariff's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from smartgrid_core.profiles.csv_table import (
    CsvTable,
    check_uniform,
    open_time_zone,
    read_csv_table,
    stamp_text,
    standard_minutes,
)
from smartgrid_core.profiles.types import Profiles

PRICE_COLUMNS = ("timestamp", "import_eur_per_kwh", "export_eur_per_kwh")
HIGHEST_EUR_PER_KWH = 10.0  # above the European day-ahead cap of 4 EUR/kWh (ACER 2023) with room for grid fees


def with_prices(profiles: Profiles, path: str | Path, *, time_zone: str | None = None) -> Profiles:
    """Profiles with the prices of a file, which covers all their time; faults are told as by `csv_profiles`.

    Args:
        path: file with timestamp, import_eur_per_kwh, export_eur_per_kwh; its step may be a multiple of the profiles'
            (hourly prices).
        time_zone: as of `csv_profiles`.
    """
    table = read_csv_table(path, PRICE_COLUMNS)
    minutes = standard_minutes(table, open_time_zone(time_zone), [""] * len(table.rows))
    start = int(profiles.start.astype("datetime64[m]").astype(np.int64))
    end = start + profiles.num_steps * profiles.step_minutes
    imports, exports = _prices(table, minutes, start, end, profiles.step_minutes)
    return replace(profiles, import_price=imports, export_price=exports)


class PriceSpan(NamedTuple):
    """What a price file covers."""

    rows: int
    start: np.datetime64  # minutes, standard time
    end: np.datetime64  # start of the last step
    lowest_import_eur_per_kwh: float
    highest_import_eur_per_kwh: float


def csv_prices(path: str | Path, *, time_zone: str | None = None, step_minutes: int = 15) -> PriceSpan:
    """Check a price file alone, before there is a load to cover; faults are told as by `csv_profiles`."""
    table = read_csv_table(path, PRICE_COLUMNS)
    minutes = standard_minutes(table, open_time_zone(time_zone), [""] * len(table.rows))
    first, last = int(minutes[0]), int(minutes[-1])
    _prices(table, minutes, first, last, step_minutes)
    imports = table.numbers(PRICE_COLUMNS[1], "EUR/kWh")
    start, end = np.datetime64(first, "m"), np.datetime64(last, "m")
    return PriceSpan(len(table.rows), start, end, float(imports.min()), float(imports.max()))


def _prices(
    table: CsvTable, minutes: np.ndarray, start: int, end: int, step_minutes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Import and export price of the steps from `start` to `end`, [T] float64 each."""
    price_step = int(minutes[1] - minutes[0]) if minutes.size > 1 else step_minutes
    if price_step <= 0 or price_step % step_minutes or 1440 % price_step:
        price_step = step_minutes
    check_uniform(table, np.arange(minutes.size), minutes, price_step, "the price file")
    covered = int(minutes[-1]) + price_step
    if minutes[0] > start or covered < end:
        line = 0 if minutes[0] > start else minutes.size - 1
        table.fail(
            int(line),
            "timestamp",
            f"prices cover {stamp_text(int(minutes[0]))} to {stamp_text(covered)} standard time, the profiles "
            f"need {stamp_text(start)} to {stamp_text(end)}; extend the price file",
        )
    values = [table.numbers(column, "EUR/kWh") for column in PRICE_COLUMNS[1:]]
    for column, prices in zip(PRICE_COLUMNS[1:], values, strict=True):
        large = np.flatnonzero(np.abs(prices) > HIGHEST_EUR_PER_KWH)
        if large.size:
            table.fail(
                int(large[0]),
                column,
                f"beyond ±{HIGHEST_EUR_PER_KWH:g} EUR/kWh: is the column in EUR/MWh (divide by "
                "1000) or ct/kWh (divide by 100)?",
            )
    above = np.flatnonzero(values[1] > values[0])
    if above.size:
        line = int(above[0])
        table.fail(
            line,
            "export_eur_per_kwh",
            f"above the import price of {values[0][line]:g} EUR/kWh in the same row: buying to "
            "sell would earn money without end; lower it to the import price at most",
        )
    at = (np.arange(start, end, step_minutes) - int(minutes[0])) // price_step
    return values[0][at], values[1][at]
