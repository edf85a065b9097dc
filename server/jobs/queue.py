"""Runs queued jobs one after the other, each in a child process that dies with the server."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from server.errors import ApiError, ErrorDetail
from server.jobs.store import Job, JobStore, Kind
from server.locks import FileLock

log = logging.getLogger("server.jobs")
GRACE_S = 3.0  # a child that was asked to end is killed after this
REPORT_S = 0.5  # progress is stored at most this often
WORKER = (sys.executable, "-m", "server.jobs.worker")


class JobQueue:
    """One server's jobs. Made and closed with the server.

    Args:
        folder: the data folder; of several servers that share it, one runs jobs.
        command: of the child process.
    """

    def __init__(self, folder: Path, command: tuple[str, ...] = WORKER):
        self.store = JobStore(folder / "jobs.sqlite")
        self._command = command
        self._lock = FileLock(folder / "jobs.lock")
        self._wake = threading.Condition()
        self._closing = False
        self._fault: OSError | None = None
        self._running: tuple[str, subprocess.Popen[bytes]] | None = None
        self._cancelled: set[str] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to work; what a dead server left queued goes on."""
        try:
            if not self._lock.acquire():
                log.warning("another server runs the jobs of this data folder")
                return
        except OSError as error:
            log.warning("no jobs can be run: %s", error)
            self._fault = error
            return
        try:
            self.store.fail_abandoned()
        except ApiError as error:
            log.warning("jobs: %s", error.message)
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def submit(self, kind: Kind, request: Mapping[str, Any], work: Mapping[str, Any]) -> Job:
        """Queue a job; it begins when those before it are over.

        Raises:
            ApiError: jobs cannot be run or kept, or too many wait.
            OSError: the data folder cannot be written.
        """
        if self._fault is not None:
            raise self._fault  # told as any folder that cannot be written
        if self._thread is None:
            message = "another server runs the jobs of this data folder: ask that one, or give this one its own folder"
            raise ApiError(503, "jobs_elsewhere", message)
        job = self.store.add(kind, request, work)
        with self._wake:
            self._wake.notify()
        return job

    def cancel(self, name: str) -> None:
        """End a job, whether it waits or runs."""
        with self._wake:
            if self._running is not None and self._running[0] == name:
                self._cancelled.add(name)
                self._running[1].terminate()
            self.store.finish(name, "cancelled")

    def remove(self, name: str, kind: Kind) -> None:
        """Cancel a job where it is not over, and forget it."""
        job = self.store.get(name, kind)
        if job.state in ("queued", "running"):
            self.cancel(name)
        self.store.delete(name)

    def close(self) -> None:
        """End the running job (it is marked as failed) and the thread; queued jobs wait for the next server."""
        with self._wake:
            self._closing = True
            if self._running is not None:
                self._running[1].terminate()
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(2 * GRACE_S)
        self._lock.release()

    # The thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._closing:
                    return
                begun = self._begin()
                if begun is None:
                    self._wake.wait(1.0)
            if begun is None:
                continue
            try:
                self._work(*begun)
            except Exception:
                log.exception("job %s", begun[0])
                self._fail(begun[0], ErrorDetail(code="internal", message="the job failed; the server's log says why"))

    def _begin(self) -> tuple[str, Kind, bytes, subprocess.Popen[bytes]] | None:
        """The job that has waited longest and its process, if one waits.

        Called with the lock held, so that whoever sees a job running also finds the process to end.
        """
        try:
            job = self.store.next()
        except ApiError as error:  # the file fails: try again later
            log.warning("jobs: %s", error.message)
            return None
        if job is None:
            return None
        try:
            process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            log.exception("job %s", job[0])
            reason = error.strerror or "unknown reason"
            self._fail(job[0], ErrorDetail(code="died", message=f"the job's process could not be started: {reason}"))
            return None
        self._running = (job[0], process)
        return *job, process

    def _work(self, name: str, kind: Kind, work: bytes, process: subprocess.Popen[bytes]) -> None:
        """One job from its process's first line to its end."""
        assert process.stdin is not None
        assert process.stdout is not None
        outcome: dict[str, Any] | None = None
        stored = 0.0
        try:
            # Open until the end of the job: the child ends when it closes, which it does however the server dies.
            process.stdin.write(orjson.dumps({"kind": kind, "work": orjson.loads(work)}) + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                said = orjson.loads(line)
                if "progress" not in said:
                    outcome = said
                elif time.monotonic() - stored > REPORT_S:
                    self._report(name, said["progress"], said["message"])
                    stored = time.monotonic()
        except BrokenPipeError:
            pass  # it ended before it read: its exit code is told below
        finally:
            code = self._end(process)
            with self._wake:
                self._running = None
                cancelled = name in self._cancelled
                self._cancelled.discard(name)
        if not cancelled:
            self._settle(name, outcome, code)

    def _report(self, name: str, progress: float, message: str) -> None:
        """Store how far a job is; where the file fails it goes on all the same."""
        try:
            self.store.report(name, progress, message)
        except ApiError as error:
            log.warning("jobs: %s", error.message)

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the process, which has closed its output; kill it if it lingers."""
        try:
            return process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()

    def _settle(self, name: str, outcome: dict[str, Any] | None, code: int) -> None:
        if outcome is not None and "result" in outcome:
            self.store.finish(name, "done", result=orjson.dumps(outcome["result"]))
        elif outcome is not None:
            self._fail(name, ErrorDetail(**outcome["error"]))
        elif self._closing:
            self._fail(name, ErrorDetail(code="interrupted", message="the server was stopped: start the job again"))
        else:
            reason = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            message = f"the job's process {reason} before it was done (out of memory?): ask for less, or see the log"
            self._fail(name, ErrorDetail(code="died", message=message))

    def _fail(self, name: str, error: ErrorDetail) -> None:
        try:
            self.store.finish(name, "failed", error=error)
        except ApiError as fault:
            log.warning("jobs: %s", fault.message)
