"""Batches as other producers write them: any compression, header names of any bytes."""

from pathlib import Path

import pytest
from kafka import KafkaProducer, TopicPartition

from consumers.kafka_io import clients
from consumers.kafka_io.topics import Topics, ensure_topics
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings


class _Bytes(str):
    """A name that a producer writes as bytes that are no UTF-8."""

    def encode(self, *_: str) -> bytes:  # type: ignore[override]
        return b"\xff\xfe bad"


@pytest.fixture
def settings(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Settings:
    found = Settings(bootstrap_servers=broker.bootstrap_servers, prefix=prefix, data_dir=tmp_path)
    client = clients.admin(found)
    ensure_topics(client, Topics(prefix), partitions=1, replication_factor=1)
    client.close()
    return found


def read_all(settings: Settings, count: int) -> list[object]:
    reader = clients.plain_consumer(settings)
    place = TopicPartition(Topics(settings.prefix).clicks, 0)
    reader.assign([place])
    reader.seek(place, 0)
    found: list[object] = []
    for _ in range(100):
        for records in reader.poll(100).values():
            found += records
        if len(found) >= count:
            break
    reader.close()
    return found


def test_every_compression_of_kafka_is_read(settings: Settings) -> None:
    topic, big = Topics(settings.prefix).clicks, b"x" * 300_000
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        producer = KafkaProducer(
            bootstrap_servers=settings.bootstrap_servers, compression_type=codec, linger_ms=50
        )
        for number in range(3):
            producer.send(topic, key=str(codec).encode(), value=big + b"%d" % number)
        producer.flush()
        producer.close()
    found = read_all(settings, 15)
    assert len(found) == 15
    assert {record.value[:-1] for record in found} == {big}  # type: ignore[attr-defined]


def test_a_header_whose_name_is_no_text_does_not_stop_its_partition(settings: Settings) -> None:
    topic = Topics(settings.prefix).clicks
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    producer.send(topic, value=b"1", headers=[("good", b"1")])
    producer.send(topic, value=b"2", headers=[(_Bytes("bad"), b"2"), ("good", b"2")])
    producer.send(topic, value=b"3")
    producer.flush()
    producer.close()
    found = read_all(settings, 3)
    assert [record.value for record in found] == [b"1", b"2", b"3"]  # type: ignore[attr-defined]
    names = [name for name, _ in found[1].headers]  # type: ignore[attr-defined]
    assert names == ["\\xff\\xfe bad", "good"]


def test_ends_are_told_of_topics_of_which_only_some_are_known_yet(settings: Settings) -> None:
    """Without the repair the topic whose leader is not known yet is left out: a KeyError."""
    topics = Topics(settings.prefix)
    reader = clients.plain_consumer(settings)
    places = [TopicPartition(name, 0) for name in (topics.profiles, topics.recommendations)]
    try:
        reader.assign(places[:1])
        reader.seek(places[0], 0)
        reader._client.cluster.request_update()  # brings only topics in use, and forgets the others
        for _ in range(10):
            reader.poll(50)
        assert reader._client.cluster.leader_for_partition(places[1]) is None
        assert reader.end_offsets(places) == dict.fromkeys(places, 0)
        never = reader.offsets_for_times(dict.fromkeys(places, 1))
        assert never == dict.fromkeys(places), "a partition without an answer is asked for ever"
    finally:
        reader.close()


def test_records_parked_by_a_pause_come_back_on_a_quiet_topic(settings: Settings) -> None:
    """Without the repair two of three partitions are never read to their end."""
    topic = Topics(settings.prefix).clicks
    client = clients.admin(settings)
    client.create_partitions({topic: 3})
    client.wait_for_topics([topic], timeout_ms=30_000)
    client.close()
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    for number in range(3):
        for _ in range(50):
            producer.send(topic, value=b"x" * 100, partition=number)
    producer.flush()
    producer.close()
    reader = clients.plain_consumer(settings)
    places = [TopicPartition(topic, number) for number in range(3)]
    reader.assign(places)
    for place in places:
        reader.seek(place, 0)
    found = 0
    for _ in range(12):  # a little of each is read, and each is paused in the middle of a batch
        found += sum(map(len, reader.poll(200, max_records=7).values()))
        reader.pause(*places)
        found += sum(map(len, reader.poll(20).values()))
        reader.resume(*places)
    for _ in range(30):
        found += sum(map(len, reader.poll(100, max_records=7).values()))
    reader.close()
    assert found == 150
