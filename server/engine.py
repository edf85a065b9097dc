"""The simulation: one community, stepped by a thread of its own, steered from the event loop.

The thread alone touches the community. What clients ask for becomes a job that it does between two steps; what they
see is a `Snapshot` that it replaces. A community is built on yet another thread, while the old one goes on.

Whoever wants every frame subscribes a `Sink` (`server.sinks`): the recorder does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from server.errors import ApiError, as_api_error
from server.hello import hello
from server.live import LiveRun
from server.policies import Policies, PolicyEntry, misfit
from server.requests import PerturbBody, StartBody, StepBody, WeightsBody
from server.scenarios import Scenarios
from server.settings import Settings
from server.sinks import LiveFrame, Sink
from server.snapshot import Audience, Snapshot, new_run_id
from server.starts import Starts
from server.wire import HelloPolicy, RunInfo, State, Warning
from server.worker import Worker
from smartgrid_core.config import GridConfig

log = logging.getLogger("server.engine")
T = TypeVar("T")
ACTIVE = ("running", "paused")
RATE_WINDOW_S = 3.0


class Engine:
    """Runs one community at a time.

    Args:
        settings, scenarios, policies: what can be started, and how.
        audience: told of frames, at most `settings.frame_hz` a second, and of changes.
    """

    def __init__(self, settings: Settings, scenarios: Scenarios, policies: Policies, audience: Audience):
        self.settings, self.scenarios, self.policies, self.audience = settings, scenarios, policies, audience
        self.snapshot = Snapshot(speed=settings.speed)
        self.hello = hello(settings)
        self.newest: LiveFrame | None = None
        self._warnings: dict[str, str] = {}
        self._sinks: list[Sink] = []
        self._worker = Worker(self._wait_s, self._tick, settings.torch_threads)
        self._starts = Starts()
        self._run: LiveRun | None = None
        self._seq = 0
        self._next_at, self._shown_at, self._shown = 0.0, 0.0, -1
        self._times: deque[float] = deque(maxlen=512)

    # From the event loop ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the thread."""
        self._worker.open()

    async def close(self) -> None:
        """End the run and the thread; sinks have seen the end when this returns."""
        if self._worker.alive:
            await self.submit(lambda: self._end("shutdown"))
            await self._worker.close()

    def subscribe(self, sink: Sink) -> Callable[[], None]:
        """Let a sink see every run and frame from now on; the function returned ends that. From any thread.

        A run that goes on begins for the sink with its next frame.
        """

        def join() -> None:
            if self._run is not None and self.snapshot.state in ACTIVE:
                self._tell(sink, lambda s: s.begin(self._run.info, self._run.hello))  # type: ignore[union-attr]
            self._sinks.append(sink)

        def leave() -> None:
            if sink in self._sinks:
                self._sinks.remove(sink)

        self._worker.put(join)
        return lambda: self._worker.put(leave)

    def warn(self, code: str, message: str | None) -> None:
        """Show people a warning under a code, or take it back with None. From any thread."""
        if message is None:
            changed = self._warnings.pop(code, None) is not None
        else:
            changed = self._warnings.get(code) != message
            self._warnings[code] = message
        if changed:
            self.audience.changed()

    @property
    def alive(self) -> bool:
        """Whether the thread lives."""
        return self._worker.alive

    @property
    def warnings(self) -> list[Warning]:
        """Warnings in force."""
        return [Warning(code=code, message=message) for code, message in list(self._warnings.items())]

    @property
    def state(self) -> State:
        """The simulation's state; `starting` while the first community is being built."""
        return "starting" if self._starts.pending and self.snapshot.state not in ACTIVE else self.snapshot.state

    async def start(self, body: StartBody, autostarted: bool = False) -> None:
        """Build a community and run it.

        Raises:
            ApiError: 409, something runs, or is being started; 404 or 422, the scenario or policy.
        """
        try:
            self._refuse_while_active(body)
        except ApiError:  # a wrong name will not do after the run either
            await asyncio.to_thread(self._check_names, body)
            raise
        try:
            with self._starts.under_way(autostarted) as start:
                self.audience.changed()
                chosen = await asyncio.to_thread(self._chosen, body)
                self._starts.accept(start)
                run = await asyncio.to_thread(self._build, body, chosen, autostarted)
                self._starts.check(start)
                await self.submit(lambda: self._adopt(run, body))
        finally:
            self.audience.changed()

    def _refuse_while_active(self, body: StartBody) -> None:
        now, pending = self.snapshot, self._starts.pending
        if pending is not None and not (body.replace or pending.autostarted):
            raise ApiError(409, "conflict", "a community is being started: wait until it runs")
        if now.state in ACTIVE and now.run and not (body.replace or now.run.autostarted):
            message = (
                f"{now.run.scenario} with {now.run.policy} is {now.state} (step {now.step}): stop it first, or send "
                '"replace": true'
            )
            raise ApiError(409, "conflict", message, details={"state": now.state, "run": now.run.model_dump()})

    def check_settings(self) -> None:
        """Refuse a scenario, policy or checkpoint that the operator named and that cannot run; others suit themselves.

        Raises:
            ApiError: 404 or 422, there is none of a name, or they do not fit each other.
        """
        checkpoint = None if self.settings.checkpoint is None else self.policies.entry(self.policies.default)
        if checkpoint is not None and checkpoint.reason is not None:
            raise ApiError(422, "invalid", f"{checkpoint.name}: {checkpoint.reason}", "checkpoint")
        if self.settings.scenario is not None or self.settings.policy is not None:
            named = None if checkpoint is None or self.settings.policy is not None else checkpoint.name
            self._chosen(StartBody(policy=named))

    def _check_names(self, body: StartBody) -> None:
        if body.scenario is not None:
            self.scenarios.path(body.scenario)
        if body.policy is not None:
            self.policies.entry(body.policy)

    def _chosen(self, body: StartBody) -> tuple[str, GridConfig, PolicyEntry]:
        """Scenario and policy, one found for the other where only one is named.

        Raises:
            ApiError: 404 or 422, there is none of a name, or they do not fit each other.
        """
        scenario, name = body.scenario or self.settings.scenario, body.policy or self.settings.policy
        if scenario is None:
            trained_on = self.policies.entry(name or self.policies.default).scenario
            scenario = trained_on if trained_on in self.scenarios.names() else "community-5"
        assert scenario is not None
        config, there = self.scenarios.load(scenario), self.scenarios.interface(scenario)
        entry = self.policies.default_for(config, there) if name is None else self.policies.entry(name)
        reason = misfit(entry, config, there)
        if reason is not None:
            raise ApiError(422, "does_not_fit", reason, "policy")
        return scenario, config, entry

    def _build(self, body: StartBody, chosen: tuple[str, GridConfig, PolicyEntry], autostarted: bool) -> LiveRun:
        """On a worker thread: everything that takes time."""
        scenario, config, entry = chosen
        name = entry.name
        controller = self.policies.load(name)
        steps = None if body.days is None else max(1, round(body.days * config.steps_per_day))
        info = RunInfo(
            id=new_run_id(), scenario=scenario, policy=name, seed=body.seed, days=body.days, steps=steps,
            started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"), autostarted=autostarted,
        )  # fmt: skip
        about = HelloPolicy.model_validate({"name": name, "kind": entry.kind, "title": entry.title})
        run = LiveRun(config, controller, info, about, self.settings)
        if body.weights is not None:
            run.set_weights(body.weights)
        return run

    async def submit(self, job: Callable[[], T]) -> T:
        """Do something on the simulation thread, between two steps."""
        return await self._worker.submit(job)

    async def stop(self) -> None:
        """End the run, or a start under way; without either nothing happens."""
        self._starts.stop()
        await self.submit(lambda: self._end("stopped"))

    async def pause(self) -> None:
        """Running → paused."""
        await self.submit(lambda: self._move("pause", ("running",), "paused"))

    async def resume(self) -> None:
        """Paused → running."""
        await self.submit(lambda: self._move("resume", ("paused",), "running"))

    async def step(self, body: StepBody) -> None:
        """Single steps while paused."""
        await self.submit(lambda: self._expect("step", ("paused",)))
        for _ in range(body.steps):  # one job each, so that others come in between
            if not await self.submit(self._single):
                break

    async def reset(self) -> None:
        """Begin the run again at its first step; a finished one runs again."""
        await self.submit(self._reset)

    async def set_speed(self, speed: float | Literal["max"]) -> None:
        """Steps a second from now on."""
        await self.submit(lambda: self._set_speed(speed))

    async def set_weights(self, body: WeightsBody) -> None:
        """Change weights of the run."""
        await self.submit(lambda: self._expect("weights", (*ACTIVE, "finished")).set_weights(body))
        await self.submit(self._refresh)

    async def perturb(self, body: PerturbBody) -> None:
        """Cause an event in the run."""
        await self.submit(lambda: self._expect("perturb", ACTIVE).perturb(body))
        await self.submit(self._refresh)

    # On the simulation thread ----------------------------------------------------------------------------

    def _wait_s(self) -> float | None:
        """Seconds until the next step is due; None: none is."""
        if self.snapshot.state != "running":
            return None
        return 0 if self.snapshot.speed == "max" else max(0.0, self._next_at - time.perf_counter())

    def _tick(self) -> None:
        """Take the step that is due, and say when the next one is: on an absolute schedule, without drift."""
        speed = self.snapshot.speed
        if speed != "max":
            self._next_at = next_due(self._next_at, time.perf_counter(), 1 / speed)
        self._step()

    def _step(self) -> None:
        run = self._run
        assert run is not None
        began = time.perf_counter()
        try:
            self._seq += 1
            frame = run.step(self._seq)
        except Exception as error:
            log.exception("the simulation failed")
            self.warn("simulation_failed", f"the simulation stopped: {as_api_error(error).message}")
            self._end("failed")
            return
        self.newest = frame
        self._times.append(frame.created)
        self.audience.stepped(frame.created - began)
        for sink in list(self._sinks):
            self._tell(sink, lambda s: s.frame(run.info, frame))
        had = self.snapshot.perturbations
        if run.finished:
            self._finish("finished", "finished")
        else:
            self._refresh(notify=bool(had) and not run.perturbations)
        self._show(force=self.snapshot.state != "running")

    def _show(self, force: bool) -> None:
        """Hand the newest frame to the viewers, unless they had one a moment ago."""
        frame, now = self.newest, time.perf_counter()
        if frame is None or frame.seq == self._shown:
            return
        if force or now - self._shown_at >= 0.9 / self.settings.frame_hz:
            self._shown, self._shown_at = frame.seq, now
            self.audience.frame(frame)

    def _refresh(self, notify: bool = True, **changes: Any) -> None:
        """Replace the snapshot by what is true now."""
        run = self._run
        if run is not None:
            changes = {
                "run": run.info, "step": run.totals.steps, "episode": run.episode, "sim_time": run.sim_time,
                "perturbations": tuple(run.perturbations), **changes,
            }  # fmt: skip
            if notify or self.snapshot.weights is None:
                changes["weights"] = run.weights
        self.snapshot = replace(self.snapshot, **changes)
        if notify:
            self.audience.changed()

    @property
    def steps_per_s(self) -> float:
        """Steps a second over the last seconds."""
        now = time.perf_counter()
        recent = [t for t in list(self._times) if t > now - RATE_WINDOW_S]
        return round((len(recent) - 1) / (recent[-1] - recent[0]), 2) if len(recent) > 1 else 0.0

    def _adopt(self, run: LiveRun, body: StartBody) -> None:
        if self._run is not None and self.snapshot.state in ACTIVE:
            self._end("replaced", quiet=True)
        self.warn("simulation_failed", None)
        self._run = run
        self._begin(body.speed)
        log.info("run %s: %s with %s, seed %d", run.info.id, run.info.scenario, run.info.policy, run.info.seed)

    def _begin(self, speed: float | Literal["max"] | None = None, state: State = "running") -> None:
        run = self._run
        assert run is not None
        self.newest, self.hello, self._next_at = None, run.hello, time.perf_counter()
        self._times.clear()
        for sink in list(self._sinks):
            self._tell(sink, lambda s: s.begin(run.info, run.hello))
        self.audience.begin(run.hello)
        self._refresh(state=state, speed=self.snapshot.speed if speed is None else speed)

    def _reset(self) -> None:
        run = self._expect("reset", (*ACTIVE, "finished"))
        if self.snapshot.state in ACTIVE:
            self._end_sinks("reset")
        run.begin(run.info.model_copy(update={"id": new_run_id()}))
        self._begin(state="paused" if self.snapshot.state == "paused" else "running")

    def _end(self, reason: str, quiet: bool = False) -> None:
        """Stop what runs; viewers keep the newest frame."""
        if self.snapshot.state in ACTIVE:
            self._finish("stopped", reason, quiet)
        elif self.snapshot.state == "finished":
            self._refresh(state="stopped")

    def _finish(self, state: State, reason: str, quiet: bool = False) -> None:
        self._end_sinks(reason)
        self._show(force=True)
        self._refresh(notify=not quiet, state=state, perturbations=())
        log.info("run ended: %s", reason)

    def _end_sinks(self, reason: str) -> None:
        run = self._run
        for sink in list(self._sinks) if run is not None else ():
            self._tell(sink, lambda s: s.end(run.info, reason))  # type: ignore[union-attr]

    def _tell(self, sink: Sink, message: Callable[[Sink], None]) -> None:
        try:
            message(sink)
        except Exception as error:
            log.exception("%s failed", type(sink).__name__)
            self.warn(type(sink).__name__, f"{type(sink).__name__} failed: {as_api_error(error).message}")

    def _expect(self, command: str, states: tuple[str, ...]) -> LiveRun:
        if self._run is None or self.snapshot.state not in states:
            message = f"{command}: the simulation is {self.snapshot.state}, expected {' or '.join(states)}"
            raise ApiError(409, "conflict", message, details={"state": self.snapshot.state})
        return self._run

    def _move(self, command: str, states: tuple[str, ...], state: State) -> None:
        self._expect(command, states)
        self._next_at = time.perf_counter()
        self._show(force=True)
        self._refresh(state=state)

    def _single(self) -> bool:
        if self.snapshot.state != "paused":
            return False
        self._step()
        return True

    def _set_speed(self, speed: float | Literal["max"]) -> None:
        self._next_at = time.perf_counter()
        self._refresh(speed=speed)


def next_due(due: float, now: float, period: float) -> float:
    """When the step after the one due at `due` is due, s: on an absolute schedule, so that delays are not added up.

    Of what a stall of more than a period missed, one step is made up for; the rest is left out.
    """
    return max(due + period, now - period)
