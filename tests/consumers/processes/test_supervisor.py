"""The supervisor with real processes: restarts, gives up, stops in order, orphans nobody."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from consumers.processes import child_process
from consumers.processes.broker_jars import fetch_broker
from consumers.processes.embedded_broker import answers, plan_broker
from consumers.processes.restart_policy import RestartRules
from consumers.processes.supervisor import Child, Supervisor
from stream_rec.errors import ConfigurationError

QUICK = RestartRules(first_delay_s=0.02, longest_delay_s=0.05)

# A supervisor of two sleepers; tells their pids once both run.
PROGRAM = """
import json, sys, pathlib
from consumers.processes.supervisor import Child, Supervisor
argv = ("sleep", "600")
children = [Child(name="one", argv=argv), Child(name="two", argv=argv, stage=1)]
supervisor = Supervisor(children, run_dir=pathlib.Path(sys.argv[1]))
told = []
def tell():
    if supervisor.all_ready() and not told:
        told.append(print(json.dumps(supervisor.pids()), flush=True))
sys.exit(supervisor.run(tell))
"""


def shell(name: str, script: str, **more: object) -> Child:
    return Child(name=name, argv=("sh", "-c", script), **more)  # type: ignore[arg-type]


def forever(name: str, **more: object) -> Child:
    return Child(name=name, argv=("sleep", "600"), **more)  # type: ignore[arg-type]


def until(condition: Callable[[], bool], patience_s: float = 15) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_child_that_asks_for_it_is_started_again_and_its_lines_are_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    marker = tmp_path / "marker"
    script = f"if [ -e {marker} ]; then echo second; else touch {marker}; echo first; exit 75; fi"
    supervisor = Supervisor(
        [shell("worker", script)], run_dir=tmp_path, rules=QUICK, echo=lines.append
    )
    assert supervisor.run() == 0
    assert [line for line in lines if line.startswith("worker")] == [
        "worker | first",
        "worker | second",
    ]
    assert (tmp_path / "worker.log").read_text() == "first\nsecond\n"
    assert supervisor.restarts() == {"worker": 1}


@pytest.mark.parametrize(("status", "ours"), [(1, 1), (2, 2)])
def test_one_failure_stops_everything_and_says_which(
    status: int, ours: int, tmp_path: Path
) -> None:
    lines: list[str] = []
    children = [forever("good"), shell("bad", f"exit {status}")]
    supervisor = Supervisor(children, run_dir=tmp_path, rules=QUICK, echo=lines.append)
    assert supervisor.run() == ours
    assert supervisor.reason() == f"bad ended with exit status {status}"
    assert any(f"bad ended with exit status {status}; stopping" in line for line in lines)
    assert supervisor.pids() == {}
    assert list(tmp_path.glob("*.pid")) == []


def test_it_gives_up_on_a_child_that_never_makes_progress(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    child = shell("crashing", f"echo x >> {starts}; kill -9 $$")
    supervisor = Supervisor([child], run_dir=tmp_path, rules=QUICK, echo=None)
    assert supervisor.run() == 1
    assert len(starts.read_text().split()) == 5
    assert "5 times without progress" in (supervisor.reason() or "")


def test_a_heartbeat_is_progress(tmp_path: Path) -> None:
    starts, beat = tmp_path / "starts", tmp_path / "beat"
    script = f"echo x >> {starts}; [ $(wc -l < {starts}) -lt 8 ] || exit 0; touch {beat}; exit 75"
    child = shell("beating", script, heartbeat=beat)
    assert Supervisor([child], run_dir=tmp_path, rules=QUICK, echo=None).run() == 0
    assert len(starts.read_text().split()) == 8


def test_a_later_stage_waits_for_the_earlier_one_and_stops_before_it(tmp_path: Path) -> None:
    order, gate = tmp_path / "order", tmp_path / "gate"

    def noting(name: str) -> str:
        # A shell waits for its foreground child before it runs a trap, so sleep in pieces.
        note = f"echo {name} stopped >> {order}; exit 0"
        return f"trap '{note}' TERM; echo {name} >> {order}; while :; do sleep 0.02; done"

    children = [
        shell("late", noting("late"), stage=1),
        shell("early", noting("early"), ready=gate.exists),
    ]
    supervisor = Supervisor(children, run_dir=tmp_path, echo=None)
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 5:
            assert set(supervisor.pids()) == {"early"}
            gate.touch()
        if order.exists() and len(order.read_text().split("\n")) > 2:
            supervisor.request_stop()

    assert supervisor.run(turn) == 0
    assert order.read_text().splitlines() == ["early", "late", "late stopped", "early stopped"]


def test_a_child_that_ignores_the_request_is_killed_in_time(tmp_path: Path) -> None:
    script = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    lines: list[str] = []
    supervisor = Supervisor(
        [shell("deaf", script)], run_dir=tmp_path, echo=lines.append, stop_within_s=0.5
    )
    pids: dict[str, int] = {}

    def turn() -> None:
        if "deaf | up" in lines:
            pids.update(supervisor.pids())
            supervisor.request_stop()

    began = time.monotonic()
    assert supervisor.run(turn) == 0
    assert time.monotonic() - began < 5
    assert child_process.mark(pids["deaf"]) is None


def test_an_error_of_the_caller_stops_the_children_too(tmp_path: Path) -> None:
    supervisor = Supervisor([forever("sleeper")], run_dir=tmp_path, echo=None)
    pids: dict[str, int] = {}

    def turn() -> None:
        pids.update(supervisor.pids())
        message = "the view broke"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="the view broke"):
        supervisor.run(turn)
    assert child_process.mark(pids["sleeper"]) is None


def test_two_supervisors_of_one_folder_are_refused(tmp_path: Path) -> None:
    first = Supervisor([forever("sleeper")], run_dir=tmp_path, echo=None)
    thread = threading.Thread(target=first.run)
    thread.start()
    try:
        until(lambda: bool(first.pids()))
        with pytest.raises(ConfigurationError, match="already runs"):
            Supervisor([forever("sleeper")], run_dir=tmp_path, echo=None).run()
        assert child_process.mark(first.pids()["sleeper"]) is not None
    finally:
        first.request_stop()
        thread.join(15)


def test_children_with_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="same name"):
        Supervisor([forever("twin"), forever("twin")], run_dir=tmp_path)


def test_binary_and_endless_lines_do_not_stop_the_forwarding(tmp_path: Path) -> None:
    script = r"printf '\377\n'; head -c 200000 /dev/zero | tr '\0' x; echo; echo end"
    lines: list[str] = []
    supervisor = Supervisor([shell("loud", script)], run_dir=tmp_path, echo=lines.append)
    assert supervisor.run() == 0
    assert lines[-1] == "loud | end"


def start_program(run_dir: Path) -> tuple[subprocess.Popen[str], dict[str, int]]:
    command = [sys.executable, "-c", PROGRAM, str(run_dir)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    return program, json.loads(program.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_everything_in_order(number: signal.Signals, tmp_path: Path) -> None:
    program, pids = start_program(tmp_path)
    with program:
        program.send_signal(number)
        assert program.wait(15) == 0
    assert [child_process.mark(pid) for pid in pids.values()] == [None, None]


def test_nobody_is_orphaned_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    program, pids = start_program(tmp_path)
    with program:
        program.kill()
    until(lambda: all(child_process.mark(pid) is None for pid in pids.values()), 5)
    assert set(pids) == {"one", "two"}
    second, _ = start_program(tmp_path)
    with second:
        second.terminate()
        assert second.wait(15) == 0


@pytest.mark.broker
def test_a_broker_that_was_killed_is_started_again_before_what_needs_it(tmp_path: Path) -> None:
    plan = plan_broker(tmp_path / "kafka", jars=fetch_broker())
    broker = Child(
        name="broker",
        argv=plan.argv,
        ready=partial(answers, plan),
        quiet=True,
        death_signal=signal.SIGTERM,
    )
    client = forever("client", stage=1)
    supervisor = Supervisor([broker, client], run_dir=tmp_path / "run", rules=QUICK, echo=None)
    killed: list[int] = []
    patience = time.monotonic() + 90

    def turn() -> None:
        assert time.monotonic() < patience
        if not supervisor.all_ready():
            return
        pids = supervisor.pids()
        if not killed:
            killed.extend((pids["broker"], pids["client"]))
            os.kill(pids["broker"], signal.SIGKILL)
            os.kill(pids["client"], signal.SIGKILL)
        elif not set(killed) & set(pids.values()):
            supervisor.request_stop()

    assert supervisor.run(turn) == 0
    assert answers(plan) is False
    assert supervisor.restarts() == {"broker": 1, "client": 1}


def test_what_a_killed_supervisor_left_is_ended_by_the_next(tmp_path: Path) -> None:
    leftover = subprocess.Popen(["sleep", "600"], start_new_session=True)
    child_process.write_pid_file(tmp_path / "gone.pid", leftover.pid)
    reaper = threading.Thread(target=leftover.wait)
    reaper.start()
    assert Supervisor([shell("brief", "true")], run_dir=tmp_path, echo=None).run() == 0
    reaper.join(5)
    assert leftover.returncode == -signal.SIGTERM
