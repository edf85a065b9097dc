"""The yardstick in JAX: our own step for one community, `vmap` over all of them, `jit`, on one thread.

Arguments: a file of `benchmarks.yardstick.world.save` (sizes, constants, the state to begin with); with a second file,
of actions [T, B, N, K + 1], the results of those T steps are written to a third instead of measuring.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(Path(__file__).parent))

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import numpy as np  # pyright: ignore[reportMissingImports]
from protocol import serve, versions

LIMIT, EPSILON, SQUARE_EPSILON = 10.0, 1e-6, 1e-12
SCALARS = ("step_h", "band", "penalty", "lost_load", "price_scale", "price_level", "reactive", "v_floor", "tolerance",
           "v0", "demand_jitter", "generation_jitter")  # fmt: skip
COUNTS = ("episode_steps", "length", "stride", "starts", "demand_pool", "generation_pool")
START, DEMAND_COLUMN, GENERATION_COLUMN, INITIAL_SOC, DRAWN_DEMAND_JITTER, DRAWN_GENERATION_JITTER = range(2, 8)
Values = dict[str, Any]


def load(path: str) -> tuple[dict[str, int], Values, Values]:
    """Sizes, constants, state; communities are the first dimension of the state."""
    content = dict(np.load(path))

    def part(prefix: str) -> Values:
        return {name.removeprefix(prefix): x for name, x in content.items() if name.startswith(prefix)}

    world = part("world.")
    world["number"] = dict(zip(SCALARS, map(float, world["scalars"]), strict=True))
    world["count"] = dict(zip(COUNTS, map(int, world["counts"]), strict=True))
    state = {name: np.ascontiguousarray(x.T) for name, x in part("state.").items()}
    return {name: int(x) for name, x in part("size.").items()}, world, state


def positive(x: Any) -> Any:
    return jnp.maximum(x, 0.0)


def mix(h: Any) -> Any:
    h = (h ^ (h >> 16)) * jnp.uint32(0x7FEB352D)
    h = (h ^ (h >> 15)) * jnp.uint32(0x846CA68B)
    return h ^ (h >> 16)


def combine(key: Any, counter: Any) -> Any:
    return mix(key ^ (jnp.uint32(counter) * jnp.uint32(0x9E3779B9)))


def uniform(key: Any, stream: int, rows: Any) -> Any:
    h = combine(key, jnp.uint32(rows) + jnp.uint32(stream << 20))
    return (h >> 8).astype(jnp.float32) * (1.0 / (1 << 24))


def whole(u: Any, bound: int) -> Any:
    return jnp.minimum((u * bound).astype(jnp.int32), bound - 1)


def begin(w: Values, agents: int, key: Any, episode: Any) -> Values:
    """What a new episode draws."""
    n, c, i = w["number"], w["count"], jnp.arange(agents)
    key = combine(jax.lax.bitcast_convert_type(key, jnp.uint32), episode)
    fill = w["soc_low"] + uniform(key, INITIAL_SOC, i) * (w["soc_high"] - w["soc_low"])
    demand_row = whole(uniform(key, DEMAND_COLUMN, w["group"]), c["demand_pool"])
    generation_row = whole(uniform(key, GENERATION_COLUMN, 0), c["generation_pool"])
    jitter = n["demand_jitter"] * (2 * uniform(key, DRAWN_DEMAND_JITTER, i) - 1)
    sun = n["generation_jitter"] * (2 * uniform(key, DRAWN_GENERATION_JITTER, i) - 1)
    return {
        "soc": fill * w["capacity"], "row": w["starts"][whole(uniform(key, START, 0), c["starts"])],
        "demand_column": w["demand_pool"][demand_row, i],
        "generation_column": w["generation_pool"][generation_row, i],
        "demand_factor": w["demand_scale"] * (1 + jitter), "generation_factor": w["generation_scale"] * (1 + sun),
    }  # fmt: skip


def power_flow(w: Values, size: dict[str, int], p: Any, q: Any) -> tuple[Any, Any, Any]:
    """All outputs, real and imaginary, and the residual."""
    floor = w["number"]["v_floor"] ** 2

    def currents(re: Any, im: Any) -> tuple[Any, Any]:
        per = 1 / jnp.maximum(re * re + im * im, floor)
        a, b = p * per, q * per
        return a * re + b * im, a * im - b * re

    re, im = jnp.asarray(w["w_re"]), jnp.asarray(w["w_im"])
    for _ in range(size["ITERATIONS"]):
        ir, ii = currents(re, im)
        re = w["w_re"] - w["z_re"] @ ir + w["z_im"] @ ii
        im = w["w_im"] - w["z_re"] @ ii - w["z_im"] @ ir
    ir, ii = currents(re, im)
    out_re = w["w_out_re"] - w["z_out_re"] @ ir + w["z_out_im"] @ ii
    out_im = w["w_out_im"] - w["z_out_re"] @ ii - w["z_out_im"] @ ir
    bus = w["bus"]
    return out_re, out_im, jnp.maximum(abs(out_re[bus] - re).max(), abs(out_im[bus] - im).max())


def observe(w: Values, size: dict[str, int], s: Values) -> tuple[Values, Any]:
    """The state with the values of its time, and observations [O, N]."""
    n, c = w["number"], w["count"]
    row = jnp.minimum(s["row"], c["length"] - 1)
    demand = w["demand_rows"][s["demand_column"] * c["stride"] + row].T * s["demand_factor"]  # [1 + W, N]
    generation = w["generation_rows"][s["generation_column"] * c["stride"] + row].T * s["generation_factor"]
    time = w["time_rows"][row]
    prices = time[: 2 + 2 * size["W"]] * n["price_level"]
    s = s | {"demand": demand[0], "generation": generation[0], "import_price": prices[0], "export_price": prices[1],
             "co2": time[-1]}  # fmt: skip
    trade = jnp.maximum(w["trade"], 1.0)
    fill, net = s["soc"] / jnp.maximum(w["capacity"], 1e-6), generation - demand

    def shared(x: Any) -> Any:
        return jnp.broadcast_to(jnp.reshape(x, (-1, 1)), (jnp.size(x), size["N"]))

    def bounded(x: Any) -> Any:
        return jnp.clip(x, -LIMIT, LIMIT)

    def neighbours(x: Any) -> Any:
        return jnp.where(w["used"] != 0, x[w["neighbour"]], 0.0)

    one = jnp.ones((1, size["N"]))
    obs = jnp.concatenate([
        fill[None], bounded(demand[:1] / trade), bounded(generation[:1] / trade), s["stability"] * one, one, one,
        shared(bounded(prices / n["price_scale"])), shared(time[-5:-1]),
        bounded((s["voltage"] - 1) / n["band"])[None], neighbours(fill), neighbours(bounded(net[0] / trade)),
        bounded(net[1:] / trade), shared(bounded(net[1:].sum(1) / trade.sum())),
    ])  # fmt: skip
    return s, obs


def step(w: Values, size: dict[str, int], s: Values, action: Any) -> tuple[Values, Values]:
    """One step of one community; action [N, K + 1]."""
    n, h, agents, slots = w["number"], w["number"]["step_h"], size["N"], size["K"]
    finite = jnp.isfinite(action)
    a = jnp.where(finite, action, 0.0)
    clamped, nonfinite = (abs(a) > 1).sum(dtype=jnp.int32), (~finite).sum(dtype=jnp.int32)
    a = jnp.clip(a, -1.0, 1.0).T
    wish = a[:slots] * w["link"]
    theirs = wish.reshape(-1)[w["partner"].reshape(-1)].reshape(wish.shape)
    flow = jnp.minimum(positive(wish), positive(-theirs)) - jnp.minimum(positive(-wish), positive(theirs))
    demand, generation, soc = s["demand"], s["generation"], s["soc"]
    room = positive(w["soc_max"] - soc) / (w["charge_efficiency"] * h)
    content = positive(soc - w["soc_min"]) * w["discharge_efficiency"] / h
    chargeable, dischargeable = jnp.minimum(room, w["charge"]), jnp.minimum(content, w["discharge"])
    net = flow.sum(0)
    residual = generation - demand + net
    battery = jnp.clip(
        jnp.clip(residual, -dischargeable, chargeable) + a[slots] * w["shift"], -dischargeable, chargeable
    )
    order = jnp.clip(battery - residual, -w["trade"], w["trade"])
    wanted = residual + order
    charge, discharge = jnp.minimum(positive(wanted), chargeable), jnp.minimum(positive(-wanted), dischargeable)
    imbalance = wanted - (charge - discharge)
    soc = soc + (charge * w["charge_efficiency"] - discharge / w["discharge_efficiency"]) * h
    soc = jnp.clip(soc, w["soc_min"], w["soc_max"])
    injection = imbalance - order - net

    nodes, series = size["NODES"], size["SERIES"]
    re, im, difference = power_flow(w, size, -injection, demand * n["reactive"])
    square = re[: nodes + series] ** 2 + im[: nodes + series] ** 2
    voltage = jnp.sqrt(square[: size["BUSES"]] + SQUARE_EPSILON)
    amp = jnp.sqrt(square[nodes:] + SQUARE_EPSILON) * w["per_rating"]
    loading = jnp.maximum(amp[w["first_row"]], amp[w["second_row"]])
    converged = (difference < n["tolerance"]) & (voltage.min() > n["v_floor"])
    flowing, loss = abs(injection).sum(), (w["loss_weight"] * square).sum()
    loss = jnp.where(converged, loss, jnp.minimum(loss, flowing))

    fill = soc / w["capacity"]
    parts = jnp.stack([
        (1 - jnp.clip(abs(voltage - 1) / n["band"], 0, 1).mean()) * converged,
        (1 - jnp.clip((loading.max() - 0.8) / 0.4, 0, 1)) * converged,
        1 - jnp.clip(abs(imbalance).sum() / (demand.sum() + generation.sum() + EPSILON), 0, 1),
        jnp.clip(jnp.minimum(fill, 1 - fill) / 0.1, 0, 1).mean(),
    ])  # fmt: skip
    stability = jnp.minimum((w["stability_weights"] * parts).sum(), 1.0)

    imports, exports = s["import_price"], s["export_price"]
    value = positive(imports)
    share = loss * jnp.where(flowing > 0, abs(injection) / jnp.where(flowing > 0, flowing, 1.0), 1 / agents)
    dear, cheap = jnp.maximum(imports, exports) + n["penalty"], jnp.minimum(imports, exports) - n["penalty"]
    transfer = net * (0.5 * (imports + exports))
    cost = positive(order) * imports - positive(-order) * exports
    cost = (cost + positive(-imbalance) * dear - positive(imbalance) * cheap + transfer + share * value) * h
    conversion = charge * (1 - w["charge_efficiency"]) + discharge * (1 / w["discharge_efficiency"] - 1)
    efficiency = -(share + conversion) * value * h
    bought = positive(order) + positive(-imbalance)
    helped = jnp.minimum(positive(net), positive(demand - generation - dischargeable)).sum()
    given = positive(positive(-net) - bought)
    total = given.sum()
    part = jnp.clip((helped - (positive(-net).sum() - total)) / jnp.where(total > 0, total, 1.0), 0, 1)
    cooperation = given * jnp.where(total > 0, part, 0.0) * value * h
    weights, leaning = w["reward_weights"], jnp.broadcast_to(stability - 1, (agents,))
    reward = weights[0] * leaning + weights[1] * efficiency - weights[2] * cost + weights[3] * cooperation

    over = s["step"] + 1 >= w["count"]["episode_steps"]
    fresh = begin(w, agents, s["key"], s["episode"] + 1)
    moved = s | {"soc": soc, "stability": stability, "voltage": voltage[w["bus"]], "row": s["row"] + 1}
    moved |= {name: jnp.where(over, x, moved[name]) for name, x in fresh.items()}
    moved |= {name: jnp.where(over, 1.0, moved[name]) for name in ("stability", "voltage")}
    moved |= {"step": jnp.where(over, 0, s["step"] + 1), "episode": s["episode"] + over.astype(jnp.int32),
              "clamped": s["clamped"] + clamped, "nonfinite": s["nonfinite"] + nonfinite}  # fmt: skip
    moved, obs = observe(w, size, moved)
    return moved, {
        "obs": obs, "reward": reward, "truncated": over, "reward_stability": leaning, "efficiency": efficiency,
        "minus_cost": -cost, "cooperation": cooperation, "bought": bought,
        "sold": positive(-order) + positive(imbalance), "received": positive(flow).sum(0),
        "sent": positive(-flow).sum(0), "charge": charge, "discharge": discharge, "transfers": flow,
        "imbalance": imbalance, "soc": soc, "cost": cost, "transfer_cost": transfer * h, "loss_share": share,
        "stability": stability, "parts": parts, "voltage": voltage, "loading": loading, "loss": loss,
        "slack": n["v0"] * re[nodes + series], "converged": converged,
    }  # fmt: skip


def compiled(world: Values, size: dict[str, int]) -> Any:
    """All communities, the first dimension of everything: XLA makes that almost twice as fast as the last.

    Small constants are part of the program, the tables of profiles are not.
    """
    tables = {name: jnp.asarray(world.pop(name)) for name in ("demand_rows", "generation_rows", "time_rows")}
    constants = {name: jnp.asarray(x) if isinstance(x, np.ndarray) else x for name, x in world.items()}

    def one(tables: Values, s: Values, action: Any) -> tuple[Values, Values]:
        return step(constants | tables, size, s, action)

    return partial(jax.jit(jax.vmap(one, in_axes=(None, 0, 0)), donate_argnums=1), tables)


def main(path: str) -> None:
    """Step with random actions drawn beforehand; episodes end at different times and begin anew within the step."""
    size, world, state = load(path)
    advance, grids = compiled(world, size), len(state["step"])
    state = jax.device_put(state)
    drawn = [
        jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (grids, size["N"], size["K"] + 1)).astype(np.float32))
        for seed in range(16)
    ]
    calls = 0

    def once() -> None:
        nonlocal state, calls
        state, results = advance(state, drawn[calls % 16])
        jax.block_until_ready(results)
        calls += 1

    about = {"agents": size["N"], "num_grids": grids, "versions": versions("jax"),
             "models": "the same step, all its results, compiled by XLA"}  # fmt: skip
    serve(about, once)


def check(path: str, actions: str, out: str) -> None:
    """Take the steps of a file of actions and write the results, [T, B, …], and the last state."""
    size, world, state = load(path)
    advance, found = compiled(world, size), []
    for action in np.load(actions)["actions"]:
        state, results = advance(state, action)
        found.append({name: np.asarray(x) for name, x in results.items()})
    content: Values = {name: np.stack([results[name] for results in found]) for name in found[0]}
    content |= {f"state.{name}": np.asarray(x) for name, x in state.items()}
    np.savez(out, **content)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 2 else check(*sys.argv[1:])
