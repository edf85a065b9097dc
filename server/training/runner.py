"""One training at a time: `python -m trainer train` in a child process, started, followed, stopped."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server.errors import ApiError, scrub
from server.locks import FileLock
from server.policies import Policies
from server.scenarios import Scenarios
from server.training.models import State, TrainingRequest, TrainingStatus
from server.training.process import DETACHED, exit_file
from server.training.runs import latest
from smartgrid_core.errors import InvalidConfigError, UserError
from trainer.config import load_train_config
from trainer.files import write_atomically

log = logging.getLogger("server.training")
GRACE_S = 15.0  # to save the last checkpoint
CLOSE_S = 8.0  # to end its iteration and save when the server ends, which compose.yaml gives 15 s
TAIL_BYTES = 64 << 10
OWN = ("algorithm", "device")  # fields of the request, not of its config


class TrainingRunner:
    """The training of one data folder, whichever server started it.

    Args:
        data: folder for `training.json` and the lock.
        runs: folder of runs.
        scenarios: where scenarios are found.
        policies: those that a training may begin with.
    """

    def __init__(self, data: Path, runs: Path, scenarios: Scenarios, policies: Policies):
        self.runs, self.scenarios, self.policies = runs, scenarios, policies
        self._state_file, self._lock_file = data / "training.json", data / "training.lock"
        self._stop_file = data / "training.stop"  # somebody asked the training to end, from whichever server
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    # What there is --------------------------------------------------------------------------------------

    def status(self, lines: int = 40) -> TrainingStatus:
        """The training that runs, or ran last."""
        about = self._about()
        if about is None:
            return TrainingStatus(state="idle")
        folder = self.runs / about["run"]
        now = latest(folder)
        known = {key: about.get(key) for key in ("run", "scenario", "algorithm", "started", "ended", "exit_code")}
        state, log = self._state(about), _tail(folder / "train.log", lines)
        if state == "failed" and known["exit_code"] == -signal.SIGKILL:
            log.append("the training's process was killed (out of memory?): make it smaller, or resume the run")
        return TrainingStatus(
            **known, state=state, detached=about["detached"], log=log,
            **{key: now[key] for key in ("iteration", "iterations", "progress", "score")},
        )  # fmt: skip

    def _state(self, about: Mapping[str, Any]) -> State:
        if self._running():
            return "stopping" if self._stop_file.exists() else "running"
        code = self._about_exit(about)
        if code is None:  # its end is not written down, or never will be
            return "stopped" if self._stop_file.exists() else "interrupted"
        by_force = code == -signal.SIGKILL and self._stop_file.exists()  # the system, short of memory, kills likewise
        return "finished" if code == 0 else "stopped" if code in (130, -signal.SIGINT) or by_force else "failed"

    def _about_exit(self, about: Mapping[str, Any]) -> int | None:
        """Exit code of the last training; it may have been written since `about` was read."""
        return about.get("exit_code") if about.get("ended") else (self._about() or {}).get("exit_code")

    def _running(self) -> bool:
        """Whether a training runs: ours, or one that an earlier server left detached."""
        if self._process is not None:
            return True
        try:
            return FileLock(self._lock_file).is_held()
        except OSError:  # no lock can be kept here: no training either
            return False

    def _about(self) -> dict[str, Any] | None:
        about: Any = None
        try:
            about = json.loads(self._state_file.read_bytes())
            end = json.loads(exit_file(self._lock_file).read_bytes()) if about.get("ended") is None else {}
        except (OSError, ValueError, AttributeError):
            end = {}
        if not isinstance(about, dict) or not isinstance(about.get("run"), str):
            return None
        return about | (end if end.get("ended", 0) > about["started"] else {})  # it ended while no server watched

    # Starting -------------------------------------------------------------------------------------------

    def start(self, request: TrainingRequest) -> TrainingStatus:
        """Begin a run.

        Raises:
            ApiError: 409, one runs already, or the name is taken; 404, no such scenario; 422, a faulty field.
        """
        command, name = self._command(request)
        with self._mutex:
            if self._running():
                about = self._about() or {}
                message = f"training {about.get('run', '')} runs already: stop it first (DELETE /api/training)"
                raise ApiError(409, "conflict", message, details={"run": about.get("run")})
            folder = self.runs / name
            if (folder / "config.json").exists() != request.resume:
                known = "there is no run to resume" if request.resume else "there is a run of this name already"
                raise ApiError(409, "conflict", f"{known}: {name!r}", "name")
            folder.mkdir(parents=True, exist_ok=True)
            self._stop_file.unlink(missing_ok=True)
            self._spawn(command, folder, request.detached)
            about = {
                "run": name, "scenario": request.scenario, "algorithm": request.algorithm, "started": time.time(),
                "detached": request.detached, "pid": self._process.pid if self._process else None,
                "ended": None, "exit_code": None,
            }  # fmt: skip
            self._write(about)
            threading.Thread(target=self._follow, args=(self._process, about), name="training", daemon=True).start()
        return self.status()

    def _command(self, request: TrainingRequest) -> tuple[list[str], str]:
        """Arguments of the trainer, checked, and the name of the run."""
        fields = _flat(request.config)
        for key in OWN:
            if key in fields:
                message = f"{key} stands beside config, not in it: move it out"
                raise ApiError(422, "invalid", message, f"config.{key}")
        try:
            load_train_config(
                "cpu" if request.device == "auto" else request.device, {"algorithm": request.algorithm} | fields
            )
        except UserError as error:
            field = f".{error.faults[0][0]}" if isinstance(error, InvalidConfigError) else ""
            raise ApiError(422, "invalid", scrub(str(error)), f"config{field}") from None
        if (warm_start := fields.get("warm_start")) is not None:
            fields["warm_start"] = str(self._weights(warm_start))
        self.scenarios.load(request.scenario)
        path = self.scenarios.path(request.scenario)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        name = request.name or f"{request.scenario[:60]}-{request.algorithm}-{stamp}"
        scenario = request.scenario if self.scenarios.names()[request.scenario] == "shipped" else str(path)
        given = {"scenario": scenario, "algorithm": request.algorithm, "device": request.device}
        if request.resume:  # what is not said stays as the run began
            given = {key: value for key, value in given.items() if key in request.model_fields_set}
        command = ["train", *(text for key, value in given.items() for text in (f"--{key}", value))]
        command += ["--out", str(self.runs / name)]
        command += ["--resume"] if request.resume else []
        command += [] if request.evaluate else ["--no-evaluate"]
        command += [
            f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in fields.items()
        ]
        return command, name

    def _weights(self, name: str) -> Path:
        """The policy to begin with: the trainer takes any path, a client only names what there is."""
        try:
            return self.policies.weights(name)
        except ApiError as error:
            raise ApiError(422, "invalid", f"warm_start: {scrub(error.message)}", "config.warm_start") from None

    def _spawn(self, command: list[str], folder: Path, detached: bool) -> None:
        whole = [sys.executable, "-m", "server.training.process", *([DETACHED] if detached else [])]
        whole += [str(self._lock_file.absolute()), *command]
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "120", "TERM": "dumb"}
        with (folder / "train.log").open("ab") as out:
            self._process = subprocess.Popen(
                whole, stdin=subprocess.DEVNULL if detached else subprocess.PIPE, stdout=out, stderr=out,
                env=environment, start_new_session=True,
            )  # fmt: skip

    def _follow(self, process: subprocess.Popen[bytes], about: dict[str, Any]) -> None:
        """Wait for the end and write it down."""
        code = process.wait()
        with self._mutex:
            if self._process is process:
                self._write(about | {"ended": time.time(), "exit_code": code})
                self._process = None
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _write(self, about: Mapping[str, Any]) -> None:
        try:
            write_atomically(self._state_file, json.dumps(about).encode())
        except OSError as error:
            log.warning("training.json cannot be written: %s", error)

    # Stopping -------------------------------------------------------------------------------------------

    def stop(self, kill: bool = False) -> TrainingStatus:
        """End the training: as by Ctrl-C, which saves a checkpoint, and by force where that takes too long.

        Raises:
            ApiError: 409, none runs.
        """
        if not self._running():
            raise ApiError(409, "conflict", "no training runs")
        pid = self._pid()
        self._note_stop()
        if pid is not None:
            _signal(pid, signal.SIGKILL if kill else signal.SIGINT, group=kill)
            if not kill:
                threading.Thread(target=self._kill_later, args=(pid,), daemon=True).start()
        return self.status()

    def _note_stop(self) -> None:
        try:
            self._stop_file.touch()
        except OSError as error:
            log.warning("training.stop cannot be written: %s", error)

    def _pid(self) -> int | None:
        if self._process is not None:
            return self._process.pid
        pid = (self._about() or {}).get("pid")
        return pid if isinstance(pid, int) else None

    def _kill_later(self, pid: int) -> None:
        end = time.monotonic() + GRACE_S
        while time.monotonic() < end:
            if not self._running() or self._pid() != pid:
                return
            time.sleep(0.2)
        _signal(pid, signal.SIGKILL, group=True)

    def close(self) -> None:
        """The server ends: a training that is not detached saves and ends with it."""
        process = self._process
        if process is None or process.stdin is None:  # none, or a detached one
            return
        self._note_stop()
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            _signal(process.pid, signal.SIGKILL, group=True)
        end = time.monotonic() + 1.0
        while self._process is not None and time.monotonic() < end:  # its end is being written down
            time.sleep(0.02)


def _signal(pid: int, number: int, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group and hasattr(os, "killpg"):
            os.killpg(pid, number)  # it leads a session of its own
        else:
            os.kill(pid, number)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"ppo.epochs": 2} of {"ppo": {"epochs": 2}}."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return out


def _tail(path: Path, lines: int) -> list[str]:
    """Last lines of a log, without folders of this machine."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [scrub(line)[:500] for line in text.replace("\r", "\n").split("\n") if line.strip()][-lines:]
