"""Where demand and generation come from, and what is known of the hours ahead."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from smartgrid_core.config.base import Model

ForecastKind = Literal["none", "persistence", "noisy", "perfect"]


class ProfilesConfig(Model):
    """Where demand and generation come from."""

    source: Literal["synthetic", "simbench", "csv"] = "synthetic"
    """Kind of data."""
    seed: int = Field(default=0, ge=0)
    """Seed of the synthetic pool and of forecast noise; not the seed of a run."""
    code: str | None = None
    """SimBench code, e.g. 1-LV-rural1--0-sw."""
    path: Path | None = None
    """CSV with columns timestamp, agent (prosumers' names, or agent_0, agent_1, … in their order), demand_kw,
    generation_kw."""
    price_path: Path | None = None
    """CSV with columns timestamp, import_eur_per_kwh, export_eur_per_kwh; instead of the tariff, with any source."""
    time_zone: str = "UTC"
    """Clock that days and tariffs follow, and that CSV stamps without an offset are on. Must be given where stamps have
    an offset."""
    hold_out: bool = True
    """Keep validation and test weeks apart; False uses every day for everything (csv shorter than four weeks)."""
    latitude_deg: float = Field(default=51.5, ge=-66, le=66)
    """Latitude of the synthetic sun."""
    demand_jitter: float = Field(default=0.0, ge=0, lt=1)
    """Half-width of a uniform factor on each prosumer's demand, drawn per episode (1 ± jitter)."""
    generation_jitter: float = Field(default=0.0, ge=0, lt=1)
    """Half-width of a uniform factor on each prosumer's solar, drawn per episode (1 ± jitter)."""

    @property
    def clock(self) -> str | None:
        """The time zone where it was given."""
        return self.time_zone if "time_zone" in self.model_fields_set else None

    @model_validator(mode="after")
    def _check(self) -> ProfilesConfig:
        if self.source == "simbench" and not self.code:
            raise ValueError("code is missing: source = simbench needs a SimBench code such as 1-LV-rural1--0-sw")
        if self.source == "csv" and not self.path:
            raise ValueError("path is missing: source = csv needs the path of a CSV file")
        if self.source != "csv" and self.path:
            raise ValueError(f"path = {self.path}: {self.source} data have no file; set source = csv, or drop it")
        return self


class ForecastConfig(Model):
    """What is known of the hours ahead; learners and model predictive control read the same series."""

    kind: ForecastKind = "noisy"
    """none, persistence (same time yesterday), noisy (truth times 1 + σ·AR(1)), or perfect."""
    sigma: float = Field(default=0.2, ge=0, le=2)
    """Relative standard deviation of the noisy forecast."""
    correlation: float = Field(default=0.98, ge=0, lt=1)
    """Lag-one autocorrelation of that error at 15 minutes."""
    window_edges_h: tuple[PositiveFloat, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 24.0)
    """Observations hold window means over (0, e₁], (e₁, e₂], … hours ahead."""

    @model_validator(mode="after")
    def _check(self) -> ForecastConfig:
        edges = self.window_edges_h
        if not edges or any(b <= a for a, b in pairwise(edges)) or edges[-1] > 168:
            raise ValueError(f"window_edges_h = {list(edges)}: expected increasing hours, at least one, at most 168")
        if self.kind == "persistence" and edges[-1] > 24:
            raise ValueError(
                f"window_edges_h ends at {edges[-1]:g} h: persistence expects what was 24 hours before, which nobody "
                "knows yet of hours further ahead; end at 24, or choose another kind"
            )
        return self
