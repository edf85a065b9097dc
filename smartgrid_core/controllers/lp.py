"""The linear program of one community over a horizon, solved with HiGHS.

Energies per block in kWh are the variables, so block lengths appear in bounds and right-hand sides only and one
model serves every horizon: `CommunityProgram.solve` changes costs and bounds and starts from the last basis.

The program relaxes the simulator's step: it has every way of getting or shedding energy that the step has —
orders up to `trade_kw`, unlimited imbalance at the imbalance price, unserved demand and curtailment off the grid,
transfers up to the rating under either transfer rule — and no network losses. Given all that the batteries can do, it
knows nothing of the coupling of set-points and actions either. It may also charge and discharge at once, which pays
only where energy has a negative value. So no controller can cost less than its optimum.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from smartgrid_core.controllers.host import by_prosumer
from smartgrid_core.controllers.outlook import Outlook
from smartgrid_core.simulator import Simulator

_CHARGE, _DISCHARGE, _BUY, _SELL, _SHORT, _LONG, _SOC = range(7)


class Community(NamedTuple):
    """Constants of one community, host-side float64."""

    charge_efficiency: np.ndarray  # [N]
    discharge_efficiency: np.ndarray  # [N]
    soc_min_kwh: np.ndarray  # [N]
    soc_max_kwh: np.ndarray  # [N]
    trade_kw: np.ndarray  # [N]
    pairs: np.ndarray  # [L, 2] int, the agents at the two ends of each link
    link_kw: float  # rating of every link
    imbalance_penalty_eur_per_kwh: float
    lost_load_eur_per_kwh: float


class Horizon(NamedTuple):
    """What lies ahead of one community, in S blocks."""

    hours: np.ndarray  # [S] length; 0 beyond the end of the episode
    demand_kwh: np.ndarray  # [S, N]
    generation_kwh: np.ndarray  # [S, N]
    import_eur_per_kwh: np.ndarray  # [S]
    export_eur_per_kwh: np.ndarray  # [S]
    on_grid: np.ndarray  # [S, N] bool
    energised: np.ndarray  # [S, N] bool
    charge_kwh: np.ndarray  # [S, N] most that can be charged
    discharge_kwh: np.ndarray  # [S, N] most that can be discharged
    soc_kwh: np.ndarray  # [N] at the start
    value_eur_per_kwh: np.ndarray  # [N] of energy stored at the end


class Plan(NamedTuple):
    """Solution of the program."""

    objective_eur: float  # cost − value · (SoC at the end − SoC at the start)
    battery_kw: np.ndarray  # [S, N] mean power, positive charges
    link_kw: np.ndarray  # [S, L] mean power from the first to the second agent of each pair
    soc_kwh: np.ndarray  # [S, N] at the start of the block
    net_kw: np.ndarray  # [S, N] generation − demand that the plan reckons with
    value_eur_per_kwh: np.ndarray  # [S, N] worth of one more kWh stored at the end of the block


def load_highspy() -> ModuleType:
    """The solver's package.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    try:
        import highspy
    except ImportError as error:
        raise ImportError(
            "the linear program needs HiGHS, which is not installed: pip install 'smartgrid-marl[control]'"
        ) from error
    return highspy


def _silent(highspy: ModuleType) -> Any:
    """A solver that prints nothing, its banner included, which comes while it is made."""

    class Silent(highspy.Highs):
        def enableCallbacks(self) -> None:  # noqa: N802 (the package's name)
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()

    solver = Silent()
    solver.setOptionValue("output_flag", False)  # versions that enable nothing by themselves
    return solver


def communities(sim: Simulator) -> list[Community]:
    """Constants of every grid of the simulator, [B]."""
    p, config = sim.params, sim.config

    read = (p.trade_kw, p.charge_efficiency, p.discharge_efficiency, p.soc_min_kwh, p.soc_max_kwh)
    trade, charge_efficiency, discharge_efficiency, soc_min, soc_max = (by_prosumer(sim, x) for x in read)
    return [
        Community(
            charge_efficiency=charge_efficiency[b],
            discharge_efficiency=discharge_efficiency[b],
            soc_min_kwh=soc_min[b],
            soc_max_kwh=soc_max[b],
            trade_kw=trade[b],
            pairs=sim.links.pairs,
            link_kw=config.links.rating_kw,
            imbalance_penalty_eur_per_kwh=config.tariff.imbalance_penalty_eur_per_kwh,
            lost_load_eur_per_kwh=config.tariff.lost_load_eur_per_kwh,
        )
        for b in range(sim.num_grids)
    ]


