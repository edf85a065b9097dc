"""Feeders: what each constructor makes of its source, and what it says where the source is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import torch

from smartgrid_core.network import place_agents
from smartgrid_core.power_flow import Feeder, FeederError, PowerFlow, csv_reader, simbench_reader
from tests.smartgrid_core.pandapower_reference import network, random_consumption, solve

CSV = """\
kind,from_bus,to_bus,r_ohm,x_ohm,rating_a,sn_kva,vn_from_kv,vn_to_kv,vk_percent,vkr_percent,no_load_kw,length_km
transformer,grid,busbar,,,,160,20,0.4,4,1.46875,0.21,
line,busbar,house 1,0.2067,0.0804,270,,,,,,,0.04
line,house 1,house 2,0.2067,0.0804,270,,,,,,,0.04
,busbar,house 3,0.2067,0.0804,270,,,,,,,0.04
"""


def small_net() -> Any:
    """External grid, tapped transformer, a line, a bus-bus switch, a line on."""
    net = pp.create_empty_network()
    mv = pp.create_bus(net, 10, name="m")
    lv, a, b, c = (pp.create_bus(net, 0.4, name=name) for name in "labc")
    pp.create_ext_grid(net, mv, vm_pu=1.03)
    pp.create_transformer(net, mv, lv, "0.25 MVA 10/0.4 kV", tap_pos=1, name="t")
    pp.create_line(net, a, lv, 0.2, "NAYY 4x150 SE", name="to a")  # written against the current
    pp.create_switch(net, a, b, et="b", name="coupler")
    pp.create_line(net, b, c, 0.1, "NAYY 4x50 SE", name="to c", parallel=2, df=0.8)
    return net


def assert_equals_pandapower(net: Any, seed: int = 0) -> Feeder:
    feeder = Feeder.from_pandapower(net)
    p, q = random_consumption(feeder, 200.0, seed)
    reference = solve(net, p, q)
    result = PowerFlow(feeder, iterations=60, dtype=torch.float64)(torch.tensor(p)[None], torch.tensor(q)[None])
    np.testing.assert_allclose(result.voltage_pu[0].numpy(), reference.voltage_pu, atol=1e-9)
    assert result.slack_kw.item() == pytest.approx(reference.slack_kw, rel=1e-8)
    for e, name in enumerate(feeder.branch_names):
        if feeder.kind[e] != "switch":
            assert result.loading[0, e].item() == pytest.approx(reference.loading[name], abs=1e-4)
    return feeder


def test_radial_has_the_stated_shape() -> None:
    feeder = Feeder.radial(15)
    assert feeder.num_buses == 15
    assert feeder.num_branches == 14
    assert feeder.kind[0] == "transformer"
    assert feeder.slack == 0
    assert feeder.path.shape == (14, 15)
    assert (feeder.path[0, 1:] == 1).all()
    assert feeder.path[:, 0].sum() == 0
    assert feeder.parent_branch[0] == -1
    assert feeder.no_load_loss_kw == pytest.approx(0.21)
    assert feeder.rating_from_kva[0] == 160.0
    assert feeder.xy is not None
    assert "15 buses" in repr(feeder)
    with pytest.raises(ValueError, match="read-only"):
        feeder.r_pu[0] = 1.0


@pytest.mark.parametrize("buses", [2, 3, 6, 33, 129, 400])
def test_radial_of_any_size_is_loaded_within_limits(buses: int) -> None:
    feeder = Feeder.radial(buses)
    p = torch.full((1, buses), 1.5)
    result = PowerFlow(feeder)(p, 0.3 * p)
    assert result.converged.all()
    assert result.voltage_pu.min() > 0.9
    assert result.loading.max() < 1.0


def test_radial_options_and_their_limits() -> None:
    feeder = Feeder.radial(12, laterals=5, transformer_kva=400, vk_percent=6, vkr_percent=1, no_load_kw=1, v0_pu=1.05)
    assert np.hypot(feeder.r_pu[0], feeder.x_pu[0]) == pytest.approx(0.06 * 100 / 400)
    assert (feeder.from_bus == 1).sum() == 5
    assert feeder.v0_pu == 1.05
    for options in ({"buses": 1}, {"laterals": 14}, {"laterals": 0}, {"section_m": 0}, {"ampacity_a": -1}):
        with pytest.raises(FeederError, match=str(next(iter(options)))):
            Feeder.radial(**options)
    with pytest.raises(FeederError, match="vkr_percent = 9"):
        Feeder.radial(vkr_percent=9)


def test_arrays_round_trip_through_a_file(tmp_path: Path) -> None:
    feeder = Feeder.radial(9)
    np.savez(tmp_path / "f.npz", **feeder.to_arrays())  # pyright: ignore[reportArgumentType]
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        again = Feeder.from_arrays(arrays)
    assert again.bus_names == feeder.bus_names
    assert again.kind == feeder.kind
    np.testing.assert_array_equal(again.path, feeder.path)
    np.testing.assert_array_equal(again.r_pu, feeder.r_pu)
    arrays = feeder.to_arrays()
    del arrays["x_pu"]
    with pytest.raises(FeederError, match="lack 'x_pu'"):
        Feeder.from_arrays(arrays)


@pytest.mark.parametrize(
    ("field", "index", "value", "message"),
    [
        ("to_bus", 5, 2, "closes a loop at bus"),
        ("from_bus", 5, 6, "island"),
        ("rating_to_kva", 3, 0.0, "expected a rating > 0"),
        ("r_pu", 3, -1.0, "expected a resistance ≥ 0"),
        ("bus_names", 3, "mv", "'mv' occurs twice"),
        ("slack", None, 99, "no slack bus: index 99"),
        ("kind", 1, "cable", "kind of branch"),
        ("vn_kv", 1, 0.0, "nominal voltage"),
    ],
)
def test_a_wrong_array_is_named(field: str, index: int | None, value: Any, message: str) -> None:
    arrays = {name: np.array(array) for name, array in Feeder.radial(8).to_arrays().items()}
    if index is None:
        arrays[field] = np.array(value)
    else:
        arrays[field][index] = value
    with pytest.raises(FeederError, match=message):
        Feeder.from_arrays(arrays)


def test_pandapower_taps_switches_and_directions() -> None:
    net = small_net()
    feeder = assert_equals_pandapower(net)
    assert feeder.bus_names == ("m", "l", "a", "b", "c")
    assert feeder.branch_names[0] == "t"
    assert feeder.kind.count("switch") == 1
    assert feeder.voltage_scale[1] == pytest.approx(1 / 1.025)
    assert [feeder.bus_names[i] for i in feeder.from_bus[1:3]] == ["l", "b"]
    net.trafo["tap_side"], net.trafo["tap_pos"] = "lv", -2
    assert_equals_pandapower(net)
    net.trafo["tap_changer_type"] = None  # pandapower then ignores the tap
    assert assert_equals_pandapower(net).voltage_scale[1] == pytest.approx(1.0)
    net.trafo["vn_lv_kv"], net.trafo["parallel"], net.trafo["df"] = 0.42, 2, 0.9
    assert_equals_pandapower(net)
    net.switch["z_ohm"] = 0.01
    assert_equals_pandapower(net)


def test_pandapower_elements_out_of_service_or_open_at_one_end() -> None:
    net = small_net()
    spare = pp.create_bus(net, 0.4, name="spare", in_service=False)
    pp.create_line(net, 1, spare, 0.1, "NAYY 4x150 SE", name="dead", in_service=False)
    hanging = pp.create_line(net, 1, 4, 5.0, "NAYY 4x150 SE", name="hanging")
    pp.create_switch(net, 4, hanging, et="l", closed=False)
    idle = pp.create_transformer(net, 0, 3, "0.4 MVA 10/0.4 kV", name="idle", tap_pos=1)
    pp.create_switch(net, 3, idle, et="t", closed=False)
    feeder = Feeder.from_pandapower(net)
    assert feeder.num_buses == 5
    assert "hanging" not in feeder.branch_names
    p, q = random_consumption(feeder, 200.0, 1)
    reference = solve(net, p, q)
    result = PowerFlow(feeder, iterations=60, dtype=torch.float64)(torch.tensor(p)[None], torch.tensor(q)[None])
    np.testing.assert_allclose(result.voltage_pu[0].numpy(), reference.voltage_pu, atol=1e-9)
    assert result.slack_kw.item() == pytest.approx(reference.slack_kw, abs=1e-6)


def test_pandapower_errors_name_the_element() -> None:
    net = small_net()
    extra = pp.create_line(net, 1, 4, 0.1, "NAYY 4x150 SE", name="ring")
    with pytest.raises(FeederError, match=r"'coupler'.*closes a loop"):
        Feeder.from_pandapower(net)
    net.line.loc[extra, "in_service"] = False
    net.switch["closed"] = False
    with pytest.raises(FeederError, match="bus 'b' is not connected"):
        Feeder.from_pandapower(net)
    net.switch["closed"] = True
    net.line.loc[0, "max_i_ka"] = 0.0
    with pytest.raises(FeederError, match=r"'to a'.*rating > 0"):
        Feeder.from_pandapower(net)
    net.line.loc[0, "max_i_ka"] = 0.2
    pp.create_gen(net, 4, 0.01)
    with pytest.raises(FeederError, match="in-service gen"):
        Feeder.from_pandapower(net)
    net.gen["in_service"] = False
    pp.create_ext_grid(net, 4)
    with pytest.raises(FeederError, match="2 slack buses"):
        Feeder.from_pandapower(net)
    net.ext_grid["in_service"] = False
    with pytest.raises(FeederError, match="no slack bus"):
        Feeder.from_pandapower(net)


def test_meshed_case33_is_refused_with_the_tie_lines_closed() -> None:
    net = network("case33bw")
    net.line["in_service"] = True
    with pytest.raises(FeederError, match="closes a loop; the feeder must be radial"):
        Feeder.from_pandapower(net)


def test_prosumers_without_a_wish_stand_behind_the_transformer(tmp_path: Path) -> None:
    """Also where the file begins with the cable that comes to it."""
    path = tmp_path / "street.csv"
    head, rest = CSV.split("\n", 1)
    cable = dict.fromkeys(head.split(","), "") | {"kind": "line", "from_bus": "substation", "to_bus": "grid"}
    cable |= {"r_ohm": "0.1", "x_ohm": "0.1", "rating_a": "200"}
    path.write_text("\n".join((head, ",".join(cable.values()), rest)), encoding="utf-8")
    feeder = Feeder.from_csv(path)
    assert feeder.bus_names[feeder.slack] == "grid"
    placed = [feeder.bus_names[bus] for bus in place_agents(feeder, [None] * 3)]
    assert placed == ["house 1", "house 2", "house 3"]


def test_csv_equals_the_generated_feeder(tmp_path: Path) -> None:
    path = tmp_path / "street.csv"
    path.write_text(CSV, encoding="utf-8")
    feeder = Feeder.from_csv(path, v0_pu=1.01)
    assert feeder.bus_names == ("grid", "busbar", "house 1", "house 2", "house 3")
    assert feeder.bus_names[feeder.slack] == "grid"
    twin = Feeder.radial(5, laterals=2, transformer_kva=160, no_load_current_percent=0, v0_pu=1.01)
    p = torch.full((1, 5), 5.0)
    ours, theirs = PowerFlow(feeder)(p, p), PowerFlow(twin)(p, p)
    torch.testing.assert_close(ours.voltage_pu, theirs.voltage_pu)
    torch.testing.assert_close(ours.loss_kw, theirs.loss_kw)
    plain = tmp_path / "plain.csv"
    plain.write_text("from_bus,to_bus,r_ohm,x_ohm,rating_a\na,b,0.1,0.1,100\nb,c,0.1,0.1,100\n", encoding="utf-8")
    assert Feeder.from_csv(plain, slack="b", vn_kv=0.23).bus_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("house 1,0.2067", "house 1,x", "line 3, column 'r_ohm': 'x'; expected a resistance in Ω ≥ 0"),
        ("0.0804,270,", "0.0804,0,", "line 3, column 'rating_a': '0'; expected a current in A > 0"),
        ("160,20", ",20", "line 2, column 'sn_kva': column missing or empty"),
        ("1.46875", "5", "at most vk_percent = 4"),
        ("house 1,house 2", "house 1,busbar", "closes a loop"),
        ("busbar,house 3", "house 4,house 3", "bus 'house 4' is not connected"),
        ("house 1,house 2", "house 1,house 1", "another bus than from_bus"),
        ("line,busbar,house 1", "cable,busbar,house 1", "line 3, column 'kind': 'cable'"),
        ("busbar,house 1,0.2067", "busbar,,0.2067", "column 'to_bus'"),
        ("busbar,house 1,0.2067", "busbar,house 1,nan", "column 'r_ohm': 'nan'"),
        ("kind,from_bus", "kind,from", "no column 'from_bus'"),
        ("160,20,0.4", "160,0.4,20", "column 'vn_to_kv': '20'; expected at most vn_from_kv: .* swap the two ends"),
        ("160,20,0.4", "160,20,400", "line 2, column 'vn_to_kv': '400'; expected a voltage in kV > 0, at most 150"),
    ],
)  # fmt: skip
def test_csv_errors_say_where(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CSV
    path = tmp_path / "street.csv"
    path.write_text(CSV.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(FeederError, match=message) as error:
        Feeder.from_csv(path)
    if "line" in message:
        assert str(path) in str(error.value)


def test_csv_of_another_kind_or_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "street.csv"
    path.write_text(CSV, encoding="utf-16")
    with pytest.raises(FeederError, match="no CSV file in UTF-8"):
        Feeder.from_csv(path)
    path.write_text(CSV.replace(",", ";"), encoding="utf-8")
    with pytest.raises(FeederError, match="separated by semicolons; separate them by commas"):
        Feeder.from_csv(path)
    path.write_text(CSV, encoding="utf-8")
    monkeypatch.setattr(csv_reader, "MOST_BRANCHES", 2)
    with pytest.raises(FeederError, match="more than 2 branches"):
        Feeder.from_csv(path)


def test_csv_without_branches_or_with_an_unknown_slack(tmp_path: Path) -> None:
    path = tmp_path / "street.csv"
    path.write_text(CSV.splitlines()[0], encoding="utf-8")
    with pytest.raises(FeederError, match="no branches"):
        Feeder.from_csv(path)
    path.write_text(CSV, encoding="utf-8")
    with pytest.raises(FeederError, match="no bus is called 'x'"):
        Feeder.from_csv(path, slack="x")


def test_simbench_is_extracted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(simbench_reader.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    monkeypatch.setattr(simbench_reader, "simbench_net", lambda code: calls.append(code) or small_net())
    first, second = Feeder.simbench("1-LV-x"), Feeder.simbench("1-LV-x")
    assert calls == ["1-LV-x"]
    np.testing.assert_array_equal(first.r_pu, second.r_pu)
    simbench_reader.cache_path("1-LV-x").write_bytes(b"half a file")
    Feeder.simbench("1-LV-x")
    Feeder.simbench("1-LV-x", refresh=True)
    assert len(calls) == 3
    assert [p.name for p in tmp_path.iterdir()] == [simbench_reader.cache_path("1-LV-x").name]
    with pytest.raises(FeederError, match="expected one like"):
        Feeder.simbench("../x")


def test_simbench_rural_has_its_tap_in_effect() -> None:
    feeder = Feeder.simbench("1-LV-rural1--0-sw")
    assert feeder.num_buses == 15
    assert feeder.rating_from_kva[0] == pytest.approx(160.0)
    assert feeder.xy is not None


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simbench", None)
    with pytest.raises(ImportError, match=r"pip install 'smartgrid-marl\[data\]'"):
        simbench_reader.simbench_net("1-LV-rural1--0-sw")


def test_import_is_light() -> None:
    code = (
        "import sys, smartgrid_core.power_flow.solver, smartgrid_core.power_flow.simbench_reader;"
        "sys.exit(any(m in sys.modules for m in ('pandapower', 'simbench', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
