"""What a viewer costs the live server, beside Node's `ws` and `websockets.broadcast` sending the same frames.

Contestants run side by side on one core and are measured in turn; the viewers read on another. Our server simulates,
records and serves meanwhile; a peer sends one ready-made frame, serialised anew each time for the time in it. CPU time
is that of the contestant's process, all of it, divided by the frames that reached a viewer.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table
from websockets.sync.client import ClientConnection, connect

from benchmarks.machine import wide
from benchmarks.peer_environments import is_installed
from benchmarks.viewers import WARM_UP_S

PEERS = Path(__file__).parent / "peers"
HZ = 10.0
SERVER_CORE, VIEWER_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Contestant(NamedTuple):
    """A server that runs."""

    name: str
    process: subprocess.Popen[str]
    port: int
    peer: bool

    @property
    def cpu_s(self) -> float:
        """CPU time it has used, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    @property
    def memory_mib(self) -> float:
        """Resident memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    @property
    def open_files(self) -> int:
        """File descriptors, sockets among them."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def run(quick: bool = False, soak_minutes: float = 0.0) -> list[dict[str, Any]]:
    """Measure all; prints tables and returns one record a case.

    Args:
        quick: few viewers, one short round.
        soak_minutes: of 1,000 viewers, watching memory; 0: left out.
    """
    records: list[dict[str, Any]] = []
    few, many, rounds, seconds = (20, 50, 1, 3.0) if quick else (100, 1000, 3, 10.0)
    for scenario, viewers in (("community-5", many), ("town-1000", few)):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            ours = stack.enter_context(_simulating(folder, scenario))
            contestants = [ours, *_peers(stack, folder, ours)]
            found: dict[str, list[dict[str, Any]]] = {c.name: [] for c in contestants}
            idle = _idle(ours, seconds / 2)
            for _ in range(rounds):
                for contestant in contestants:
                    with _paused(ours) if contestant.peer else nullcontext():
                        found[contestant.name].append(_window(contestant, viewers, seconds))
            asked = _window(ours, viewers, seconds, asking=True)
            for contestant in contestants:
                extra = {} if contestant.peer else {"idle_cpu_share": idle, "asked": asked}
                records.append(_record(contestant, scenario, viewers, found[contestant.name]) | extra)
            if scenario == "town-1000":
                records.append(_deaf(ours, few, max(seconds, 12.0)))
            elif soak_minutes:
                records.append({"case": "soak", "viewers": viewers, **_soak(ours, viewers, soak_minutes)})
    _print(records)
    return records


@contextmanager
def server(folder: Path) -> Iterator[Contestant]:
    """Our server on a free port, nothing running, its data in the folder."""
    command = [sys.executable, "-m", "server", "--port", "0", "--data-dir", str(folder / "data")]
    command += ["--runs-dir", str(folder / "runs"), "--rest-limit", "", "--handshake-limit", "", "--no-autostart"]
    with _running("smartgrid-marl server", command, "smartgrid-marl: http://", peer=False) as ours:
        yield ours


@contextmanager
def _simulating(folder: Path, scenario: str) -> Iterator[Contestant]:
    with server(folder) as ours:
        base = f"http://127.0.0.1:{ours.port}"
        body = {"scenario": scenario, "policy": "self-consumption", "speed": HZ}
        httpx.post(f"{base}/api/simulation/start", json=body, timeout=300).raise_for_status()
        yield ours


@contextmanager
def _paused(ours: Contestant) -> Iterator[None]:
    """Ours neither simulates nor records on the core that a peer has its turn on."""
    base = f"http://127.0.0.1:{ours.port}/api/simulation"
    httpx.post(f"{base}/pause", timeout=60).raise_for_status()
    try:
        yield
    finally:
        httpx.post(f"{base}/resume", timeout=60).raise_for_status()


def _peers(stack: ExitStack, folder: Path, ours: Contestant) -> list[Contestant]:
    """Those that are installed, sending a frame of ours."""
    frame = folder / "frame.json"
    frame.write_bytes(_one_frame(ours))
    python = [sys.executable, str(PEERS / "broadcast.py"), str(frame), str(HZ)]
    found = [stack.enter_context(_running("websockets.broadcast", python, ""))]
    if shutil.which("node") and is_installed("ws"):
        node = ["node", str(PEERS / "broadcast.mjs"), str(frame), str(HZ)]
        found.append(stack.enter_context(_running("Node ws", node, "")))
    else:
        Console(stderr=True).print("Node ws left out: python -m benchmarks peers install ws")
    return found


