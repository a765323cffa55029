"""Children die with the process that started them, and pid files name only what they mean."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.processes import child_process

# Starts a child from a thread that ends at once, tells its pid, and waits to be killed.
PARENT = """
import threading, time
from consumers.processes import child_process
def start():
    print(child_process.spawn(["sleep", "600"]).pid, flush=True)
thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(600)
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = child_process.spawn(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def wait_for_name(pid: int, name: str) -> None:
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}/comm").read_text().strip() != name:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_child_outlives_the_thread_that_asked_for_it_but_not_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for_name(pid, "sleep")
        time.sleep(0.2)
        assert child_process.mark(pid) is not None
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 5
    while child_process.mark(pid) is not None:
        assert time.monotonic() < until, "the child is an orphan"
        time.sleep(0.05)


def test_output_and_environment_reach_the_child(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        argv = ["sh", "-c", "echo $WORD; echo $WORD >&2"]
        process = child_process.spawn(argv, env={**os.environ, "WORD": "word"}, output=output)
    assert process.wait(10) == 0
    assert (tmp_path / "out").read_text() == "word\nword\n"


def test_a_program_that_does_not_exist_ends_with_127(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        process = child_process.spawn(["no-such-program"], output=output)
    assert process.wait(10) == 127
    assert "cannot start no-such-program" in (tmp_path / "out").read_text()


def test_stop_kills_what_ignores_the_first_signal() -> None:
    process = child_process.spawn(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
    wait_for_name(process.pid, "sh")
    time.sleep(0.3)
    assert child_process.stop(process, timeout_s=0.3) == -signal.SIGKILL


def test_a_pid_file_ends_the_process_it_names(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    file = tmp_path / "sleeper.pid"
    child_process.write_pid_file(file, sleeper.pid)
    reaper = threading.Thread(target=sleeper.wait)  # it is our child: nobody else can reap it
    reaper.start()
    assert child_process.end_leftover(file)
    reaper.join(5)
    assert sleeper.returncode == -signal.SIGTERM
    assert not file.exists()


def test_a_pid_that_was_given_to_another_process_is_left_alone(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    file = tmp_path / "sleeper.pid"
    child_process.write_pid_file(file, sleeper.pid)
    noted = json.loads(file.read_text())
    file.write_text(json.dumps({**noted, "started": "another boot/1"}))
    assert not child_process.end_leftover(file)
    assert sleeper.poll() is None
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started": "y"}'])
def test_a_torn_pid_file_names_nothing(text: str, tmp_path: Path) -> None:
    file = tmp_path / "torn.pid"
    file.write_text(text)
    assert not child_process.end_leftover(file)


def test_a_port_in_use_is_not_free() -> None:
    port = child_process.free_port()
    assert child_process.port_is_free(port)
    with child_process.socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert not child_process.port_is_free(port)
