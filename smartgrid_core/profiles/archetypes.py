"""Five kinds of prosumer, each a sum of parts: what runs, when, how much of the year's energy, how it varies.

Daily shapes are the representative German load profiles (VDEW 1999, "Repräsentative VDEW-Lastprofile", now
kept by BDEW): H0 households, G0 shops and offices, G1 workshops on workdays 8–18 h, G3 continuous processes;
hourly means over the three seasons, working day = 100 on average. Standard profiles average hundreds of
customers, so single customers need fluctuation on top. Spreads (`sigma`), correlations and the event parts of
shop and workshop are set, not measured: so that load factor and autocorrelation come near the individual
profiles of SimBench (15 min, 2016; Meinecke et al. 2020, doi:10.3390/en13123290): households (H0-A, B, C, G,
L) load factor .06–.14 and lag-1 autocorrelation .68–.88, shops (G0) .35–.39 and .96–.99, workshops (G1, G3)
.15–.48 and .73–.98.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def _hourly(*rows: str) -> np.ndarray:
    """[3, 24]: working day, Saturday, Sunday by hour; one row stands for all three."""
    values = np.array([[float(text) for text in row.split()] for row in rows])
    return np.broadcast_to(values, (3, 24))


SHAPES: dict[str, np.ndarray] = {
    "H0": _hourly(
        "59 44 40 38 39 47 84 116 123 120 115 117 130 127 111 100 97 109 135 156 150 135 118 89",
        "66 52 42 40 39 41 52 80 112 133 142 148 158 154 140 131 130 145 166 175 156 130 122 103",
        "75 55 44 40 39 39 41 55 93 136 162 183 186 154 124 108 96 103 125 146 141 128 114 85",
    ),
    "G0": _hourly(
        "51 44 41 42 50 56 62 85 137 166 169 174 162 138 131 142 146 144 118 82 72 67 62 59",
        "59 59 53 52 54 56 60 90 130 145 150 153 148 130 97 73 62 64 68 69 70 67 61 56",
        "50 43 38 35 34 35 37 40 41 46 52 58 62 63 58 51 48 57 65 67 68 63 57 50",
    ),
    "G1": _hourly(
        "15 14 14 14 14 16 26 115 234 263 261 256 227 177 184 188 145 86 45 29 22 19 17 16",
        "15 14 14 14 14 15 16 18 26 34 36 36 30 23 20 19 18 18 18 18 17 17 17 16",
        "15 14 14 14 14 15 16 15 14 15 15 16 17 16 16 16 16 16 17 17 17 16 16 15",
    ),
    "G3": _hourly(
        "80 80 78 75 72 75 84 89 106 117 120 124 124 119 112 113 116 118 121 113 102 94 87 82",
        "81 82 79 76 73 76 84 88 109 119 119 122 121 114 98 90 89 93 94 97 96 88 82 77",
        "76 77 76 73 71 75 83 84 86 86 85 84 86 85 82 81 81 83 86 94 94 85 79 75",
    ),
    # A heat pump with a lowered night temperature: morning and evening boost, as SimBench "Air_Parallel_1".
    "heat": _hourly(
        "60 60 60 60 70 110 150 150 130 110 95 90 85 85 85 90 100 120 135 140 130 110 90 70",
    ),
    # Plugging in a car on coming home: the charging points "HLS_*" of SimBench peak between 16:45 and 19:15.
    "arrival": _hourly(
        "5 2 1 1 1 2 4 8 10 15 25 35 45 55 80 150 280 400 420 320 220 140 80 30",
        "15 6 3 2 2 2 4 8 20 50 100 150 180 180 180 190 210 220 210 180 140 100 70 40",
        "15 6 3 2 2 2 4 8 20 40 70 110 140 150 170 200 240 260 240 190 140 100 70 40",
    ),
    "flat": _hourly(" ".join(["100"] * 24)),
}


@dataclass(frozen=True)
class SteadyPart:
    """Load that is always there to some degree: shape x season x day-to-day level x exp(fluctuation)."""

    share: float  # of the year's energy
    shape: str  # a key of SHAPES
    season: str  # "household", "none", "cooling", "heating"
    sigma: float  # standard deviation of the logarithm within a day
    correlation_15_min: float
    sigma_day: float = 0.08  # standard deviation of the logarithm of a day's level


@dataclass(frozen=True)
class EventPart:
    """Single runs of an appliance, more likely where the shape is high."""

    share: float  # of the year's energy
    shape: str
    season: str
    power_kw: float  # of the real appliance
    minutes: float  # of one run
    reference_kwh: float  # yearly demand of the real customer, to which power_kw belongs
    sharpness: float = 1.0  # exponent on the shape: 2 concentrates runs at the peaks


# Shares of a home without electric heating: "Powering the Nation" (Energy Saving Trust, Defra, DECC 2012: 250
# homes): cold 16 %, cooking 14 %, washing, drying and dishes 14 %, the rest light, electronics, standby.
# Power and length of runs: CREST demand model (Richardson et al. 2010, doi:10.1016/j.enbuild.2010.05.023,
# appliance table). 3,500 kWh: BDEW's model household.
HOME_KWH = 3500.0
_HOME = (
    SteadyPart(0.16, "flat", "none", 0.15, 0.60),  # cold appliances
    SteadyPart(0.56, "H0", "household", 0.40, 0.92, 0.20),  # light, electronics, the rest
    EventPart(0.03, "H0", "none", 2.0, 5, HOME_KWH),  # kettle, toaster
    EventPart(0.06, "H0", "household", 2.4, 16, HOME_KWH, 2.0),  # hob
    EventPart(0.05, "H0", "household", 2.1, 27, HOME_KWH, 2.0),  # oven
    EventPart(0.04, "H0", "none", 1.13, 60, HOME_KWH),  # dishwasher
    EventPart(0.05, "H0", "none", 0.41, 138, HOME_KWH),  # washing machine
    EventPart(0.05, "H0", "household", 2.5, 60, HOME_KWH),  # tumble dryer
)
_SHOP = (
    SteadyPart(0.92, "G0", "cooling", 0.06, 0.90, 0.06),
    EventPart(0.08, "G0", "cooling", 1.0, 45, 15000.0),  # compressors and ovens
)
_WORKSHOP = (
    SteadyPart(0.45, "G3", "none", 0.10, 0.85, 0.06),
    SteadyPart(0.40, "G1", "none", 0.12, 0.85, 0.10),
    EventPart(0.15, "G1", "none", 6.0, 40, 40000.0),  # machine runs
)
# A detached house of three parts: home 3,500 kWh; heat pump 2,700 kWh; a car 13,000 km a year (the German
# mean: KBA, "Verkehr in Kilometern") at 0.19 kWh/km, charged at 3.7 kW for about 2 h.
SUBURBAN_KWH = 8700.0
_HEAT_PUMP = SteadyPart(0.31, "heat", "heating", 0.30, 0.80, 0.15)
_CAR = EventPart(0.29, "arrival", "none", 3.7, 120, SUBURBAN_KWH)


def _scaled(
    parts: tuple[SteadyPart | EventPart, ...], share: float, reference: float
) -> tuple[SteadyPart | EventPart, ...]:
    """The parts as `share` of a larger customer whose yearly demand is `reference` kWh."""
    out: list[SteadyPart | EventPart] = []
    for part in parts:
        values = {**part.__dict__, "share": part.share * share}
        if isinstance(part, EventPart):
            values["reference_kwh"] = reference
        out.append(type(part)(**values))
    return tuple(out)


ARCHETYPE_PARTS: dict[str, tuple[SteadyPart | EventPart, ...]] = {
    "residential": _HOME,
    "commercial": _SHOP,
    "industrial": _WORKSHOP,
    # a shop with a flat above: 3,500 of 7,500 kWh
    "mixed": _scaled(_SHOP, 0.53, 15000.0) + _scaled(_HOME, 0.47, HOME_KWH / 0.47),
    "suburban": (*_scaled(_HOME, 0.40, SUBURBAN_KWH), _HEAT_PUMP, _CAR),
}
