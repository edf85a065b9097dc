"""CSV files that users bring: checked row by row when they arrive, kept by name, used by saved scenarios."""

from __future__ import annotations

import shutil
import tempfile
import threading
import tomllib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from server.errors import ApiError
from server.locks import FileLock
from server.requests import NAME
from smartgrid_core.errors import DataFileError, UserError
from trainer.files import write_atomically

Kind = Literal["load", "prices", "feeder"]
NOUN = "expected the name of an uploaded file"
ASIDE = ".upload-"  # begins the name of a folder for a file that comes in


class DataFile(BaseModel):
    """An uploaded file and what is in it."""

    name: str = Field(pattern=NAME, description="Name to use in a scenario: profiles.path, price_path, network.feeder.")
    kind: Kind
    size_bytes: int
    uploaded: float = Field(description="s since 1970 UTC.")
    agents: list[str] = Field(default=[], description="load: names of its prosumers.")
    step_minutes: int | None = Field(default=None, description="load: length of a step, minutes.")
    time_zone: str | None = Field(default=None, description="load, prices: clock that days and tariffs follow.")
    start: str | None = Field(default=None, description="load, prices: first step, standard time, ISO 8601.")
    days: float | None = Field(default=None, description="load: whole days; prices: from the first row to the last.")
    hold_out: bool | None = Field(default=None, description="load: whether weeks can be kept for tests.")
    demand_kwh_per_day: float | None = Field(default=None, description="load: mean of all prosumers together, kWh.")
    generation_kwh_per_day: float | None = Field(default=None, description="load: mean of all prosumers together, kWh.")
    peak_kw: float | None = Field(default=None, description="load: largest demand of all prosumers together, kW.")
    import_eur_per_kwh: tuple[float, float] | None = Field(default=None, description="prices: lowest, highest.")
    buses: list[str] = Field(default=[], description="feeder: names of its buses.")
    branches: int | None = Field(default=None, description="feeder: number of its branches.")


class Options(BaseModel):
    """How an uploaded file is to be read."""

    kind: Kind = "load"
    time_zone: str | None = None
    """None: UTC, which stamps with an offset must be in too."""
    step_minutes: int = 15


class Uploads:
    """The uploaded files of one data folder.

    Args:
        folder: NAME.csv and NAME.json; it need not exist.
        max_bytes: of one file.
        cap_bytes: of all together.
        scenarios: folder of saved scenarios, which may use them.
    """

    def __init__(self, folder: Path, max_bytes: int, cap_bytes: int, scenarios: Path):
        self.folder, self.max_bytes, self.cap_bytes, self.scenarios = folder, max_bytes, cap_bytes, scenarios
        self._changing = threading.RLock()  # held from the check of a name to the file's being there, or gone
        self._coming = 0  # bytes of files that are coming in; the event loop's own

    def tidy(self) -> None:
        """Remove what a server that was killed left half received."""
        for aside in self.folder.glob(f"{ASIDE}*"):
            with suppress(OSError):  # of another user, say
                if aside.is_dir() and not FileLock(aside / "lock").is_held():
                    shutil.rmtree(aside)

    def list(self) -> list[DataFile]:
        """Every file, by name."""
        files = []
        for path in sorted(self.folder.glob("[!.]*.json")):
            try:
                files.append(DataFile.model_validate_json(path.read_bytes()))
            except (OSError, ValueError):  # half of a pair: uploading it again mends it
                continue
        return files

    def get(self, name: str) -> DataFile:
        """One of them; raises `ApiError` where there is none."""
        for file in self.list():
            if file.name == name:
                return file
        known = ", ".join(file.name for file in self.list()) or "none"
        raise ApiError(404, "not_found", f"there is no uploaded file {name!r}: there are {known}", "name")

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self.folder / f"{name}.csv"

    async def receive(self, name: str, body: AsyncIterator[bytes], options: Options, replace: bool) -> DataFile:
        """Store a file while it comes in, check it, keep it if it is sound.

        Raises:
            ApiError: 409, the name is taken; 413, too large; 422, faulty: `details` has row and column; 507, no room.
        """
        room = await run_in_threadpool(self._room, name, replace)
        incoming, size = await run_in_threadpool(_Incoming, self.folder, name), 0
        try:
            async for part in body:
                size, self._coming = size + len(part), self._coming + len(part)
                if size > self.max_bytes:
                    limit = f"at most {self.max_bytes / 2**20:.3g} MiB"
                    raise ApiError(413, "too_large", f"the file is larger than allowed ({limit}): send a shorter span")
                if self._coming > room:
                    raise self._full()
                await run_in_threadpool(incoming.file.write, part)
            if size == 0:
                raise ApiError(422, "invalid", "the body is empty: send the CSV text as the body", "body")
            return await run_in_threadpool(self._keep, name, incoming, options, replace)
        finally:
            self._coming -= size
            await run_in_threadpool(incoming.end)

    def delete(self, name: str) -> None:
        """Remove a file; one that a saved scenario uses is refused."""
        with self._changing:
            if not self.path(name).exists():  # without its description, too
                self.get(name)
            users = [path.stem for path in self.scenarios.glob("*.toml") if self.path(name).name in _files(path)]
            if users:
                message = f"{name!r} is used by the scenario {', '.join(sorted(users))}: delete or change that first"
                raise ApiError(409, "conflict", message, "name")
            self._about(name).unlink(missing_ok=True)
            self.path(name).unlink(missing_ok=True)

    def _keep(self, name: str, incoming: _Incoming, options: Options, replace: bool) -> DataFile:
        """Check what came in and give it its name."""
        incoming.file.close()
        about, stat = inspect(incoming.path, options), incoming.path.stat()
        kept = DataFile(name=name, kind=options.kind, size_bytes=stat.st_size, uploaded=stat.st_mtime, **about)
        with self._changing:
            if stat.st_size > self._room(name, replace):
                raise self._full()
            incoming.path.replace(self.path(name))
            write_atomically(self._about(name), kept.model_dump_json(indent=2).encode())
        return kept

    def _room(self, name: str, replace: bool) -> int:
        """Bytes that a file of this name may have beside the others; raises `ApiError` where it may not have it."""
        if name == "upload":
            raise ApiError(409, "conflict", "'upload' is a word of the API: choose another name", "name")
        if not replace and self._about(name).exists():  # a CSV without its description is a crash's, and nobody's
            message = f"there is a file {name!r} already: choose another name, or send replace=true"
            raise ApiError(409, "conflict", message, "name")
        with self._changing:
            others = [path for path in self.folder.glob("*.csv") if path != self.path(name)]
            return self.cap_bytes - sum(path.stat().st_size for path in others)

    def _full(self) -> ApiError:
        message = f"uploads would take more than the {self.cap_bytes / 2**20:.3g} MiB allowed together: delete some"
        return ApiError(507, "uploads_full", message)

    def _about(self, name: str) -> Path:
        return self.folder / f"{name}.json"


