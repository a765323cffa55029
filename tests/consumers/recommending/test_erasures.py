"""What an erasure writes, and that its traces leave a worker's disk."""

import logging
import os
import secrets
import time
from pathlib import Path

import pytest

from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import (
    decode_marker,
    encode_marker,
    encode_profile,
    is_marker,
    marker_key,
)
from consumers.recommending.erasures import NOBODYS, CleaningTimes, Traces, erasing_records
from consumers.recommending.profile_store import ProfileStore, StoredProfile
from stream_rec.erasure import Erased, Marker
from stream_rec.errors import NewerFormat, StateRejected
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile

TOPICS = Topics("p")
MARK = Marker(timestamp=1_700_000_000_000, version=1024)
TIMES = CleaningTimes(
    roll_ms=3_600_000, lag_ms=86_400_000, tombstones_ms=86_400_000, trusted_ms=64_800_000
)


def stored(user_id: str) -> StoredProfile:
    profile = Profile(user_id, events_applied=1, last_event_id=secrets.token_hex(300))
    return StoredProfile(profile=profile, value=encode_profile(profile))


def opened(folder: Path) -> ProfileStore:
    store = ProfileStore(folder, topic_id="t", hot_profiles=16)
    store.open(0)
    return store


def holding(folder: Path, text: str) -> list[str]:
    """Return the files under a folder that hold a text, plain or in hexadecimal digits."""
    needles = [text.encode(), text.encode().hex().encode(), text.encode().hex().upper().encode()]
    return sorted(
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    )


def forgotten_at_the_edge_of_every_file(folder: Path) -> tuple[ProfileStore, list[str]]:
    """Fill a store of several tables, some of which begin or end with users to be forgotten."""
    store = opened(folder)
    marks = [secrets.token_hex(12) for _ in range(6)]
    for number, mark in enumerate(marks):
        names = [f"{'amz'[number % 3]}-{mark}", *(f"b{n:06}" for n in range(800))]
        store.apply(0, [stored(name) for name in names], position=number + 1, ledger=b"{}")
    return store, [f"{'amz'[number % 3]}-{mark}" for number, mark in enumerate(marks)]


def test_tombstones_name_the_user_and_the_mark_does_not(tmp_path: Path) -> None:
    erased = Erased(marker=MARK, scenarios=("default", "home"))
    records = erasing_records(TOPICS, (3, "ann"), erased, ProfileStore(tmp_path, topic_id="t"))
    assert [(r.topic, r.partition, r.key, r.value) for r in records[:3]] == [
        (TOPICS.recommendations, 3, b"default/ann", None),
        (TOPICS.recommendations, 3, b"home/ann", None),
        (TOPICS.profiles, 3, b"ann", None),
    ]
    mark = records[3]
    assert (mark.topic, mark.key) == (TOPICS.profiles, marker_key("ann"))
    assert is_marker(mark.key or b"")
    assert b"ann" not in (mark.key or b"") + (mark.value or b"")
    assert decode_marker(mark.value or b"") == MARK


@pytest.mark.parametrize("value", [b"", encode_marker(MARK)[:-1], b"\x01\xff"])
def test_a_torn_mark_is_refused(value: bytes) -> None:
    with pytest.raises(StateRejected):
        decode_marker(value)


def test_a_mark_of_a_newer_format_stops_this_version() -> None:
    with pytest.raises(NewerFormat):
        decode_marker(b"\x02\x80")


def test_a_store_knows_marks_again_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.apply(0, [stored("ann"), stored("bob")], position=1, ledger=b"{}")
    store.apply(0, [], position=2, ledger=b"{}", erased={"ann": MARK})
    for found in (store, None):
        if found is None:
            store.close_all()
            found = opened(tmp_path)
        assert found.get(0, "ann") is None
        assert found.marker(0, "ann") == MARK
        assert found.marker(0, "bob") is None
        assert [profile.user_id for profile in found.everyone(0)] == ["bob"]
        assert found.unclean(0)


