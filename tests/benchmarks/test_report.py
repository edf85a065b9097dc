"""The page of results: made of the committed files alone, the same every time, and up to date."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.report import markdown, render
from benchmarks.report.aims import aims

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
MACHINE = {"time": "2026-01-02T03:04:05+00:00", "cpu": "a processor", "logical_cores": 2, "gpu": None, "threads": 1}


def test_the_committed_page_is_what_the_committed_results_render_to(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "benchmarks.md"
    written = render(RESULTS, page, tmp_path / "docs" / "images")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[1:])
    for name in (path.name for path in RESULTS.glob("*.json")):
        assert f"[{name}](" in page.read_text(encoding="utf-8")
    committed = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert _without_folders(page) == _without_folders(ROOT / "docs" / "benchmarks.md"), (
        "docs/benchmarks.md is not what benchmarks/results renders to: run `python -m benchmarks report`"
    )
    for picture in re.findall(r"\]\((images/[^)]+)\)", committed):
        assert (ROOT / "docs" / picture).is_file(), picture


def test_an_aim_is_met_missed_with_what_bounds_it_or_not_measured() -> None:
    frames = [{"case": "frames", "agents": n, "fps": fps} for n, fps in ((5, 60.0), (1000, 12.0))]
    flow: list[dict[str, Any]] = [
        {"buses": 15, "batch": b, "near_limit": near, "speedup": {"compiled": x, "eager": 2.0}}
        for b, near, x in ((1, False, 30.0), (4096, False, 7.0), (9000, True, 99.0))
    ]
    lines = aims({"viewer": frames, "power-flow": flow})
    rows = {cells[1]: cells[2:-1] for line in lines if (cells := [c.strip() for c in line.split("|")])[1:]}
    assert rows["frames a second of the page, 5 prosumers"] == ["≥ 58", "60", "yes", ""]
    assert rows["frames a second of the page, 1,000 prosumers"][:3] == ["≥ 30", "12", "no"]
    assert rows["power flow of 15 buses against power-grid-model, a thread each, compiled"][1:3] == [
        "7×",
        "no",
    ]  # the largest
    assert rows["power flow of 300 buses against power-grid-model, a thread each, eager"][1:3] == ["–", "not measured"]
    assert aims({}) == []


def _without_folders(page: Path) -> str:
    """The page with links cut down to their last part, as a page elsewhere has other ways to the same files."""
    return re.sub(r"\]\([^)]*?([^/)]+)\)", r"](\1)", page.read_text(encoding="utf-8"))


def test_rendering_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(RESULTS / "env-cpu.json", results)
    first, second = (
        render(results, tmp_path / name / "page.md", tmp_path / name / "images") for name in ("one", "two")
    )
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_figures_stand_in_the_page_as_measured(tmp_path: Path) -> None:
    case = {
        "buses": 15, "batch": 4096, "eager_us": 2.0, "compiled_us": 0.5, "power_grid_model_us": 20.0,
        "power_grid_model_method": "newton_raphson", "pandapower_us": 12_345.0, "lightsim2grid_us": None,
        "spread_us": {"eager": [1.9, 2.2], "compiled": [0.5, 0.6], "power_grid_model": [19, 23],
                      "pandapower": [12_000, 13_000]},
        "near_limit": True, "transformer_loading": 0.9, "voltage_least_pu": 0.93, "lightsim2grid_version": None,
        "differences_pu": {"power-grid-model": 1.2e-6}, "speedup": {"eager": 10.0, "compiled": 40.0},
    }  # fmt: skip
    usual = case | {"near_limit": False, "batch": 256, "voltage_least_pu": 0.99, "differences_pu": {"pandapower": 2e-7}}
    content = {"benchmark": "power-flow", "machine": MACHINE, "cases": [case, usual]}
    (tmp_path / "power-flow-cpu.json").write_text(json.dumps(content), encoding="utf-8")
    page, picture = render(tmp_path, tmp_path / "page.md", tmp_path)
    row = (
        "| 15 | 4,096 | 90 % | 2 (1.9–2.2) | 0.5 (0.5–0.6) | 20 (19–23) | newton raphson | – | 12,300 (12,000–13,000) "
        "| 10× | 40× |"
    )
    assert row in page.read_text(encoding="utf-8")
    assert "| 90 % | 0.930 | 1.2e-06 | – |" in page.read_text(encoding="utf-8")
    assert "| usual | 0.990 | – | 2.0e-07 |" in page.read_text(encoding="utf-8")
    assert "Measured 2026-01-02: a processor, 2 logical cores" in page.read_text(encoding="utf-8")
    assert picture.name == "benchmark-power-flow-cpu.png"


def test_time_to_a_score_is_told_where_it_was_taken(tmp_path: Path) -> None:
    def case(name: str, peer: bool, reached: float | None) -> dict[str, Any]:
        to_score = {
            "target": 0.8, "baselines": {"time-of-use": 0.634}, "best": 0.85 if reached else 0.4, "last": 0.3,
            "reached_cpu_s": reached, "reached_steps": reached and 1_000_000,
            "curve": [{"cpu_s": 1.0, "score": 0.1}, {"cpu_s": 240.0, "score": 0.4}],
        }  # fmt: skip
        names = (
            "env_steps_per_s",
            "agent_steps_per_cpu_s",
            *(f"env_steps_per_cpu_s{x}" for x in ("", "_low", "_high")),
        )
        rates = dict.fromkeys(names, 100.0)
        return {"name": name, "peer": peer, **rates, "ratio_to_peers": {"theirs": 1.0}, "to_score": to_score}

    content = {
        "benchmark": "train",
        "machine": MACHINE,
        "cases": [case("ours", False, 31.0), case("theirs", True, None)],
    }
    (tmp_path / "train.json").write_text(json.dumps(content), encoding="utf-8")
    page, picture = render(tmp_path, tmp_path / "page.md", tmp_path)
    assert picture.name == "benchmark-train.png"
    text = page.read_text(encoding="utf-8")
    assert "| ours | 31 | 1,000,000 |  |  |  |" in text
    assert "| theirs | not reached |  | 0.300 | 0.400 | 240 |" in text
    assert "time-of-use 0.634" in text


def test_the_page_has_a_section(tmp_path: Path) -> None:
    frames = {
        "case": "frames",
        "agents": 1000,
        "fps": 60.0,
        "aims": {"fps": 30.0},
        "p95_frame_ms": 18.0,
        "steps_per_s": 10,
    }
    frames |= {f"{kind}_ms_per_frame": 3.456 for kind in ("script", "layout", "task")} | {"ready_s": [1.5, 0.75, 1.0]}
    frames |= {"windows": [{"fps": 60.0}, {"fps": 12.0}, {"fps": 59.94}]}  # the one of median rate is shown
    memory = {"case": "memory", "minutes": 10.0, "heap_full_mib": 12.34, "growth_mib_per_10_min": 0.1}
    content = {"benchmark": "viewer", "machine": MACHINE, "cases": [frames, memory]}
    (tmp_path / "viewer.json").write_text(json.dumps(content), encoding="utf-8")
    text = render(tmp_path, tmp_path / "page.md", tmp_path)[0].read_text(encoding="utf-8")
    assert "| 1,000 | 59.9 | 30 | 18.0 | 3.46 | 3.46 | 3.46 | 10.0 | 1.00 |" in text
    assert "12.3 MiB, +0.10 MiB in ten minutes" in text


def test_a_suite_without_a_section_is_shown_plainly(tmp_path: Path) -> None:
    content = {"benchmark": "new-thing", "machine": MACHINE, "cases": [{"name": "a|b", "rate": 1234.5, "more": [1]}]}
    (tmp_path / "new.json").write_text(json.dumps(content), encoding="utf-8")
    (page,) = render(tmp_path, tmp_path / "page.md", tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "## New thing" in text
    assert "| a\\|b | 1,230 |" in text


@pytest.mark.parametrize(("text", "said"), [(None, "no JSON files"), ("{", "not JSON"), ("[1]", "expected the field")])
def test_results_that_are_none_are_refused(
    text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "broken.json").write_text(text, encoding="utf-8")
    assert main(["report", "--results", str(tmp_path), "--out", str(tmp_path / "page.md")]) == 2
    assert said in capsys.readouterr().err


def test_numbers() -> None:
    assert [markdown.number(x) for x in (None, 0, 1234567, 123.4, 0.01234, 1.5e-7)] == [
        "–", "0", "1,230,000", "123", "0.0123", "1.5e-07",
    ]  # fmt: skip
    assert markdown.fixed(-1e-9) == "0.000"


def test_pictures_lie_beside_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a page elsewhere too: those of the committed page stay as they are."""
    asked: list[tuple[Path, Path]] = []

    def noted(_results: Path, out: Path, images: Path) -> list[Path]:
        asked.append((out, images))
        return []

    monkeypatch.setattr("benchmarks.report.render", noted)
    page = tmp_path / "mine.md"
    assert main(["report", "--out", str(page)]) == 0
    assert main(["report", "--out", str(page), "--images", str(tmp_path / "else")]) == 0
    assert main(["report"]) == 0
    committed = (Path("docs/benchmarks.md"), Path("docs/images"))
    assert asked == [(page, tmp_path / "images"), (page, tmp_path / "else"), committed]
