from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from consumers.kafka_io import clients
from consumers.kafka_io.topics import Topics, ensure_topics
from consumers.kafka_io.wire import LEDGER_KEY, Standing, encode_profile, encode_standing
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.recommending import changelog
from consumers.recommending.changelog import restore
from consumers.recommending.profile_store import ProfileStore
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Profile


class Log:
    """A changelog on the broker, a writer of transactions, and restores from it."""

    def __init__(self, servers: str, prefix: str, folder: Path) -> None:
        self.settings = Settings(bootstrap_servers=servers, prefix=prefix, data_dir=folder)
        self.topics = Topics(prefix)
        self.folder = folder
        client = clients.admin(self.settings)
        ensure_topics(client, self.topics, partitions=2, replication_factor=1)
        client.close()
        self.producer = clients.transactional_producer(self.settings, f"{prefix}-writer")
        self.producer.init_transactions()
        self.reader = clients.plain_consumer(self.settings)

    def write(self, users: list[str], offset: int, *, commit: bool = True) -> None:
        """Write profiles and a ledger at input offset `offset` in one transaction."""
        self.producer.begin_transaction()
        send = self.producer.send
        for user in users:
            value = encode_profile(Profile(user, events_applied=offset))
            send(self.topics.profiles, key=user.encode(), value=value, partition=0)
        standing = Standing(ledger=Ledger(next_offsets={"clicks": offset}))
        value = encode_standing(standing)
        send(self.topics.profiles, key=LEDGER_KEY, value=value, partition=0).get(10)
        if commit:
            self.producer.commit_transaction()
        else:
            self.producer.abort_transaction()

    def store(self, topic_id: str = "t") -> ProfileStore:
        return ProfileStore(self.folder, topic_id=topic_id)

    def restored(self, store: ProfileStore, offset: int | None) -> Standing:
        self.read = 0

        def alive(records: int) -> None:
            self.read = records

        committed = {0: {"clicks": offset}}
        return restore(self.reader, self.topics.profiles, store, committed, alive=alive)[0]


@pytest.fixture
def log(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Log]:
    made = Log(broker.bootstrap_servers, prefix, tmp_path)
    yield made
    made.producer.close(timeout=2)
    made.reader.close()


def test_empty_changelog_of_a_new_group_is_restored_at_once(log: Log) -> None:
    store = log.store()
    assert log.restored(store, None) == Standing()
    assert store.get(0, "ann") is None


def test_restore_ends_where_control_records_and_aborted_ones_leave_gaps(log: Log) -> None:
    log.write(["ann", "bob"], 3)
    log.write(["eve"], 4, commit=False)
    store = log.store()
    assert log.restored(store, 3).ledger.next_offsets == {"clicks": 3}
    ann = store.get(0, "ann")
    assert ann is not None
    assert ann.events_applied == 3
    assert store.get(0, "eve") is None


def test_second_restore_reads_only_the_tail(log: Log) -> None:
    log.write(["ann", "bob", "cid"], 3)
    store = log.store()
    log.restored(store, 3)
    store.close_all()
    log.write(["ann"], 4)
    store = log.store()
    log.restored(store, 4)
    assert log.read == 2  # one profile and its ledger
    ann = store.get(0, "ann")
    assert ann is not None
    assert ann.events_applied == 4


def test_restore_waits_until_the_ledger_has_what_the_group_committed(log: Log) -> None:
    log.write(["ann"], 3)
    store = log.store()
    later = Timer(0.5, log.write, (["ann"], 5))
    later.start()
    assert log.restored(store, 5).ledger.next_offsets == {"clicks": 5}
    later.join()


def test_changelog_that_stays_behind_the_group_stops_the_worker(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changelog, "MARKERS_S", 0.3)
    log.write(["ann"], 3)
    with pytest.raises(ConfigurationError, match="does not lead"):
        log.restored(log.store(), 9)


def test_group_that_lost_its_offsets_goes_on_from_the_ledger(log: Log) -> None:
    log.write(["ann"], 3)
    assert log.restored(log.store(), None).ledger.next_offsets == {"clicks": 3}


def _of_another_log(log: Log) -> ProfileStore:
    return log.store(topic_id="another")


def _bit_flipped(log: Log) -> ProfileStore:
    for path in (log.folder / "profiles-0").glob("MANIFEST*"):
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 0x10
        path.write_bytes(bytes(body))
    return log.store()


def _beyond_the_end(log: Log) -> ProfileStore:
    store = log.store()
    place = store.open(0)
    assert place is not None
    store.load(0, [(b"ghost", b"x")], position=place.position + 1000, ledger=place.ledger)
    store.close_all()
    return log.store()


def _without_a_current_file(log: Log) -> ProfileStore:
    (log.folder / "profiles-0" / "CURRENT").write_text("")
    return log.store()


@pytest.mark.parametrize(
    "damage", [_of_another_log, _bit_flipped, _beyond_the_end, _without_a_current_file]
)
def test_store_that_cannot_be_trusted_is_rebuilt(
    log: Log, damage: Callable[[Log], ProfileStore], caplog: Any
) -> None:
    log.write(["ann", "bob"], 3)
    store = log.store()
    log.restored(store, 3)
    store.close_all()
    store = damage(log)
    assert log.restored(store, 3).ledger.next_offsets == {"clicks": 3}
    assert log.read == 3
    assert "rebuilding" in caplog.text
    bob = store.get(0, "bob")
    assert bob is not None
    assert bob.events_applied == 3
    store.close_all()
