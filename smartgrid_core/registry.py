"""Scenario files: finding them, inheriting, overriding, and saying clearly what is wrong with one."""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from smartgrid_core.config import GridConfig
from smartgrid_core.errors import ConfigError, InvalidConfigError
from smartgrid_core.faults import faults, nearest


def _folder() -> Path:
    return Path(str(files("smartgrid_core"))) / "scenarios"


def list_scenarios() -> list[str]:
    """Names of the scenarios that ship with the package."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def saved_folder() -> Path:
    """Where the server keeps the scenarios users save: $SMARTGRID_DATA_DIR/scenarios, or the user's data folder."""
    data = os.environ.get("SMARTGRID_DATA_DIR") or platformdirs.user_data_dir("smartgrid-marl", appauthor=False)
    return Path(data) / "scenarios"


def list_saved_scenarios() -> list[str]:
    """Names of the scenarios users saved; a shipped one of the same name goes first."""
    return sorted({path.stem for path in saved_folder().glob("*.toml")} - set(list_scenarios()))


def scenario_path(source: str | Path) -> Path:
    """Path of a scenario given by name (shipped or saved) or path.

    Raises:
        ConfigError: neither a known scenario nor a file; offers the nearest name.
    """
    text = str(source)
    if text in list_scenarios():
        return _folder() / f"{text}.toml"
    if text in list_saved_scenarios():
        return saved_folder() / f"{text}.toml"
    path = Path(text).expanduser()
    if path.suffix == ".toml" or path.exists():
        if not path.is_file():
            raise ConfigError(f"scenario file {text!r} does not exist: give a .toml file or one of {_listed()}")
        return path
    near = nearest(text, [*list_scenarios(), *list_saved_scenarios()])
    hint = f"did you mean {near!r}? " if near else ""
    raise ConfigError(f"unknown scenario {text!r}: {hint}known are {_listed()}, or give the path of a .toml file")


def _listed() -> str:
    return ", ".join([*list_scenarios(), *list_saved_scenarios()])


def load_config(source: str | Path, overrides: Mapping[str, Any] | None = None) -> GridConfig:
    """Read a scenario with its bases, apply overrides, validate."""
    path = scenario_path(source)
    data = _read(path, seen=())
    data.setdefault("name", path.stem)
    for key, value in (overrides or {}).items():
        _override(data, key.split("."), value, key, GridConfig)
    return validate_config(data, where=str(source))


def overridden(config: GridConfig, overrides: Mapping[str, Any]) -> GridConfig:
    """A scenario with some fields, given by dotted names, changed; raises as `load_config`."""
    data = config.model_dump(mode="json")
    for key, value in overrides.items():
        _override(data, key.split("."), value, key, GridConfig)
    return validate_config(data, where=config.name)


def validate_config(data: Mapping[str, Any], where: str = "configuration") -> GridConfig:
    """Turn a plain mapping into a GridConfig, or raise InvalidConfigError with one line per fault."""
    try:
        return GridConfig.model_validate(dict(data))
    except ValidationError as error:
        found = faults(error, GridConfig)
        raise InvalidConfigError(f"{where}:\n" + "\n".join(f"  {text}" for _, text in found), found) from None


def resolve(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What a scenario file at `path` (it need not exist) with this content amounts to, bases merged in."""
    return _resolved(copy.deepcopy(dict(data)), path.resolve(), seen=())


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """One TOML file merged over the file its `base` names."""
    path = path.resolve()
    if path in seen:
        raise ConfigError(f"{path.name}: base goes in a circle ({' → '.join(p.name for p in (*seen, path))})")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not valid TOML: {error}") from None
    return _resolved(data, path, seen)


def _resolved(data: dict[str, Any], path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    for field in ("path", "price_path"):  # data files are named relative to the scenario file
        value = _table(data, "profiles").get(field)
        if isinstance(value, str):
            data["profiles"][field] = str((path.parent / value).resolve())
    feeder = _table(data, "network").get("feeder")
    if isinstance(feeder, str) and feeder.endswith(".csv") and (path.parent / feeder).is_file():
        data["network"]["feeder"] = str((path.parent / feeder).resolve())
    base = data.pop("base", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise ConfigError(f"base = {base!r}: expected the name of a scenario")
    inherited = _read(_base_path(base, path), (*seen, path))
    inherited.pop("name", None)
    inherited.pop("description", None)
    overrides = data.pop("override", {})
    if not isinstance(overrides, Mapping):
        raise ConfigError(f"override = {overrides!r}: expected a table of dotted names and values")
    for key, value in overrides.items():
        _override(inherited, key.split("."), value, f"override.{key}", GridConfig)
    return _merge(inherited, data)


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A table of the file; empty where it is something else, which validation tells."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _base_path(base: str, child: Path) -> Path:
    beside = child.parent / base
    return beside if beside.is_file() else scenario_path(base)


def _merge(base: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    out = copy.deepcopy(base)
    for key, value in top.items():
        both_tables = isinstance(value, Mapping) and isinstance(out.get(key), dict)
        out[key] = _merge(out[key], value) if both_tables else value
    return out


def _override(node: Any, keys: list[str], value: Any, full: str, model: Any = None) -> None:
    """Set one dotted key in place; `*` stands for every element of a list.

    model: whose fields the node's are, for a list that is not there: it is the default's.
    """
    head, rest = keys[0], keys[1:]
    if isinstance(node, list):
        if head != "*" and not (head.isdigit() and int(head) < len(node)):
            raise ConfigError(f"override {full!r}: {head!r} is not an index below {len(node)} nor *")
        for index in range(len(node)) if head == "*" else [int(head)]:
            if rest:
                _override(node[index], rest, value, full)
            else:
                node[index] = value
        return
    if not isinstance(node, dict):
        raise ConfigError(f"override {full!r}: {head!r} lies inside a plain value")
    if not rest:
        node[head] = value
        return
    default = _default(model, head)
    if node.get(head) is None:
        listed = isinstance(default, tuple) and (rest[0] == "*" or rest[0].isdigit())
        node[head] = [to_jsonable_python(x) for x in default] if listed else {}
    _override(node[head], rest, value, full, default)


def _default(model: Any, field: str) -> Any:
    """What a field of a model, or of an instance of one, is where nothing is given; None where there is no such."""
    if isinstance(model, BaseModel):
        return getattr(model, field, None)
    found = model.model_fields.get(field) if isinstance(model, type) and issubclass(model, BaseModel) else None
    return None if found is None or found.is_required() else found.get_default(call_default_factory=True)
