"""Starts processes that die with this one, and finds those that a dead one left behind.

A child gets a parent-death signal from the kernel (Linux), so that not even SIGKILL of this
process orphans it; a pid file with the process's start time covers what that cannot, and cannot
hit a stranger that was given the same pid later. This file does not know what the children do.

Run as a script it is the launcher: it asks for the signal, then becomes the child.
"""

import ctypes
import functools
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, NamedTuple

_PR_SET_PDEATHSIG = 1


class ProcessMark(NamedTuple):
    """One process for good: a pid is reused, a pid with its start time is not."""

    pid: int
    started: str  # boot id and clock ticks since boot


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own; the kernel sends it `death_signal` when we die.

    A session of its own keeps the terminal's Ctrl-C from it: its parent decides when it stops.
    `output` takes its stdout and stderr together. The start runs on a thread that lives as long
    as this process, because the kernel means the death of the starting *thread*.
    """
    launcher = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal))]
    job: Future[subprocess.Popen[bytes]] = Future()

    def start() -> None:
        try:
            process = subprocess.Popen(  # noqa: S603 - argv comes from our own code
                [*launcher, *argv],
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException as failure:
            job.set_exception(failure)
        else:
            job.set_result(process)

    _starter().put(start)
    return job.result()


def stop(process: subprocess.Popen[bytes], *, timeout_s: float) -> int:
    """Ask the process to end, kill it after `timeout_s`, and return its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def mark(pid: int) -> ProcessMark | None:
    """Return the mark of a living process, None when there is none (or no /proc)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in ("Z", "X") else ProcessMark(pid, f"{boot}/{started}")


def write_pid_file(file: Path, pid: int) -> None:
    """Note a living process in `file`, whole or not at all."""
    found = mark(pid)
    if found is None:
        return
    torn = file.with_suffix(".new")
    torn.write_text(json.dumps(found._asdict()))
    os.replace(torn, file)


def end_leftover(file: Path, *, timeout_s: float = 10.0) -> bool:
    """End the process that `file` names if it still lives, and remove the file.

    Returns True when there was one. A file that cannot be read names nothing.
    """
    try:
        noted = ProcessMark(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        noted = None
    found = noted is not None and mark(noted.pid) == noted
    if noted is not None and found:
        for number, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 5.0)):
            _signal(noted.pid, number)
            if _gone(noted, patience_s):
                break
    file.unlink(missing_ok=True)
    return found


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def port_is_free(port: int) -> bool:
    """Say whether `port` of 127.0.0.1 can be listened on now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended on its own, which is what was wanted


def _gone(noted: ProcessMark, patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if mark(noted.pid) != noted:
            return True
        time.sleep(0.05)
    return False


@functools.cache
def _starter() -> queue.SimpleQueue[Callable[[], None]]:
    """Return the queue of a thread that starts children and ends only with this process."""
    jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run() -> None:
        while True:
            jobs.get()()

    threading.Thread(target=run, name="child-starter", daemon=True).start()
    return jobs


def _become_child(parent: int, death_signal: int, argv: list[str]) -> None:
    """Ask for the parent-death signal, then replace this process by `argv`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel was told
            os._exit(1)
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as cause:
        sys.stderr.write(f"cannot start {argv[0]}: {cause.strerror}\n")
        os._exit(127)


if __name__ == "__main__":
    _become_child(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
