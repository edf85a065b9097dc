"""The simulation thread: its schedule, its sinks, and what goes wrong in them."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from server.app import Context, make_context
from server.engine import next_due
from server.errors import ApiError
from server.requests import COMMANDS, StartBody, StepBody
from server.settings import Settings
from server.sinks import LiveFrame
from server.wire import RunInfo
from tests.server.serving import write_scenario
from trainer.runs import shipped_policies


class Recorder:
    """A sink that keeps what it sees."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.threads: set[str] = set()
        self.seen = threading.Condition()

    def _note(self, *event: Any) -> None:
        with self.seen:
            self.threads.add(threading.current_thread().name)
            self.events.append((event[0], event[1]))
            self.seen.notify_all()

    def begin(self, run: RunInfo, hello: dict[str, Any]) -> None:
        self._note("begin", run.id)
        assert hello["run"]["id"] == run.id

    def frame(self, run: RunInfo, frame: LiveFrame) -> None:
        self._note("frame", frame)

    def end(self, run: RunInfo, reason: str) -> None:
        self._note("end", reason)

    @property
    def frames(self) -> list[LiveFrame]:
        return [what for kind, what in list(self.events) if kind == "frame"]

    async def until(self, count: int) -> None:
        """Until so many frames were seen."""
        await asyncio.to_thread(lambda: self._wait(count))

    def _wait(self, count: int) -> None:
        with self.seen:
            assert self.seen.wait_for(lambda: len(self.frames) >= count, timeout=60)


def run(folder: Path, test: Callable[[Context], Coroutine[Any, Any, None]]) -> None:
    """Run a test on an event loop, with an engine that is closed after it."""
    write_scenario(folder / "data" / "scenarios")
    context = make_context(Settings(data_dir=folder / "data", runs_dir=folder / "runs"))  # type: ignore[call-arg]

    async def whole() -> None:
        context.engine.open()
        try:
            await test(context)
        finally:
            await context.engine.close()

    asyncio.run(whole())


