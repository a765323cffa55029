"""The buffer: bounded, fair, recency-weighted, erasable, and the same after any restart."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rec.errors import StateRejected
from stream_rec.language_model.replay_buffer import Feedback, ReplayBuffer

DAY = 86_400_000


def event(user: int, item: int, day: float) -> Feedback:
    return Feedback(user_id=f"u{user}", item_id=f"i{item}", timestamp=int(day * DAY))


def buffer(capacity: int = 100, per_user: int = 10, half_life_days: float = 30) -> ReplayBuffer:
    return ReplayBuffer(capacity, per_user=per_user, half_life_ms=half_life_days * DAY, seed=3)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 400)), max_size=80))
def test_never_over_its_bounds(events: list[tuple[int, int, int]]) -> None:
    kept = buffer(capacity=20, per_user=4)
    for user, item, day in events:
        kept.add(event(user, item, day))
    assert len(kept) == len(list(kept)) <= 20
    assert all(len(history) <= 4 for history in kept.histories().values())
    for history in kept.histories().values():
        assert [f.timestamp for f in history] == sorted(f.timestamp for f in history)


def test_order_of_arrival_does_not_matter() -> None:
    events = [event(user, user % 7, user) for user in range(500)]
    forward, backward = buffer(), buffer()
    for f in events:
        forward.add(f)
    for f in reversed(events):
        backward.add(f)
    assert list(forward) == list(backward)


def test_same_event_twice_counts_once() -> None:
    kept = buffer()
    kept.add(event(1, 1, 1))
    kept.add(event(1, 1, 1))
    assert len(kept) == 1


def test_heavy_user_does_not_crowd_out_light_ones() -> None:
    kept = buffer(capacity=200, per_user=10)
    for item in range(5000):
        kept.add(event(0, item, 1))
    for user in range(1, 101):
        kept.add(event(user, 1, 1))
    assert len(kept.history("u0")) == 10
    assert len(kept.histories()) == 101


def test_newer_events_are_likelier_to_stay() -> None:
    kept = buffer(capacity=1000, half_life_days=100)
    for user in range(10_000):
        kept.add(event(user, 1, day=user % 2 * 100))
    newer = sum(f.timestamp > 0 for f in kept)
    assert 0.6 < newer / 1000 < 0.73  # two to one


def test_ages_of_decades_do_not_overflow() -> None:
    kept = buffer(capacity=2, half_life_days=0.001)
    for day in (0, 20_000, 40_000):
        kept.add(event(day, 1, day))
    assert {f.timestamp // DAY for f in kept} == {20_000, 40_000}


def test_erased_user_is_gone_up_to_the_time_and_no_further() -> None:
    kept = buffer()
    for day in (1, 2, 3):
        kept.add(event(1, day, day))
    kept.add(event(2, 1, 1))
    assert kept.erase("u1", up_to_ms=2 * DAY) == 2
    assert [f.timestamp for f in kept.history("u1")] == [3 * DAY]
    assert kept.erase("u1") == 1
    assert kept.erase("u1") == 0
    assert [f.user_id for f in kept] == ["u2"]


def test_erased_events_leave_room_and_never_return() -> None:
    kept = buffer(capacity=3)
    for user in range(3):
        kept.add(event(user, 1, user))
    kept.erase("u0")
    for user in range(3, 5):
        kept.add(event(user, 1, user))
    assert len(kept) == 3
    assert not kept.history("u0")


def test_stored_buffer_goes_on_as_if_never_stored() -> None:
    kept = buffer(capacity=50)
    for user in range(200):
        kept.add(event(user, 1, user))
    again = ReplayBuffer.from_bytes(kept.to_bytes())
    for user in range(200, 260):
        kept.add(event(user, 1, user))
        again.add(event(user, 1, user))
    assert list(again) == list(kept)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-3], lambda b: b"", lambda b: b[:9] + b"!" + b[10:]]
)
def test_damaged_file_is_refused(damage: object) -> None:
    kept = buffer()
    kept.add(event(1, 1, 1))
    with pytest.raises(StateRejected):
        ReplayBuffer.from_bytes(damage(kept.to_bytes()))


@pytest.mark.parametrize(("capacity", "per_user", "days"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_senseless_bounds_are_refused(capacity: int, per_user: int, days: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        buffer(capacity, per_user, days)
