"""Many processes training one policy: `torchrun --nproc-per-node=K -m trainer train …` (torch.distributed).

Every rank simulates its own grids and takes its own gradients; gradients and statistics are averaged over ranks, so
that all ranks hold the same weights. Rank 0 writes the run folder and validates, the others wait at the next
collective. Whatever steers the run (stopping, schedules, errors) is decided on averaged or dealt values: a rank that
decided alone would leave the others waiting. Without torchrun there is one rank, and every function here returns what
it was given.

The lines only a GPU runs are in `_start`: NCCL for tensors of the GPU, gloo for everything else.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from smartgrid_core.errors import UserError

T = TypeVar("T")
PATIENCE = timedelta(hours=2)  # a rank waits so long for the others: validation, compilation, slow disks
RANK_STRIDE = 1_000_003  # between the seeds of neighbouring ranks, so that runs with close seeds share none


class RankError(UserError, RuntimeError):
    """The ranks cannot go on together; the message says what to change."""


# Who is there -------------------------------------------------------------------------------------------


def world_size() -> int:
    """K, processes that train together; 1 without torchrun."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number in 0 … K − 1."""
    return dist.get_rank() if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this process writes, validates and talks."""
    return rank() == 0


def job() -> str | None:
    """What tells this torchrun from others, the same after its restarts; None without torchrun."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"none-{os.getppid()}" if name == "none" else name


def restarted() -> bool:
    """Whether torchrun may have begun this process in place of one that died; machines count only their own deaths."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0 or _machines() > 1


def _machines() -> int:
    return int(os.environ.get("GROUP_WORLD_SIZE", "1"))


# Start and stop -----------------------------------------------------------------------------------------


@contextmanager
def ranks(device: str) -> Iterator[str]:
    """Join the ranks torchrun started, if it did; yields this rank's device: of GPUs, the one of its LOCAL_RANK.

    Raises:
        RankError: more ranks than GPUs on this machine, or one GPU named for all.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    device = _start(device)
    try:
        yield device
    finally:
        stop()


def _start(device: str) -> str:
    kind, _, index = device.partition(":")
    if kind != "cuda":
        _join("gloo")
        return device
    here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if index:
        raise RankError(f"device = {device!r} names one GPU for {here} ranks: say --device cuda, every rank takes one")
    if here > gpus:
        raise RankError(f"--nproc-per-node={here}: this machine has {gpus} GPUs; start one rank a GPU, or --device cpu")
    device = f"cuda:{os.environ['LOCAL_RANK']}"
    torch.cuda.set_device(device)
    _join("cpu:gloo,cuda:nccl")
    return device


def _join(backend: str) -> None:
    """Meet the other ranks at torchrun's store, which outlives restarts and with it the addresses of the dead."""
    # Defaults of its functions are the group there is when it is loaded, and would keep it, and its threads, beyond
    # `stop`: a thread that needs Python while Python ends aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    store, own, world = next(iter(rendezvous("env://", timeout=PATIENCE)))
    store.set_timeout(PATIENCE)
    attempt = "" if _machines() > 1 else os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
    own_store = dist.PrefixStore(f"attempt-{attempt}", store)  # pyright: ignore[reportPrivateImportUsage]
    dist.init_process_group(backend, store=own_store, rank=own, world_size=world, timeout=PATIENCE)


