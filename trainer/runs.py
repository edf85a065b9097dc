"""The run folder: configuration, metrics, checkpoints; each is whole or not there, whatever ends the process."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from smartgrid_core.errors import ConfigError
from trainer.files import damage_told, read_json, refuse_unwritable, sync, write_atomically, write_through

FORMAT = 2  # raised when a checkpoint written before can no longer be read
SEEDS_FILE = "seeds.json"  # in the folder of a population: figures, and which seed's run is its policy
STOPPED_FILE = ".stopped"  # why a run ended that would end so again
PREVIOUS = "previous"  # the checkpoint that was `last` before the newest, to resume from should that be damaged
NEEDED = ("algorithm", "num_agents", "observation_dim", "action_dim", "hidden", "hold_h", "scenario", "run")  # of about
TAIL_BYTES = 1 << 17  # of metrics.jsonl, more than a line


class RunFolder:
    """One training run on disk."""

    def __init__(self, path: Path):
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"

    def create(self, config: Mapping[str, Any], resume: bool, job: str | None = None) -> None:
        """Make the folder and write config.json, and the name of the torchrun job whose restarts may go on with it.

        Raises:
            ConfigError: the folder holds another run and `resume` was not asked for.
        """
        self.refuse_other(resume)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self._tidy()
        text = json.dumps(config, indent=2, default=str) + "\n"
        write_atomically(self.path / "config.json", text.encode())
        (self.path / STOPPED_FILE).unlink(missing_ok=True)
        if job is not None:
            write_atomically(self.path / ".job", job.encode())

    def refuse_other(self, resume: bool) -> None:
        """Refuse, with nothing written, a folder in which this run cannot be.

        Raises:
            ConfigError: it holds another run and `resume` was not asked for, or cannot be a folder.
        """
        if (self.path / "config.json").exists() and not resume:
            raise ConfigError(
                f"{self.path} already holds a run: add --resume to continue it, or give another folder with --out"
            )
        if not resume and (kept := self._kept()):
            raise ConfigError(
                f"{self.path} holds {kept}, which a new run would overwrite or hide: give another folder with --out "
                "(--warm-start takes the weights of a run along)"
            )
        refuse_unwritable("--out", self.path, "give another folder with --out")

    def _kept(self) -> str | None:
        """What is there of a run without its config.json, or of a population."""
        if (self.path / "seeds.json").exists() or any(self.path.glob("seed-*/config.json")):
            return "the runs of --seeds"
        if self.checkpoints.is_dir() and any(self.checkpoints.iterdir()):
            return "checkpoints without a config.json"
        return "metrics without a config.json" if self.metrics.is_file() and self.metrics.stat().st_size else None

    def _tidy(self) -> None:
        """End what a kill left half done: a checkpoint between two renames gets its name back, what was aside goes."""
        for path in self.checkpoints.glob(".*.*"):
            old = self.checkpoints / path.name[1:].rsplit(".", 1)[0]
            if path.suffix == ".old" and not old.exists():
                os.replace(path, old)
            else:
                self._retire(path)

    def _retire(self, path: Path) -> None:
        """Remove a checkpoint that has been replaced; what was `last` becomes `previous`."""
        if path.name == ".last.old" and (path / "training.pt").is_file():
            shutil.rmtree(self.checkpoints / PREVIOUS, ignore_errors=True)
            os.replace(path, self.checkpoints / PREVIOUS)
        else:
            shutil.rmtree(path, ignore_errors=True)

    def is_of(self, job: str | None) -> bool:
        """Whether this torchrun job began or resumed the run."""
        mark = self.path / ".job"
        return job is not None and mark.exists() and mark.read_text() == job

    def mark_stopped(self, reason: str) -> None:
        """Note why the run ended before its time, for `why_stopped`."""
        write_atomically(self.path / STOPPED_FILE, reason.encode())

    def why_stopped(self, config: Mapping[str, Any]) -> str | None:
        """What ended the run for good if it had this configuration, None if it may go on."""
        mark, written = self.path / STOPPED_FILE, self.path / "config.json"
        if not (mark.is_file() and written.is_file()):
            return None
        same = json.loads(written.read_text(encoding="utf-8")) == json.loads(json.dumps(config, default=str))
        return mark.read_text(encoding="utf-8") if same else None

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add one line to metrics.jsonl."""
        with self.metrics.open("ab") as file:
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))

    def truncate_metrics(self, iteration: int) -> None:
        """Drop lines after an iteration, so that a resumed run does not log it twice."""
        if self.metrics.exists():
            lines = self.metrics.read_bytes().split(b"\n")[:-1]  # what follows the last line's end is half a line
            kept = [line + b"\n" for line in lines if 0 <= _iteration_of(line) <= iteration]
            write_atomically(self.metrics, b"".join(kept))

    def save(
        self,
        name: str,
        weights: Mapping[str, Tensor],
        training: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
        about: Mapping[str, Any],
    ) -> Path:
        """Write checkpoint `name`: weights.safetensors, about.json and, to resume, training.pt.

        Of several ranks, rank r > 0 has training-r.pt. Everything goes into a new folder that then takes the old one's
        place; of `last`, the old one stays as `previous`. Who may read the run folder may read it.
        """
        target, old = self.checkpoints / name, self.checkpoints / f".{name}.old"
        temporary = self.checkpoints / f".{name}.{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()  # not by mkdtemp, whose folders are their owner's alone
        try:
            tensors = {k: v.detach().cpu().contiguous() for k, v in weights.items()}
            write_through(temporary / "weights.safetensors", save(tensors))
            for rank, part in enumerate([training] if isinstance(training, Mapping) else training or []):
                data = io.BytesIO()  # as torch, on a full disk, raises anything but OSError
                torch.save(dict(part), data)
                write_through(temporary / (f"training-{rank}.pt" if rank else "training.pt"), data.getbuffer())
            text = json.dumps({"format": FORMAT, **about}, indent=2, default=str, allow_nan=False) + "\n"
            write_through(temporary / "about.json", text.encode())
            sync(temporary)
            shutil.rmtree(old, ignore_errors=True)
            if target.exists():
                os.replace(target, old)
            os.replace(temporary, target)
            sync(self.checkpoints)
            self._retire(old)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return target

    def prune(self, keep: int) -> None:
        """Keep the newest `keep` numbered checkpoints."""
        numbered = sorted((p for p in self.checkpoints.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
        for path in numbered[: max(len(numbered) - keep, 0)]:
            shutil.rmtree(path, ignore_errors=True)

    def load_training(self, name: str = "last", rank: int = 0) -> dict[str, Any]:
        """What `--resume` continues from, as rank 0 or another left it.

        Raises:
            ConfigError: there is no such checkpoint, or it is damaged.
        """
        path = self.training_file(name, rank)
        if path is None:
            began = (self.path / "config.json").exists()
            hint = f"the run ended before its first: delete {self.path}" if began else "no run began there: start it"
            raise ConfigError(
                f"nothing to resume: {self.checkpoints / name} holds no training state; {hint}, without --resume, or "
                "give another folder with --out"
            )
        with damage_told(path, self.way_on(path)):
            found = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(found, dict):
                raise ValueError(f"a {type(found).__name__}, and not what a run saves")
        return found

    def way_on(self, damaged: Path) -> str:
        """What to do where a file to resume from is of no use."""
        older = self.checkpoints / PREVIOUS
        if damaged.parent != older and (older / damaged.name).is_file():
            return f"remove the folder {damaged.parent}, and --resume goes on from {older}"
        return "no older one is left: begin anew with another --out (--warm-start takes the weights of a run)"

    def can_resume(self) -> bool:
        """Whether `load_training` finds something."""
        return self.training_file() is not None

    def training_file(self, name: str = "last", rank: int = 0) -> Path | None:
        """What `load_training` reads, if it is there."""
        # A kill between the two renames of `save` leaves the old checkpoint under its other name.
        file = f"training-{rank}.pt" if rank else "training.pt"
        folders = (name, f".{name}.old", *((PREVIOUS,) if name == "last" else ()))
        paths = (self.checkpoints / folder / file for folder in folders)
        return next((path for path in paths if path.is_file()), None)


def _iteration_of(line: bytes) -> int:
    """Iteration of a line of metrics.jsonl; −1 where a power cut left no line."""
    try:
        return orjson.loads(line)["iteration"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return -1


def last_metrics(path: Path) -> dict[str, Any] | None:
    """The newest whole line of a metrics.jsonl that may just be written; None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().split(b"\n")
    for line in reversed(lines):
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
    return None


def shipped_policies() -> dict[str, Path]:
    """Folders of the policies that come with the package, by the scenario each was trained on."""
    root = Path(str(files("trainer"))) / "policies"
    return {path.parent.name: path.parent for path in sorted(root.glob("*/weights.safetensors"))}


def find_checkpoint(path: str | Path) -> Path:
    """Folder with weights.safetensors, given a run folder (its `best`, else `last`), the folder of several seeds (the
    best seed's), a checkpoint folder, or the name of a shipped policy.

    Raises:
        ConfigError: none of them is there.
    """
    root, shipped = Path(path).expanduser(), shipped_policies()
    if (report := root / SEEDS_FILE).is_file():
        remedy = "name the folder of one seed, or make it anew with --resume"
        if best := read_json(report, remedy).get("best"):
            root = root / best
    folders = (root / "checkpoints" / name for name in ("best", ".best.old", "last", ".last.old", PREVIOUS))
    for candidate in (root, *folders, shipped.get(str(path), root)):
        if (candidate / "weights.safetensors").is_file() and (candidate / "about.json").is_file():
            return candidate
    raise ConfigError(
        f"no checkpoint at {str(path)!r}: give a run folder (runs/NAME), one of its checkpoints, or the name of a "
        f"shipped policy ({', '.join(shipped)})"
    )


def load_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and about.json of a checkpoint.

    Raises:
        ConfigError: there is none, it is damaged, or of another format.
    """
    folder = find_checkpoint(path)
    remedy = "give another checkpoint of the run, or train it anew"
    about = read_json(folder / "about.json", remedy)
    if about.get("format") != FORMAT:
        raise ConfigError(
            f"{folder}: checkpoint format {about.get('format')} is not {FORMAT}, the one this version reads"
        )
    if missing := [name for name in NEEDED if name not in about]:
        raise ConfigError(f"{folder / 'about.json'} does not say {', '.join(missing)}: {remedy}")
    with damage_told(folder / "weights.safetensors", remedy):
        return load_file(folder / "weights.safetensors"), about
