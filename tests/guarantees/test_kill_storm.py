"""Workers are killed at random and at named points under load; the oracle finds nothing wrong.

A run that never hit an open transaction proves nothing, and fails.
"""

import contextlib
import time
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
from tests.guarantees.fleet import Fleet
from tests.guarantees.traffic import Mix, send_catalogue, send_events, set_policy, traffic
from tests.oracle import Fold, fold

POINTS = ("after_poll", "after_begin", "after_send", "after_offsets", "after_commit", "after_merge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """How bad it gets: `kills` in all, half at random moments, half at named points."""

    events: int
    users: int
    kills: int
    workers: int
    within_s: float


def strike(fleet: Fleet, storm: Storm, rng: np.random.Generator) -> None:
    """Kill every worker at some moment, and let each kill itself once more at a named point."""
    before = fleet.restarts
    for slot in rng.permutation(storm.workers).tolist():
        fleet.crash_next_at(slot, f"{POINTS[int(rng.integers(len(POINTS)))]}:{rng.integers(1, 6)}")
        time.sleep(float(rng.random()))
        fleet.wait(lambda slot=slot: fleet.kill(slot), 60, "nothing to kill")  # type: ignore[misc]
    ends = before + 2 * storm.workers
    fleet.wait(lambda: fleet.restarts >= ends, 120, f"{fleet.restarts} ends, not {ends}")


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


def weathered(broker: EmbeddedBroker, prefix: str, folder: Path, storm: Storm) -> None:
    """Send events, kill, drain, compare."""
    settings = Settings(bootstrap_servers=broker.bootstrap_servers, prefix=prefix, data_dir=folder)
    mix = Mix(events=storm.events, users=storm.users, erasures=0.01)
    sent = list(traffic(mix, seed=len(prefix)))
    rng = np.random.default_rng(storm.kills)
    rounds = storm.kills // (2 * storm.workers)
    share = len(sent) // (rounds + 1)
    with Fleet(settings, workers=storm.workers) as fleet:
        send_catalogue(settings, 200)
        fleet.wait_ready()
        set_policy(settings, {"list": {"min_interval_ms": 1000, "size": 5}})
        for number in range(rounds):
            send_events(settings, sent[number * share : (number + 1) * share])
            strike(fleet, storm, rng)
        send_events(settings, sent[rounds * share :])
        with contextlib.closing(topic_log.Backlog(settings)) as backlog:
            fleet.wait(lambda: drained(settings, backlog), storm.within_s, "not drained")
        kills = fleet.restarts
    wrong, expected = differences(settings)
    assert wrong == []
    assert sum(expected.outcomes.values()) == len(sent)
    assert len(expected.erased) > storm.users / 20, "hardly anybody was forgotten"
    assert kills >= storm.kills
    lost = topic_log.aborted(settings, Topics(prefix).profiles)
    assert lost > 0, f"void: no open transaction was hit in {kills} kills"


def test_twenty_kills_lose_nothing_and_apply_nothing_twice(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    storm = Storm(events=20_000, users=1_000, kills=20, workers=2, within_s=180)
    weathered(broker, prefix, tmp_path, storm)


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing_and_apply_nothing_twice(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    storm = Storm(events=200_000, users=8_000, kills=102, workers=3, within_s=900)
    weathered(broker, prefix, tmp_path, storm)
