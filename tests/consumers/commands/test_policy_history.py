"""History and rollback after the broker has really compacted, and after the audit has ended."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from consumers.commands.policy_commands import accepted, audited, earlier
from consumers.kafka_io import clients
from consumers.kafka_io.topic_reading import Read, read, reader
from consumers.kafka_io.topics import Topics, ensure_topics
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.recommending.verdicts import BY_HEADER, Verdicts
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError

COMPACTION_S = 90.0
EAGER = {
    "segment.ms": "100",
    "max.compaction.lag.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
}


class Judge:
    """Gives verdicts as the owner of partition 0 does, and writes them."""

    def __init__(self, broker: EmbeddedBroker, prefix: str, folder: Path) -> None:
        self.settings = Settings(
            bootstrap_servers=broker.bootstrap_servers, prefix=prefix, data_dir=folder
        )
        self.topics = Topics(prefix)
        self.client = clients.admin(self.settings)
        ensure_topics(self.client, self.topics, partitions=1, replication_factor=1)
        self.producer: KafkaProducer = clients.plain_producer(self.settings)
        self.verdicts = Verdicts(self.topics)
        self.verdicts.own({})
        self.offset = 0

    def set(self, scenario: str, patch: object) -> None:
        self.verdicts.take_policy(
            SimpleNamespace(
                topic=self.topics.policies,
                partition=0,
                offset=self.offset,
                key=scenario.encode(),
                value=None if patch is None else json.dumps(patch).encode(),
                headers=[(BY_HEADER, b"ann@shop")],
                timestamp=0,
            )
        )
        self.offset += 1
        for record in self.verdicts.records:
            self.producer.send(record.topic, key=record.key, value=record.value, partition=0)
        self.producer.flush(timeout=20)
        self.verdicts.settled()

    def records(self) -> list[Read]:
        with reader(self.settings) as consumer:
            return list(read(consumer, self.topics.accepted_policies, [0]))

    def compact(self, key: bytes) -> None:
        """Let the broker compact until only the newest record of the key is left."""
        topic = ConfigResource(ConfigResourceType.TOPIC, self.topics.accepted_policies, EAGER)
        self.client.alter_configs([topic])
        until = time.monotonic() + COMPACTION_S
        while sum(record.key == key for record in self.records()) > 1:
            assert time.monotonic() < until, "the broker does not compact"
            time.sleep(1.0)
            self.set("other", {})  # the active segment is never compacted: roll it

    def end_audit(self) -> None:
        """Delete all of the audit, as retention does in time."""
        place = TopicPartition(self.topics.audit, 0)
        self.client.delete_records({place: -1})


@pytest.fixture
def judge(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Judge]:
    made = Judge(broker, prefix, tmp_path)
    yield made
    made.producer.close(timeout=2)
    made.client.close()


def test_history_and_rollback_survive_compaction_and_the_end_of_the_audit(judge: Judge) -> None:
    for size in (3, 4, 5):
        judge.set("default", {"list": {"size": size}})
    judge.set("default", None)
    judge.compact(b"default")
    judge.end_audit()
    lines = [line for line in audited(judge.settings) if line.scenario == "default"]
    sizes = [(line.patch or {}).get("list", {}).get("size") for line in lines]
    assert sizes == [3, 4, 5, None]
    assert {line.by for line in lines} == {"ann@shop"}
    assert [line.offset for line in lines] == [0, 1, 2, 3]
    assert json.loads(earlier(judge.settings, "default", None) or b"") == {"list": {"size": 5}}
    assert json.loads(earlier(judge.settings, "default", 0) or b"") == {"list": {"size": 3}}
    assert accepted(judge.settings).layers().keys() <= {"default", "other"}
    with pytest.raises(ConfigurationError, match="no accepted version 99"):
        earlier(judge.settings, "default", 99)


def test_history_beside_the_policies_in_force_is_no_policy(judge: Judge) -> None:
    judge.set("default", {"list": {"size": 7}})
    assert [record.key for record in judge.records()] == [b"default", b"history/default/0"]
    policies = accepted(judge.settings)
    assert policies.effective("default").policy.toplist.size == 7
    assert set(policies.layers()) == {"default"}
    assert [line.verdict for line in audited(judge.settings)] == ["accepted"]


def test_refusals_are_told_as_long_as_the_audit_keeps_them(judge: Judge) -> None:
    judge.set("default", {"list": {"size": 0}})
    judge.set("default", {"list": {"size": 2}})
    assert [line.verdict for line in audited(judge.settings)] == ["refused", "accepted"]
    assert "$.list.size" in (audited(judge.settings)[0].reason or "")
