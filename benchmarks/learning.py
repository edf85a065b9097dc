"""What is learned in a given time: algorithms, scenarios and variants, several seeds each, beside every baseline.

Every case is one call of `python -m trainer train --seeds K`, left in a folder of its own: what was trained and scored
before is read again, what was interrupted goes on. Scores are those of test episodes; the policy of a seed is its best
on validation weeks. Time is that of training, validations included, compiling not, on one thread a seed, as networks so
small gain nothing from a second one. On a CPU it is CPU time: seeds side by side, and what else a machine does, stretch
the wall's time but not what is learned.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.decisions import decision_us
from benchmarks.machine import COMMIT, cpu_model, wide
from smartgrid_core import GridConfig
from smartgrid_core.errors import ConfigError
from trainer.config import TrainConfig, load_train_config, scaled_to
from trainer.evaluate import evaluate
from trainer.files import write_atomically

M = TypeVar("M", bound=BaseModel)
OUT = Path("runs/learning")
ONLY_COST = {"rewards.stability": 0.0, "rewards.efficiency": 0.0, "rewards.cooperation": 0.0}


class Variant(NamedTuple):
    """Fields of the scenario, and of the training, that differ from what ships."""

    overrides: dict[str, Any]
    why: str
    training: dict[str, Any] = {}  # noqa: RUF012 (never written)


VARIANTS = {
    "default": Variant({}, "the scenario as it ships"),
    "cost-only": Variant(ONLY_COST, "the reward is the bill"),
    "no-cooperation": Variant({"rewards.cooperation": 0.0}, "nothing for helping a neighbour"),
    "cooperation-heavy": Variant({"rewards.cooperation": 1.0}, "ten times as much for helping"),
    "stability-heavy": Variant({"rewards.stability": 2.0}, "twenty times as much for the state of the grid"),
    "no-links": Variant({"links.topology": "none"}, "nobody can send anything"),
    "perfect-forecast": Variant({"forecast.kind": "perfect"}, "nothing of the next hours is unknown"),
    "own-credit": Variant({}, "actors are credited with their own gain alone", {"ppo.credit": "own"}),
    "team-credit": Variant({}, "actors are credited with everybody's gain", {"ppo.credit": "team"}),
    "shared": Variant({}, "one network serves all prosumers", {"share_parameters": True}),
}
MINUTES = {"shac": 4.0, "ippo": 5.0, "mappo": 5.0, "qmix": 5.0}  # of training a seed, on one core
FIGURES = (
    "score",
    "cost_eur",
    "stability",
    "peak_kw",
    "ramping_kw",
    "self_sufficiency",
    "transferred_kwh",
    "gini_benefit",
)


QUICK = (  # enough to see that training and scoring run: two test days
    "--episode_days=1", "--evaluation.seeds=[1, 2]", "--num_grids=8", "--horizon=8", "--compile=false",
)  # fmt: skip


def quick(device: str = "cpu") -> list[dict[str, Any]]:
    """Seconds of training; the scores mean nothing but that it works, and nothing is kept."""
    with tempfile.TemporaryDirectory() as folder:
        return run(["shac"], ["community-5"], seeds=2, minutes=0.05, device=device, out=Path(folder), options=QUICK)


def run(
    algorithms: Sequence[str] = tuple(MINUTES),
    scenarios: Sequence[str] = ("community-5", "rural-lv"),
    variants: Sequence[str] = ("default",),
    seeds: int = 5,
    jobs: int = 1,
    minutes: float | None = None,
    device: str = "cpu",
    out: Path = OUT,
    options: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Train and score every case; prints a table and returns one record a case.

    Args:
        algorithms, scenarios, variants: their product is what is trained; variants are the names in `VARIANTS`.
        seeds: runs of each; jobs: side by side, one thread each.
        minutes: of training a seed; None: `MINUTES` of the algorithm.
        device: of the training.
        out: folder of the runs.
        options: further ones of the trainer.

    Raises:
        ConfigError: an unknown algorithm or variant, or a training that failed.
    """
    _known("algorithm", algorithms, MINUTES)
    _known("variant", variants, VARIANTS)
    records: list[dict[str, Any]] = []
    for scenario in scenarios:
        for variant in variants:
            for algorithm in algorithms:
                length = MINUTES[algorithm] if minutes is None else minutes
                name = f"{scenario}-{variant}-{algorithm}-{length:g}min" + ("" if device == "cpu" else f"-{device}")
                settings = _of_training(variant, length, device) | VARIANTS[variant].overrides
                command = ["--scenario", scenario, "--algorithm", algorithm, "--device", device]
                command += ["--seeds", str(seeds), "--jobs", str(jobs), *options]
                command += [f"--{key}={json.dumps(value)}" for key, value in settings.items()]
                train, adapted = settings_now(scenario, variant, algorithm, length, device)
                if not options:
                    _same(out / name, train, adapted)
                content, board = _trained(out / name, command, seeds)
                case = {
                    "scenario": scenario, "variant": variant, "algorithm": algorithm, "minutes": length,
                    "command": shown(command),
                    "trained": _time_of(out / name / "seeds.json"), "trained_on": _trained_on(out / name),
                    "scored_at": COMMIT, "settings": _stored(out / name),
                }  # fmt: skip
                case["decision"] = decision_us(adapted, out / name)
                records.append(case | _figures(content, board) | {"baselines": baselines(case["settings"]["scenario"])})
                show(records, scenario, variant)
    return records


