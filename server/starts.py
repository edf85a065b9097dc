"""Which of several starts under way counts: building a community takes seconds, and people do not wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from server.errors import ApiError


@dataclass(frozen=True, eq=False)
class Start:
    """One of them, by its number; autostarted: the server's own, which nobody asked for."""

    number: int
    autostarted: bool


class Starts:
    """The latest start whose names were found counts, unless a stop came after it. Used on the event loop alone."""

    def __init__(self) -> None:
        self._numbers = count()
        self._first = 0  # number of the first start that can still become a run
        self._under_way: list[Start] = []

    @property
    def pending(self) -> Start | None:
        """The latest under way that counts."""
        return next((s for s in reversed(self._under_way) if s.number >= self._first), None)

    @contextmanager
    def under_way(self, autostarted: bool) -> Iterator[Start]:
        """A start from its beginning to its end."""
        start = Start(next(self._numbers), autostarted)
        self._under_way.append(start)
        try:
            yield start
        finally:
            self._under_way.remove(start)

    def accept(self, start: Start) -> None:
        """Its names were found: those before it give way. A wrong name stops nothing that is being started.

        Raises:
            ApiError: 409, it gave way itself.
        """
        self.check(start)
        self._first = start.number

    def check(self, start: Start) -> None:
        """Refuse to go on with one that does not count any more.

        Raises:
            ApiError: 409, a stop or another start came after it.
        """
        if start.number < self._first:
            raise ApiError(409, "conflict", "stopped or replaced before it had begun")

    def stop(self) -> None:
        """Let none that is under way become a run."""
        self._first = next(self._numbers)