def stop() -> None:
    """Leave the ranks: what follows, rank 0 does alone."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def seed_rank(seed: int) -> None:
    """Make torch's random numbers, exploration among them, this rank's own; rank 0 keeps those it has."""
    if rank() > 0:
        torch.manual_seed(seed + RANK_STRIDE * rank())


def generator(seed: int) -> torch.Generator:
    """A generator on the CPU of which each rank has another."""
    return torch.Generator().manual_seed(seed + RANK_STRIDE * rank())


# Numbers ------------------------------------------------------------------------------------------------


def mean_over_ranks(x: Tensor) -> Tensor:
    """Mean of floating-point tensors of one shape, one a rank; the same bits on every rank."""
    if world_size() == 1:
        return x
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / world_size()


def moments(x: Tensor, dim: int | tuple[int, ...] | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (n − 1) of x over `dim`, None for all, and over ranks with equally many entries."""
    if world_size() == 1:
        return x.mean(dim), x.std(dim)
    mean = mean_over_ranks(x.mean(dim, keepdim=True))
    mean_square = mean_over_ranks((x - mean).square().mean(dim))
    count = world_size() * x.numel() // mean.numel()
    return mean.reshape(mean_square.shape), (mean_square * (count / (count - 1))).sqrt()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over ranks: one all-reduce of all of them, flattened."""
    if world_size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    mean = mean_over_ranks(torch.cat([g.flatten() for g in gradients]))
    for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def averaged(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of numbers and lists of numbers as its mean over ranks; whole numbers stay whole."""
    if world_size() == 1:
        return dict(record)
    rows = {key: value if isinstance(value, list) else [value] for key, value in record.items()}
    flat = torch.tensor([float(v) for row in rows.values() for v in row], dtype=torch.float64)
    means = iter(mean_over_ranks(flat).tolist())
    out: dict[str, Any] = {}
    for key, row in rows.items():
        values = [round(mean) if isinstance(old, int) else mean for old, mean in zip(row, means, strict=False)]
        out[key] = values if isinstance(record[key], list) else values[0]
    return out


def broadcast(nest: Any) -> None:
    """Give all ranks rank 0's floating-point tensors, in place, wherever they stand in dictionaries and lists."""
    if world_size() == 1:
        return
    if isinstance(nest, Tensor):
        if nest.is_floating_point() and nest.numel():
            whole = nest.contiguous()
            dist.broadcast(whole, 0)
            if whole is not nest:
                nest.copy_(whole)
    elif isinstance(nest, Mapping | list | tuple):
        for value in nest.values() if isinstance(nest, Mapping) else nest:
            broadcast(value)


# Values and decisions -----------------------------------------------------------------------------------


def gathered(value: T) -> list[T]:
    """Every rank's value, in order, on rank 0; elsewhere an empty list."""
    if world_size() == 1:
        return [value]
    values: list[Any] | None = [None] * world_size() if is_first() else None
    dist.gather_object(value, values)
    return values or []


def dealt(action: Callable[[], Sequence[T]]) -> T:
    """Entry r, on rank r, of what `action` returns on rank 0.

    Raises:
        RankError: on the other ranks, if it failed on rank 0, which raises what it was.
    """
    if world_size() == 1:
        return action()[0]
    boxes, failure = None, None
    if is_first():
        try:
            boxes = [(value, None) for value in action()]
        except Exception as error:
            boxes, failure = [(None, f"rank 0 failed: {error}")] * world_size(), error
    own: list[Any] = [None]
    dist.scatter_object_list(own, boxes)
    if failure is not None:
        raise failure
    value, message = own[0]
    if message is not None:
        raise RankError(message)
    return value


def by_first(action: Callable[[], T]) -> T:
    """What `action` returns on rank 0, where alone it runs; errors as in `dealt`."""
    return dealt(lambda: [action()] * world_size())


class Interruption:
    """Ctrl-C or SIGTERM, held back until an iteration ends, as half of one can be neither saved nor resumed.

    Before `hold`, either ends a single process at once. So does a second Ctrl-C at a terminal, unsaved; torchrun and
    servers may send a signal twice and mean it once. Of several ranks all end alike, after the same iteration. A signal
    that whoever started the process had ignored stays ignored.
    """

    def __init__(self) -> None:
        self.pressed, self.holding = False, world_size() > 1
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        """From here on, wait for the end of an iteration."""
        self.holding = True

    def _press(self, number: int, _: object) -> None:
        again, self.pressed = self.pressed, True
        by_hand = number == signal.SIGINT and world_size() == 1 and _at_terminal()
        if not self.holding or (again and by_hand):
            raise KeyboardInterrupt
        if by_hand:  # not by print, which this may have interrupted
            os.write(2, b"\nending after this iteration; Ctrl-C again ends at once, unsaved\n")

    def came(self) -> bool:
        """Whether it reached any rank, on all of them the same answer."""
        return bool(mean_over_ranks(torch.tensor(float(self.pressed))) > 0)


def _at_terminal() -> bool:
    """Whether someone sits before this process."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
