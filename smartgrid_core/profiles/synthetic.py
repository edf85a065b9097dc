"""Profiles without any download: demand of five archetypes and photovoltaic generation of one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from smartgrid_core.profiles.archetypes import ARCHETYPE_PARTS, SHAPES, EventPart, SteadyPart
from smartgrid_core.profiles.forecast import ar1
from smartgrid_core.profiles.solar import (
    SEASON_LAG_DAYS,
    SunPath,
    clear_sky_index,
    horizontal_irradiance,
    photovoltaic_kw_per_kwp,
    sun_path,
)
from smartgrid_core.profiles.splits import assign_splits
from smartgrid_core.profiles.types import (
    ARCHETYPES,
    SPLITS,
    ProfileError,
    Profiles,
    ProsumerProfileSpec,
    with_all,
)

COLUMN_KWH_PER_YEAR = 1000.0  # every demand column; a year has 365 days here
MEAN_KW = COLUMN_KWH_PER_YEAR / 8760.0
MOST_CUSTOMERS = 40  # columns of an archetype and split; among more prosumers some carry the same one
HELD_APART = SPLITS[:3]  # train, validation, test
DAY_CORRELATION = 0.6  # of a customer's level from one day to the next: spells of presence, absence, weather
HABIT_SHIFT_MIN = 25.0  # standard deviation of a customer's clock against the average one
EVENT_POWER_SPREAD = 0.2  # relative, between runs of one appliance
EVENT_POWER_LIMIT = 1.2  # of an appliance's power: two runs of one appliance do not add up
EVENT_HABIT = 0.2  # logarithm of the runs per standard deviation of a day's level
HEATING_LIMIT_C = 15.0  # VDI 2067: no space heating on days warmer than this
HOT_WATER_SHARE = 0.2  # of a heat pump's energy, all year round


def synthetic_profiles(
    specs: Sequence[ProsumerProfileSpec],
    *,
    step_minutes: int = 15,
    latitude_deg: float = 51.5,
    longitude_deg: float = -0.1,
    utc_offset_h: float = 0.0,
    year: int = 2016,
    seed: int = 0,
    columns: tuple[int, int, int] = (8, 2, 4),
    cloud_sequences: tuple[int, int, int] = (8, 2, 4),
) -> Profiles:
    """A year of demand and generation for the prosumers `specs`.

    Demand columns belong to an archetype and carry 1000 kWh per 365 days each, `demand_scale` is the annual
    demand over that. Prosumers of one archetype carry different ones in an episode, up to `MOST_CUSTOMERS` of them:
    copies would peak together. Generation columns are kW per kWp, one for each sequence of clouds and each orientation
    in `specs`. Training, validation and test use columns and clouds of their own, besides weeks of their own.
    A column depends only on `seed`, its archetype, split and number in the pool.

    Args:
        specs: one per agent.
        step_minutes: length of a step, a divisor of 60.
        latitude_deg, longitude_deg: of the place, north and east positive. Temperatures and cloudiness are
            those of southern England whatever the place.
        utc_offset_h: of local standard time.
        year: calendar for weekdays and sun; 2016 matches SimBench (366 days).
        seed: of everything random.
        columns: demand columns per archetype for training, validation, test; at least as many as it has prosumers.
        cloud_sequences: the same for clouds.

    Raises:
        ProfileError: no prosumers, a pool of size 0, a step that does not divide an hour.
    """
    _check_request(specs, step_minutes, columns, cloud_sequences)
    start = np.datetime64(f"{year}-01-01T00:00", "m")
    days = int((np.datetime64(f"{year + 1}-01-01", "D") - start.astype("datetime64[D]")).astype(np.int64))
    num_steps = days * 1440 // step_minutes
    block, split_of_step = assign_splits(num_steps, step_minutes, source="the synthetic year")

    demand, demand_pool, group = _demand_columns(specs, _Clock(start, days, step_minutes), columns, seed)
    sun = sun_path(
        start,
        num_steps,
        step_minutes,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        utc_offset_h=utc_offset_h,
    )
    generation, generation_pool = _generation_columns(specs, sun, days, cloud_sequences, seed)
    return Profiles(
        demand=demand,
        generation=generation,
        demand_scale=np.array([spec.annual_demand_kwh / COLUMN_KWH_PER_YEAR for spec in specs], np.float32),
        generation_scale=np.array([spec.solar_kwp for spec in specs], np.float32),
        demand_pool=with_all(demand_pool),
        generation_pool=with_all(generation_pool),
        start=start,
        step_minutes=step_minutes,
        block=block,
        split_of_step=split_of_step,
        agent_names=tuple(spec.name for spec in specs),
        demand_group=group,
    )


def _check_request(
    specs: Sequence[ProsumerProfileSpec],
    step_minutes: int,
    columns: tuple[int, int, int],
    cloud_sequences: tuple[int, int, int],
) -> None:
    if not specs:
        raise ProfileError("specs is empty: give at least one prosumer")
    if step_minutes <= 0 or 60 % step_minutes:
        raise ProfileError(f"step_minutes = {step_minutes}: expected a divisor of 60, e.g. 5, 15, 30 or 60")
    for name, sizes in (("columns", columns), ("cloud_sequences", cloud_sequences)):
        if len(sizes) != len(HELD_APART) or min(sizes) < 1:
            raise ProfileError(f"{name} = {sizes}: expected three numbers >= 1, for {', '.join(HELD_APART)}")


class _Clock:
    """Calendar arrays that all demand columns share."""

    def __init__(self, start: np.datetime64, days: int, step_minutes: int) -> None:
        weekday = (start.astype("datetime64[D]").astype(np.int64) + 3 + np.arange(days)) % 7  # 0 = Monday
        self.days = days
        self.step_minutes = step_minutes
        self.steps_per_day = 1440 // step_minutes
        self.num_steps = days * self.steps_per_day
        self.day_of_year = np.arange(days)
        self.shape_row = np.select([weekday == 5, weekday == 6], [1, 2], 0)
        self._hour_middle_min = (np.arange(days * 24) + 0.5) * 60.0
        self._step_middle_min = (np.arange(self.num_steps) + 0.5) * step_minutes

    def shape(self, name: str, shift_min: float) -> np.ndarray:
        """A daily shape over the year, [T], for a customer `shift_min` later than the average; mean about
        1."""
        hourly = SHAPES[name][self.shape_row].ravel() / 100.0
        return np.interp(self._step_middle_min - shift_min, self._hour_middle_min, hourly)

    def by_step(self, daily: np.ndarray) -> np.ndarray:
        """Daily values [days] repeated for every step, [T]."""
        return np.repeat(daily, self.steps_per_day)


def _season(name: str, clock: _Clock, generator: np.random.Generator) -> np.ndarray:
    """Factor of each day, [days], mean about 1."""
    day = clock.day_of_year + 1.0
    if name == "household":  # dynamisation of H0: VDEW 2000, "Anwendung der Repräsentativen VDEW-Lastprofile"
        return -3.92e-10 * day**4 + 3.2e-7 * day**3 - 7.02e-5 * day**2 + 2.1e-3 * day + 1.24
    if name == "cooling":  # G0-A, G0-M of SimBench: winter over summer .79–.87
        return 1.0 - 0.09 * np.cos(2 * np.pi * (day - SEASON_LAG_DAYS) / 365.0)
    if name == "heating":
        # Degree days of the air temperature of `solar.air_temperature_c` plus weather of 3 K with five days'
        # memory.
        weather_k = 3.0 * ar1(generator, 1, clock.days, 0.8)[0]
        temperature_c = 12.0 - 6.8 * np.cos(2 * np.pi * (day - SEASON_LAG_DAYS) / 365.0) + weather_k
        heating = np.maximum(HEATING_LIMIT_C - temperature_c, 0.0)
        return HOT_WATER_SHARE + (1 - HOT_WATER_SHARE) * heating / heating.mean()
    return np.ones(clock.days)


def _demand_columns(
    specs: Sequence[ProsumerProfileSpec], clock: _Clock, columns: tuple[int, int, int], seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Columns [C, T], rows of them to draw from [P, N] by split, and who draws a row together [N].

    In row r the k-th prosumer of an archetype has column r + k of those of its archetype, round and round.
    """
    number_of = Counter(spec.archetype for spec in specs)
    group = np.array([list(number_of).index(spec.archetype) for spec in specs])
    place = [sum(other.archetype == spec.archetype for other in specs[:agent]) for agent, spec in enumerate(specs)]
    series: list[np.ndarray] = []
    own: dict[tuple[str, str], np.ndarray] = {}
    for archetype in (name for name in ARCHETYPES if name in number_of):
        for at, (split, least) in enumerate(zip(HELD_APART, columns, strict=True)):
            size = max(least, min(number_of[archetype], MOST_CUSTOMERS))
            own[archetype, split] = len(series) + np.arange(size)
            for number in range(size):
                stream = [seed, 0, ARCHETYPES.index(archetype), at, number]
                series.append(_demand_column(archetype, clock, np.random.default_rng(stream)))
    pools = {}
    for split in HELD_APART:
        rows = max(own[archetype, split].size for archetype in number_of)
        there = (np.resize(np.roll(own[spec.archetype, split], -k), rows) for spec, k in zip(specs, place, strict=True))
        pools[split] = np.stack(list(there), axis=1)
    return np.array(series, np.float32), pools, group