def settings_now(
    scenario: str, variant: str, algorithm: str, minutes: float, device: str
) -> tuple[TrainConfig, GridConfig]:
    """What a case is trained with today, its seed apart."""
    given, adapted = _of_training(variant, minutes, device), GridConfig.load(scenario, **VARIANTS[variant].overrides)
    train = load_train_config(device, {"algorithm": algorithm, **given})
    return scaled_to(train, adapted.num_agents, list(given)), adapted


def changed_since(case: dict[str, Any]) -> list[str]:
    """Settings by which a case was trained that are no longer today's: its figures are of other presets."""
    then = case["settings"]
    now = settings_now(case["scenario"], case["variant"], case["algorithm"], case["minutes"], then["train"]["device"])
    return _differing(then, *now)


def _of_training(variant: str, minutes: float, device: str) -> dict[str, Any]:
    """Options of the trainer; on a GPU the process waits, and its CPU time says little."""
    clock = "cpu" if device == "cpu" else "wall"
    return {"max_minutes": minutes, "threads": 1, "clock": clock} | VARIANTS[variant].training


def _stored(folder: Path) -> dict[str, Any]:
    """Every hyperparameter of a case, and its scenario, as its first run has them."""
    return json.loads((folder / "seed-0" / "config.json").read_text(encoding="utf-8"))


def _differing(stored: dict[str, Any], train: TrainConfig, scenario: GridConfig) -> list[str]:
    """Fields that differ between stored settings and others, and those that are no more.

    Seeds and the tables of other learners are left out.
    """
    then, gone = _as_it_was(TrainConfig, stored["train"] | {"seed": train.seed})
    there, left_out = _as_it_was(GridConfig, stored["scenario"])
    pairs = ((then, train), (there.settled, scenario.settled))
    changed = [name for a, b in pairs for name in type(a).model_fields if getattr(a, name) != getattr(b, name)]
    others = {"ppo", "qmix", "shac"} - {"ppo" if train.algorithm in ("ippo", "mappo") else train.algorithm}
    return [name for name in (*changed, *gone, *left_out) if name.partition(".")[0] not in others]


def _as_it_was(model: type[M], stored: dict[str, Any]) -> tuple[M, list[str]]:
    """Stored settings without the fields that the model no longer has, and these fields."""
    try:
        return model.model_validate(stored), []
    except ValidationError as error:
        gone = [e["loc"] for e in error.errors() if e["type"] == "extra_forbidden"]
        if not gone:
            raise
    kept = copy.deepcopy(stored)
    for *tables, name in gone:
        inner: Any = kept
        for table in tables:
            inner = inner[table]
        del inner[name]
    return model.model_validate(kept), [".".join(map(str, path)) for path in gone]


