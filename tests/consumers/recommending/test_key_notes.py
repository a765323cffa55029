"""Users stored under keys: what lies on disk and goes to the log, and what a rotation does."""

from pathlib import Path

import msgspec
import pytest

from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import decode_profile, encode_profile
from consumers.recommending.key_notes import KeyNote, Moving, check_keys, new_note
from consumers.recommending.outbox import Outbox, Sealed, merge, seal
from consumers.recommending.profile_store import KEYS_KEY, ProfileStore
from stream_rec.erasure import Erased, Marker
from stream_rec.errors import ConfigurationError, StateRejected
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile
from stream_rec.pseudonyms import Pseudonyms, read_keys
from tests.consumers.recommending.test_erasures import holding

TOPICS = Topics("p")
K1, K2 = "k1:an old secret of some length", "k2:a new secret of some length"
USER = "user-3f9a1c7be2d84056"


def opened(folder: Path, keys: str = "") -> ProfileStore:
    store = ProfileStore(folder, topic_id="t", names=Pseudonyms(read_keys(keys)))
    store.open(0)
    return store


def written(
    store: ProfileStore, *profiles: Profile, erased: dict[tuple[int, str], Erased] | None = None
) -> Sealed:
    """Write profiles as a transaction does."""
    outbox = Outbox(ledgers={0: Ledger()}, touched={0}, erased=erased or {})
    outbox.profiles = {(0, profile.user_id): profile for profile in profiles}
    sealed = seal(outbox, TOPICS, {}, limits={}, store=store)
    merge(sealed, store, TOPICS, {(TOPICS.profiles, 0): len(sealed.records)})
    return sealed


def changelog(sealed: Sealed) -> list[tuple[bytes | None, bytes | None]]:
    return [(r.key, r.value) for r in sealed.records if r.topic == TOPICS.profiles]


def test_under_a_key_neither_log_nor_disk_holds_the_id(tmp_path: Path) -> None:
    store = opened(tmp_path, K1)
    sealed = written(store, Profile(USER, events_applied=3))
    assert all(USER.encode() not in (k or b"") + (v or b"") for k, v in changelog(sealed))
    store.close_all()
    assert holding(tmp_path, USER.partition("-")[2]) == []
    again = opened(tmp_path, K1)
    assert again.get(0, USER) == Profile(USER, events_applied=3)
    assert [profile.user_id for profile in again.everyone(0)] == [USER]
    assert again.get(0, "stranger") is None


def test_a_sealed_profile_is_of_a_format_of_its_own_and_older_seals_are_read() -> None:
    profile = Profile(USER, events_applied=3)
    names = Pseudonyms(read_keys(K1))
    plain, sealed = encode_profile(profile), encode_profile(profile, names)
    assert (plain[:1], sealed[:1]) == (b"\x01", b"\x02")
    assert decode_profile(sealed, names) == profile
    assert decode_profile(b"\x01" + sealed[1:], names) == profile, "as it was written before"
    with pytest.raises(ConfigurationError, match="key"):
        decode_profile(sealed)


def test_users_stored_before_there_was_a_key_are_found_and_move_when_touched(
    tmp_path: Path,
) -> None:
    plain = opened(tmp_path)
    written(plain, Profile(USER, events_applied=1), Profile("idle"))
    plain.close_all()
    store = opened(tmp_path, K1)
    check_keys(store, 0)
    assert store.get(0, USER) == Profile(USER, events_applied=1)
    sealed = written(store, Profile(USER, events_applied=2))
    assert (USER.encode(), None) in changelog(sealed)
    assert (KEYS_KEY, msgspec.json.encode(KeyNote(keys=("", "k1")))) in changelog(sealed)
    store.clean(0)
    store.close_all()
    assert holding(tmp_path, USER.partition("-")[2]) == []
    again = opened(tmp_path, K1)
    assert again.get(0, USER) == Profile(USER, events_applied=2)
    assert again.get(0, "idle") == Profile("idle")
    assert len(list(again.everyone(0))) == 2


def test_after_a_rotation_a_touched_user_moves_to_the_new_key(tmp_path: Path) -> None:
    written(store := opened(tmp_path, K1), Profile(USER, events_applied=1))
    store.close_all()
    rotated = opened(tmp_path, f"{K2},{K1}")
    check_keys(rotated, 0)
    assert rotated.get(0, USER) is not None
    sealed = written(rotated, Profile(USER, events_applied=2))
    old, new = Pseudonyms(read_keys(K1)).of(USER), rotated.names.of(USER)
    keys = [key for key, _ in changelog(sealed)]
    assert keys.index(old.encode()) < keys.index(new.encode())
    assert [(k, v) for k, v in changelog(sealed) if k == old.encode()] == [(old.encode(), None)]
    assert len(list(rotated.everyone(0))) == 1
    assert new_note(rotated, 0) is None


