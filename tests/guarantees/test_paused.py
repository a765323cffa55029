"""A broken deploy: its topic is paused instead of drained, and nothing of it is lost."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from consumers.kafka_io.topics import Topics
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from tests.guarantees import topic_log
from tests.guarantees.fleet import Fleet

USERS = 40


@pytest.fixture(scope="module")
def fleet(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    settings = Settings(
        bootstrap_servers=broker.bootstrap_servers,
        prefix="broken-deploy",
        data_dir=tmp_path_factory.mktemp("broken-deploy"),
    )
    with Fleet(settings) as running:
        running.wait_ready()
        yield running


def send(fleet: Fleet, topic: str, records: list[tuple[str, bytes]]) -> None:
    client = topic_log.producer(fleet.settings)
    for key, value in records:
        client.send(topic, key=key.encode(), value=value)
    client.flush(timeout=60)
    client.close()


def bad(count: int) -> list[tuple[str, bytes]]:
    return [(f"u{number % USERS}", b'{"user": "renamed field"}') for number in range(count)]


def good(count: int, name: str) -> list[tuple[str, bytes]]:
    records = []
    for number in range(count):
        user = f"u{number % USERS}"
        event = {"event_id": f"{name}-{number}", "user_id": user, "item_id": f"i{number % 7}"}
        event["timestamp"] = time.time_ns() // 1_000_000
        records.append((user, json.dumps(event).encode()))
    return records


def set_policy(fleet: Fleet, **intake: float) -> None:
    """Put an intake policy for all scenarios in force."""
    topics = Topics(fleet.settings.prefix)
    before = len(topic_log.records(fleet.settings, topics.accepted_policies))
    client = topic_log.producer(fleet.settings)
    value = json.dumps({"intake": intake}).encode()
    client.send(topics.policies, key=b"*", value=value, partition=0).get(timeout=20)
    client.close()
    fleet.wait(
        lambda: len(topic_log.records(fleet.settings, topics.accepted_policies)) > before,
        30,
        "the policy is not accepted",
    )


def paused(fleet: Fleet, topic: str) -> bool:
    return f'stream_rec_paused{{topic="{topic}"}} 1.0' in fleet.metrics()


def readiness(fleet: Fleet) -> dict[str, Any]:
    host, _, port = fleet.address().rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/readyz")
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def letters(fleet: Fleet) -> int:
    topics = Topics(fleet.settings.prefix)
    return len(topic_log.records(fleet.settings, Topics.dead_letters(topics.reviews)))


def applied(fleet: Fleet) -> int:
    profiles, _ = topic_log.changelog(fleet.settings)
    return sum(profile.events_applied for profile in profiles.values())


def test_a_broken_deploy_is_not_drained_and_all_goes_on_when_the_operator_says_so(
    fleet: Fleet,
) -> None:
    topics = Topics(fleet.settings.prefix)
    set_policy(fleet, least_bad=50, probe_s=3600)
    send(fleet, topics.reviews, bad(12_000) + good(200, "review"))
    fleet.wait(lambda: paused(fleet, topics.reviews), 60, "not paused")
    drained = letters(fleet)
    assert 50 <= drained < 6_000  # the batch that opened the circuit is the last
    told = readiness(fleet)
    assert told["ready"]
    assert "could not be used" in told["paused"]
    assert topics.reviews in told["paused"]
    assert any("PAUSED" in line for line in fleet.lines)
    send(fleet, topics.clicks, good(300, "click"))
    fleet.wait(lambda: applied(fleet) >= 300, 60, "clicks stall with the reviews")
    assert letters(fleet) == drained, "still draining"
    assert not paused(fleet, topics.clicks)
    set_policy(fleet, most_bad_share=1.0)
    fleet.wait(lambda: letters(fleet) == 12_000, 60, "the rest is not read")
    fleet.wait(lambda: applied(fleet) == 500, 60, "good records behind it are lost")
    assert not paused(fleet, topics.reviews)
    assert readiness(fleet)["paused"] == ""
    assert fleet.restarts == 0, "\n".join(fleet.lines)


def test_a_mended_deploy_goes_on_by_itself_and_a_restart_does_not_forget_the_pause(
    fleet: Fleet,
) -> None:
    topics = Topics(fleet.settings.prefix)
    set_policy(fleet, least_bad=50, probe_s=3600)
    before_letters, before_applied = letters(fleet), applied(fleet)
    send(fleet, topics.reviews, bad(12_000))
    fleet.wait(lambda: paused(fleet, topics.reviews), 60, "not paused")
    drained = letters(fleet) - before_letters
    assert fleet.kill(0)
    fleet.wait(lambda: fleet.restarts == 1, 30, "not started again")
    fleet.wait_ready()
    fleet.wait(lambda: paused(fleet, topics.reviews), 60, "the pause is forgotten")
    fleet.wait(lambda: readiness(fleet)["paused"].endswith("s"), 60, "not tried")
    assert letters(fleet) - before_letters - drained < 200, "a restart drains it"
    set_policy(fleet, least_bad=50, probe_s=3600, most_bad_share=1.0)
    fleet.wait(lambda: letters(fleet) == before_letters + 12_000, 60, "the rest is not read")
    set_policy(fleet, least_bad=50, probe_s=2)
    send(fleet, topics.reviews, bad(1_500))
    fleet.wait(lambda: paused(fleet, topics.reviews), 60, "not paused")
    send(fleet, topics.reviews, good(400, "mended"))
    fleet.wait(lambda: applied(fleet) == before_applied + 400, 120, "good records are lost")
    fleet.wait(lambda: not paused(fleet, topics.reviews), 30, "still paused")
    assert letters(fleet) == before_letters + 13_500
