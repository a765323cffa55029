"""The step with a tiny replica: what becomes of a record, and which lists follow."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from consumers.kafka_io.wire import decode_profile, encode_profile
from stream_rec.erasure import Marker
from stream_rec.events import DAY_MS
from stream_rec.ledger import Ledger
from stream_rec.profiles.profile import Listing, Profile
from stream_rec.replica import Replica
from stream_rec.statistics.facts import Facts
from stream_rec.step import (
    MAX_LISTS_AT_ONCE,
    MAX_SCENARIOS_OF_A_USER,
    Arrival,
    Context,
    Step,
    step,
)
from tests.agreement import decayed_error, profile_differences, statistics_differences
from tests.oracle import fold
from tests.shop_log import FIRST_MS, Shape, logged, partition_of, random_log, tiny_replica

CLICKS, REVIEWS = "events.clicks", "events.reviews"


class Bench:
    """A step under test with profiles and ledgers kept as a worker keeps them."""

    def __init__(self, *, checked: bool = False, worker: str = "w", encoded: bool = False) -> None:
        self.replica: Replica = tiny_replica(encoded=encoded)
        self.profiles: dict[tuple[int, str], Profile] = {}
        self.ledgers: dict[int, Ledger] = {}
        self.offsets: dict[tuple[str, int], int] = {}
        self.context = Context(
            worker=worker,
            now_ms=FIRST_MS,
            rng=np.random.default_rng(0),
            partition_of=partition_of if checked else None,
        )

    def get(self, partition: int, user_id: str) -> Profile | None:
        return self.profiles.get((partition, user_id))

    def take(self, *batch: Arrival, now_ms: int | None = None) -> Step:
        context = replace(self.context, now_ms=now_ms or self.context.now_ms)
        result = step(self.replica, self, self.ledgers, batch, context)
        self.profiles |= result.profiles
        self.ledgers = result.ledgers
        return result

    def arrival(self, user_id: str = "ann", *, partition: int = 0, **fields: Any) -> Arrival:
        """One record; `kind`, `key`, `value` and `append_ms` stand for themselves."""
        kind = fields.pop("kind", "click")
        topic = REVIEWS if kind == "review" else CLICKS
        offset = self.offsets.get((topic, partition), 0)
        self.offsets[topic, partition] = offset + 1
        outer = {name: fields.pop(name) for name in ("key", "value", "append_ms") if name in fields}
        event = {"user_id": user_id, "item_id": "i1", "timestamp": FIRST_MS} | fields
        event = {"event_id": f"{kind}-{partition}-{offset}"} | event
        record = {"key": user_id.encode(), "value": json.dumps(event).encode(), "append_ms": None}
        return Arrival(kind=kind, topic=topic, partition=partition, offset=offset, **record | outer)


def versions(result: Step) -> list[tuple[str, int]]:
    return [(f"{made.scenario}/{made.user_id}", made.version) for _, made in result.lists]


def test_a_good_event_is_applied_and_answered_with_a_list() -> None:
    bench = Bench()
    result = bench.take(bench.arrival(item_id="i3"))
    assert dict(result.outcomes) == {(CLICKS, "applied"): 1}
    ((partition, made),) = result.lists
    assert (partition, made.user_id, made.scenario, made.version) == (0, "ann", "default", 1)
    assert "i3" not in {item.item_id for item in made.items}
    assert [item.rank for item in made.items] == list(range(1, len(made.items) + 1))
    assert result.facts is not None
    assert result.facts.items == ["i3"]


def test_the_same_event_id_has_no_second_effect_in_one_batch_or_in_the_next() -> None:
    bench = Bench()
    first, again = bench.arrival(event_id="e"), bench.arrival(event_id="e", item_id="i9")
    result = bench.take(first, again)
    assert dict(result.outcomes) == {(CLICKS, "applied"): 1, (CLICKS, "duplicate"): 1}
    before = bench.profiles[0, "ann"]
    result = bench.take(bench.arrival(kind="review", event_id="e", rating=1))
    assert dict(result.outcomes) == {(REVIEWS, "duplicate"): 1}
    assert (result.lists, result.profiles, result.facts) == ([], {}, None)
    assert bench.profiles[0, "ann"] is before


@pytest.mark.parametrize(
    ("said", "signals", "heard"),
    [
        ({"rating": 1}, {}, False),
        ({"rating": 2.9}, {}, False),
        ({"rating": 3}, {}, True),
        ({"rating": 5, "text": "Terrible, it broke. Do not buy."}, {}, True),
        ({"rating": 2}, {"rating_neutral": 1.5}, True),
        ({"text": "Terrible, it broke. Awful, useless junk."}, {}, False),
        ({"text": "Terrible, it broke. Awful, useless junk."}, {"review_text": False}, True),
        ({"text": "Not the best one."}, {}, True),
        ({}, {}, True),
    ],
)
def test_what_speaks_against_an_item_counts_for_its_user_alone(
    said: dict[str, Any], signals: dict[str, object], heard: bool
) -> None:
    bench = Bench()
    bench.replica.put_policy("*", 0, {"signals": signals})
    bench.take(bench.arrival(item_id="i1"))
    result = bench.take(bench.arrival(kind="review", item_id="i3", **said))
    assert dict(result.outcomes) == {(REVIEWS, "applied"): 1}
    known = bench.replica.statistics
    assert known.counts[known.items.add("i3")] == heard
    assert known.links.row(known.items.add("i1")) == (
        {known.items.add("i3"): 2048} if heard else {}
    )
    assert bench.profiles[0, "ann"].times("i3") == 1
    (made,) = result.lists
    assert "i3" not in {item.item_id for item in made[1].items}


def test_users_with_many_scenarios_do_not_hold_a_batch_up() -> None:
    """Forty events may ask for 2,560 lists; what is too much is owed, own scenarios never are."""
    bench, users = Bench(), 40
    names = [f"s{number}" for number in range(MAX_SCENARIOS_OF_A_USER)]
    for number in range(users):
        lists = {name: Listing(3, 0) for name in names}
        bench.profiles[0, f"u{number}"] = Profile(f"u{number}", lists=lists)
    batch = [bench.arrival(f"u{number}", scenario=names[-1]) for number in range(users)]
    result = bench.take(*batch)
    assert MAX_LISTS_AT_ONCE <= len(result.lists) <= MAX_LISTS_AT_ONCE + users
    assert {made.user_id for _, made in result.lists if made.scenario == names[-1]} == {
        f"u{number}" for number in range(users)
    }
    owed = [
        (user, scenario)
        for (_, user), profile in bench.profiles.items()
        for scenario, listing in profile.lists.items()
        if listing.owed
    ]
    assert len(owed) + len(result.lists) == users * len(names)
    assert all(bench.profiles[0, user].lists[scenario].version == 3 for user, scenario in owed)


def test_an_event_is_late_only_against_the_newest_time_of_its_own_partition() -> None:
    bench = Bench()
    bench.replica.put_policy("*", 0, {"signals": {"late_days": 2}})
    bench.take(bench.arrival("ann"))
    bench.take(bench.arrival("bob", partition=1, timestamp=FIRST_MS + DAY_MS))
    old = FIRST_MS - 2 * DAY_MS
    result = bench.take(bench.arrival(timestamp=old), bench.arrival(timestamp=old - 1))
    assert dict(result.outcomes) == {(CLICKS, "applied"): 1, (CLICKS, "late"): 1}
    result = bench.take(bench.arrival("bob", partition=1, timestamp=old + DAY_MS - 1))
    assert dict(result.outcomes) == {(CLICKS, "late"): 1}


def test_events_up_to_an_erasure_have_no_effect() -> None:
    bench = Bench()
    marks = {(0, "ann"): Marker(timestamp=FIRST_MS, version=1024)}
    bench.context = replace(bench.context, erased=lambda *place: marks.get(place))
    result = bench.take(bench.arrival("ann"), bench.arrival("bob"))
    assert dict(result.outcomes) == {(CLICKS, "erased"): 1, (CLICKS, "applied"): 1}
    assert set(bench.profiles) == {(0, "bob")}
    result = bench.take(bench.arrival("ann", timestamp=FIRST_MS + 1))
    assert dict(result.outcomes) == {(CLICKS, "applied"): 1}


@pytest.mark.parametrize(
    ("fields", "stage"),
    [
        ({"value": b"{"}, "decode"),
        ({"value": None}, "decode"),
        ({"key": None}, "key"),
        ({"key": b"bob"}, "key"),
        ({"user_id": "*", "key": b"*"}, "validate"),
        ({"scenario": "a/b"}, "validate"),
        ({"append_ms": FIRST_MS - DAY_MS - 1}, "validate"),
        ({"partition": 1 - partition_of("ann")}, "partition"),
    ],
)
def test_a_record_that_cannot_be_used_is_a_dead_letter_and_nothing_else(
    fields: dict[str, Any], stage: str
) -> None:
    bench = Bench(checked=True)
    bad = bench.arrival(**{"partition": partition_of("ann")} | fields)
    result = bench.take(bad)
    assert dict(result.outcomes) == {(CLICKS, "dead_lettered"): 1}
    ((letter),) = result.dead_letters
    assert (letter.arrival, letter.error.stage) == (bad, stage)
    assert (result.lists, result.profiles, result.facts) == ([], {}, None)
    assert result.ledgers[bad.partition].next_offsets == {CLICKS: bad.offset + 1}


def test_a_bad_record_does_not_hold_up_the_good_ones_around_it() -> None:
    bench = Bench()
    result = bench.take(bench.arrival(), bench.arrival(value=b"[" * 100_000), bench.arrival())
    assert dict(result.outcomes) == {(CLICKS, "applied"): 2, (CLICKS, "dead_lettered"): 1}
    assert bench.profiles[0, "ann"].events_applied == 2


def test_an_event_refreshes_the_lists_of_every_scenario_in_which_the_user_has_one() -> None:
    bench = Bench()
    assert versions(bench.take(bench.arrival())) == [("default/ann", 1)]
    both = versions(bench.take(bench.arrival(scenario="home")))
    assert sorted(both) == [("default/ann", 2), ("home/ann", 1)]
    result = bench.take(bench.arrival(), bench.arrival("bob"))
    assert sorted(versions(result)) == [("default/ann", 3), ("default/bob", 1), ("home/ann", 2)]
    assert {made.lineage.events_applied for _, made in result.lists} == {3, 1}


@pytest.mark.parametrize("at_once", [1, 50, 100])
def test_scenarios_of_a_user_are_bounded_wherever_batches_end(at_once: int) -> None:
    bench, outcomes = Bench(), Counter[str]()
    arrivals = [bench.arrival(scenario=f"s{n}") for n in range(MAX_SCENARIOS_OF_A_USER + 36)]
    for start in range(0, len(arrivals), at_once):
        result = bench.take(*arrivals[start : start + at_once])
        outcomes.update({outcome: n for (_, outcome), n in result.outcomes.items()})
    assert outcomes == {"applied": MAX_SCENARIOS_OF_A_USER, "dead_lettered": 36}
    assert len(bench.profiles[0, "ann"].lists) == MAX_SCENARIOS_OF_A_USER
    assert dict(bench.take(bench.arrival(scenario="s7")).outcomes) == {(CLICKS, "applied"): 1}


def test_a_list_made_less_than_min_interval_ago_is_owed_and_its_profile_remembers() -> None:
    bench = Bench()
    bench.replica.put_policy("*", 0, {"list": {"min_interval_ms": 500}})
    bench.take(bench.arrival(), now_ms=FIRST_MS)
    assert versions(bench.take(bench.arrival(), now_ms=FIRST_MS + 499)) == []
    listing = bench.profiles[0, "ann"].lists["default"]
    assert (listing.version, listing.generated_at, listing.owed) == (1, FIRST_MS, True)
    stored = decode_profile(encode_profile(bench.profiles[0, "ann"]))
    assert stored.lists["default"].owed
    assert versions(bench.take(bench.arrival(), now_ms=FIRST_MS + 500)) == [("default/ann", 2)]
    assert not bench.profiles[0, "ann"].lists["default"].owed


def test_lineage_names_what_a_list_was_made_from() -> None:
    bench = Bench(encoded=True)
    bench.replica.put_policy("*", 41, {"list": {"size": 5}})
    bench.replica.adapter_version = 6
    bench.take(bench.arrival(), bench.arrival(kind="review", rating=4))
    last = bench.arrival(event_id="the last")
    ((_, made),) = bench.take(last).lists
    lineage = made.lineage
    assert lineage.offsets == {CLICKS: (0, last.offset), REVIEWS: (0, 0)}
    assert (lineage.last_event_id, lineage.events_applied) == ("the last", 3)
    assert (lineage.policy_version, lineage.adapter_version) == (41, 6)
    assert (lineage.catalogue_items, lineage.encoded_items) == (12, 12)


def test_versions_go_up_by_key_and_recommendation_ids_never_repeat() -> None:
    bench, newest, ids = Bench(), dict[str, int](), set[str]()
    shape = Shape(events=120, users=4, partitions=1)
    for arrival in random_log(np.random.default_rng(5), shape):
        for _, made in bench.take(arrival).lists:
            key = made.key.decode()
            assert made.version == newest.get(key, 0) + 1
            newest[key] = made.version
            assert made.recommendation_id not in ids
            ids.add(made.recommendation_id)
    assert len(newest) > 4


def test_what_the_caller_gave_is_not_changed() -> None:
    bench = Bench()
    bench.take(bench.arrival(), bench.arrival(kind="review", rating=2, text="It broke."))
    profile, ledgers = bench.profiles[0, "ann"], bench.ledgers
    profile_before = encode_profile(profile)
    ledgers_before = msgspec.json.encode(ledgers[0])
    given, given_ledgers = dict(bench.profiles), dict(ledgers)
    batch = [bench.arrival(item_id="i5"), bench.arrival("bob", item_id="i6")]
    result = step(bench.replica, bench, ledgers, batch, bench.context)
    assert encode_profile(profile) == profile_before
    assert msgspec.json.encode(ledgers[0]) == ledgers_before
    assert (bench.profiles, ledgers) == (given, given_ledgers)
    assert result.profiles[0, "ann"] is not profile


@pytest.mark.parametrize("seed", range(4))
def test_a_log_cut_into_other_batches_gives_the_same_profiles_and_statistics(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = random_log(rng, Shape(events=150, users=5, partitions=2))
    expected = fold(logged(log))
    benches = []
    for most in (1, 7, 150):
        bench = Bench()
        for start in range(0, len(log), most):
            bench.take(*log[start : start + most])
        benches.append(bench)
    for bench in benches:
        profiles = {user: profile for (_, user), profile in bench.profiles.items()}
        assert profile_differences(profiles, expected) == []
        assert statistics_differences(bench.replica.statistics, expected) == []
        assert bench.ledgers == benches[0].ledgers
        assert decayed_error(bench.replica.statistics, benches[0].replica.statistics) < 1e-9
    kept = [profile_of_facts(bench) for bench in benches]
    assert kept[0] == kept[1] == kept[2]


def profile_of_facts(bench: Bench) -> dict[tuple[int, str], tuple[object, ...]]:
    """What of a profile rests on the events alone: the reader of texts learns batch by batch."""
    names = ("consumed", "disliked", "recent", "rating_count", "newest_ms", "last_event_id")
    return {
        place: tuple(getattr(profile, name) for name in names)
        for place, profile in bench.profiles.items()
    }


@pytest.mark.parametrize("seed", range(3))
def test_three_workers_that_exchange_facts_know_what_one_knows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = random_log(rng, Shape(events=240, users=9, partitions=3))
    alone = Bench()
    alone.take(*log)
    workers = [Bench(worker=f"w{number}") for number in range(3)]
    published: list[bytes] = []
    read = [0, 0, 0]
    for start in range(0, len(log), 20):
        for number, worker in enumerate(workers):
            read[number] = exchanged(worker, published, read[number])
            part = [record for record in log[start : start + 20] if record.partition == number]
            facts = worker.take(*part).facts
            if facts is not None:
                published.append(facts.to_bytes())
    expected = fold(logged(log))
    for number, worker in enumerate(workers):
        exchanged(worker, published, read[number])
        statistics = worker.replica.statistics
        assert statistics_differences(statistics, expected) == []
        assert decayed_error(statistics, alone.replica.statistics) < 1e-6
        assert statistics.events == alone.replica.statistics.events
        assert statistics.newest_ms == alone.replica.statistics.newest_ms


def exchanged(worker: Bench, published: Sequence[bytes], read: int) -> int:
    """Fold the facts of the others that a worker has not read; return how far it has read."""
    for record in published[read:]:
        facts = Facts.from_bytes(record)
        if facts.worker != worker.context.worker:
            worker.replica.statistics.fold(facts)
    return len(published)


def test_at_most_the_given_number_of_events_is_learned_from() -> None:
    bench = Bench()
    bench.context = replace(bench.context, examples=3)
    result = bench.take(*(bench.arrival(f"u{number}") for number in range(10)))
    assert (result.learnable, result.learned) == (10, 3)
    impressions = [bench.arrival(f"u{number}", event_type="impression") for number in range(4)]
    result = bench.take(*impressions)
    assert (result.learnable, result.learned, result.facts) == (0, 0, None)
    assert len(result.lists) == 4


def test_an_event_without_an_id_is_known_by_where_it_stands() -> None:
    bench = Bench()
    bench.take(bench.arrival(event_id=None))
    assert bench.profiles[0, "ann"].last_event_id == f"{CLICKS}-0-0"


def test_a_user_who_repeats_one_item_is_served_but_hardly_counts_for_others() -> None:
    bench = Bench()
    for _ in range(30):
        bench.take(bench.arrival("ann", item_id="i3"))
    row = bench.replica.items.row("i3")
    assert bench.profiles[0, "ann"].events_applied == 30
    assert bench.replica.statistics.counts[row] == 3
    assert bench.ledgers[0].outcomes[CLICKS] == {"applied": 30}


def test_an_order_in_other_words_is_one_record_and_as_many_events_as_it_has_lines() -> None:
    bench = Bench()
    order = {
        "event": "Order Completed",
        "messageId": "m1",
        "userId": "ann",
        "timestamp": FIRST_MS,
        "properties": {"products": [{"product_id": "i3"}, {"product_id": "i4"}]},
    }
    result = bench.take(bench.arrival("ann", value=json.dumps(order).encode()))
    assert dict(result.outcomes) == {(CLICKS, "applied"): 1}
    profile = bench.profiles[0, "ann"]
    assert [past.item_id for past in profile.history] == ["i3", "i4"]
    assert {past.event_type for past in profile.history} == {"purchase"}
    again = bench.take(bench.arrival("ann", value=json.dumps(order).encode()))
    assert dict(again.outcomes) == {(CLICKS, "duplicate"): 1}
    native = Bench()
    native.context = replace(native.context, form="native")
    refused = native.take(native.arrival("ann", value=json.dumps(order).encode()))
    assert dict(refused.outcomes) == {(CLICKS, "dead_lettered"): 1}
