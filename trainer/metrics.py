"""What a run writes about itself: the values of a line of metrics.jsonl, and the same for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer.distributed import is_first

LISTED = 64  # most values in a list of metrics.jsonl
CURVES = 16  # most curves of single prosumers in TensorBoard
POSITION = ("iteration", "env_steps", "world_size")  # where a line stands, and no curve


def listed(values: Tensor) -> Any:
    """A number, or [N] numbers; where N exceeds `LISTED`, the means of so many groups of neighbouring prosumers."""
    if values.dim() == 1 and len(values) > LISTED:
        return [float(group.mean()) for group in values.cpu().tensor_split(LISTED)]
    return values.tolist()


def explained_variance(value: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
    """1 − Var(target − value) / Var(target) over the first dimension: 1 where values tell targets, 0 where a constant
    would do as well.

    Args:
        value, target: [M, ...]; counts: [M, ...] 0 or 1, decisions to leave out and to count; None: all count.
    """

    def variance(x: Tensor) -> Tensor:
        if counts is None:
            return x.var(0, correction=0)
        weight = counts / counts.sum(0).clamp_min(1)
        return ((x - (x * weight).sum(0)).square() * weight).sum(0)

    return 1 - variance(target - value) / variance(target).clamp_min(1e-8)


@contextmanager
def event_writer(folder: Path, step: int) -> Iterator[Any]:
    """TensorBoard's writer of a run that stands at `step`; None on ranks that write nothing.

    Points beyond are purged, as a resumed run makes them anew; the one at `step` is of the checkpoint it goes on from.
    """
    if not is_first():
        yield None
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
    try:
        yield writer
    finally:
        writer.close()


def write_scalars(board: Any, record: Mapping[str, Any], step: int) -> None:
    """A line of metrics.jsonl as TensorBoard scalars; lists as their mean, and a curve each where they are few.

    Groups: reward, time (seconds and rates), validation (score, cost, baselines' scores), kpi (of the validation),
    train (the rest: losses, gradient norms, learning rate, …).
    """
    for key, value in record.items():
        if key in POSITION:
            continue
        for name, x in _curves(key, value).items():
            if x is not None and math.isfinite(x):
                board.add_scalar(name, x, step)


def _curves(key: str, value: Any) -> dict[str, float | None]:
    """Scalars by name."""
    group = _group(key)
    if isinstance(value, Mapping):
        folder = group if group == "kpi" else f"{group}/{key}"
        return {f"{folder}/{name}": x for name, x in value.items()}
    if isinstance(value, list):
        each = {f"{group}/{key}/agent_{i}": x for i, x in enumerate(value)} if len(value) <= CURVES else {}
        return {f"{group}/{key}/mean": sum(value) / len(value), **each}
    return {f"{group}/{key}": value}


def _group(key: str) -> str:
    if key.startswith("validation_"):
        return "kpi" if key == "validation_kpis" else "validation"
    if key.endswith("_s") or key in ("seconds", "progress"):
        return "time"
    return "reward" if "reward" in key else "train"
