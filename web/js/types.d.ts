/** The wire format (server/wire.py is the reference; GET /api/schema serves it) and the page's own shapes. */
import type { Store } from "./store.js";
import type { GridWebSocket } from "./socket.js";
import type { Api } from "./api.js";
import type { Router } from "./router.js";
import type * as format from "./format.js";

export type AgentStatus =
  "importing" | "exporting" | "charging" | "discharging" | "balanced" | "islanded" | "unserved";
export type RunState = "stopped" | "starting" | "running" | "paused" | "finished";

export interface Agent {
  id: string; name: string; status: AgentStatus;
  energy_level: number; soc_kwh: number; capacity_kwh: number;
  demand_kw: number; generation_kw: number; trade_kw: number; bought_kw: number; sold_kw: number;
  received_kw: number; sent_kw: number; charge_kw: number; discharge_kw: number;
  unserved_kw: number; curtailed_kw: number; voltage_pu: number; reward: number; cost_eur: number;
  /** Not in recordings of before it was there. */
  cost_eur_total?: number;
}
export interface Flow { source: string; target: string; power_kw: number }
export interface Metrics {
  mean_energy: number; total_generation_kw: number; total_demand_kw: number; import_kw: number; export_kw: number;
  transfers_kw: number; charge_kw: number; discharge_kw: number; loss_kw: number; slack_kw: number;
  unserved_kw: number; curtailed_kw: number; cost_eur: number; cost_eur_per_h: number; cost_eur_total: number;
  mean_reward: number; reward_stability: number; reward_efficiency: number; reward_cost: number;
  reward_cooperation: number; stability: number; stability_voltage: number; stability_loading: number;
  stability_balance: number; stability_reserve: number; import_price: number; export_price: number;
  co2_g_per_h: number; co2_kg_total: number; max_loading: number; min_voltage_pu: number; max_voltage_pu: number;
  violations: number; overloads: number; converged: boolean; step_ms: number;
}
export interface Perturbation { kind: string; magnitude: number | null; branch: number | null; steps_left: number }
export interface Frame {
  type: "frame"; seq: number; run: string; timestamp: string; sim_time: string; step: number;
  episode: number; episode_step: number; stability: number; islanded: boolean;
  agents: Agent[]; energy_flows: Flow[]; metrics: Metrics;
  buses: { voltage_pu: number[] }; branches: { loading: number[]; open: number[] }; perturbations: Perturbation[];
}
export interface HelloAgent {
  id: string; name: string; archetype: string; bus: number; x: number; y: number;
  capacity_kwh: number; battery_kw: number; pv_kwp: number | null; trade_kw: number;
}
export interface HelloLink { source: string; target: string; rating_kw: number }
export interface HelloFeeder {
  name: string; slack: number; transformer: number | null; voltage_band_pu: [number, number]; power_flow: boolean;
  buses: { name: string[]; x: number[]; y: number[]; vn_kv: number[] };
  branches: {
    name: string[]; source: number[]; target: number[]; kind: ("line" | "transformer" | "switch")[];
    rating_kva: (number | null)[];
  };
}
export interface RunInfo {
  id: string; scenario: string; policy: string; seed: number; days: number | null; steps: number | null;
  started_at: string; autostarted: boolean;
}
export interface Hello {
  type: "hello"; schema_version: "grid.v1"; server_version: string; run: RunInfo | null;
  scenario: { name: string; description: string; step_minutes: number; episode_steps: number; source: string } | null;
  policy: { name: string; kind: "policy" | "rule" | "mpc" | "optimum"; title: string } | null;
  num_agents: number; agents: HelloAgent[]; links: HelloLink[]; feeder: HelloFeeder | null;
  commands: string[]; perturbations: string[];
  limits: {
    max_viewers: number; max_message_bytes: number; frame_hz: number; heartbeat_s: number;
    speed_min: number; speed_max: number;
  };
}
export interface StatusBody {
  state: RunState; run: RunInfo | null;
  progress: { step: number; episode: number; sim_time: string | null; steps_per_s: number };
  speed: number | "max";
  weights: { rewards: Record<string, number>; stability: Record<string, number> } | null;
  perturbations: Perturbation[]; warnings: { code: string; message: string }[];
  viewers: number; dropped_frames: number; uptime_s: number; version: string;
}
export interface Status extends StatusBody { type: "status"; timestamp: string }
export interface Ack { type: "ack"; id: string | number; command: string; status: StatusBody }
export interface ErrorDetail { code: string; message: string; field: string | null }
export interface ErrorMessage {
  type: "error"; id: string | number | null; command: string | null; error: ErrorDetail;
  details: Record<string, unknown> | null;
}
export type ServerMessage = Hello | Frame | Status | Ack | ErrorMessage;

export interface PolicyEntry {
  name: string; kind: string; source: string; title: string; scenario: string | null; score: number | null;
  algorithm: string | null; checkpoints: string[]; num_agents: number | null;
  fits: boolean | null; reason: string | null;
}
export interface ScenarioEntry {
  name: string; source: string; fault: string | null; description: string | null; num_agents: number | null;
  episode_days: number | null; step_minutes: number | null; data: string | null; feeder: string | null;
  links: string | null; events: string[];
}

export type ConnectionState = "connecting" | "open" | "waiting" | "unauthorized" | "closed";
export interface Connection {
  state: ConnectionState;
  /** Round trip to the server, ms; null before the first ping. */
  latency_ms: number | null;
  /** Attempts since the connection was lost. */
  attempt: number;
  /** When the next attempt starts, ms since 1970; null while none is planned. */
  retry_at: number | null;
  /** Why, for people. */
  reason: string | null;
}

/** What is remembered of a frame for the charts. */
export interface Sample { step: number; episode: number; time: number; metrics: Metrics }
export interface AgentTrace { soc: number[]; net: number[] }

/** Everything the views show; never changed in place. */
export interface State {
  connection: Connection;
  hello: Hello | null;
  status: StatusBody | null;
  frame: Frame | null;
  /** Newest last. */
  history: readonly Sample[];
  traces: ReadonlyMap<string, AgentTrace>;
  selected: string | null;
  theme: "dark" | "light";
}

export interface Context { store: Store<State>; api: Api; socket: GridWebSocket; router: Router; format: typeof format }
export interface View { title: string; mount(root: HTMLElement): void; unmount(): void }
