"""SimBench low-voltage grids, extracted once and kept as one small file in the user's cache folder.

SimBench: Meinecke et al. 2020, doi:10.3390/en13123290; code BSD-3, data ODbL, read from the installed package
and never shipped. Grids: 1-LV-{rural1,rural2,rural3,semiurb4,semiurb5,urban6}--{0,1,2}-{sw,no_sw}.
"""

from __future__ import annotations

import importlib
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from rich.console import Console

from .feeder import Feeder, FeederError

CACHE_VERSION = 1
_CODE = re.compile(r"[A-Za-z0-9._-]+")


def simbench_feeder(code: str, *, refresh: bool = False) -> Feeder:
    """See :meth:`Feeder.simbench`."""
    if not _CODE.fullmatch(code):
        raise FeederError(f"SimBench code is {code!r}, expected one like '1-LV-rural1--0-sw'")
    path = cache_path(code)
    if not refresh and path.exists():
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return Feeder.from_arrays(arrays)
        except (OSError, ValueError, KeyError):
            path.unlink(missing_ok=True)  # a damaged or outdated file: extract again
    feeder = Feeder.from_pandapower(simbench_net(code))
    write_atomically(path, feeder.to_arrays())
    return feeder


def cache_path(code: str) -> Path:
    """Where the extracted feeder of this code lies."""
    return Path(platformdirs.user_cache_dir("smartgrid-marl")) / f"feeder-{code}-v{CACHE_VERSION}.npz"


def simbench_net(code: str) -> Any:
    """The pandapower net of a SimBench code, its tap positions in effect.

    SimBench leaves ``tap_changer_type`` empty, which makes pandapower ignore ``tap_pos`` silently: up to 2.5
    % of the voltage. They are ratio changers, so the type is set here.
    """
    simbench = import_optional("simbench")
    with (
        Console(stderr=True).status(f"Extracting SimBench grid {code} (once, 5–30 s)"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            net = simbench.get_simbench_net(code)
        except (ValueError, KeyError, IndexError) as error:
            raise FeederError(f"SimBench has no grid {code!r}, expected one like '1-LV-rural1--0-sw'") from error
    net.trafo["tap_changer_type"] = "Ratio"
    net.name = code
    return net


def import_optional(module: str) -> Any:
    """The module, or an ImportError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} is not installed; it comes with: pip install 'smartgrid-marl[data]'", name=module
        ) from error


def write_atomically(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """One ``.npz``, complete or absent, also when two processes write it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType] (keywords are names of arrays)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
