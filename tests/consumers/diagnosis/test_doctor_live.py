"""What moves or is elsewhere: clocks, rights, transactions, the group, the encoder, models."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import NoOffsetForPartitionError, RebalanceInProgressError
from safetensors.numpy import save_file

from consumers.diagnosis import (
    clock_checks,
    encoding_checks,
    group_checks,
    model_checks,
    right_checks,
    topic_settings,
    transaction_checks,
)
from consumers.diagnosis.examination import examine
from consumers.diagnosis.look import looking
from consumers.diagnosis.partitioners import default_partition
from consumers.kafka_io import clients
from consumers.kafka_io.rights import least_rights
from consumers.kafka_io.wire import encode_vector, vector_key
from stream_rec.adapters.life import (
    AdapterVersion,
    LivePointer,
    encode_adapter,
    live_key,
    version_key,
)
from stream_rec.items import item_text, parse_item, text_hash
from tests.consumers.diagnosis.spoilt import QUICK, Installation


def test_a_broker_whose_clock_is_ahead_or_behind_is_found(shop: Installation) -> None:
    shop.make()
    shop.send("u1")
    behind = shop.found(
        clock_checks.clocks_agree, now_ms=lambda: time.time_ns() // 1_000_000 - 60_000
    )["clock_skew"]
    assert "s ahead of this machine's" in behind.text
    assert shop.found(clock_checks.clocks_agree) == {}

    slow = replace(QUICK, watched_s=1.0)
    with looking(shop.settings, slow, lambda: time.time_ns() // 1_000_000 + 60_000) as look:
        first = look._moment()
        shop.send("u2")
        shop.producer.flush()
        look.__dict__["watched"] = (first, look._moment())
        [found] = clock_checks.clocks_agree(look)
    assert "behind this machine's" in found.text


def test_events_from_the_future_and_from_long_ago_are_told_apart(shop: Installation) -> None:
    shop.make()
    now_ms = time.time_ns() // 1_000_000
    shop.send("u1", timestamp=now_ms + 7_200_000)
    found = shop.found(clock_checks.producers_clocks_agree)
    assert "120 min after" in found["events_from_the_future"].text
    for _ in range(2):
        shop.send("u2", timestamp=now_ms - 86_400_000)
    for check in ("u3", "u4"):
        shop.send(check, timestamp=now_ms - 86_400_000)
    shop.configure(shop.topics.clicks)
    lenient = replace(QUICK, ahead_s=1e6)
    found = shop.found(clock_checks.producers_clocks_agree, lenient)
    assert found["old_events"].weight == "note"
    assert "24.0 h old" in found["old_events"].text


def test_a_producer_whose_clock_is_ahead_is_found_by_its_stamps(shop: Installation) -> None:
    shop.make()
    shop.configure(shop.topics.clicks, message__timestamp__type="CreateTime")
    now_ms = time.time_ns() // 1_000_000
    for user, ahead_ms in (("u1", 0), ("u2", -7_200_000), ("u3", 3_600_000)):
        said = {"user_id": user, "item_id": "i1", "timestamp": now_ms + ahead_ms}
        shop.producer.send(
            shop.topics.clicks,
            key=user.encode(),
            value=json.dumps(said).encode(),
            timestamp_ms=now_ms + ahead_ms,
        )
    found = shop.found(clock_checks.producers_stamps_are_past)
    assert found["producer_ahead"].about == shop.topics.clicks
    assert found["producer_ahead"].text.startswith("1 of the newest 3 records")
    assert "behind looks like old events" in found["producer_ahead"].mend
    assert shop.found(clock_checks.producers_clocks_agree) == {}
    assert shop.found(clock_checks.producers_stamps_are_past, replace(QUICK, ahead_s=1e6)) == {}


def test_a_right_that_is_missing_is_named(shop: Installation) -> None:
    shop.make()
    user = f"limited-{shop.settings.prefix}"
    servers, security = shop.broker.by_scram(user)
    theirs = replace(shop.settings, bootstrap_servers=servers, security=security)
    rights = [r for name in ("recommender", "encoder") for r in least_rights(name, shop.settings)]
    kept = [r for r in rights if r.name != shop.topics.statistics and r.kind == "topic"]
    shop.broker.grant(user, kept)
    time.sleep(0.5)
    with looking(theirs, QUICK) as look:
        told = list(right_checks.rights_suffice(look))
    assert {finding.kind for finding in told} == {"missing_right"}
    texts = "\n".join(f"{finding.about}: {finding.text}" for finding in told)
    assert f"recommender: {user} has no right to Read on" in texts
    assert shop.topics.statistics in texts
    assert shop.settings.group_id in texts
    assert "transactional id" in texts
    shop.broker.grant(user, rights)
    time.sleep(0.5)
    with looking(theirs, QUICK) as look:
        assert list(right_checks.rights_suffice(look)) == []


def test_a_check_that_may_not_be_made_is_itself_a_finding(shop: Installation) -> None:
    shop.make()
    user = f"blind-{shop.settings.prefix}"
    servers, security = shop.broker.by_scram(user)
    theirs = replace(shop.settings, bootstrap_servers=servers, security=security)
    with looking(theirs, QUICK) as look:
        found = {checked.check: checked for checked in examine(look)}
    assert not found["rights"].sound
    assert "Describe" in " ".join(f.text for f in found["rights"].findings)


def test_settings_that_may_not_be_seen_are_said_and_only_the_programs_asked_about_need_rights(
    shop: Installation,
) -> None:
    shop.make()
    user = f"reader-{shop.settings.prefix}"
    servers, security = shop.broker.by_scram(user)
    theirs = replace(shop.settings, bootstrap_servers=servers, security=security)
    shop.broker.grant(user, least_rights("encoder", shop.settings))
    time.sleep(0.5)
    with looking(theirs, QUICK, programs=("encoder",)) as look:
        assert list(right_checks.rights_suffice(look)) == []
        [hidden] = topic_settings.settings_are_seen(look)
    assert (hidden.kind, hidden.weight) == ("settings_hidden", "note")
    assert "not checked" in hidden.text


def test_a_transaction_left_open_is_found_with_its_id_and_producer(shop: Installation) -> None:
    shop.make()
    hanging = KafkaProducer(
        bootstrap_servers=shop.settings.bootstrap_servers,
        transactional_id=f"{shop.settings.prefix}-left-open",
        transaction_timeout_ms=600_000,
    )
    hanging.init_transactions()
    hanging.begin_transaction()
    hanging.send(shop.topics.clicks, key=b"u1", value=b"{}", partition=1).get(20)
    try:
        assert shop.found(transaction_checks.transactions_end) == {}, "not for long yet"
        time.sleep(1.0)
        soon = replace(QUICK, open_transaction_s=1.0)
        found = shop.found(transaction_checks.transactions_end, soon)["hanging_transaction"]
    finally:
        hanging.abort_transaction()
        hanging.close()
    assert f"transactional id {shop.settings.prefix}-left-open" in found.text
    assert f"{shop.topics.clicks}-1" in found.text
    assert "600 s" in found.mend
    assert shop.found(transaction_checks.transactions_end, soon) == {}


def test_no_recommender_at_all_is_found(shop: Installation) -> None:
    shop.make()
    shop.send("u1")
    found = shop.found(group_checks.group_gets_on)["no_recommender"]
    assert "1 events wait" in found.text


CUDA = Path("/dev/nvidia0")


def commit(joined: KafkaConsumer, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
    """Commit once the group has come to rest, which takes a while on a busy machine."""
    for _ in range(50):
        try:
            joined.commit(offsets)
        except RebalanceInProgressError:
            joined.poll(200)
        else:
            return
    pytest.fail("the group never comes to rest")


def member(shop: Installation) -> KafkaConsumer:
    """Join the recommenders' group, and get its partitions."""
    joined = clients.group_consumer(shop.settings)
    clients.join_group(joined, [shop.topics.clicks, shop.topics.reviews])
    until = time.monotonic() + 20
    while not joined.assignment() and time.monotonic() < until:
        with suppress(NoOffsetForPartitionError):
            joined.poll(100)
    return joined


