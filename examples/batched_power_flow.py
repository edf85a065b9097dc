"""AC power flow of 4096 evenings on one street, and the gradient of its losses: the power flow used alone."""

import time

import torch

from smartgrid_core.power_flow import Feeder, PowerFlow

feeder = Feeder.radial(buses=33)  # or .simbench("1-LV-rural1--0-sw"), .from_pandapower(net), .from_csv("street.csv")
print(feeder)

torch.manual_seed(0)
grids = 4096
p_kw = 3.0 * torch.rand(grids, feeder.num_buses) - 0.5  # consumption; negative where the sun is still shining
p_kw.requires_grad_()
flow = PowerFlow(feeder)
flow(p_kw, 0.3 * p_kw)  # warm-up

start = time.perf_counter()
result = flow(p_kw, 0.3 * p_kw)
seconds = time.perf_counter() - start
result.loss_kw.sum().backward()

worst = int(result.voltage_pu.amin(0).argmin())
busiest = int(result.loading.amax(0).argmax())
assert p_kw.grad is not None
dearest = int(p_kw.grad.mean(0).argmax())
print(f"{grids} power flows in {seconds * 1e3:.1f} ms, {int(result.converged.sum())} converged")
print(f"lowest voltage   {result.voltage_pu.min():.4f} p.u. at bus {feeder.bus_names[worst]}")
print(f"highest loading  {result.loading.max():.1%} in {feeder.branch_names[busiest]}")
print(f"mean losses      {result.loss_kw.mean():.3f} kW of {result.slack_kw.mean():.1f} kW drawn")
print(f"one kW more costs most losses at {feeder.bus_names[dearest]}: {p_kw.grad[:, dearest].mean():.3f} kW")

# The same street cut from the medium-voltage grid, and with its last cable out of service.
island = flow(p_kw, 0.3 * p_kw, islanded=torch.ones(grids, dtype=torch.bool))
cable_out = torch.zeros(grids, feeder.num_branches, dtype=torch.bool)
cable_out[:, -1] = True
outage = flow(p_kw, 0.3 * p_kw, branch_open=cable_out)
print(f"islanded: {island.slack_kw.mean():.1f} kW; without {feeder.branch_names[-1]}: {outage.slack_kw.mean():.1f} kW")
