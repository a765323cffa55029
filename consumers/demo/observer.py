"""A producer of events and a reader of lists, as a shop has them: from outside, over Kafka alone.

Knows the public contract and nothing of the engine's inside.
"""

import json
import time
from collections.abc import Iterable
from typing import Any

import msgspec
from kafka import TopicPartition

from consumers.kafka_io.clients import plain_consumer, plain_producer
from consumers.kafka_io.topics import Topics
from consumers.settings import Settings
from stream_rec.errors import BrokerUnavailable
from stream_rec.toplist import DEFAULT_USER, TopList


class Observer:
    """One client of a running installation; close it."""

    def __init__(self, settings: Settings, *, scenario: str = "default") -> None:
        self._topics = topics = Topics(settings.prefix)
        self._scenario = scenario
        self._producer = plain_producer(settings)
        self._consumer = plain_consumer(settings)
        partitions = self._consumer.partitions_for_topic(topics.recommendations) or set()
        places = [TopicPartition(topics.recommendations, number) for number in partitions]
        self._consumer.assign(places)
        for place, offset in self._consumer.beginning_offsets(places).items():
            self._consumer.seek(place, offset)

    def send(self, topic: str, record: dict[str, Any]) -> None:
        """Send one record; `topic` is `items`, `clicks` or `reviews`."""
        name = {"items": self._topics.items, "clicks": self._topics.clicks}
        key = record["item_id" if topic == "items" else "user_id"]
        self._producer.send(
            name.get(topic, self._topics.reviews),
            key=str(key).encode(),
            value=json.dumps(record).encode(),
        )

    def send_all(self, topic: str, records: Iterable[dict[str, Any]]) -> None:
        """Send records and wait until the broker has them.

        Raises:
            BrokerUnavailable: it does not take them.
        """
        for record in records:
            self.send(topic, record)
        self._producer.flush(timeout=FLUSH_S)

    def set_policy(self, patch: dict[str, Any]) -> None:
        """Ask for a policy of all scenarios."""
        value = json.dumps(patch).encode()
        self._producer.send(self._topics.policies, key=b"*", value=value)

    def lists(self, wait_s: float) -> list[TopList]:
        """Return the lists of the scenario that arrive next, waiting `wait_s` at most."""
        polled = self._consumer.poll(timeout_ms=round(wait_s * 1000), max_records=500)
        prefix = f"{self._scenario}/".encode()
        return [
            _decoder.decode(record.value)
            for records in polled.values()
            for record in records
            if record.value is not None and record.key.startswith(prefix)
        ]

    def default_list(self, wait_s: float) -> TopList | None:
        """Return the newest list for users never seen that arrives within `wait_s`."""
        until, found = time.monotonic() + wait_s, None
        while (left := until - time.monotonic()) > 0:
            for toplist in self.lists(left):
                if toplist.user_id == DEFAULT_USER:
                    found = toplist
            if found is not None:
                break
        return found

    def close(self) -> None:
        """Send what is under way and let go."""
        self._producer.close(timeout=CLOSE_S)
        self._consumer.close()


def reached(settings: Settings) -> Observer:
    """Return an observer of a broker that should answer.

    Raises:
        BrokerUnavailable: it does not.
    """
    try:
        return Observer(settings)
    except Exception as error:
        msg = f"cannot reach {settings.bootstrap_servers}: {error}"
        raise BrokerUnavailable(msg) from error


FLUSH_S = 60.0
CLOSE_S = 5.0
_decoder = msgspec.json.Decoder(TopList)
