"""A generated low-voltage feeder: medium-voltage bus, transformer, busbar, and laterals of equal sections.

Defaults are a European street: cable NAYY 4×150 mm² (DIN VDE 0276-603; r, x and ampacity as the type "NAYY
4x150SE 0.6/1kV" of SimBench, Meinecke et al. 2020, doi:10.3390/en13123290) in sections of 40 m, and the
smallest standard transformer that gives each bus 10 kVA, with the no-load and load losses of regulation (EU)
No 548/2014, Annex I, table I.1 (tier 1) and the short-circuit voltage of EN 50588-1 (4 % to 630 kVA, 6 %
above).
"""

from __future__ import annotations

import math

from .feeder import LINE, TRANSFORMER, Feeder, FeederError
from .topology import Branch, Bus, assemble

KVA_PER_BUS = 10.0
S_BASE_KVA = 100.0

# kVA: (no-load loss W, load loss W)
STANDARD_TRANSFORMERS = {
    100.0: (145.0, 1750.0),
    160.0: (210.0, 2350.0),
    250.0: (300.0, 3250.0),
    400.0: (430.0, 4600.0),
    630.0: (600.0, 6500.0),
    1000.0: (770.0, 10500.0),
    1600.0: (1200.0, 14000.0),
}


def radial_feeder(
    buses: int = 15,
    *,
    laterals: int | None = None,
    section_m: float = 40.0,
    r_ohm_per_km: float = 0.2067,
    x_ohm_per_km: float = 0.0804,
    c_nf_per_km: float = 0.0,
    ampacity_a: float = 270.0,
    transformer_kva: float | None = None,
    vk_percent: float | None = None,
    vkr_percent: float | None = None,
    no_load_kw: float | None = None,
    no_load_current_percent: float = 0.3,
    v0_pu: float = 1.0,
    mv_kv: float = 20.0,
    lv_kv: float = 0.4,
) -> Feeder:
    """Bus 0 is the medium-voltage slack, bus 1 the low-voltage busbar, the others lie along the laterals.

    ``laterals`` defaults to one for every eight buses. ``transformer_kva``, ``vk_percent``, ``vkr_percent``
    and ``no_load_kw`` default to a standard transformer (see the module). The charging of low-voltage cables
    is some milliamperes and left out unless ``c_nf_per_km`` is given. Raises FeederError for sizes that make
    no feeder.
    """
    if buses < 2:
        raise FeederError(f"buses = {buses}; a feeder needs at least 2: the slack and the busbar")
    homes = buses - 2
    if laterals is None:
        laterals = max(1, math.ceil(homes / 8))
    if homes and not 1 <= laterals <= homes:
        raise FeederError(f"laterals = {laterals}, expected 1 to {homes} for {buses} buses")
    for what, value in (
        ("section_m", section_m),
        ("ampacity_a", ampacity_a),
        ("mv_kv", mv_kv),
        ("lv_kv", lv_kv),
    ):
        if not value > 0:
            raise FeederError(f"{what} = {value}, expected > 0")
    transformer = _transformer(
        homes * KVA_PER_BUS, transformer_kva, vk_percent, vkr_percent, no_load_kw, no_load_current_percent
    )
    rows = [Bus("mv", mv_kv, (0.0, 0.0)), Bus("busbar", lv_kv, (0.0, 0.0))]
    branches = [transformer]
    z_base_ohm = lv_kv**2 * 1e3 / S_BASE_KVA
    z = complex(r_ohm_per_km, x_ohm_per_km) * section_m / 1e3 / z_base_ohm
    half_charging = 1j * math.pi * 50.0 * c_nf_per_km * 1e-9 * section_m / 1e3 * z_base_ohm
    rating_kva = math.sqrt(3.0) * lv_kv * ampacity_a
    for lateral in range(laterals if homes else 0):
        near = 1
        angle = 2.0 * math.pi * lateral / laterals
        for section in range(homes // laterals + (lateral < homes % laterals)):
            far = len(rows)
            radius = section_m * (section + 1)
            rows.append(
                Bus(
                    f"lv{lateral + 1}.{section + 1}",
                    lv_kv,
                    (radius * math.cos(angle), radius * math.sin(angle)),
                )
            )
            name = f"line{lateral + 1}.{section + 1}"
            branches.append(Branch(name, LINE, near, far, z, rating_kva, rating_kva, charging_pu=half_charging))
            near = far
    return assemble(f"radial-{buses}", rows, branches, slack=0, v0_pu=v0_pu, s_base_kva=S_BASE_KVA)


def _transformer(
    needed_kva: float,
    kva: float | None,
    vk_percent: float | None,
    vkr_percent: float | None,
    no_load_kw: float | None,
    no_load_current_percent: float,
) -> Branch:
    sizes = list(STANDARD_TRANSFORMERS)
    if kva is None:
        # beyond the largest: as many of them in parallel as one transformer of their sum
        kva = next((s for s in sizes if s >= needed_kva), sizes[-1] * math.ceil(needed_kva / sizes[-1]))
    if not kva > 0:
        raise FeederError(f"transformer_kva = {kva}, expected > 0")
    nearest = min(sizes, key=lambda s: abs(math.log(s / kva)))
    standard_no_load_w, standard_load_w = STANDARD_TRANSFORMERS[nearest]
    vk = vk_percent if vk_percent is not None else (4.0 if kva <= 630.0 else 6.0)
    vkr = vkr_percent if vkr_percent is not None else standard_load_w / 1e3 / nearest * 100.0
    core_kw = no_load_kw if no_load_kw is not None else standard_no_load_w / 1e3 * kva / nearest
    return transformer_branch("transformer", 0, 1, kva, vk, vkr, core_kw, no_load_current_percent, S_BASE_KVA)


def transformer_branch(
    name: str,
    from_bus: int,
    to_bus: int,
    sn_kva: float,
    vk_percent: float,
    vkr_percent: float,
    no_load_kw: float,
    no_load_current_percent: float,
    s_base_kva: float,
) -> Branch:
    """A two-winding transformer at nominal ratio from its name plate (vk: short-circuit test, EN 60076-1)."""
    if not 0 <= vkr_percent <= vk_percent:
        raise FeederError(f"transformer {name!r}: vkr_percent = {vkr_percent}, expected 0 to {vk_percent} (vk_percent)")
    per_base = s_base_kva / sn_kva / 100.0
    z = complex(vkr_percent, math.sqrt(vk_percent**2 - vkr_percent**2)) * per_base
    core_kva = no_load_current_percent / 100.0 * sn_kva
    magnetising = complex(no_load_kw, -math.sqrt(max(core_kva**2 - no_load_kw**2, 0.0))) / s_base_kva
    return Branch(name, TRANSFORMER, from_bus, to_bus, z, sn_kva, sn_kva, magnetising_pu=magnetising)