class _Incoming:
    """A file that comes in, in a folder of its own that is locked as long as somebody receives it."""

    def __init__(self, folder: Path, name: str):
        folder.mkdir(parents=True, exist_ok=True)
        self._aside = Path(tempfile.mkdtemp(dir=folder, prefix=ASIDE))
        self._lock = FileLock(self._aside / "lock")
        self._lock.acquire()
        self.path = self._aside / f"{name}.csv"
        self.file = self.path.open("wb")

    def end(self) -> None:
        """Remove what has not become an upload."""
        with suppress(OSError):  # what a full disk did not take is let go
            self.file.close()
        self._lock.release()
        shutil.rmtree(self._aside, ignore_errors=True)


def _files(scenario: Path) -> set[str]:
    """File names a scenario mentions."""
    try:
        data = tomllib.loads(scenario.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    tables = [data.get("profiles"), data.get("network")]
    values = [v for table in tables if isinstance(table, dict) for v in table.values()]
    return {Path(value).name for value in values if isinstance(value, str)}


def inspect(path: Path, options: Options) -> dict[str, Any]:
    """What is in a file, as fields of `DataFile`.

    Raises:
        ApiError: 422; the message names row, column, value and remedy, `details` has row and column.
    """
    try:
        return {"load": _load, "prices": _prices, "feeder": _feeder}[options.kind](path, options)
    except (UserError, UnicodeDecodeError) as error:
        message = str(error).replace(str(path), path.name)
        row, column = (error.row, error.column) if isinstance(error, DataFileError) else (None, None)
        details = {"row": row, "column": column}
        raise ApiError(422, "faulty_file", message, column, details) from None


def _load(path: Path, options: Options) -> dict[str, Any]:
    import numpy as np

    from smartgrid_core.profiles.csv_source import csv_profiles

    profiles = csv_profiles(path, time_zone=options.time_zone, step_minutes=options.step_minutes, split="all")
    days = profiles.demand.shape[1] * options.step_minutes / 1440
    step_h = options.step_minutes / 60
    return {
        "time_zone": options.time_zone or "UTC", "step_minutes": options.step_minutes,
        "agents": list(profiles.agent_names), "start": str(profiles.start.astype("datetime64[s]")), "days": days,
        "hold_out": days >= 28, "peak_kw": round(float(np.max(profiles.demand.sum(axis=0))), 3),
        "demand_kwh_per_day": round(float(profiles.demand.sum()) * step_h / days, 3),
        "generation_kwh_per_day": round(float(profiles.generation.sum()) * step_h / days, 3),
    }  # fmt: skip


def _prices(path: Path, options: Options) -> dict[str, Any]:
    import numpy as np

    from smartgrid_core.profiles.csv_prices import csv_prices

    span = csv_prices(path, time_zone=options.time_zone, step_minutes=options.step_minutes)
    return {
        "time_zone": options.time_zone or "UTC", "start": str(span.start.astype("datetime64[s]")),
        "days": float((span.end - span.start) / np.timedelta64(1, "D")),
        "import_eur_per_kwh": (span.lowest_import_eur_per_kwh, span.highest_import_eur_per_kwh),
    }  # fmt: skip


def _feeder(path: Path, _options: Options) -> dict[str, Any]:
    from smartgrid_core.power_flow import Feeder

    feeder = Feeder.from_csv(path)
    return {"buses": list(feeder.bus_names), "branches": len(feeder.branch_names)}
