"""Three workers against one on the same input: the same statistics, and lists as good."""

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from consumers.kafka_io.clients import admin
from consumers.kafka_io.topics import Topics, topic_ids
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.recommending.snapshots import read_snapshot
from consumers.settings import Settings
from stream_rec.replica import Replica
from stream_rec.simulation.shop import Shop
from stream_rec.statistics.statistics import Statistics
from stream_rec.toplist import TopList
from tests import agreement
from tests.guarantees import topic_log
from tests.guarantees.fleet import Fleet
from tests.guarantees.traffic import Sent, send_events
from tests.oracle import fold

EVENTS, ROUND, WORKERS = 1_500, 30, 3
START_MS = 1_763_000_000_000
APART = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one group of workers came to."""

    settings: Settings
    statistics: Statistics
    ndcg: float


def shop_stream() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return catalogue and events of the simulated shop."""
    shop = Shop(11, items=300, users=150, newcomers=0)
    return shop.catalogue(START_MS), list(shop.events(EVENTS, START_MS, 500))


def served(settings: Settings, workers: int) -> Outcome:
    """Send the stream round by round, each when the last one is answered; keep all lists."""
    catalogue, events = shop_stream()
    with Fleet(settings, workers=workers) as fleet:
        client = topic_log.producer(settings)
        for item in catalogue:
            key = str(item["item_id"]).encode()
            client.send(Topics(settings.prefix).items, key=key, value=json.dumps(item).encode())
        client.flush(timeout=60)
        client.close()
        fleet.wait_ready()
        with contextlib.closing(topic_log.Backlog(settings)) as backlog:
            for part in rounds(events):
                send_events(settings, [_sent(event) for event in part])
                fleet.wait(lambda: backlog.records() == 0, 120, "events stall")
                time.sleep(0.02)  # for the facts to go round, as they would at a shop's pace
        assert fleet.restarts == 0
    return Outcome(
        settings=settings,
        statistics=topic_log.statistics(settings),
        ndcg=ndcg(settings, events),
    )


def rounds(events: list[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    """Cut a stream into rounds of which none has a click and a review of one user on one item.

    Their order is not settled between two topics, and of a user's events on one item only the
    first, the second and the fourth to arrive count.
    """
    part: list[dict[str, object]] = []
    topic_of: dict[tuple[object, object], bool] = {}
    for event in events:
        place, topic = (event["user_id"], event["item_id"]), event["event_type"] == "review"
        if len(part) == ROUND or topic_of.get(place, topic) != topic:
            yield part
            part, topic_of = [], {}
        part.append(event)
        topic_of[place] = topic
    yield part


def ndcg(settings: Settings, events: list[dict[str, object]]) -> float:
    """Score each event by the list made at its user's event before, from the lists themselves."""
    lists: dict[str, dict[int, TopList]] = {}
    for record in topic_log.records(settings, Topics(settings.prefix).recommendations):
        made = msgspec.json.decode(record.value, type=TopList)
        lists.setdefault(made.user_id, {}).setdefault(made.lineage.events_applied, made)
    taken: dict[str, list[str]] = {}
    gains = []
    for number, event in enumerate(events):
        user_id, item_id = str(event["user_id"]), str(event["item_id"])
        past = taken.setdefault(user_id, [])
        known = [applied for applied in lists[user_id] if applied <= len(past)]
        if number > len(events) // 5 and known and item_id not in past:
            standing = lists[user_id][max(known)]
            found = [item.rank for item in standing.items if item.item_id == item_id]
            gains.append(float(1 / np.log2(found[0] + 1)) if found else 0.0)
        past.append(item_id)
    assert len(gains) > len(events) // 3
    return float(np.mean(gains))


def _sent(event: dict[str, object]) -> Sent:
    topic = int(event["event_type"] == "review")
    return Sent(topic, str(event["user_id"]), json.dumps(event).encode())


@pytest.fixture(scope="module")
def one_and_three(
    broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, Outcome]:
    outcomes = [
        served(
            Settings(
                bootstrap_servers=broker.bootstrap_servers,
                prefix=f"workers-{workers}",
                data_dir=tmp_path_factory.mktemp(f"workers-{workers}"),
            ),
            workers,
        )
        for workers in (1, WORKERS)
    ]
    return outcomes[0], outcomes[1]


def test_three_workers_count_and_link_exactly_as_one_does(
    one_and_three: tuple[Outcome, Outcome],
) -> None:
    for outcome in one_and_three:
        expected = fold(topic_log.input_log(outcome.settings))
        assert agreement.statistics_differences(outcome.statistics, expected) == []
        profiles, standings = topic_log.changelog(outcome.settings)
        assert agreement.profile_differences(profiles, expected) == []
        ledgers = [standing.ledger for standing in standings.values()]
        assert agreement.outcome_differences(ledgers, expected) == []
    one, three = one_and_three
    assert agreement.decayed_error(three.statistics, one.statistics) < 1e-6


def test_lists_of_three_workers_are_as_good_as_those_of_one(
    one_and_three: tuple[Outcome, Outcome],
) -> None:
    one, three = one_and_three
    assert one.ndcg > 0
    assert abs(three.ndcg - one.ndcg) <= APART * one.ndcg, f"{three.ndcg:.4f}, {one.ndcg:.4f}"


def test_a_worker_on_an_empty_disk_catches_up_to_the_same_statistics(
    one_and_three: tuple[Outcome, Outcome], tmp_path: Path
) -> None:
    one = one_and_three[0]
    shutil.rmtree(one.settings.data_dir)
    settings = replace(one.settings, data_dir=tmp_path)
    with Fleet(settings) as fleet:
        fleet.wait_ready()
        time.sleep(1)
    topic_id = _statistics_id(settings)
    snapshot = read_snapshot(tmp_path / "recommender-0" / "statistics.snapshot", topic_id)
    assert snapshot is not None
    replica = Replica()
    found = Statistics.from_bytes(snapshot.statistics, replica.items)
    expected = fold(topic_log.input_log(settings))
    assert agreement.statistics_differences(found, expected) == []
    assert agreement.decayed_error(found, one.statistics) < 1e-6


def _statistics_id(settings: Settings) -> str:
    client = admin(settings)
    try:
        name = Topics(settings.prefix).statistics
        return topic_ids(client, (name,))[name]
    finally:
        client.close()
