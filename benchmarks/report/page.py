"""The page: every result file a section, in a fixed order, each with the machine, commit and date it was taken at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import learned, pictures, speed
from benchmarks.report.aims import aims
from benchmarks.report.markdown import Case, scalars, where
from smartgrid_core.errors import ConfigError

HEAD = """# Benchmarks

Rendered by `python -m benchmarks report` from the [results]({results}); do not edit. Medians with their range in
parentheses, warm-up excluded, peers in the same run. How each is measured stands at the top of its module in
`benchmarks/`; what was changed for speed, predicted and found in [NOTES.md]({notes}).
"""


class Section(NamedTuple):
    """How the results of one suite become Markdown and pictures."""

    title: str
    text: Callable[[list[Case]], list[str]]
    draw: Callable[[list[Case], Path], list[tuple[str, Path]]]  # returns captions and files


def _no_pictures(cases: list[Case], stem: Path) -> list[tuple[str, Path]]:
    return []


SECTIONS = {  # by the name a results file has in its field "benchmark", in the order of the page
    "env": Section("Environment stepping", speed.env, pictures.env),
    "power-flow": Section("AC power flow", speed.power_flow, pictures.power_flow),
    "train": Section("Training speed", speed.train, pictures.train),
    "learning": Section("What is learned", learned.learning, pictures.learning),
    "serve": Section("Serving", speed.serve, _no_pictures),
    "viewer": Section("The page", speed.viewer, _no_pictures),
}


def render(results: Path, out: Path, images: Path) -> list[Path]:
    """Write the page and its pictures; returns the files written.

    Args:
        results: folder of the JSON files that `python -m benchmarks … --json` and `trainer evaluate --json` write.
        out: the page, Markdown.
        images: folder of the pictures, named benchmark-….png.

    Raises:
        ConfigError: no results there, or a file that is none.
    """
    found = {path: _read(path) for path in sorted(results.glob("*.json"))}
    if not found:
        raise ConfigError(f"results = {str(results)!r}: no JSON files there; run `python -m benchmarks all` first")
    notes = Path(__file__).resolve().parents[1] / "NOTES.md"
    lines = [HEAD.format(results=_link(out, results), notes=_link(out, notes))]
    lines += aims({c["benchmark"]: c["cases"] for c in found.values() if _on_cpu(c)})
    written: list[Path] = []
    for path, content in sorted(found.items(), key=lambda item: _place(item[1], item[0])):
        text, pictured = _section(path, content, out, images)
        lines += text
        written += pictured
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return [out, *written]


def _read(path: Path) -> Case:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}); remove it or run its suite again") from error
    if not isinstance(content, dict) or not ("benchmark" in content or "rows" in content):
        raise ConfigError(f"{path}: expected the field benchmark, or rows of a scoreboard; remove it or run it again")
    return content


def _on_cpu(content: Case) -> bool:
    return "benchmark" in content and not content["machine"].get("gpu")


def _place(content: Case, path: Path) -> tuple[int, str]:
    order, name = list(SECTIONS), content.get("benchmark")
    if name is None:  # scoreboards stand behind what is learned
        return order.index("learning"), f"~{path.name}"
    return (order.index(name) if name in order else len(order)), path.name


def _section(path: Path, content: Case, out: Path, images: Path) -> tuple[list[str], list[Path]]:
    source = f"[{path.name}]({_link(out, path)})"
    if "benchmark" not in content:
        title = f"## Scoreboard: {content['scenario']}, {content['episodes']} test episodes"
        return [title, "", source, "", *learned.scoreboard(content)], []
    name, machine, cases = content["benchmark"], content["machine"], content["cases"]
    section = SECTIONS.get(name, Section(name.replace("-", " ").capitalize(), scalars, _no_pictures))
    title = f"## {section.title}" + (f" on {machine['gpu']}" if machine.get("gpu") else "")
    drawn = section.draw(cases, images / f"benchmark-{path.stem}")
    shown = [line for caption, file in drawn for line in (f"![{caption}]({_link(out, file)})", "")]
    return [title, "", source, "", *where(machine), *shown, *section.text(cases)], [file for _, file in drawn]


def _link(page: Path, target: Path) -> str:
    return os.path.relpath(target.resolve(), page.parent.resolve()).replace(os.sep, "/")
