"""One example file a dialect, read as a shop sends it; our own words mean what they meant."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_rec.aliases.families import DIALECTS, FORMATS
from stream_rec.errors import InvalidRecord
from stream_rec.events import Event, parse_event, parse_events
from tests.poison import poisoned

FOLDER = Path(__file__).parent
AT_MS = 1_795_326_295_123  # 2026-11-22T05:44:55.123Z

# (user, item, type, and whatever else the example says), one row an event.
Row = tuple[str, str, str, dict[str, Any]]
EXPECTED: dict[str, list[Row]] = {
    "gorse": [
        ("u1", "i9", "like", {"value": 1.0, "timestamp": AT_MS,
                              "text": "Great picture, but the fan is unbearable."}),
        ("u1", "i4", "impression", {}),
    ],
    "metarank": [
        ("u1", "i9", "purchase", {"event_id": "0f4c0036", "rating": 4.0, "text": "Quiet enough.",
                                  "timestamp": AT_MS, "session_id": "s1",
                                  "recommendation_id": "81f46c34"}),
        ("u1", "i3", "impression", {"event_id": "81f46c34", "recommendation_id": "81f46c34"}),
    ],
    "personalize": [
        ("u1", "i9", "click", {"event_id": "e1", "value": 2.5, "recommendation_id": "RID-7",
                               "session_id": "s1", "timestamp": 1_795_326_295_000}),
        ("u1", "i4", "purchase", {"event_id": "e2#1"}),
        ("u1", "i9", "watch", {"value": 0.5}),
    ],
    "google_retail": [
        ("u1", "i9", "view", {"timestamp": AT_MS, "session_id": "s1", "recommendation_id": "ABC"}),
        ("u1", "i9", "purchase", {"value": 1.0}),
        ("u1", "i4", "purchase", {"value": 3.0, "event_id": "t-0-7#1"}),
        ("u1", "i3", "impression", {}),
    ],
    "segment": [
        ("u1", "i9", "view", {"event_id": "m1", "timestamp": AT_MS, "position": 3,
                              "session_id": "1795326000"}),
        ("u1", "9", "review", {"rating": 2.0, "text": "Too loud."}),
        ("u1", "i9", "purchase", {"event_id": "m3", "value": 1.0}),
        ("u1", "i4", "purchase", {"event_id": "m3#1", "value": 3.0}),
        ("u1", "i3", "impression", {"recommendation_id": "hot", "position": 1}),
    ],
    "snowplow": [
        ("u1", "i9", "cart", {"timestamp": AT_MS, "session_id": "s1", "value": 2.0,
                              "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb"}),
        ("u1", "i4", "click", {"timestamp": 1_795_326_600_000}),
    ],
    "amazon_reviews": [
        ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B0A1", "review",
         {"rating": 2.0, "title": "Loud", "timestamp": 1_588_687_728_923,
          "text": "Great picture, but the fan is unbearable."}),
        ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B0B7", "review", {"rating": 5.0}),
    ],
    "cloudevents": [
        ("u1", "i9", "click", {"event_id": "/shop/web#7", "timestamp": AT_MS}),
        ("u1", "i4", "like", {"event_id": "/shop/web#8"}),
        ("u1", "i5", "cart", {"event_id": "own"}),
    ],
}  # fmt: skip


def examples(name: str) -> list[bytes]:
    return (FOLDER / f"{name}.jsonl").read_bytes().splitlines()


def parsed(value: bytes, user: str = "u1", **more: Any) -> tuple[Event, ...]:
    return parse_events(value, key=user.encode(), kind="click", source="t-0-7", **more)


def read(name: str, form: str) -> list[Event]:
    user = EXPECTED[name][0][0]
    return [event for value in examples(name) for event in parsed(value, user, form=form)]


def test_every_format_has_an_example() -> None:
    assert set(EXPECTED) == set(FORMATS) - {"auto", "native"}
    assert {dialect.name for dialect in DIALECTS} < set(FORMATS)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("by_name", [True, False], ids=["set", "auto"])
def test_the_example_of_a_dialect_is_read_as_it_is_meant(name: str, by_name: bool) -> None:
    events = read(name, name if by_name else "auto")
    assert [(e.user_id, e.item_id, e.event_type) for e in events] == [
        row[:3] for row in EXPECTED[name]
    ]
    for event, (*_, more) in zip(events, EXPECTED[name], strict=True):
        assert {field: getattr(event, field) for field in more} == more


@pytest.mark.parametrize("name", EXPECTED)
def test_only_ours_is_read_where_only_ours_is_wanted(name: str) -> None:
    for value in examples(name):
        with pytest.raises(InvalidRecord):
            parsed(value, form="native")


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"cloudevents"}))
def test_a_set_dialect_refuses_the_others_and_reads_our_own_words(name: str) -> None:
    other = "segment" if name == "gorse" else "gorse"
    with pytest.raises(InvalidRecord, match=f"not a record of {name}"):
        parsed(examples(other)[0], form=name)
    ours = b'{"user_id": "u1", "item_id": "i1", "timestamp": 1763790285123}'
    assert parsed(ours, form=name) == parsed(ours, form="native")


def test_what_has_no_place_of_its_own_is_kept_and_so_is_what_else_was_shown() -> None:
    click, *_ = read("personalize", "auto")
    assert click.properties["trackingId"] == "t"
    review, *_ = read("amazon_reviews", "auto")
    assert review.properties["helpful_vote"] == 3
    ranking = read("metarank", "auto")[-1]
    assert ranking.properties["shown"] == ["i3", "i9", "i5"]


def test_an_envelope_in_headers_says_what_the_event_does_not() -> None:
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"7"),
        ("ce_source", b"shop"),
        ("ce_type", b"com.shop.cart"),
        ("ce_time", b"2026-11-22T05:44:55.123Z"),
        ("content-type", b"application/json"),
    )
    (event,) = parsed(b'{"user_id": "u1", "item_id": "i9"}', headers=headers)
    assert (event.event_id, event.event_type, event.timestamp) == ("shop#7", "cart", AT_MS)
    (event,) = parsed(
        b'{"user_id": "u1", "item_id": "i9", "timestamp": 1763790285, "event_id": "own"}',
        headers=headers,
    )
    assert (event.event_id, event.timestamp) == ("own", 1_763_790_285_000)
    (event,) = parsed(b'{"UserId": "u1", "ItemId": "i9", "FeedbackType": "like"}', headers=headers)
    assert (event.event_id, event.event_type, event.timestamp) == ("shop#7", "like", AT_MS)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t"}', "data must be"),
        (
            b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": "%"}',
            "base64",
        ),
        (b'{"FeedbackType": "a", "UserId": "u1", "ItemId": "i"}', "Timestamp is required"),
        (
            b'{"FeedbackType": "a", "UserId": "u1", "UserId": "u2", "ItemId": "i", "Timestamp": 1}',
            "stands twice",
        ),
        (b'{"event": "Signed Up", "userId": "u1", "properties": {}}', "segment: line.product_id"),
    ],
)
def test_what_cannot_be_used_says_why(value: bytes, why: str) -> None:
    with pytest.raises(InvalidRecord, match=why):
        parsed(value)


def test_an_order_of_more_lines_than_a_user_remembers_is_refused() -> None:
    products = [{"product_id": f"i{number}"} for number in range(65)]
    order = {"event": "Order Completed", "userId": "u1", "messageId": "m"}
    order |= {"timestamp": 1_763_790_285, "properties": {"products": products}}
    with pytest.raises(InvalidRecord, match="65 items"):
        parsed(json.dumps(order).encode())
    order["properties"] = {"products": products[:64]}
    events = parsed(json.dumps(order).encode())
    assert len({event.event_id for event in events}) == 64


def test_the_key_must_be_the_user_in_every_dialect() -> None:
    for name in EXPECTED:
        with pytest.raises(InvalidRecord, match="key"):
            parsed(examples(name)[0], "someone else")


WHOLE = {
    "event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i9",
    "timestamp": 1763790285123, "scenario": "default", "rating": 4, "text": "t", "asin": "B0",
    "FeedbackType": "star", "event": "x", "userId": "u2", "properties": {"product_id": "i8"},
}  # fmt: skip


def test_our_own_words_mean_what_they_meant_whatever_else_stands_beside_them() -> None:
    for value in poisoned(WHOLE).values():
        try:
            before: Event | str = parse_event(value, key=b"u1", kind="click", source="t-0-7")
        except InvalidRecord as error:
            before = error.reason
        if value is None or b'"user_id"' not in value or b'"item_id"' not in value:
            continue
        try:
            after: Event | str = parsed(value)[0]
        except InvalidRecord as error:
            after = error.reason
        assert after == before


@pytest.mark.parametrize("name", EXPECTED)
def test_poison_in_a_dialect_ends_in_a_reason_or_in_valid_events(name: str) -> None:
    for line in examples(name):
        for value in poisoned(json.loads(line)).values():
            try:
                events = parsed(value, EXPECTED[name][0][0])
            except InvalidRecord as refused:
                assert refused.reason  # noqa: PT017
                continue
            for event in events:
                again = msgspec.json.decode(msgspec.json.encode(event))
                assert msgspec.convert(again, Event) == event
