"""C++ source to a loaded function, compiled once a machine and kept."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from shutil import which

from platformdirs import user_cache_path

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-fwrapv")


class BuildError(RuntimeError):
    """The compiler is missing or refused; the message has its words."""


def compiler() -> str | None:
    """The C++ compiler to use: $CXX, g++ or clang++."""
    return next(
        (path for name in (os.environ.get("CXX", ""), "g++", "clang++") if name and (path := which(name))), None
    )


def load(source: str) -> ctypes.CDLL:
    """Compile and load; what was compiled before on a machine of this kind is taken from the cache.

    Raises:
        BuildError: no compiler, or it failed.
    """
    cxx = compiler()
    if cxx is None:
        raise BuildError("no C++ compiler found: install g++ or clang++")
    openmp = ("-fopenmp",) if platform.system() == "Linux" else ()
    key = "\0".join((source, cxx, *FLAGS, *openmp, _processor()))
    folder = user_cache_path("smartgrid-marl") / "kernels"
    library = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # renamed when whole: others may build it too
            text, built = Path(scratch) / "step.cpp", Path(scratch) / "step.so"
            text.write_text(source, encoding="utf-8")
            done = subprocess.run([cxx, *FLAGS, *openmp, "-o", built, text], capture_output=True, text=True)
            if done.returncode:
                raise BuildError(f"{cxx} failed:\n{done.stderr[-2000:]}")
            built.replace(library)
    return ctypes.CDLL(str(library))


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
