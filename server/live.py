"""One live community: a simulator, who decides, and what was done to it. Knows nothing of threads and viewers."""

from __future__ import annotations

import time
from typing import Any

import torch

from server.errors import ApiError
from server.frames import FrameBuilder, Totals, binary
from server.hello import hello
from server.requests import BranchOutageBody, IslandingBody, PerturbBody, WeightsBody
from server.settings import Settings
from server.sinks import LiveFrame
from server.wire import HelloPolicy, Perturbation, RunInfo, Weights
from smartgrid_core import GridConfig, Simulator
from smartgrid_core.config import EventConfig
from smartgrid_core.controllers import Controller
from smartgrid_core.errors import ConfigError
from smartgrid_core.types import RewardParts, StabilityParts

SPLIT = "test"  # weeks no policy was trained on; with a seed of the scoreboard it is the scoreboard's episode


class LiveRun:
    """A community from its beginning to its end; not thread-safe, one thread steps it.

    Args:
        config: its scenario, under its name.
        controller: decides; started here.
        info: what people asked for.
        policy: who decides, for the hello message.
        settings: the server's.

    Raises:
        ConfigError: the scenario cannot be built, or the policy does not fit it.
    """

    def __init__(
        self, config: GridConfig, controller: Controller, info: RunInfo, policy: HelloPolicy, settings: Settings
    ):
        self.info, self.controller, self.policy = info, controller, policy
        self.sim = Simulator(config, 1, split=SPLIT)
        self._settings = settings
        self.begin(info)

    def begin(self, info: RunInfo) -> None:
        """Begin at the first step of the first episode; `info` has a new id where it began before."""
        self.info, self.totals, self._active = info, Totals(self.sim.num_agents), []
        self.episode, self.sim_time = 0, None
        with torch.inference_mode():
            self.state, self._obs = self.sim.reset(seed=[info.seed])
            self.controller.start(self.sim, self.state)
        self._frames = FrameBuilder(self.sim)  # of the batteries that the seed drew
        self.hello = hello(self._settings, self.sim, info, self.policy)

    @property
    def finished(self) -> bool:
        """Whether the days asked for are over."""
        return self.info.steps is not None and self.totals.steps >= self.info.steps

    def step(self, seq: int) -> LiveFrame:
        """Take one step; an episode that ended before goes on as the next."""
        began = time.perf_counter()
        with torch.inference_mode():
            self._go_on()
            before = self.state
            self.state, out = self.sim.step(before, self.controller.act(before, self._obs))
            self._obs = out.obs
            now = time.perf_counter()
            about = {"seq": seq, "run": self.info.id, "perturbations": self._tick()}
            data, arrays = self._frames.build(before, out, self.totals, about, round(1e3 * (now - began), 3))
        self.episode, self.sim_time = data["episode"], data["sim_time"]
        return LiveFrame(data, now, lambda: binary(data, arrays))

    def _go_on(self) -> None:
        """Begin the next episode where one has ended."""
        if int(self.state.step) >= self.sim.config.episode_steps:
            self.state, self._obs = self.sim.reset(state=self.state)
            self.controller.start(self.sim, self.state)
            self._active = []

    def perturb(self, body: PerturbBody) -> None:
        """Cause an event from the next step on.

        Raises:
            ApiError: a branch the feeder does not have.
        """
        fields: dict[str, Any] = {"kind": body.kind}
        magnitude = branch = None
        if isinstance(body, BranchOutageBody):
            fields["branch"], count = body.branch, self.sim.feeder.num_branches
            branch = body.branch
            if branch >= count:
                message = f"branch = {branch}: the feeder has branches 1 … {count - 1} that can open"
                raise ApiError(404, "not_found", message, "branch")
        elif not isinstance(body, IslandingBody):
            magnitude = body.magnitude
            fields["import_adder_eur_per_kwh" if body.kind == "price_spike" else "factor"] = magnitude
        with torch.inference_mode():
            self._go_on()  # or the event would be of the episode that is over
            self.state, self._obs = self.sim.perturb(self.state, [EventConfig.model_validate(fields)], [body.steps])
        self._active.append(Perturbation(kind=body.kind, magnitude=magnitude, branch=branch, steps_left=body.steps))

    def _tick(self) -> list[dict[str, Any]]:
        """Perturbations of the step just taken, with the steps they still last after it."""
        for p in self._active:
            p.steps_left -= 1
        shown = [p.model_dump() for p in self._active]
        self._active = [p for p in self._active if p.steps_left > 0]
        return shown

    @property
    def perturbations(self) -> list[Perturbation]:
        """What lasts beyond the last step."""
        return [p.model_copy() for p in self._active]

    def set_weights(self, body: WeightsBody) -> None:
        """Change weights; all of them or, where one is refused, none.

        Raises:
            ApiError: every weight of the stability index would be 0.
        """
        with torch.inference_mode():
            if body.stability is not None:  # first, as it may be refused
                try:
                    self.sim.set_stability_weights(**body.stability.model_dump(exclude_none=True))
                except ConfigError as error:
                    raise ApiError(409, "conflict", f"stability: {error}", "stability") from None
            if body.rewards is not None:
                self.sim.set_reward_weights(**body.rewards.model_dump(exclude_none=True))

    @property
    def weights(self) -> Weights:
        """Weights in force."""
        rewards, stability = self.sim.params.reward_weights.tolist(), self.sim.params.stability_weights.tolist()
        return Weights(
            rewards={n: round(x, 6) for n, x in zip(RewardParts._fields, rewards, strict=True)},
            stability={n: round(x, 6) for n, x in zip(StabilityParts._fields, stability, strict=True)},
        )
