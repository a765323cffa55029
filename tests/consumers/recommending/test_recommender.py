"""One worker on a real broker, seen from outside: what goes in, what comes out, what survives."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from consumers.kafka_io import clients
from consumers.kafka_io.topics import Topics, ensure_topics, topic_ids
from consumers.processes.child_process import free_port
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.processes.installation import own_command
from consumers.recommending.snapshots import read_snapshot
from consumers.settings import Settings
from stream_rec.statistics.item_index import ItemIndex
from stream_rec.statistics.statistics import Statistics
from tests.agreement import linked

PATIENCE_S = 60.0
START_S = 400.0  # a first start compiles
NOW_MS = 1_763_790_285_000


class Worker:
    """A recommender process that can be killed, and the topics around it."""

    def __init__(self, servers: str, prefix: str, folder: Path) -> None:
        self.settings = Settings(bootstrap_servers=servers, prefix=prefix, data_dir=folder)
        self.topics = Topics(prefix)
        client = clients.admin(self.settings)
        ensure_topics(client, self.topics, partitions=2, replication_factor=1)
        self.ids = topic_ids(client, (self.topics.statistics,))
        client.close()
        self.producer: KafkaProducer = clients.plain_producer(self.settings)
        self.http = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.events = 0

    def start(self, folder: Path | None = None, **environment: str) -> None:
        """Start the worker and wait until it is ready."""
        self.http = f"127.0.0.1:{free_port()}"
        options = {
            "STREAM_REC_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "STREAM_REC_PREFIX": self.settings.prefix,
            "STREAM_REC_DATA_DIR": str(folder or self.settings.data_dir),
            "STREAM_REC_HTTP": self.http,
        }
        log = (self.settings.data_dir / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [*own_command(), "recommender"],
            env=os.environ | options | environment,
            stdout=log,
            stderr=log,
        )
        log.close()
        self.wait(lambda: self.get("/readyz")[0] == 200, START_S)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the worker; return its status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def get(self, path: str) -> tuple[int, str]:
        """Ask the worker over HTTP."""
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail((self.settings.data_dir / "worker.log").read_text()[-3000:])
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait(self, true: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
        """Return the first answer that is true."""
        until = time.monotonic() + seconds
        while not (answer := true()):
            if time.monotonic() > until:
                pytest.fail((self.settings.data_dir / "worker.log").read_text()[-3000:])
            time.sleep(0.1)
        return answer

    def send(self, topic: str, key: str, value: bytes | dict[str, Any] | None) -> None:
        """Send one record, to the partition that producers choose."""
        body = json.dumps(value).encode() if isinstance(value, dict) else value
        self.producer.send(topic, key=key.encode(), value=body).get(20)

    def click(self, user: str, item: str, **more: Any) -> str:
        """Send one click; return its id."""
        self.events += 1
        event_id = f"e{self.events}"
        record = {"event_id": event_id, "user_id": user, "item_id": item}
        timestamp = {"timestamp": NOW_MS + self.events}
        self.send(self.topics.clicks, user, record | timestamp | more)
        return event_id

    def items(self, count: int = 12) -> None:
        """Send a small catalogue."""
        for number in range(count):
            item = {"item_id": f"i{number}", "title": f"Item {number}"}
            self.send(self.topics.items, f"i{number}", item)

    def read(self, topic: str) -> list[Any]:
        """Return the committed records of a topic."""
        reader: KafkaConsumer = clients.plain_consumer(self.settings)
        places = [TopicPartition(topic, number) for number in reader.partitions_for_topic(topic)]
        reader.assign(places)
        reader.seek_to_beginning(*places)
        ends, found = reader.end_offsets(places), []
        while any(reader.position(place) < ends[place] for place in places):
            for records in reader.poll(200).values():
                found += records
        reader.close()
        return found

    def lists(self, user: str) -> list[dict[str, Any]]:
        """Return all lists of a user, in their order."""
        key = f"default/{user}".encode()
        return [json.loads(r.value) for r in self.read(self.topics.recommendations) if r.key == key]

    def list_after(self, user: str, event_id: str) -> dict[str, Any]:
        """Wait for the list that an event led to."""

        def found() -> list[dict[str, Any]]:
            return [x for x in self.lists(user) if x["lineage"]["last_event_id"] == event_id]

        newest: dict[str, Any] = self.wait(found)[-1]
        return newest


@pytest.fixture(scope="module")
def shop(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("recommender")
    made = Worker(broker.bootstrap_servers, "recommender-tests", folder)
    made.items()
    try:
        made.start()
        yield made
    finally:
        made.producer.close(timeout=2)
        if made.process is not None and made.process.poll() is None:
            made.stop(signal.SIGKILL)


def test_click_leads_to_a_list_with_its_lineage(shop: Worker) -> None:
    event_id = shop.click("ann", "i1")
    made = shop.list_after("ann", event_id)
    assert made["version"] >= 1
    assert made["lineage"]["events_applied"] == 1
    assert made["lineage"]["catalogue_items"] == 12
    clicks = shop.topics.clicks
    (place,) = [(r.partition, r.offset) for r in shop.read(clicks) if r.key == b"ann"]
    assert made["lineage"]["offsets"] == {clicks: list(place)}
    assert "i1" not in [item["item_id"] for item in made["items"]]
    assert made["items"]


def test_everyone_never_seen_has_a_default_list(shop: Worker) -> None:
    shop.wait(lambda: shop.lists("*") and shop.lists("*")[-1]["items"])
    assert {
        r.partition for r in shop.read(shop.topics.recommendations) if r.key == b"default/*"
    } == {0}


def test_versions_rise_and_a_duplicate_has_no_second_effect(shop: Worker) -> None:
    shop.click("bob", "i1")
    twice = shop.click("bob", "i2")
    record = {"event_id": twice, "user_id": "bob", "item_id": "i3", "timestamp": NOW_MS}
    shop.send(shop.topics.clicks, "bob", record)
    last = shop.click("bob", "i4")
    assert shop.list_after("bob", last)["lineage"]["events_applied"] == 3
    versions = [made["version"] for made in shop.lists("bob")]
    assert versions == sorted(set(versions))


def test_bad_policy_never_takes_effect_and_a_good_one_is_named_by_the_next_list(
    shop: Worker,
) -> None:
    shop.send(shop.topics.policies, "default", {"list": {"size": 0}})
    shop.send(shop.topics.policies, "default", {"list": {"size": 3}})
    policies = shop.read(shop.topics.policies)
    good = policies[-1].offset
    shop.wait(lambda: len(shop.read(shop.topics.audit)) >= 2)
    audit = [json.loads(record.value) for record in shop.read(shop.topics.audit)]
    assert [(line["verdict"], line["offset"]) for line in audit] == [
        ("refused", policies[0].offset),
        ("accepted", good),
    ]
    letters = shop.read(shop.topics.dead_letters(shop.topics.policies))
    assert [letter.value for letter in letters] == [policies[0].value]
    shop.wait(lambda: len(shop.list_after("cid", shop.click("cid", "i1"))["items"]) == 3)
    assert shop.lists("cid")[-1]["lineage"]["policy_version"] == good


def test_bad_records_become_dead_letters_once_also_after_kill_9(shop: Worker) -> None:
    shop.send(shop.topics.clicks, "dan", b"{nope")
    shop.send(shop.topics.items, "bad", b"[]")
    letters = [shop.topics.dead_letters(topic) for topic in (shop.topics.clicks, shop.topics.items)]
    shop.wait(lambda: all(shop.read(topic) for topic in letters))
    shop.stop(signal.SIGKILL)
    shop.start()
    shop.list_after("dan", shop.click("dan", "i1"))
    assert [len(shop.read(topic)) for topic in letters] == [1, 1]


def test_list_owed_when_the_worker_is_killed_is_made_by_its_successor(shop: Worker) -> None:
    shop.send(shop.topics.policies, "default", {"list": {"min_interval_ms": 8_000}})
    shop.wait(lambda: len(shop.read(shop.topics.accepted_policies)) >= 2)
    time.sleep(0.5)
    first = shop.click("eve", "i1")
    shop.list_after("eve", first)
    owed = shop.click("eve", "i2")
    time.sleep(1.0)
    assert shop.lists("eve")[-1]["lineage"]["last_event_id"] == first
    shop.stop(signal.SIGKILL)
    shop.start()
    assert shop.list_after("eve", owed)["lineage"]["events_applied"] == 2
    shop.send(shop.topics.policies, "default", None)


def test_metrics_tell_outcomes_and_freshness(shop: Worker) -> None:
    shop.list_after("fay", shop.click("fay", "i1"))
    text = shop.get("/metrics")[1]
    topic = shop.topics.clicks
    assert f'stream_rec_events_total{{outcome="applied",topic="{topic}"}}' in text
    assert 'stream_rec_freshness_seconds_count{stage="committed"}' in text
    assert shop.get("/livez")[0] == 200


def test_outcomes_of_each_topic_add_up_to_the_records_read(shop: Worker) -> None:
    twice = shop.click("gus", "i1")
    shop.send(shop.topics.clicks, "gus", {"event_id": twice, "user_id": "gus", "item_id": "i1"})
    shop.send(shop.topics.clicks, "gus", b"{nope")
    review = {"event_id": "r1", "user_id": "gus", "item_id": "i2", "timestamp": NOW_MS, "rating": 5}
    shop.send(shop.topics.reviews, "gus", review)
    shop.wait(lambda: shop.lists("gus") and shop.lists("gus")[-1]["lineage"]["events_applied"] == 2)
    shop.list_after("gus", shop.click("gus", "i3"))

    def reconciled() -> bool:
        text = shop.get("/metrics")[1]
        read, outcomes = dict[str, float](), dict[str, float]()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                topic = sample.labels.get("topic", "")
                if sample.name == "stream_rec_records_read_total":
                    read[topic] = sample.value
                elif sample.name == "stream_rec_events_total":
                    outcomes[topic] = outcomes.get(topic, 0.0) + sample.value
        assert read == outcomes
        return {shop.topics.clicks, shop.topics.reviews} <= read.keys()

    shop.wait(reconciled)
    text = shop.get("/metrics")[1]
    for name in ("judged_events", "exposures_by_item", "drift_mean_ratio", "policy_version"):
        assert f"stream_rec_{name}" in text
    sizes = {
        sample.labels["what"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "stream_rec_state"
    }
    assert (sizes["partitions"], sizes["catalogue_items"]) == (2, 12), sizes
    assert sizes["known_items"] >= 12
    assert sizes["bounded_items"] == 0
    assert sizes["hot_profiles"] > 0


def test_marker_of_a_producers_transaction_is_nothing_to_wait_for(shop: Worker) -> None:
    producer = clients.transactional_producer(shop.settings, "a-shop-with-transactions")
    producer.init_transactions()
    producer.begin_transaction()
    event = {"event_id": "tx", "user_id": "hal", "item_id": "i1", "timestamp": NOW_MS + 10**6}
    producer.send(shop.topics.clicks, key=b"hal", value=json.dumps(event).encode())
    producer.commit_transaction()
    producer.close()
    shop.list_after("hal", "tx")
    time.sleep(2.5)  # the gauge is set once a second
    assert "stream_rec_lag_records 0.0" in shop.get("/metrics")[1]


def test_worker_on_an_empty_disk_reaches_the_same_statistics(shop: Worker, tmp_path: Path) -> None:
    last = ""
    for number in range(41):
        last = shop.click(f"user{number % 7}", f"i{number % 12}")
    shop.list_after("user5", last)
    assert shop.stop() == 0
    shop.start(tmp_path)
    assert shop.stop() == 0
    old, new = (
        _statistics(folder / "recommender-0" / "statistics.snapshot", shop)
        for folder in (shop.settings.data_dir, tmp_path)
    )
    assert old.events == new.events > 40
    rows = np.array([new.items.row(item_id) for item_id in old.items.ids])
    assert old.counts[: len(rows)].tolist() == new.counts[rows].tolist()
    np.testing.assert_allclose(
        old.decayed.sums[:, : len(rows)], new.decayed.sums[:, rows], rtol=1e-6
    )
    assert linked(old, "links") == linked(new, "links")


def _statistics(path: Path, shop: Worker) -> Statistics:
    snapshot = read_snapshot(path, shop.ids[shop.topics.statistics])
    assert snapshot is not None
    return Statistics.from_bytes(snapshot.statistics, ItemIndex())
