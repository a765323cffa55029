from pathlib import Path

import pytest

from consumers.kafka_io.wire import encode_profile
from consumers.recommending.profile_store import ProfileStore, StoredProfile
from consumers.recommending.spare_time import DEFAULT_EVERY_MS, WRONG_WAIT_MS, Bounds, SpareTime
from stream_rec.events import DAY_MS
from stream_rec.profiles.profile import Listing, Profile
from stream_rec.replica import Replica
from stream_rec.staleness import Place

NOW_MS = 1_763_790_285_000
NOTHING = Bounds(owed=0, overdue=0, stalest=0)


class Spare:
    """Spare time over a store of profiles."""

    def __init__(self, folder: Path) -> None:
        self.replica = Replica()
        self.replica.statistics.newest_ms = NOW_MS
        self.store = ProfileStore(folder, topic_id="t")
        self.store.open(0)
        self.time = SpareTime(self.replica, self.store)

    def keep(self, user: str, *, made_ms: int, owed: bool = False) -> Profile:
        """Store a profile with one list."""
        listing = Listing(version=1, generated_at=made_ms, owed=owed)
        profile = Profile(user, newest_ms=NOW_MS, lists={"default": listing})
        value = encode_profile(profile)
        kept = StoredProfile(profile=profile, value=value)
        self.store.apply(0, [kept], position=1, ledger=b"{}")
        return profile

    def commit(self, *profiles: Profile, applied: int = 0) -> None:
        """Note committed profiles."""
        self.time.committed({(0, p.user_id): p for p in profiles}, applied=applied)

    def due(self, at_ms: int, bounds: Bounds) -> list[str]:
        """Return whose lists are due."""
        return [entry.profile.user_id for entry in self.time.due(at_ms, bounds)]


@pytest.fixture
def spare(tmp_path: Path) -> Spare:
    made = Spare(tmp_path)
    made.time.taken_over([0])
    made.time.look_around(10)
    return made


def test_default_lists_are_made_after_a_change_and_not_too_often(spare: Spare) -> None:
    assert spare.due(NOW_MS, NOTHING) == ["*"]
    assert spare.due(NOW_MS + 10_000, NOTHING) == []
    spare.time.changed()
    assert spare.due(NOW_MS + 10_000, NOTHING) == ["*"]
    spare.time.changed()
    assert spare.due(NOW_MS + 10_000 + DEFAULT_EVERY_MS - 1, NOTHING) == []
    assert spare.time.wait_ms(NOW_MS + 10_000, 500) == DEFAULT_EVERY_MS
    assert spare.due(NOW_MS + 10_000 + DEFAULT_EVERY_MS, NOTHING) == ["*"]


def test_only_the_owner_of_partition_0_makes_default_lists(spare: Spare) -> None:
    spare.store.close(0)
    spare.store.open(1)
    assert spare.due(NOW_MS, NOTHING) == []


