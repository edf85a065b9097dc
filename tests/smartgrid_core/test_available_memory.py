"""What counts as free memory: the page cache does, what a control group forbids does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import smartgrid_core.memory as memory_module
from smartgrid_core import Simulator
from smartgrid_core.errors import ConfigError
from smartgrid_core.memory import available_bytes

CPU = torch.device("cpu")
MIB = 1 << 20


def machine(root: Path, available_mib: int, groups: dict[str, tuple[int | str, int, int]] | None = None) -> Path:
    """Files of a machine with 8 GiB of which 10 MiB are unused; groups: path → limit, use and cache in it, MiB."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        f"MemTotal:        8388608 kB\nMemFree:           10240 kB\nMemAvailable:   {available_mib * 1024} kB\n"
    )
    own = "/"
    for own, (limit, used, cached) in (groups or {}).items():
        folder = root / "sys/fs/cgroup" / own.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit if isinstance(limit, str) else limit * MIB}\n")
        (folder / "memory.current").write_text(f"{used * MIB}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cached * MIB}\nactive_file 0\n")
    (root / "proc/self/cgroup").write_text(f"4:memory:/other\n0::{own}\n")
    return root


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (None, 5000),  # nearly all of it in the page cache
        ({"/": ("max", 4000, 0)}, 5000),
        ({"/": (1000, 900, 0)}, 100),
        ({"/": (1000, 900, 700)}, 800),  # of which files can be forgotten
        ({"/": (6000, 0, 0)}, 5000),  # the machine has less than the group may take
        ({"/": (1000, 800, 0), "/unit": ("max", 10, 0), "/unit/job": (500, 10, 0)}, 200),  # the outer one is full first
        ({"/": (1000, 2000, 0)}, 0),
    ],
)
def test_the_least_of_machine_and_groups_is_free(
    tmp_path: Path, groups: dict[str, tuple[int | str, int, int]] | None, expected: int
) -> None:
    assert available_bytes(CPU, machine(tmp_path, 5000, groups)) == expected * MIB


def test_elsewhere_free_pages_count(tmp_path: Path) -> None:
    free = available_bytes(CPU, tmp_path)
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="Linux tells")
def test_a_full_page_cache_refuses_nothing_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    sysconf = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: 1 if name == "SC_AVPHYS_PAGES" else sysconf(name))
    Simulator("community-5", 4)


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "available_bytes", lambda _: 1 << 20)
    with pytest.raises(ConfigError, match=r"num_grids = 1,000 needs about .* at most \d+ fit"):
        Simulator("community-5", 1000)
    monkeypatch.setattr(memory_module, "available_bytes", lambda _: None)
    Simulator("community-5", 4)


def test_what_torch_keeps_unused_of_a_gpu_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"mem_get_info": (100 * MIB, 1000 * MIB), "memory_reserved": 700 * MIB, "memory_allocated": 300 * MIB}
    for name, value in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    assert available_bytes(torch.device("cuda", 0)) == 500 * MIB
