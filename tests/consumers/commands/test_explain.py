"""`explain` and `dlq list` against a running engine."""

import itertools
import json
import time

import pytest

from consumers.commands.explain import Known, absences
from stream_rec.events import Event
from stream_rec.items import Item
from stream_rec.policy import EffectivePolicy, policy_of
from stream_rec.profiles.profile import Profile, fold
from stream_rec.toplist import Lineage, ListedItem, Reason, TopList

NOW_MS = 1_763_790_285_000
_numbers = itertools.count()


def send(installation, user_id, item_id, **more):
    topic = "reviews" if "rating" in more else "clicks"
    record = {
        "event_id": f"explained-{next(_numbers)}",
        "user_id": user_id,
        "item_id": item_id,
        "timestamp": time.time_ns() // 1_000_000,
        **more,
    }
    installation.observer.send_all(topic, [record])


def test_a_list_is_explained_by_the_users_own_events(installation, stream_rec):
    send(installation, "erin", "i1")
    installation.list_of("erin", lambda toplist: toplist.lineage.events_applied == 1)
    ran = stream_rec("explain", "erin", *installation.options)
    assert ran.status == 0, ran.err
    assert "from 1 events" in ran.out
    assert "Monitor number 1 [i1]" in ran.out
    found = json.loads(stream_rec("explain", "erin", "--json", *installation.options).out)
    assert found["whose"] == "default/erin"
    reasons = [entry["reason"] for entry in found["list"]["items"]]
    assert any(reason["evidence"] == ["i1"] for reason in reasons)
    assert found["likes"] == [{"kind": "category", "label": "Screens", "strength": 1.0}]
    assert "likes: Screens (category) +1.00" in ran.out
    assert "%" in ran.out, "the experts' shares"


def test_an_item_that_is_not_listed_is_explained(installation, stream_rec):
    send(installation, "frank", "i2")
    send(installation, "frank", "i3", rating=1, text="The screen is dull and it broke.")
    installation.list_of("frank", lambda toplist: toplist.lineage.events_applied == 2)
    for item_id, said in (
        ("i2", "the user has taken it (click"),
        ("i3", "not happy with it (review"),
        ("i11", "not available"),
        ("i99", "not in the catalogue"),
    ):
        ran = stream_rec("explain", "frank", item_id, *installation.options)
        assert ran.status == 0, ran.err
        assert said in ran.out


def test_a_stranger_is_explained_by_the_list_for_users_never_seen(installation, stream_rec):
    found = json.loads(stream_rec("explain", "nobody", "--json", *installation.options).out)
    assert found["whose"] == "default/*"
    assert found["list"]["items"]


def test_a_scenario_without_lists_is_said(installation, stream_rec):
    ran = stream_rec("explain", "erin", "--scenario", "nowhere", *installation.options)
    assert ran.status == 2
    assert "nowhere" in ran.err


def test_dead_letters_are_listed_with_their_reasons(installation, stream_rec):
    send(installation, "grace", "i1", rating="five stars")
    send(installation, "grace", "i1")
    installation.list_of("grace")
    letters = json.loads(stream_rec("dlq", "list", "--json", *installation.options).out)
    [letter] = [letter for letter in letters if letter["key"] == "grace"]
    assert letter["topic"] == "operated.events.reviews"
    assert letter["reason"] == "rating is not a number"
    assert "rating is not a number" in stream_rec("dlq", "list", *installation.options).out


def known(policy, *events, listed=(), named_ms=0, **item):
    profile = Profile("u")
    for number, event in enumerate(events):
        profile = fold(profile, event, topic=0, offset=number).profile
    lineage = Lineage(
        last_event_id=None,
        events_applied=0,
        offsets={},
        adapter_version=0,
        policy_version=-1,
        catalogue_items=1,
        encoded_items=1,
    )
    toplist = TopList(
        recommendation_id="r",
        user_id="u",
        scenario="default",
        version=1,
        generated_at=NOW_MS,
        tier="popular",
        items=listed,
        lineage=lineage,
    )
    return Known(
        toplist=toplist,
        toplist_key="default/u",
        profile=profile,
        items={"i": Item(item_id="i", **item)},
        policy=EffectivePolicy(policy=policy_of(policy), version=0),
        named_ms=named_ms,
    )


def event(event_type="click", age_days=0.0):
    timestamp = NOW_MS - round(age_days * 86_400_000)
    return Event(
        event_id=f"e{next(_numbers)}",
        event_type=event_type,
        user_id="u",
        item_id="i",
        timestamp=timestamp,
    )


def test_the_rule_that_blocks_an_item_is_named():
    rules = [
        {"do": "block", "where": {"category": "Kitchen"}},
        {"do": "block", "where": {"price_above": 100.0}},
        {"do": "boost", "factor": 2.0, "where": {"category": "Screens"}},
    ]
    found = absences(known({"rules": rules}, categories=("Screens",), price=120.0), "i")
    assert [finding.kind for finding in found] == ["blocked"]
    assert found[0].text == "rule 1 blocks it: price_above 100.0"


@pytest.mark.parametrize(
    ("named_ms", "kind", "said"),
    [
        (NOW_MS - 1, "scored_lower", "others scored higher: rank 1 has 0.25"),
        (NOW_MS + 1, "newer", "after the list was made"),
    ],
)
def test_an_item_newer_than_the_list_was_not_compared(named_ms, kind, said):
    reason = Reason(kind="popular", text="Popular now", evidence=())
    other = ListedItem(item_id="other", rank=1, score=0.25, sources={}, reason=reason)
    [found] = absences(known({}, listed=(other,), named_ms=named_ms), "i")
    assert (found.kind, said in found.text) == (kind, True)
    blocked = {"rules": [{"do": "block", "where": {"item_id": "i"}}]}
    [found] = absences(known(blocked, listed=(other,), named_ms=named_ms), "i")
    assert found.kind == "blocked"


@pytest.mark.parametrize(
    ("exclude", "events", "kinds"),
    [
        ({}, [event()], ["consumed"]),
        ({"consumed": False}, [event()], []),
        ({"cooldown_days": 7}, [event(age_days=30), event(age_days=3)], ["cooldown"]),
        ({}, [event("dislike")], ["disliked", "negative"]),
        ({"disliked": False}, [event("dislike")], ["negative"]),
    ],
)
def test_exclusions_are_told_as_the_policy_means_them(exclude, events, kinds):
    found = absences(known({"list": {"exclude": exclude}}, *events), "i")
    assert [finding.kind for finding in found] == kinds
