"""Keeps a few named child processes running together, and ends them together.

Children start stage by stage and stop in the opposite order; a stage waits until the ones before
it are ready, also when it restarts. `restart_policy` decides what follows an end. Nothing is
orphaned: children die with this process, and what an earlier one left is ended first. This file
does not know what the children do.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from consumers.processes import child_process
from consumers.processes.child_output import Echo, forward, to_stderr
from consumers.processes.restart_policy import (
    Ending,
    Finished,
    RestartRules,
    StopAll,
    decide,
    describe,
)
from stream_rec.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One program to keep running."""

    name: str  # prefix of its lines, name of its log and pid file
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)  # laid over our own
    stage: int = 0
    ready: Callable[[], bool] | None = None  # asked until it says yes; quick; None: at once
    heartbeat: Path | None = None  # touched by the child when it makes progress
    quiet: bool = False  # its lines go to its log only
    death_signal: signal.Signals = signal.SIGKILL  # what it gets when we die


@dataclass(slots=True, kw_only=True)
class _Life:
    """The present state of one child."""

    child: Child
    process: subprocess.Popen[bytes] | None = None
    output: threading.Thread | None = None
    started: float = 0.0  # monotonic
    started_wall: float = 0.0  # as file times are
    due: float = 0.0  # monotonic, when to start it
    failures: int = 0
    restarts: int = 0
    ready: bool = False
    finished: bool = False


