"""The simulated stream: contract-true, repeatable, skewed, with sessions and newcomers."""

import gc
from collections import Counter, defaultdict
from itertools import islice

import msgspec
import pytest

from stream_rec.events import parse_event
from stream_rec.items import parse_item
from stream_rec.simulation.shop import Happening, Shop

START_MS = 1_763_790_285_123
COUNT = 6000


@pytest.fixture(scope="module")
def happenings() -> list[Happening]:
    return list(Shop(7).happenings(COUNT, START_MS, 250))


def test_every_record_is_accepted_by_the_contract(happenings: list[Happening]) -> None:
    for topic, record in happenings:
        value = msgspec.json.encode(record)
        if topic == "items":
            parse_item(value, key=record["item_id"].encode())
            continue
        kind = "review" if topic == "reviews" else "click"
        event = parse_event(value, key=record["user_id"].encode(), kind=kind, source="test-0-0")
        assert event.properties == {}
        assert event.event_type == record["event_type"]
        assert (event.event_type == "review") == (topic == "reviews")
        assert event.session_id
        assert (event.rating is not None) == (topic == "reviews")


def test_stream_is_a_function_of_its_arguments() -> None:
    shop = Shop(9, items=200, users=50, newcomers=5)
    first = list(shop.happenings(800, START_MS, 10))
    gc.collect()
    assert list(shop.happenings(800, START_MS, 10)) == first
    assert list(Shop(9, items=200, users=50, newcomers=5).happenings(800, START_MS, 10)) == first
    assert list(Shop(10, items=200, users=50, newcomers=5).happenings(800, START_MS, 10)) != first


def test_events_are_evenly_spaced_and_their_ids_unique(happenings: list[Happening]) -> None:
    events = [record for topic, record in happenings if topic != "items"]
    assert [event["timestamp"] for event in events] == [
        START_MS + number * 250 for number in range(COUNT)
    ]
    assert len({event["event_id"] for event in events}) == COUNT
    assert [*islice(Shop(7).events(COUNT, START_MS, 250), 2000)] == events[:2000]


def test_all_behaviours_occur_and_many_users_take_part(happenings: list[Happening]) -> None:
    types = Counter(r["event_type"] for topic, r in happenings if topic != "items")
    assert set(types) == {"click", "view", "cart", "purchase", "review"}
    assert types["click"] > types["view"] > types["purchase"] > types["review"] > COUNT / 50
    assert len({r["user_id"] for topic, r in happenings if topic != "items"}) >= 300


def test_few_items_take_much_of_the_attention(happenings: list[Happening]) -> None:
    seen = Counter(r["item_id"] for topic, r in happenings if topic == "clicks")
    first_tenth = sum(count for _, count in seen.most_common(60))
    assert 0.25 < first_tenth / seen.total() < 0.7


def test_newcomers_are_announced_before_anyone_meets_them(happenings: list[Happening]) -> None:
    known = {record["item_id"] for record in Shop(7).catalogue()}
    announced, met = set(), set()
    for topic, record in happenings:
        if topic == "items":
            assert record["item_id"] not in known
            announced.add(record["item_id"])
        else:
            assert record["item_id"] in known | announced
            met |= {record["item_id"]} & announced
    assert len(announced) == 60
    assert len(met) > 40


def test_reviews_follow_a_purchase_by_the_same_user(happenings: list[Happening]) -> None:
    bought: dict[str, set[str]] = defaultdict(set)
    for topic, record in happenings:
        if topic == "reviews":
            assert record["item_id"] in bought[record["user_id"]]
        elif topic == "clicks" and record["event_type"] == "purchase":
            bought[record["user_id"]].add(record["item_id"])


def test_sessions_of_a_user_do_not_overlap(happenings: list[Happening]) -> None:
    ended: set[str] = set()
    current: dict[str, str] = {}
    for topic, record in happenings:
        if topic == "items":
            continue
        session = record["session_id"]
        assert session not in ended
        if current.get(record["user_id"], session) != session:
            ended.add(current[record["user_id"]])
        current[record["user_id"]] = session
    assert len(ended) > 300


@pytest.mark.parametrize("size", [{"items": 60, "users": 3, "newcomers": 0}, {"users": 1}])
def test_small_shops_run_for_long(size: dict[str, int]) -> None:
    assert sum(1 for _ in Shop(2, **size).events(3000, START_MS, 1)) == 3000
