"""C++ source to a loaded function, compiled once a machine and kept."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from platformdirs import user_cache_path

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-fwrapv")


class BuildError(RuntimeError):
    """The compiler is missing or refused; the message has its words."""


def compiler() -> str | None:
    """The C++ compiler to use: $CXX, g++ or clang++."""
    return _first(os.environ.get("CXX", ""), "g++", "clang++")


def c_compiler() -> str | None:
    """The C compiler that Triton uses for what launches a GPU's kernels: $CC, gcc or clang."""
    return _first(os.environ.get("CC", ""), "gcc", "clang")


def _first(*names: str) -> str | None:
    return next((path for name in names if name and (path := which(name))), None)


def load(source: str) -> ctypes.CDLL:
    """Compile and load; what was compiled before on a machine of this kind is taken from the cache.

    Raises:
        BuildError: no compiler, or it failed, or there is no room for what it makes.
    """
    cxx = compiler()
    if cxx is None:
        raise BuildError("no C++ compiler found: install g++ or clang++")
    openmp = ("-fopenmp",) if platform.system() == "Linux" else ()
    key = "\0".join((source, cxx, *FLAGS, *openmp, _processor()))
    folder = user_cache_path("smartgrid-marl") / "kernels"
    library = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    try:
        if not library.exists():
            _build([cxx, *FLAGS, *openmp], source, library)
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise BuildError(f"{library}: {error}") from None


def _build(command: Sequence[str], source: str, library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:  # renamed when whole: others may build it too
        text, built = Path(scratch) / "step.cpp", Path(scratch) / "step.so"
        text.write_text(source, encoding="utf-8")
        done = subprocess.run([*command, "-o", built, text], capture_output=True, text=True)
        if done.returncode:
            raise BuildError(f"{command[0]} failed:\n{done.stderr[-2000:]}")
        built.replace(library)


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