def test_a_consumer_that_is_stuck_is_found_and_one_that_gets_on_is_not(shop: Installation) -> None:
    shop.make()
    joined = member(shop)
    try:
        places = sorted(joined.assignment())
        joined.commit({place: OffsetAndMetadata(0) for place in places})
        shop.send("u1")
        shop.producer.flush()
        found = shop.found(group_checks.group_gets_on)["stuck_consumer"]
        place = TopicPartition(shop.topics.clicks, default_partition(b"u1", 2))
        assert f"{place.topic}-{place.partition}" in found.text
        assert "1 events wait" in found.text
        joined.commit({place: OffsetAndMetadata(1)})
        assert shop.found(group_checks.group_gets_on) == {}
    finally:
        joined.close(autocommit=False)


def test_a_marker_behind_the_last_event_is_nothing_to_be_stuck_at(shop: Installation) -> None:
    shop.make()
    joined = member(shop)
    producer = clients.transactional_producer(shop.settings, f"{shop.settings.prefix}-shop")
    producer.init_transactions()
    try:
        producer.begin_transaction()
        sent = producer.send(shop.topics.clicks, key=b"u1", value=b"{}", partition=0)
        producer.commit_transaction()
        places = {place: OffsetAndMetadata(0) for place in joined.assignment()}
        after = {TopicPartition(shop.topics.clicks, 0): OffsetAndMetadata(sent.get(5).offset + 1)}
        commit(joined, places | after)
        assert shop.found(group_checks.group_gets_on) == {}
    finally:
        producer.close()
        joined.close(autocommit=False)