@pytest.mark.parametrize("keys", ["", K2])
def test_a_key_taken_away_too_early_is_told_before_anything_is_lost(
    tmp_path: Path, keys: str
) -> None:
    written(store := opened(tmp_path, K1), Profile(USER))
    store.close_all()
    with pytest.raises(ConfigurationError, match=r"'k1'.*put it back"):
        check_keys(opened(tmp_path, keys), 0)


def test_a_partition_without_users_takes_any_key(tmp_path: Path) -> None:
    store = opened(tmp_path, K1)
    check_keys(store, 0)
    assert new_note(store, 0) == msgspec.json.encode(KeyNote(keys=("k1",)))
    plain = opened(tmp_path / "plain")
    check_keys(plain, 0)
    assert new_note(plain, 0) is None


def test_the_note_comes_back_with_the_changelog(tmp_path: Path) -> None:
    sealed = written(opened(tmp_path / "one", K1), Profile(USER))
    records = [(k or b"", v) for k, v in changelog(sealed)]
    other = opened(tmp_path / "other", K2)
    other.load(0, records, position=9, ledger=b"{}")
    with pytest.raises(ConfigurationError):
        check_keys(other, 0)


def test_marks_are_found_under_older_names_too(tmp_path: Path) -> None:
    marker = Marker(timestamp=7)
    for keys in ("", K1):
        folder = tmp_path / f"from-{keys[:2]}"
        written(store := opened(folder, keys), Profile(USER))
        assert store.get(0, USER)
        written(store, erased={(0, USER): Erased(marker=marker, scenarios=("default",))})
        assert store.marker(0, USER) == marker
        store.close_all()
        rotated = opened(folder, f"{K2},{K1}")
        assert rotated.marker(0, USER) == marker
        assert rotated.get(0, USER) is None
        rotated.close_all()


def test_a_user_of_an_older_key_is_forgotten_under_that_name(tmp_path: Path) -> None:
    written(store := opened(tmp_path, K1), Profile(USER))
    old = store.names.of(USER).encode()
    store.close_all()
    rotated = opened(tmp_path, f"{K2},{K1}")
    assert rotated.get(0, USER) is not None
    erased = {(0, USER): Erased(marker=Marker(timestamp=7), scenarios=("default",))}
    sealed = written(rotated, erased=erased)
    assert (old, None) in changelog(sealed)
    assert list(rotated.everyone(0)) == []


def test_a_profile_of_a_missing_key_stops_the_worker_rather_than_the_store(tmp_path: Path) -> None:
    store = opened(tmp_path, K1)
    value = encode_profile(Profile(USER), Pseudonyms(read_keys(K2)))
    store.load(0, [(store.names.of(USER).encode(), value)], position=1, ledger=b"{}")
    with pytest.raises(ConfigurationError, match="'k2'"):
        store.get(0, USER)
    assert not (tmp_path / "profiles-0" / "DAMAGED").exists()


def test_idle_rounds_move_everybody_and_then_the_old_key_may_go(tmp_path: Path) -> None:
    users = [Profile(f"u{number}", events_applied=number) for number in range(600)]
    written(store := opened(tmp_path), *users)
    store.close_all()
    rotated = opened(tmp_path, K1)
    moving, rounds = Moving(rotated), 0
    while rotated.note(0) != msgspec.json.encode(KeyNote(keys=("k1",))):
        outbox = Outbox(ledgers={0: Ledger()})
        outbox.add_moved(*moving.some(100))
        rounds += 1
        if not outbox.empty:
            sealed = seal(outbox, TOPICS, {}, limits={}, store=rotated)
            merge(sealed, rotated, TOPICS, {(TOPICS.profiles, 0): 1})
    assert rounds == 8, "six move the users, one ends the look, one looks again and finds nobody"
    assert moving.some(100) == ({}, {})
    rotated.close_all()
    again = opened(tmp_path, K1)
    assert sorted(again.everyone(0), key=lambda profile: profile.events_applied) == users
    again.close_all()
    check_keys(opened(tmp_path, f"{K2},{K1}"), 0)


def test_without_a_key_idle_rounds_move_nobody(tmp_path: Path) -> None:
    written(store := opened(tmp_path), Profile(USER))
    assert Moving(store).some(10) == ({}, {})


@pytest.mark.parametrize("note", [b"[", b'{"format": 1}', b'{"format": 1, "keys": 3}'])
def test_a_torn_note_is_refused(tmp_path: Path, note: bytes) -> None:
    store = opened(tmp_path, K1)
    store.load(0, [(KEYS_KEY, note)], position=1, ledger=b"{}")
    with pytest.raises(StateRejected, match="torn"):
        check_keys(store, 0)
