"""Configuration fields as command-line options."""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from smartgrid_core.config import GridConfig
from smartgrid_core.errors import ConfigError
from smartgrid_core.faults import nearest
from trainer.config import TrainConfig, load_train_config

NUMBERS = re.compile(r"[-+.\d][-+.,\deE ]*,[-+.,\deE ]*")  # 128,128
TABLES = {"ippo": "ppo", "mappo": "ppo", "qmix": "qmix", "shac": "shac"}  # where an algorithm's own settings stand
WIDTH = 110  # characters of a line of the listing


def parse_overrides(rest: list[str]) -> dict[str, Any]:
    """`--a.b VALUE` and `--a.b=VALUE` pairs; values as JSON where they are JSON, else text.

    Names may have - for _, and a list of numbers may lack its brackets.
    """
    out: dict[str, Any] = {}
    queue = list(rest)
    while queue:
        key = queue.pop(0)
        if not key.startswith("--"):
            raise ConfigError(f"unexpected argument {key!r}: options are --field VALUE")
        key, equals, value = key[2:].partition("=")
        if not equals:
            if not queue:
                raise ConfigError(f"--{key} needs a value")
            value = queue.pop(0)
        out[key.replace("-", "_")] = _value(value)
    return out


def _value(text: str) -> Any:
    for candidate in (text, f"[{text}]") if NUMBERS.fullmatch(text) else (text,):
        try:
            return json.loads(candidate)
        except json.JSONDecodeError:
            continue
    return text


def refuse_unknown(overrides: Iterable[str], parser: argparse.ArgumentParser, trains: bool) -> None:
    """Refuse names that are neither fields of the scenario nor, where something is trained, of the training.

    Faults further inside, as of `ppo.epochz`, are told where the configuration is read.

    Raises:
        ConfigError: with the nearest of all options and fields.
    """
    options = [text[2:] for action in parser._actions for text in action.option_strings if text.startswith("--")]
    fields = [*(TrainConfig.model_fields if trains else ()), *GridConfig.model_fields]
    inner = {} if not trains else {
        name: f"{table}.{name}" for table, model in _tables().items() for name in model.model_fields
    }  # fmt: skip
    for path in overrides:
        name = path.split(".")[0]
        if name in fields:
            continue
        if name.replace("_", "-") in options:
            raise ConfigError(f"unknown option --{path}: it is spelt --{name.replace('_', '-')}")
        near = inner.get(name) or nearest(name, [*fields, *(option.replace("-", "_") for option in options)])
        spelt = near.replace("_", "-") if near and near.replace("_", "-") in options else near or nearest(name, inner)
        known = "python -m trainer train --help-all lists the fields of training" if trains else ""
        if spelt:
            known = known or "python -m trainer evaluate --help lists the options"
            raise ConfigError(f"unknown option --{path}: did you mean --{inner.get(spelt, spelt)}? {known}")
        of_scenario = f"the scenario's are {', '.join(GridConfig.model_fields)}"
        raise ConfigError(f"unknown option --{path}: {'; '.join(filter(None, (known, of_scenario)))}")


def refuse_of_others(fields: Iterable[str], algorithm: str) -> None:
    """Refuse settings of another learner than the one that is trained: they would change nothing.

    Args:
        fields: paths of the training's fields that were given.

    Raises:
        ConfigError: which, and what the algorithm's own are called; an unknown algorithm is left to who reads it.
    """
    others = {table for name, table in TABLES.items() if table != TABLES.get(algorithm, table)}
    for path in fields:
        if path.split(".")[0] in others or (path == "lmbda" and algorithm == "qmix"):
            raise ConfigError(
                f"--{path} is no setting of {algorithm}, whose own are --{TABLES[algorithm]}.…: leave it out "
                f"(python -m trainer train --algorithm {algorithm} --help-all lists all)"
            )


def _tables() -> dict[str, type[BaseModel]]:
    """Tables within the training configuration: ppo, shac, qmix."""
    annotations = {name: field.annotation for name, field in TrainConfig.model_fields.items()}
    return {name: a for name, a in annotations.items() if isinstance(a, type) and issubclass(a, BaseModel)}


def listing(algorithm: str) -> str:
    """Every field of training with its value in the preset of an algorithm, and what it means."""
    on = {device: load_train_config(device, {"algorithm": algorithm}).model_dump() for device in ("cpu", "cuda")}
    lines = [f"Fields of training, --FIELD VALUE, with the values of {algorithm}'s preset:"]
    for name in TrainConfig.model_fields:
        if name not in _tables():
            lines += _entry(name, TrainConfig, name, on)
    for table, model in _tables().items():
        lines += ["", f"{table}: {TrainConfig.model_fields[table].description}"]
        inside = {device: values[table] for device, values in on.items()}
        for name in model.model_fields:
            lines += _entry(f"{table}.{name}", model, name, inside)
    lines += ["", "Fields of the scenario, by their path (python -m smartgrid_core describe NAME shows one):"]
    return "\n".join([*lines, *textwrap.wrap(", ".join(GridConfig.model_fields), WIDTH - 4, **_indented(2))]) + "\n"


def _entry(path: str, model: type[BaseModel], name: str, on: Mapping[str, Mapping[str, Any]]) -> list[str]:
    field = model.model_fields[name]
    cpu, cuda = (_shown(on[device][name]) for device in ("cpu", "cuda"))
    value = cpu if cpu == cuda or path == "device" else f"{cpu}, on a GPU {cuda}"
    value = "auto" if path == "device" else value
    choices = f" (one of {', '.join(get_args(field.annotation))})" if get_origin(field.annotation) is Literal else ""
    text = " ".join((field.description or "").split())
    return [f"  --{path} {value}{choices}", *textwrap.wrap(text, WIDTH, **_indented(6))]


def _indented(by: int) -> dict[str, Any]:
    return {"initial_indent": " " * by, "subsequent_indent": " " * by}


def _shown(value: Any) -> str:
    """As it would be given on the command line."""
    if value is None or isinstance(value, bool | list | tuple):
        return json.dumps(value, separators=(",", ":"))
    return str(value)
