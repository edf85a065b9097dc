"""lightsim2grid's InjectionSweep: AC power flows of one network under many loadings, Newton-Raphson in C++.

Arguments: a .npz with the feeder (`feeder_net`), p_kw and q_kvar [B, n]; a .npy to write the voltages [B, n] p.u. to.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

from protocol import serve, versions

warnings.filterwarnings("ignore")
MAX_ITERATIONS, TOLERANCE_PU = 10, 1e-5
SOLVERS = (
    "NRSing_KLU",
    "NR_KLU",
    "NRSing_SparseLU",
    "NR_SparseLU",
)  # the fastest first; builds differ


def main(given: str, target: str) -> None:
    """Solve all loadings, again and again."""
    import numpy as np  # pyright: ignore[reportMissingImports]
    from feeder_net import network
    from lightsim2grid.algorithm import AlgorithmType  # pyright: ignore[reportMissingImports]
    from lightsim2grid.lightsim2grid_cpp import InjectionSweepCPP  # pyright: ignore[reportMissingImports]
    from lightsim2grid.network import init_from_pandapower  # pyright: ignore[reportMissingImports]

    feeder = dict(np.load(given))
    grid = init_from_pandapower(network(feeder), pp_orig_file="pandapower_v3")
    loads = [bus for bus in range(len(feeder["vn_kv"])) if bus != int(feeder["slack"])]
    p_mw, q_mvar = (np.ascontiguousarray(feeder[name][:, loads]) / 1e3 for name in ("p_kw", "q_kvar"))
    start = np.full(len(feeder["vn_kv"]), complex(feeder["v0_pu"]))
    sweep = InjectionSweepCPP(grid)
    known = sweep.available_default_algorithms()
    solver = next(name for name in SOLVERS if getattr(AlgorithmType, name, None) in known)
    sweep.change_algorithm(getattr(AlgorithmType, solver))
    produced = np.full((len(p_mw), len(grid.get_generators())), 0.0), np.zeros((len(p_mw), 0))
    solve = solver_of(sweep, (*produced, p_mw, q_mvar, start))
    solve()
    np.save(target, np.abs(sweep.get_voltages()))
    serve({"agents": 0, "num_grids": len(p_mw), "versions": versions("lightsim2grid"), "models": solver}, solve)


def solver_of(sweep: Any, injections: tuple[Any, ...]) -> Callable[[], None]:
    """A function that solves every loading from the same start."""

    def solve() -> None:
        if sweep.compute_Vs(*injections, MAX_ITERATIONS, TOLERANCE_PU) != 1:
            raise RuntimeError("lightsim2grid did not converge")

    return solve


main(*sys.argv[1:])
