"""Whatever is torn or flipped on a worker's disk, it ends with what the changelog says.

No broker: the changelog is a list, so that hundreds of damages take seconds. What a worker would
answer with an exit and a new start is done here by opening the store again. RocksDB reads some
damage for ever, so that happens in a process of its own, which the watchdog may end.
"""

import multiprocessing
import shutil
import struct
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka import TopicPartition

from consumers.kafka_io.transaction import read_predecessor
from consumers.kafka_io.wire import LEDGER_KEY, Standing, encode_profile, encode_standing
from consumers.processes.watchdog import Watchdog
from consumers.recommending.changelog import restore
from consumers.recommending.profile_store import ProfileStore, StoredProfile
from consumers.recommending.snapshots import Snapshot, read_snapshot, write_snapshot
from stream_rec.errors import StateRejected
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile

TOPIC = "t.internal.profiles"
TRANSACTIONS, ON_DISK, USERS = 60, 45, 40


@dataclass(frozen=True)
class Record:
    """One record of the changelog."""

    offset: int
    key: bytes
    value: bytes | None


class Log:
    """The changelog of partition 0 as a consumer reads it, and the state that it implies."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.expected: dict[str, Profile] = {}
        self.position_now = 0

    def transaction(self, number: int) -> tuple[list[StoredProfile], bytes]:
        """Append what one transaction writes; a few users each, then the ledger."""
        stored = []
        for step in range(3):
            user = f"u{(number * 7 + step * 11) % USERS}"
            profile = Profile(user, events_applied=number + 1, recent=bytes([number] * 64))
            self.expected[user] = profile
            stored.append(StoredProfile(profile=profile, value=encode_profile(profile)))
            self._append(user.encode(), stored[-1].value)
        ledger = encode_standing(Standing(ledger=Ledger(next_offsets={"clicks": number + 1})))
        self._append(LEDGER_KEY, ledger)
        return stored, ledger

    def _append(self, key: bytes, value: bytes) -> None:
        self.records.append(Record(len(self.records), key, value))

    def assign(self, places: list[TopicPartition]) -> None:
        """Take the one partition."""
        [self.place] = places

    def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Say where the log begins."""
        return dict.fromkeys(places, 0)

    def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Say where the log ends."""
        return dict.fromkeys(places, len(self.records))

    def seek(self, _: TopicPartition, offset: int) -> None:
        """Go somewhere."""
        self.position_now = offset

    def position(self, _: TopicPartition) -> int:
        """Say where the reader is."""
        return self.position_now

    def poll(self, timeout_ms: int = 0) -> dict[TopicPartition, list[Any]]:
        """Return the next records."""
        found = self.records[self.position_now : self.position_now + 50]
        self.position_now += len(found)
        return {self.place: found} if found else {}


class Shop:
    """A log, and a store that followed it for a while before its worker was killed."""

    def __init__(self, folder: Path) -> None:
        self.log = Log()
        self.folder = folder / "sound"
        store = ProfileStore(self.folder, topic_id="t")
        assert store.open(0) is None
        for number in range(TRANSACTIONS):
            stored, ledger = self.log.transaction(number)
            if number < ON_DISK:
                store.apply(0, stored, position=len(self.log.records), ledger=ledger)
            if number == ON_DISK // 2:
                store._open[0].flush()  # so that there are tables as well as a write-ahead log
            if number == ON_DISK - 1:
                shutil.copytree(self.folder, folder / "killed")  # as a kill leaves it: not closed
        store.close_all()
        self.folder = folder / "killed"
        self.files = sorted(
            file.relative_to(self.folder)
            for file in self.folder.rglob("*")
            if file.is_file() and file.stat().st_size
        )


def recovered(log: Log, folder: Path) -> dict[str, Profile]:
    """Start as a worker does, again after each refusal, and return what it then knows."""
    refusals = []
    for _ in range(3):
        store = ProfileStore(folder, topic_id="t", hot_profiles=4)
        try:
            committed = {0: {"clicks": TRANSACTIONS}}
            standing = restore(log, TOPIC, store, committed, alive=lambda _: None)[0]
            assert standing.ledger.next_offsets == {"clicks": TRANSACTIONS}
            found = {user: store.get(0, user) for user in log.expected}
            walked = {profile.user_id: profile for profile in store.everyone(0)}
        except StateRejected as error:  # the process ends with 75 and is started again
            refusals.append(error)
        else:
            assert walked == found
            return {user: profile for user, profile in found.items() if profile is not None}
        finally:
            store.close_all()
    message = f"refused again and again: {refusals}"
    raise AssertionError(message)


class Worker:
    """A process that recovers; `ends` counts how often the watchdog ended it."""

    def __init__(self, log: Log) -> None:
        self.ends = 0
        self._log = log
        self._process = self._started()

    def recovered(self, folder: Path) -> dict[str, Profile]:
        """Return what it knows at last, started once more if need be."""
        try:
            return self._process.submit(recovered, self._log, folder).result(60)
        except BrokenProcessPool:
            self.ends += 1
            self._process = self._started()
            return self._process.submit(recovered, self._log, folder).result(60)

    def stop(self) -> None:
        """End the process."""
        self._process.shutdown()

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=watched
        )


def watched() -> None:
    """Run under the watchdog, as a worker does, but with less patience."""
    Watchdog(tick_s=10_000.0, still_s=3.0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def worker(shop: Shop) -> Iterator[Worker]:
    made = Worker(shop.log)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("damaged")
    return (folder / str(number) for number in range(10**9))


def copy_of(shop: Shop, folder: Path) -> Path:
    shutil.copytree(shop.folder, folder)
    return folder


def test_what_a_killed_worker_left_is_gone_on_from(
    shop: Shop, worker: Worker, places: Iterator[Path]
) -> None:
    folder = copy_of(shop, next(places))
    assert worker.recovered(folder) == shop.log.expected
    assert any(file.suffix == ".sst" for file in shop.files)
    assert any(file.suffix == ".log" for file in shop.files)


DAMAGES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@DAMAGES
@given(file=st.integers(0, 99), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_changes_nothing_that_is_known(
    shop: Shop, worker: Worker, places: Iterator[Path], file: int, place: float, bit: int
) -> None:
    folder = copy_of(shop, next(places))
    damaged = folder / shop.files[file % len(shop.files)]
    body = bytearray(damaged.read_bytes())
    body[int(place * len(body))] ^= 1 << bit
    damaged.write_bytes(bytes(body))
    assert worker.recovered(folder) == shop.log.expected, damaged.name
    shutil.rmtree(folder)


@DAMAGES
@given(file=st.integers(0, 99), place=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_changes_nothing_that_is_known(
    shop: Shop, worker: Worker, places: Iterator[Path], file: int, place: float
) -> None:
    folder = copy_of(shop, next(places))
    damaged = folder / shop.files[file % len(shop.files)]
    body = damaged.read_bytes()
    damaged.write_bytes(body[: int(place * len(body))])
    assert worker.recovered(folder) == shop.log.expected, damaged.name
    shutil.rmtree(folder)


def test_a_flipped_bit_that_is_read_for_ever_changes_nothing_that_is_known(
    shop: Shop, worker: Worker, places: Iterator[Path]
) -> None:
    """The kind of a manifest's record, FULL (1), becomes one with a longer head (5)."""
    folder = copy_of(shop, next(places))
    [manifest] = folder.rglob("MANIFEST-*")
    body = bytearray(manifest.read_bytes())
    _, first, _ = struct.unpack_from("<IHB", body, 0)  # checksum, length, kind
    body[7 + first + 6] ^= 4
    manifest.write_bytes(bytes(body))
    before = worker.ends
    assert worker.recovered(folder) == shop.log.expected
    assert worker.ends == before + 1, "RocksDB answers now: the test has become void"


