"""The Kafka clients, with the settings that measurements showed to matter, in one place.

Every reader is `read_committed` (the default disables fencing and returns stale offsets while a
transaction is open), no reader commits by itself, and no client waits 30 s to reconnect. Each is
made through `first_contact.py`, and raises what that raises. Nothing here knows what records mean.
"""

from collections.abc import Collection

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.range import RangePartitionAssignor

from consumers.kafka_io.client_repairs import mend_client
from consumers.kafka_io.first_contact import connected
from consumers.settings import Settings


def group_consumer(settings: Settings) -> KafkaConsumer:
    """Make the recommenders' group member of this slot, which `join_group` subscribes.

    The range assignor keeps the equal partition numbers of all topics in one worker; the
    cooperative one splits a user's topics. Static membership brings a restarted slot its own
    partitions back without a rebalance. Positions are the caller's to seek: a group without offsets
    starts from the ledger or the beginning; one whose offsets left the log must stop, not reset.
    """
    options = {
        **_reader(settings),
        "group_id": settings.group_id,
        "group_instance_id": f"{settings.group_id}-{settings.slot}",
        "partition_assignment_strategy": [RangePartitionAssignor],
        "auto_offset_reset": "none",
        "session_timeout_ms": 10_000,
        "heartbeat_interval_ms": 3_000,
        "max_poll_interval_ms": 60_000,
    }
    return connected(lambda wait: KafkaConsumer(**options, bootstrap_timeout_ms=wait), settings)


def join_group(
    consumer: KafkaConsumer,
    topics: Collection[str],
    listener: ConsumerRebalanceListener | None = None,
) -> None:
    """Subscribe to topics; the next poll joins the group.

    Their partitions are asked for before that: a leader that assigns before it knows them gives
    nobody anything, and may not look again for five minutes.
    """
    consumer.subscribe(list(topics), listener=listener)
    for topic in topics:
        consumer.partitions_for_topic(topic)


def plain_consumer(settings: Settings) -> KafkaConsumer:
    """Make a reader outside every group: for `assign`, positions are the caller's to seek."""
    options = {
        **_reader(settings),
        "group_id": None,
        "auto_offset_reset": "none",
        "max_poll_records": 2_000,
        "max_partition_fetch_bytes": 4_194_304,
    }
    return connected(lambda wait: KafkaConsumer(**options, bootstrap_timeout_ms=wait), settings)


def transactional_producer(settings: Settings, transactional_id: str) -> KafkaProducer:
    """Make a producer of one incarnation; `transaction.py` alone uses it.

    `retry_backoff_ms` is the pause after CONCURRENT_TRANSACTIONS: at its default of 100 small
    transactions in a row take 111 ms each, at 5 they take 15.
    """
    options = {
        **_writer(settings),
        "transactional_id": transactional_id,
        "transaction_timeout_ms": 10_000,
        "delivery_timeout_ms": 9_000,
        "max_block_ms": 9_000,
        "retry_backoff_ms": 5,
    }
    return connected(lambda wait: KafkaProducer(**options, bootstrap_timeout_ms=wait), settings)


def plain_producer(settings: Settings) -> KafkaProducer:
    """Make an idempotent producer for what stands outside the transactions."""
    options = {
        **_writer(settings),
        "delivery_timeout_ms": 30_000,
        "max_block_ms": 9_000,
        "retry_backoff_ms": 50,
    }
    return connected(lambda wait: KafkaProducer(**options, bootstrap_timeout_ms=wait), settings)


def admin(settings: Settings) -> KafkaAdminClient:
    """Make an administrator: topics and their settings."""
    options = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": f"{settings.prefix}-admin",
        "reconnect_backoff_max_ms": 1_000,
        "request_timeout_ms": 15_000,
        **settings.security.client_options(),
    }
    return connected(lambda wait: KafkaAdminClient(**options, bootstrap_timeout_ms=wait), settings)


def _reader(settings: Settings) -> dict[str, object]:
    mend_client()
    return {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": f"{settings.prefix}-{settings.slot}",
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        "check_crcs": True,
        "request_timeout_ms": 8_000,
        "reconnect_backoff_max_ms": 1_000,
        "fetch_max_wait_ms": FETCH_MAX_WAIT_MS,
        "metrics_enabled": False,
        **settings.security.client_options(),
    }


def _writer(settings: Settings) -> dict[str, object]:
    return {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": f"{settings.prefix}-{settings.slot}",
        "allow_auto_create_topics": False,
        "request_timeout_ms": 8_000,
        "reconnect_backoff_max_ms": 1_000,
        "linger_ms": 0,
        "batch_size": 131_072,
        "compression_type": "lz4",
        "max_request_size": MAX_REQUEST_BYTES,
        "metrics_enabled": False,
        **settings.security.client_options(),
    }


FETCH_MAX_WAIT_MS = 100
# Above a source's 1 MiB: a dead letter with its headers must fit (topics.py sets the same).
MAX_REQUEST_BYTES = 2_097_152
