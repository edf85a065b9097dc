"""The utility's prices, and events nobody announces."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from smartgrid_core.config.base import Model, Quantity, within


class TariffBand(Model):
    """Prices between two hours of every day; a band with to_hour <= from_hour crosses midnight.

    Hours are of local standard time all year, as profiles are: by a clock with summer time a band begins an hour later
    in summer. Where that matters, give the prices as a CSV (`profiles.price_path`), whose stamps follow the clock.
    """

    from_hour: float = Field(ge=0, lt=24)
    """Start of the band, hour of the day."""
    to_hour: float = Field(ge=0, le=24)
    """End of the band, hour of the day."""
    import_eur_per_kwh: float | None = None
    """Import price within the band; None keeps the base price."""
    export_eur_per_kwh: float | None = None
    """Export price within the band; None keeps the base price."""


class TariffConfig(Model):
    """What the utility charges and pays. Export must not exceed import at any step."""

    import_eur_per_kwh: float = 0.25
    """Base price of energy bought from the utility."""
    export_eur_per_kwh: float = 0.08
    """Base price paid for energy sold to the utility."""
    bands: tuple[TariffBand, ...] = (
        TariffBand(from_hour=22, to_hour=7, import_eur_per_kwh=0.12),
        TariffBand(from_hour=17, to_hour=21, import_eur_per_kwh=0.45),
    )
    """Hours with other prices; later bands win where bands overlap."""
    level: Quantity = (1.0, 1.0)
    """Factor on both prices."""
    imbalance_penalty_eur_per_kwh: PositiveFloat = 0.05
    """Added to the price of a shortfall and taken from that of an excess."""
    lost_load_eur_per_kwh: PositiveFloat = 5.0
    """Value of lost load: what a kWh of unserved demand costs."""
    co2_g_per_kwh: tuple[float, ...] = (
        *(340.0, 335.0, 332.0, 330.0, 333.0, 342.0, 355.0, 365.0, 362.0, 348.0, 330.0, 315.0),
        *(305.0, 302.0, 308.0, 322.0, 345.0, 375.0, 398.0, 405.0, 400.0, 385.0, 365.0, 350.0),
    )
    """Carbon intensity of imported energy by hour of the day, local standard time. Default: a stylised day around the
    German mean of about 350 g/kWh (Umweltbundesamt 2024, Entwicklung der spezifischen Treibhausgas-Emissionen), with a
    solar dip and an evening peak."""

    @model_validator(mode="after")
    def _check(self) -> TariffConfig:
        if len(self.co2_g_per_kwh) != 24 or min(self.co2_g_per_kwh) < 0:
            raise ValueError(f"co2_g_per_kwh has {len(self.co2_g_per_kwh)} values: expected 24 values ≥ 0, one an hour")
        within("level", self.level, 0.0, 100.0, open_low=True)
        imports, exports = self.daily_prices(1440)  # every step starts at one of these minutes
        for minute, (buy, sell) in enumerate(zip(imports, exports, strict=True)):
            if sell > buy:
                raise ValueError(
                    f"export_eur_per_kwh = {sell:g} exceeds import_eur_per_kwh = {buy:g} at hour {minute / 60:g}: "
                    "that pays for buying and selling at once; lower the export price"
                )
        return self

    def daily_prices(self, steps_per_day: int) -> tuple[list[float], list[float]]:
        """Import and export price of each step of a day, EUR/kWh, without `level`."""
        imports, exports = [], []
        for step in range(steps_per_day):
            hour = 24.0 * step / steps_per_day
            buy, sell = self.import_eur_per_kwh, self.export_eur_per_kwh
            for band in self.bands:
                crosses = band.to_hour <= band.from_hour
                inside = (
                    (hour >= band.from_hour or hour < band.to_hour)
                    if crosses
                    else band.from_hour <= hour < band.to_hour
                )
                if inside:
                    buy = buy if band.import_eur_per_kwh is None else band.import_eur_per_kwh
                    sell = sell if band.export_eur_per_kwh is None else band.export_eur_per_kwh
            imports.append(buy)
            exports.append(sell)
        return imports, exports


class EventConfig(Model):
    """Something that happens once an episode, at a time nobody knows before it starts."""

    kind: Literal["islanding", "branch_outage", "price_spike", "demand_surge", "cloud"]
    """What happens."""
    probability: float = Field(default=1.0, ge=0, le=1)
    """Chance that it happens in an episode."""
    day: Quantity = (0.0, 0.0)
    """Day of the episode it starts on, from 0, drawn as a whole number from the range; on days an episode does not have
    it does not happen."""
    hour: Quantity = (17.0, 17.0)
    """Hour of that day it starts at."""
    duration_h: Quantity = (2.0, 2.0)
    """How long it lasts."""
    branch: int | None = Field(default=None, ge=1)
    """branch_outage: number of the branch that opens (not 0, the transformer). None: one is drawn per episode."""
    import_adder_eur_per_kwh: float = Field(default=0.0, ge=0)
    """price_spike: added to the import price."""
    factor: float = Field(default=1.0, ge=0)
    """demand_surge: factor on demand; cloud: factor on generation."""

    @model_validator(mode="after")
    def _check(self) -> EventConfig:
        within("hour", self.hour, 0.0, 24.0)
        within("day", self.day, 0.0, 366.0)
        if any(day % 1 for day in self.day):
            raise ValueError(f"day = {list(self.day)}: expected whole days, from 0 on")
        within("duration_h", self.duration_h, 0.0, 8784.0, open_low=True)
        if self.kind == "cloud" and self.factor > 1:
            raise ValueError(f"factor = {self.factor} would make a cloud brighten the sun: expected 0 to 1")
        for field, kinds in _EFFECTS.items():
            neutral = EventConfig.model_fields[field].default
            if self.kind in kinds and field not in self.model_fields_set:
                raise ValueError(f"{field} is missing: without it a {self.kind} changes nothing")
            if self.kind not in kinds and getattr(self, field) != neutral:
                raise ValueError(
                    f"{field} = {getattr(self, field)}: a {self.kind} has none; it is for {' and '.join(kinds)}"
                )
        return self


_EFFECTS = {  # which kinds of events a field is for
    "import_adder_eur_per_kwh": ("price_spike",),
    "factor": ("demand_surge", "cloud"),
}
