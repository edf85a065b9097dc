"""The compiled step of one grid in memory of its own, for adapters that want numbers.

A step of `Simulator` takes and hands out some forty tensors each; for one grid they are most of its time. Here two sets
of results take turns, each the state before the other, and arguments and results lie where they lay before: a step is
one call, and what it did is read out of one array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from smartgrid_core.compiled import collected
from smartgrid_core.fused.kernel import Fused
from smartgrid_core.outcome import unfold
from smartgrid_core.prefetch import Window
from smartgrid_core.simulator import Simulator
from smartgrid_core.types import Params, State, StepResult

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

    A copy goes on from where this one is, in memory of its own.

    Args:
        simulator: of one grid on a CPU, without auto-reset.
        choose: what is wanted of every step, among what the compiled step makes.
    """

    def __init__(self, simulator: Simulator, choose: Choice):
        self._simulator, self._choose = simulator, choose
        self._action = np.zeros((simulator.action_dim, simulator.num_agents, 1), dtype=np.float32)
        self._memory: _Memory | None = None
        self._params: Params | None = None
        self._states: list[State] = []
        self._results: list[StepResult] = []
        self._now = 1  # of the two, the one that holds what the last step made

    def __getstate__(self) -> tuple[Any, ...]:
        alone = [pytree.tree_map_only(Tensor, Tensor.clone, x[self._now]) for x in (self._states, self._results) if x]
        return self._simulator, self._choose, alone

    def __setstate__(self, given: tuple[Any, ...]) -> None:
        simulator, choose, alone = given
        InPlace.__init__(self, simulator, choose)
        if alone:  # the next step begins from them, as after a change of parameters
            self._states, self._results = ([x, x] for x in alone)

    def begin(self, state: State) -> bool:
        """Go on from this state; False where that cannot be in place, and `Simulator.step` is to be used."""
        found = self._simulator.one_pass(state, torch.from_numpy(self._action))
        if found is None:
            return False
        memory = self._memory
        if memory is None or memory.fused is not found.fused:
            memory = _Memory(found.fused)
        states = [state._replace(**outcome.moved) for outcome in memory.outcomes]
        params, _, *others = found.arguments
        calls = [
            call
            for s in range(2)
            if (call := found.fused.placed(collected((params, states[1 - s], *others)), memory.tensors[s])) is not None
        ]
        if len(calls) < 2:
            return False
        for name, x in memory.outcomes[1].moved.items():
            x.copy_(getattr(state, name))
        self._memory, self._prefetch, self._states, self._calls = memory, found.prefetch, states, calls
        self._alike = memory.alike
        self._params, self._now, self._before = params, 1, state
        self._results = [unfold(states[1 - s], outcome)[1] for s, outcome in enumerate(memory.outcomes)]
        self._read = [memory.reading(self._choose(*x)) for x in zip(states, self._results, strict=True)]
        self._obs = [result.obs[0].numpy() for result in self._results]
        fixed = len(collected(found.arguments[:3]))  # the others are read from the profiles: elsewhere in every step
        self._changing = [(place, k - fixed) for k, place in calls[0].place.items() if k >= fixed]
        self._window: Window | None = None
        return True

    def _locate(self, window: Window) -> None:
        """Place among the arguments, address of the window's first step and bytes to the next, of all that changes."""
        rows = collected(window.ahead)
        apart = [x.stride(0) * x.element_size() for x in collected(window.ahead.rows)] + [0, 0]
        self._window = window
        self._moving = [(place, rows[k].data_ptr(), apart[k]) for place, k in self._changing]

    def step(self, action: np.ndarray) -> Numbers | None:
        """Take a step; action [N, A]. None, and nothing done, where it can no longer be in place."""
        params = self._simulator.params
        if params is not self._params and not self.begin(self._states[self._now]):
            return None
        self._action[..., 0] = action.T
        s = 1 - self._now
        call, window = self._calls[s], self._prefetch.window(params, self._before)
        if window is not self._window:
            self._locate(window)
        sources, taken = call.sources, window.taken
        for place, address, apart in self._moving:
            sources[place] = address + taken * apart
        call()
        for whole, one in self._alike[s]:
            whole.copy_(one)
        self._now, self._before = s, self._states[s]
        self._prefetch.follow(params, self._before)
        return self._read[s](self._obs[s])

    @property
    def state(self) -> State:
        """As it is now; a copy."""
        return State(*(x.clone() for x in self._states[self._now]))

    @property
    def result(self) -> StepResult:
        """Of the last step; overwritten by the next but one."""
        result = self._results[self._now]
        return result._replace(final=partial(getattr, result, "obs"))


class _Memory:
    """Two sets of a pass's results in one array, and another for those that are true or false."""

    def __init__(self, fused: Fused):
        self.fused, self._taken = fused, 0
        layouts = [result.layout(1) for result in fused.results]
        room = 2 * sum(_room(layout.shape) + _room(layout.public) for layout in layouts)
        with torch.inference_mode(False):  # as it outlives one that may be under way
            self._floats = torch.zeros(room, dtype=torch.float32, device="cpu")
            self._flags = torch.zeros(room, dtype=torch.bool, device="cpu")
            self.tensors = [
                [self._numbers(x.shape, x.dtype).as_strided(x.shape, x.stride).expand(x.public) for x in layouts]
                for _ in range(2)
            ]
            self.outcomes = [fused.nest(tensors) for tensors in self.tensors]
            self.alike = [self._written_out(outcome.moved) for outcome in self.outcomes]

    def _numbers(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """The next of the arrays' memory, as many as a tensor of the shape has."""
        block = self._flags if dtype is torch.bool else self._floats.view(dtype)
        begin, self._taken = self._taken, self._taken + _room(shape)
        return block[begin : begin + math.prod(shape)]

    def _written_out(self, moved: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Give fields of the state whose one row stands for many all their rows, as the next step reads them so.

        Returns:
            those fields, and what is to be copied into each after a step.
        """
        alike = {name: x for name, x in moved.items() if not x.is_contiguous()}
        for name, x in alike.items():
            moved[name] = self._numbers(x.shape, x.dtype).view(x.shape)
        return [(moved[name], x) for name, x in alike.items()]

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
        return torch.arange(block.numel(), device="cpu").as_strided(x.shape, x.stride(), x.storage_offset()).numpy()


def _room(shape: Sequence[int]) -> int:
    """Numbers set aside for a tensor."""
    return -(-max(math.prod(shape), 1) // ALIGNMENT) * ALIGNMENT
