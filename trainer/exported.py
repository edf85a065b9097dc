"""Exported policies, read back: an ONNX file or a torch.export program that decides as the trained actor did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from smartgrid_core.errors import ConfigError, UserError
from smartgrid_core.extras import require
from trainer.actors import Actor

EXPORT_FORMAT = 1  # raised when a file written before can no longer be read
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
ABOUT = "about.json"  # what a program says about itself; an ONNX file has a metadata entry a field


class ExportedActor(Actor):
    """A policy without its Python: maps obs [B, N, O] float32 to the served action [B, N, A]."""

    format: str  # key of SUFFIXES


class OnnxActor(ExportedActor):
    """Decides through onnxruntime, on the CPU."""

    format = "onnx"

    def __init__(self, session: Any):
        super().__init__()
        self._session = session

    def decide(self, obs: Tensor) -> Tensor:
        """The served action, [B, N, A], on the device of obs."""
        (action,) = self._session.run(["action"], {"obs": obs.float().cpu().numpy()})
        return torch.from_numpy(action).to(obs.device)


class ProgramActor(ExportedActor):
    """Decides through a torch.export program, on the device of the observations."""

    format = "torch"

    def __init__(self, program: ExportedProgram):
        super().__init__()
        # In a dict, as an exported module refuses the eval() that reaches submodules.
        self._program, self._modules_by_device = program, {torch.device("cpu"): program.module()}

    def decide(self, obs: Tensor) -> Tensor:
        """The served action, [B, N, A], on the device of obs."""
        if obs.device not in self._modules_by_device:
            from torch.export.passes import move_to_device_pass

            self._modules_by_device[obs.device] = move_to_device_pass(self._program, obs.device).module()
        return self._modules_by_device[obs.device](obs.float())


def load_exported(path: str | Path) -> tuple[ExportedActor, dict[str, Any]]:
    """The actor in an exported file, and what the file says about it.

    Raises:
        ConfigError: no such file, a damaged one, or one that `python -m trainer export` did not write.
        MissingExtraError: an .onnx file, and onnxruntime is not installed.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"no exported policy at {str(path)!r}: write one with python -m trainer export --out {path}")
    try:
        actor, about = _load_onnx(file) if file.suffix == SUFFIXES["onnx"] else _load_program(file)
    except UserError:
        raise
    except Exception as error:  # each library has its own for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{path} cannot be read as a policy ({reason}): export it again") from error
    if about.get("export_format") != EXPORT_FORMAT:
        found = about.get("export_format", "missing")
        raise ConfigError(
            f"{path}: export_format is {found}, expected {EXPORT_FORMAT}: write the file with python -m trainer export"
        )
    return actor, about


def _load_onnx(file: Path) -> tuple[OnnxActor, dict[str, Any]]:
    runtime = require("onnxruntime", "export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    entries = session.get_modelmeta().custom_metadata_map
    foreign = "export_format" not in entries
    return OnnxActor(session), {} if foreign else {key: json.loads(text) for key, text in entries.items()}


def _load_program(file: Path) -> tuple[ProgramActor, dict[str, Any]]:
    extra = {ABOUT: ""}
    program = torch.export.load(file, extra_files=extra)
    return ProgramActor(program), json.loads(extra[ABOUT] or "{}")
