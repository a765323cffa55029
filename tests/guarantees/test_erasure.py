"""A forgotten user leaves no trace in the log and on the disks, within the stated deadline.

The broker rolls segments and cleans every second or two here, where a shop's does it by the hour
and the day; what has to happen is the same. Nobody else sends anything meanwhile: the product alone
must see to it that idle partitions are cleaned.
"""

import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.commands.user_commands import forgotten
from consumers.kafka_io.clients import admin
from consumers.kafka_io.topics import Topics, plans
from consumers.kafka_io.wire import encode_refinement
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from stream_rec.profiles.history import Understood
from stream_rec.profiles.refinement import Refinement
from tests.guarantees import topic_log, traces
from tests.guarantees.fleet import Fleet
from tests.guarantees.traffic import Sent, send_catalogue, send_events, set_policy

BROKER = {
    "log.cleaner.backoff.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "500",
}
SWIFT = {"segment.ms": "2000", "file.delete.delay.ms": "500"}
COMPACTED = SWIFT | {
    "max.compaction.lag.ms": "2000",
    "delete.retention.ms": "3000",
    "min.cleanable.dirty.ratio": "0.01",
}
SOON_GONE = SWIFT | {"retention.ms": "8000"}


@pytest.fixture(scope="module")
def swift_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedBroker, Path]]:
    folder = tmp_path_factory.mktemp("swift-broker")
    running = EmbeddedBroker()
    running.start(folder, extra_properties=BROKER)
    running.wait_ready(90)
    try:
        yield running, folder / "log"
    finally:
        running.stop()


def make_swift_topics(settings: Settings) -> None:
    """Make all topics of the product; its own ones are cleaned within seconds."""
    topics = Topics(settings.prefix)
    client = admin(settings)
    for name, plan in plans(topics, settings.partitions).items():
        configs = dict(plan.configs)
        if configs.get("cleanup.policy") == "compact":
            configs |= COMPACTED
        elif name.endswith(".dlq") or name == topics.refinements:
            configs |= SOON_GONE
        spec = {"num_partitions": plan.partitions, "replication_factor": 1, "configs": configs}
        client.create_topics({name: spec})
    client.wait_for_topics(list(plans(topics, settings.partitions)), timeout_ms=30_000)
    client.close()


def own_topics(settings: Settings) -> tuple[str, ...]:
    """The topics that the product writes about users; those of the producers end by retention."""
    topics = Topics(settings.prefix)
    theirs = {topics.clicks, topics.reviews, topics.erasures}
    return tuple(name for name in plans(topics, settings.partitions) if name not in theirs)


def events(user: str, first: int, count: int, *, ms: int, name: str) -> list[Sent]:
    """Return events of a user over both topics and two scenarios."""
    found = []
    for number in range(first, first + count):
        event: dict[str, object] = {
            "event_id": f"{name}-{number}",
            "user_id": user,
            "item_id": f"i{number}",
            "timestamp": ms + number,
            "scenario": "home" if number % 3 == 0 else "default",
        }
        if number % 4 == 0:
            event |= {"rating": 2, "text": "The fan is unbearable."}
        found.append(Sent(int("rating" in event), user, json.dumps(event).encode()))
    return found


def send_refinement(settings: Settings, user: str) -> None:
    """Write what an encoder reads in the user's first review, where it writes it."""
    topics = Topics(settings.prefix)
    review = next(r for r in topic_log.records(settings, topics.reviews) if r.key == user.encode())
    said = Refinement(
        user_id=user,
        item_id=json.loads(review.value)["item_id"],
        offset=review.offset,
        text_version=0,
        sentiment=-0.5,
        understood=Understood(aspects=(("noise", -0.5),)),
    )
    client = topic_log.producer(settings)
    client.send(topics.refinements, key=user.encode(), value=encode_refinement(said)).get(30)
    client.close()


def outcomes(settings: Settings) -> dict[str, int]:
    _, standings = topic_log.changelog(settings)
    found: dict[str, int] = {}
    for standing in standings.values():
        for counts in standing.ledger.outcomes.values():
            for outcome, count in counts.items():
                found[outcome] = found.get(outcome, 0) + count
    return found


def lists_of(settings: Settings, user: str) -> list[dict[str, object]]:
    """Return the lists of a user that compaction has left."""
    rows = topic_log.records(settings, Topics(settings.prefix).recommendations)
    return [
        json.loads(row.value)
        for row in rows
        if row.value is not None and row.key.partition(b"/")[2] == user.encode()
    ]


