"""A thread that takes steps as they fall due, and does jobs for others between two of them."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """The thread of a simulation.

    Args:
        wait_s: seconds until the next step is due; None: none is.
        step: takes it.
        threads: of torch, for what the thread computes.
    """

    def __init__(self, wait_s: Callable[[], float | None], step: Callable[[], None], threads: int):
        self._wait_s, self._step, self._threads = wait_s, step, threads
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="simulation", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def close(self) -> None:
        """End the thread; what was put before is done."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    @property
    def alive(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def put(self, job: Callable[[], None]) -> None:
        """Do something between two steps, and tell nobody. It must not fail. From any thread."""
        self._jobs.put(job)

    async def submit(self, job: Callable[[], T]) -> T:
        """Do something between two steps; returns and raises what it does."""
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except BaseException as error:
                    future.set_exception(error)

        self._jobs.put(work)
        return await asyncio.wrap_future(future)

    def _loop(self) -> None:
        import torch

        torch.set_num_threads(self._threads)
        while True:
            wait = self._wait_s()
            try:
                job = self._jobs.get(timeout=wait) if wait is None or wait > 0 else self._jobs.get_nowait()
            except queue.Empty:
                self._step()
                continue
            if job is None:
                return
            job()
            if self._wait_s() == 0:  # a flood of jobs must not stop the clock
                self._step()