@contextmanager
def _running(name: str, command: list[str], before_port: str, peer: bool = True) -> Iterator[Contestant]:
    """A server on its core, from the line that tells its port until the block ends."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    try:
        os.sched_setaffinity(process.pid, {SERVER_CORE})
        assert process.stdout is not None
        while before_port not in (line := process.stdout.readline()):
            if not line:
                raise RuntimeError(f"{name} ended with code {process.wait()}: {' '.join(command)}")
        address = line.partition(before_port)[2].split("/")[0] if before_port else line.strip()
        yield Contestant(name, process, int(address.rpartition(":")[2]), peer)
    finally:
        process.terminate()
        process.wait()


def _one_frame(ours: Contestant) -> bytes:
    with connect(f"ws://127.0.0.1:{ours.port}/ws/grid", compression=None, max_size=None, proxy=None) as socket:
        while json.loads(message := socket.recv(60))["type"] != "frame":
            pass
        return message if isinstance(message, bytes) else message.encode()


def _idle(ours: Contestant, seconds: float) -> float:
    """Share of a core that our server takes with nobody watching."""
    before = ours.cpu_s
    time.sleep(seconds)
    return (ours.cpu_s - before) / seconds


def _window(
    contestant: Contestant, viewers: int, seconds: float, deaf: int = 0, asking: bool = False
) -> dict[str, Any]:
    """Connect viewers, let them watch, and hear what they saw; `asking`: commands and requests come meanwhile."""
    files, memory = contestant.open_files, contestant.memory_mib
    command = [sys.executable, "-m", "benchmarks.viewers", "--port", str(contestant.port), "--count", str(viewers)]
    command += ["--deaf", str(deaf), "--seconds", str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {VIEWER_CORE})
    assert process.stdin is not None
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        raise RuntimeError(f"the viewers of {contestant.name} could not connect")
    process.stdin.write("go\n")
    process.stdin.flush()
    time.sleep(WARM_UP_S)
    asker = _Asking(contestant.port) if asking else None
    before, begin = contestant.cpu_s, time.monotonic()
    time.sleep(seconds)
    cpu, lasted = contestant.cpu_s - before, time.monotonic() - begin
    asked = {} if asker is None else asker.end()
    during = contestant.memory_mib
    seen = json.loads(process.stdout.readline())
    open_then = contestant.open_files
    process.communicate()
    if seen["lost"]:
        raise RuntimeError(f"{contestant.name} dropped {seen['lost']} of {viewers} viewers within {seconds:.0f} s")
    time.sleep(1.0)
    return seen | asked | {
        "viewers": viewers, "deaf": deaf, "cpu_share": cpu / lasted,
        "cpu_us_per_message": cpu / lasted * seen["seconds"] / max(1, seen["messages"]) * 1e6,
        "memory_mib": [memory, during, contestant.memory_mib], "open_files": [files, open_then, contestant.open_files],
    }  # fmt: skip


class _Asking:
    """Commands and requests under load, a few a second, timed."""

    def __init__(self, port: int):
        self._base, self._over = f"127.0.0.1:{port}", threading.Event()
        self.times: dict[str, list[float]] = {"ack": [], "rest": []}
        self._threads = ThreadPoolExecutor(2)
        self._asked = [self._threads.submit(target) for target in (self._command, self._request)]

    def _command(self) -> None:
        with connect(f"ws://{self._base}/ws/grid", compression=None, max_size=None, proxy=None) as socket:
            for number in range(1, 1 << 30):
                if self._over.wait(0.1):
                    return
                name, arguments = ("speed", {"speed": HZ}) if number % 10 == 0 else ("ping", {})
                begin = time.perf_counter()
                socket.send(json.dumps({"type": "command", "id": number, "command": name, "arguments": arguments}))
                self._await(socket, number)
                self.times["ack"].append(time.perf_counter() - begin)

    @staticmethod
    def _await(socket: ClientConnection, number: int) -> None:
        answer = f'"id":{number}'.encode()
        while True:
            message = socket.recv(60)
            data = message if isinstance(message, bytes) else message.encode()
            if data.startswith((b'{"type":"ack"', b'{"type":"error"')) and answer in data[:200]:
                return

    def _request(self) -> None:
        with httpx.Client(base_url=f"http://{self._base}", timeout=60, trust_env=False) as client:
            while not self._over.wait(0.1):
                begin = time.perf_counter()
                client.get("/api/status").raise_for_status()
                self.times["rest"].append(time.perf_counter() - begin)

    def end(self) -> dict[str, Any]:
        """Stop; percentiles in ms. Raises what an answer raised."""
        self._over.set()
        with self._threads:
            for asked in self._asked:
                asked.result()
        return {
            f"{name}_ms": {f"p{p}": float(np.percentile(times, p)) * 1e3 for p in (50, 99)}
            for name, times in self.times.items() if times
        }  # fmt: skip


def _deaf(ours: Contestant, viewers: int, seconds: float) -> dict[str, Any]:
    """10 that never read beside others: they have to lose frames and then their connection while they still hold on."""
    before = _slow(ours)
    seen = _window(ours, viewers, seconds, deaf=10)
    dropped, cut_off = (now - then for now, then in zip(_slow(ours), before, strict=True))
    if cut_off != 10:
        raise RuntimeError(f"of 10 viewers that never read {cut_off:.0f} were cut off within {seconds:.0f} s")
    return {"case": "deaf", "scenario": "town-1000", **seen, "dropped_frames": dropped, "cut_off": cut_off}


def _slow(ours: Contestant) -> tuple[float, float]:
    """Frames dropped and viewers cut off so far."""
    text = httpx.get(f"http://127.0.0.1:{ours.port}/metrics", trust_env=False).text
    names = ("smartgrid_frames_dropped_total", "smartgrid_viewers_aborted_total")
    values = dict(line.split(" ")[:2] for line in text.splitlines() if line.startswith(names))
    return float(values[names[0]]), float(values[names[1]])


def _soak(ours: Contestant, viewers: int, minutes: float) -> dict[str, Any]:
    """Memory every half minute while viewers watch."""
    memory, over = [], threading.Event()

    def look() -> None:
        while not over.wait(30):
            memory.append(ours.memory_mib)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        seen = _window(ours, viewers, minutes * 60)
    finally:
        over.set()
        thread.join()
    return seen | {"minutes": minutes, "memory_every_30_s_mib": memory}


def _record(contestant: Contestant, scenario: str, viewers: int, windows: list[dict[str, Any]]) -> dict[str, Any]:
    costs = [w["cpu_us_per_message"] for w in windows]
    best = statistics.median(costs)
    return {
        "case": "broadcast", "name": contestant.name, "peer": contestant.peer, "scenario": scenario,
        "viewers": viewers, "hz": HZ, "cpu_us_per_message": best, "cpu_us_low": min(costs), "cpu_us_high": max(costs),
        "latency_p99_ms": statistics.median(w["latency_ms"]["p99"] for w in windows if w["latency_ms"]),
        "worst_gap_s": max(w["worst_gap_s"] for w in windows),
        "least_share": min(w["least_of_a_viewer"] / (HZ * w["seconds"]) for w in windows), "windows": windows,
    }  # fmt: skip


def _print(records: list[dict[str, Any]]) -> None:
    console = wide(140)
    table = Table(title=f"Broadcasting at {HZ:g} Hz, servers on one core, viewers on another")
    columns = (
        "server",
        "prosumers",
        "viewers",
        "bytes",
        "CPU µs\na message",
        "",
        "of a core,\nno viewer",
        "latency\np99 ms",
        "worst gap\ns",
    )
    for column in (*columns, "least got\nof all frames", "ack p99\nms", "REST p99\nms"):
        table.add_column(column, justify="left" if column == "server" else "right")
    for r in records:
        if r["case"] == "broadcast":
            window = r["windows"][-1]
            table.add_row(
                r["name"], r["scenario"], f"{r['viewers']:,}", f"{window['bytes_per_message']:,.0f}",
                f"{r['cpu_us_per_message']:.1f}", f"({r['cpu_us_low']:.1f}–{r['cpu_us_high']:.1f})",
                f"{r['idle_cpu_share']:.0%}" if "idle_cpu_share" in r else "",
                f"{r['latency_p99_ms']:.0f}", f"{r['worst_gap_s']:.2f}", f"{r['least_share']:.0%}",
                *(f"{r['asked'][k]['p99']:.0f}" if "asked" in r else "" for k in ("ack_ms", "rest_ms")),
            )  # fmt: skip
    console.print(table)
    for r in records:
        if r["case"] == "deaf":
            memory, files = (" → ".join(f"{x:.0f}" for x in r[key]) for key in ("memory_mib", "open_files"))
            console.print(
                f"{r['deaf']} viewers that never read beside {r['viewers']}: {r['dropped_frames']:.0f} frames dropped, "
                f"{r['cut_off']:.0f} cut off; the others' worst gap {r['worst_gap_s']:.2f} s, memory {memory} MiB, "
                f"open files {files}"
            )
        if r["case"] == "soak":
            kept = r["memory_every_30_s_mib"]
            console.print(
                f"{r['viewers']} viewers for {r['minutes']:g} min: memory {kept[0]:.0f} → {kept[-1]:.0f} MiB "
                f"(highest {max(kept):.0f}), latency p99 {r['latency_ms']['p99']:.0f} ms"
            )