def test_no_trace_is_left_and_nothing_brings_a_user_back(
    swift_broker: tuple[EmbeddedBroker, Path],
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, log_dir = swift_broker
    monkeypatch.setenv("STREAM_REC_CLEAN_DISK_S", "2")
    settings = Settings(
        bootstrap_servers=broker.bootstrap_servers, prefix=prefix, data_dir=tmp_path, partitions=2
    )
    make_swift_topics(settings)
    secret = secrets.token_hex(12)
    user, then = f"user-{secret}", time.time_ns() // 1_000_000 - 3_600_000
    known = events(user, 0, 12, ms=then, name="known")
    with Fleet(settings, workers=2) as fleet:
        send_catalogue(settings, 60)
        fleet.wait_ready()
        with contextlib.closing(topic_log.Backlog(settings)) as backlog:

            def taken() -> bool:
                return backlog.records() == 0

            for number in range(20):
                send_events(settings, events(f"other{number}", 0, 3, ms=then, name=f"o{number}"))
            send_events(settings, [*known, Sent(0, user, b'{"user_id": "' + user.encode())])
            fleet.wait(taken, 60, "events stall")
            highest = max(int(str(made["version"])) for made in lists_of(settings, user))
            send_refinement(settings, user)
            fleet.wait(lambda: outcomes(settings).get("refined") == 1, 30, "not refined")
            found = traces.in_log(log_dir, own_topics(settings), secret)
            topics = Topics(prefix)
            assert set(found) == {
                topics.profiles,
                topics.recommendations,
                topics.dead_letters(topics.clicks),
                topics.refinements,
            }, "the search does not find what is there, or more is there than should be"
            assert traces.in_folder(tmp_path, secret)

            receipt = forgotten(settings, user, then + 3_000_000)
            assert receipt.events == 12
            assert receipt.lists == [f"default/{user}", f"home/{user}"]
            assert receipt.keys_gone_by is not None
            within = receipt.keys_gone_by / 1000 - time.time()
            assert 0 < within < 1_300  # 15 minutes of it for a review that waits to be read

            def clean() -> bool:
                time.sleep(0.5)
                return not traces.in_log(log_dir, own_topics(settings), secret)

            def disks_clean() -> bool:
                return not traces.in_folder(tmp_path, secret)

            fleet.wait(clean, within, "the log is not clean in time")
            fleet.wait(disks_clean, 60, "the disks are not clean in time")
            assert secret not in "\n".join(fleet.lines)

            before = outcomes(settings)
            send_events(settings, known)
            fleet.wait(taken, 60, "events stall")
            for slot in range(2):  # now only the log knows of the erasure
                fleet.empty_disk_next(slot)
                restarts = fleet.restarts
                assert fleet.kill(slot)
                fleet.wait(lambda restarts=restarts: fleet.restarts > restarts, 60, "no restart")  # type: ignore[misc]
            fleet.wait_ready()
            send_events(settings, known)
            fleet.wait(taken, 60, "events stall")
            after = outcomes(settings)
            assert after["erased"] - before.get("erased", 0) == 2 * len(known)
            assert after["applied"] == before["applied"]
            assert traces.in_log(log_dir, own_topics(settings), secret) == {}

            send_events(settings, events(user, 20, 1, ms=time.time_ns() // 1_000_000, name="new"))
            fleet.wait(lambda: bool(lists_of(settings, user)), 60, "no list of who came back")
            (made,) = lists_of(settings, user)
            lineage = made["lineage"]
            assert isinstance(lineage, dict)
            assert lineage["events_applied"] == 1
            assert int(str(made["version"])) > highest
            forgotten(settings, user, time.time_ns() // 1_000_000 + 1_000)
            fleet.wait(disks_clean, 60, "the disks are not clean in time")
    snapshots = list(tmp_path.rglob("statistics.snapshot"))
    assert len(snapshots) == 2
    assert traces.in_folder(tmp_path, secret) == []


def test_under_a_key_only_the_lists_carry_ids(
    swift_broker: tuple[EmbeddedBroker, Path],
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, log_dir = swift_broker
    old, new = "k1:an old secret of some length", "k2:a new secret of some length"
    plain = Settings(
        bootstrap_servers=broker.bootstrap_servers, prefix=prefix, data_dir=tmp_path, partitions=2
    )
    make_swift_topics(plain)
    secret = secrets.token_hex(12)
    user, then = f"user-{secret}", time.time_ns() // 1_000_000 - 3_600_000
    monkeypatch.setenv("STREAM_REC_PSEUDONYM_KEY", old)
    topics = Topics(prefix)

    def knows(events_applied: int, places: int) -> bool:
        found = [
            made["lineage"]["events_applied"] == events_applied and len(made["items"]) == places  # type: ignore[index, arg-type]
            for made in lists_of(plain, user)
        ]
        return any(found)

    def nothing_but_lists() -> None:
        assert set(traces.in_log(log_dir, own_topics(plain), secret)) == {topics.recommendations}
        assert traces.in_folder(tmp_path, secret) == []

    with Fleet(plain) as fleet:
        send_catalogue(plain, 60)
        fleet.wait_ready()
        send_events(plain, events(user, 0, 5, ms=then, name="known"))
        fleet.wait(lambda: knows(5, 10), 60, "no list")
        assert fleet.kill(0)
        fleet.wait(lambda: fleet.restarts == 1, 60, "no restart")
        fleet.wait_ready()
        set_policy(plain, {"list": {"size": 3}})  # no event: the id comes from the state alone
        fleet.wait(lambda: knows(5, 3), 60, "no list from the state alone")
        nothing_but_lists()
        assert secret not in fleet.metrics() + "\n".join(fleet.lines)

    monkeypatch.setenv("STREAM_REC_PSEUDONYM_KEY", f"{new},{old}")
    with Fleet(plain) as fleet:
        fleet.wait_ready()
        send_events(plain, events(user, 10, 1, ms=then, name="known"))
        fleet.wait(lambda: knows(6, 3), 60, "not found under the older key")
        nothing_but_lists()
        keys = [
            (record.key[:4], record.value is None)
            for record in topic_log.records(plain, topics.profiles)
            if record.key[:1] == b"\x01"
        ]
        assert [key for key in keys if key[0] == b"\x01k1."][-1] == (b"\x01k1.", True)
        assert keys[-1] == (b"\x01k2.", False)
        keyed = replace(plain, pseudonym_key=f"{new},{old}")
        receipt = forgotten(keyed, user, then + 3_000_000)
        assert receipt.events == 6
        assert receipt.lists == [f"default/{user}", f"home/{user}"]
        fleet.wait(
            lambda: not traces.in_log(log_dir, own_topics(plain), secret),
            receipt.keys_gone_by / 1000 - time.time(),  # type: ignore[operator]
            "the log is not clean in time",
        )
