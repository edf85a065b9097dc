"""Photovoltaic generation per kWp: sun position, clear sky, clouds of one community, tilted plane, module."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smartgrid_core.profiles.forecast import ar1

SOLAR_CONSTANT_W_PER_M2 = 1361.0  # Kopp and Lean 2011, doi:10.1029/2010GL045777
GROUND_ALBEDO = 0.2  # grass and built-up land, Liu and Jordan 1963
LOWEST_COS_ZENITH = 0.035  # 88°: below, the beam's ratio tilted / horizontal loses meaning
SYSTEM_EFFICIENCY = 0.86  # wiring, soiling, mismatch, inverter: PVWatts version 5, Dobos 2014 (14 % losses)
TEMPERATURE_COEFFICIENT_PER_K = -0.0035  # crystalline silicon: PVWatts version 5 gives -0.35 to -0.47 %/K
NOMINAL_CELL_TEMPERATURE_RISE_K = 25.0  # 45 °C nominal operating cell temperature at 20 °C and 800 W/m²
SEASON_LAG_DAYS = 20  # the coldest day comes about 20 days after New Year in London

# Fourier series in the angle of the year (Spencer 1971, Search 2:172): a0, a1, b1, a2, b2, …
DECLINATION_RAD = (0.006918, -0.399912, 0.070257, -0.006758, 0.000907, -0.002697, 0.00148)
EQUATION_OF_TIME_RAD = (0.0000075, 0.001868, -0.032077, -0.014615, -0.040849)
DISTANCE_FACTOR = (1.00011, 0.034221, 0.00128, 0.000719, 0.000077)  # (mean distance / distance)²

# Regimes of a day's sky: mean and standard deviation of the clear-sky index, and the chance of the next day's
# regime. The shapes follow Skartveit and Olseth 1992 (Solar Energy 49:477): narrow near 1 for
# clear skies, wide between for broken ones. Shares (.22, .46, .31) are set so that London receives about
# 1,020 kWh/m² a year on the horizontal, 55 % of it diffuse: near what PVGIS 5 gives.
CLOUD_INDEX_MEAN = np.array([0.95, 0.62, 0.28])
CLOUD_INDEX_STD = np.array([0.04, 0.22, 0.10])
CLOUD_TRANSITION = np.array([[0.45, 0.40, 0.15], [0.20, 0.50, 0.30], [0.10, 0.45, 0.45]])
CLOUD_CORRELATION_15_MIN = 0.88  # of the index within a day


@dataclass(frozen=True, eq=False)
class SunPath:
    """Where the sun stands in the middle of each step; every field is [T]."""

    cos_zenith: np.ndarray  # <= 0 at night
    sin_zenith: np.ndarray
    cos_azimuth: np.ndarray  # of the sun, measured from north
    sin_azimuth: np.ndarray  # positive in the east
    extraterrestrial_w_per_m2: np.ndarray  # on a plane facing the sun
    day_of_year: np.ndarray  # 0 on 1 January
    hour: np.ndarray  # local standard time

    def at(self, steps: np.ndarray) -> SunPath:
        """The same path at chosen steps only."""
        return SunPath(**{name: values[steps] for name, values in self.__dict__.items()})


def _fourier(angle: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """a0 + a1 cos + b1 sin + a2 cos 2 + b2 sin 2 + … of `angle`."""
    out = np.full(angle.shape, coefficients[0])
    for order, (cosine, sine) in enumerate(zip(coefficients[1::2], coefficients[2::2], strict=True), start=1):
        out += cosine * np.cos(order * angle) + sine * np.sin(order * angle)
    return out


def sun_path(
    start: np.datetime64,
    num_steps: int,
    step_minutes: int,
    *,
    latitude_deg: float,
    longitude_deg: float,
    utc_offset_h: float,
) -> SunPath:
    """Sun position for the middles of `num_steps` steps from `start` (local standard time, `utc_offset_h`
    ahead of UTC).

    Declination, equation of time and distance from Spencer 1971 (Fourier series, error below 0.05° and 35 s).
    """
    minutes = np.arange(num_steps) * step_minutes + 0.5 * step_minutes
    year = start.astype("datetime64[Y]")
    offset_min = (start - year.astype("datetime64[m]")).astype(np.int64)
    day_of_year = (offset_min + minutes) // 1440
    hour = ((offset_min + minutes) % 1440) / 60.0
    gamma = 2 * np.pi * day_of_year / 365.0
    declination = _fourier(gamma, DECLINATION_RAD)
    equation_of_time_h = _fourier(gamma, EQUATION_OF_TIME_RAD) * 24 / (2 * np.pi)
    distance_factor = _fourier(gamma, DISTANCE_FACTOR)
    solar_hour = hour - utc_offset_h + longitude_deg / 15.0 + equation_of_time_h
    hour_angle = np.deg2rad(15.0 * (solar_hour - 12.0))
    latitude = np.deg2rad(latitude_deg)
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(declination) * np.cos(hour_angle)
    horizontal = np.maximum(np.hypot(east, north), 1e-9)
    return SunPath(
        cos_zenith=up,
        sin_zenith=np.sqrt(np.clip(1.0 - up**2, 0.0, 1.0)),
        cos_azimuth=north / horizontal,
        sin_azimuth=east / horizontal,
        extraterrestrial_w_per_m2=SOLAR_CONSTANT_W_PER_M2 * distance_factor,
        day_of_year=day_of_year,
        hour=hour,
    )


def clear_sky_w_per_m2(cos_zenith: np.ndarray) -> np.ndarray:
    """Global horizontal irradiance of a cloudless sky, W/m² (Haurwitz 1945; the best of the models that need
    only the sun's height, Reno, Hansen and Stein 2012, SAND2012-2389)."""
    cosine = np.maximum(cos_zenith, 1e-3)
    return np.where(cos_zenith > 0, 1098.0 * cosine * np.exp(-0.059 / cosine), 0.0)


def clear_sky_index(generator: np.random.Generator, days: int, steps_per_day: int) -> np.ndarray:
    """One sequence of clouds: global irradiance over that of a cloudless sky, [days · steps_per_day], 0.04 …
    1.15.

    A Markov chain of daily regimes sets mean and spread, an AR(1) process moves within them. Values above 1
    are the light that broken clouds add by reflection.
    """
    cumulative = np.cumsum(CLOUD_TRANSITION, axis=1)
    draws = generator.random(days)
    regime = np.empty(days, np.int64)
    current = 1
    for day in range(days):
        current = int(np.searchsorted(cumulative[current][:-1], draws[day], side="right"))
        regime[day] = current
    regime = np.repeat(regime, steps_per_day)
    z = ar1(generator, 1, regime.size, CLOUD_CORRELATION_15_MIN ** (96 / steps_per_day))[0]
    return np.clip(CLOUD_INDEX_MEAN[regime] + CLOUD_INDEX_STD[regime] * z, 0.04, 1.15)


def diffuse_fraction(clearness: np.ndarray) -> np.ndarray:
    """Diffuse share of global horizontal irradiance from the clearness index (Erbs, Klein and Duffie 1982,
    eq. 1)."""
    k = clearness
    middle = 0.9511 + k * (-0.1604 + k * (4.388 + k * (-16.638 + k * 12.336)))
    return np.where(k <= 0.22, 1.0 - 0.09 * k, np.where(k <= 0.8, middle, 0.165))


def air_temperature_c(sun: SunPath) -> np.ndarray:
    """Mean air temperature of season and hour in southern England, [T] °C.

    Met Office 1991–2020 averages for Heathrow: year 12 °C, January 5.7, July 19; daily range about 8 K with
    the maximum at 15 h.
    """
    season = 12.0 - 6.8 * np.cos(2 * np.pi * (sun.day_of_year - SEASON_LAG_DAYS) / 365.0)
    return season + 4.0 * np.cos(2 * np.pi * (sun.hour - 15.0) / 24.0)


def horizontal_irradiance(sun: SunPath, cloud_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Beam and diffuse irradiance on the horizontal, W/m², [S, T] each, for the clouds `cloud_index` [S,
    T]."""
    horizontal = cloud_index * clear_sky_w_per_m2(sun.cos_zenith)
    clearness = horizontal / (sun.extraterrestrial_w_per_m2 * np.maximum(sun.cos_zenith, LOWEST_COS_ZENITH))
    diffuse = diffuse_fraction(np.minimum(clearness, 1.0)) * horizontal
    return horizontal - diffuse, diffuse


def photovoltaic_kw_per_kwp(
    sun: SunPath, beam: np.ndarray, diffuse: np.ndarray, *, tilt_deg: float, azimuth_deg: float
) -> np.ndarray:
    """AC output of a plane of modules per kWp, [S, T] kW/kWp, for the irradiance of `horizontal_irradiance`
    [S, T].

    Beam, isotropic sky and ground reflection on the tilted plane (Liu and Jordan 1963), cell temperature from
    the nominal operating cell temperature, linear temperature coefficient.
    """
    tilt, azimuth = np.deg2rad(tilt_deg), np.deg2rad(azimuth_deg)
    facing = sun.cos_azimuth * np.cos(azimuth) + sun.sin_azimuth * np.sin(azimuth)
    incidence = np.maximum(sun.cos_zenith * np.cos(tilt) + sun.sin_zenith * np.sin(tilt) * facing, 0.0)
    beam_ratio = np.where(sun.cos_zenith > 0, incidence / np.maximum(sun.cos_zenith, LOWEST_COS_ZENITH), 0.0)
    sky, ground = (1 + np.cos(tilt)) / 2, GROUND_ALBEDO * (1 - np.cos(tilt)) / 2
    plane = beam * (beam_ratio + ground) + diffuse * (sky + ground)
    # cell temperature = air + rise · plane / 800, so efficiency is linear and output quadratic in irradiance
    cold = 1 + TEMPERATURE_COEFFICIENT_PER_K * (air_temperature_c(sun) - 25.0)
    slope = TEMPERATURE_COEFFICIENT_PER_K * NOMINAL_CELL_TEMPERATURE_RISE_K / 800.0
    return np.clip(SYSTEM_EFFICIENCY / 1000.0 * plane * (cold + slope * plane), 0.0, 1.0)
