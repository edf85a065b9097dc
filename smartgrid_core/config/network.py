"""The feeder, and the links neighbours exchange energy over."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, model_validator

from smartgrid_core.config.base import Model, Quantity, within


class LinksConfig(Model):
    """Which neighbours may exchange energy, and how much."""

    topology: str | tuple[tuple[int, int], ...] = "ring"
    """`ring`, `complete`, `none`, `nearest:K` (electrically nearest, made symmetric), or pairs [[0, 1], [1, 2]]."""
    rating_kw: PositiveFloat = 4.0
    """Largest transfer over one link."""

    @model_validator(mode="after")
    def _check(self) -> LinksConfig:
        if isinstance(self.topology, str):
            kind, _, number = self.topology.partition(":")
            if self.topology not in ("ring", "complete", "none") and not (
                kind == "nearest" and number.isdigit() and int(number) > 0
            ):
                raise ValueError(
                    f"topology = {self.topology!r}: expected ring, complete, none, nearest:K (K ≥ 1), or pairs"
                )
        return self


class NetworkConfig(Model):
    """The low-voltage feeder the prosumers hang on."""

    feeder: str = "radial"
    """`radial` (generated), `simbench:CODE`, or the path of a CSV of branches."""
    buses: int = Field(default=15, ge=2, le=2000)
    """Number of buses of the generated feeder, slack included."""
    v0_pu: float | None = Field(default=None, gt=0.5, lt=1.5)
    """Voltage held at the slack bus. None: 1, or what the feeder's data say."""
    transformer_kva: PositiveFloat | None = None
    """Rating of the generated feeder's transformer. None: the standard size for its buses."""
    section_m: PositiveFloat | None = None
    """Length of cable between neighbouring buses of the generated feeder. None: 40."""
    power_flow: bool = True
    """Solve the AC power flow; False: voltages 1, no losses, no loading."""
    iterations: int = Field(default=4, ge=1, le=100)
    """Fixed-point iterations of the power flow; 4 give ≤ 1e-6 p.u. in normal operation."""
    power_factor: float = Field(default=0.95, gt=0, le=1)
    """Displacement factor of the demand (inductive); solar and battery inverters run at 1."""
    impedance_scale: Quantity = (1.0, 1.0)
    """Factor on every branch impedance."""
    voltage_band_pu: float = Field(default=0.1, gt=0, le=0.5)
    """Allowed deviation from 1 p.u. (EN 50160: 0.1)."""

    @model_validator(mode="after")
    def _check(self) -> NetworkConfig:
        for name in ("transformer_kva", "section_m"):
            if getattr(self, name) is not None and self.feeder != "radial":
                raise ValueError(
                    f"{name} = {getattr(self, name):g} is of the generated feeder, and {self.feeder!r} has its own: "
                    f"drop {name}, or set feeder = radial"
                )
        within("impedance_scale", self.impedance_scale, 0.0, 10.0, open_low=True)
        return self
