"""Every finding of the doctor, provoked on a real broker; and a sound installation has none."""

import zlib
from collections.abc import Callable

import pytest

from consumers.diagnosis import (
    catalogue_checks,
    key_checks,
    partition_checks,
    topic_settings,
)
from consumers.diagnosis.examination import CHECKS, examine
from consumers.diagnosis.look import looking
from consumers.diagnosis.partitioners import _sarama, default_partition
from tests.consumers.diagnosis.spoilt import QUICK, Installation, users


def test_nothing_is_wrong_with_topics_as_the_engine_makes_them(shop: Installation) -> None:
    shop.make()
    shop.list_items("i1")
    for user in users(20):
        shop.send(user)
        shop.forget(user)
    shop.producer.flush()
    no_group = {name: check for name, check in CHECKS.items() if name != "recommenders"}
    with looking(shop.settings, QUICK) as look:
        found = [f for checked in examine(look, no_group) for f in checked.findings]
    assert found == []


def test_an_empty_prefix_has_no_topics(shop: Installation) -> None:
    assert "no topic" in shop.found(partition_checks.topics_exist)["missing_topics"].text


def test_a_missing_topic_is_named(shop: Installation) -> None:
    shop.make()
    shop.client.delete_topics([shop.topics.statistics])
    found = shop.found(partition_checks.topics_exist)["missing_topics"]
    assert shop.topics.statistics in found.text


def test_unequal_numbers_of_partitions_are_named_with_the_way_out(shop: Installation) -> None:
    shop.make()
    shop.client.create_partitions({shop.topics.clicks: 4})
    found = shop.found(partition_checks.partitions_agree)
    assert f"{shop.topics.clicks} 4" in found["unequal_partitions"].text
    assert f"{shop.topics.reviews}" in found["unequal_partitions"].mend
    assert "up to 4" in found["unequal_partitions"].mend
    assert found["dead_letter_partitions"].about == f"{shop.topics.clicks}.dlq"


def test_a_topic_read_in_one_order_must_have_one_partition(shop: Installation) -> None:
    shop.make()
    shop.client.create_partitions({shop.topics.statistics: 3})
    found = shop.found(partition_checks.partitions_agree)["too_many_partitions"]
    assert found.about == shop.topics.statistics


@pytest.mark.parametrize("name", ["items", "policies", "recommendations", "profiles", "vectors"])
def test_a_topic_that_is_not_compacted_is_found(shop: Installation, name: str) -> None:
    shop.make()
    topic = getattr(shop.topics, name)
    shop.configure(topic, cleanup__policy="delete")
    found = shop.found(topic_settings.cleanup_fits)["not_compacted"]
    assert (found.about, found.weight) == (topic, "wrong")
    assert "cleanup.policy=compact" in found.mend


def test_events_that_are_compacted_are_found(shop: Installation) -> None:
    shop.make()
    shop.configure(shop.topics.clicks, cleanup__policy="compact")
    assert shop.found(topic_settings.cleanup_fits)["compacted"].about == shop.topics.clicks


def test_compaction_without_a_deadline_is_worth_a_note(shop: Installation) -> None:
    shop.make()
    shop.configure(shop.topics.profiles, max__compaction__lag__ms="9223372036854775807")
    found = shop.found(topic_settings.cleanup_fits)["no_compaction_deadline"]
    assert (found.about, found.weight) == (shop.topics.profiles, "note")


def test_statistics_that_are_deleted_are_found(shop: Installation) -> None:
    shop.make()
    shop.configure(shop.topics.statistics, retention__ms="604800000")
    found = shop.found(topic_settings.retention_suffices)["statistics_forgotten"]
    assert "retention.ms is 604800000" in found.text


def test_events_that_are_deleted_too_soon_are_found(shop: Installation) -> None:
    shop.make()
    shop.configure(shop.topics.reviews, retention__ms="3600000")
    found = shop.found(topic_settings.retention_suffices)["short_retention"]
    assert found.about == shop.topics.reviews
    assert "after 1.0 h" in found.text