def horizons(
    outlook: Outlook, limits_kw: tuple[np.ndarray, np.ndarray], block_steps: tuple[int, ...], remaining: np.ndarray,
    step_h: float, soc_kwh: np.ndarray, value_eur_per_kwh: np.ndarray,
) -> list[Horizon]:  # fmt: skip
    """An outlook cut at the episode's end and summed into blocks, one horizon a grid.

    Args:
        outlook: series over H steps; where the blocks reach further, nothing happens.
        limits_kw: largest charging and discharging powers, each [H, B, N] or [1, B, N].
        block_steps: length of each of the S blocks in steps.
        remaining: [B] steps left in each grid's episode.
        soc_kwh, value_eur_per_kwh: [B, N] content now and value of content at the end.

    A block is on the grid, and energised, where all of its steps are.
    """
    steps, total = outlook.import_eur_per_kwh.shape[0], sum(block_steps)
    starts = np.concatenate([[0], np.cumsum(block_steps)[:-1]])

    def blocks(series: np.ndarray) -> np.ndarray:
        """Sums over blocks, [S, …]."""
        padded = np.zeros((total, *series.shape[1:]))
        padded[: min(steps, total)] = series[:total]
        return np.add.reduceat(padded, starts, axis=0)

    counts = (np.arange(steps)[:, None] < remaining).astype(np.float64)  # [H, B]
    length = blocks(counts)
    per_step = 1.0 / np.maximum(length, 1.0)
    buy, sell = (blocks(x * counts) * per_step for x in (outlook.import_eur_per_kwh, outlook.export_eur_per_kwh))
    each = counts[..., None]
    demand, generation = (blocks(x * each) * step_h for x in (outlook.demand_kw, outlook.generation_kw))
    charge, discharge = (blocks(x * each) * step_h for x in limits_kw)
    on_grid, energised = (blocks(~x * each) == 0 for x in (outlook.on_grid, outlook.energised))
    return [
        Horizon(
            length[:, b] * step_h, demand[:, b], generation[:, b], buy[:, b], sell[:, b], on_grid[:, b],
            energised[:, b], charge[:, b], discharge[:, b], soc_kwh[b], value_eur_per_kwh[b],
        )
        for b in range(remaining.shape[0])
    ]  # fmt: skip


