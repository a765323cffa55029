"""Measures how long a killed recommender takes until it answers an event again."""

import json
import time

from kafka import TopicPartition

from consumers.kafka_io.clients import plain_consumer
from consumers.kafka_io.topics import Topics
from consumers.settings import Settings
from tests.guarantees.fleet import Fleet
from tests.guarantees.topic_log import producer


class Customer:
    """Sends one click of a known user and waits for the list that answers it; close it."""

    def __init__(self, settings: Settings) -> None:
        self._topics = Topics(settings.prefix)
        self._producer = producer(settings)
        self._reader = plain_consumer(settings)
        places = [
            TopicPartition(self._topics.recommendations, number)
            for number in range(settings.partitions)
        ]
        self._reader.assign(places)
        self._reader.seek_to_end()
        for place in places:
            self._reader.position(place)
        self._sent = 0

    def click(self, user_id: str = "u7") -> str:
        """Send a click; return its id."""
        self._sent += 1
        event_id = f"customer-{time.time_ns()}"
        event = {
            "event_id": event_id,
            "user_id": user_id,
            "item_id": f"i{100 + self._sent}",  # none that the user took too often to count
            "timestamp": time.time_ns() // 1_000_000,
        }
        value = json.dumps(event).encode()
        self._producer.send(self._topics.clicks, key=user_id.encode(), value=value).get(timeout=30)
        return event_id

    def answered(self, event_id: str) -> int | None:
        """Return how many events the list that answers a click knows of; None until it is there."""
        for records in self._reader.poll(100).values():
            for record in records:
                lineage = json.loads(record.value or b"{}").get("lineage", {})
                if lineage.get("last_event_id") == event_id:
                    return int(lineage["events_applied"])
        return None

    def close(self) -> None:
        """Let go of the broker."""
        self._producer.close()
        self._reader.close()


def until_answered(fleet: Fleet, customer: Customer, within_s: float = 120.0) -> tuple[float, int]:
    """Click and return the seconds until the list is there, and the events it knows of."""
    started, event_id = time.monotonic(), customer.click()
    known: list[int] = []

    def there() -> bool:
        found = customer.answered(event_id)
        known.extend([] if found is None else [found])
        return bool(known)

    fleet.wait(there, within_s, "no list")
    return time.monotonic() - started, known[0]


def kill_and_wait(fleet: Fleet, customer: Customer, *, empty_disk: bool = False) -> float:
    """Kill worker 0, remove its folder if wanted, and return the seconds to the next list."""
    restarts = fleet.restarts
    if empty_disk:
        fleet.empty_disk_next(0)
    started = time.monotonic()
    assert fleet.kill(0)
    fleet.wait(lambda: fleet.restarts > restarts, 30, "not started again")
    until_answered(fleet, customer)
    return time.monotonic() - started
