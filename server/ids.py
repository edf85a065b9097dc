"""Ids of recordings and jobs: the time they were made and a random part."""

from __future__ import annotations

import secrets
import time

ID = r"^\d{8}-\d{6}-[0-9a-f]{8}$"


def new_id(now: float) -> str:
    """An id that sorts by time (s since 1970 UTC)."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)) + "-" + secrets.token_hex(4)