def _demand_column(archetype: str, clock: _Clock, generator: np.random.Generator) -> np.ndarray:
    """One customer's year, [T] kW per 1000 kWh a year."""
    shift_min = float(generator.normal(0.0, HABIT_SHIFT_MIN))
    habit = ar1(generator, 1, clock.days, DAY_CORRELATION)[0]  # what makes a busy day raises all parts
    parts = ARCHETYPE_PARTS[archetype]
    shapes = {name: clock.shape(name, shift_min) for name in {part.shape for part in parts}}
    total = np.zeros(clock.num_steps)
    for part in parts:
        season = _season(part.season, clock, generator)
        if isinstance(part, SteadyPart):
            total += _steady(part, shapes[part.shape], season, habit, clock, generator)
        else:
            total += _events(part, shapes[part.shape], season, habit, clock, generator)
    return total * (MEAN_KW / total.mean())


def _steady(
    part: SteadyPart,
    shape: np.ndarray,
    season: np.ndarray,
    habit: np.ndarray,
    clock: _Clock,
    generator: np.random.Generator,
) -> np.ndarray:
    correlation = part.correlation_15_min ** (clock.step_minutes / 15)
    fluctuation = np.exp(part.sigma * ar1(generator, 1, clock.num_steps, correlation)[0])
    load = shape * clock.by_step(season * np.exp(part.sigma_day * habit)) * fluctuation
    return load * (part.share * MEAN_KW / load.mean())


