from pathlib import Path

import pytest

from consumers.recommending.circuit import MINUTE_S, PROBE_RECORDS, Circuit, Circuits
from stream_rec.policy import IntakePolicy

POLICY = IntakePolicy()


def opened(policy: IntakePolicy = POLICY) -> Circuit:
    circuit = Circuit()
    circuit.count(150, 120, now=10.0)
    assert circuit.judge(policy, now=10.0) == "open"
    return circuit


@pytest.mark.parametrize(
    ("records", "bad", "state"),
    [
        (10_000, 100, "closed"),  # poison, one in a hundred
        (99, 99, "closed"),  # too few to say anything
        (200, 100, "closed"),  # half is not more than half
        (199, 100, "open"),
        (1_000, 1_000, "open"),
    ],
)
def test_a_topic_is_paused_by_more_than_a_share_of_bad_records_and_enough_of_them(
    records: int, bad: int, state: str
) -> None:
    circuit = Circuit()
    circuit.count(records, bad, now=0.5)
    assert circuit.judge(POLICY, now=0.5) == state


def test_bad_records_of_more_than_a_minute_ago_are_forgotten() -> None:
    circuit = Circuit()
    for second in range(200):  # one bad record a second never makes a hundred in a minute
        circuit.count(1, 1, now=float(second))
        assert circuit.judge(POLICY, now=float(second)) == "closed"
    circuit.count(99, 99, now=200 + MINUTE_S)
    assert circuit.judge(POLICY, now=200 + MINUTE_S) == "closed"


def test_an_open_circuit_is_tried_after_a_while_and_closed_by_a_good_batch() -> None:
    circuit = opened()
    assert circuit.judge(POLICY, now=39.9) == "open"
    assert circuit.retry_in(now=30.0) == pytest.approx(10.0)
    assert circuit.judge(POLICY, now=40.0) == "half_open"
    circuit.count(PROBE_RECORDS, 0, now=40.1)
    assert circuit.judge(POLICY, now=40.1) == "closed"


def test_a_bad_batch_opens_it_again_for_another_while() -> None:
    circuit = opened()
    for turn in range(1, 4):
        now = 10.0 + 30.0 * turn
        assert circuit.judge(POLICY, now=now) == "half_open"
        circuit.count(PROBE_RECORDS, PROBE_RECORDS, now=now)
        assert circuit.judge(POLICY, now=now) == "open"
    assert f"{PROBE_RECORDS} of {PROBE_RECORDS}" in circuit.why


def test_what_came_before_the_trial_is_not_held_against_it() -> None:
    circuit = opened(IntakePolicy(probe_s=1.0))
    policy = IntakePolicy(probe_s=1.0)
    assert circuit.judge(policy, now=11.0) == "half_open"
    circuit.count(PROBE_RECORDS, 1, now=11.0)
    assert circuit.judge(policy, now=11.0) == "closed"
    assert circuit.judge(policy, now=11.1) == "closed", "the old minute opened it again"


def test_a_trial_to_which_hardly_anything_comes_ends_by_time() -> None:
    circuit = opened()
    circuit.judge(POLICY, now=40.0)
    circuit.count(2, 2, now=41.0)
    assert circuit.judge(POLICY, now=69.0) == "half_open"
    assert circuit.judge(POLICY, now=70.0) == "open"
    assert circuit.judge(POLICY, now=100.0) == "half_open"
    assert circuit.judge(POLICY, now=130.0) == "closed", "nothing bad came"


def test_a_policy_that_takes_the_share_closes_it_at_once_and_one_never_pauses() -> None:
    circuit = opened()
    assert circuit.judge(IntakePolicy(most_bad_share=0.79), now=11.0) == "open"
    assert circuit.judge(IntakePolicy(most_bad_share=0.8), now=11.0) == "closed"
    tolerant = IntakePolicy(most_bad_share=1.0, least_bad=1)
    circuit.count(5_000, 5_000, now=12.0)
    assert circuit.judge(tolerant, now=12.0) == "closed"


def test_each_topic_has_its_own_circuit_and_says_why_it_is_paused(tmp_path: Path) -> None:
    circuits = Circuits(("clicks", "reviews"), tmp_path / "paused.json")
    circuits.count(
        {("clicks", "applied"): 500, ("clicks", "dead_lettered"): 5, ("other", "applied"): 1},
        now=1.0,
    )
    circuits.count({("reviews", "dead_lettered"): 300, ("reviews", "late"): 20}, now=1.0)
    assert circuits.judge(POLICY, now=1.0) == {"reviews"}
    assert not circuits.trying
    told = circuits.reasons(now=1.0)
    assert told == "reviews: 300 of 320 records in the last 60 s could not be used; tried in 30 s"
    assert circuits.judge(POLICY, now=31.0) == frozenset()
    assert circuits.trying
    assert circuits.states() == {"clicks": "closed", "reviews": "half_open"}


def test_a_restart_begins_half_open_where_it_was_paused(tmp_path: Path) -> None:
    file = tmp_path / "paused.json"
    circuits = Circuits(("clicks", "reviews"), file)
    circuits.count({("reviews", "dead_lettered"): 300}, now=1.0)
    circuits.judge(POLICY, now=1.0)
    again = Circuits(("clicks", "reviews"), file)
    assert again.states() == {"clicks": "closed", "reviews": "half_open"}
    again.count({("reviews", "dead_lettered"): PROBE_RECORDS}, now=5_000.0)
    assert again.judge(POLICY, now=5_000.0) == {"reviews"}
    again.judge(POLICY, now=5_030.0)
    again.count({("reviews", "applied"): PROBE_RECORDS}, now=5_030.0)
    again.judge(POLICY, now=5_030.0)
    assert Circuits(("reviews",), file).states() == {"reviews": "closed"}


@pytest.mark.parametrize("text", ["", "[", "7", '{"a": 1}', "\x00"])
def test_a_torn_file_means_that_nothing_was_paused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "paused.json"
    file.write_text(text)
    assert Circuits(("reviews",), file).states() == {"reviews": "closed"}
