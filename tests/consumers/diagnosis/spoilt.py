"""An installation's topics on a real broker, and a hand to spoil them."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from consumers.diagnosis.examination import Check
from consumers.diagnosis.finding import Finding
from consumers.diagnosis.look import Bounds, looking
from consumers.kafka_io import clients
from consumers.kafka_io.topics import Topics, ensure_topics
from consumers.settings import Settings
from tests.secured_broker import SecuredBroker

QUICK = Bounds(watched_s=0.5)


class Installation:
    """The topics of one prefix, and a hand to spoil them."""

    def __init__(self, broker: SecuredBroker, prefix: str, folder: Path) -> None:
        self.broker = broker
        self.settings = Settings(
            bootstrap_servers=broker.open_servers, prefix=prefix, data_dir=folder
        )
        self.topics = Topics(prefix)
        self.client = clients.admin(self.settings)
        self.producer: KafkaProducer = clients.plain_producer(self.settings)

    def make(self, partitions: int = 2) -> None:
        """Make all topics as the engine does."""
        ensure_topics(self.client, self.topics, partitions=partitions, replication_factor=1)

    def configure(self, topic: str, **configs: str) -> None:
        """Change settings of a topic; `__` stands for a dot."""
        named = {name.replace("__", "."): value for name, value in configs.items()}
        self.client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, named)])

    def send(
        self, user: str, *, place: Callable[[bytes], int] | None = None, **more: object
    ) -> None:
        """Send a click of the user, where Kafka's default puts it or elsewhere."""
        key = user.encode()
        event = {
            "event_id": f"e{time.time_ns()}",
            "user_id": user,
            "item_id": "i1",
            "timestamp": time.time_ns() // 1_000_000,
        }
        self.producer.send(
            self.topics.clicks,
            key=key,
            value=json.dumps(event | more).encode(),
            partition=None if place is None else place(key),
        )

    def forget(self, user: str, *, place: Callable[[bytes], int] | None = None) -> None:
        """Ask for a user to be forgotten, where Kafka's default puts it or elsewhere."""
        key = user.encode()
        self.producer.send(
            self.topics.erasures,
            key=key,
            value=json.dumps({"user_id": user, "timestamp": time.time()}).encode(),
            partition=None if place is None else place(key),
        )

    def list_items(self, *items: str) -> None:
        """Put items into the catalogue."""
        for item in items:
            value = json.dumps({"item_id": item, "title": f"Thing {item}"}).encode()
            self.producer.send(self.topics.items, key=item.encode(), value=value)

    def found(self, check: Check, bounds: Bounds = QUICK, **more: object) -> dict[str, Finding]:
        """Return what one check finds, by kind."""
        self.producer.flush()
        with looking(self.settings, bounds, **more) as look:  # type: ignore[arg-type]
            return {finding.kind: finding for finding in check(look)}

    def close(self) -> None:
        """Let go of the broker."""
        self.client.close()
        self.producer.close(timeout=2)


def users(count: int) -> list[str]:
    return [f"user-{number}" for number in range(count)]
