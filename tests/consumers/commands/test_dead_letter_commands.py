"""The dlq commands against a running engine: nothing is sent twice, nothing loops, all is told."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from consumers.commands.dead_letters_found import Wanted, place_of
from consumers.kafka_io.clients import admin, plain_consumer
from consumers.kafka_io.topics import Topics
from consumers.kafka_io.wire import Partitions
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.processes.installation import make_topics
from consumers.settings import Settings
from tests.guarantees import topic_log
from tests.guarantees.fleet import Fleet

LARGEST = 200_000
HUGE = b'{"user_id": "huge", ' + b"x" * 700_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """One worker on the broker, and how to send to it and ask it."""

    settings: Settings
    fleet: Fleet
    command: Callable[..., Any]

    @property
    def topics(self) -> Topics:
        return Topics(self.settings.prefix)

    def send(self, topic: str, *records: tuple[bytes | None, bytes], **where: Any) -> None:
        client = topic_log.producer(self.settings)
        for key, value in records:
            client.send(topic, key=key, value=value, **where)
        client.flush(timeout=30)
        client.close()

    def dlq(self, *arguments: str) -> Any:
        reach = (
            "--bootstrap-servers",
            self.settings.bootstrap_servers,
            "--prefix",
            self.settings.prefix,
        )
        return self.command("dlq", *arguments, *reach)

    def listed(self, *filters: str) -> list[dict[str, Any]]:
        ran = self.dlq("list", "--json", "--limit", "1000", *filters)
        assert ran.status == 0, ran.err
        found: list[dict[str, Any]] = json.loads(ran.out)
        return found

    def wait_listed(self, count: int, *filters: str) -> list[dict[str, Any]]:
        self.fleet.wait(lambda: len(self.listed(*filters)) >= count, 60, "no dead letters")
        found = self.listed(*filters)
        assert len(found) == count
        return found

    def outcomes(self, *arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
        ran = self.dlq("retry", "--json", *arguments)
        done = json.loads(ran.out)
        return ran.status, {one["id"]: (one["outcome"], one["reason"]) for one in done}


@pytest.fixture(scope="module")
def fleet(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    settings = Settings(
        bootstrap_servers=broker.bootstrap_servers,
        prefix="hospital",
        data_dir=tmp_path_factory.mktemp("hospital"),
    )
    make_topics(settings)
    client = admin(settings)
    dlq = Topics.dead_letters(Topics(settings.prefix).reviews)
    resource = ConfigResource(ConfigResourceType.TOPIC, dlq, {"max.message.bytes": str(LARGEST)})
    client.alter_configs([resource])
    client.close()
    with Fleet(settings) as running:
        running.wait_ready()
        yield running


@pytest.fixture
def shop(fleet: Fleet, stream_rec: Callable[..., Any]) -> Shop:
    return Shop(settings=fleet.settings, fleet=fleet, command=stream_rec)


def event(user: str, number: int) -> bytes:
    record = {"event_id": f"{user}-{number}", "user_id": user, "item_id": f"i{number}"}
    return json.dumps(record | {"timestamp": 1_763_790_285_000 + number}).encode()


def misplaced(shop: Shop, user: str) -> int:
    """Send one good event of a user to each partition that is not theirs; return how many."""
    own = Partitions(shop.settings.partitions).of_user(user)
    others = [n for n in range(shop.settings.partitions) if n != own]
    for number in others:
        shop.send(shop.topics.clicks, (user.encode(), event(user, number)), partition=number)
    return len(others)


def test_a_letter_whose_cause_is_gone_is_taken_at_a_retry_and_sent_only_once(shop: Shop) -> None:
    count = misplaced(shop, "ann")
    assert {one["stage"] for one in shop.wait_listed(count, "--key", "ann")} == {"partition"}
    status, done = shop.outcomes("--key", "ann")
    assert (status, [outcome for outcome, _ in done.values()]) == (0, ["taken"] * count)
    profiles, _ = topic_log.changelog(shop.settings)
    assert profiles["ann"].events_applied == count
    assert shop.listed("--key", "ann") == []
    states = [one["state"] for one in shop.listed("--all", "--key", "ann")]
    assert states == ["retried"] * count
    assert shop.outcomes("--key", "ann") == (0, {})
    again = [r for r in topic_log.records(shop.settings, shop.topics.clicks) if r.key == b"ann"]
    assert len(again) == 2 * count
    assert set(Counter(record.value for record in again).values()) == {2}, "not untouched"


def test_a_letter_that_fails_again_says_so_and_does_not_loop(shop: Shop) -> None:
    shop.send(shop.topics.clicks, (b"bob", b'{"torn'), headers=[("trace", b"7"), ("empty", b"")])
    (first,) = shop.wait_listed(1, "--key", "bob")
    assert (first["retries"], first["stage"]) == (0, "decode")
    status, done = shop.outcomes(first["id"])
    assert status == 1
    assert done[first["id"]] == ("failed again", first["reason"])
    (second,) = shop.listed("--key", "bob")
    assert second["id"] != first["id"]
    assert (second["retries"], second["reason"]) == (1, first["reason"])
    states = {one["id"]: one["state"] for one in shop.listed("--all", "--key", "bob")}
    assert states == {first["id"]: "failed again", second["id"]: "open"}
    status, done = shop.outcomes("--key", "bob")
    assert status == 0
    assert done[second["id"]][0] == "skipped"
    assert "--again" in done[second["id"]][1]
    status, done = shop.outcomes("--key", "bob", "--again")
    assert (status, done[second["id"]][0]) == (1, "failed again")
    (third,) = shop.listed("--key", "bob")
    assert third["retries"] == 2
    shown = json.loads(shop.dlq("show", third["id"], "--json").out)
    assert shown["value"] == '{"torn'
    assert shown["headers"]["trace"] == "7"
    assert shown["headers"]["stream_rec.retry.of"] == second["id"].partition("/")[2]
    assert shown["headers"]["stream_rec.errors.message"] == first["reason"]


def test_letters_are_found_by_topic_stage_reason_key_time_and_number(shop: Shop) -> None:
    before = time.time_ns() // 1_000_000_000 - 1
    for user in (b"carl", b"cleo"):
        shop.send(shop.topics.clicks, (user, b"[]"), (user, event("someone-else", 1)))
    shop.wait_listed(2, "--key", "carl")
    shop.wait_listed(2, "--key", "cleo")
    assert len(shop.listed("--key", "carl", "--stage", "key")) == 1
    assert len(shop.listed("--key", "carl", "--reason", "a json OBJECT was expected")) == 1
    assert len(shop.listed("--key", "carl", "--topic", "clicks")) == 2
    assert shop.listed("--key", "carl", "--topic", "reviews") == []
    assert len(shop.listed("--key", "carl", "--since", str(before))) == 2
    assert shop.listed("--key", "carl", "--until", str(before)) == []
    assert len(json.loads(shop.dlq("list", "--json", "--limit", "1", "--key", "carl").out)) == 1
    table = shop.dlq("list", "--key", "carl").out
    assert "a JSON object was expected" in table
    assert shop.dlq("list", "--topic", "nonsense").status == 2
    assert shop.dlq("list", "--since", "yesterday").status == 2


def test_a_record_larger_than_the_dead_letter_topic_takes_is_cut_with_its_checksum(
    shop: Shop,
) -> None:
    shop.send(shop.topics.reviews, (b"huge", HUGE))
    (letter,) = shop.wait_listed(1, "--key", "huge")
    assert not letter["whole"]
    shown = json.loads(shop.dlq("show", letter["id"], "--json").out)
    told = shown["headers"]
    assert told["stream_rec.errors.truncated.value.sha256"] == hashlib.sha256(HUGE).hexdigest()
    assert told["stream_rec.errors.truncated.value.bytes"] == str(len(HUGE))
    assert HUGE.decode().startswith(shown["value"])
    assert LARGEST / 2 < len(shown["value"]) < LARGEST
    status, done = shop.outcomes(letter["id"])
    assert (status, done[letter["id"]][0]) == (0, "skipped")
    assert "cut" in done[letter["id"]][1]


def test_a_retry_never_undoes_a_newer_record_of_the_same_item(shop: Shop) -> None:
    shop.send(shop.topics.items, (b"i-bad", b'{"item_id": 7}'))
    (letter,) = shop.wait_listed(1, "--key", "i-bad")
    status, done = shop.outcomes(letter["id"])
    assert (status, done[letter["id"]][0]) == (1, "failed again")
    (letter,) = shop.listed("--key", "i-bad")
    shop.send(shop.topics.items, (b"i-bad", b'{"item_id": "i-bad", "title": "Mended"}'))
    status, done = shop.outcomes(letter["id"], "--again")
    assert (status, done[letter["id"]][0]) == (0, "skipped")
    assert "newer" in done[letter["id"]][1]


def test_dropped_letters_are_marked_and_the_settled_beginning_leaves_the_log(shop: Shop) -> None:
    for number in range(3):
        shop.send(shop.topics.clicks, (b"dora", b"%d" % number))
    found = shop.wait_listed(3, "--key", "dora")
    assert shop.dlq("drop").status == 2
    ran = shop.dlq("drop", found[1]["id"])
    assert (ran.status, ran.out.startswith("dropped 1;")) == (0, True), ran.err
    left = [one["id"] for one in shop.listed("--key", "dora")]
    assert left == [found[0]["id"], found[2]["id"]]
    assert [one["state"] for one in shop.listed("--all", "--key", "dora")][1] == "dropped"
    ran = shop.dlq("drop", "--topic", "clicks", "--all", "--json")
    told = json.loads(ran.out)
    assert set(left) <= set(told["dropped"])
    assert told["deleted_records"] >= len(told["dropped"])
    assert shop.listed("--all", "--topic", "clicks") == []
    dlq = Topics.dead_letters(shop.topics.clicks)
    reader = plain_consumer(shop.settings)
    partition = place_of(found[0]["id"].partition("/")[2])
    assert partition is not None
    place = TopicPartition(dlq, partition[0])
    assert reader.beginning_offsets([place]) == reader.end_offsets([place])
    reader.close()
    shop.send(shop.topics.clicks, (b"dora", b"after"))
    shop.wait_listed(1, "--key", "dora")


def test_a_name_without_a_letter_is_wrong_use(shop: Shop) -> None:
    assert shop.dlq("show", "events.clicks/0/999999").status == 2
    assert shop.dlq("show", "nowhere/0/1").status == 2


def test_a_drop_must_say_which() -> None:
    assert Wanted().all_letters
    assert not Wanted(stage="key").all_letters
