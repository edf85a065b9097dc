"""Long work in the background: comparisons and scalability, one at a time, each in a process of its own."""

from server.jobs.queue import JobQueue
from server.jobs.store import JobStore

__all__ = ["JobQueue", "JobStore"]