def merged(path: Path | None, cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cases of an earlier results file that were not trained again, and these: tables are made case by case.

    Baselines are taken anew for all of them.
    """
    now, earlier = {_key(case) for case in cases}, []
    if path is not None and path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        earlier = [{"trained_on": content["machine"]["cpu"]} | case for case in content["cases"]]  # told by case since
    kept = [case | {"baselines": baselines(case["settings"]["scenario"])} for case in earlier if _key(case) not in now]
    return sorted(kept + list(cases), key=_key)


def _key(case: dict[str, Any]) -> tuple[str, int, str, float]:
    """What a case is, in the order of tables."""
    return case["scenario"], list(VARIANTS).index(case["variant"]), case["algorithm"], case["minutes"]


def _time_of(path: Path) -> str:
    """When a case was trained, which may be long before its figures are read again."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


def shown(command: Sequence[str]) -> str:
    """The call as one would type it."""
    return " ".join(["python -m trainer train", *command])


def _known(what: str, names: Sequence[str], known: Any) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{what} {name!r}: known are {', '.join(known)}")


def _trained(folder: Path, command: Sequence[str], seeds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """seeds.json and scoreboard of a case, trained first where they are not there."""
    report, board = folder / "seeds.json", folder / "evaluation" / "scoreboard.json"
    if not _is_scored(report, board, seeds):
        again = ["--resume"] if any(folder.glob("seed-*")) else []
        Console(stderr=True).print(f"[bold]{folder}[/]")
        call = [sys.executable, "-m", "trainer", "train", *command, "--out", str(folder), *again]
        if code := subprocess.run(call).returncode:
            raise ConfigError(f"training ended with exit code {code}, see above: {shown(command)}")
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in (report, board))  # type: ignore[return-value]


def _trained_on(folder: Path) -> str:
    """The processor a case is trained on, kept beside its runs: what reads them again may be another."""
    note = folder / "trained_on.txt"
    if not note.is_file():
        write_atomically(note, f"{cpu_model()}\n".encode())
    return note.read_text(encoding="utf-8").strip()


def _same(folder: Path, train: TrainConfig, scenario: GridConfig) -> None:
    """Refuse runs of other settings: their scores are not those of the presets as they are now.

    Raises:
        ConfigError: which fields differ.
    """
    for path in sorted(folder.glob("seed-*/config.json")):
        if differ := _differing(json.loads(path.read_text(encoding="utf-8")), train, scenario):
            raise ConfigError(
                f"{path} is of other settings ({', '.join(differ)}): remove {folder}, or give another --out"
            )


def _is_scored(report: Path, board: Path, seeds: int) -> bool:
    if not (report.is_file() and board.is_file()):
        return False
    runs = json.loads(report.read_text(encoding="utf-8"))["runs"]
    return len(runs) >= seeds and all(run["complete"] and "score" in run["figures"] for run in runs)


def _figures(content: dict[str, Any], board: dict[str, Any]) -> dict[str, Any]:
    """What a case came to."""
    runs = [
        {"seed": run["seed"], "iterations": run["iteration"], "seconds": run["seconds"],
         "validation_score": run["figures"]["validation_score"]} | {name: run["figures"].get(name) for name in FIGURES}
        for run in content["runs"]
    ]  # fmt: skip
    summary = {name: s for name, s in content["summary"].items() if name in FIGURES or name == "validation_score"}
    return {"episodes": board["episodes"], "summary": summary, "runs": runs}


def baselines(scenario: dict[str, Any]) -> list[dict[str, Any]]:
    """What a case stands beside, on the same episodes, by controllers as they are today; kept while nothing changes."""
    config = GridConfig.model_validate(scenario)
    board = evaluate(config, against="all", mpc_episodes=len(config.evaluation.seeds))
    return [
        {"name": row.name, "kind": row.kind, "forecast": row.forecast, "episodes": row.episodes, "score": row.score,
         "cost_eur": row.cost_eur} | {name: row.kpis.get(name) for name in FIGURES[2:]}
        for row in board.rows
    ]  # fmt: skip


def show(records: Sequence[dict[str, Any]], scenario: str, variant: str) -> None:
    """The table of one scenario and variant: learners by their median, and the baselines between them."""
    cases = [r for r in records if (r["scenario"], r["variant"]) == (scenario, variant)]
    title = f"{scenario}, {variant}: {VARIANTS[variant].why}; {cases[0]['episodes']} test episodes"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    columns = (
        "",
        "score,\nmedian",
        "mean",
        "95 % interval",
        "min … max",
        "minutes,\n1 core",
        "cost\nEUR",
        "stability",
    )
    for column in (*columns, "peak\nkW", "transferred\nkWh", "Gini"):
        table.add_column(column, justify="right" if column else "left")
    rows: list[tuple[float, list[str]]] = []
    for case in cases:
        s = case["summary"]
        score = s["score"]
        interval = "" if score["ci95"] is None else f"{score['ci95'][0]:.3f} … {score['ci95'][1]:.3f}"
        rest = [_text(s.get(name, {}).get("median"), digits) for name, digits in _SHOWN]
        span = f"{score['min']:.3f} … {score['max']:.3f}"
        time = f"{case['minutes']:g}"
        name = f"[bold bright_green]{case['algorithm']}[/], {score['seeds']} seeds"
        rows.append(
            (score["median"], [name, f"{score['median']:.3f}", f"{score['mean']:.3f}", interval, span, time, *rest])
        )
    for row in cases[0]["baselines"]:
        if row["score"] is not None:
            rest = [_text(row[name], digits) for name, digits in _SHOWN]
            mark = "" if row["episodes"] == cases[0]["episodes"] else f" († first {row['episodes']})"
            rows.append((row["score"], [f"{row['name']}{mark}", f"{row['score']:.3f}", "", "", "", "", *rest]))
    for _, cells in sorted(rows, key=lambda item: -item[0]):
        table.add_row(*cells)
    console = wide(150)
    console.print(table)
    for case in cases:
        if decision := case.get("decision"):
            console.print(
                f"  a step's decision of a community: {case['algorithm']} {decision['policy_us']:.2f} µs in a batch of "
                f"{decision['grids']:,}, {decision['mpc']} {decision['mpc_us']:,.0f} µs in one of "
                f"{decision.get('planned', 1)}: {decision['ratio']:,.0f} times"
            )


_SHOWN = (("cost_eur", 2), ("stability", 3), ("peak_kw", 1), ("transferred_kwh", 1), ("gini_benefit", 2))


def _text(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:,.{digits}f}"
