"""Events in the contract's own words are read by a shorter way, which must come to the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rec.events import Event, _plain, event_of, parse_event
from stream_rec.record_fields import decode_object
from tests.poison import poisoned

UNIQUE = (b'"user_id"', b'"item_id"', b'"timestamp"', b'"event_id"', b'"rating"')
PLAIN: dict[str, Any] = {
    "event_id": "e1",
    "event_type": "click",
    "user_id": "u1",
    "item_id": "i1",
    "timestamp": 1_763_790_285_123,
    "scenario": "default",
    "session_id": "s1",
    "value": 1.5,
    "rating": 4,
    "title": "Good",
    "text": 'It says "user_id" and \u00fc.',
    "recommendation_id": "r",
    "position": 3,
}


def long_way(value: bytes | None) -> Event:
    record = decode_object(value, unique=UNIQUE)
    return event_of(record, kind="click", source="t-0-0")


def agrees(value: bytes | None) -> None:
    """Whatever the shorter way reads, the longer one reads the same."""
    short = _plain(value)
    if short is not None:
        assert short == long_way(value)


def test_a_plain_event_is_read_by_the_shorter_way() -> None:
    for record in (PLAIN, {name: PLAIN[name] for name in list(PLAIN)[:5]}):
        value = json.dumps(record).encode()
        assert _plain(value) is not None
        agrees(value)


@pytest.mark.parametrize(
    "change",
    [
        {"properties": {"a": 1}},
        {"unheard_of": 1},
        {"timestamp": 1_763_790_285},
        {"timestamp": "2025-11-22T05:44:45Z"},
        {"rating": "4"},
        {"event_type": None},
        {"position": 2.5},
    ],
)
def test_what_needs_care_takes_the_longer_way_and_is_still_read(change: dict[str, Any]) -> None:
    value = json.dumps(PLAIN | change).encode()
    assert _plain(value) is None
    event = parse_event(value, key=b"u1", kind="click", source="t-0-0")
    assert event == long_way(value)


def test_the_whole_corpus_of_poison_is_judged_alike() -> None:
    for value in poisoned(PLAIN).values():
        agrees(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from(list(PLAIN)), JSON)
def test_any_value_in_any_field_is_judged_alike(field: str, value: Any) -> None:
    agrees(json.dumps(PLAIN | {field: value}).encode())


@given(st.dictionaries(st.sampled_from([*PLAIN, "other"]), JSON))
def test_any_record_is_judged_alike(record: dict[str, Any]) -> None:
    value = json.dumps(record).encode()
    agrees(value)
