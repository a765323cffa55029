"""How much one round takes on."""

from consumers.recommending.pace import EXAMPLES, LEAST, MOST, Pace


def learned(event_s: float) -> Pace:
    pace = Pace()
    for _ in range(100):
        pace.took(LEAST, LEAST * event_s)
    return pace


def test_without_lag_a_round_stays_small_and_learns_from_all_it_may() -> None:
    pace = learned(1e-4)
    assert pace.batch(0) == LEAST
    assert pace.examples(0) == EXAMPLES


def test_a_batch_grows_with_the_lag_up_to_what_a_quarter_second_takes() -> None:
    quick, slow = learned(1e-5), learned(1e-3)
    assert [quick.batch(lag) for lag in (100, 1_000, 1_000_000)] == [50, 500, MOST]
    assert 240 <= slow.batch(1_000_000) <= 260
    assert slow.examples(1_000_000) < EXAMPLES


def test_a_small_round_does_not_change_what_an_event_is_thought_to_take() -> None:
    pace = learned(1e-4)
    before = pace.batch(1_000_000)
    pace.took(1, 0.05)
    assert pace.batch(1_000_000) == before
