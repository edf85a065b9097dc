"""How long the parts of an iteration take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Seconds in named parts, which may nest; the device is never waited for inside one.

    On a CPU by `clock`. On a GPU by events among its work, read all at once in `take`: a part is what the GPU did
    for it, not how long it took to ask.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.clock = time.perf_counter
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count what is inside towards `part`."""
        if self.device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record(torch.cuda.current_stream(self.device))
            yield
            end.record(torch.cuda.current_stream(self.device))
            self.events.append((part, start, end))
        else:
            start_s = self.clock()
            yield
            self.seconds[part] += self.clock() - start_s

    def take(self) -> dict[str, float]:
        """Seconds by part since they were last taken; waits for the GPU."""
        if self.events:
            torch.cuda.synchronize(self.device)
            for part, start, end in self.events:
                self.seconds[part] += start.elapsed_time(end) / 1000
            self.events.clear()
        taken = dict(self.seconds)
        self.seconds.clear()
        return taken
