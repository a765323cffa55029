"""What follows the end of a child, without any process."""

import pytest

from consumers.processes.restart_policy import (
    Ending,
    Finished,
    Restart,
    RestartRules,
    StopAll,
    decide,
)

RULES = RestartRules(tries=5, settled_s=60.0, first_delay_s=0.2, longest_delay_s=1.0)


@pytest.mark.parametrize("status", [75, -9, -15, -11, 143, 137])
def test_75_and_death_by_a_signal_restart(status: int) -> None:
    decision = decide("worker", Ending(status=status, lived_s=1), 0, RULES)
    assert decision == Restart(delay_s=0.2, failures=1)


@pytest.mark.parametrize(("status", "ours"), [(1, 1), (2, 2), (3, 1), (127, 1)])
def test_other_failures_stop_everything_and_name_the_child(status: int, ours: int) -> None:
    decision = decide("worker", Ending(status=status, lived_s=999), 0, RULES)
    assert decision == StopAll(status=ours, reason=f"worker ended with exit status {status}")


def test_a_child_that_is_done_is_left_alone() -> None:
    assert decide("worker", Ending(status=0, lived_s=1), 4, RULES) == Finished()


def test_the_fifth_end_without_progress_gives_up() -> None:
    failures, delays = 0, []
    for _ in range(4):
        decision = decide("worker", Ending(status=75, lived_s=59), failures, RULES)
        assert isinstance(decision, Restart)
        failures = decision.failures
        delays.append(decision.delay_s)
    assert delays == [0.2, 0.4, 0.8, 1.0]
    last = decide("worker", Ending(status=-9, lived_s=59), failures, RULES)
    assert isinstance(last, StopAll)
    assert "5 times without progress" in last.reason
    assert last.status == 1


@pytest.mark.parametrize(
    "ending",
    [Ending(status=75, lived_s=60), Ending(status=-9, lived_s=1, progressed=True)],
)
def test_progress_forgives_earlier_ends(ending: Ending) -> None:
    assert decide("worker", ending, 4, RULES) == Restart(delay_s=0.2, failures=0)


def test_an_end_while_the_broker_was_down_does_not_count() -> None:
    ending = Ending(status=75, lived_s=1, blameless=True)
    assert decide("worker", ending, 4, RULES) == Restart(delay_s=0.2, failures=4)


def test_rules_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="not a way to restart"):
        RestartRules(tries=0)
    with pytest.raises(ValueError, match="not a way to restart"):
        RestartRules(first_delay_s=2.0, longest_delay_s=1.0)