def test_a_user_who_comes_back_in_the_same_batch_is_there(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.apply(0, [stored("ann")], position=1, ledger=b"{}")
    store.apply(0, [stored("ann")], position=2, ledger=b"{}", erased={"ann": MARK})
    store.close_all()
    assert opened(tmp_path).get(0, "ann") is not None


def test_tombstones_read_back_from_the_changelog_make_a_store_unclean(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.load(0, [(b"ann", stored("ann").value)], position=1, ledger=b"{}")
    assert not store.unclean(0)
    store.load(
        0, [(b"ann", None), (marker_key("ann"), encode_marker(MARK))], position=2, ledger=None
    )
    assert store.unclean(0)
    assert store.get(0, "ann") is None
    assert store.marker(0, "ann") == MARK


def test_cleaned_files_hold_no_trace_of_the_forgotten(tmp_path: Path) -> None:
    store, users = forgotten_at_the_edge_of_every_file(tmp_path)
    secrets_of = [user.partition("-")[2] for user in users]
    assert all(holding(tmp_path, secret) for secret in secrets_of), "the search finds nothing"
    store.apply(0, [], position=9, ledger=b"{}", erased=dict.fromkeys(users, MARK))
    forgot = store.unclean(0)
    store.clean(0)
    store.cleaned(0, forgot)
    assert [holding(tmp_path, secret) for secret in secrets_of] == [[]] * len(users)
    assert not store.unclean(0)
    store.close_all()
    again = opened(tmp_path)
    assert not again.unclean(0)
    assert len(list(again.everyone(0))) == 800


def test_who_is_forgotten_during_a_cleaning_is_cleaned_by_the_next(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.apply(0, [stored("ann"), stored("bob")], position=1, ledger=b"{}")
    store.apply(0, [], position=2, ledger=b"{}", erased={"ann": MARK})
    forgot = store.unclean(0)
    store.clean(0)
    store.apply(0, [], position=3, ledger=b"{}", erased={"bob": MARK})
    store.cleaned(0, forgot)
    assert store.unclean(0)


def test_traces_are_cleaned_by_a_thread_when_it_is_time(tmp_path: Path) -> None:
    store, users = forgotten_at_the_edge_of_every_file(tmp_path)
    traces = Traces(store, TOPICS, TIMES, folder=tmp_path, every_s=1)
    store.apply(0, [], position=9, ledger=b"{}", erased=dict.fromkeys(users, MARK))
    traces.look()
    assert store.unclean(0), "it must wait for others to be forgotten at one go"
    until = time.monotonic() + 30
    while store.unclean(0):
        assert time.monotonic() < until
        traces.look()
        time.sleep(0.05)
    assert traces.cleanings == 1
    assert [holding(tmp_path, user.partition("-")[2]) for user in users] == [[]] * len(users)


def test_files_of_a_partition_that_left_an_hour_ago_are_removed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.open(1)
    store.apply(1, [stored("ann")], position=1, ledger=b"{}")
    store.close(1)
    traces = Traces(store, TOPICS, TIMES, folder=tmp_path, every_s=1)
    traces.look()
    assert (tmp_path / "profiles-1").exists()
    for file in (tmp_path / "profiles-1").iterdir():
        os.utime(file, (time.time() - 3_700,) * 2)
    traces = Traces(store, TOPICS, TIMES, folder=tmp_path, every_s=1)
    traces.look()
    assert not (tmp_path / "profiles-1").exists()
    assert (tmp_path / "profiles-0").exists()


def test_partitions_are_written_to_while_an_erasure_is_young(tmp_path: Path) -> None:
    traces = Traces(opened(tmp_path), TOPICS, TIMES, folder=tmp_path, every_s=1)
    now = 1_700_000_000_000
    ledgers = {0: Ledger(erased_at=now), 1: Ledger(), 2: Ledger(erased_at=now - TIMES.keys_ms - 1)}
    assert [(r.partition, r.key, r.value) for r in traces.touch(ledgers, now)] == [
        (0, NOBODYS, None)
    ]
    assert traces.touch(ledgers, now + TIMES.touch_ms - 1_001) == []
    assert len(traces.touch(ledgers, now + TIMES.touch_ms)) == 1


def test_the_deadline_follows_from_the_topics(tmp_path: Path) -> None:
    assert TIMES.values_ms < 26 * 3_600_000
    assert TIMES.keys_ms < 4 * 86_400_000
    assert TIMES.bounded


def test_a_log_that_is_never_compacted_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    never = CleaningTimes(
        roll_ms=3_600_000, lag_ms=2**63 - 1, tombstones_ms=86_400_000, trusted_ms=64_800_000
    )
    with caplog.at_level(logging.WARNING):
        Traces(opened(tmp_path), TOPICS, never, folder=tmp_path, every_s=1)
    assert "without end" in caplog.text
