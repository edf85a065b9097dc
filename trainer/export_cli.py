"""`python -m trainer export`: a trained policy as one file that runs elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EPILOG = """The file maps obs [batch, prosumers, observations] float32 to action [batch, prosumers, actions] in [-1, 1],
the action that is served, to be held for the hold_h hours of its metadata.

examples:
  python -m trainer export --checkpoint runs/community-5 --format onnx --out policy.onnx
  python -m trainer evaluate --checkpoint policy.onnx
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer export",
        description="Write a policy as ONNX or as a torch.export program, checked against the original.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="RUN", help="run folder (its best) or checkpoint folder")
    add("--format", choices=("onnx", "torch"), help="onnx or torch (default: by the ending of --out)")
    add("--out", required=True, type=Path, metavar="FILE", help="file to write: .onnx, or .pt2 for torch")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0; 2 after a user's mistake, said in one line on standard error; 130 after Ctrl-C.
    """
    try:
        arguments = _parser().parse_args(list(argv))
    except SystemExit as end:  # argparse has said what was wrong, or shown the help
        return end.code if isinstance(end.code, int) else 2
    from smartgrid_core.errors import UserError  # after parsing: --help needs no torch
    from trainer.export import export_policy

    try:
        done = export_policy(arguments.checkpoint, arguments.out, arguments.format)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    about = done.about
    print(
        f"wrote {done.path} ({done.path.stat().st_size / 1e3:,.0f} kB): {about['algorithm']} for {about['scenario']}, "
        f"obs [B, {about['num_agents']}, {about['observation_dim']}] -> "
        f"action [B, {about['num_agents']}, {about['action_dim']}], held for {about['hold_h']:g} h\n"
        f"max difference from the original: {done.max_difference:.1e} on {done.checked} random observations"
    )
    return 0
