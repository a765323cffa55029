"""What the doctor can only half see, and what is on its way: notes, checks that cannot be made."""

import json
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata
from kafka.errors import NoOffsetForPartitionError

from consumers.diagnosis import encoding_checks, group_checks, model_checks, transaction_checks
from consumers.diagnosis.examination import examine
from consumers.diagnosis.look import looking
from consumers.kafka_io import clients
from consumers.kafka_io.rights import Right
from consumers.kafka_io.wire import encode_vector, vector_key
from consumers.settings import Settings
from tests.consumers.diagnosis.spoilt import QUICK, Installation

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[2] / "consumers" / "diagnosis"
# Said where a library is missing; the wheel's own tests run without it.
NOT_PROVOKED = {"model_not_checked"}


def as_user(shop: Installation, *operations: str) -> Settings:
    """Return settings of a user who may do these things with the topics, and nothing else."""
    user = f"{'-'.join(operations).lower()}-{shop.settings.prefix}"
    servers, security = shop.broker.by_scram(user)
    name = f"{shop.settings.prefix}."
    shop.broker.grant(user, [Right(kind="topic", name=name, operations=operations, prefixed=True)])
    time.sleep(0.5)
    return replace(shop.settings, bootstrap_servers=servers, security=security)


def joined(settings: Settings, topics: list[str]) -> KafkaConsumer:
    consumer = clients.group_consumer(settings)
    clients.join_group(consumer, topics)
    until = time.monotonic() + 20
    while not consumer.assignment() and time.monotonic() < until:
        with suppress(NoOffsetForPartitionError):
            consumer.poll(100)
    return consumer


def test_a_check_that_cannot_be_made_says_so(shop: Installation) -> None:
    shop.make()
    shop.send("u1")
    shop.producer.flush()
    with looking(as_user(shop, "Describe"), QUICK) as look:
        found = {checked.check: checked.findings for checked in examine(look)}
    assert [finding.kind for finding in found["keys"]] == ["not_checked"]
    assert "Authorization" in found["keys"][0].text


def test_a_group_that_may_not_be_seen_is_said(shop: Installation) -> None:
    shop.make()
    with looking(as_user(shop, "Describe", "Read"), QUICK) as look:
        [found] = group_checks.group_gets_on(look)
    assert found.kind == "group_hidden"


def test_who_holds_a_transaction_may_not_be_seen(shop: Installation) -> None:
    shop.make()
    hanging = KafkaProducer(
        bootstrap_servers=shop.settings.bootstrap_servers,
        transactional_id=f"{shop.settings.prefix}-unseen",
    )
    hanging.init_transactions()
    hanging.begin_transaction()
    hanging.send(shop.topics.clicks, key=b"u1", value=b"{}", partition=0).get(20)
    try:
        with looking(as_user(shop, "Describe"), QUICK) as look:
            [found] = transaction_checks.transactions_end(look)
    finally:
        hanging.abort_transaction()
        hanging.close()
    assert (found.kind, found.weight) == ("open_transactions", "note")


def test_more_members_than_partitions_are_noted(shop: Installation) -> None:
    shop.make(partitions=1)
    topics = [shop.topics.clicks, shop.topics.reviews]
    first = joined(shop.settings, topics)
    second = clients.group_consumer(replace(shop.settings, slot=1))
    clients.join_group(second, topics)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            for consumer in (first, second):
                with suppress(NoOffsetForPartitionError):
                    consumer.poll(100)
            if "idle_members" in (found := shop.found(group_checks.group_gets_on)):
                break
    finally:
        first.close(autocommit=False)
        second.close(autocommit=False)
    assert found["idle_members"].text == "2 members for 1 partitions: 1 do nothing"


def test_a_rebalance_is_not_taken_for_being_stuck(shop: Installation) -> None:
    shop.make()
    topics = [shop.topics.clicks, shop.topics.reviews]
    first = joined(shop.settings, topics)
    first.commit({place: OffsetAndMetadata(0) for place in first.assignment()})
    shop.send("u1")
    done = threading.Event()

    def join() -> None:
        second = joined(replace(shop.settings, slot=1), topics)
        done.set()
        second.close(autocommit=False)

    thread = threading.Thread(target=join)
    thread.start()
    until = time.monotonic() + 20
    found: Mapping[str, object] = {}
    while set(found) != {"rebalancing"} and time.monotonic() < until:  # until the second one asks
        found = shop.found(group_checks.group_gets_on)  # the first one does not poll: it goes on
    while not done.is_set():
        with suppress(NoOffsetForPartitionError):
            first.poll(100)
    thread.join()
    first.close(autocommit=False)
    assert set(found) == {"rebalancing"}


def test_an_encoder_at_work_is_not_taken_for_none(shop: Installation) -> None:
    shop.make()
    for number in range(2):
        value = json.dumps({"item_id": f"i{number}", "title": f"Fan {number}"}).encode()
        shop.producer.send(shop.topics.items, key=f"i{number}".encode(), value=value)
    shop.producer.flush()
    with looking(shop.settings, replace(QUICK, unread_vector_s=-1.0)) as look:
        first = look._moment()
        vector = encode_vector("m", 1, np.ones(2, np.float32))
        key = vector_key(0, "another")
        shop.producer.send(shop.topics.vectors, key=key, value=vector, partition=0).get(20)
        look.__dict__["watched"] = (first, look._moment())
        [found] = encoding_checks.texts_get_vectors(look)
    assert (found.kind, found.weight) == ("encoding", "note")


@pytest.mark.parametrize("value", [b"{torn", b'{"format": 99}'])
def test_a_record_of_an_adapter_that_cannot_be_read_is_found(
    shop: Installation, value: bytes
) -> None:
    shop.make()
    shop.producer.send(shop.topics.adapters, key=b"default/live", value=value, partition=0)
    found = shop.found(model_checks.adapters_can_be_read)
    assert set(found) == {"adapter_record"}


def test_every_kind_of_finding_is_provoked_by_a_test() -> None:
    code = "".join(file.read_text() for file in SOURCES.glob("*.py"))
    kinds = set(re.findall(r"\b(?:wrong|note|say)\(\s*\"(\w+)\"", code)) - NOT_PROVOKED
    tests = "".join(file.read_text() for file in HERE.glob("test_*.py"))
    assert len(kinds) > 25
    assert {kind for kind in kinds if f'"{kind}"' not in tests} == set()