def test_owed_list_is_due_when_its_interval_has_passed(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.replica.put_policy("*", 0, {"list": {"min_interval_ms": 1000}})
    spare.commit(spare.keep("ann", made_ms=NOW_MS, owed=True))
    owed = Bounds(owed=8, overdue=0)
    assert spare.due(NOW_MS + 999, owed) == []
    assert spare.time.wait_ms(NOW_MS + 990, 500) == 10
    assert spare.due(NOW_MS + 1000, owed) == ["ann"]
    assert spare.due(NOW_MS + 1001, owed) == []


def test_owed_lists_are_found_in_the_store_after_a_restart(tmp_path: Path) -> None:
    spare = Spare(tmp_path)
    spare.keep("ann", made_ms=NOW_MS, owed=True)
    spare.keep("bob", made_ms=NOW_MS)
    spare.time.taken_over([0])
    spare.time.look_around(10)
    assert spare.due(NOW_MS + 1, Bounds(owed=8, overdue=0)) == ["*", "ann"]


def test_list_made_since_it_was_owed_is_not_made_again(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.commit(spare.keep("ann", made_ms=NOW_MS, owed=True))
    spare.commit(spare.keep("ann", made_ms=NOW_MS + 5))
    assert spare.due(NOW_MS + 10, Bounds(owed=8, overdue=0)) == []


def test_stalest_list_of_the_store_comes_first(tmp_path: Path) -> None:
    spare = Spare(tmp_path)
    for user, age in (("ann", 3), ("bob", 9), ("cid", 5)):
        spare.keep(user, made_ms=NOW_MS - age * 10_000)
    spare.time.taken_over([0])
    spare.time.look_around(2)
    assert spare.due(NOW_MS, Bounds(stalest=3)) == ["*"], "the order is not known yet"
    spare.time.look_around(10)
    spare.time.committed({}, applied=10)
    assert spare.due(NOW_MS, Bounds(stalest=2, overdue=0)) == ["bob", "cid"]


def test_overdue_list_is_made_even_when_busy(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.commit(spare.keep("ann", made_ms=NOW_MS), spare.keep("bob", made_ms=NOW_MS + 1))
    busy = Bounds(overdue=1)
    assert spare.due(NOW_MS + 899_000, busy) == []
    assert spare.due(NOW_MS + 901_000, busy) == ["ann"]
    assert spare.due(NOW_MS + 901_000, busy) == ["bob"]


def test_expired_list_counts_as_wrong_though_it_need_not_be_refreshed_yet(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.replica.put_policy("default", 0, {"list": {"expires_s": 60}})
    spare.commit(spare.keep("ann", made_ms=NOW_MS), spare.keep("bob", made_ms=NOW_MS + 5_000))
    spare.due(NOW_MS + 60_000, NOTHING)
    assert not spare.time.sweeping
    assert spare.due(NOW_MS + 60_001, Bounds(owed=0, overdue=0)) == []
    assert spare.time.sweeping
    assert spare.due(NOW_MS + 60_001, Bounds(owed=0, overdue=8)) == ["ann"]


def test_expired_list_that_must_wait_for_its_interval_is_made_when_that_is_over(
    spare: Spare,
) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.replica.put_policy("*", 0, {"list": {"expires_s": 2, "min_interval_ms": 8_000}})
    spare.commit(spare.keep("ann", made_ms=NOW_MS))
    assert "ann" not in spare.due(NOW_MS + 3_000, Bounds(overdue=4))
    assert "ann" in spare.due(NOW_MS + 8_000, Bounds(overdue=0))


def test_expired_list_of_a_user_idle_for_a_day_waits_for_its_user(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.replica.put_policy("default", 0, {"list": {"expires_s": 60}})
    spare.commit(spare.keep("ann", made_ms=NOW_MS))
    spare.replica.statistics.newest_ms = NOW_MS + DAY_MS + 1
    assert spare.due(NOW_MS + 60_001, Bounds(owed=0, overdue=8)) == ["*"]
    assert not spare.time.sweeping


def test_default_lists_are_made_again_before_they_expire(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.replica.put_policy("default", 0, {"list": {"expires_s": 60}})
    assert spare.due(NOW_MS + 29_999, NOTHING) == []
    assert spare.due(NOW_MS + 30_000, NOTHING) == ["*"]


def test_change_of_rules_makes_every_older_list_overdue(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.commit(spare.keep("ann", made_ms=NOW_MS), spare.keep("bob", made_ms=NOW_MS + 50))
    spare.time.changed(sweep_ms=NOW_MS + 20)
    assert spare.due(NOW_MS + 30, Bounds(owed=0, overdue=8)) == ["ann"]


def test_stale_list_waits_for_its_interval_like_any_other(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.replica.put_policy("*", 0, {"list": {"min_interval_ms": 8_000}})
    spare.time.changed(sweep_ms=NOW_MS + 20)
    spare.due(NOW_MS + 1_000, NOTHING)
    spare.commit(spare.keep("ann", made_ms=NOW_MS), applied=5)
    for at_ms in (1_000, 5_000, 7_999):
        assert spare.due(NOW_MS + at_ms, Bounds(stalest=4)) == []
    assert spare.due(NOW_MS + 8_000, Bounds(stalest=4)) == ["ann"]


def test_lists_known_to_be_wrong_come_before_those_that_may_be(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.commit(*(spare.keep(user, made_ms=NOW_MS) for user in ("ann", "bob", "cid")))
    assert not spare.time.sweeping
    spare.time.wrong([Place(0, "cid", "default"), Place(0, "gone", "default")], NOW_MS + 10)
    spare.time.changed(sweep_ms=NOW_MS + 10)
    assert spare.time.sweeping
    assert spare.time.wait_ms(NOW_MS + 11, 500) < 50
    assert spare.due(NOW_MS + 11, Bounds(overdue=2)) == ["cid", "ann"]
    spare.commit(*(spare.keep(user, made_ms=NOW_MS + 12) for user in ("ann", "bob", "cid")))
    assert not spare.time.sweeping
    assert spare.due(NOW_MS + 13, Bounds(overdue=8)) == []


def test_list_made_since_it_was_found_wrong_is_not_made_again(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.commit(spare.keep("ann", made_ms=NOW_MS))
    spare.time.wrong([Place(0, "ann", "default")], NOW_MS + 10)
    spare.commit(spare.keep("ann", made_ms=NOW_MS + 20))
    assert spare.due(NOW_MS + 30, Bounds(overdue=8)) == []


def test_wrong_list_that_must_wait_for_its_interval_is_made_when_that_is_over(
    spare: Spare,
) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.replica.put_policy("*", 0, {"list": {"min_interval_ms": 8_000}})
    spare.commit(spare.keep("ann", made_ms=NOW_MS), spare.keep("bob", made_ms=NOW_MS + 9_000))
    spare.time.changed(sweep_ms=NOW_MS + 20)
    assert spare.due(NOW_MS + 1_000, Bounds(overdue=4)) == ["*"]
    assert spare.due(NOW_MS + 8_000, Bounds(overdue=0)) == ["ann"]


@pytest.mark.parametrize("owed", [False, True])
def test_wrong_list_waits_for_a_long_interval_no_longer_than_the_sweep_allows(
    spare: Spare, owed: bool
) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.replica.put_policy("*", 0, {"list": {"min_interval_ms": 300_000}})
    spare.commit(spare.keep("ann", made_ms=NOW_MS, owed=owed))
    spare.time.changed(sweep_ms=NOW_MS + 20)
    for at_ms in (1_000, 5_000, WRONG_WAIT_MS - 1):
        assert "ann" not in spare.due(NOW_MS + at_ms, Bounds(overdue=4))
    assert spare.due(NOW_MS + WRONG_WAIT_MS, Bounds(overdue=0)) == ["ann"]
    spare.commit(spare.keep("ann", made_ms=NOW_MS + WRONG_WAIT_MS, owed=True))
    spare.time.changed(sweep_ms=NOW_MS + WRONG_WAIT_MS + 5)
    at_ms = NOW_MS + 2 * WRONG_WAIT_MS
    assert "ann" not in spare.due(at_ms - 1, Bounds(overdue=4)), "a change does not start it anew"
    assert spare.due(at_ms, Bounds(overdue=4)) == ["ann"]


def test_owed_list_that_is_not_wrong_waits_for_all_of_its_interval(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.replica.put_policy("*", 0, {"list": {"min_interval_ms": 300_000}})
    spare.time.changed(sweep_ms=NOW_MS)
    spare.commit(spare.keep("ann", made_ms=NOW_MS, owed=True))
    assert "ann" not in spare.due(NOW_MS + 299_999, Bounds(overdue=4))
    assert "ann" in spare.due(NOW_MS + 300_000, Bounds(overdue=4))


def test_sweep_is_never_taken_back(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.commit(spare.keep("ann", made_ms=NOW_MS))
    spare.time.changed(sweep_ms=NOW_MS + 20)
    spare.time.changed(sweep_ms=NOW_MS - 20)
    assert spare.due(NOW_MS + 30, Bounds(owed=0, overdue=8)) == ["ann"]


def test_partition_that_is_gone_has_nothing_due(spare: Spare) -> None:
    spare.due(NOW_MS, NOTHING)
    spare.commit(spare.keep("ann", made_ms=NOW_MS - 10_000_000))
    spare.store.close(0)
    assert spare.due(NOW_MS, Bounds(overdue=8)) == []
