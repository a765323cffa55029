"""Lists of idle users that a rule, a withdrawal, an end or expiry makes wrong, on a real broker."""

import json
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from consumers.processes.embedded_broker import EmbeddedBroker
from stream_rec.events import DAY_MS
from tests.consumers.recommending.test_recommender import Worker

USERS = 60
DEADLINE_S = 60.0
EXPIRES_S = 6


class Shop(Worker):
    """A worker whose users did something just now, and nothing since."""

    def lists_now(self) -> dict[str, list[str]]:
        """Return what each user is shown now, the default list included."""
        newest: dict[str, list[str]] = {}
        for record in self.read(self.topics.recommendations):
            newest[record.key.decode()] = [
                ("pinned " if item["reason"]["kind"] == "pinned" else "") + item["item_id"]
                for item in json.loads(record.value)["items"]
            ]
        return newest

    def short_lived(self) -> defaultdict[str, list[dict[str, Any]]]:
        """Return each user's lists that say they are good for `EXPIRES_S`, in their order."""
        found = defaultdict(list)
        for record in self.read(self.topics.recommendations):
            made = json.loads(record.value)
            if made["expires_at"] - made["generated_at"] == 1000 * EXPIRES_S:
                found[made["user_id"]].append(made)
        return found

    def seconds_until(self, sound: object, within_s: float = DEADLINE_S) -> float:
        """Wait until every list is as wanted."""
        started = time.monotonic()
        self.wait(lambda: all(map(sound, self.lists_now().values())), within_s)  # type: ignore[call-overload]
        return time.monotonic() - started


@pytest.fixture(scope="module")
def shop(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("sweeps")
    made = Shop(broker.bootstrap_servers, "sweep-tests", folder)
    made.items(30)
    try:
        made.start()
        now_ms = time.time_ns() // 1_000_000
        for number in range(USERS):
            last = made.click(f"user{number}", f"i{number % 5}", timestamp=now_ms + number)
        made.list_after(f"user{USERS - 1}", last)
        made.wait(lambda: len(made.lists_now()) == USERS + 1)
        yield made
    finally:
        made.producer.close(timeout=2)
        if made.process is not None and made.process.poll() is None:
            made.stop(signal.SIGKILL)


def shown(shop: Shop) -> str:
    """Return an item that most lists show."""
    seen = [item for items in shop.lists_now().values() for item in items]
    return max(set(seen), key=seen.count)


def test_a_rule_reaches_users_who_do_nothing(shop: Shop) -> None:
    item = shown(shop)
    rules = [{"do": "block", "where": {"item_id": item}}]
    shop.send(shop.topics.policies, "default", {"rules": rules})
    assert shop.seconds_until(lambda items: item not in items) < DEADLINE_S


def test_a_withdrawn_item_leaves_the_lists_of_users_who_do_nothing(shop: Shop) -> None:
    item = shown(shop)
    shop.send(shop.topics.items, item, None)
    assert shop.seconds_until(lambda items: item not in items) < DEADLINE_S


def test_a_sold_out_item_leaves_the_lists_of_users_who_do_nothing(shop: Shop) -> None:
    item = shown(shop)
    shop.send(shop.topics.items, item, {"item_id": item, "title": "x", "available": False})
    assert shop.seconds_until(lambda items: item not in items) < DEADLINE_S


def test_a_pin_comes_and_goes_at_its_end_although_nothing_happens(shop: Shop) -> None:
    item = shown(shop)
    until = time.time_ns() // 1_000_000 + 8_000
    pin = {"do": "pin", "rank": 2, "item_id": item, "until": until}
    shop.send(shop.topics.policies, "default", {"rules": [pin]})
    shop.seconds_until(lambda items: items[1] == f"pinned {item}", 8.0)
    left = (until - time.time_ns() // 1_000_000) / 1000
    took = shop.seconds_until(lambda items: not any("pinned" in name for name in items))
    assert left - 1.0 < took < left + DEADLINE_S


def test_what_became_wrong_while_no_worker_ran_is_mended_after_the_start(shop: Shop) -> None:
    item = shown(shop)
    assert shop.stop() == 0
    shop.send(shop.topics.items, item, None)
    shop.start()
    assert shop.seconds_until(lambda items: item not in items) < DEADLINE_S


def test_an_item_that_a_rule_means_since_no_worker_ran_leaves_after_the_start(shop: Shop) -> None:
    rules = [{"do": "block", "where": {"category": "Adult"}}]
    shop.send(shop.topics.policies, "default", {"list": {"size": 9}, "rules": rules})
    shop.seconds_until(lambda items: len(items) == 9)
    item = shown(shop)
    assert shop.stop() == 0
    shop.send(shop.topics.items, item, {"item_id": item, "title": "x", "categories": ["Adult"]})
    shop.start()
    assert shop.seconds_until(lambda items: item not in items) < DEADLINE_S


def test_expired_lists_are_made_again_though_nothing_happens(shop: Shop) -> None:
    two_days_ago = time.time_ns() // 1_000_000 - 2 * DAY_MS
    shop.list_after("idle", shop.click("idle", "i1", timestamp=two_days_ago))
    policy = {"list": {"expires_s": EXPIRES_S, "refresh_s": 3600}}
    shop.send(shop.topics.policies, "default", policy)
    active = {f"user{number}" for number in range(USERS)} | {"*"}
    shop.wait(lambda: all(len(shop.short_lived()[user]) > 2 for user in active))
    for user, lists in shop.short_lived().items():
        for earlier, later in pairwise(lists):
            late_ms = later["generated_at"] - earlier["expires_at"]
            assert late_ms < (0 if user == "*" else 1000 * DEADLINE_S), user
    assert "idle" not in shop.short_lived(), "active in the last day alone: others wait"
