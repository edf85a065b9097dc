"""Writes a trained policy as a file that runs without this package: ONNX, or a torch.export program."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from smartgrid_core.errors import ConfigError, UserError
from smartgrid_core.extras import require
from trainer.actors import Actor, BranchingActor
from trainer.exported import ABOUT, EXPORT_FORMAT, SUFFIXES, load_exported
from trainer.files import replaced_whole
from trainer.policy import load_actor

TOLERANCE = 1e-5  # largest difference of an action entry, in action units
CHECKED_BATCHES = (1, 2, 253)  # one is the size at which exporters go wrong most often


class ExportError(UserError, RuntimeError):
    """The exported policy does not act like the original; nothing was written."""


class Export(NamedTuple):
    """What was written."""

    path: Path
    about: dict[str, Any]  # the metadata in the file
    max_difference: float  # of an action entry from the original's, in action units
    checked: int  # random observations of the community it was compared on


class _Decision(nn.Module):
    """obs [B, N, O] -> served action [B, N, A], as the one thing an exporter traces."""

    def __init__(self, actor: Actor):
        super().__init__()
        self.actor = actor

    def forward(self, obs: Tensor) -> Tensor:
        return self.actor.decide(obs)


def export_policy(checkpoint: str | Path, out: str | Path, kind: str | None = None) -> Export:
    """Write the policy of a checkpoint as one file, and check that file against the original.

    The file maps obs [B, N, O] float32, B free, to the action without exploration [B, N, A] in [-1, 1]. It carries the
    checkpoint's about.json: names of observations and actions, `hold_h` (hours an action is held), scenario, score.

    Args:
        checkpoint: a run folder (its best) or one checkpoint folder.
        out: the file, ending in .onnx or .pt2; an existing one is replaced once the new one is checked.
        kind: "onnx" or "torch"; None goes by the ending.

    Raises:
        ConfigError: no checkpoint there, or `out` cannot be written or has the wrong ending.
        MissingExtraError: ONNX is asked for and its packages are not installed.
        ExportError: the file's actions differ from the original's by more than `TOLERANCE`.
    """
    target, kind = _target(out, kind)
    actor, about = load_actor(checkpoint)
    actor.eval()
    about = {key: value for key, value in about.items() if key != "format"} | {"export_format": EXPORT_FORMAT}
    if kind == "onnx":
        for module in ("onnx", "onnxscript", "onnxruntime"):
            require(module, "export")
    program = _trace(actor, about)
    try:
        with replaced_whole(target) as temporary:
            (_write_onnx if kind == "onnx" else _write_program)(program, about, temporary)
            difference = _max_difference(actor, temporary, about)
            if not difference <= TOLERANCE:  # so that NaN is refused
                raise ExportError(
                    f"{out}: actions differ from the original's by up to {difference:.2g}, expected at most "
                    f"{TOLERANCE:g}; nothing was written: try --format {'torch' if kind == 'onnx' else 'onnx'}"
                )
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be written ({error.strerror or error}): give another path") from error
    return Export(target, about, difference, sum(CHECKED_BATCHES))


def _target(out: str | Path, kind: str | None) -> tuple[Path, str]:
    """The file to write and its format, which must agree: a policy is read back by its ending."""
    path = Path(out).expanduser()
    kinds = {suffix: name for name, suffix in SUFFIXES.items()}
    if kind is not None and kind not in SUFFIXES:
        raise ConfigError(f"--format {kind}: expected one of {', '.join(SUFFIXES)}")
    wanted = SUFFIXES[kind] if kind else " or ".join(kinds)
    if path.suffix not in kinds or (kind and path.suffix != wanted):
        raise ConfigError(f"--out {out}: expected a name ending in {wanted}")
    if path.is_dir():
        raise ConfigError(f"--out {out} is a folder: give the name of a file")
    return path, kinds[path.suffix]


def _trace(actor: Actor, about: Mapping[str, Any]) -> ExportedProgram:
    example = torch.zeros(3, about["num_agents"], about["observation_dim"])  # 1 would be taken for a constant
    with torch.no_grad(), _quiet():
        batch = Dim("batch", min=1)
        return torch.export.export(_Decision(actor), (example,), dynamic_shapes={"obs": {0: batch}}, strict=False)


def _write_program(program: ExportedProgram, about: Mapping[str, Any], path: Path) -> None:
    with _quiet():
        torch.export.save(program, path, extra_files={ABOUT: json.dumps(about)})


def _write_onnx(program: ExportedProgram, about: Mapping[str, Any], path: Path) -> None:
    with _quiet():
        exported = torch.onnx.export(
            program, (), input_names=["obs"], output_names=["action"], dynamo=True, verbose=False
        )
    assert exported is not None  # None is for the old exporter
    model = exported.model_proto
    inner = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param  # the exporter's own name of the batch
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:  # assigning would unset a number
                dim.dim_param = dim.dim_param.replace(inner, "batch")
    model.producer_name = "smartgrid-marl"
    model.doc_string = (
        f"{about['algorithm']} policy for {about['scenario']}: obs [batch, {about['num_agents']}, "
        f"{about['observation_dim']}] float32 -> action [batch, {about['num_agents']}, {about['action_dim']}] in "
        f"[-1, 1], to be held for {about['hold_h']:g} h. Metadata values are JSON."
    )
    for key, value in about.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    require("onnx", "export").checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _max_difference(actor: Actor, path: Path, about: Mapping[str, Any]) -> float:
    """Largest difference of an action entry between an actor and the file, read back as it will be served."""
    exported, _ = load_exported(path)
    generator = torch.Generator().manual_seed(0)
    worst = torch.zeros(())
    with torch.no_grad():
        for batch in CHECKED_BATCHES:
            obs = _random_observations(actor, (batch, about["num_agents"], about["observation_dim"]), generator)
            difference = (actor.decide(obs) - exported.decide(obs)).abs().amax(-1)
            worst = torch.maximum(worst, difference.masked_fill(_undecided(actor, obs), 0.0).max())
    return float(worst)


def _random_observations(actor: Actor, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Normal numbers around the data the policy was trained on, wide enough that some inputs are clamped, [B, N, O]."""
    network = actor.network
    spread = torch.where(network.inverse_spread > 0, 1 / network.inverse_spread.clamp_min(1e-6), 1.0)
    return network.mean + 2 * spread * torch.randn(shape, generator=generator)


def _undecided(actor: Actor, obs: Tensor) -> Tensor:
    """Where rounding may choose between two levels that are worth the same, [B, N]."""
    if not isinstance(actor, BranchingActor):
        return torch.zeros(obs.shape[:-1], dtype=torch.bool)
    best, second = actor(obs).topk(2).values.unbind(-1)
    return (best - second <= TOLERANCE * best.abs().clamp_min(1.0)).any(-1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notices about packages that policies do not use."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
