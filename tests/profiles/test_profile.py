from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_rec.events import Event
from stream_rec.item_hash import item_hash
from stream_rec.profiles.history import HISTORY, LINK_WINDOW, MOST_LINKED, Interaction
from stream_rec.profiles.profile import DEDUPE_WINDOW, HOUR_MS, MOST_AN_HOUR, Profile, Reading, fold
from stream_rec.statistics.co_visitation import FORWARD

# Which sums, sets and links an event may change; the rest follows the order of arrival by design.
BY_ARRIVAL = ("recent", "last_event_id", "hour", "said")
SLOW = [HealthCheck.too_slow]  # which goes by the clock on the wall, on machines that are shared
Arrival = tuple[Event, int, int, Reading]  # event, topic, offset, what its words say


def event(number: int, **fields: Any) -> Event:
    named = {"event_type": "click", "item_id": f"i{number}", "timestamp": 1_000 * number}
    return Event(event_id=f"e{number}", user_id="u", **(named | fields))


def folded(arrivals: list[Arrival]) -> tuple[Profile, Counter[tuple[str, str, int]]]:
    """Fold events as they arrive; links are counted by (source, target, gap)."""
    profile, links = Profile("u"), Counter[tuple[str, str, int]]()
    for one, topic, offset, reading in arrivals:
        made = fold(profile, one, topic=topic, offset=offset, reading=reading)
        profile = made.profile
        for sign, target, sources, _ in made.links:
            for gap, source in enumerate(sources):
                links[source, target, gap] += sign
    return profile, Counter({link: count for link, count in links.items() if count})


def heard(arrivals: list[Arrival]) -> Counter[str]:
    """Count the events on each item that count for others."""
    profile, counts = Profile("u"), Counter[str]()
    for one, topic, offset, reading in arrivals:
        made = fold(profile, one, topic=topic, offset=offset, reading=reading)
        profile = made.profile
        counts[one.item_id] += made.counted
    return counts


def timeless(profile: Profile) -> dict[str, Any]:
    return {
        name: getattr(profile, name) for name in Profile.__struct_fields__ if name not in BY_ARRIVAL
    }


@st.composite
def streams(draw: st.DrawFn, most: int) -> list[Arrival]:
    """Events of one user on two topics, in the order of each topic's log."""
    count = draw(st.integers(0, most))
    arrivals = []
    for number in range(count):
        rating = draw(st.none() | st.floats(-10, 10, allow_nan=False))
        sentiment = draw(st.none() | st.floats(-1, 1, allow_nan=False))
        reading = Reading(sentiment, None, rating is not None and rating < 3)
        one = event(
            number,
            item_id=draw(st.sampled_from("abcdefgh")),
            event_type=draw(
                st.sampled_from(
                    ["click", "purchase", "review", "impression", "skip", "dislike", "hide", "new"]
                )
            ),
            timestamp=draw(st.integers(0, 30)),
            rating=rating,
        )
        arrivals.append((one, draw(st.integers(0, 1)), number, reading))
    return arrivals


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(streams(40), st.randoms())
def test_any_order_of_arrival_gives_the_same_history_sets_sums_and_links(
    arrivals: list[Arrival], random: Any
) -> None:
    shuffled = list(arrivals)
    random.shuffle(shuffled)
    one, links = folded(arrivals)
    other, other_links = folded(shuffled)
    assert timeless(one) == timeless(other)
    assert links == other_links
    assert heard(arrivals) == heard(shuffled)


@settings(max_examples=20, deadline=None)
@given(st.randoms(), st.lists(st.sampled_from("abcdefghij"), min_size=150, max_size=200))
def test_nor_does_it_matter_in_a_long_history_when_events_are_not_too_late(
    random: Any, items: list[str]
) -> None:
    lateness = HISTORY - 2 * LINK_WINDOW - 1
    # An item may come back while the whole past is remembered; after that it is quiet, which
    # follows the order of arrival.
    names = [
        item if number < HISTORY - lateness else f"{item}{number}"
        for number, item in enumerate(items)
    ]
    arrivals: list[Arrival] = [
        (event(number, item_id=item), 0, number, Reading()) for number, item in enumerate(names)
    ]
    delays = {number: number + random.uniform(0, lateness) for number in range(len(items))}
    late = sorted(arrivals, key=lambda arrival: delays[arrival[2]])
    one, links = folded(arrivals)
    other, other_links = folded(late)
    assert timeless(one) == timeless(other)
    assert links == other_links


