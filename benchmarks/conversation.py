"""A process that is asked and answers in JSON lines; its side of it is `peers/protocol.py`."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Conversation:
    """A process from its first answer on, `opening`.

    Args:
        command: to run; environment: its variables; prepare: called in it before the command.

    Raises:
        RuntimeError: it ended instead, with its last words.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], prepare: Callable[[], None] | None = None
    ):
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (its stderr, kept as long; a pipe nobody reads fills up)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, env=environment,
            preexec_fn=prepare,
        )  # fmt: skip
        self.opening = self._answer()

    def ask(self, question: Any) -> Any:
        """Its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Close its input, on which it ends by itself, or is killed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        if line := self.process.stdout.readline():
            return json.loads(line)
        code = self.process.wait()
        self._said.seek(0)
        lines = self._said.read().strip().splitlines()
        raise RuntimeError(f"its process ended with code {code}: {lines[-1] if lines else 'no message'}")
