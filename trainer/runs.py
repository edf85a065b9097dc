"""The run folder: configuration, metrics, checkpoints; every file written aside and renamed into place."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from smartgrid_core.errors import ConfigError

FORMAT = 2  # raised when a checkpoint written before can no longer be read
SEEDS_FILE = "seeds.json"  # in the folder of a population: figures, and which seed's run is its policy
STOPPED_FILE = ".stopped"  # why a run ended that would end so again
TAIL_BYTES = 1 << 17  # of metrics.jsonl, more than a line


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place when the block ends and is removed if it fails.

    A reader or a crash sees the old file or the new one, never half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; results are meant to be read
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader or a crash sees the old one or the new one, never half of one."""
    with replaced_whole(path) as temporary:
        temporary.write_bytes(data)


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
        if (self.path / "config.json").exists() and not resume:
            raise ConfigError(
                f"{self.path} already holds a run: add --resume to continue it, or give another folder with --out"
            )
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self._tidy()
        text = json.dumps(config, indent=2, default=str) + "\n"
        write_atomically(self.path / "config.json", text.encode())
        (self.path / STOPPED_FILE).unlink(missing_ok=True)
        if job is not None:
            write_atomically(self.path / ".job", job.encode())

    def _tidy(self) -> None:
        """End what a kill left half done: a checkpoint between two renames gets its name back, what was aside goes."""
        for path in self.checkpoints.glob(".*.*"):
            old = self.checkpoints / path.name[1:].rsplit(".", 1)[0]
            if path.suffix == ".old" and not old.exists():
                os.replace(path, old)
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
            kept = [line + b"\n" for line in lines if orjson.loads(line)["iteration"] <= iteration]
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
        place.
        """
        target = self.checkpoints / name
        temporary = Path(tempfile.mkdtemp(dir=self.checkpoints, prefix=f".{name}."))
        try:
            tensors = {k: v.detach().cpu().contiguous() for k, v in weights.items()}
            write_atomically(temporary / "weights.safetensors", save(tensors))
            for rank, part in enumerate([training] if isinstance(training, Mapping) else training or []):
                data = io.BytesIO()  # as torch, on a full disk, raises anything but OSError
                torch.save(dict(part), data)
                write_atomically(temporary / (f"training-{rank}.pt" if rank else "training.pt"), data.getvalue())
            text = json.dumps({"format": FORMAT, **about}, indent=2, default=str) + "\n"
            write_atomically(temporary / "about.json", text.encode())
            old = self.checkpoints / f".{name}.old"
            shutil.rmtree(old, ignore_errors=True)
            if target.exists():
                os.replace(target, old)
            os.replace(temporary, target)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return target

    def prune(self, keep: int) -> None:
        """Keep the newest `keep` numbered checkpoints."""
        numbered = sorted(p for p in self.checkpoints.iterdir() if p.name.isdigit())
        for path in numbered[: max(len(numbered) - keep, 0)]:
            shutil.rmtree(path, ignore_errors=True)

    def load_training(self, name: str = "last", rank: int = 0) -> dict[str, Any]:
        """What `--resume` continues from, as rank 0 or another left it.

        Raises:
            ConfigError: there is no such checkpoint.
        """
        path = self._find_training(name, rank)
        if path is None:
            began = (self.path / "config.json").exists()
            hint = f"the run ended before its first: delete {self.path}" if began else "no run began there: start it"
            raise ConfigError(
                f"nothing to resume: {self.checkpoints / name} holds no training state; {hint}, without --resume, or "
                "give another folder with --out"
            )
        return torch.load(path, map_location="cpu", weights_only=True)

    def can_resume(self) -> bool:
        """Whether `load_training` finds something."""
        return self._find_training("last", 0) is not None

    def _find_training(self, name: str, rank: int) -> Path | None:
        # A kill between the two renames of `save` leaves the old checkpoint under its other name.
        file = f"training-{rank}.pt" if rank else "training.pt"
        paths = (self.checkpoints / folder / file for folder in (name, f".{name}.old"))
        return next((path for path in paths if path.is_file()), None)


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
    if (root / SEEDS_FILE).is_file() and (best := json.loads((root / SEEDS_FILE).read_text())["best"]):
        root = root / best
    folders = (root / "checkpoints" / name for name in ("best", ".best.old", "last", ".last.old"))
    for candidate in (root, *folders, shipped.get(str(path), root)):
        if (candidate / "weights.safetensors").is_file() and (candidate / "about.json").is_file():
            return candidate
    raise ConfigError(
        f"no checkpoint at {str(path)!r}: give a run folder (runs/NAME), one of its checkpoints, or the name of a "
        f"shipped policy ({', '.join(shipped)})"
    )


def load_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and about.json of a checkpoint."""
    folder = find_checkpoint(path)
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    if about.get("format") != FORMAT:
        raise ConfigError(
            f"{folder}: checkpoint format {about.get('format')} is not {FORMAT}, the one this version reads"
        )
    return load_file(folder / "weights.safetensors"), about
