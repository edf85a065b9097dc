"""`python -m server.training.process LOCK train …`: the trainer's command line as a child of the server.

Holds LOCK while it lives, so that one training runs at a time whichever server started it. When standard input closes,
which it does when the server ends, however it ends, the training saves and ends as by Ctrl-C; a detached one gets no
standard input from the server and goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: as in `trainer`
SAVING_S = 20.0
DETACHED = "--detached"
TAKEN = 4  # exit code


def main(arguments: list[str]) -> int:
    """Train; returns the exit code."""
    from server.locks import FileLock

    detached = arguments[0] == DETACHED
    lock, *command = arguments[1:] if detached else arguments
    held = FileLock(Path(lock))
    attempts = 20
    while not held.acquire():  # a server that looks whether a training runs holds it for a moment
        attempts -= 1
        if attempts == 0:
            print("error: another training runs already")
            return TAKEN
        time.sleep(0.1)
    exit_file(held.path).unlink(missing_ok=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job may ignore it
    if not detached:
        threading.Thread(target=_end_with_server, daemon=True).start()
    with contextlib.suppress(AttributeError, OSError):
        os.nice(5)  # the live community comes first
    code = 1
    try:
        from trainer.__main__ import main as train

        code = train(command)
    except KeyboardInterrupt:  # before or after the run itself, which saves and returns 130
        code = 130
    finally:
        exit_file(held.path).write_text(json.dumps({"exit_code": code, "ended": time.time()}), encoding="utf-8")
    return code


def exit_file(lock: Path) -> Path:
    """Where the process leaves its exit code, for a server that was not its parent."""
    return lock.with_suffix(".exit")


def _end_with_server() -> None:
    while os.read(0, 4096):  # not sys.stdin, whose lock a thread must not hold when Python ends
        pass
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(SAVING_S)
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
