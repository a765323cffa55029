"""Workers are killed at random and at named points under load; the oracle finds nothing wrong.

Beside that, workers become zombies, the broker dies right before a commit, and the group never
rests. A run that never hit an open transaction proves nothing, and fails.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from consumers.kafka_io.topics import Topics
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Settings
from stream_rec.toplist import TopList
from tests import agreement
from tests.guarantees import topic_log
from tests.guarantees.disturbances import Rebalances, kill_broker_before_commit, make_zombie
from tests.guarantees.fleet import Fleet
from tests.guarantees.traffic import Feed, Mix, send_catalogue, set_policy, traffic
from tests.oracle import Fold, fold

POINTS = ("after_poll", "after_begin", "after_send", "after_offsets", "after_commit", "after_merge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """How bad it gets: `kills` in all, half at random moments, half at named points.

    Each zombie and each death of the broker costs a worker a kill of its own. `rebalances` is how
    often the group must have been shaken at least.
    """

    events: int
    users: int
    kills: int
    zombies: int
    broker_kills: int
    rebalances: int
    within_s: float
    workers: int = 3
    rest_s: float = 1.0  # between two rebalances

    @property
    def rounds(self) -> int:
        """How often every worker is killed twice."""
        return -(-(self.kills - self.zombies - self.broker_kills) // (2 * self.workers))


def strike(fleet: Fleet, storm: Storm, rng: np.random.Generator) -> None:
    """Kill every worker at some moment, and let each kill itself once more at a named point."""
    before = fleet.restarts
    for slot in rng.permutation(storm.workers).tolist():
        point = f"{POINTS[int(rng.integers(len(POINTS)))]}:{rng.integers(1, 6)}"
        time.sleep(float(rng.random()))
        fleet.kill_and_crash_at(slot, point)
    ends = before + 2 * storm.workers
    fleet.wait(lambda: fleet.restarts >= ends, 300, f"no {ends} ends")


def drained(settings: Settings, backlog: topic_log.Backlog) -> bool:
    """Say whether every event is committed and no list is owed."""
    if backlog.records():
        time.sleep(0.5)
        return False
    profiles, _ = topic_log.changelog(settings)
    return not any(made.owed for profile in profiles.values() for made in profile.lists.values())


def differences(settings: Settings) -> tuple[list[str], Fold]:
    """Return all that is not as the oracle says, and what the oracle says."""
    topics = Topics(settings.prefix)
    expected = fold(topic_log.input_log(settings))
    profiles, standings = topic_log.changelog(settings)
    lists = [
        agreement.Gone(*record.key.decode().split("/", 1))
        if record.value is None
        else msgspec.json.decode(record.value, type=TopList)
        for record in topic_log.records(settings, topics.recommendations)
    ]
    letters = [
        letter
        for topic in (topics.clicks, topics.reviews, topics.erasures)
        for letter in topic_log.records(settings, topics.dead_letters(topic))
    ]
    wrong = agreement.profile_differences(profiles, expected)
    wrong += agreement.statistics_differences(topic_log.statistics(settings), expected)
    ledgers = [standing.ledger for standing in standings.values()]
    wrong += agreement.outcome_differences(ledgers, expected)
    wrong += agreement.list_differences(lists, expected)
    if len(letters) != expected.outcomes["dead_lettered"]:
        wrong.append(f"{len(letters)} dead letters, not {expected.outcomes['dead_lettered']}")
    places = {tuple(value for _, value in letter.headers[:3]) for letter in letters}
    if len(places) != len(letters):
        wrong.append("a record has two dead letters")
    return wrong, expected


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBroker:
    """A broker that only this test uses, since it is killed; its folder outlives it."""

    broker: EmbeddedBroker
    folder: Path


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[OwnBroker]:
    made = OwnBroker(broker=EmbeddedBroker(), folder=tmp_path / "broker")
    made.broker.start(made.folder)
    made.broker.wait_ready(90)
    yield made
    made.broker.stop()


def weathered(own: OwnBroker, prefix: str, folder: Path, storm: Storm) -> None:
    """Send events, kill, drain, compare."""
    servers = own.broker.bootstrap_servers
    settings = Settings(bootstrap_servers=servers, prefix=prefix, data_dir=folder)
    mix = Mix(events=storm.events, users=storm.users, erasures=0.01)
    sent = list(traffic(mix, seed=len(prefix)))
    rng = np.random.default_rng(storm.kills)
    share = len(sent) // (storm.rounds + 1)
    feed = Feed(settings, sent)
    with Fleet(settings, workers=storm.workers, meanwhile=feed.trickle) as fleet:
        send_catalogue(settings, 200)
        fleet.wait_ready()
        set_policy(settings, {"list": {"min_interval_ms": 1000, "size": 5}})
        with Rebalances(settings, storm.rest_s) as rebalances:
            for number in range(storm.rounds):
                feed.burst(share)
                strike(fleet, storm, rng)
                if number < storm.zombies:
                    make_zombie(fleet, number % storm.workers, rng)
                if number < storm.broker_kills:
                    slot = (number + 1) % storm.workers
                    kill_broker_before_commit(fleet, slot, own.broker, own.folder)
            fleet.wait(lambda: rebalances.joined >= storm.rebalances, 300, "too few rebalances")
        feed.rest()
        with contextlib.closing(topic_log.Backlog(settings)) as backlog:
            fleet.wait(lambda: drained(settings, backlog), storm.within_s, "not drained")
        kills = fleet.restarts
    wrong, expected = differences(settings)
    assert wrong == []
    assert sum(expected.outcomes.values()) == feed.sent
    assert len(expected.erased) > storm.users / 20, "hardly anybody was forgotten"
    assert kills >= storm.kills
    lost = topic_log.aborted(settings, Topics(prefix).profiles)
    assert lost > 0, f"void: no open transaction was hit in {kills} kills"


@pytest.mark.broker
def test_twenty_kills_lose_nothing_and_apply_nothing_twice(
    own_broker: OwnBroker, prefix: str, tmp_path: Path
) -> None:
    storm = Storm(
        events=8_000,
        users=400,
        kills=20,
        zombies=1,
        broker_kills=1,
        rebalances=5,
        within_s=240,
        rest_s=4.0,
    )
    weathered(own_broker, prefix, tmp_path, storm)


@pytest.mark.slow
@pytest.mark.broker
def test_a_hundred_kills_lose_nothing_and_apply_nothing_twice(
    own_broker: OwnBroker, prefix: str, tmp_path: Path
) -> None:
    storm = Storm(
        events=200_000, users=8_000, kills=100, zombies=5, broker_kills=5, rebalances=50,
        within_s=900,
    )  # fmt: skip
    weathered(own_broker, prefix, tmp_path, storm)
