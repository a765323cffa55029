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
