from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from consumers.kafka_io import clients
from consumers.kafka_io.topics import (
    Topics,
    dead_letter_limits,
    ensure_topics,
    partition_counts,
    plans,
    topic_ids,
)
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError


@pytest.fixture
def admin(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[KafkaAdminClient]:
    settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=tmp_path)
    client = clients.admin(settings)
    yield client
    client.close()


def config(client: KafkaAdminClient, topic: str, name: str) -> str:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {name: ""})
    found = client.describe_configs([resource], config_filter="all")
    return str(found["topic"][topic][name]["value"])


def test_missing_topics_are_made_as_the_contract_says(admin: KafkaAdminClient, prefix: str) -> None:
    topics = Topics(prefix)
    assert ensure_topics(admin, topics, partitions=3, replication_factor=None) == 3
    wanted = {name: plan.partitions for name, plan in plans(topics, 3).items()}
    assert partition_counts(admin, tuple(wanted)) == wanted
    for compacted in (topics.items, topics.policies, topics.recommendations, topics.profiles):
        assert config(admin, compacted, "cleanup.policy") == "compact"
    assert config(admin, topics.statistics, "retention.ms") == "-1"
    assert config(admin, topics.clicks, "message.timestamp.type") == "LogAppendTime"
    letters, source = (
        int(config(admin, name, "max.message.bytes"))
        for name in (topics.dead_letters(topics.clicks), topics.clicks)
    )
    assert letters > source


def test_second_start_changes_nothing(admin: KafkaAdminClient, prefix: str) -> None:
    topics = Topics(prefix)
    ensure_topics(admin, topics, partitions=2, replication_factor=1)
    ids = topic_ids(admin, (topics.clicks, topics.profiles))
    assert ensure_topics(admin, topics, partitions=9, replication_factor=1) == 2
    assert topic_ids(admin, (topics.clicks, topics.profiles)) == ids


def test_events_that_exist_decide_the_partitions_of_the_rest(
    admin: KafkaAdminClient, prefix: str
) -> None:
    topics = Topics(prefix)
    existing = {"num_partitions": 5, "replication_factor": 1}
    admin.create_topics({topics.clicks: existing, topics.reviews: existing})
    assert ensure_topics(admin, topics, partitions=2, replication_factor=1) == 5
    assert set(partition_counts(admin, topics.by_user).values()) == {5}


def test_unequal_partitions_are_refused(admin: KafkaAdminClient, prefix: str) -> None:
    topics = Topics(prefix)
    admin.create_topics({topics.clicks: {"num_partitions": 2, "replication_factor": 1}})
    admin.create_topics({topics.reviews: {"num_partitions": 3, "replication_factor": 1}})
    with pytest.raises(ConfigurationError, match="equal numbers of partitions"):
        ensure_topics(admin, topics, partitions=2, replication_factor=1)


def test_small_dead_letter_topic_bounds_what_is_written_to_it(
    admin: KafkaAdminClient, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    topics = Topics(prefix)
    letters = topics.dead_letters(topics.clicks)
    small = {
        "num_partitions": 2,
        "replication_factor": 1,
        "configs": {"max.message.bytes": "50000"},
    }
    admin.create_topics({letters: small})
    ensure_topics(admin, topics, partitions=2, replication_factor=1)
    limits = dead_letter_limits(admin, topics)
    assert limits[topics.clicks] < 50_000
    assert limits[topics.items] > 1_048_588
    assert f"{letters} takes 50000 bytes" in caplog.text
