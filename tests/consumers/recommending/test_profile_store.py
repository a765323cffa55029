from pathlib import Path

import pytest

from consumers.kafka_io.wire import encode_profile
from consumers.recommending.profile_store import DAMAGED, ProfileStore, StoredProfile
from stream_rec.errors import StateRejected
from stream_rec.profiles.profile import Profile


def stored(user_id: str, events: int = 1) -> StoredProfile:
    profile = Profile(user_id, events_applied=events)
    return StoredProfile(profile=profile, value=encode_profile(profile))


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    made = ProfileStore(tmp_path, topic_id="t", hot_profiles=16)
    assert made.open(0) is None
    return made


def test_profile_beyond_the_cache_comes_back_from_disk(store: ProfileStore) -> None:
    users = [f"u{number}" for number in range(100)]
    store.apply(0, [stored(user) for user in users], position=7, ledger=b"{}")
    assert 16 <= store.hot_count < 100
    assert [profile.user_id for user in users if (profile := store.get(0, user))] == users
    assert store.get(0, "stranger") is None


def test_place_and_profiles_survive_closing(store: ProfileStore) -> None:
    store.apply(0, [stored("ann", 3)], position=7, ledger=b"ledger")
    store.close_all()
    place = store.open(0)
    assert place is not None
    assert (place.position, place.ledger) == (7, b"ledger")
    assert store.get(0, "ann") == Profile("ann", events_applied=3)


def test_loaded_tombstone_forgets_a_hot_profile(store: ProfileStore) -> None:
    store.apply(0, [stored("ann")], position=1, ledger=b"{}")
    store.load(0, [(b"ann", None)], position=2, ledger=b"{}")
    assert store.get(0, "ann") is None


def test_users_are_walked_in_pages(store: ProfileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.recommending.profile_store.PAGE", 6)
    users = sorted(f"u{number}" for number in range(20))
    store.apply(0, [stored(user) for user in users], position=1, ledger=b"{}")
    seen = [profile.user_id for profile in store.everyone(0)]
    assert seen == users


def test_partitions_are_apart(store: ProfileStore) -> None:
    store.open(1)
    store.apply(1, [stored("ann")], position=1, ledger=b"{}")
    assert store.get(0, "ann") is None
    store.close(1)
    assert store.owned == {0}


def test_unreadable_profile_is_refused_and_the_store_rebuilt_next_time(
    store: ProfileStore, tmp_path: Path
) -> None:
    store.load(0, [(b"ann", b"\x01torn")], position=1, ledger=b"{}")
    with pytest.raises(StateRejected):
        store.get(0, "ann")
    assert (tmp_path / "profiles-0" / DAMAGED).exists()
    assert store.open(0) is None
    assert store.get(0, "ann") is None


def test_store_that_did_not_follow_for_long_is_rebuilt(store: ProfileStore, tmp_path: Path) -> None:
    store.apply(0, [stored("erased")], position=1, ledger=b"{}")
    store.close_all()
    late = ProfileStore(tmp_path, topic_id="t", trusted_ms=-1)
    assert late.open(0) is None
    assert late.get(0, "erased") is None
