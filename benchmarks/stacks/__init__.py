"""Stacks that train one policy per prosumer of community-5 by independent PPO: our loop and the usual ones.

"Equal settings" are those of `EQUAL`, for all: as many steps between updates, epochs and minibatches, networks of the
same shape and activation, actions for one step, the environment compiled, its rewards shaped. RLlib takes no batched
environment: it steps one community through `parallel_env`, which is its default, or 32 copies of it, one after the
other, whose decisions it makes together. What else makes a learner better and not the loop faster stays each one's own:
ours takes the units of its inputs from data and credits linked neighbours, the loop in CleanRL's manner keeps running
scales, the libraries are as they come. So a time to a score compares stacks as they are used, and only the steps a
second compare equal work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.stacks.cleanrl_loop import cleanrl
from benchmarks.stacks.elsewhere import benchmarl, rllib
from benchmarks.stacks.own import equal_config, ours
from benchmarks.stacks.stack import EQUAL, SCENARIO, Equal, Stack
from benchmarks.stacks.torchrl_ippo import torchrl
from trainer.config import load_train_config

__all__ = ["EQUAL", "SCENARIO", "Equal", "Stack", "equal_config", "stacks"]


def stacks(threads: int, device: str) -> dict[str, Callable[[], Stack]]:
    """Builders by name: ours, then the peers.

    Those of RLlib and BenchMARL raise ModuleNotFoundError where these are not installed.
    """
    default, equal = load_train_config(device, {"threads": threads}), equal_config(device)
    shac = load_train_config(device, {"threads": threads, "algorithm": "shac"})
    return {
        "own loop, default settings": partial(ours, default),
        "own loop, SHAC": partial(ours, shac),
        "own loop, equal settings": partial(ours, equal),
        "TorchRL Collector + IPPOLoss, equal settings": partial(torchrl, device),
        "BenchMARL IPPO, equal settings": partial(benchmarl, threads),
        "CleanRL-style loop, equal settings": partial(cleanrl, device),
        "RLlib PPO on parallel_env, equal settings": partial(rllib, threads),
        f"RLlib PPO on {EQUAL.grids} copies of it, equal settings": partial(rllib, threads, copies=EQUAL.grids),
    }
