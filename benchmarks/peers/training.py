"""What a training peer's process is asked and answers, beside `protocol`.

{"iterate": progress} is answered by the env-steps taken and the CPU time of all iterations so far, building and
deciding left out; {"decide": obs, "shape": …} by actions. Arrays are base64 of float32.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from protocol import answer


def decided(asked: dict[str, Any], decide: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Answer by actions [B, N, A] for observations [B, N, O]."""
    obs = torch.frombuffer(bytearray(base64.b64decode(asked["decide"])), dtype=torch.float32)
    with torch.no_grad():
        action = decide(obs.view(asked["shape"])).contiguous()
    answer({"action": base64.b64encode(action.numpy().tobytes()).decode()})


def serve(iterate: Callable[[], int], decide: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Answer until standard input ends; `iterate` returns the env-steps it took."""
    cpu_s = 0.0
    for line in sys.stdin:
        asked = json.loads(line)
        if "iterate" not in asked:
            decided(asked, decide)
            continue
        begun = time.process_time()
        steps = iterate()
        cpu_s += time.process_time() - begun
        answer({"steps": steps, "cpu_s": cpu_s})
