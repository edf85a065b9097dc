"""What `--resume` goes on with: the configuration a run began with, under the options given now."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from smartgrid_core import GridConfig
from smartgrid_core.errors import ConfigError
from smartgrid_core.registry import overridden as scenario_overridden
from smartgrid_core.registry import validate_config
from trainer.config import TrainConfig, overridden, validated
from trainer.files import damage_told, read_json
from trainer.tally import Tally

SHOWN = 5  # differing fields a message names
WIDEST = 60  # characters of a value in it
# What a run may go on with otherwise: where and how long it runs, step sizes and effort, how often it is looked at.
# Everything else decides what is learned, what a score means, or what the saved tensors are.
FREE = {
    "device", "threads", "compile", "iterations", "max_minutes", "clock", "horizon", "lmbda", "learning_rate",
    "final_learning_rate", "max_grad_norm", "validations", "patience", "keep_checkpoints", "checkpoint_minutes",
    "ppo.epochs", "ppo.minibatches", "ppo.clip_epsilon", "ppo.entropy_coeff", "ppo.critic_coeff", "ppo.target_kl",
    "shac.critic_learning_rate", "shac.critic_minibatches", "shac.critic_batch", "qmix.batch", "qmix.updates",
    "qmix.target_rate", "qmix.epsilon_start", "qmix.epsilon_end", "qmix.epsilon_until",
}  # fmt: skip
FREE_OF_SCENARIO = ("description", "evaluation")  # words, and episodes that training never meets


class Settings(NamedTuple):
    """What config.json keeps."""

    train: TrainConfig
    scenario: GridConfig

    def plain(self) -> dict[str, Any]:
        """As JSON types."""
        return {"train": self.train.model_dump(mode="json"), "scenario": self.scenario.model_dump(mode="json")}


class Change(NamedTuple):
    """A field that differs from what a run began with."""

    field: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.field} = {_short(self.before)}, now {_short(self.now)}"


def stored(folder: Path) -> Settings:
    """What a run began with, or was last resumed with.

    Raises:
        ConfigError: no run there, or its config.json is damaged or of another version.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"nothing to resume: {folder} holds no run: start it without --resume, or give its folder with --out"
        )
    remedy = "restore it, or begin anew with another --out (--warm-start takes the weights of a run)"
    content = read_json(path, remedy)
    with damage_told(path, remedy):
        train, scenario = content["train"], content["scenario"]
    return Settings(validated(train, f"{path}, of another version"), validate_config(scenario, str(path)))


def laid_over(before: Settings, train: Mapping[str, Any], source: str | None, scenario: Mapping[str, Any]) -> Settings:
    """The stored settings with the options given: fields of training, a scenario's name or path, its fields.

    Raises:
        ConfigError: a field with a wrong value, or no such scenario.
    """
    base = GridConfig.load(source, **scenario) if source is not None else scenario_overridden(before.scenario, scenario)
    config = overridden(before.train, dict(train))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "device" not in train:  # torchrun's ranks have one GPU each
        config = config.model_copy(update={"device": config.device.partition(":")[0]})
    return Settings(config, base)


def check(folder: Path, before: Settings, now: Settings) -> list[str]:
    """What to tell of settings a run goes on with otherwise than it began.

    Raises:
        ConfigError: they differ in what may not change.
    """
    changes = list(_changes(before.plain()["train"], now.plain()["train"]))
    of_scenario = _scenario_changes(before.scenario, now.scenario)
    refused = [change for change in changes if change.field not in FREE] + of_scenario
    if refused:
        if before.scenario.name != now.scenario.name:  # which says it: the rest of it differs by that
            refused = [c for c in refused if not c.field.startswith("scenario.") or c.field == "scenario.name"]
        more = f" and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        raise ConfigError(
            f"{folder} holds a run with {'; '.join(map(str, refused[:SHOWN]))}{more}: what is learned would be another "
            "thing; resume without these options, or start anew with another --out (--warm-start takes its weights)"
        )
    return [f"changed by --resume: {c.field} {_short(c.before)} → {_short(c.now)}" for c in changes]


def told_of_progress(before: TrainConfig, now: TrainConfig, tally: Tally) -> list[str]:
    """What to tell where a run is longer or shorter than it was: what follows its progress goes back or ahead."""
    then, here = (config.progress(tally.iteration, tally.seconds) for config in (before, now))
    if then == here:
        return []
    rates = (config.learning_rate * config.annealed(x) for config, x in ((before, then), (now, here)))
    follows = [("the step size", *rates)]
    if now.algorithm == "qmix":
        follows.append(("ε", before.qmix.epsilon(then), now.qmix.epsilon(here)))
    told = ", ".join(f"{name} from {old:.2g} to {new:.2g}" for name, old, new in follows if old != new)
    if not told:
        return []
    return [
        f"{100 * then:.0f} % of the run was done, {100 * here:.0f} % is of its new length, and what follows that goes "
        f"on accordingly: {told}"
    ]


def check_shape(path: Path, saved: Mapping[str, Any], now: Mapping[str, Any], way_on: str) -> None:
    """What is resumed must have the networks and the grids of what was saved.

    Args:
        path: what was read; saved: its content; now: the shape of the run; way_on: what to do without that file.

    Raises:
        ConfigError: something that the checkpoint's tensors depend on differs.
    """
    told = saved.get("shape")
    if not isinstance(told, Mapping):
        raise ConfigError(
            f"{path} does not say what run it is of: another program saved it, or a version that can resume it; "
            f"{way_on}"
        )
    for name in dict.fromkeys((*told, *now)):
        before = told.get(name, "that of an older version")
        if now.get(name) != before:
            raise ConfigError(
                f"{path} is of a run with {name} = {before}, and this run has {now.get(name)}: it was saved by another "
                f"run, or by another version, which can resume it; {way_on}"
            )


def _scenario_changes(before: GridConfig, now: GridConfig) -> list[Change]:
    """Changes of a scenario but those that training never meets; data that moved with its name are the same."""
    plain = [config.settled.model_dump(mode="json", exclude=set(FREE_OF_SCENARIO)) for config in (before, now)]
    return [change for change in _changes(*plain, prefix="scenario.") if not _moved(change)]


def _moved(change: Change) -> bool:
    paths = [PurePath(value) for value in change[1:] if isinstance(value, str)]
    return len(paths) == 2 and all(path.is_absolute() for path in paths) and paths[0].name == paths[1].name


def _changes(before: Any, now: Any, prefix: str = "") -> Iterator[Change]:
    """Leaves that differ between two nests of JSON types; a list that differs in length, or of numbers, is a leaf."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _changes(before.get(key), now.get(key), f"{prefix}{key}.")
    elif _are_tables(before) and _are_tables(now) and len(before) == len(now):
        for k, pair in enumerate(zip(before, now, strict=True)):
            yield from _changes(*pair, prefix=f"{prefix}{k}.")
    elif before != now:
        yield Change(prefix.rstrip("."), before, now)


def _short(value: Any) -> str:
    """A value as a message has room for it."""
    text = repr(value)
    if len(text) <= WIDEST:
        return text
    return f"{len(value)} entries" if isinstance(value, list | dict) else f"{text[: WIDEST - 1]}…"


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)
