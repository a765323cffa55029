"""The profiles kept in memory."""

from hypothesis import given
from hypothesis import strategies as st

from consumers.recommending.hot_profiles import EVENTS, OVERHEAD, HotProfiles
from stream_rec.profiles.history import Interaction
from stream_rec.profiles.profile import Profile


def _profile(name: str, events: int) -> Profile:
    past = Interaction(1, 0, 0, "i", "click", "default")
    return Profile(name, history=(past,) * events, events_applied=events)


def test_longer_profiles_leave_room_for_fewer() -> None:
    short, long = HotProfiles(16), HotProfiles(16)
    for number in range(100):
        short.keep(0, _profile(f"u{number}", EVENTS))
        long.keep(0, _profile(f"u{number}", 3 * EVENTS))
    assert (len(short), len(long)) == (16, 6)


def test_the_least_recently_used_goes_first() -> None:
    kept = HotProfiles(2)
    for name in ("a", "b"):
        kept.keep(0, _profile(name, EVENTS))
    assert kept.get(0, "a") is not None
    kept.keep(0, _profile("c", EVENTS))
    assert kept.get(0, "b") is None
    assert kept.get(0, "a") is not None


def test_a_partition_that_goes_takes_its_profiles_with_it() -> None:
    kept = HotProfiles(9)
    for partition in (0, 1):
        kept.keep(partition, _profile("u", 1))
    kept.drop_partition(0)
    assert kept.get(0, "u") is None
    assert kept.get(1, "u") is not None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 64), st.booleans()), max_size=80))
def test_room_is_never_exceeded_and_what_is_found_is_the_newest(
    told: list[tuple[int, int, bool]],
) -> None:
    kept, newest = HotProfiles(5), dict[str, int]()
    for user, events, drop in told:
        name = f"u{user}"
        if drop:
            kept.drop(0, name)
            newest.pop(name, None)
        else:
            kept.keep(0, _profile(name, events))
            newest[name] = events
        found = {known: profile for known in newest if (profile := kept.get(0, known)) is not None}
        assert all(len(found[name].history) == newest[name] for name in found)
        assert len(found) == len(kept)
        size = sum(len(profile.history) + OVERHEAD for profile in found.values())
        assert size <= 5 * (EVENTS + OVERHEAD)
        if drop is False:
            assert name in found