def test_a_checkpoint_that_cannot_run_is_refused_at_the_start(folder: Path) -> None:
    write_scenario(folder / "data" / "scenarios")
    run = folder / "runs" / "mine" / "checkpoints" / "best"
    shutil.copytree(shipped_policies()["community-5"], run)

    def check(**settings: Any) -> None:
        named = {"data_dir": folder / "data", "runs_dir": folder / "runs", "checkpoint": str(folder / "runs" / "mine")}
        make_context(Settings(**named | settings)).engine.check_settings()

    check()
    check(scenario="community-5")
    check(scenario="tiny", policy="self-consumption")
    with pytest.raises(ApiError, match="num_agents = 5; tiny has 3"):
        check(scenario="tiny")
    about = run / "about.json"
    about.write_text(about.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(ApiError, match="mine: checkpoint format 1") as caught:
        check()
    assert caught.value.field == "checkpoint"


TINY = StartBody(scenario="tiny", policy="self-consumption", speed="max", days=1)


def test_a_sink_sees_every_step_in_order_on_the_simulation_thread(folder: Path) -> None:
    recorder = Recorder()

    async def test(context: Context) -> None:
        leave = context.engine.subscribe(recorder)
        await context.engine.start(TINY)
        await recorder.until(24)
        await context.engine.reset()
        await recorder.until(48)
        leave()
        await context.engine.reset()

    run(folder, test)
    kinds = [kind for kind, _ in recorder.events]
    assert kinds == (["begin"] + ["frame"] * 24 + ["end"]) * 2
    assert [what for kind, what in recorder.events if kind == "end"] == ["finished", "finished"]
    assert [f.data["step"] for f in recorder.frames] == [*range(1, 25)] * 2
    assert [f.seq for f in recorder.frames] == [*range(1, 49)]
    assert recorder.frames[0].data["agents"] == recorder.frames[24].data["agents"], "the same seed, the same day"
    assert recorder.threads == {"simulation"}


def test_steps_keep_to_an_absolute_schedule() -> None:
    due, now, starts = 0.0, 0.0, []
    for k in range(1000):  # each step starts late and takes a while, like on a busy machine
        now = max(now, due) + 0.03 * (k % 3)
        starts.append(now)
        due = next_due(due, now, 0.1)
        now += 0.02
    assert abs(starts[-1] - 999 * 0.1) < 0.1, "delays are not added up"
    assert next_due(1.0, 9.0, 0.1) == 8.9, "after a stall one step at once, not eighty"


def test_the_speed_is_that_asked_for(folder: Path) -> None:
    recorder = Recorder()

    async def test(context: Context) -> None:
        context.engine.subscribe(recorder)
        await context.engine.start(TINY.model_copy(update={"speed": 20.0, "days": None}))
        await recorder.until(10)

    run(folder, test)
    times = [frame.created for frame in recorder.frames[:10]]
    assert times[-1] - times[0] > 9 / 20 - 0.06, "never faster than asked for"


def test_a_sink_that_fails_is_reported_and_disturbs_nothing(folder: Path) -> None:
    class Broken(Recorder):
        def frame(self, run: RunInfo, frame: LiveFrame) -> None:
            raise OSError("no space left on device")

    recorder = Recorder()

    async def test(context: Context) -> None:
        context.engine.subscribe(Broken())
        context.engine.subscribe(recorder)
        await context.engine.start(TINY)
        await recorder.until(24)
        assert [w.code for w in context.engine.warnings] == ["Broken"]
        context.engine.warn("Broken", None)
        assert context.engine.warnings == []

    run(folder, test)
    assert recorder.events[-1] == ("end", "finished")


def test_a_step_that_fails_stops_the_run_and_says_so(folder: Path) -> None:
    async def test(context: Context) -> None:
        await context.engine.start(TINY.model_copy(update={"speed": 0.1, "days": None}))
        await context.engine.pause()
        assert context.engine._run is not None
        context.engine._run.controller.act = None  # type: ignore[method-assign, assignment]
        await context.engine.step(StepBody())
        assert context.engine.state == "stopped"
        assert [w.code for w in context.engine.warnings] == ["simulation_failed"]
        await context.engine.start(TINY)
        assert context.engine.warnings == []

    run(folder, test)


def test_a_start_gives_way_to_a_stop_and_the_servers_own_to_a_clients(folder: Path) -> None:
    async def test(context: Context) -> None:
        engine, slow = context.engine, TINY.model_copy(update={"speed": 0.1, "days": None})
        build, stopped = engine._build, threading.Event()

        def build_until_stopped(*given: Any) -> Any:
            stopped.wait(60)
            return build(*given)

        engine._build = build_until_stopped  # type: ignore[method-assign]
        starting = asyncio.create_task(engine.start(slow))
        await asyncio.sleep(0)
        assert engine.state == "starting"
        with pytest.raises(ApiError, match="being started"):
            await engine.start(slow)
        await engine.stop()
        stopped.set()
        with pytest.raises(ApiError, match="stopped or replaced"):
            await starting
        others_done = threading.Event()

        def build_slowly(body: StartBody, chosen: Any, autostarted: bool) -> Any:
            if autostarted:
                others_done.wait(60)
            return build(body, chosen, autostarted)

        engine._build = build_slowly  # type: ignore[method-assign]
        own = asyncio.create_task(engine.start(slow, autostarted=True))
        await asyncio.sleep(0)
        with pytest.raises(ApiError, match="unknown policy"):
            await engine.start(slow.model_copy(update={"policy": "none-such"}))
        assert engine.state == "starting"  # the server's own goes on
        await engine.start(slow.model_copy(update={"seed": 9}))
        others_done.set()
        with pytest.raises(ApiError, match="stopped or replaced"):
            await own
        assert engine.snapshot.run is not None
        assert (engine.snapshot.run.seed, engine.snapshot.run.autostarted) == (9, False)
        with pytest.raises(ApiError, match="stop it first"):
            await engine.start(slow)

    run(folder, test)


def test_a_start_that_ended_while_a_wrong_one_was_looked_at_is_not_waited_for(folder: Path) -> None:
    async def test(context: Context) -> None:
        engine, looked_at = context.engine, threading.Event()
        choose = engine._chosen

        def choose_slowly(body: StartBody) -> Any:
            if body.policy is not None and body.policy == "none-such":
                looked_at.wait(60)
            return choose(body)

        engine._chosen = choose_slowly  # type: ignore[method-assign]
        first = asyncio.create_task(engine.start(TINY, autostarted=True))
        await asyncio.sleep(0)
        wrong = asyncio.create_task(engine.start(TINY.model_copy(update={"policy": "none-such", "replace": True})))
        await first
        looked_at.set()
        with pytest.raises(ApiError, match="unknown policy"):
            await wrong
        await engine.stop()
        assert engine.state == "stopped"
        await engine.start(TINY)

    run(folder, test)


def test_a_perturbation_after_an_episodes_last_step_is_of_the_next(folder: Path) -> None:
    async def test(context: Context) -> None:
        engine = context.engine
        await engine.start(TINY.model_copy(update={"speed": 0.1, "days": None}))
        await engine.pause()
        last = engine._run.sim.config.episode_steps  # type: ignore[union-attr]
        await engine.step(StepBody(steps=last))
        await engine.perturb(COMMANDS["perturb"].validate_python({"kind": "islanding", "steps": 3}))
        await engine.step(StepBody())
        assert engine.newest is not None
        assert engine.newest.data["islanded"]
        assert [p["steps_left"] for p in engine.newest.data["perturbations"]] == [2]

    run(folder, test)


def test_every_kind_of_perturbation_is_one_of_the_scenarios_events(folder: Path) -> None:
    async def test(context: Context) -> None:
        engine = context.engine
        await engine.start(TINY.model_copy(update={"speed": 0.1, "days": None}))
        await engine.pause()
        for kind in ("cloud", "islanding", "price_spike", "demand_surge", "branch_outage"):
            more = {"branch": 1} if kind == "branch_outage" else {}
            await engine.perturb(COMMANDS["perturb"].validate_python({"kind": kind, "steps": 3, **more}))
        await engine.step(StepBody())
        assert engine.newest is not None
        assert [p["kind"] for p in engine.newest.data["perturbations"]] == [
            "cloud", "islanding", "price_spike", "demand_surge", "branch_outage"
        ]  # fmt: skip
        assert engine.newest.data["islanded"]
        assert engine.newest.data["branches"]["open"] == [1]

    run(folder, test)