@settings(max_examples=50, deadline=None, suppress_health_check=SLOW)
@given(streams(40))
def test_links_are_those_of_the_history_in_order_of_event_time(arrivals: list[Arrival]) -> None:
    _, links = folded(arrivals)
    places = [((one.timestamp, topic, offset), one, read) for one, topic, offset, read in arrivals]
    taken = [
        (one.item_id, not read.against)
        for _, one, read in sorted(places, key=lambda at: at[0])
        if one.consuming
    ]
    expected = Counter[tuple[str, str, int]]()
    for spot, (target, telling) in enumerate(taken):
        window = reversed(taken[max(0, spot - LINK_WINDOW) : spot])
        before = [item for item, heard in window if heard]
        if not telling or before.count(target) >= MOST_LINKED:
            continue
        for gap, source in enumerate(dict.fromkeys(before)):
            expected[source, target, gap] += 1
    assert links == expected


@settings(max_examples=50, deadline=None, suppress_health_check=SLOW)
@given(streams(40))
def test_sums_and_sets_are_those_of_the_events(arrivals: list[Arrival]) -> None:
    profile, _ = folded(arrivals)
    events = [one for one, *_ in arrivals]
    rated = [one.rating for one in events if one.rating is not None]
    assert profile.events_applied == len(events)
    assert profile.rating_count == len(rated)
    assert profile.rating_milli == sum(round(rating * 1000) for rating in rated)
    assert profile.newest_ms == max((one.timestamp for one in events), default=0)
    consumed = {item_hash(one.item_id) for one in events if one.consuming}
    assert set(profile.consumed.hashes().tolist()) == consumed
    refused = {item_hash(one.item_id) for one in events if one.event_type in ("dislike", "hide")}
    assert set(profile.disliked.hashes().tolist()) == refused


def test_topic_and_offset_order_events_of_one_time() -> None:
    click, review = (event(number, timestamp=5) for number in (1, 2))
    arrivals: list[Arrival] = [
        (review, 1, 0, Reading()),
        (event(3, timestamp=5), 0, 8, Reading()),
        (click, 0, 7, Reading()),
    ]
    profile, _ = folded(arrivals)
    assert [past.item_id for past in profile.history] == ["i1", "i3", "i2"]


def test_the_history_keeps_the_newest_interactions_by_event_time() -> None:
    arrivals: list[Arrival] = [
        (event(number), 0, number, Reading()) for number in [*range(100, 200), *range(100)]
    ]
    profile, _ = folded(arrivals)
    assert [past.item_id for past in profile.history] == [
        f"i{number}" for number in range(136, 200)
    ]
    assert profile.newest_ms == 199_000


def test_of_one_item_a_user_counts_for_others_the_first_second_and_fourth_time() -> None:
    profile, counted = Profile("u"), []
    for number in range(12):
        made = fold(profile, event(number, item_id="a"), topic=0, offset=number)
        profile = made.profile
        counted.append(made.counted)
    assert [number for number, one in enumerate(counted, 1) if one] == [1, 2, 4]
    assert profile.times("a") == 12
    assert not fold(profile, event(12, event_type="impression"), topic=0, offset=12).counted


def test_a_user_who_wants_one_item_up_says_little_however_much_is_sent() -> None:
    profile, counted, linked = Profile("u"), 0, 0
    for number in range(2_000):
        item = "target" if number % 2 else f"i{number % 40}"
        made = fold(profile, event(number, item_id=item), topic=0, offset=number)
        profile = made.profile
        counted += made.counted and item == "target"
        linked += sum(sign for sign, target, *_ in made.links if target == "target")
        assert all(sources.count("target") <= 1 for _, _, sources, _ in made.links)
    assert counted <= 3
    assert linked <= 3


@pytest.mark.parametrize("apart", [2, 7, 18, 34, 65, 140])
def test_nor_does_it_help_to_come_back_when_earlier_events_are_forgotten(apart: int) -> None:
    """Whatever the distance, with fillers that never repeat and a day between two events."""
    profile, counted, linked = Profile("u"), 0, 0
    for number in range(1_200):
        item = "target" if number % apart == 0 else f"i{number}"
        one = event(number, item_id=item, timestamp=number * 24 * HOUR_MS)
        made = fold(profile, one, topic=0, offset=number)
        profile = made.profile
        counted += made.counted and item == "target"
        linked += sum(sign for sign, target, *_ in made.links if target == "target")
    assert 1 <= counted <= 3
    assert linked <= HISTORY / 7 + 1
    assert fold(profile, event(1_201), topic=0, offset=1_201).counted, "what is new still counts"


def test_nobody_is_heard_more_often_than_a_reader_could_act_in_an_hour() -> None:
    profile, counted, linked = Profile("u"), 0, 0
    for number in range(1_000):
        made = fold(profile, event(number, timestamp=number), topic=0, offset=number)
        profile = made.profile
        counted += made.counted
        linked += len(made.links)
    assert counted == linked == MOST_AN_HOUR
    assert profile.events_applied == 1_000
    assert profile.history[-1].quiet
    later = event(1_000, timestamp=HOUR_MS)
    assert fold(profile, later, topic=0, offset=1_000).counted


