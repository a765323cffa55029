"""The pinned client's failures that our rules rest on, reproduced against a real broker.

Two kinds of tests: what the client does (when one of these fails, the client has changed: read the
rule it stands for before changing either), and what our code does about it.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import ConsumerGroupMetadata, KafkaConsumer, OffsetAndMetadata
from kafka.errors import CommitFailedError, KafkaError, KafkaTimeoutError
from kafka.structs import TopicPartition

from consumers.kafka_io import clients
from consumers.kafka_io.transaction import DEADLINE_S, ID_FILE, Outgoing, Transactor
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.processes.watchdog import RESTART_ME, Watchdog
from tests.consumers.kafka_tenant import REPOSITORY, Tenant, ended, heard, in_a_process

INPUTS = ["p.events.clicks", "p.events.reviews", "p.erasures"]


def stale(member: KafkaConsumer) -> ConsumerGroupMetadata:
    """What a member knows that was put out of its group."""
    now = member.group_metadata()
    return now._replace(generation_id=now.generation_id + 7)


# 1. aborted offsets leak into the next transaction


def test_client_commits_aborted_offsets_with_the_next_transaction(tenant: Tenant) -> None:
    member, producer = tenant.member(), tenant.producer("leaky")
    refused, wanted = tenant.places
    producer.begin_transaction()
    with pytest.raises(CommitFailedError):
        producer.send_offsets_to_transaction({refused: OffsetAndMetadata(5)}, stale(member))
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send_offsets_to_transaction({wanted: OffsetAndMetadata(3)}, member.group_metadata())
    producer.commit_transaction()
    assert tenant.committed(wanted) == 3
    assert tenant.committed(refused) == 5, "the client no longer leaks: rule 1 may be relaxed"


def test_refused_transaction_ends_the_process_and_leaves_nothing(tenant: Tenant) -> None:
    member = tenant.member()
    process = in_a_process(
        tenant,
        "transactor = Transactor(settings, Path(settings.data_dir), Watchdog())\n"
        f"stale = ConsumerGroupMetadata({tenant.settings.group_id!r}, "
        f"{stale(member).generation_id}, {member.group_metadata().member_id!r})\n"
        "record = Outgoing(topic=topics.recommendations, partition=0, key=b'k', value=b'v')\n"
        "transactor.commit([record], {TopicPartition(topics.clicks, 0): 5}, stale)\n"
        "print('committed')\n",
    )
    status, complaints = ended(process, 60)
    assert (status, "transaction failed" in complaints) == (RESTART_ME, True), complaints
    assert tenant.committed(tenant.places[0]) is None
    reader = clients.plain_consumer(tenant.settings)
    tenant.opened.append(reader)
    place = TopicPartition(tenant.topics.recommendations, 0)
    reader.assign([place])
    reader.seek_to_beginning(place)
    assert reader.poll(1_000) == {}


# 2, 3, 6. calls that hang, outcomes that are unknown, errors that nothing recovers from


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker to be killed; it aborts transactions that timed out at once."""
    made = EmbeddedBroker()
    at_once = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "300"}
    made.start(tmp_path / "broker", extra_properties=at_once)
    made.wait_ready(90)
    yield made
    made.stop()


