"""A file that one process at a time holds; the system lets it go when that process dies, however it dies."""

from __future__ import annotations

import os
import time
from pathlib import Path

ATTEMPTS = 5  # to take a lock, within 20 ms


class FileLock:
    """An advisory lock on a file; where the system has none (no fcntl), it always succeeds."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False where another process, or another lock of this one, holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(ATTEMPTS):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            if _locked(descriptor, shared=False):
                self._descriptor = descriptor
                return True
            os.close(descriptor)
            if attempt + 1 < ATTEMPTS:  # somebody may only be looking
                time.sleep(0.005)
        return False

    def is_held(self) -> bool:
        """Whether somebody holds it. To look is to share it for an instant, so that many may look at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            return not _locked(descriptor, shared=True)
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Let it go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int, shared: bool) -> bool:
    """Whether the lock was to be had; where the system has none, it always is."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
