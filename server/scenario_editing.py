"""Scenarios made on the page: checked field by field, built once to be sure, saved by name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from server.errors import ApiError, scrub
from server.requests import NAME
from server.scenarios import Scenarios
from server.toml_writer import to_toml
from server.uploads import NOUN, Uploads
from smartgrid_core import GridConfig, Simulator, list_scenarios
from smartgrid_core.errors import DataFileError, InvalidConfigError, UserError
from smartgrid_core.registry import resolve, validate_config
from trainer.files import write_atomically

BUILT_UP_TO = 200  # prosumers; building more takes the live run's time
MOST_AGENTS = 2000
RESERVED = ("schema", "validate", "save")
FILES = (("profiles", "path", "load"), ("profiles", "price_path", "prices"), ("network", "feeder", "feeder"))


class ScenarioDraft(BaseModel):
    """A scenario as fields, or as the text of a TOML file; data files by the names they were uploaded under."""

    model_config = ConfigDict(extra="forbid")

    scenario: dict[str, Any] | None = Field(
        default=None,
        description="Fields of GridConfig; with `base`, those that differ from the scenario it names.",
    )
    toml: str | None = Field(default=None, max_length=1 << 20, description="The same as TOML.")


class SaveRequest(ScenarioDraft):
    """A scenario to keep."""

    name: str = Field(pattern=NAME, description="Name to keep it by; not that of a shipped scenario.")
    replace: bool = Field(default=False, strict=True, description="Whether a saved one may be overwritten.")


class ScenarioSource(BaseModel):
    """The file of a scenario."""

    name: str
    toml: str = Field(description="Its text.")


class Fault(BaseModel):
    """Something wrong with a field."""

    field: str
    message: str


class Sizes(BaseModel):
    """What the scenario implies, from building it."""

    num_agents: int
    buses: int
    branches: int
    links: int
    observation_dim: int
    action_dim: int
    episode_steps: int


class Checked(BaseModel):
    """What is wrong with a draft, or what it implies."""

    valid: bool
    faults: list[Fault]
    sizes: Sizes | None = Field(description="Null where it is faulty, or has too many prosumers to build it here.")
    config: dict[str, Any] | None = Field(description="Every field with its value, bases merged; null where faulty.")
    toml: str | None = Field(description="The file as it would be saved; null where faulty.")


class Editor:
    """Checks and saves scenarios; of paths it takes none from a client."""

    def __init__(self, scenarios: Scenarios, uploads: Uploads):
        self.scenarios, self.uploads = scenarios, uploads

    def check(self, draft: ScenarioDraft, name: str = "draft") -> Checked:
        """Everything that can be known without running it."""
        try:
            data = self._data(draft)
            data.pop("name", None)  # the file's name is the scenario's
            resolved = resolve(data, self.scenarios.folder / f"{name}.toml")
            config = validate_config(resolved | {"name": name}, name)
            self._refuse_foreign_files(config, data.get("base"))
            sizes = _sizes(config)
            text = to_toml(data)
        except _FaultyError as error:
            return _faulty(error.faults)
        except InvalidConfigError as error:
            return _faulty([Fault(field=field, message=scrub(text.strip())) for field, text in error.faults])
        except (UserError, ImportError, OSError, ValueError) as error:
            field = "profiles" if isinstance(error, DataFileError) else "scenario"
            return _faulty([Fault(field=field, message=scrub(str(error)))])
        return Checked(valid=True, faults=[], sizes=sizes, config=self._shown(config), toml=text)

    def save(self, request: SaveRequest) -> Checked:
        """Check, then write NAME.toml.

        Raises:
            ApiError: 409, the name is taken; 422, faulty: `details.faults` has every fault.
        """
        path = self.scenarios.folder / f"{request.name}.toml"
        if request.name in RESERVED:
            raise ApiError(409, "conflict", f"{request.name!r} is a word of the API: choose another name", "name")
        taken = {name.lower() for name in list_scenarios()}
        if request.name.lower() in taken:
            message = f"{request.name!r} ships with the package and stays as it is: choose another name"
            raise ApiError(409, "conflict", message, "name")
        if path.exists() and not request.replace:
            message = f"there is a saved scenario {request.name!r} already: choose another name, or send replace: true"
            raise ApiError(409, "conflict", message, "name")
        checked = self.check(request, request.name)
        if not checked.valid or checked.toml is None:
            first, *rest = checked.faults
            message = first.message + (f" (and {len(rest)} more)" if rest else "")
            details = {"faults": [fault.model_dump() for fault in checked.faults]}
            raise ApiError(422, "invalid", message, first.field, details)
        write_atomically(path, f"# Saved on the page.\n{checked.toml}".encode())
        return checked

    def delete(self, name: str) -> None:
        """Remove a saved scenario; a shipped one, and one that is another's base, is refused."""
        if self.scenarios.names().get(name) == "shipped":
            raise ApiError(
                409, "conflict", f"{name!r} ships with the package: only saved scenarios are deleted", "name"
            )
        path = self.scenarios.path(name)
        children = [p.stem for p in self.scenarios.folder.glob("*.toml") if _base(p) == path.name]
        if children:
            message = f"{name!r} is the base of {', '.join(sorted(children))}: delete or change that first"
            raise ApiError(409, "conflict", message, "name")
        path.unlink(missing_ok=True)

    def source(self, name: str) -> ScenarioSource:
        """The file of a scenario."""
        text = self.scenarios.path(name).read_text(encoding="utf-8", errors="replace")
        return ScenarioSource(name=name, toml=scrub(text))

    # Files and bases ------------------------------------------------------------------------------------

    def _data(self, draft: ScenarioDraft) -> dict[str, Any]:
        """The draft's fields, names of bases and uploads as file names beside the saved scenario."""
        if (draft.scenario is None) == (draft.toml is None):
            raise _FaultyError("scenario", "give either scenario (fields) or toml (text)")
        if draft.toml is None:
            data = dict(draft.scenario or {})
        else:
            try:
                data = tomllib.loads(draft.toml)
            except (tomllib.TOMLDecodeError, RecursionError) as error:
                raise _FaultyError("toml", f"not valid TOML: {error}") from None
        base = data.get("base")
        if base is not None:
            data["base"] = self._base(base)
        for table, key, kind in FILES:
            values = data.get(table)
            if isinstance(values, Mapping) and isinstance(values.get(key), str):
                data[table] = {**values, key: self._file(f"{table}.{key}", values[key], kind)}
        return data

    def _base(self, base: Any) -> str:
        known = self.scenarios.names()
        name = base.removesuffix(".toml") if isinstance(base, str) else base
        if not isinstance(name, str) or name not in known:
            raise _FaultyError("base", f"base = {base!r}: expected one of {', '.join(known)}")
        return name if known[name] == "shipped" else f"{name}.toml"

    def _file(self, field: str, value: str, kind: str) -> str:
        """The upload of this name as a path beside the saved scenario."""
        if field == "network.feeder" and (value == "radial" or value.startswith("simbench:")):
            return value
        name = value.removeprefix(f"../{self.uploads.folder.name}/").removesuffix(".csv")
        fitting = [file.name for file in self.uploads.list() if file.kind == kind]
        if not re.match(NAME, name) or name not in fitting:
            raise _FaultyError(
                field, f"{field} = {value!r}: {NOUN} of kind {kind}: {', '.join(fitting) or 'there is none'}"
            )
        return f"../{self.uploads.folder.name}/{name}.csv"

    def _refuse_foreign_files(self, config: GridConfig, base: str | None) -> None:
        """Data lie among the uploads, whichever way the draft names them (overrides, bases)."""
        feeder = config.network.feeder
        paths = {"profiles.path": config.profiles.path, "profiles.price_path": config.profiles.price_path}
        if feeder != "radial" and not feeder.startswith("simbench:"):
            paths["network.feeder"] = Path(feeder)
        folder, inherited = self.uploads.folder.resolve(), set()
        if base is not None:  # what the operator's scenarios use may be used again
            parent = self.scenarios.load(base.removesuffix(".toml"))
            inherited = {parent.profiles.path, parent.profiles.price_path, Path(parent.network.feeder)}
        for field, path in paths.items():
            if path is not None and path not in inherited and path.resolve().parent != folder:
                raise _FaultyError(field, f"{field}: {NOUN}; upload it first")

    def _shown(self, config: GridConfig) -> dict[str, Any]:
        """The configuration without this machine's folders."""
        shown = config.model_dump(mode="json")
        for table, key, _ in FILES:
            value = shown[table][key]
            if isinstance(value, str) and value.endswith(".csv"):
                shown[table][key] = Path(value).stem
        return shown


class _FaultyError(Exception):
    """One field of a draft cannot be used."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.faults = [Fault(field=field, message=message)]


def _faulty(faults: list[Fault]) -> Checked:
    return Checked(valid=False, faults=faults, sizes=None, config=None, toml=None)


def _base(path: Path) -> str | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")).get("base")
    except (OSError, ValueError):
        return None


def _sizes(config: GridConfig) -> Sizes | None:
    """Build the community; raises what is wrong with its feeder, links and data."""
    if config.num_agents > MOST_AGENTS:
        raise _FaultyError("prosumers", f"{config.num_agents} prosumers: this server runs at most {MOST_AGENTS} live")
    if config.num_agents > BUILT_UP_TO:
        return None
    sim = Simulator(config, 1)
    return Sizes(
        num_agents=sim.num_agents, buses=len(sim.feeder.bus_names), branches=len(sim.feeder.branch_names),
        links=len(sim.links.pairs), observation_dim=sim.observation_dim, action_dim=sim.action_dim,
        episode_steps=config.episode_steps,
    )  # fmt: skip
