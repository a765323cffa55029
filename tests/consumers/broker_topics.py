"""Makes topics for tests."""

from collections.abc import Mapping

from kafka import KafkaAdminClient


def create_topic(
    bootstrap_servers: str,
    name: str,
    *,
    partitions: int = 1,
    configuration: Mapping[str, str] | None = None,
) -> None:
    """Create one topic on a single-node broker and wait until the broker has it."""
    client = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    topic = {
        "num_partitions": partitions,
        "replication_factor": 1,
        "configs": dict(configuration or {}),
    }
    client.create_topics({name: topic}, wait_for_metadata=True)
    client.close()
