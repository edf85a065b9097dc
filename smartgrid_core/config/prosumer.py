"""A prosumer: demand, solar, battery, meter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from smartgrid_core.config.base import Model, Quantity, within

LEAST_TRADE_KW = 8.0  # of a connection of which nothing is said: about a single-phase one of 35 A
Archetype = Literal["residential", "commercial", "industrial", "mixed", "suburban"]


class BatteryConfig(Model):
    """A stationary battery behind the meter."""

    capacity_kwh: Quantity = (10.0, 10.0)
    """Usable energy content at 100 % state of charge; 0 means no battery."""
    charge_kw: Quantity = (5.0, 5.0)
    """Largest charging power at the meter side."""
    discharge_kw: Quantity = (5.0, 5.0)
    """Largest discharging power at the meter side."""
    charge_efficiency: Quantity = (0.95, 0.95)
    """Energy stored per energy taken from the meter side, in (0, 1]."""
    discharge_efficiency: Quantity = (0.95, 0.95)
    """Energy delivered to the meter side per energy taken from the store, in (0, 1]."""
    soc_min: float = Field(default=0.0, ge=0, le=1)
    """Lowest allowed state of charge, fraction of capacity."""
    soc_max: float = Field(default=1.0, ge=0, le=1)
    """Highest allowed state of charge, fraction of capacity."""
    initial_soc: Quantity = (0.10, 0.60)
    """State of charge at the start of an episode, fraction of capacity; a range is drawn per episode."""

    @model_validator(mode="after")
    def _check(self) -> BatteryConfig:
        for name in ("capacity_kwh", "charge_kw", "discharge_kw"):
            within(name, getattr(self, name), 0.0, 1e6)
        for name in ("charge_efficiency", "discharge_efficiency"):
            within(name, getattr(self, name), 0.0, 1.0, open_low=True)
        if self.soc_min > self.soc_max:
            raise ValueError(f"soc_min = {self.soc_min} exceeds soc_max = {self.soc_max}: lower one or raise the other")
        within("initial_soc", self.initial_soc, self.soc_min, self.soc_max)
        return self


class SolarConfig(Model):
    """A photovoltaic generator behind the meter."""

    capacity_kwp: Quantity = (0.0, 0.0)
    """Peak power under standard test conditions; 0 means no solar."""
    tilt_deg: float = Field(default=35.0, ge=0, le=90)
    """Tilt of the modules from the horizontal, of synthetic profiles."""
    azimuth_deg: float = Field(default=180.0, ge=0, le=360)
    """Direction the modules face, clockwise from north (180 = south), of synthetic profiles."""

    @model_validator(mode="after")
    def _check(self) -> SolarConfig:
        within("capacity_kwp", self.capacity_kwp, 0.0, 1e6)
        return self


class ProsumerConfig(Model):
    """One prosumer, or `count` alike ones: demand, solar, battery, meter."""

    name: str = Field(min_length=1)
    """Shown to people; with count > 1 a number is appended. Agent ids are always agent_0, agent_1, …"""
    count: int = Field(default=1, ge=1, le=10_000)
    """How many prosumers of this kind."""
    archetype: Archetype = "residential"
    """Shape of the synthetic demand."""
    annual_demand_kwh: Quantity | None = None
    """Energy used in a year. None: the archetype's typical value (synthetic) or the data's own (simbench). What a csv
    file says stands; a range varies it by as much around the range's middle."""
    demand_scale: Quantity = (1.0, 1.0)
    """Factor on the whole demand series."""
    solar: SolarConfig | None = None
    """Solar generator. None: none (synthetic) or the data's own (simbench). What a csv file says stands, as with
    demand."""
    battery: BatteryConfig = BatteryConfig()
    """Battery; capacity_kwh = 0 for none."""
    trade_kw: Quantity | None = None
    """Largest power the prosumer may order from or to the utility grid. None: 8 kW, or where that is more the peak
    of its solar, or of its demand where data decide it (simbench, csv), in training weeks and whole kW."""
    bus: str | int | None = None
    """Bus name or number on the feeder. None: spread evenly over the load buses, or the data's own."""

    @property
    def settled(self) -> ProsumerConfig:
        """The same with synthetic data, but saying nothing of `trade_kw` where that would be so anyway."""
        roof_kwp = self.solar.capacity_kwp[1] if self.solar else 0.0
        if self.trade_kw == (LEAST_TRADE_KW, LEAST_TRADE_KW) and roof_kwp <= LEAST_TRADE_KW:
            return self.model_copy(update={"trade_kw": None})
        return self

    @model_validator(mode="after")
    def _check(self) -> ProsumerConfig:
        if self.annual_demand_kwh is not None:
            within("annual_demand_kwh", self.annual_demand_kwh, 0.0, 1e8)
        within("demand_scale", self.demand_scale, 0.0, 1e3)
        if self.trade_kw is not None:
            within("trade_kw", self.trade_kw, 0.0, 1e6)
        if self.count > 1 and self.bus is not None:
            raise ValueError(
                f"bus = {self.bus!r} names one bus for count = {self.count} prosumers: list them one by one"
            )
        return self
