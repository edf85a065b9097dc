"""`python -m benchmarks env|power-flow|train`"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch


def main(argv: Sequence[str] | None = None) -> int:
    """Run one suite; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure against peers in the same run.")
    parser.add_argument("suite", choices=("env", "power-flow", "train"))
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--quick", action="store_true", help="under a minute, smaller sweep")
    parser.add_argument("--threads", type=int, help="torch threads (default: 2; 1 for power-flow)")
    parser.add_argument("--device", default="cpu", help="torch device of the simulator (env, train)")
    arguments = parser.parse_args(argv)

    from benchmarks.machine import write_results

    if arguments.suite == "env":
        from benchmarks import env

        cases = env.run(arguments.quick, arguments.threads or 2, arguments.device)
    elif arguments.suite == "train":
        from benchmarks import train

        cases = train.run(arguments.quick, arguments.threads or 2, arguments.device)
    else:
        from benchmarks import power_flow

        cases = power_flow.run(quick=arguments.quick, threads=arguments.threads or 1)["cases"]
    if arguments.json:
        write_results(arguments.json, arguments.suite, cases, torch.device(arguments.device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
