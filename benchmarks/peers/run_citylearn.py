"""CityLearn: the 17 buildings of its 2022 challenge, one agent a building."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from pathlib import Path

from protocol import serve, versions

DATA = "citylearn/data/citylearn_challenge_2022_phase_all/"  # in the wheels up to 2.1, under older column names
AHEAD = tuple(f"_predicted_{k}" for k in (1, 2, 3))
WEATHER = ("outdoor_dry_bulb_temperature", "outdoor_relative_humidity", "diffuse_solar_irradiance",
           "direct_solar_irradiance")  # fmt: skip
COLUMNS = {  # by file, those of version 3 in the order of the older files
    "weather.csv": WEATHER + tuple(name + k for name in WEATHER for k in AHEAD),
    "pricing.csv": ("electricity_pricing", *("electricity_pricing" + k for k in AHEAD)),
    "carbon_intensity.csv": ("carbon_intensity",),
}
BUILDING = (
    "month", "hour", "day_type", "daylight_savings_status", "indoor_dry_bulb_temperature",
    "average_unmet_cooling_setpoint_difference", "indoor_relative_humidity", "non_shiftable_load", "dhw_demand",
    "cooling_demand", "heating_demand", "solar_generation",
)  # fmt: skip


def schema() -> Path:
    """The data set beside the interpreter, unpacked from the wheel that has it, its columns renamed."""
    folder = Path(sys.prefix) / "data"
    target = folder / DATA
    if not (target / "schema.json").is_file():
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith(DATA) and not name.endswith("/"):
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(_renamed(path.name, archive.read(name)))
    return target / "schema.json"


def _renamed(name: str, content: bytes) -> bytes:
    if name == "schema.json":
        for k, hours in enumerate((b"6h", b"12h", b"24h"), 1):
            content = content.replace(b"_predicted_" + hours, b"_predicted_%d" % k)
    if not name.endswith(".csv"):
        return content
    rows = list(csv.reader(io.StringIO(content.decode())))
    rows[0] = list(COLUMNS.get(name, BUILDING))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def main() -> None:
    """Step with random actions drawn beforehand."""
    from citylearn.citylearn import CityLearnEnv  # pyright: ignore[reportMissingImports]

    env = CityLearnEnv(str(schema()), central_agent=False, render_mode="none")
    env.reset()
    drawn = [[[float(x) for x in space.sample()] for space in env.action_space] for _ in range(64)]
    calls = 0

    def step() -> bool:
        nonlocal calls
        *_, terminated, truncated, _ = env.step(drawn[calls % len(drawn)])
        calls += 1
        return terminated or truncated

    serve(
        {
            "agents": len(env.action_space), "num_grids": 1, "versions": versions("citylearn"),
            "models": "buildings with measured load and solar, batteries with losses and ageing, prices and CO₂; "
            "no network, no trade between buildings",
        },
        step, env.reset,
    )  # fmt: skip


main()