class Supervisor:
    """Runs children until told to stop, until one demands a stop, or until all are done."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        run_dir: Path,
        rules: RestartRules | None = None,
        echo: Echo | None = to_stderr,
        stop_within_s: float = 12.0,
    ) -> None:
        if len({child.name for child in children}) != len(children):
            message = "two children have the same name"
            raise ConfigurationError(message)
        self._lives = [_Life(child=child) for child in children]
        self._run_dir = run_dir
        self._rules = rules or RestartRules()
        self._echo = echo
        self._stop_within_s = stop_within_s
        self._stop_asked = 0
        self._ending: StopAll | None = None

    def run(self, each_turn: Callable[[], None] | None = None) -> int:
        """Run until the end and return the exit status: 0 when asked to stop or all are done.

        Takes over SIGTERM, SIGINT and SIGHUP when called on the main thread; a second signal
        kills at once. `each_turn` is called about ten times a second; an exception of its stops
        everything and is raised.

        Raises:
            ConfigurationError: another supervisor runs in this folder.
        """
        self._run_dir.mkdir(parents=True, exist_ok=True)
        with self._alone(), self._signals():
            for file in sorted(self._run_dir.glob("*.pid")):
                child_process.end_leftover(file)
            try:
                while not self._stop_asked and self._ending is None and self._turn():
                    if each_turn is not None:
                        each_turn()
                    time.sleep(_TURN_S)
            finally:
                self._stop_all()
        return 0 if self._ending is None else self._ending.status

    def request_stop(self) -> None:
        """Ask for an orderly stop, from any thread or a signal handler."""
        self._stop_asked += 1

    def pids(self) -> dict[str, int]:
        """Return the process id of every child that runs now."""
        lives = self._lives
        return {life.child.name: life.process.pid for life in lives if life.process is not None}

    def restarts(self) -> dict[str, int]:
        """Return how often each child was started again."""
        return {life.child.name: life.restarts for life in self._lives}

    def reason(self) -> str | None:
        """Return why everything was stopped, None when nothing went wrong."""
        return None if self._ending is None else self._ending.reason

    def all_ready(self) -> bool:
        """Say whether every child runs and is ready."""
        return all(life.ready or life.finished for life in self._lives)

    def _turn(self) -> bool:
        """Look after every child once; False when all are done."""
        for life in self._lives:
            if life.process is not None and (status := life.process.poll()) is not None:
                self._ended(life, status)
        for life in self._lives:
            if self._ending is None and not self._stop_asked:
                self._go_on(life)
        return not all(life.finished for life in self._lives)

    def _go_on(self, life: _Life) -> None:
        if life.finished:
            return
        if life.process is None:
            if time.monotonic() >= life.due and self._stage_can_start(life.child.stage):
                self._start(life)
        elif not life.ready:
            life.ready = life.child.ready is None or life.child.ready()

    def _stage_can_start(self, stage: int) -> bool:
        earlier = (life for life in self._lives if life.child.stage < stage)
        return all(life.ready or life.finished for life in earlier)

    def _start(self, life: _Life) -> None:
        child = life.child
        life.started, life.started_wall, life.ready = time.monotonic(), time.time(), False
        life.process = child_process.spawn(
            child.argv,
            env={**os.environ, **child.env},
            output=subprocess.PIPE,
            death_signal=child.death_signal,
        )
        child_process.write_pid_file(self._file(life, "pid"), life.process.pid)
        assert life.process.stdout is not None  # noqa: S101 - we asked for a pipe
        echo = None if child.quiet else self._echo
        life.output = forward(child.name, life.process.stdout, self._file(life, "log"), echo)

    def _ended(self, life: _Life, status: int) -> None:
        name = life.child.name
        ending = Ending(
            status=status,
            lived_s=time.monotonic() - life.started,
            progressed=self._progressed(life),
            blameless=not self._stage_can_start(life.child.stage),
        )
        decision = decide(name, ending, life.failures, self._rules)
        self._forget(life)
        if isinstance(decision, StopAll):
            self._ending = decision
            self._say(f"{decision.reason}; stopping everything (log: {self._file(life, 'log')})")
        elif isinstance(decision, Finished):
            life.finished = True
        else:
            life.failures, life.due = decision.failures, time.monotonic() + decision.delay_s
            life.restarts += 1
            self._say(f"{name} {describe(status)}; starting it again in {decision.delay_s:.1f} s")

    def _progressed(self, life: _Life) -> bool:
        beat = life.child.heartbeat
        return beat is not None and beat.exists() and beat.stat().st_mtime >= life.started_wall

    def _stop_all(self) -> None:
        """End the stages from the last to the first, each asked first and then killed."""
        until = time.monotonic() + self._stop_within_s
        asked = self._stop_asked
        stages = sorted({life.child.stage for life in self._lives}, reverse=True)
        for left, stage in zip(range(len(stages) - 1, -1, -1), stages, strict=True):
            lives = [life for life in self._lives if life.child.stage == stage and life.process]
            for life in lives:
                if life.process is not None:
                    life.process.terminate()
            patience = until - left * _LAST_STAGES_S
            while self._stop_asked <= max(asked, 1) and time.monotonic() < patience:
                if all(life.process is None or life.process.poll() is not None for life in lives):
                    break
                time.sleep(0.02)
            for life in lives:
                self._end_now(life)

    def _end_now(self, life: _Life) -> None:
        if life.process is None:
            return
        if life.process.poll() is None:
            self._say(f"{life.child.name} does not end; killing it")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(life.process.pid, signal.SIGKILL)  # it leads a session of its own
            life.process.wait()
        self._forget(life)

    def _forget(self, life: _Life) -> None:
        self._file(life, "pid").unlink(missing_ok=True)
        if life.output is not None:
            life.output.join(1.0)  # a grandchild may hold the pipe open
        life.process, life.output, life.ready = None, None, False

    def _file(self, life: _Life, suffix: str) -> Path:
        return self._run_dir / f"{life.child.name}.{suffix}"

    def _say(self, line: str) -> None:
        if self._echo is not None:
            self._echo(f"supervisor | {line}")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._run_dir / "supervisor.lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"stream-rec already runs in {self._run_dir}"
                raise ConfigurationError(message) from None
            yield

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def asked(_number: int, _frame: FrameType | None) -> None:
            self.request_stop()

        before = {number: signal.signal(number, asked) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)


_TURN_S = 0.1
_LAST_STAGES_S = 4.0  # what every earlier stage keeps of the time to stop
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