def test_items_that_no_encoder_reads_are_found(shop: Installation) -> None:
    shop.make()
    for number, title in enumerate(("Quiet fan", "", "Loud fan")):
        value = json.dumps({"item_id": f"i{number}", "title": title}).encode()
        shop.producer.send(shop.topics.items, key=f"i{number}".encode(), value=value)
    read = parse_item(b'{"item_id": "i0", "title": "Quiet fan"}', key=b"i0")
    vector = encode_vector("m", text_hash(item_text(read)), np.ones(2, np.float32))
    shop.producer.send(shop.topics.vectors, key=vector_key(0, "i0"), value=vector, partition=0)
    assert shop.found(encoding_checks.texts_get_vectors) == {}, "they came just now"
    at_once = replace(QUICK, unread_vector_s=-1.0)
    found = shop.found(encoding_checks.texts_get_vectors, at_once)["no_encoder"]
    assert found.text.startswith("1 of 3 items have no vector")


@pytest.mark.parametrize("spoilt", ["missing", "no weights", "torn weights", "torn config", None])
def test_a_model_that_cannot_be_read_is_found(
    shop: Installation, tmp_path: Path, spoilt: str | None
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}" if spoilt != "torn config" else '{"hidden')
    (folder / "tokenizer.json").write_text("{}")
    weights = folder / "model.safetensors"
    if spoilt != "no weights":
        save_file({"w": np.zeros(3, np.float32)}, weights)
    if spoilt == "torn weights":
        weights.write_bytes(weights.read_bytes()[:20])
    name = "no/such-model" if spoilt == "missing" else str(folder)
    shop.settings = replace(shop.settings, model=name)
    found = shop.found(model_checks.model_can_be_read)
    wanted = {"missing": {"model_not_found"}, None: set()}.get(spoilt, {"model_unreadable"})
    assert set(found) == wanted


def test_the_packaged_model_is_sound(shop: Installation) -> None:
    assert shop.found(model_checks.model_can_be_read) == {}


def test_a_model_that_does_not_load_is_found_when_it_is_tried(shop: Installation) -> None:
    shop.settings = replace(shop.settings, device="cuda" if not CUDA.exists() else "cpu")
    wanted = set() if CUDA.exists() else {"model_does_not_load"}
    assert set(shop.found(model_checks.model_loads)) == wanted
    shop.settings = replace(shop.settings, model="no/such-model", device="cpu")
    found = shop.found(model_checks.model_loads)["model_does_not_load"]
    assert "no/such-model" in found.text


def test_a_live_adapter_whose_bundle_is_gone_is_found(shop: Installation) -> None:
    shop.make()
    version = AdapterVersion(
        scenario="default",
        version=5,
        text_version=5,
        state="promoted",
        base_model_hash="h",
        method="proximal",
        created_at=1,
        changed_at=1,
    )
    pointer = LivePointer(
        scenario="default", version=5, previous=0, changed_at=1, reason="by a test"
    )
    sent = {version_key("default", 5): version, live_key("default"): pointer}
    for key, record in sent.items():
        shop.producer.send(shop.topics.adapters, key=key, value=encode_adapter(record))
    found = shop.found(model_checks.adapters_can_be_read)["checkpoint_unreadable"]
    assert found.about == "default/5"
    shop.producer.send(shop.topics.adapters, key=version_key("default", 5), value=None)
    assert "adapter_unknown" in shop.found(model_checks.adapters_can_be_read)


def test_the_command_says_what_is_wrong_and_ends_with_1(
    shop: Installation, stream_rec: Callable[..., object]
) -> None:
    shop.make()
    shop.list_items("i1")
    shop.send("u1", place=lambda key: 1 - default_partition(key, 2))
    shop.producer.flush()
    options = ("--bootstrap-servers", shop.settings.bootstrap_servers)
    options += ("--prefix", shop.settings.prefix, "--data-dir", str(shop.settings.data_dir))
    ran = stream_rec("doctor", "--watch", "0.2", "--json", *options)
    answer = json.loads(ran.out)  # type: ignore[attr-defined]
    assert (ran.status, answer["sound"]) == (1, False)  # type: ignore[attr-defined]
    kinds = {f["kind"] for check in answer["checks"] for f in check["findings"]}
    assert kinds == {"wrong_partition", "no_recommender"}
    ran = stream_rec("doctor", "--watch", "0.2", *options)
    assert "mend:" in ran.out  # type: ignore[attr-defined]
    assert "2 things are wrong" in ran.out  # type: ignore[attr-defined]
