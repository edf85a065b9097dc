"""How episodes begin and how time moves: plans drawn by counter, exogenous values of the steps ahead, observations."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from smartgrid_core import observations, rng
from smartgrid_core.config import GridConfig
from smartgrid_core.events import DRAWS, Events
from smartgrid_core.links import Links
from smartgrid_core.perturbations import combined
from smartgrid_core.profiles.table import Position, ProfileTable, Route, TableRows
from smartgrid_core.types import Conditions, Exogenous, Params, Plan, State, public


class Ahead(NamedTuple):
    """What the next S steps bring whatever anyone does, across the end of the episode where that comes; feature-major.

    Entry s stands for the moment after s + 1 more steps.
    """

    rows: Exogenous  # fields [S, …]
    soc_kwh: Tensor  # [N, B] at the start of the next episode
    row: Tensor  # [B] int32, time row of its step 0


class Course(NamedTuple):
    """Where the next S steps lead whatever anyone does: what to read, and what events do; feature-major."""

    route: Route
    now: Conditions  # fields [S, …]
    soc_kwh: Tensor  # [N, B] at the start of the next episode
    row: Tensor  # [B] int32, time row of its step 0


class Episodes(nn.Module):
    """Draws episodes, reads the profiles and observes; everything feature-major and free of host syncs."""

    agents: Tensor
    neighbour: Tensor
    slot_used: Tensor
    draw_rows: Tensor

    def __init__(self, config: GridConfig, table: ProfileTable, events: Events, links: Links, stagger: bool, hold: int):
        super().__init__()
        self.config, self.table, self.events, self.stagger = config, table, events, stagger
        self.stagger_steps = math.lcm(60 // config.step_minutes, hold)  # whole hours and whole holds
        self.register_buffer("agents", torch.arange(config.num_agents, dtype=torch.int32))
        self.register_buffer("neighbour", torch.from_numpy(links.neighbour.reshape(-1)).int())
        self.register_buffer("slot_used", torch.from_numpy(links.used)[..., None])
        self.drawn_sizes = observations.drawn_sizes(config)
        n, jitter = config.num_agents, config.profiles
        self.draws = {  # rows of each stream in the one draw that begins an episode
            rng.Stream.START: 1,
            rng.Stream.GENERATION_COLUMN: 1,
            rng.Stream.DEMAND_COLUMN: n,
            rng.Stream.INITIAL_SOC: n,
            rng.Stream.DEMAND_JITTER: n if jitter.demand_jitter else 0,
            rng.Stream.GENERATION_JITTER: n if jitter.generation_jitter else 0,
            rng.Stream.EVENT: DRAWS * len(config.events),
            rng.Stream.STAGGER: 1 if stagger else 0,
        }
        rows = {stream: rng.rows(stream, k) for stream, k in self.draws.items()}
        rows[rng.Stream.DEMAND_COLUMN] = rows[rng.Stream.DEMAND_COLUMN][torch.from_numpy(table.profiles.groups)]
        self.register_buffer("draw_rows", torch.cat(list(rows.values())))  # agents of a group draw one number

    # Beginning ------------------------------------------------------------------------------------------

    def plan(self, params: Params, key: Tensor, episode: Tensor) -> Plan:
        """What episode number `episode` [B] of the grids with `key` [B] draws; the run's first may start midway."""
        jitter, counts = self.config.profiles, list(self.draws.values())
        u = dict(zip(self.draws, rng.uniform(rng.combine(key, episode), self.draw_rows).split(counts), strict=True))
        row = self.table.starts.index_select(0, rng.integers(u[rng.Stream.START][0], self.table.starts.shape[0]))
        step = torch.zeros_like(row)
        if self.stagger:
            places = max(self.config.episode_steps // self.stagger_steps, 1)
            midway = rng.integers(u[rng.Stream.STAGGER][0], places).int() * self.stagger_steps
            step = torch.where(episode == 0, midway, 0)
        soc = rng.between(u[rng.Stream.INITIAL_SOC], params.initial_soc_low, params.initial_soc_high)
        return Plan(
            row, step, soc * params.capacity_kwh,
            self._pick(u[rng.Stream.DEMAND_COLUMN], self.table.demand_pool),
            self._pick(u[rng.Stream.GENERATION_COLUMN], self.table.generation_pool),
            self._jitter(u[rng.Stream.DEMAND_JITTER], jitter.demand_jitter),
            self._jitter(u[rng.Stream.GENERATION_JITTER], jitter.generation_jitter),
            *self.events.draw(u[rng.Stream.EVENT], row % self.config.steps_per_day),
        )  # fmt: skip

    def _pick(self, u: Tensor, pool: Tensor) -> Tensor:
        """Columns [N, B] from a pool [P, N]: a row per agent (u [N, B]) or one for the community (u [1, B])."""
        flat = rng.integers(u, pool.shape[0]) * pool.shape[1] + self.agents[:, None]
        return pool.reshape(-1).index_select(0, flat.reshape(-1)).view(flat.shape)

    def _jitter(self, u: Tensor, half_width: float) -> Tensor:
        if half_width == 0.0:
            return torch.ones(self.config.num_agents, u.shape[1], device=u.device)
        return 1 + half_width * (2 * u - 1)

    def begin(self, params: Params, key: Tensor, episode: Tensor, counters: tuple[Tensor, Tensor]) -> State:
        """State at the start of an episode, exogenous values still to be read.

        Args:
            key: [B] int32; episode: [B] int32; counters: (clamped, nonfinite) carried over, [B] int32.
        """
        plan = self.plan(params, key, episode)
        n, b = plan.soc_kwh.shape
        nothing = torch.zeros_like(plan.soc_kwh[0])
        off, branches = nothing > 0, self.events.num_branches if self.events.can_open_branches else 0
        return State(
            soc_kwh=public(plan.soc_kwh), demand_kw=public(nothing.expand(n, b)),
            generation_kw=public(nothing.expand(n, b)), import_eur_per_kwh=nothing, export_eur_per_kwh=nothing,
            co2_g_per_kwh=nothing, islanded=off, energised=public((~off).expand(n, b)),
            branch_open=public(off.expand(branches, b)), stability=nothing + 1,
            voltage_pu=public((nothing + 1).expand(n, b)), step=plan.step, episode=episode, row=plan.row + plan.step,
            key=key, clamped=counters[0], nonfinite=counters[1],
        )  # fmt: skip

    @staticmethod
    def held(params: Params, now: Exogenous) -> dict[str, Tensor]:
        """Fields of the state with the exogenous values of the step about to be taken.

        Copies, as the memory that was read into serves the next window.
        """
        prices = now.prices(params.price_level)
        fields = {
            "demand_kw": public(now.demand_kw.clone()), "generation_kw": public(now.generation_kw.clone()),
            "import_eur_per_kwh": prices[0].clone(), "export_eur_per_kwh": prices[1].clone(),
            "co2_g_per_kwh": now.co2_g_per_kwh.clone(),
        }  # fmt: skip
        if now.islanded is not None:
            fields["islanded"] = now.islanded.clone()
        if now.branch_open is not None and now.energised is not None:
            fields |= {"branch_open": public(now.branch_open.clone()), "energised": public(now.energised.clone())}
        return fields

    # Time -----------------------------------------------------------------------------------------------

    def present(self, params: Params, state: State, steps: int = 1, later: int = 0) -> Exogenous:
        """Exogenous values of S ≤ MAX_WINDOW steps of the running episode, from `later` steps on, fields [S, …]."""
        plan = self.plan(params, state.key, state.episode)
        return self._within(params, plan, state.episode, state.row + later, state.step + later, steps)

    def _within(self, params: Params, plan: Plan, episode: Tensor, row: Tensor, first: Tensor, steps: int) -> Exogenous:
        """Exogenous values of steps `first`, `first` + 1, … [B] of one episode, from table row `row` [B] on."""
        events = (x[:, None] for x in (plan.event_start, plan.event_end, plan.event_branch))
        step = first + self._counter(steps, first)
        now = self.events.conditions(step, *events)
        if self.events.by_hand is not None:
            now = combined(now, self.events.by_hand.conditions(step, episode))
        return self._values(self.table.follow(self.table.route(self._position(params, plan, row), steps), steps), now)

    def course(
        self, params: Params, key: Tensor, episode: Tensor, step: Tensor, row: Tensor, *, steps: int, auto_reset: bool
    ) -> Course:
        """What 1 … S ≤ MAX_WINDOW more steps lead through, S ≤ an episode's steps; fields of the state, [B] int32."""
        plan = self.plan(params, key, episode)
        then = self.plan(params, key, episode + 1) if auto_reset else plan
        switch = torch.full_like(step, steps)
        if auto_reset:
            switch = (self.config.episode_steps - 1 - step).clamp(0, steps)
        s = self._counter(steps, switch)
        before = s < switch
        events = [torch.where(before, a[:, None], b[:, None]) for a, b in zip(plan[-3:], then[-3:], strict=True)]
        at = torch.where(before, step + 1 + s, s - switch)
        now = self.events.conditions(at, *events)
        if self.events.by_hand is not None:
            now = combined(now, self.events.by_hand.conditions(at, torch.where(before, episode, episode + 1)))
        here, there = self._position(params, plan, row + 1), self._position(params, then, then.row)
        return Course(self.table.route(here, steps, there, switch), now, then.soc_kwh, then.row)

    def ahead(self, course: Course, steps: int, out: TableRows | None = None, direct: bool = False) -> Ahead:
        """Exogenous values along a course; `out` is memory to use, `direct` as in `ProfileTable.follow`."""
        rows = self.table.follow(course.route, steps, out, direct)
        return Ahead(self._values(rows, course.now), course.soc_kwh, course.row)

    def last(self, params: Params, state: State, steps: int) -> Exogenous:
        """Exogenous values of the moment the running episodes end, for those that end within S steps, fields […]."""
        left = (self.config.episode_steps - state.step).clamp(1, steps)
        plan = self.plan(params, state.key, state.episode)
        return self._within(params, plan, state.episode, state.row + left, state.step + left, 1).steps()[0]

    @staticmethod
    def _counter(steps: int, like: Tensor) -> Tensor:
        return torch.arange(steps, dtype=like.dtype, device=like.device)[:, None]

    def _position(self, params: Params, plan: Plan, row: Tensor) -> Position:
        shape = plan.demand_column.shape
        return Position(
            row, plan.demand_column, plan.generation_column,
            (params.demand_scale * plan.demand_jitter).expand(shape),
            (params.generation_scale * plan.generation_jitter).expand(shape),
        )  # fmt: skip

    def _values(self, rows: TableRows, now: Conditions) -> Exogenous:
        """Table rows under the events of their steps, fields [S, …]."""
        demand, generation = rows.demand_kw[:, 0], rows.generation_kw[:, 0]
        tariff, calendar, co2 = rows.time[:, :, 0].split((2 * (1 + self.table.windows), 4, 1), dim=1)
        if now.demand_factor is not None:
            demand = demand * now.demand_factor[:, None]
        if now.generation_factor is not None:
            generation = generation * now.generation_factor[:, None]
        return Exogenous(
            demand, generation, rows.demand_kw[:, 1:], rows.generation_kw[:, 1:], tariff, calendar, co2[:, 0],
            now.islanded, now.branch_open, now.energised, now.import_adder,
        )  # fmt: skip

    # Seeing ---------------------------------------------------------------------------------------------

    def observe(self, params: Params, soc_kwh: Tensor, stability: Tensor, voltage_pu: Tensor, now: Exogenous) -> Tensor:
        """Observations [B, N, O] of the step whose exogenous values are `now`; soc_kwh, voltage_pu [N, B]."""
        ones = torch.ones_like(soc_kwh)
        connected = ones[0] if now.islanded is None else (~now.islanded).to(ones.dtype)
        energised = ones if now.energised is None else now.energised.to(ones.dtype)
        fraction, prices = soc_kwh / params.capacity_kwh.clamp_min(1e-6), now.prices(params.price_level)
        seen = observations.assemble(
            fraction, now, prices, stability, connected, energised, voltage_pu, self.neighbour, self.slot_used,
            params.trade_kw, self.table.price_scale, self.config.network.voltage_band_pu,
            [getattr(params, name).expand_as(soc_kwh) for name in self.drawn_sizes],
        )  # fmt: skip
        return public(seen)
