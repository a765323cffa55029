"""Replays of the simulated shop: the same twice and in another process, and better than chance."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from stream_rec.events import Event
from stream_rec.items import item_of
from stream_rec.replay import Options, Report, batches, event_of_arrival, replay
from stream_rec.replica import Replica
from stream_rec.simulation.shop import Shop
from stream_rec.step import Arrival
from stream_rec.toplist import TopList

EVENTS, START_MS = 600, 1_763_000_000_000
OPTIONS = Options(batch=16, seed=3)
REPOSITORY = Path(__file__).resolve().parent.parent

# Prints the digest of the same replay in a process of its own.
ELSEWHERE = """
from tests.test_replay import OPTIONS, exploring, replayed
print(replayed(OPTIONS, patch=exploring).digest)
"""
exploring: dict[str, object] = {"list": {"exploration": 0.3, "diversity": 0.2}}


def shop() -> Shop:
    return Shop(4, items=150, users=40, newcomers=5)


def arrivals() -> list[Arrival]:
    """The shop's events as records of two topics."""
    offsets = {"click": 0, "review": 0}
    found = []
    for event in shop().events(EVENTS, START_MS, 1000):
        kind = "review" if event["event_type"] == "review" else "click"
        found.append(
            Arrival(
                kind=kind,  # type: ignore[arg-type]
                topic=f"events.{kind}s",
                partition=0,
                offset=offsets[kind],
                append_ms=None,
                key=event["user_id"].encode(),
                value=json.dumps(event).encode(),
            )
        )
        offsets[kind] += 1
    return found


def replayed(
    options: Options,
    *,
    patch: dict[str, object] | None = None,
    events: Sequence[Arrival] | None = None,
) -> Report:
    replica = Replica()
    for record in shop().catalogue(START_MS):
        replica.put_item(item_of(record))
    if patch:
        replica.put_policy("*", 0, patch)
    return replay(replica, arrivals() if events is None else events, options)


def test_a_replay_is_the_same_twice() -> None:
    assert replayed(OPTIONS, patch=exploring) == replayed(OPTIONS, patch=exploring)


def test_a_replay_is_the_same_in_every_process() -> None:
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE]
    digests = [
        subprocess.run(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1] != ""


def test_another_seed_explores_other_items() -> None:
    other = replayed(replace(OPTIONS, seed=4), patch=exploring)
    assert other.digest != replayed(OPTIONS, patch=exploring).digest


def test_every_event_has_an_outcome_and_segments_sum_up() -> None:
    report = replayed(OPTIONS)
    assert sum(report.outcomes.values()) == report.events == EVENTS
    segments = report.segments
    # A new user's new item stands in both segments and not among the warm ones.
    parts = segments["warm"]["n"] + segments["new item"]["n"] + segments["new user"]["n"]
    assert segments["all"]["n"] <= parts
    assert (
        segments["warm"]["n"] + max(segments["new item"]["n"], segments["new user"]["n"])
        <= segments["all"]["n"]
    )
    assert 0 < segments["all"]["n"] <= EVENTS * 0.8
    for measured in segments.values():
        assert 0 <= measured["ndcg"] <= measured["hr"] <= 1
    assert 0 < report.coverage <= 1


def test_lists_find_what_users_take_next_many_times_more_often_than_chance() -> None:
    measured = replayed(OPTIONS).segments["all"]
    assert measured["hr"] > 3 * 10 / 150


def test_refreshing_stale_lists_makes_more_lists_of_the_same_events() -> None:
    plain, fresher = replayed(OPTIONS), replayed(replace(OPTIONS, refresh=1.0))
    assert fresher.outcomes == plain.outcomes
    assert fresher.lists > plain.lists


def test_a_user_stands_once_in_a_batch_and_no_record_is_lost() -> None:
    stream = arrivals()
    cut = list(batches(stream, 4))
    assert [arrival for batch in cut for arrival in batch] == stream
    assert max(map(len, cut)) == 4
    for batch in cut:
        assert len({arrival.key for arrival in batch}) == len(batch)


def test_records_that_cannot_be_used_are_counted_and_scored_by_nobody() -> None:
    stream = arrivals()[:200]
    broken = [*stream[:100], replace_value(stream[100], b"{"), *stream[101:]]
    report = replayed(OPTIONS, events=broken)
    assert report.outcomes["dead_lettered"] == 1
    assert report.events == 200


def in_turn(*scenarios: str) -> list[Arrival]:
    """The shop's events, each in another scenario than the one before it."""
    return [
        replace_value(arrival, json.dumps(json.loads(arrival.value or b"") | {"scenario": name}))
        for arrival, name in zip(arrivals(), cycle(scenarios), strict=False)
    ]


def test_an_event_is_scored_by_a_list_of_its_own_scenario() -> None:
    seen: list[tuple[str, TopList | None]] = []
    replica = Replica()
    for record in shop().catalogue(START_MS):
        replica.put_item(item_of(record))
    replay(
        replica,
        in_turn("default", "home"),
        replace(OPTIONS, warm_up=0.0),
        standing=lambda event, toplist: seen.append((event.scenario, toplist)),
    )
    # Until its first event is folded a scenario has no list at all.
    assert {name for name, toplist in seen if toplist is None} == {"home"}
    found = {(name, toplist.scenario) for name, toplist in seen if toplist is not None}
    assert found == {("default", "default"), ("home", "home")}
    new = {(name, toplist.user_id == "*") for name, toplist in seen if toplist is not None}
    assert new == {(name, default) for name in ("default", "home") for default in (True, False)}


def test_a_policy_of_one_scenario_leaves_the_lists_of_another_alone() -> None:
    def lists(patch: dict[str, object]) -> dict[str, list[tuple[str, ...]]]:
        found: dict[str, list[tuple[str, ...]]] = {"default": [], "home": []}

        def note(event: Event, toplist: TopList | None) -> None:
            found[event.scenario].append(tuple(x.item_id for x in toplist.items) if toplist else ())

        replica = Replica()
        for record in shop().catalogue(START_MS):
            replica.put_item(item_of(record))
        replica.put_policy("home", 0, patch)
        replay(replica, in_turn("default", "home"), OPTIONS, standing=note)
        return found

    plain, longer = lists({}), lists({"list": {"size": 20}})
    assert plain["default"] == longer["default"]
    assert {len(items) for items in plain["home"]} == {10}
    assert {len(items) for items in longer["home"]} == {20}


def replace_value(arrival: Arrival, value: bytes | str) -> Arrival:
    return Arrival(
        kind=arrival.kind,
        topic=arrival.topic,
        partition=arrival.partition,
        offset=arrival.offset,
        append_ms=None,
        key=arrival.key,
        value=value.encode() if isinstance(value, str) else value,
    )


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_only_events_after_the_warm_up_are_scored(share: float) -> None:
    report = replayed(replace(OPTIONS, warm_up=share, repeats=True))
    assert report.segments["all"]["n"] == EVENTS - int(EVENTS * share)
    assert not np.isnan(report.segments["all"]["ndcg"])


def test_an_event_in_the_words_of_another_product_is_scored_as_well() -> None:
    said = {
        "FeedbackType": "star",
        "UserId": "u",
        "ItemId": "i",
        "Timestamp": "2026-01-01T00:00:00Z",
    }
    arrival = Arrival(
        kind="click",
        topic="events.clicks",
        partition=0,
        offset=0,
        append_ms=None,
        key=b"u",
        value=json.dumps(said).encode(),
    )
    event = event_of_arrival(arrival)
    assert event is not None
    assert (event.item_id, event.event_type) == ("i", "like")
