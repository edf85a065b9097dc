"""`python -m trainer train|evaluate|export …`"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Threads that spin while they wait for one another make a step twenty times slower where something else wants the
# cores; read once, before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

USAGE = """usage: python -m trainer {train,evaluate,export} …

  train      learn policies for a scenario        python -m trainer train --help
  evaluate   score policies against baselines     python -m trainer evaluate --help
  export     a policy as ONNX or torch program    python -m trainer export --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch to a command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments.pop(0) if arguments else ""
    if command == "train":
        return train_main(arguments)
    if command == "evaluate":
        return evaluate_main(arguments)
    if command == "export":
        return export_main(arguments)
    if command in ("", "-h", "--help"):
        print(USAGE, end="")
        return 0 if command else 2
    print(f"unknown command {command!r}\n{USAGE}", end="", file=sys.stderr)
    return 2


def train_main(argv: Sequence[str] | None = None) -> int:
    """Entry point of smartgrid-train."""
    from trainer.train_cli import main as run

    return run(list(sys.argv[1:] if argv is None else argv))


def evaluate_main(argv: Sequence[str] | None = None) -> int:
    """Entry point of smartgrid-evaluate."""
    from trainer.evaluate_cli import main as run

    return run(list(sys.argv[1:] if argv is None else argv))


def export_main(argv: Sequence[str] | None = None) -> int:
    """Entry point of smartgrid-export."""
    from trainer.export_cli import main as run

    return run(list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())
