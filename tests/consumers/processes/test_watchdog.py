import signal
import subprocess
import sys
import time

from consumers.processes.watchdog import Watchdog


def ended(watchdog: Watchdog, reasons: list[str], within_s: float) -> bool:
    until = time.monotonic() + within_s
    while not reasons and time.monotonic() < until:
        time.sleep(0.02)
    watchdog.stop()
    return bool(reasons)


def test_loop_that_does_not_tick_is_ended_with_what_it_did() -> None:
    reasons: list[str] = []
    watchdog = Watchdog(tick_s=0.3, end=reasons.append)
    watchdog.tick("joining the group")
    assert watchdog.in_time
    assert ended(watchdog, reasons, 5)
    assert "joining the group" in reasons[0]
    assert not watchdog.in_time


def test_loop_that_ticks_goes_on() -> None:
    reasons: list[str] = []
    watchdog = Watchdog(tick_s=1.0, end=reasons.append)
    for _ in range(6):
        time.sleep(0.25)
        watchdog.tick()
    assert not ended(watchdog, reasons, 0)


def test_bounded_call_has_its_own_deadline() -> None:
    reasons: list[str] = []
    watchdog = Watchdog(tick_s=0.2, end=reasons.append)
    with watchdog.within(30.0, "restoring"):
        time.sleep(0.6)
        assert not reasons
    watchdog.tick()
    with watchdog.within(0.2, "a transaction"):
        assert ended(watchdog, reasons, 5)
    assert "a transaction" in reasons[0]


HOLDS_THE_INTERPRETER = """
import ctypes
from consumers.processes.watchdog import Watchdog
watchdog = Watchdog(tick_s=30.0, still_s=1.0)
ctypes.CDLL(None).sleep(2)
print("a call that lets others run may take long", flush=True)
ctypes.PyDLL(None).sleep(60)
"""


def test_a_call_that_never_lets_go_of_the_interpreter_is_ended_by_the_kernel() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HOLDS_THE_INTERPRETER],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == -signal.SIGALRM
    assert "lets others run" in ended.stdout
    assert 'File "<string>", line 7 in <module>' in ended.stderr, "it does not say where it stood"


def test_a_watchdog_that_was_stopped_ends_nobody() -> None:
    watchdog = Watchdog(tick_s=0.3, still_s=1.0)
    time.sleep(0.2)
    watchdog.stop()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
