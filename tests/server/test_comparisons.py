"""Comparisons: the numbers of the evaluation, the statistics of pairs, and jobs that can be cancelled and killed."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import ttest_rel

from server.comparisons.compare import compare
from server.comparisons.models import ComparisonRequest, ComparisonResult, ScalabilityRequest, ScalabilityResult
from server.comparisons.scalability import community, measure
from server.comparisons.tables import comparison_csv, scalability_csv
from server.errors import ApiError
from server.jobs import JobQueue, worker
from server.jobs.store import JobStore
from smartgrid_core import GridConfig
from tests.server.serving import write_scenario
from tests.server.waiting import until
from trainer import evaluation_cache
from trainer.evaluate import evaluate
from trainer.scoreboard import Outcome
from trainer.significance import holm, paired, paired_t_test

RULES = ["time-of-use", "self-consumption"]


@pytest.fixture(autouse=True)
def _own_cache_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(evaluation_cache, "folder", lambda: tmp_path / "cache")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def work(tmp_path: Path) -> dict:
    folder = tmp_path / "scenarios"
    write_scenario(folder)
    places = {"runs": str(tmp_path / "runs"), "operator": None, "scenarios_dir": str(folder)}
    return {"policies": RULES, "scenarios": ["tiny"], "episodes": 2, "seeds": None, "days": None, **places}


def test_the_numbers_are_those_of_the_evaluation(work: dict, tmp_path: Path) -> None:
    told: list[float] = []
    result = ComparisonResult.model_validate(compare(work | {"days": 1.0}, lambda part, _doing: told.append(part)))
    assert told == sorted(told)
    assert told[-1] > 0.9
    (scenario,) = result.scenarios
    config = GridConfig.load(str(tmp_path / "scenarios" / "tiny.toml"), episode_days=1.0)
    assert scenario.seeds == list(config.evaluation.seeds[:2])
    board = evaluate(config, against=RULES, seeds=scenario.seeds, cache=False).to_dict()
    for ours, theirs in zip(scenario.scoreboard["rows"], board["rows"], strict=True):
        for row in (ours, theirs):
            row["kpis"].pop("decision_us")
            row["kpi_ci"].pop("decision_us")
        assert ours == theirs
    for row in board["rows"]:
        assert np.mean(scenario.costs[row["name"]]) == pytest.approx(row["cost_eur"], rel=1e-12)
    (pair,) = scenario.pairs
    difference = np.array(scenario.costs[RULES[0]]) - np.array(scenario.costs[RULES[1]])
    assert (pair.a, pair.b) == tuple(RULES)
    assert pair.cost_difference_eur == pytest.approx(difference.mean())
    scores = {row["name"]: row["score"] for row in board["rows"]}
    assert pair.score_difference == pytest.approx(scores[RULES[0]] - scores[RULES[1]])
    check_days_and_series(result)


def check_days_and_series(result: ComparisonResult) -> None:
    (scenario,) = result.scenarios
    assert len(scenario.daily) == 2 * 3
    for row in scenario.daily:
        assert row.demand_met_kwh == pytest.approx(row.demand_kwh)  # connected: everything is served
        assert 0 <= row.solar_used_kwh <= row.solar_kwh + 1e-3
        assert row.received_kwh == row.sent_kwh == 0  # neither rule exchanges
    series = scenario.series
    assert set(series.policies) == set(RULES)
    columns = series.policies[RULES[0]]
    assert {len(values) for values in columns.values()} == {24}
    assert series.start.startswith("2025-06-0")
    # Demand is the same for all, and what a table says is what the series says.
    assert columns["demand_kw"] == series.policies[RULES[1]]["demand_kw"]
    lines = list(csv.DictReader(io.StringIO(comparison_csv(result.model_dump(), "series"))))
    assert [float(line["demand_kw"]) for line in lines[:24]] == columns["demand_kw"]
    for table, count in (("scoreboard", 2), ("costs", 4), ("pairs", 1), ("daily", 6)):
        text = comparison_csv(result.model_dump(), table)  # type: ignore[arg-type]
        assert len(text.splitlines()) == 1 + count


def test_a_policy_that_does_not_fit_is_skipped_and_said(work: dict) -> None:
    asked = {"policies": ["idle", "community-5"], "scenarios": ["tiny"], "episodes": 1}
    result = compare(work | asked, lambda *_: None)
    skipped = [s["skipped"] for s in result["scenarios"]]
    assert [s["policy"] for s in skipped[0]] == ["community-5"]
    assert "num_agents = 5" in skipped[0][0]["reason"]
    assert list(result["scenarios"][0]["costs"]) == ["idle"]
    with pytest.raises(ApiError, match="nothing to compare"):
        compare(work | {"policies": ["community-5"]}, lambda *_: None)


def outcome(name: str, costs: np.ndarray, bound: np.ndarray | None = None) -> Outcome:
    return Outcome(name, "rule", None, costs[:, None], {}, bound)


def test_pairs_agree_with_scipy() -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(10, 1, 12)
    b = a - 0.5 + generator.normal(0, 0.2, 12)
    grid, bound = np.full(12, 20.0), np.full(12, 5.0)
    (pair,) = paired([outcome("a", a), outcome("b", b)], outcome("grid", grid), outcome("optimum", bound, bound))
    expected = ttest_rel(a, b)
    assert (pair.t, pair.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert pair.better == "b"
    assert pair.cost_ci is not None
    assert pair.cost_ci[0] < (a - b).mean() < pair.cost_ci[1]
    assert pair.score_difference == pytest.approx(-(a - b).mean() / 15)


def test_degenerate_pairs() -> None:
    assert paired_t_test(np.zeros(5)) == (None, 1.0)
    assert paired_t_test(np.full(5, 0.5)) == (None, 0.0)
    assert paired_t_test(np.array([1.0])) == (None, None)
    assert holm([0.01, None, 0.04, 0.03]) == [0.03, None, 0.06, 0.06]


def test_requests_are_checked() -> None:
    for wrong in (
        {"policies": [], "scenarios": ["a"]},
        {"policies": ["a", "a"], "scenarios": ["a"]},
        {"policies": ["../a"], "scenarios": ["a"]},
        {"policies": ["a"], "scenarios": ["a"], "days": float("nan")},
        {"policies": list("abcdefghij"), "scenarios": list("abcdefghij")},
    ):
        with pytest.raises(ValidationError):
            ComparisonRequest.model_validate(wrong)
    with pytest.raises(ValidationError):
        ScalabilityRequest.model_validate({"sizes": [5, 5]})


def test_scalability() -> None:
    request = ScalabilityRequest.model_validate({"sizes": [12, 3], "days": 0.25, "episodes": 2})
    result = ScalabilityResult.model_validate(measure(request.model_dump(), lambda *_: None))
    assert [row.num_agents for row in result.rows] == [3, 12]
    assert result.steps == 24
    for row in result.rows:
        assert row.converged == 1.0
        assert row.step_ms > 0
        assert row.reward_std is not None
    assert len(scalability_csv(result.model_dump()).splitlines()) == 3


def test_the_generated_community_grows() -> None:
    for size in (1, 2, 7, 1000):
        config = community(size, 1.0, 3)
        assert config.num_agents == size
        assert config.network.buses >= size


# Jobs -------------------------------------------------------------------------------------------------------

FAKE = """
import json, sys, time
work = json.loads(sys.stdin.readline())["work"]
print(json.dumps({"progress": 0.5, "message": "halfway"}), flush=True)
if work["do"] == "sleep":
    time.sleep(60)
