"""Adapters in one worker on a real broker: promoted, refused, rolled back, killed in between."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumers.kafka_io.wire import encode_vector, vector_key
from consumers.processes.embedded_broker import EmbeddedBroker
from stream_rec.adapters.checkpoint import Checkpoint, write_checkpoint
from stream_rec.items import item_text, text_hash
from tests.adapters.bundles import KINDS, MODEL, bundle, by_kind, item, noise
from tests.consumers.conftest import Command
from tests.consumers.recommending.adapter_records import version_record
from tests.consumers.recommending.test_recommender import Worker

ITEMS = 256
GOOD, RANDOM = by_kind(ITEMS), noise(ITEMS, 3)
POLICY = {"adapter": {"gate": {"shadow_events": 60}}}


class Shop(Worker):
    """A worker over items whose texts say nothing; users are loyal to one secret kind."""

    users = 0

    def fill(self) -> None:
        """Send the catalogue, its frozen vectors, and a policy with a short shadow."""
        for number, vector in enumerate(noise(ITEMS)):
            one = item(number)
            record = {"item_id": one.item_id, "title": one.title, "categories": ["all"]}
            self.producer.send(
                self.topics.items, key=one.item_id.encode(), value=json.dumps(record).encode()
            )
            self.vector(0, number, vector)
        self.producer.flush(30)
        self.send(self.topics.policies, "*", POLICY)

    def vector(self, version: int, number: int, vector: np.ndarray) -> None:
        """Send a text vector, as the encoder does."""
        one = item(number)
        value = encode_vector(MODEL, text_hash(item_text(one)), vector)
        key = vector_key(version, one.item_id)
        self.producer.send(self.topics.vectors, key=key, value=value, partition=0)

    def announce(self, made: Checkpoint, **more: Any) -> None:
        """Write a bundle, then say that it is in shadow, as the trainer does."""
        write_checkpoint(self.settings.checkpoint_root, made)
        self.told(made, **more)

    def told(self, made: Checkpoint, **more: Any) -> None:
        """Send the record of a bundle."""
        record = version_record(made, **more)
        self.producer.send(
            self.topics.adapters, key=record.key, value=record.value, partition=0
        ).get(20)

    def traffic(self, events: int) -> None:
        """Let new users click three items of their kind, one after the other."""
        rng = np.random.default_rng(self.users)
        for _ in range(0, events, 3):
            self.users += 1
            kind = int(rng.integers(KINDS))
            for number in rng.choice(ITEMS // KINDS, 3, replace=False).tolist():
                self.events += 1
                user = f"loyal-{self.users}"
                record = {
                    "event_id": f"t{self.events}",
                    "user_id": user,
                    "item_id": f"i{number * KINDS + kind}",
                    "timestamp": 1_763_790_285_000 + self.events,
                }
                self.producer.send(
                    self.topics.clicks, key=user.encode(), value=json.dumps(record).encode()
                )
        self.producer.flush(30)

    def until(self, version: int, state: str) -> dict[str, Any]:
        """Let users come and go until a version is in a state; return its record."""

        def found() -> dict[str, Any] | None:
            record = self.adapters().get(f"default/{version}", {})
            if record.get("state") == state:
                return record
            self.traffic(30)
            time.sleep(0.3)
            return None

        answer: dict[str, Any] = self.wait(found, 120)
        return answer

    def adapters(self) -> dict[str, dict[str, Any]]:
        """Return the newest record of each key of the topic."""
        records = self.read(self.topics.adapters)
        return {r.key.decode(): json.loads(r.value) for r in records if r.value}

    def verdicts(self, version: int) -> list[str]:
        """Return what the audit says of a version."""
        lines = [json.loads(record.value) for record in self.read(self.topics.audit)]
        return [
            line["verdict"]
            for line in lines
            if line["kind"] == "adapter" and line["offset"] == version
        ]

    def newest(self) -> dict[str, Any]:
        """Click once and return the list."""
        made: dict[str, Any] = self.list_after("ann", self.click("ann", "i1"))
        return made


@pytest.fixture(scope="module")
def shop(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(broker.bootstrap_servers, "adapter-tests", tmp_path_factory.mktemp("adapters"))
    made.fill()
    try:
        made.start()
        yield made
    finally:
        made.producer.close(timeout=2)
        if made.process is not None and made.process.poll() is None:
            made.stop(signal.SIGKILL)


def test_a_good_adapter_serves_after_its_shadow(shop: Shop) -> None:
    before = shop.newest()
    assert (before["lineage"]["adapter_version"], before["tier"]) == (0, "lm")
    shop.announce(bundle(5, GOOD))
    record = shop.until(5, "promoted")
    assert record["shadow"]["events"] >= 60
    assert record["shadow"]["mean"] > 0.02
    after = shop.wait(lambda: (made := shop.newest())["lineage"]["adapter_version"] == 5 and made)
    assert after["tier"] == "adapted"
    assert after["lineage"]["encoded_items"] == after["lineage"]["catalogue_items"] == ITEMS
    assert shop.adapters()["default/live"]["version"] == 5
    assert shop.verdicts(5) == ["promoted"]
    shop.wait(lambda: shop.lists("*")[-1]["lineage"]["adapter_version"] == 5)


def test_after_kill_9_what_is_live_is_loaded_before_the_worker_is_ready(shop: Shop) -> None:
    shop.stop(signal.SIGKILL)
    shop.start()
    assert "stream_rec_adapters_in_memory 1.0" in shop.get("/metrics")[1]
    assert shop.newest()["lineage"]["adapter_version"] == 5


def test_a_new_item_enters_the_adapter_when_it_has_been_read_by_it(shop: Shop) -> None:
    record = {"item_id": f"i{ITEMS}", "title": f"Item {ITEMS}", "categories": ["all"]}
    shop.send(shop.topics.items, f"i{ITEMS}", record)
    waiting = shop.wait(
        lambda: (made := shop.newest())["lineage"]["catalogue_items"] == ITEMS + 1 and made
    )
    assert waiting["lineage"]["encoded_items"] == ITEMS
    shop.vector(5, ITEMS, by_kind(ITEMS + 1)[-1])
    shop.wait(lambda: shop.newest()["lineage"]["encoded_items"] == ITEMS + 1)


def test_random_vectors_are_never_promoted(shop: Shop) -> None:
    shop.announce(bundle(6, RANDOM), champion=5)
    record = shop.until(6, "rejected")
    assert record["shadow"]["mean"] < 0
    assert shop.verdicts(6) == ["rejected"]
    assert shop.adapters()["default/live"]["version"] == 5


def test_a_torn_bundle_is_refused_and_rejected(shop: Shop) -> None:
    torn = bundle(7, GOOD)
    path = Path(write_checkpoint(shop.settings.checkpoint_root, torn))
    (path / "vectors.safetensors").write_bytes(b"torn")
    shop.told(torn)
    assert "torn or changed" in shop.until(7, "rejected")["reason"]
    assert shop.newest()["lineage"]["adapter_version"] == 5


def test_rollback_is_one_step(shop: Shop, stream_rec: Command) -> None:
    where = options(shop)
    done = stream_rec("adapter", "rollback", "--reason", "a test", *where)
    assert done.status == 0
    assert done.out.strip() == "the frozen language model serves default again, 5 is rolled back"
    shop.wait(lambda: shop.newest()["lineage"]["adapter_version"] == 0)
    again = stream_rec("adapter", "rollback", *where)
    assert again.status == 2
    assert "nothing to roll back" in again.err
    listed = json.loads(stream_rec("adapter", "list", "--json", *where).out)
    assert {one["version"]: one["state"] for one in listed["versions"]} == {
        5: "rolled_back", 6: "rejected", 7: "rejected"
    }  # fmt: skip
    assert listed["live"][0]["by"]
    assert "rolled_back" in stream_rec("adapter", "list", *where).out
    assert "a test" in stream_rec("adapter", "show", "5", *where).out


def test_an_operator_promotes_what_exists_and_is_whole(shop: Shop, stream_rec: Command) -> None:
    where = options(shop)
    assert stream_rec("adapter", "promote", "99", *where).status == 2
    rejected = stream_rec("adapter", "promote", "6", *where)
    assert (rejected.status, "--force" in rejected.err) == (2, True)
    torn = stream_rec("adapter", "promote", "7", "--force", *where)
    assert (torn.status, "torn or changed" in torn.err) == (1, True)
    assert stream_rec("adapter", "promote", "5", *where).status == 0
    shop.wait(lambda: shop.newest()["lineage"]["adapter_version"] == 5)
    assert shop.verdicts(5) == ["promoted", "rolled_back", "promoted"]


def test_a_promoted_adapter_that_is_worse_is_rolled_back_by_itself(
    shop: Shop, stream_rec: Command
) -> None:
    assert stream_rec("adapter", "promote", "6", "--force", *options(shop)).status == 0
    shop.wait(lambda: shop.newest()["lineage"]["adapter_version"] == 6)
    assert "fell below 5" in shop.until(6, "rolled_back")["reason"]
    shop.wait(lambda: shop.newest()["lineage"]["adapter_version"] == 5)
    assert shop.verdicts(6) == ["rejected", "promoted", "rolled_back"]


def test_a_promotion_whose_owner_is_killed_is_neither_lost_nor_doubled(
    shop: Shop, stream_rec: Command
) -> None:
    assert stream_rec("adapter", "rollback", *options(shop)).status == 0
    assert shop.stop() == 0
    shop.start(STREAM_REC_CRASH_AT="after_decision")
    shop.announce(bundle(8, by_kind(ITEMS, seed=4)))
    assert shop.process is not None
    process = shop.process
    shop.wait(lambda: shop.traffic(30) or process.poll() is not None, 120)
    assert process.returncode == -signal.SIGKILL
    assert shop.verdicts(8) == []
    assert shop.adapters()["default/live"]["version"] == 0
    shop.start()
    shop.until(8, "promoted")
    shop.wait(lambda: shop.newest()["lineage"]["adapter_version"] == 8)
    assert shop.verdicts(8) == ["promoted"]


def test_every_list_was_made_by_one_version_and_says_so(shop: Shop) -> None:
    lists = [json.loads(r.value) for r in shop.read(shop.topics.recommendations)]
    tiers = {(made["lineage"]["adapter_version"] > 0, made["tier"]) for made in lists}
    assert {made["lineage"]["adapter_version"] for made in lists} <= {0, 5, 6, 8}
    assert (True, "lm") not in tiers
    assert (False, "adapted") not in tiers
    assert (True, "adapted") in tiers


def options(shop: Shop) -> tuple[str, ...]:
    settings = shop.settings
    return (
        "--bootstrap-servers", settings.bootstrap_servers,
        "--prefix", settings.prefix,
        "--data-dir", str(settings.data_dir),
    )  # fmt: skip