def test_commit_to_a_dead_broker_ends_the_process_within_the_deadline(
    own_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    tenant = Tenant(own_broker.bootstrap_servers, prefix, tmp_path)
    ours = in_a_process(
        tenant,
        "import consumers.kafka_io.transaction as transaction\n"
        "def pause(name):\n"
        "    if name == 'after_offsets':\n"
        "        print('open', flush=True)\n"
        "        sys.stdin.readline()\n"
        "transaction.crash_point = pause\n"
        "transactor = Transactor(settings, Path(settings.data_dir), Watchdog())\n"
        "record = Outgoing(topic=topics.recommendations, partition=0, key=b'k', value=b'v')\n"
        "group = ConsumerGroupMetadata(settings.group_id)\n"
        "transactor.commit([record], {TopicPartition(topics.clicks, 0): 5}, group)\n"
        "print('committed')\n",
    )
    bare = in_a_process(
        tenant,
        "producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, max_block_ms=4000,"
        " transactional_id='bare', transaction_timeout_ms=10000, request_timeout_ms=4000,"
        " delivery_timeout_ms=5000)\n"
        "producer.init_transactions()\n"
        "producer.begin_transaction()\n"
        "producer.send(topics.recommendations, key=b'k', value=b'v', partition=0).get(10)\n"
        "print('open', flush=True)\n"
        "sys.stdin.readline()\n"
        "producer.commit_transaction()\n",
    )
    try:
        for process in (ours, bare):
            heard(process, "open")
        own_broker.kill()
        started = time.monotonic()
        for process in (ours, bare):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        status, complaints = ended(ours, DEADLINE_S + 15)
        assert status == RESTART_ME, complaints
        assert time.monotonic() - started < DEADLINE_S + 8
        assert bare.poll() is None, "the client no longer hangs: rule 2 may be relaxed"
    finally:
        for process in (ours, bare):
            process.kill()
            process.communicate()


def test_client_cannot_abort_after_a_transaction_timed_out(
    own_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    tenant = Tenant(own_broker.bootstrap_servers, prefix, tmp_path)
    producer = tenant.producer("slow", transaction_timeout_ms=1_000)
    producer.begin_transaction()
    producer.send(tenant.topics.recommendations, key=b"k", value=b"v", partition=0).get(10)
    time.sleep(3.5)
    with pytest.raises(KafkaError):
        producer.commit_transaction()
    with pytest.raises(KafkaError):
        producer.abort_transaction()
    producer.close(timeout=1)


# 4. zombies


def test_client_with_a_shared_transactional_id_loses_its_transaction(tenant: Tenant) -> None:
    owner = tenant.producer("shared")
    owner.begin_transaction()
    owner.send(tenant.topics.recommendations, key=b"k", value=b"v", partition=0).get(10)
    tenant.producer("shared")
    with pytest.raises(KafkaError):
        owner.commit_transaction()


def test_two_incarnations_with_state_of_their_own_do_not_disturb_each_other(
    tenant: Tenant, watchdog: Watchdog, tmp_path: Path
) -> None:
    member = tenant.member()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    pair = [Transactor(tenant.settings, tmp_path / name, watchdog) for name in ("a", "b")]
    for round_ in range(2):
        for number, transactor in enumerate(pair):
            offset = 2 * round_ + number
            record = Outgoing(topic=tenant.topics.audit, partition=0, key=b"k", value=b"v")
            transactor.commit([record], {tenant.places[0]: offset}, member.group_metadata())
            assert tenant.committed(tenant.places[0]) == offset
    for transactor in pair:
        transactor.close()


def test_client_is_not_fenced_when_the_group_is_only_named(tenant: Tenant) -> None:
    tenant.member()
    producer = tenant.producer("stranger")
    producer.begin_transaction()
    offsets = {tenant.places[0]: OffsetAndMetadata(9)}
    producer.send_offsets_to_transaction(offsets, tenant.settings.group_id)
    producer.commit_transaction()
    assert tenant.committed(tenant.places[0]) == 9, "a bare name is refused now: rule 4 may change"


# 5. read_uncommitted


def test_only_read_committed_waits_for_offsets_of_an_open_transaction(tenant: Tenant) -> None:
    member, producer = tenant.member(), tenant.producer("open")
    place = tenant.places[0]
    producer.begin_transaction()
    producer.send_offsets_to_transaction({place: OffsetAndMetadata(7)}, member.group_metadata())
    assert tenant.committed(place, "read_uncommitted") is None, "stale, and it does not say so"
    with pytest.raises(KafkaTimeoutError):
        tenant.committed(place)
    producer.commit_transaction()
    assert tenant.committed(place) == 7


def test_every_reader_is_read_committed_and_commits_nothing_by_itself(tenant: Tenant) -> None:
    readers = [clients.group_consumer(tenant.settings), clients.plain_consumer(tenant.settings)]
    tenant.opened += readers
    for reader in readers:
        assert reader.config["isolation_level"] == "read_committed"
        assert reader.config["enable_auto_commit"] is False
        assert reader.config["auto_offset_reset"] == "none"
        assert reader.config["reconnect_backoff_max_ms"] == 1_000


# 8. small transactions


def test_small_transactions_in_a_row_are_not_slowed_by_the_retry_pause(
    tenant: Tenant, watchdog: Watchdog, tmp_path: Path
) -> None:
    member = tenant.member()
    transactor = Transactor(tenant.settings, tmp_path, watchdog)
    record = Outgoing(topic=tenant.topics.audit, partition=0, key=b"k", value=b"v")
    times = []
    for offset in range(30):
        started = time.monotonic()
        transactor.commit([record], {tenant.places[0]: offset}, member.group_metadata())
        times.append(time.monotonic() - started)
    transactor.close()
    assert sorted(times)[3] < 0.1, "with the client's default each takes 111 ms or more"


# 10. a loop that hangs


def test_loop_that_hangs_is_ended_for_restart() -> None:
    body = (
        "import threading\n"
        "from consumers.processes.watchdog import Watchdog\n"
        "Watchdog(tick_s=0.5)\n"
        "threading.Event().wait()\n"
    )
    hanging = subprocess.run(
        [sys.executable, "-c", body], cwd=REPOSITORY, capture_output=True, timeout=60, check=False
    )
    assert hanging.returncode == RESTART_ME
    assert b"did not come back" in hanging.stderr


# 12. after kill -9


def test_successor_finds_stable_offsets_at_once_after_kill_9(
    tenant: Tenant, watchdog: Watchdog
) -> None:
    folder = tenant.settings.data_dir
    killed = in_a_process(
        tenant,
        "transactor = Transactor(settings, Path(settings.data_dir), Watchdog())\n"
        "group = ConsumerGroupMetadata(settings.group_id)\n"
        "place = TopicPartition(topics.clicks, 0)\n"
        "record = Outgoing(topic=topics.audit, partition=0, key=b'k', value=b'v')\n"
        "transactor.commit([record], {place: 4}, group)\n"
        "transactor.commit([record], {place: 5}, group)\n",
        environment={"STREAM_REC_CRASH_AT": "after_offsets:2"},
    )
    status, complaints = ended(killed, 60)
    assert status == -signal.SIGKILL, complaints
    with pytest.raises(KafkaTimeoutError):
        tenant.committed(tenant.places[0])
    before = (folder / ID_FILE).read_text()
    started = time.monotonic()
    successor = Transactor(tenant.settings, folder, watchdog)
    assert tenant.committed(tenant.places[0]) == 4
    assert time.monotonic() - started < 6.0, "without fencing it takes 11 s"
    assert (folder / ID_FILE).read_text() != before
    successor.close()