@settings(max_examples=30, deadline=None)
@given(st.randoms())
def test_links_of_the_quiet_are_neither_made_nor_taken_back(random: Any) -> None:
    """However late events come, no link weighs less than nothing."""
    arrivals: list[Arrival] = [
        (event(number, timestamp=number, item_id=f"i{random.randrange(30)}"), 0, number, Reading())
        for number in range(MOST_AN_HOUR + 60)
    ]
    late = sorted(arrivals, key=lambda arrival: arrival[2] + random.uniform(0, 20))
    profile, weights = Profile("u"), Counter[tuple[str, str]]()
    for one, topic, offset, reading in late:
        made = fold(profile, one, topic=topic, offset=offset, reading=reading)
        profile = made.profile
        for sign, target, sources, _ in made.links:
            for gap, source in enumerate(sources):
                weights[source, target] += sign * int(FORWARD[gap])
    assert min(weights.values()) >= 0


def test_who_speaks_against_an_item_keeps_it_and_says_nothing_of_it_to_others() -> None:
    profile = fold(Profile("u"), event(1), topic=0, offset=1).profile
    bad = fold(profile, event(2), topic=0, offset=2, reading=Reading(-0.9, None, True))
    assert (bad.counted, bad.links) == (False, [])
    assert bad.profile.times("i2") == 1
    assert bad.profile.consumed.holds(np.array([item_hash("i2")], np.uint64)).all()
    after = fold(bad.profile, event(3), topic=0, offset=3)
    assert after.counted
    assert after.links == [(1, "i3", ["i1"], False)]
    late = event(4, timestamp=1_500, item_id="late")
    both = fold(after.profile, late, topic=0, offset=4, reading=Reading(None, None, True))
    assert (both.counted, both.links) == (False, [])
    changed_mind = fold(both.profile, event(5, item_id="i2"), topic=0, offset=5)
    assert changed_mind.counted
    assert changed_mind.links == [(1, "i2", ["i3", "i1"], False)]


def test_an_impression_is_counted_but_not_remembered() -> None:
    profile, links = folded([(event(1, event_type="impression"), 0, 0, Reading())])
    assert (profile.history, profile.events_applied, links) == ((), 1, Counter())
    assert profile.consumed.hashes().size == 0


def test_what_was_read_out_of_a_review_is_remembered_with_it() -> None:
    review = event(1, event_type="review", rating=2.0, timestamp=7)
    profile, _ = folded([(review, 1, 4, Reading(-0.5, "the fan is unbearable"))])
    assert profile.history == (
        Interaction(7, 1, 4, "i1", "review", "default", 2.0, -0.5, "the fan is unbearable"),
    )
    assert (profile.sentiment_count, profile.sentiment_milli) == (1, -500)
    assert profile.rating_mean == 2.0


def test_an_event_id_is_known_while_it_is_among_the_last_128() -> None:
    profile = Profile("u")
    assert not profile.knows("e0")
    for number in range(DEDUPE_WINDOW + 1):
        profile = fold(profile, event(number), topic=0, offset=number).profile
        assert profile.knows(f"e{number}")
    assert not profile.knows("e0")
    assert all(profile.knows(f"e{number}") for number in range(1, DEDUPE_WINDOW + 1))


@given(st.lists(st.text(max_size=4), unique=True, max_size=DEDUPE_WINDOW), st.text(max_size=4))
def test_an_id_is_known_only_when_it_was_applied(ids: list[str], other: str) -> None:
    profile = Profile("u")
    for number, name in enumerate(ids):
        one = msgspec.structs.replace(event(number), event_id=name)
        profile = fold(profile, one, topic=0, offset=number).profile
    assert profile.knows(other) == (other in ids)


def test_a_fold_leaves_the_profile_it_started_from_as_it_was() -> None:
    before, _ = folded([(event(1), 0, 1, Reading())])
    written = msgspec.msgpack.encode(before)
    fold(before, event(2), topic=0, offset=2)
    assert msgspec.msgpack.encode(before) == written


def test_a_profile_stays_small_whatever_the_user_does() -> None:
    profile = Profile("u")
    for number in range(1_000):
        one = event(number, event_type="review", rating=2.5, item_id=f"B00{number:07}")
        reading = Reading(0.25, "a phrase of some thirty letters")
        profile = fold(profile, one, topic=1, offset=number, reading=reading).profile
    assert len(profile.history) == HISTORY
    assert len(msgspec.msgpack.encode(profile)) < 10_000


@given(streams(20))
def test_a_profile_is_read_as_it_was_written(arrivals: list[Arrival]) -> None:
    profile, _ = folded(arrivals)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(profile), type=Profile) == profile


@pytest.mark.parametrize("event_type", ["dislike", "hide"])
def test_a_refused_item_is_remembered_as_disliked(event_type: str) -> None:
    profile, links = folded([(event(1, event_type=event_type), 0, 1, Reading())])
    assert profile.disliked.hashes().tolist() == [item_hash("i1")]
    assert profile.consumed.hashes().size == 0
    assert not links
