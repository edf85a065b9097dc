"""The batched simulator: explicit state in, explicit state and result out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smartgrid_core import observations, rng
from smartgrid_core.arguments import check_action, check_count, check_mask, check_state, seeds_of
from smartgrid_core.compiled import Compiled, collected, graph_of
from smartgrid_core.config import EventConfig, GridConfig
from smartgrid_core.devices import device_of
from smartgrid_core.episodes import Ahead, Course, Episodes
from smartgrid_core.errors import ConfigError
from smartgrid_core.events import Events
from smartgrid_core.fused.layout import turned
from smartgrid_core.links import action_names, build_links
from smartgrid_core.memory import require_memory
from smartgrid_core.network import Network, electrical_distance, load_feeder, place_agents, require_island_unit
from smartgrid_core.outcome import OF_STATE, OnePass, Outcome, unfold
from smartgrid_core.params import build_params, change_weights
from smartgrid_core.perturbations import cause
from smartgrid_core.precision import check_precision
from smartgrid_core.prefetch import Prefetch, Upcoming
from smartgrid_core.profiles.load import load_profiles
from smartgrid_core.profiles.table import MAX_WINDOW, ProfileTable, TableRows, empty_rows
from smartgrid_core.step import Community
from smartgrid_core.types import (
    Exogenous,
    NetworkResult,
    Params,
    RewardParts,
    StabilityParts,
    State,
    StepResult,
    kernel,
    public,
)


class Simulator:
    """Thousands of communities of one scenario, stepped together.

    Args:
        config: a GridConfig, or the name or path of a scenario.
        num_grids: B, communities simulated in parallel.
        device: torch device.
        seed: seed of the run; grid k's trajectory depends on (seed, first_grid + k) alone.
        auto_reset: begin a new episode in the step that ends one; `out.final_obs` keeps the last observation.
        split: weeks of the data the episodes come from: train, validation, test or all.
        first_grid: global id of the first grid, so that ranks and chunks hold different grids of one run.
        stagger: first episodes start midway at drawn whole hours, so that grids do not end together.
        hold_steps: steps every action will be held; staggered episodes start at multiples of it too, so that one that
            is a whole number of holds never ends within a hold.
        compile: compile the step when the first is taken: on a CPU one pass over the grids in C++, in a few seconds;
            elsewhere and where gradients are recorded by torch.compile; eager, with a notice, without a compiler.

    A step is a function of its arguments, but one simulator serves one thread at a time: memory that nobody sees is
    used again from step to step.

    Raises:
        ConfigError: an argument or the scenario cannot be used, or the batch does not fit into memory.
    """

    def __init__(
        self,
        config: GridConfig | str | Path,
        num_grids: int = 1,
        device: str | torch.device = "cpu",
        seed: int = 0,
        *,
        auto_reset: bool = False,
        split: str = "train",
        first_grid: int = 0,
        stagger: bool = False,
        hold_steps: int = 1,
        compile: bool = False,
    ):
        if not isinstance(config, GridConfig | str | Path):
            raise ConfigError(f"config = {config!r}: expected a GridConfig, or the name or path of a scenario")
        self.config = config if isinstance(config, GridConfig) else GridConfig.load(config)
        num_grids, hold_steps = check_count("num_grids", num_grids), check_count("hold_steps", hold_steps)
        self.num_grids, self.device, self.split = num_grids, device_of(device), split
        self.auto_reset, self.first_grid = auto_reset, first_grid
        check_precision(self.config.network.power_flow)
        loaded = load_profiles(self.config)
        self.feeder = load_feeder(self.config.network)
        self._check_islands(self.config.events)
        agents = self.config.agents
        wanted = [a.bus if a.bus is not None else bus for a, bus in zip(agents, loaded.buses, strict=True)]
        self.agent_bus = place_agents(self.feeder, wanted)
        self.links = build_links(self.config.links, len(agents), electrical_distance(self.feeder, self.agent_bus))
        table = ProfileTable(self.config, loaded.profiles, split)
        paths = torch.from_numpy(np.asarray(self.feeder.path)[:, self.agent_bus])
        events = Events(self.config.events, len(self.feeder.branch_names), paths, self.config.steps_per_day)
        self.events, self._is_compiled = events, compile
        network = Network(self.config.network, self.feeder, self.agent_bus)
        self.observation_entries = observations.entries(self.config, self.links.used.shape[0])
        require_memory(num_grids, self.bytes_per_grid, self.device)
        self.community = Community(self.config, self.links, network, events).to(self.device)
        self.episodes = Episodes(self.config, table, events, self.links, stagger, hold_steps).to(self.device)
        self.seed_grids(seed)
        self._advance, self._advance_alone, self._course = self._step_ahead, self._step_alone, self._course_of
        self._prefetch, steps = None, self.steps_ahead
        if compile:
            self._advance = Compiled(self._step_ahead, num_grids, self.device)
            self._course = Compiled(self._course_of, num_grids, self.device)
            self._advance_alone = graph_of(self._step_alone, self.device)
        self._actions: Tensor | None = None  # memory for those of a step
        if steps > 1:
            room = empty_rows(table, steps, len(agents), num_grids)
            self._prefetch = Prefetch(self._window, partial(self.episodes.last, steps=steps), room)

    # What it is -----------------------------------------------------------------------------------------

    @property
    def num_agents(self) -> int:
        """N, prosumers per community."""
        return self.config.num_agents

    @property
    def num_slots(self) -> int:
        """K, link slots per prosumer."""
        return self.links.used.shape[0]

    @property
    def action_dim(self) -> int:
        """A = K + 1: transfers per slot, then the trade with the grid."""
        return self.num_slots + 1

    @property
    def observation_dim(self) -> int:
        """O, entries of an observation."""
        return len(self.observation_entries)

    @property
    def observation_names(self) -> list[str]:
        """Name of every observation entry; `observation_entries` has units and ranges."""
        return [entry.name for entry in self.observation_entries]

    @property
    def action_names(self) -> list[str]:
        """Name of every action entry."""
        return action_names(self.num_slots)

    @property
    def agent_names(self) -> list[str]:
        """What people call the prosumers; ids are agent_0, agent_1, …"""
        return [agent.name for agent in self.config.agents]

    @property
    def table(self) -> ProfileTable:
        """The resident profiles."""
        return self.episodes.table

    @property
    def bytes_per_grid(self) -> int:
        """Memory one grid takes while stepping: state, results and the largest temporaries, float32."""
        n, k, o = self.config.num_agents, self.links.used.shape[0], len(self.observation_entries)
        buses, branches = len(self.feeder.bus_names), len(self.feeder.branch_names)
        per_agent = 60 + 7 * o + 8 * k  # a reset assembles observations operation by operation
        row = 1 + len(self.config.forecast.window_edges_h)
        window = self.steps_ahead * (2 * n * row + 4 * row + 10)
        result = n * (o + 22 + k) + buses + branches + 12
        kept = 2 * result if self._is_compiled and self.device.type == "cpu" else 0  # see fused.memory
        return 4 * (n * per_agent + 6 * buses + 6 * branches + 60 + window + kept)

    @property
    def steps_ahead(self) -> int:
        """Steps whose exogenous values are read at once: several on a CPU, within 512 MiB; one elsewhere."""
        if self.device.type != "cpu":
            return 1
        row = 1 + len(self.config.forecast.window_edges_h)
        a_step = 4 * self.num_grids * (self.num_agents * 2 * row + 2 * row + 5)  # as `empty_rows`
        return max(1, min(MAX_WINDOW, self.config.episode_steps, (512 << 20) // a_step))

    # Running it -----------------------------------------------------------------------------------------

    def seed_grids(self, seed: int | Sequence[int] | Tensor, mask: Tensor | None = None) -> None:
        """Key every grid: one seed for the run (grids differ by their global id), or one seed per grid.

        With one seed per grid, a grid is the same episode wherever its seed stands in the list. What is drawn per grid
        (`Params`) is in new tensors afterwards, weights apart: a CUDA graph captured before goes on with the old ones.
        """
        ids = torch.arange(self.first_grid, self.first_grid + self.num_grids, device=self.device)
        seeds = seeds_of(seed, self.num_grids, self.device)
        if seeds.dim():
            ids = torch.zeros_like(ids)
        keys, old = rng.grid_keys(seeds.expand_as(ids), ids), getattr(self, "params", None)
        self.key = keys if mask is None else torch.where(mask, keys, self.key)
        self.params: Params = build_params(self.config, self.table.profiles, self.links, self.key)
        if old is not None:  # weights changed by hand outlive a new seed, as the tensors a captured step holds
            self.params = self.params._replace(
                reward_weights=old.reward_weights, stability_weights=old.stability_weights
            )

    def set_reward_weights(self, **weights: float) -> None:
        """Change reward weights while running: stability, efficiency, cost, cooperation, each ≥ 0."""
        change_weights(self.params.reward_weights, RewardParts._fields, weights, normalise=False)

    def set_stability_weights(self, **weights: float) -> None:
        """Change stability weights while running: voltage, loading, balance, reserve; normalised to sum 1."""
        change_weights(self.params.stability_weights, StabilityParts._fields, weights, normalise=True)

    def reset(
        self, seed: int | Sequence[int] | None = None, mask: Tensor | None = None, state: State | None = None
    ) -> tuple[State, Tensor]:
        """Begin episodes.

        Args:
            seed: key the grids anew (see `seed_grids`); None keeps their keys.
            mask: [B] bool, grids to reset; needs `state`. None resets all.
            state: given, and no seed, the grids reset go on to their next episode; else they start at episode 0.

        Returns:
            state, obs [B, N, O].
        """
        check_mask(mask, state, self.num_grids)
        if state is not None:
            check_state(state, self.num_grids, self.num_agents)
        if seed is not None:
            self.seed_grids(seed, mask)
        by_hand = self.events.by_hand
        if mask is None:
            self.events.by_hand = None
        elif by_hand is not None:  # a new seed begins with episode 0 again, which is not the one they belong to
            self.events.by_hand = by_hand._replace(episode=torch.where(mask, -1, by_hand.episode))
        zero = torch.zeros(self.num_grids, dtype=torch.int32, device=self.device)
        episode = zero if state is None or seed is not None else state.episode + 1
        counters = (zero, zero) if state is None else (state.clamped, state.nonfinite)
        fresh = self.episodes.begin(self.params, self.key, episode, counters)
        if mask is not None and state is not None:
            fresh = _select(mask, fresh, state)
        return self._read_present(fresh)

    def _read_present(self, state: State) -> tuple[State, Tensor]:
        """The state with the exogenous values of the step about to be taken, and its observations [B, N, O]."""
        now = self.episodes.present(self.params, state).steps()[0]
        state = state._replace(**self.episodes.held(self.params, now))
        obs = self.episodes.observe(self.params, kernel(state.soc_kwh), state.stability, kernel(state.voltage_pu), now)
        # The layout of a step's state, so that the compiled step sees one kind of input only.
        return State(*(public(kernel(field).contiguous()) for field in state)), obs

    def perturb(
        self, state: State, events: Sequence[EventConfig] = (), steps: Sequence[int] = ()
    ) -> tuple[State, Tensor]:
        """Cause events in the running episodes, from the step about to be taken on, beside those the scenario draws.

        They add to those caused before and still active, and end with the episode; without events, those caused
        before end now. A reset of all grids ends them too.

        Args:
            state: from `reset` or the last `step`.
            events: their kind, factor, adder, branch (never drawn here); day, hour, duration, probability are ignored.
            steps: how long each lasts.

        Returns:
            state as of now, obs [B, N, O]. The state given stays as it was.

        Raises:
            ConfigError: a duration missing or below 1, a branch that is not there, a feeder that is no island, or a
                compiled simulator.
        """
        if len(events) != len(steps):
            raise ConfigError(f"steps holds {len(steps)} durations for {len(events)} events: give one for each")
        check_state(state, self.num_grids, self.num_agents)
        self._check_islands(events)
        if self._is_compiled:
            raise ConfigError("perturb: a compiled step knows the scenario's events only; use compile=False")
        return self._read_present(cause(self.events, state, events, steps, self.config.steps_per_day))

    def _check_islands(self, events: Sequence[EventConfig]) -> None:
        if any(event.kind == "islanding" for event in events):
            require_island_unit(self.config.network, self.feeder)

    def step(self, state: State, action: Tensor) -> tuple[State, StepResult]:
        """Take one step in every grid.

        Args:
            state: from `reset` or the last `step`.
            action: [B, N, K + 1] in [-1, 1]; clamped, non-finite entries count as 0, both are counted.

        Returns:
            next state, result.

        Raises:
            ValueError: no tensor, or an action or state of other shapes or another device.
        """
        check_state(state, self.num_grids, self.num_agents)
        check_action(action, state, self.action_dim)
        # Transposed here and not in the compiled step, whose loops would follow the action's layout instead of ours.
        action = self._turned(action, state.soc_kwh.dtype)
        if self._prefetch is None or torch.compiler.is_compiling():
            moved, out = unfold(state, self._advance_alone(self.params, state, action))
            last = partial(self.episodes.last, self.params, state, 1)
            return moved, out._replace(final=partial(self._final_obs, self.params, out, last))
        window = self._prefetch.window(self.params, state)
        moved, out = unfold(state, self._advance(self.params, state, action, window.next()))
        self._prefetch.follow(self.params, moved)
        return moved, out._replace(final=partial(self._final_obs, self.params, out, window.last))

    def _turned(self, action: Tensor, dtype: torch.dtype) -> Tensor:
        """Actions [B, N, A] as [A, N, B] in memory, in the same for every step where nobody else can hold it."""
        kept = self._is_compiled and self.device.type == "cpu" and dtype is torch.float32 and type(action) is Tensor
        if not kept or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return kernel(action).to(dtype).contiguous()
        if self._actions is None:
            with torch.inference_mode(False):  # as it may be used again outside of it
                self._actions = torch.empty(kernel(action).shape, dtype=dtype, device="cpu")
        return turned(action, self._actions)

    def one_pass(self, state: State, action: Tensor) -> OnePass | None:
        """The compiled step from a state as the one call it is, for `in_place`; None where it is none."""
        if self._prefetch is None or not isinstance(self._advance, Compiled):
            return None
        arguments = (self.params, state, action, self._prefetch.window(self.params, state).next())
        fused = self._advance.fused(arguments, collected(arguments))
        return None if fused is None else OnePass(fused, arguments, self._prefetch)

    def observe_end(self, start: State, steps: int, soc_kwh: Tensor, stability: Tensor, voltage_pu: Tensor) -> Tensor:
        """Last observations of the episodes that end within some steps: `final_obs` of all of them at once.

        Args:
            start: where the grids stood before the steps; steps: no more than an episode has.
            soc_kwh: [B, N], stability: [B], voltage_pu: [B, n] of the step that ended each grid's episode. Of grids
                that ended none, any; what is returned of them means nothing.

        Returns:
            [B, N, O].
        """
        return self._at_end(self.params, soc_kwh, stability, voltage_pu, self.episodes.last(self.params, start, steps))

    def _course_of(self, params: Params, key: Tensor, episode: Tensor, step: Tensor, row: Tensor) -> Course:
        steps, auto_reset = self.steps_ahead, self.auto_reset
        return self.episodes.course(params, key, episode, step, row, steps=steps, auto_reset=auto_reset)

    def _window(self, params: Params, state: State, room: TableRows | None) -> Ahead:
        """The steps ahead, read into `room`, or into new memory."""
        course = self._course(params, state.key, state.episode, state.step, state.row)
        plain = room is not None and type(course.row) is Tensor and self.device.type == "cpu"
        direct = plain and self._is_compiled  # else somebody may be tracing this
        return self.episodes.ahead(course, self.steps_ahead, room, direct)

    def _step_alone(self, params: Params, state: State, action: Tensor) -> Outcome:
        """A step that reads its own exogenous values: one graph from the table to the observation."""
        moment = (state.key, state.episode, state.step, state.row)
        ahead = self.episodes.ahead(self.episodes.course(params, *moment, steps=1, auto_reset=self.auto_reset), 1)
        upcoming = Upcoming(ahead.rows.steps()[0], ahead.soc_kwh, ahead.row)
        return self._step_ahead(params, state, action, upcoming)

    def _step_ahead(self, params: Params, state: State, action: Tensor, upcoming: Upcoming) -> Outcome:
        """A step whose exogenous values are at hand."""
        p = self.community.step(params, state, action)
        truncated = state.step + 1 >= self.config.episode_steps
        soc, stability, voltage = p.soc_kwh, p.stability, p.network.agent_voltage_pu
        step, episode, row = state.step + 1, state.episode + 0, state.row + 1
        if self.auto_reset:
            soc = torch.where(truncated, upcoming.soc_kwh, soc)
            stability, voltage = torch.where(truncated, 1.0, stability), torch.where(truncated, 1.0, voltage)
            step, row = torch.where(truncated, 0, step), torch.where(truncated, upcoming.row, row)
            episode = episode + truncated.int()
        obs = self.episodes.observe(params, soc, stability, voltage, upcoming.now)
        moved = {
            "soc_kwh": public(soc), "stability": stability, "voltage_pu": public(voltage), "step": step,
            "episode": episode, "row": row, "clamped": state.clamped + p.clamped,
            "nonfinite": state.nonfinite + p.nonfinite, **self.episodes.held(params, upcoming.now),
        }  # fmt: skip
        ledger = {name: public(x) for name, x in p.ledger._asdict().items() if name not in OF_STATE}
        result = {
            "obs": obs, "reward": public(p.reward), "reward_parts": RewardParts(*map(public, p.reward_parts)),
            "terminated": torch.zeros_like(truncated), "truncated": truncated,
            "transfers_kw": public(p.transfers_kw), "imbalance_kw": public(p.imbalance_kw),
            "soc_kwh": public(p.soc_kwh), "cost_eur": public(p.bill.total_eur),
            "transfer_cost_eur": public(p.bill.transfers_eur), "loss_share_kw": public(p.bill.loss_share_kw),
            "stability": p.stability, "stability_parts": p.stability_parts,
            "network": NetworkResult(*map(public, p.network.result)),
        }  # fmt: skip
        return Outcome(moved, result, ledger)

    def _final_obs(self, params: Params, out: StepResult, last: Callable[[], Exogenous]) -> Tensor:
        """Last observations of the episodes that ended in the step, those that go on as they are, [B, N, O]."""
        if not self.auto_reset:
            return out.obs
        final = self._at_end(params, out.soc_kwh, out.stability, out.network.voltage_pu, last())
        return public(torch.where(out.truncated, kernel(final), kernel(out.obs)))

    def _at_end(
        self, params: Params, soc_kwh: Tensor, stability: Tensor, voltage_pu: Tensor, last: Exogenous
    ) -> Tensor:
        """What was seen at the last moment of episodes, [B, N, O]; arguments as of `observe_end`."""
        voltage = kernel(voltage_pu).index_select(0, self.community.network.agent_bus)
        return self.episodes.observe(params, kernel(soc_kwh), stability, voltage, last)


def _select(mask: Tensor, yes: State, no: State) -> State:
    """Per grid the state of `yes` where mask, else of `no`."""
    picked: list[Any] = []
    for a, b in zip(yes, no, strict=True):
        if a.dim() == 1:
            picked.append(torch.where(mask, a, b))
        else:
            picked.append(public(torch.where(mask, kernel(a), kernel(b))))
    return State(*picked)