def test_topics_that_refuse_long_records_are_found(shop: Installation) -> None:
    shop.make()
    shop.configure(shop.topics.statistics, max__message__bytes="20000")
    shop.configure(shop.topics.dead_letters(shop.topics.clicks), max__message__bytes="20000")
    found = shop.found(topic_settings.records_fit)
    assert found["small_records"].about == shop.topics.statistics
    assert found["cut_dead_letters"].weight == "note"


def test_events_stamped_by_their_producers_are_noted(shop: Installation) -> None:
    shop.make()
    shop.configure(shop.topics.clicks, message__timestamp__type="CreateTime")
    assert shop.found(topic_settings.events_are_stamped)["producers_time"].weight == "note"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (lambda key: zlib.crc32(key) % 4, "librdkafka"),
        (lambda key: _sarama(key, 4), "Sarama"),
        (lambda key: (default_partition(key, 4) + 1) % 4, "no known partitioner"),
    ],
)
def test_a_producer_with_another_partitioner_is_found_and_named(
    shop: Installation, place: Callable[[bytes], int], said: str
) -> None:
    shop.make(partitions=4)
    for user in users(80):
        shop.send(user, place=place)
    found = shop.found(key_checks.keys_are_in_their_partitions)["wrong_partition"]
    astray = sum(place(user.encode()) != default_partition(user.encode(), 4) for user in users(80))
    assert f"{astray} of the newest 80" in found.text
    assert said in found.text


def test_requests_to_forget_users_are_looked_at_like_events(shop: Installation) -> None:
    shop.make(partitions=4)
    for user in users(40):
        shop.forget(user, place=lambda key: zlib.crc32(key) % 4)
    shop.producer.send(shop.topics.erasures, key=b"u1", value=b'{"user_id": "u1"}')
    found = shop.found(key_checks.keys_are_in_their_partitions)["wrong_partition"]
    assert found.about == shop.topics.erasures
    assert "librdkafka" in found.text
    found = shop.found(key_checks.keys_are_users)["unusable_events"]
    assert found.text.startswith("1 of the newest 41")
    assert "timestamp is required" in found.text


def test_records_spread_round_robin_are_found(shop: Installation) -> None:
    shop.make(partitions=4)
    for number in range(80):
        shop.send(f"user-{number % 7}", place=lambda _, number=number: number % 4)  # type: ignore[misc]
    found = shop.found(key_checks.keys_are_in_their_partitions)["wrong_partition"]
    assert "without regard to the key" in found.text


def test_one_record_astray_among_sound_ones_is_found(shop: Installation) -> None:
    shop.make(partitions=4)
    for user in users(40):
        shop.send(user)
    shop.send("lost", place=lambda key: (default_partition(key, 4) + 1) % 4)
    found = shop.found(key_checks.keys_are_in_their_partitions)["wrong_partition"]
    assert found.text.startswith("1 of the newest 41")


def test_events_whose_key_is_not_their_user_are_found(shop: Installation) -> None:
    shop.make()
    for number in range(20):
        shop.send(f"session-{number}", user_id="u1")
    found = shop.found(key_checks.keys_are_users)["unusable_events"]
    assert found.text.startswith("20 of the newest 20")
    assert "key is not its user_id" in found.text


def test_events_without_any_catalogue_are_found(shop: Installation) -> None:
    shop.make()
    assert shop.found(catalogue_checks.events_name_known_items) == {}, "nothing has begun yet"
    shop.send("u1")
    found = shop.found(catalogue_checks.events_name_known_items)["empty_catalogue"]
    assert found.weight == "wrong"
    assert shop.topics.items in found.mend


@pytest.mark.parametrize(("astray", "weight"), [(0, None), (1, None), (3, "note"), (8, "wrong")])
def test_events_on_items_that_the_catalogue_writes_in_another_way_are_found(
    shop: Installation, astray: int, weight: str | None
) -> None:
    shop.make()
    shop.list_items("sku-1", "sku-2")
    for number in range(10):
        shop.send(f"u{number}", item_id="1" if number < astray else "sku-1")
    found = shop.found(catalogue_checks.events_name_known_items)
    assert (found["unknown_items"].weight if found else None) == weight
    if found:
        assert f"{astray} of the newest 10" in found["unknown_items"].text
        assert "'1'" in found["unknown_items"].text
        assert "'sku-1'" in found["unknown_items"].text
