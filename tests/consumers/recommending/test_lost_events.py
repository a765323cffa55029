"""Events that retention deleted before they were read: a worker stops, and goes on when told."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import TopicPartition

from consumers.kafka_io import clients
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from stream_rec.errors import ConfigurationError
from tests.consumers.recommending.test_recommender import Worker


@pytest.fixture
def shop(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(broker.bootstrap_servers, "lost-events-tests", tmp_path)
    made.items()
    try:
        yield made
    finally:
        made.producer.close(timeout=2)
        if made.process is not None and made.process.poll() is None:
            made.stop(signal.SIGKILL)


def test_a_worker_stops_where_events_are_lost_and_goes_on_when_told(shop: Worker) -> None:
    shop.start()
    shop.list_after("ann", shop.click("ann", "i1"))
    assert shop.stop() == 0
    for number in range(4):
        shop.click("ann", f"i{2 + number}")
    client = clients.admin(shop.settings)
    client.delete_records({TopicPartition(shop.topics.clicks, number): -1 for number in (0, 1)})
    client.close()
    with pytest.raises(pytest.fail.Exception):
        shop.start()
    assert shop.process is not None
    assert shop.process.wait(20) == 2
    log = (shop.settings.data_dir / "worker.log").read_text()
    assert "events are lost; to go on without them" in log
    shop.start(STREAM_REC_LOST_EVENTS="skip")
    made = shop.list_after("ann", shop.click("ann", "i9"))
    assert made["lineage"]["events_applied"] == 2
    assert shop.stop() == 0
    shop.start()
    shop.list_after("ann", shop.click("ann", "i10"))


def test_there_are_two_ways_to_meet_a_loss() -> None:
    assert Settings().lost_events == "stop"
    with pytest.raises(ConfigurationError, match="neither stop nor skip"):
        Settings(lost_events="ignore")
