"""The yardstick of single environments: community-5 as PettingZoo environments are usually written, in NumPy.

Arguments: "floats" where its scalars are Python's.
"""

from __future__ import annotations

import sys

from protocol import serve_parallel

MODELS = "batteries, transfers by consent, settlement, four reward parts, forecasts; no power flow; "


def main(floats: bool) -> None:
    """Make one and step when told to."""
    from benchmarks.yardstick.plain import FloatEnv, PlainEnv

    models = MODELS + ("scalars are Python's" if floats else "scalars are NumPy's")
    serve_parallel(FloatEnv() if floats else PlainEnv(), ("numpy",), models)


main("floats" in sys.argv[1:])