def test_a_missing_file_changes_nothing_that_is_known(
    shop: Shop, worker: Worker, places: Iterator[Path]
) -> None:
    for file in shop.files:
        folder = copy_of(shop, next(places))
        (folder / file).unlink()
        assert worker.recovered(folder) == shop.log.expected, file
        shutil.rmtree(folder)


def test_a_snapshot_with_any_byte_flipped_or_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "statistics.snapshot"
    write_snapshot(path, Snapshot(topic_id="t", offset=12, statistics=bytes(range(256)) * 2))
    sound = path.read_bytes()
    for place in range(len(sound)):
        path.write_bytes(
            sound[:place] + bytes([sound[place] ^ (1 << place % 8)]) + sound[place + 1 :]
        )
        with pytest.raises(StateRejected):
            read_snapshot(path, "t")
        path.write_bytes(sound[:place])
        with pytest.raises(StateRejected):
            read_snapshot(path, "t")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"shop-0-0123abcd", "shop-0-0123abcd"),
        (b"shop-0-0123abcd\n", "shop-0-0123abcd"),
        (b"", None),
        (b"\xff\xfe torn", None),
        (b"shop-0-01\x0023abcd", None),
    ],
)
def test_a_damaged_id_of_the_predecessor_stops_nobody(
    written: bytes, read: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "transactional-id"
    assert read_predecessor(path) is None
    path.write_bytes(written)
    assert read_predecessor(path) == read