def _events(
    part: EventPart,
    shape: np.ndarray,
    season: np.ndarray,
    habit: np.ndarray,
    clock: _Clock,
    generator: np.random.Generator,
) -> np.ndarray:
    power_kw = part.power_kw * COLUMN_KWH_PER_YEAR / part.reference_kwh
    hours = clock.num_steps * clock.step_minutes / 60
    expected_runs = part.share * MEAN_KW * hours / (power_kw * part.minutes / 60)
    likelihood = shape**part.sharpness * clock.by_step(season * np.exp(EVENT_HABIT * habit))
    cumulative = np.concatenate([[0.0], np.cumsum(likelihood)])
    draws = generator.random(generator.poisson(expected_runs)) * cumulative[-1]
    begin = np.interp(draws, cumulative, np.arange(clock.num_steps + 1.0))  # in steps, with fractions
    size = power_kw * np.exp(EVENT_POWER_SPREAD * generator.standard_normal(begin.size))
    length = part.minutes / clock.step_minutes
    running = np.cumsum(_rises(begin, size, clock.num_steps) - _rises(begin + length, size, clock.num_steps))
    return np.clip(running, 0.0, EVENT_POWER_LIMIT * power_kw)


def _rises(moment: np.ndarray, size: np.ndarray, num_steps: int) -> np.ndarray:
    """Differences between steps, [num_steps], of the mean load of a step that rises by `size` at each
    `moment`.

    A moment is in steps with a fraction: the step it falls into sees the load for what is left of it.
    """
    step = moment.astype(np.int64)
    fraction = moment - step
    rise = np.bincount(step, size * (1 - fraction), num_steps)[:num_steps]
    return rise + np.bincount(step + 1, size * fraction, num_steps)[:num_steps]


def _generation_columns(
    specs: Sequence[ProsumerProfileSpec],
    sun: SunPath,
    days: int,
    cloud_sequences: tuple[int, int, int],
    seed: int,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    orientations = sorted({(spec.tilt_deg, spec.azimuth_deg) for spec in specs})
    num_steps = sun.cos_zenith.size
    clouds = np.stack(
        [
            clear_sky_index(np.random.default_rng([seed, 1, HELD_APART.index(split), number]), days, num_steps // days)
            for split, size in zip(HELD_APART, cloud_sequences, strict=True)
            for number in range(size)
        ]
    )
    day = np.flatnonzero(sun.cos_zenith > 0)
    sun = sun.at(day)
    beam, diffuse = horizontal_irradiance(sun, clouds[:, day])
    generation = np.zeros((len(orientations), clouds.shape[0], num_steps), np.float32)
    for index, (tilt, azimuth) in enumerate(orientations):
        generation[index][:, day] = photovoltaic_kw_per_kwp(sun, beam, diffuse, tilt_deg=tilt, azimuth_deg=azimuth)
    orientation = np.array([orientations.index((spec.tilt_deg, spec.azimuth_deg)) for spec in specs])
    pools, first = {}, 0
    for split, size in zip(HELD_APART, cloud_sequences, strict=True):
        pools[split] = (first + np.arange(size))[:, None] + orientation * clouds.shape[0]
        first += size
    return generation.reshape(-1, num_steps), pools
