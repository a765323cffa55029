"""A group of real recommender processes on a real broker, killed and started again at will.

The processes are the product's own command under the product's own supervisor, as `up` runs them.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType

from consumers.processes import child_process
from consumers.processes.installation import environment, make_topics, own_command, says_ready
from consumers.processes.restart_policy import RestartRules
from consumers.processes.supervisor import Child, Supervisor
from consumers.settings import Settings

# A storm kills without end, so ends without progress are no reason to give up.
RULES = RestartRules(tries=10_000, first_delay_s=0.05, longest_delay_s=0.1)


class Fleet:
    """`workers` recommenders; use it as a context. `meanwhile` is called while one waits."""

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int = 1,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self._meanwhile = meanwhile
        self.lines: list[str] = []
        self._folder = settings.data_dir
        self._addresses = {
            slot: f"127.0.0.1:{child_process.free_port()}" for slot in range(workers)
        }
        self._supervisor = self._made()
        self._thread = threading.Thread(target=self._supervisor.run, name="fleet", daemon=True)

    def __enter__(self) -> "Fleet":
        make_topics(self.settings)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._supervisor.request_stop()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the supervisor does not end"

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        return sum(self._supervisor.restarts().values())

    def pid(self, slot: int) -> int:
        """Return the process id of a worker that runs."""
        return self._supervisor.pids()[f"{NAME}-{slot}"]

    def kill(self, slot: int) -> bool:
        """Kill a worker as a power cut would; False when it is not running just now."""
        return killed(self._running(slot))

    def stopped(self, slot: int) -> bool:
        """Say whether a worker was stopped (SIGSTOP) and not continued."""
        pid = self._supervisor.pids().get(f"{NAME}-{slot}")
        return pid is not None and is_stopped(pid)

    def go_on(self, slot: int) -> None:
        """Let a stopped worker continue."""
        pid = self._supervisor.pids().get(f"{NAME}-{slot}")
        if pid is not None:
            os.kill(pid, signal.SIGCONT)

    def kill_and_crash_at(self, slot: int, point: str, within_s: float = 60.0) -> None:
        """Kill a worker; its next incarnation, and only that one, kills itself at a named point.

        `point:n:STOP` stops it there instead. What runs has used up what it was told, so it cannot
        be the one that reads this; if it dies of something else meanwhile, that was the kill.
        """
        self.wait(lambda: self._running(slot) is not None, within_s, "nothing to kill")
        pid = self._running(slot)
        (self._folder / f"crash-at-{slot}").write_text(point)
        killed(pid)

    def empty_disk_next(self, slot: int) -> None:
        """Let the worker's next incarnation find nothing of what the last one stored."""
        (self._folder / f"crash-at-{slot}.empty").touch()

    def ready(self, slot: int) -> bool:
        """Say whether a worker is ready."""
        return says_ready(self._addresses[slot])

    def wait_ready(self, within_s: float = 600.0) -> float:
        """Wait until all workers are ready; return the seconds it took (a first start compiles)."""
        return self.wait(lambda: all(map(self.ready, self._addresses)), within_s, "not ready")

    def wait(self, condition: Callable[[], bool], within_s: float, what: str) -> float:
        """Wait for a condition while all programs run; return the seconds it took."""
        started = time.monotonic()
        while not condition():
            assert time.monotonic() - started < within_s, f"{what}\n" + self.last_lines()
            assert self._thread.is_alive(), f"all stopped: {self._supervisor.reason()}\n" + (
                self.last_lines()
            )
            self._meanwhile()
            time.sleep(0.05)
        return time.monotonic() - started

    def last_lines(self) -> str:
        """Return what the programs said last."""
        return "\n".join(self.lines[-40:])

    def address(self, slot: int = 0) -> str:
        """Return where a worker answers over HTTP, as HOST:PORT."""
        return self._addresses[slot]

    def metrics(self, slot: int = 0) -> str:
        """Return what a worker tells Prometheus."""
        host, _, port = self._addresses[slot].rpartition(":")
        connection = HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        except (OSError, HTTPException):
            return ""
        finally:
            connection.close()

    def _running(self, slot: int) -> int | None:
        """Return the process id of a worker that is neither dead nor still the starting shell."""
        pid = self._supervisor.pids().get(f"{NAME}-{slot}")
        return pid if pid is not None and runs_the_program(pid) else None

    def _made(self) -> Supervisor:
        children = [self._child(slot, address) for slot, address in self._addresses.items()]
        return Supervisor(
            children, run_dir=self._folder / "run", rules=RULES, echo=self.lines.append
        )

    def _child(self, slot: int, address: str) -> Child:
        settings = Settings(**{name: getattr(self.settings, name) for name in KEPT}, slot=slot)
        return Child(
            name=f"{NAME}-{slot}",
            argv=("sh", "-c", ONCE, str(self._folder / f"crash-at-{slot}"), *own_command(), NAME),
            env=environment(settings, address),
        )


def killed(pid: int | None) -> bool:
    """Kill a process; False when there is none."""
    try:
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return pid is not None


def runs_the_program(pid: int) -> bool:
    """Say whether a process is neither dead nor still the shell that starts the program."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] not in (b"", b"sh")
    except OSError:
        return False


def is_stopped(pid: int) -> bool:
    """Say whether a process was stopped (SIGSTOP) and not continued."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


NAME = "recommender"
# The program, told what files at $0 ask for; they are used up by it.
ONCE = """
STREAM_REC_CRASH_AT=$(cat "$0" 2>/dev/null)
rm -f "$0"
[ -e "$0.empty" ] && rm -rf "$0.empty" "$STREAM_REC_DATA_DIR/recommender-$STREAM_REC_SLOT"
export STREAM_REC_CRASH_AT
exec "$@"
"""
KEPT = ("bootstrap_servers", "prefix", "data_dir", "partitions", "model", "device")
