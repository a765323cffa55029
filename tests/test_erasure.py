"""Forgetting a user: what a request must look like, what goes and what stays."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.erasure import Erased, Erasure, Marker, erase, new_profile, parse_erasure
from stream_rec.errors import InvalidRecord
from stream_rec.events import DAY_MS, Event
from stream_rec.profiles.profile import Listing, Profile, Reading, fold
from stream_rec.step import Arrival, Step
from tests.shop_log import FIRST_MS
from tests.test_step import CLICKS, Bench

ERASURES = "erasures"
TYPES = ("click", "purchase", "dislike", "hide", "skip", "review")


def event(number: int, timestamp: int, **fields: Any) -> Event:
    record = {"event_type": "click", "user_id": "ann", "item_id": f"i{number % 7}"} | fields
    return Event(event_id=f"e{number}", timestamp=timestamp, **record)


def folded(events: list[Event], profile: Profile | None = None) -> Profile:
    found = profile or Profile("ann")
    for number, one in enumerate(events):
        reading = Reading(sentiment=0.25 if one.event_type == "review" else None)
        found = fold(found, one, topic=0, offset=number, reading=reading).profile
    return found


def request(timestamp: int) -> Erasure:
    return Erasure(user_id="ann", timestamp=timestamp)


class Forgetting(Bench):
    """A step under test whose users can be forgotten, as a worker keeps their marks."""

    def __init__(self, *, checked: bool = False) -> None:
        super().__init__(checked=checked)
        self.marks: dict[tuple[int, str], Marker] = {}
        self.context = replace(self.context, erased=lambda *place: self.marks.get(place))

    def take(self, *batch: Arrival, now_ms: int | None = None) -> Step:
        before = dict(self.profiles)
        result = super().take(*batch, now_ms=now_ms)
        self.profiles = {k: v for k, v in before.items() if k not in result.erased}
        self.profiles |= result.profiles
        self.marks |= {place: done.marker for place, done in result.erased.items()}
        return result

    def erasure(self, user_id: str = "ann", timestamp: Any = FIRST_MS, **more: Any) -> Arrival:
        partition = more.pop("partition", 0)
        offset = self.offsets.get((ERASURES, partition), 0)
        self.offsets[ERASURES, partition] = offset + 1
        body = json.dumps({"user_id": user_id, "timestamp": timestamp}).encode()
        record = {"key": user_id.encode(), "value": body, "append_ms": None} | more
        return Arrival(kind="erasure", topic=ERASURES, partition=partition, offset=offset, **record)


@pytest.fixture
def bench() -> Forgetting:
    return Forgetting()


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (None, b"ann", "no value"),
        (b"[1]", b"ann", "JSON object"),
        (b'{"timestamp": 1}', b"ann", "user_id is required"),
        (b'{"user_id": "ann"}', b"ann", "timestamp is required"),
        (b'{"user_id": "*", "timestamp": 1}', b"*", "must not be"),
        (b'{"user_id": "ann", "timestamp": "soon"}', b"ann", "no time"),
        (b'{"user_id": "ann", "timestamp": 1}', b"bob", "key is not"),
        (b'{"user_id": "ann", "timestamp": 1}', None, "key is not"),
        (b'{"user_id": "ann", "user_id": "bob", "timestamp": 1}', b"bob", "stands twice"),
        (b'{"user_id": "ann", "timestamp": "2100-01-01"}', b"ann", "ahead"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(
    value: bytes | None, key: bytes | None, reason: str
) -> None:
    with pytest.raises(InvalidRecord, match=reason):
        parse_erasure(value, key=key, append_ms=FIRST_MS)


def test_a_request_takes_every_usual_form_of_time() -> None:
    for timestamp in (1_700_000_000, 1_700_000_000_000, "2023-11-14T22:13:20Z"):
        value = json.dumps({"user_id": "ann", "timestamp": timestamp, "reason": "asked"}).encode()
        assert parse_erasure(value, key=b"ann").timestamp == 1_700_000_000_000


def test_nothing_is_left_of_a_user_without_newer_events() -> None:
    profile = folded([event(n, FIRST_MS + n) for n in range(5)])
    profile = replace_lists(profile, {"default": 3, "home": 1100})
    done = erase(profile, None, request(FIRST_MS + 4))
    assert done == Erased(
        marker=Marker(timestamp=FIRST_MS + 4, version=2048),
        scenarios=("default", "home"),
        profile=None,
        events=5,
    )


def replace_lists(profile: Profile, versions: dict[str, int]) -> Profile:
    lists = {name: Listing(version, FIRST_MS) for name, version in versions.items()}
    values = {name: getattr(profile, name) for name in Profile.__struct_fields__}
    return Profile(**values | {"lists": lists})


def test_a_mark_tells_hardly_how_many_lists_there_were() -> None:
    for versions, rounded in (({}, 0), ({"a": 1}, 1024), ({"a": 1024}, 1024), ({"a": 1025}, 2048)):
        done = erase(replace_lists(folded([event(0, 1)]), versions), None, request(1))
        assert done is not None
        assert done.marker.version == rounded


def test_forgetting_again_without_lists_between_does_not_move_the_version() -> None:
    marker = Marker(timestamp=10, version=1024)
    done = erase(new_profile("ann", marker), marker, request(20))
    assert done is not None
    assert done.marker == Marker(timestamp=20, version=1024)


def test_a_request_no_later_than_the_last_one_does_nothing() -> None:
    marker = Marker(timestamp=10)
    assert erase(None, marker, request(10)) is None
    assert erase(folded([event(1, 20)]), marker, request(9)) is None
    assert erase(None, marker, request(11)) is not None


@given(
    times=st.lists(st.integers(0, 50), min_size=1, max_size=60, unique=True),
    types=st.lists(st.sampled_from(TYPES), min_size=60, max_size=60),
    cut=st.integers(-1, 51),
)
def test_what_is_left_is_the_fold_of_the_newer_events(
    times: list[int], types: list[str], cut: int
) -> None:
    events = [
        event(
            number,
            FIRST_MS + time,
            event_type=types[number],
            rating=time / 2 if types[number] == "review" else None,
        )
        for number, time in enumerate(times)
    ]
    done = erase(folded(events), None, request(FIRST_MS + cut))
    assert done is not None
    newer = [one for one in events if one.timestamp > FIRST_MS + cut]
    if not newer:
        assert done.profile is None
        return
    assert done.profile is not None
    direct = Profile("ann")
    for number, one in enumerate(events):
        if one in newer:
            reading = Reading(sentiment=0.25 if one.event_type == "review" else None)
            direct = fold(direct, one, topic=0, offset=number, reading=reading).profile
    kept = ("history", "consumed", "disliked", "events_applied", "rating_count", "rating_milli")
    for name in (*kept, "sentiment_count", "sentiment_milli", "newest_ms", "since_ms", "lists"):
        assert getattr(as_linked(done.profile), name) == getattr(as_linked(direct), name), name
    assert done.profile.last_event_id is None
    assert all(done.profile.knows(one.event_id) for one in newer)


def test_a_forgotten_user_loses_profile_and_lists_and_counts_once(bench: Forgetting) -> None:
    bench.take(bench.arrival("ann"), bench.arrival("ann", scenario="home"), bench.arrival("bob"))
    result = bench.take(bench.erasure(), now_ms=FIRST_MS + 7)
    assert dict(result.outcomes) == {(ERASURES, "applied"): 1}
    assert set(bench.profiles) == {(0, "bob")}
    assert result.erased[0, "ann"].scenarios == ("default", "home")
    assert result.lists == []
    assert result.ledgers[0].next_offsets[ERASURES] == 1
    assert result.ledgers[0].erased_at == FIRST_MS + 7
    assert result.facts is None
    again = bench.take(bench.erasure())
    assert dict(again.outcomes) == {(ERASURES, "duplicate"): 1}
    assert again.erased == {}


def test_events_replayed_after_an_erasure_do_not_bring_a_user_back(bench: Forgetting) -> None:
    old = [bench.arrival("ann", timestamp=FIRST_MS - n) for n in range(3)]
    bench.take(*old)
    bench.take(bench.erasure())
    result = bench.take(*old)
    assert dict(result.outcomes) == {(CLICKS, "erased"): 3}
    assert bench.profiles == {}
    assert result.lists == []


def test_an_erasure_goes_before_the_events_of_its_batch(bench: Forgetting) -> None:
    late = bench.arrival("ann", timestamp=FIRST_MS + 1)
    result = bench.take(bench.arrival("ann"), late, bench.erasure())
    assert dict(result.outcomes) == {
        (ERASURES, "applied"): 1,
        (CLICKS, "erased"): 1,
        (CLICKS, "applied"): 1,
    }
    assert bench.profiles[0, "ann"].events_applied == 1


def test_a_user_who_comes_back_starts_empty_with_higher_versions(bench: Forgetting) -> None:
    bench.take(*(bench.arrival("ann", item_id=f"i{n}") for n in range(4)))
    (before,) = [made for _, made in bench.take(bench.arrival("ann")).lists]
    bench.take(bench.erasure())
    (after,) = [made for _, made in bench.take(bench.arrival("ann", timestamp=FIRST_MS + 1)).lists]
    assert after.lineage.events_applied == 1
    assert after.version > before.version
    profile = bench.profiles[0, "ann"]
    assert [past.timestamp for past in profile.history] == [FIRST_MS + 1]
    replayed = bench.take(bench.arrival("ann"))
    assert dict(replayed.outcomes) == {(CLICKS, "erased"): 1}


def test_what_a_user_did_since_the_request_stays_and_is_listed_anew(bench: Forgetting) -> None:
    bench.take(bench.arrival("ann", item_id="i1"), bench.arrival("ann", scenario="home"))
    new = bench.arrival("ann", item_id="i5", timestamp=FIRST_MS + 5, scenario="shop")
    bench.take(new)
    result = bench.take(bench.erasure())
    assert set(result.erased[0, "ann"].scenarios) == {"default", "home", "shop"}
    assert [(made.scenario, made.lineage.events_applied) for _, made in result.lists] == [
        ("shop", 1)
    ]
    assert set(bench.profiles[0, "ann"].lists) == {"shop"}
    assert dict(bench.take(new).outcomes) == {(CLICKS, "duplicate"): 1}


def test_two_requests_in_one_batch_come_to_the_later_one(bench: Forgetting) -> None:
    bench.take(bench.arrival("ann"), bench.arrival("ann", timestamp=FIRST_MS + 5))
    result = bench.take(bench.erasure(), bench.erasure(timestamp=FIRST_MS + 5))
    assert result.erased[0, "ann"].marker.timestamp == FIRST_MS + 5
    assert result.erased[0, "ann"].scenarios == ("default",)
    assert bench.profiles == {}
    assert result.lists == []


def test_bad_requests_are_dead_letters_and_so_are_those_in_the_wrong_partition() -> None:
    bench = Forgetting(checked=True)
    right = sum(b"ann") % 2
    wrong = bench.erasure(partition=1 - right)
    bad = bench.erasure(partition=right, value=b"{")
    early = bench.erasure(partition=right, timestamp=FIRST_MS + 2 * DAY_MS, append_ms=FIRST_MS)
    result = bench.take(wrong, bad, early)
    assert [letter.error.stage for letter in result.dead_letters] == [
        "partition",
        "decode",
        "validate",
    ]
    assert dict(result.outcomes) == {(ERASURES, "dead_lettered"): 3}
    assert result.erased == {}


def test_the_candidates_shown_to_a_user_are_forgotten_too(bench: Forgetting) -> None:
    bench.take(bench.arrival("ann"), bench.arrival("bob"))
    impressions = bench.replica.views.impressions
    known = bench.profiles[0, "ann"]
    assert impressions.find(known, "default") is not None
    bench.take(bench.erasure())
    assert impressions.find(known, "default") is None
    assert impressions.find(bench.profiles[0, "bob"], "default") is not None


def as_linked(profile: Profile) -> Profile:
    """Return a profile as if all of its events were linked: that was said before, and stays."""
    history = tuple(msgspec.structs.replace(past, linked=True) for past in profile.history)
    return msgspec.structs.replace(profile, history=history)
