"""A generated feeder as a pandapower network, in whatever interpreter has pandapower.

Given as arrays: vn_kv [n], slack, v0_pu; of the lines from_bus, to_bus, r_ohm, x_ohm, max_i_ka; transformer: the
numbers of `TRANSFORMER`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRANSFORMER = (
    "hv_bus", "lv_bus", "sn_mva", "vn_hv_kv", "vn_lv_kv", "vkr_percent", "vk_percent", "pfe_kw", "i0_percent",
)  # fmt: skip


def network(feeder: Mapping[str, Any]) -> Any:
    """The network, with a load at every bus but the slack, in their order."""
    import pandapower as pp  # pyright: ignore[reportMissingImports]

    net, slack = pp.create_empty_network(), int(feeder["slack"])
    for vn_kv in feeder["vn_kv"]:
        pp.create_bus(net, float(vn_kv))
    pp.create_ext_grid(net, slack, vm_pu=float(feeder["v0_pu"]))
    values = dict(zip(TRANSFORMER, feeder["transformer"].tolist(), strict=True))
    buses = {name: int(values.pop(name)) for name in ("hv_bus", "lv_bus")}
    pp.create_transformer_from_parameters(net, **buses, **values, tap_pos=0, tap_neutral=0)
    fields = ("from_bus", "to_bus", "r_ohm", "x_ohm", "max_i_ka")
    for a, b, r, x, rating in zip(*(feeder[name].tolist() for name in fields), strict=True):
        pp.create_line_from_parameters(net, a, b, 1.0, r_ohm_per_km=r, x_ohm_per_km=x, c_nf_per_km=0.0, max_i_ka=rating)
    for bus in range(len(feeder["vn_kv"])):
        if bus != slack:
            pp.create_load(net, bus, p_mw=0.0, q_mvar=0.0)
    return net
