"""`python -m server.jobs.worker`: the process of one job.

Reads one line of JSON from standard input, tells progress and the result as lines of JSON on standard output, and ends
when standard input closes, which it does when the server ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads must not take the live run's cores
TELL_S = 0.1


class Teller:
    """Says how far the job is, not too often."""

    def __init__(self, out: BinaryIO):
        self._out, self._said = out, 0.0

    def progress(self, part: float, message: str) -> None:
        """Part done, 0 to 1, and what it is at."""
        now = time.monotonic()
        if now - self._said >= TELL_S:
            self._said = now
            self.say({"progress": round(min(max(part, 0.0), 1.0), 4), "message": message})

    def say(self, what: dict[str, Any]) -> None:
        """One line."""
        import orjson

        self._out.write(orjson.dumps(what, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))
        self._out.flush()


def main() -> int:
    """Do the job; returns the exit code."""
    # Libraries may print: their words go to standard error, the lines to where standard output was.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    threading.Thread(target=_end_with_server, daemon=True).start()
    with contextlib.suppress(AttributeError, OSError):
        os.nice(10)
    teller = Teller(out)
    try:
        import orjson

        request = orjson.loads(line)
        teller.say({"result": _work(request["kind"])(request["work"], teller.progress)})
    except Exception as error:
        teller.say({"error": _told(error)})
    return 0


def _work(kind: str) -> Callable[[dict[str, Any], Callable[[float, str], None]], dict[str, Any]]:
    if kind == "comparison":
        from server.comparisons.compare import compare

        return compare
    from server.comparisons.scalability import measure

    return measure


def _told(error: Exception) -> dict[str, Any]:
    """What a client may know of an error."""
    from server.errors import ApiError, as_api_error
    from smartgrid_core.errors import UserError

    if not isinstance(error, ApiError | UserError):
        traceback.print_exception(error)
    api = as_api_error(error)
    return {"code": api.code, "message": api.message, "field": api.field}


def _end_with_server() -> None:
    while os.read(0, 4096):  # not sys.stdin, whose lock a thread must not hold when Python ends
        pass
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
