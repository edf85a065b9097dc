"""The compiled step of one grid in memory of its own, for adapters that want numbers.

A step of `Simulator` takes and hands out some forty tensors each; for one grid they are most of its time. Here two sets
of results take turns, each the state before the other, and arguments and results lie where they lay before: a step is
one call, and what it did is read out of one array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from smartgrid_core.compiled import Compiled, collected
from smartgrid_core.fused.kernel import Fused
from smartgrid_core.prefetch import Window
from smartgrid_core.simulator import Simulator, unfold
from smartgrid_core.types import State, StepResult

ALIGNMENT = 16  # numbers; what is vectorised begins at a cache line


class Wanted(NamedTuple):
    """Tensors of a state and the result that led to it."""

    of_agents: Sequence[Tensor]  # [1, N] float32
    shared: Sequence[Tensor]  # [1] float32
    flags: Sequence[Tensor]  # [1] bool


class Numbers(NamedTuple):
    """The same as numbers."""

    obs: np.ndarray  # float32 [N, O], before any reset
    of_agents: list[list[float]]  # [N, wanted]
    shared: list[float]
    flags: list[bool]


Choice = Callable[[State, StepResult], Wanted]


def numbers(state: State, result: StepResult, choose: Choice) -> Numbers:
    """What is wanted of a step of one grid; all of the prosumers in one copy, far cheaper than one by one."""
    wanted = choose(state, result)
    rows = torch.stack([x[0] for x in wanted.of_agents], dim=1).tolist()
    obs = np.array(result.final_obs[0].numpy(), order="C")
    return Numbers(obs, rows, [float(x) for x in wanted.shared], [bool(x) for x in wanted.flags])


class InPlace:
    """One grid, stepped in place.

    Args:
        simulator: of one grid on a CPU, without auto-reset.
        choose: what is wanted of every step, among what the compiled step makes.
    """

    def __init__(self, simulator: Simulator, choose: Choice):
        self._simulator, self._choose = simulator, choose
        self._action = np.zeros((simulator.action_dim, simulator.num_agents, 1), dtype=np.float32)
        self._memory: _Memory | None = None

    def begin(self, state: State) -> bool:
        """Go on from this state; False where the step is not one pass in C++, and `Simulator.step` is to be used."""
        sim = self._simulator
        if sim._prefetch is None or not isinstance(sim._advance, Compiled):
            return False
        before = (sim.params, state, torch.from_numpy(self._action), sim._prefetch.window(sim.params, state).next())
        fused: Fused | None = sim._advance.fused(before, collected(before))
        if fused is None:
            return False
        if self._memory is None or self._memory.fused is not fused:
            self._memory = _Memory(fused)
        memory, self._params, self._now, self._before = self._memory, sim.params, 1, state
        for name, x in memory.outcomes[1].moved.items():
            x.copy_(getattr(state, name))
        self._states = [state._replace(**outcome.moved) for outcome in memory.outcomes]
        self._results = [unfold(self._states[1 - s], outcome)[1] for s, outcome in enumerate(memory.outcomes)]
        self._read = [memory.reading(self._choose(*x)) for x in zip(self._states, self._results, strict=True)]
        self._obs = [result.obs[0].numpy() for result in self._results]
        self._arrange(before, memory)
        return True

    def _arrange(self, before: tuple, memory: _Memory) -> None:
        """Both calls, and which of their arguments lie elsewhere in every step: those read from the profiles."""
        fixed = len(collected(before[:3]))
        leaves = [collected((before[0], self._states[1 - s], *before[2:])) for s in range(2)]
        self._calls = [memory.fused.placed(leaves[s], memory.tensors[s]) for s in range(2)]
        places = self._calls[0].place
        self._changing = [(place, k - fixed) for k, place in places.items() if k >= fixed]
        self._window: Window | None = None

    def _locate(self, window: Window) -> None:
        """Place among the arguments, address of the window's first step and bytes to the next, of all that changes."""
        rows = collected(window.ahead)
        apart = [x.stride(0) * x.element_size() for x in collected(window.ahead.rows)] + [0, 0]
        self._window = window
        self._moving = [(place, rows[k].data_ptr(), apart[k]) for place, k in self._changing]

    def step(self, action: np.ndarray) -> Numbers:
        """Take a step; action [N, A]."""
        sim, last = self._simulator, self._now
        if sim.params is not self._params:
            self.begin(self._states[last])
            last = self._now
        self._action[..., 0] = action.T
        prefetch, s = sim._prefetch, 1 - last
        assert prefetch is not None
        call, window = self._calls[s], prefetch.window(self._params, self._before)
        if window is not self._window:
            self._locate(window)
        sources, taken = call.sources, window.taken
        for place, address, apart in self._moving:
            sources[place] = address + taken * apart
        call()
        self._now, self._before = s, self._states[s]
        prefetch.follow(self._params, self._before)
        return self._read[s](self._obs[s])

    @property
    def state(self) -> State:
        """As it is now; a copy."""
        return State(*(x.clone() for x in self._states[self._now]))

    @property
    def result(self) -> StepResult:
        """Of the last step; overwritten by the next but one."""
        result = self._results[self._now]
        return result._replace(final=lambda: result.obs)


class _Memory:
    """Two sets of a pass's results in one array, and another for those that are true or false."""

    def __init__(self, fused: Fused):
        self.fused = fused
        layouts = [result.layout(1) for result in fused.results] * 2
        room = [-(-max(int(np.prod(layout.shape)), 1) // ALIGNMENT) * ALIGNMENT for layout in layouts]
        with torch.inference_mode(False):  # as it outlives one that may be under way
            self._floats, self._flags = torch.zeros(sum(room)), torch.zeros(sum(room), dtype=torch.bool)
            begins, tensors = np.cumsum([0, *room]), []
            for layout, begin in zip(layouts, begins, strict=False):
                block = self._flags if layout.dtype is torch.bool else self._floats.view(layout.dtype)
                tensors.append(block.as_strided(layout.shape, layout.stride, int(begin)).expand(layout.public))
        count = len(fused.results)
        self.tensors = tensors[:count], tensors[count:]
        self.outcomes = [fused.nest(x) for x in self.tensors]

    def reading(self, wanted: Wanted) -> Callable[[np.ndarray], Numbers]:
        """What reads the tensors wanted, all of which lie here."""
        floats, flags = self._floats.numpy(), self._flags.numpy()
        of_agents = np.stack([self._places(x)[0] for x in wanted.of_agents], axis=1)
        shared = np.concatenate([self._places(x) for x in wanted.shared])
        true = np.concatenate([self._places(x) for x in wanted.flags])

        def read(obs: np.ndarray) -> Numbers:
            return Numbers(obs.copy(), floats[of_agents].tolist(), floats[shared].tolist(), flags[true].tolist())

        return read

    def _places(self, x: Tensor) -> np.ndarray:
        """Where in its array every number of a tensor lies."""
        block = self._flags if x.dtype is torch.bool else self._floats
        if x.untyped_storage().data_ptr() != block.untyped_storage().data_ptr():
            raise ValueError(f"a tensor {tuple(x.shape)} that the step does not make cannot be read with its results")
        return torch.arange(block.numel()).as_strided(x.shape, x.stride(), x.storage_offset()).numpy()