if work["do"] == "die":
    sys.exit(7)
print(json.dumps({"result": work} if work["do"] == "work" else {"error": {"code": "invalid", "message": "no"}}))
"""


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    queue = JobQueue(tmp_path / "data", (sys.executable, "-c", FAKE))
    queue.start()
    yield queue
    queue.close()


def over(queue: JobQueue, name: str) -> str:
    until(lambda: queue.store.get(name).state not in ("queued", "running"))
    return queue.store.get(name).state


def test_jobs_run_one_after_the_other(queue: JobQueue) -> None:
    names = [
        queue.submit("comparison", {"n": n}, {"do": do}).id for n, do in enumerate(("work", "fail", "die", "work"))
    ]
    assert [over(queue, name) for name in names] == ["done", "failed", "failed", "done"]
    assert queue.store.result(names[0], "comparison") == {"do": "work"}
    assert [job.id for job in queue.store.list("comparison").jobs] == names[::-1]
    assert "ended with code 7" in (queue.store.get(names[2]).error or ApiError(0, "", "")).message  # type: ignore[union-attr]
    with pytest.raises(ApiError, match="is failed: no; only a job that is done"):
        queue.store.result(names[1], "comparison")
    with pytest.raises(ApiError, match="there is no scalability"):
        queue.store.get(names[0], "scalability")


def test_jobs_are_cancelled_waiting_and_running(queue: JobQueue) -> None:
    running, waiting, last = (queue.submit("comparison", {}, {"do": do}).id for do in ("sleep", "work", "work"))
    until(lambda: queue.store.get(running).message == "halfway")
    assert queue.store.get(running).progress == 0.5
    queue.cancel(waiting)
    began = time.monotonic()
    queue.cancel(running)
    assert over(queue, last) == "done"
    assert time.monotonic() - began < 5
    assert [queue.store.get(name).state for name in (running, waiting)] == ["cancelled", "cancelled"]
    queue.remove(last, "comparison")
    assert queue.store.list("comparison").total == 2


def test_progress_that_cannot_be_stored_ends_no_job(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def report(name: str, *_progress: object) -> None:
        told.append(name)
        raise ApiError(503, "jobs_unavailable", "the file of jobs is locked by another process")

    monkeypatch.setattr(queue.store, "report", report)
    name = queue.submit("comparison", {}, {"do": "work"}).id
    assert over(queue, name) == "done"
    assert told == [name]


def test_jobs_outlive_their_server(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = JobQueue(folder, (sys.executable, "-c", FAKE))
    first.start()
    second = JobQueue(folder)
    second.start()
    with pytest.raises(ApiError, match="another server runs the jobs"):
        second.submit("comparison", {}, {})
    running, waiting = (first.submit("comparison", {}, {"do": do}).id for do in ("sleep", "work"))
    until(lambda: first.store.get(running).state == "running")
    first.close()
    assert first.store.get(running).error is not None
    assert first.store.get(waiting).state == "queued"
    third = JobQueue(folder, (sys.executable, "-c", FAKE))
    third.start()
    assert over(third, waiting) == "done"
    third.close()


def test_too_many_jobs_are_refused(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    for _ in range(20):
        store.add("comparison", {}, {})
    with pytest.raises(ApiError, match="20 jobs wait already"):
        store.add("comparison", {}, {})


def test_a_job_tells_what_a_client_may_know(work: dict) -> None:
    with pytest.raises(ApiError) as caught:
        compare(work | {"scenarios": ["nowhere"]}, lambda *_: None)
    told = worker._told(caught.value)
    assert (told["code"], told["field"]) == ("not_found", "scenario")
    assert worker._told(RuntimeError("/home/somebody/secret"))["code"] == "internal"
    assert "secret" not in worker._told(RuntimeError("/home/somebody/secret"))["message"]
