"""How episodes begin and how time moves: draws by counter, the exogenous values of a step, observations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smartgrid_core import observations, rng
from smartgrid_core.config import GridConfig
from smartgrid_core.events import DRAWS, Events
from smartgrid_core.links import Links
from smartgrid_core.profiles.table import ProfileTable, TableRows
from smartgrid_core.types import Conditions, Exogenous, Params, State, kernel, public


class Episodes(nn.Module):
    """Draws episodes, reads the profiles and observes; everything feature-major and free of host syncs."""

    agents: Tensor
    neighbour: Tensor
    slot_used: Tensor
    draw_rows: Tensor

    def __init__(self, config: GridConfig, table: ProfileTable, events: Events, links: Links, stagger: bool):
        super().__init__()
        self.config, self.table, self.events, self.stagger = config, table, events, stagger
        self.register_buffer("agents", torch.arange(config.num_agents, dtype=torch.int32))
        self.register_buffer("neighbour", torch.from_numpy(links.neighbour.reshape(-1)).int())
        self.register_buffer("slot_used", torch.from_numpy(links.used)[..., None])
        n, jitter = config.num_agents, config.profiles
        self.draws = {  # rows of each stream in the one draw that begins an episode
            rng.Stream.START: 1,
            rng.Stream.GENERATION_COLUMN: 1,
            rng.Stream.DEMAND_COLUMN: n,
            rng.Stream.INITIAL_SOC: n,
            rng.Stream.DEMAND_JITTER: n if jitter.demand_jitter else 0,
            rng.Stream.GENERATION_JITTER: n if jitter.generation_jitter else 0,
            rng.Stream.EVENT: DRAWS * len(config.events),
            rng.Stream.STAGGER: 1,
        }
        self.register_buffer("draw_rows", torch.cat([rng.rows(stream, k) for stream, k in self.draws.items()]))

    def begin(
        self, params: Params, key: Tensor, episode: Tensor, counters: tuple[Tensor, Tensor], first: bool
    ) -> State:
        """State at the start of an episode, exogenous values still to be read.

        Args:
            key: [B] int32; episode: [B] int32; counters: (clamped, nonfinite) carried over, [B] int32.
            first: whether this is the run's first episode, which may start midway (`stagger`).
        """
        n, b, jitter = self.config.num_agents, key.shape[0], self.config.profiles
        u = dict(
            zip(
                self.draws,
                rng.uniform(rng.combine(key, episode), self.draw_rows).split(list(self.draws.values())),
                strict=True,
            )
        )
        start = rng.integers(u[rng.Stream.START][0], self.table.starts.shape[0])
        row = self.table.starts.index_select(0, start)
        step = torch.zeros_like(row)
        event_start, event_end, event_branch = self.events.draw(u[rng.Stream.EVENT], row % self.config.steps_per_day)
        if first and self.stagger:
            per_hour = 60 // self.config.step_minutes  # whole hours, so that actions held for an hour stay aligned
            hours = max(self.config.episode_steps // per_hour, 1)
            step = rng.integers(u[rng.Stream.STAGGER][0], hours).int() * per_hour
        soc = rng.between(u[rng.Stream.INITIAL_SOC], params.initial_soc_low, params.initial_soc_high)
        nothing = soc.new_zeros(b)
        return State(
            soc_kwh=public((soc * params.capacity_kwh).expand(n, b)),
            demand_kw=public(soc.new_zeros(n, b)), generation_kw=public(soc.new_zeros(n, b)),
            import_eur_per_kwh=nothing, export_eur_per_kwh=nothing, co2_g_per_kwh=nothing,
            stability=torch.ones_like(nothing), voltage_pu=public(torch.ones_like(soc)),
            step=step, episode=episode, row=row + step,
            demand_column=public(self._pick(u[rng.Stream.DEMAND_COLUMN], self.table.demand_pool)),
            generation_column=public(self._pick(u[rng.Stream.GENERATION_COLUMN], self.table.generation_pool)),
            demand_jitter=public(self._jitter(u[rng.Stream.DEMAND_JITTER], jitter.demand_jitter)),
            generation_jitter=public(self._jitter(u[rng.Stream.GENERATION_JITTER], jitter.generation_jitter)),
            event_start=public(event_start), event_end=public(event_end), event_branch=public(event_branch),
            key=key, clamped=counters[0], nonfinite=counters[1],
        )  # fmt: skip

    def _pick(self, u: Tensor, pool: Tensor) -> Tensor:
        """Columns [N, B] from a pool [P, N]: a row per agent (u [N, B]) or one for the community (u [1, B])."""
        flat = rng.integers(u, pool.shape[0]) * pool.shape[1] + self.agents[:, None]
        return pool.reshape(-1).index_select(0, flat.reshape(-1)).view(flat.shape)

    def _jitter(self, u: Tensor, half_width: float) -> Tensor:
        if half_width == 0.0:
            return torch.ones(self.config.num_agents, u.shape[1], device=u.device)
        return 1 + half_width * (2 * u - 1)

    def conditions(self, state: State) -> Conditions:
        """Events active in the step about to be taken."""
        return self.events.conditions(
            state.step, kernel(state.event_start), kernel(state.event_end), kernel(state.event_branch)
        )

    def lookup(self, state: State, only: Tensor | None = None) -> TableRows:
        """Table rows of the step about to be taken; `only` [B] bool names the grids that matter."""
        return self.table.lookup(state.row, kernel(state.demand_column), kernel(state.generation_column), only)

    def read(self, params: Params, state: State, now: Conditions, rows: TableRows) -> tuple[State, Exogenous]:
        """Exogenous values of the step about to be taken, and the state that holds them."""
        demand_row = rows.demand * (params.demand_scale * kernel(state.demand_jitter))
        generation_row = rows.generation * (params.generation_scale * kernel(state.generation_jitter))
        w, time = self.table.windows, rows.time
        prices = time[: 2 * (1 + w)] * params.price_level
        demand, generation, buy = demand_row[0], generation_row[0], prices[0]
        if now.demand_factor is not None:
            demand = demand * now.demand_factor
        if now.generation_factor is not None:
            generation = generation * now.generation_factor
        if now.import_adder is not None:
            buy = buy + now.import_adder
        exogenous = Exogenous(
            demand, generation, generation_row[1:] - demand_row[1:], buy, prices[1],
            prices[2 : 2 + w], prices[2 + w :], time[-5:-1], time[-1],
        )  # fmt: skip
        held = state._replace(
            demand_kw=public(demand), generation_kw=public(generation), import_eur_per_kwh=buy,
            export_eur_per_kwh=prices[1], co2_g_per_kwh=time[-1],
        )  # fmt: skip
        return held, exogenous

    def observe(self, params: Params, state: State, exogenous: Exogenous, now: Conditions) -> Tensor:
        """Observations of the step about to be taken, [B, N, O]."""
        soc = kernel(state.soc_kwh)
        ones = torch.ones_like(soc)
        connected = ones[0] if now.islanded is None else (~now.islanded).to(soc.dtype)
        energised = ones if now.energised is None else now.energised.to(soc.dtype)
        return public(
            observations.assemble(
                soc / params.capacity_kwh.clamp_min(1e-6), exogenous, state.stability, connected, energised,
                kernel(state.voltage_pu), self.neighbour, self.slot_used, params.trade_kw, self.table.price_scale,
                self.config.network.voltage_band_pu,
            )
        )  # fmt: skip
