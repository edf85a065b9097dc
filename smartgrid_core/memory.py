"""How much memory may still be taken, where the system says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from smartgrid_core.errors import ConfigError

RECLAIMABLE = ("inactive_file", "active_file", "slab_reclaimable")  # of a group's memory, given back when asked for


def available_bytes(device: torch.device, root: Path = Path("/")) -> int | None:
    """Bytes that can be had on a device without swapping, None where nothing tells.

    On a CPU what the kernel estimates (MemAvailable, which counts the page cache as free), or less where a control
    group allows less; elsewhere than on Linux the pages that are free. On a GPU what is free there and what torch
    keeps of it unused.

    Args:
        root: folder in which proc and sys lie.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    found = [*_of_the_machine(root / "proc/meminfo"), *_of_control_groups(root)]
    if found:
        return min(found)
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def require_memory(num_grids: int, bytes_per_grid: int, device: torch.device) -> None:
    """Refuse a batch that cannot fit, before anything is allocated."""
    needed, free = num_grids * bytes_per_grid, available_bytes(device)
    if free is not None and needed > free:
        raise ConfigError(
            f"num_grids = {num_grids:,} needs about {needed / 2**30:.1f} GiB ({bytes_per_grid:,} bytes a grid), "
            f"{free / 2**30:.1f} GiB are free on {device}: at most {free // bytes_per_grid:,} fit"
        )


def _of_the_machine(meminfo: Path) -> Iterator[int]:
    for line in _lines(meminfo):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024


def _of_control_groups(root: Path) -> Iterator[int]:
    """What is left of the limit of this process's group and of each above it (cgroup v2)."""
    top = root / "sys/fs/cgroup"
    own = next((line[3:] for line in _lines(root / "proc/self/cgroup") if line.startswith("0::")), "/")
    group = top / own.strip("/")
    while True:
        limit, used = _lines(group / "memory.max"), _lines(group / "memory.current")
        if limit and used and limit[0] != "max":
            parts = dict(line.split() for line in _lines(group / "memory.stat"))
            cached = sum(int(parts.get(name, 0)) for name in RECLAIMABLE)
            yield max(0, int(limit[0]) - max(0, int(used[0]) - cached))
        if group == top or top not in group.parents:
            return
        group = group.parent


def _lines(path: Path) -> list[str]:
    """Lines of a file of the kernel's, none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