class CommunityProgram:
    """A linear program kept by HiGHS: built once, solved for one horizon after another.

    Args:
        community: the constants.
        num_blocks: S, blocks of every horizon.
        presolve: worth it for a single large solve, in the way of warm starts.
    """

    def __init__(self, community: Community, num_blocks: int, presolve: bool = False):
        self._highspy = load_highspy()
        self.community, self.num_blocks = community, num_blocks
        self.num_agents, self.num_links = community.trade_kw.shape[0], community.pairs.shape[0]
        self._agent_columns = 7 * num_blocks * self.num_agents
        columns = self._agent_columns + 2 * num_blocks * self.num_links
        self._columns = np.arange(columns, dtype=np.int32)
        self._rows = np.arange(2 * num_blocks * self.num_agents, dtype=np.int32)
        self._highs = _silent(self._highspy)
        for option, value in (
            ("threads", 1), ("parallel", "off"), ("solver", "simplex"), ("presolve", "on" if presolve else "off"),
        ):  # fmt: skip
            self._highs.setOptionValue(option, value)
        self._highs.passModel(self._model())

    def solve(self, horizon: Horizon) -> Plan:
        """Best plan over the horizon.

        Raises:
            RuntimeError: the solver stopped without an optimum.
        """
        low, high = self._column_bounds(horizon)
        right = np.zeros((2, self.num_blocks, self.num_agents))
        right[0] = horizon.demand_kwh - horizon.generation_kwh
        # float32 states may leave the bounds by a rounding error, which would be infeasible
        soc = np.clip(horizon.soc_kwh, self.community.soc_min_kwh, self.community.soc_max_kwh)
        right[1, 0] = soc
        bound, size = right.ravel(), self._columns.size
        self._highs.changeColsCost(size, self._columns, self._costs(horizon))
        self._highs.changeColsBounds(size, self._columns, low, high)
        self._highs.changeRowsBounds(self._rows.size, self._rows, bound, bound)
        self._run()
        solution = self._highs.getSolution()
        agents, links = self._split(np.array(solution.col_value))
        # one more kWh on the right of a content row is one more kWh stored: its dual is the fall in cost
        value = -np.array(solution.row_dual).reshape(right.shape)[1]
        per_hour = 1.0 / np.where(horizon.hours > 0, horizon.hours, np.inf)[:, None]
        objective = self._highs.getInfo().objective_function_value + float(horizon.value_eur_per_kwh @ soc)
        return Plan(
            objective, (agents[_CHARGE] - agents[_DISCHARGE]) * per_hour, (links[0] - links[1]) * per_hour,
            np.concatenate([soc[None], agents[_SOC, :-1]]), -right[0] * per_hour, value,
        )  # fmt: skip

    def _run(self) -> None:
        optimal = self._highspy.HighsModelStatus.kOptimal
        self._highs.run()
        if self._highs.getModelStatus() != optimal:
            self._highs.clearSolver()  # a stale basis can stall the simplex method; a cold start decides
            self._highs.run()
        if self._highs.getModelStatus() != optimal:
            status = self._highs.modelStatusToString(self._highs.getModelStatus())
            raise RuntimeError(f"HiGHS ended with status {status!r} instead of an optimum")

    def _split(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column values seen as agents' [7, S, N] and links' [2, S, L]; no copy."""
        agents, links = values[: self._agent_columns], values[self._agent_columns :]
        s = self.num_blocks
        return agents.reshape(7, s, self.num_agents), links.reshape(2, s, self.num_links)

    def _costs(self, horizon: Horizon) -> np.ndarray:
        """EUR per kWh of every column, [columns] (design: settlement)."""
        costs = np.zeros(self._columns.size)
        agents, _ = self._split(costs)
        buy, sell = horizon.import_eur_per_kwh[:, None], horizon.export_eur_per_kwh[:, None]
        penalty = self.community.imbalance_penalty_eur_per_kwh
        agents[_BUY], agents[_SELL] = buy, -sell
        short = np.maximum(buy, sell) + penalty
        agents[_SHORT] = np.where(horizon.on_grid, short, self.community.lost_load_eur_per_kwh)
        agents[_LONG] = np.where(horizon.on_grid, penalty - np.minimum(buy, sell), 0.0)
        agents[_SOC, -1] = -horizon.value_eur_per_kwh
        return costs

    def _column_bounds(self, horizon: Horizon) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of every column, kWh."""
        c, hours = self.community, horizon.hours[:, None]
        low, high = np.zeros(self._columns.size), np.full(self._columns.size, np.inf)
        (agents_low, _), (agents, links) = self._split(low), self._split(high)
        agents[_CHARGE], agents[_DISCHARGE] = horizon.charge_kwh, horizon.discharge_kwh
        agents[_BUY] = agents[_SELL] = c.trade_kw * hours * horizon.on_grid
        agents[_SHORT] = np.where(horizon.on_grid, np.inf, horizon.demand_kwh)
        agents_low[_SOC], agents[_SOC] = c.soc_min_kwh, c.soc_max_kwh
        links[:] = c.link_kw * hours * horizon.energised[:, c.pairs].all(2)
        return low, high

    def _model(self):
        """Columns, rows and coefficients; costs and bounds follow with each horizon."""
        rows, columns, values = self._coefficients()
        order = np.lexsort((columns, rows))
        num_rows, num_columns = self._rows.size, self._columns.size
        lp = self._highspy.HighsLp()
        lp.num_col_, lp.num_row_ = num_columns, num_rows
        lp.col_cost_ = lp.col_lower_ = lp.col_upper_ = np.zeros(num_columns)
        lp.row_lower_ = lp.row_upper_ = np.zeros(num_rows)
        lp.a_matrix_.format_ = self._highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.searchsorted(rows[order], np.arange(num_rows + 1)).astype(np.int32)
        lp.a_matrix_.index_ = columns[order].astype(np.int32)
        lp.a_matrix_.value_ = values[order]
        return lp

    def _coefficients(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column and value of every coefficient.

        Energy balance of every agent and block: discharge − charge + buy − sell + short − long + received =
        demand − generation. Content: SoC − SoC before − η charge + discharge / η = 0, or = the initial SoC.
        """
        agent_column, link_column = self._split(self._columns)
        balance, content = self._rows.reshape(2, self.num_blocks, self.num_agents)
        first, second = self.community.pairs.T
        (forward, backward), one = link_column, np.ones(1)
        terms = [
            (balance, agent_column[_DISCHARGE], one), (balance, agent_column[_CHARGE], -one),
            (balance, agent_column[_BUY], one), (balance, agent_column[_SELL], -one),
            (balance, agent_column[_SHORT], one), (balance, agent_column[_LONG], -one),
            (balance[:, second], forward, one), (balance[:, first], forward, -one),
            (balance[:, first], backward, one), (balance[:, second], backward, -one),
            (content, agent_column[_SOC], one), (content[1:], agent_column[_SOC, :-1], -one),
            (content, agent_column[_CHARGE], -self.community.charge_efficiency),
            (content, agent_column[_DISCHARGE], 1 / self.community.discharge_efficiency),
        ]  # fmt: skip
        filled = [(r.ravel(), c.ravel(), np.broadcast_to(v, r.shape).ravel()) for r, c, v in terms]
        row, column, value = (np.concatenate(part) for part in zip(*filled, strict=True))
        return row, column, value
