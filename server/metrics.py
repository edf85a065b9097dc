"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

disable_created_metrics()

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Meters:
    """One server's meters, in a registry of its own, so that several servers fit into a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.viewers = Gauge("smartgrid_viewers", "WebSocket viewers", ["feed"], registry=self.registry)
        self.frames = self._counter("smartgrid_frames_sent", "Frames handed to viewers' connections")
        self.bytes = self._counter("smartgrid_frame_bytes_sent", "Bytes of these frames")
        self.dropped = self._counter("smartgrid_frames_dropped", "Frames not sent to viewers that were too slow")
        self.aborted = self._counter("smartgrid_viewers_aborted", "Viewers cut off because they read nothing")
        self.refused = Counter("smartgrid_refused", "Requests and handshakes refused", ["why"], registry=self.registry)
        self.commands = Counter(
            "smartgrid_commands", "WebSocket commands", ["command", "outcome"], registry=self.registry
        )
        self.requests = Counter(
            "smartgrid_http_requests", "REST requests", ["method", "status"], registry=self.registry
        )
        self.steps = self._counter("smartgrid_steps", "Steps of the simulation")
        self.step_seconds = self._histogram("smartgrid_step_seconds", "Wall time of a step with its decision")
        self.broadcast_seconds = self._histogram(
            "smartgrid_broadcast_seconds", "Time from a frame's creation until every viewer's connection has it"
        )
        self.running = Gauge("smartgrid_running", "1 while a community runs", registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=_SECONDS, registry=self.registry)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
