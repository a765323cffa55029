"""One record in a hundred is poison: no stall, each is kept untouched, all others count."""

import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumers.kafka_io.topics import Topics
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from stream_rec.errors import StreamRecError
from stream_rec.items import parse_item
from stream_rec.policy import parse_policy
from tests import agreement
from tests.guarantees import topic_log
from tests.guarantees.fleet import Fleet
from tests.guarantees.poison_traffic import EVENT, POISONED_USER, poison_among
from tests.guarantees.traffic import Mix, send_catalogue, send_events, traffic
from tests.oracle import fold
from tests.poison import poisoned

EVENTS, USERS = 10_000, 500
ITEM = {"item_id": "i-poisoned", "title": "Poison", "price": 1.0, "categories": ["c1"]}
POLICY = {"list": {"size": 7}, "signals": {"rating_neutral": 3.0}}
REASONS = ("topic", "partition", "offset", "stage", "exception.class.name", "message")
LARGEST = 900_000  # bytes; the oversized ones are cut, which a test of their own shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A record that was sent beside the traffic."""

    topic: str
    key: bytes | None
    value: bytes | None


def spoiled_controls(settings: Settings) -> list[Written]:
    """Send the whole corpus to `items` and `policies`; return what must be refused."""
    topics, refused = Topics(settings.prefix), []
    client = topic_log.producer(settings)
    for topic, key, record in (
        (topics.items, b"i-poisoned", ITEM),
        (topics.policies, b"*", POLICY),
    ):
        for value in poisoned(record).values():
            if value is None or len(value) > LARGEST:
                continue  # a tombstone is no poison there
            client.send(topic, key=key, value=value)
            if _is_refused(topic == topics.items, key, value):
                refused.append(Written(topic=topic, key=key, value=value))
    client.flush(timeout=60)
    client.close()
    return refused


def _is_refused(item: bool, key: bytes, value: bytes) -> bool:
    try:
        if item:
            parse_item(value, key=key)
        else:
            parse_policy(value)
    except StreamRecError:
        return True
    return False


@pytest.fixture
def settings(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Settings:
    return Settings(bootstrap_servers=broker.bootstrap_servers, prefix=prefix, data_dir=tmp_path)


def letters_of(settings: Settings, *sources: str) -> list[Any]:
    """Return the dead letters of some topics, and check what each must say."""
    found = []
    for source in sources:
        for letter in topic_log.records(settings, Topics.dead_letters(source)):
            headers = dict(letter.headers)
            assert set(headers) >= {f"stream_rec.errors.{name}" for name in REASONS}
            assert headers["stream_rec.errors.topic"] == source.encode()
            assert all(headers.values())
            found.append(letter)
    places = {
        tuple(dict(letter.headers)[f"stream_rec.errors.{name}"] for name in REASONS[:3])
        for letter in found
    }
    assert len(places) == len(found), "a record has two dead letters"
    return found


def test_poison_among_ten_thousand_records_stalls_nothing_and_is_kept_untouched(
    settings: Settings,
) -> None:
    topics = Topics(settings.prefix)
    good = list(traffic(Mix(events=EVENTS, users=USERS, bad=0.0, duplicates=0.0), seed=1))
    sent = poison_among(good, longest=LARGEST)
    with Fleet(settings) as fleet:
        send_catalogue(settings, 200)
        fleet.wait_ready()
        refused = spoiled_controls(settings)
        send_events(settings, sent)
        with contextlib.closing(topic_log.Backlog(settings)) as backlog:
            fleet.wait(lambda: backlog.records() == 0, 200, "events stall")
        fleet.wait(
            lambda: len(letters_of(settings, topics.items, topics.policies)) >= len(refused),
            60,
            "verdicts stall",
        )
        assert fleet.restarts == 0
    events = letters_of(settings, topics.clicks, topics.reviews)
    bodies = Counter(letter.value for letter in events)
    wanted = Counter(record.value for record in sent if record.user_id == POISONED_USER)
    assert bodies == wanted, "a dead letter is missing, or its bytes are not those that were sent"
    assert len(events) == EVENTS // 99
    controls = letters_of(settings, topics.items, topics.policies)
    assert Counter((letter.key, letter.value) for letter in controls) == Counter(
        (written.key, written.value) for written in refused
    )
    expected = fold(
        record for record in topic_log.input_log(settings) if record.key != POISONED_USER.encode()
    )
    profiles, standings = topic_log.changelog(settings)
    assert agreement.profile_differences(profiles, expected) == []
    assert agreement.statistics_differences(topic_log.statistics(settings), expected) == []
    expected.outcomes["dead_lettered"] += len(events)
    ledgers = [standing.ledger for standing in standings.values()]
    assert agreement.outcome_differences(ledgers, expected) == []


def test_a_refused_policy_is_audited_and_a_sound_one_behind_it_takes_effect(
    settings: Settings,
) -> None:
    topics = Topics(settings.prefix)
    with Fleet(settings) as fleet:
        fleet.wait_ready()
        client = topic_log.producer(settings)
        for value in (b'{"list": {"size": 9}}', b'{"list": {"size": "many"}}', b"[" * 100_000):
            client.send(topics.policies, key=b"default", value=value)
        client.send(topics.policies, key=b"default", value=b'{"list": {"size": 3}}')
        client.send(topics.policies, key=b"a/b", value=b"{}")
        client.close()
        fleet.wait(lambda: len(topic_log.records(settings, topics.audit)) == 5, 60, "no audit")
    audit = [json.loads(line.value) for line in topic_log.records(settings, topics.audit)]
    verdicts = [line["verdict"] for line in audit]
    assert verdicts == ["accepted", "refused", "refused", "accepted", "refused"]
    kept = topic_log.records(settings, topics.accepted_policies)
    accepted = [record for record in kept if record.key == b"default"]
    assert [json.loads(record.value)["patch"]["list"]["size"] for record in accepted] == [9, 3]
    assert len(letters_of(settings, topics.policies)) == 3


def test_a_record_with_an_unprintable_key_or_in_a_wrong_partition_is_a_dead_letter(
    settings: Settings,
) -> None:
    topics = Topics(settings.prefix)
    event = EVENT | {"user_id": "ann"}
    with Fleet(settings) as fleet:
        fleet.wait_ready()
        client = topic_log.producer(settings)
        value = json.dumps(event).encode()
        for partition in range(settings.partitions):
            client.send(topics.clicks, key=b"ann", value=value, partition=partition)
        client.send(topics.clicks, key=b"\xff\x00", value=value, partition=0)
        client.send(topics.clicks, key=None, value=value, partition=0)
        client.send(topics.clicks, key=None, value=b"", partition=0)
        client.close()
        with contextlib.closing(topic_log.Backlog(settings)) as backlog:
            fleet.wait(lambda: backlog.records() == 0, 60, "events stall")
    stages = Counter(
        dict(letter.headers)["stream_rec.errors.stage"]
        for letter in letters_of(settings, topics.clicks)
    )
    assert stages == {b"partition": settings.partitions - 1, b"key": 2, b"decode": 1}
    profiles, _ = topic_log.changelog(settings)
    assert profiles["ann"].events_applied == 1
